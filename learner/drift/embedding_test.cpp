#include "learner/drift/embedding_test.hpp"

#include <algorithm>
#include <cmath>

#include "learner/drift/state.hpp"

namespace p2p::learner {
namespace {

constexpr double kBoldest = 0.9;  ///< share of the stake that one value can lose at most

}  // namespace

EmbeddingTest::EmbeddingTest(const Options& options)
    : options_(options), values_(std::size_t{3} * options.dimensions) {
  P2P_ASSERT(options.dimensions >= 1 && options.latest >= 1 && options.slack >= 0);
  P2P_ASSERT(options.warning_length >= 1 && options.run_length >= options.warning_length);
  P2P_ASSERT(options.minimum >= 2 && options.most >= options.minimum && options.stride >= 1);
}

std::span<double> EmbeddingTest::part(std::size_t index) {
  return std::span(values_).subspan(index * options_.dimensions, options_.dimensions);
}

void EmbeddingTest::restart() {
  held_n_ = 0;
  const auto held = part(2);
  std::fill(held.begin(), held.end(), 0.0);
  gain_ = gain_squares_ = evidence_ = 0;
  page_ = 1;
}

void EmbeddingTest::reset() {
  std::fill(values_.begin(), values_.end(), 0.0);
  restart();
  reference_n_ = apart_ = passed_ = 0;
  skipped_ = 0;
}

std::unique_ptr<DriftDetector> EmbeddingTest::clone() const {
  return std::make_unique<EmbeddingTest>(*this);
}

void EmbeddingTest::commit() {
  if (held_n_ == 0) return;
  reference_n_ = std::min(reference_n_ + held_n_, static_cast<double>(options_.most));
  const auto reference = part(0), held = part(2);
  // At most all of it: more may have been held apart than a reference counts.
  const double share = std::min(1.0, held_n_ / reference_n_);
  for (std::size_t k = 0; k < reference.size(); ++k) {
    reference[k] += share * (held[k] / held_n_ - reference[k]);
    held[k] = 0;
  }
  held_n_ = 0;
}

DriftLevel EmbeddingTest::update(double value) {
  const auto single = static_cast<float>(value);
  return update_vector({&single, 1});
}

DriftLevel EmbeddingTest::update_vector(std::span<const float> phi) {
  P2P_ASSERT(phi.size() == options_.dimensions);
  if (++skipped_ < options_.stride) return DriftLevel::stable;
  skipped_ = 0;
  const auto reference = part(0), latest = part(1), held = part(2);
  // v from what was known before this value; then the means take it in.
  double toward = 0, apart = 0, length = 0;
  const double fade = 1 / options_.latest;
  for (std::size_t k = 0; k < phi.size(); ++k) {
    const double x = static_cast<double>(phi[k]);
    const double direction = latest[k] - reference[k];
    toward += direction * (x - reference[k]);
    apart += direction * direction;
    length += reference[k] * reference[k];
    latest[k] += fade * (x - latest[k]);
    held[k] += x;
  }
  held_n_ += 1;
  if (reference_n_ < options_.minimum) {
    commit();
    if (reference_n_ >= options_.minimum)
      std::copy(reference.begin(), reference.end(), latest.begin());
    return DriftLevel::stable;
  }
  apart_ = apart;
  const double v = toward - 3 * std::max(0.0, 1 - length) / reference_n_ - options_.slack * apart;
  // |phi| <= sqrt(2), |m0| <= sqrt(2): no loss is larger than this.
  const double worst =
      std::sqrt(apart) * 2 * std::sqrt(2.0) + 3 / reference_n_ + options_.slack * apart;
  const double best = gain_squares_ > 0 ? gain_ / gain_squares_ : 0;
  const double bet = worst > 0 ? std::clamp(best, 0.0, kBoldest / worst) : 0;
  const double factor = std::max(0.0, 1 + bet * v);
  gain_ += fade * (v - gain_);
  gain_squares_ += fade * (v * v - gain_squares_);
  evidence_ = (1 + evidence_) * factor;
  page_ = std::max(1.0, page_) * factor;
  if (evidence_ >= options_.run_length) {
    // Of those held apart the first may come from before the change: the fading mean is the cleaner
    // start.
    std::copy(latest.begin(), latest.end(), reference.begin());
    reference_n_ = std::min(held_n_, options_.latest);
    passed_ = held_n_ - reference_n_;
    restart();
    return DriftLevel::drift;
  }
  if (page_ <= 1 || bet == 0) {
    // The latest values point nowhere: what was held apart is more of the same.
    commit();
    page_ = 1;
  }
  return evidence_ >= options_.warning_length ? DriftLevel::warning : DriftLevel::stable;
}

void EmbeddingTest::encode(ByteWriter& out) const {
  out.put(options_.dimensions);
  out.put(skipped_);
  for (const double value :
       {reference_n_, held_n_, passed_, gain_, gain_squares_, evidence_, page_, apart_})
    out.put(value);
  out.put_array(std::span<const double>(values_));
}

Result<void> EmbeddingTest::decode(ByteReader& in) {
  reset();
  StateReader state(in);
  state.check(state.whole(options_.dimensions) == options_.dimensions);
  skipped_ = state.whole(options_.stride - 1);
  reference_n_ = state.number(0, options_.most);
  held_n_ = state.number(0, 1e15);
  passed_ = state.number(0, 1e15);
  gain_ = state.number(-1e3, 1e3);
  gain_squares_ = state.number(0, 1e6);
  evidence_ = state.number(0, options_.run_length);
  page_ = state.number(0, std::max(1.0, evidence_));  // the largest stake is no more than all together
  apart_ = state.number(0, 1e3);
  for (std::size_t k = 0; state.ok() && k < values_.size(); ++k) {
    const double most = k / options_.dimensions == 2 ? held_n_ : 1;
    values_[k] = state.number(-most * (1 + 1e-6), most * (1 + 1e-6));
  }
  if (!state.ok()) reset();
  return state.result("the embedding test");
}

}  // namespace p2p::learner

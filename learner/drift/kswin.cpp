#include "learner/drift/kswin.hpp"

#include <algorithm>
#include <cmath>

#include "learner/drift/state.hpp"

namespace p2p::learner {
namespace {

/// Both keep their capacity: a sorted vector that never holds more than it was reserved for.
void insert(std::vector<float>& sorted, float value) {
  sorted.insert(std::upper_bound(sorted.begin(), sorted.end(), value), value);
}
void erase(std::vector<float>& sorted, float value) {
  sorted.erase(std::lower_bound(sorted.begin(), sorted.end(), value));
}

}  // namespace

Kswin::Kswin(const Options& options) : options_(options), ring_(options.window) {
  P2P_ASSERT(options.recent >= 1 && options.recent < options.window);
  P2P_ASSERT(options.alpha > 0 && options.alpha < 1 && options.warning >= 1);
  const double newest = options.recent, older = options.window - options.recent;
  const double unit = (1 / newest + 1 / older) / 2;
  drift_ = std::sqrt(-std::log(options.alpha) * unit);
  warning_ = std::sqrt(-std::log(std::min(0.5, options.alpha * options.warning)) * unit);
  reset();
}

void Kswin::reset() {
  next_ = used_ = 0;
  older_.clear();
  newest_.clear();
  older_.reserve(options_.window - options_.recent + 1);
  newest_.reserve(options_.recent + 1);
}

std::unique_ptr<DriftDetector> Kswin::clone() const {
  auto copy = std::make_unique<Kswin>(options_);
  // Assignment keeps what the constructor reserved.
  copy->ring_ = ring_;
  copy->older_.assign(older_.begin(), older_.end());
  copy->newest_.assign(newest_.begin(), newest_.end());
  copy->next_ = next_;
  copy->used_ = used_;
  return copy;
}

std::size_t Kswin::bytes() const {
  return sizeof *this + (ring_.capacity() + older_.capacity() + newest_.capacity()) * sizeof(float);
}

float Kswin::back(std::uint32_t age) const {
  return ring_[(next_ + options_.window - age) % options_.window];
}

double Kswin::mean() const {
  double sum = 0;
  for (std::uint32_t age = 1; age <= used_; ++age) sum += static_cast<double>(back(age));
  return used_ == 0 ? 0.0 : sum / used_;
}

void Kswin::push(float value) {
  if (used_ == options_.window) erase(older_, ring_[next_]);
  if (used_ >= options_.recent) {
    const float moved = back(options_.recent);
    erase(newest_, moved);
    insert(older_, moved);
  }
  insert(newest_, value);
  ring_[next_] = value;
  next_ = next_ + 1 == options_.window ? 0 : next_ + 1;
  used_ = std::min(used_ + 1, options_.window);
}

double Kswin::statistic() const {
  const double newest = static_cast<double>(newest_.size()),
               older = static_cast<double>(older_.size());
  double most = 0;
  std::size_t k = 0;
  // After each group of equal older values: their share so far, less that of the newest up to
  // there.
  for (std::size_t i = 0; i < older_.size(); ++i) {
    if (i + 1 < older_.size() && older_[i + 1] == older_[i]) continue;
    while (k < newest_.size() && newest_[k] <= older_[i]) ++k;
    most = std::max(most, static_cast<double>(i + 1) / older - static_cast<double>(k) / newest);
  }
  return most;
}

DriftLevel Kswin::update(double value) {
  push(static_cast<float>(value));
  if (used_ < options_.window) return DriftLevel::stable;
  const double d = statistic();
  if (d <= warning_) return DriftLevel::stable;
  if (d <= drift_) return DriftLevel::warning;
  // The newest values are what the next window begins with.
  const std::uint32_t end = next_;
  reset();
  for (std::uint32_t age = options_.recent; age >= 1; --age) {
    const float kept = ring_[(end + options_.window - age) % options_.window];
    insert(newest_, kept);
  }
  next_ = end;
  used_ = options_.recent;
  return DriftLevel::drift;
}

void Kswin::encode(ByteWriter& out) const {
  out.put(used_);
  for (std::uint32_t age = used_; age >= 1; --age) out.put(back(age));
}

Result<void> Kswin::decode(ByteReader& in) {
  reset();
  StateReader state(in);
  const std::uint32_t used = state.whole(options_.window);
  for (std::uint32_t i = 0; state.ok() && i < used; ++i) {
    const float value = state.single(-1e9f, 1e9f);
    if (state.ok()) push(value);
  }
  if (!state.ok()) reset();
  return state.result("KSWIN");
}

}  // namespace p2p::learner

#include "learner/drift/threshold_test.hpp"

#include <algorithm>
#include <cmath>

#include "learner/drift/state.hpp"
#include "metadata/base/error.hpp"

namespace p2p::learner {

double beta_binomial_tail(std::uint32_t n, std::uint32_t k, double a, double b) {
  if (k == 0) return 1;
  if (k > n) return 0;
  const auto log_beta = [](double x, double y) {
    return std::lgamma(x) + std::lgamma(y) - std::lgamma(x + y);
  };
  const double dn = n;
  double i = k;
  double term = std::exp(std::lgamma(dn + 1) - std::lgamma(i + 1) - std::lgamma(dn - i + 1) +
                         log_beta(i + a, dn - i + b) - log_beta(a, b));
  double sum = term;
  for (; i < dn; i += 1) {
    term *= (dn - i) * (i + a) / ((i + 1) * (dn - i - 1 + b));
    sum += term;
  }
  return std::min(sum, 1.0);
}

ThresholdTest::ThresholdTest(const Options& options) : options_(options) {
  P2P_ASSERT(options.batch >= 1 && options.stride >= 1 && options.batch % options.stride == 0);
  P2P_ASSERT(options.minimum_batches >= 1 && options.reference_batches >= options.minimum_batches);
  P2P_ASSERT(options.permitted_loss >= 0 && options.permitted_loss <= 1);
  P2P_ASSERT(options.chance > 0 && options.chance <= 1 && options.warning_factor >= 1);
  chunks_.resize(std::size_t{options.batch} / options.stride * (options.reference_batches + 1));
}

void ThresholdTest::reset() {
  next_ = used_ = 0;
  batch_sum_ = reference_sum_ = open_sum_ = after_sum_ = 0;
  open_ = after_ = 0;
}

std::unique_ptr<DriftDetector> ThresholdTest::clone() const {
  return std::make_unique<ThresholdTest>(*this);
}

std::size_t ThresholdTest::width() const { return after_ + used_ * options_.stride + open_; }

double ThresholdTest::mean() const {
  const std::size_t n = width();
  return n == 0 ? 0.0
                : (after_sum_ + batch_sum_ + reference_sum_ + open_sum_) / static_cast<double>(n);
}

DriftLevel ThresholdTest::update(double value) {
  open_sum_ += value;
  if (++open_ < options_.stride) return DriftLevel::stable;
  // The chunk is full: it joins the batch, the batch's oldest joins the reference, whose oldest
  // goes.
  const std::size_t in_batch = options_.batch / options_.stride;
  const auto back = [&](std::size_t age) {
    return chunks_[(next_ + chunks_.size() - age) % chunks_.size()];
  };
  if (used_ == chunks_.size()) {
    reference_sum_ -= static_cast<double>(chunks_[next_]);
  } else {
    ++used_;
  }
  if (used_ > in_batch) {
    const auto moved = static_cast<double>(back(in_batch));
    batch_sum_ -= moved;
    reference_sum_ += moved;
  }
  chunks_[next_] = static_cast<float>(open_sum_);
  batch_sum_ += static_cast<double>(chunks_[next_]);
  next_ = (next_ + 1) % chunks_.size();
  open_sum_ = 0;
  open_ = 0;
  if (used_ < in_batch * (1 + options_.minimum_batches)) return DriftLevel::stable;
  after_ = 0;
  after_sum_ = 0;
  const DriftLevel level = test();
  if (level == DriftLevel::drift) {
    const double sum = batch_sum_;
    reset();
    after_ = options_.batch;
    after_sum_ = sum;
  }
  return level;
}

DriftLevel ThresholdTest::test() const {
  const double n = options_.batch;
  const double n0 = static_cast<double>(used_ * options_.stride) - n;
  const double loss = batch_sum_ / n - reference_sum_ / n0;
  if (loss <= options_.permitted_loss / 2) return DriftLevel::stable;
  // Values between 0 and 1 count as their sum, rounded down: that errs on the quiet side.
  double tail = 0;
  if (options_.chance < 1) {
    const double errors = std::clamp(reference_sum_, 0.0, n0);
    tail = beta_binomial_tail(options_.batch,
                              static_cast<std::uint32_t>(std::max(0.0, batch_sum_ + 1e-6)),
                              errors + 1, n0 - errors + 1);
  }
  if (loss > options_.permitted_loss && tail < options_.chance) return DriftLevel::drift;
  return tail < std::min(1.0, options_.chance * options_.warning_factor) ? DriftLevel::warning
                                                                         : DriftLevel::stable;
}

void ThresholdTest::encode(ByteWriter& out) const {
  out.put(static_cast<std::uint32_t>(next_));
  out.put(static_cast<std::uint32_t>(used_));
  out.put(open_);
  out.put(open_sum_);
  out.put(after_);
  out.put(after_sum_);
  out.put(batch_sum_);
  out.put(reference_sum_);
  for (std::size_t age = used_; age >= 1; --age)
    out.put(chunks_[(next_ + chunks_.size() - age) % chunks_.size()]);
}

Result<void> ThresholdTest::decode(ByteReader& in) {
  reset();
  StateReader state(in);
  const auto size = static_cast<std::uint32_t>(chunks_.size());
  next_ = state.whole(size - 1);
  used_ = state.whole(size);
  open_ = state.whole(options_.stride - 1);
  open_sum_ = state.number(0, open_);
  after_ = state.whole(options_.batch);
  after_sum_ = state.number(0, after_);
  batch_sum_ = state.number(-1, options_.batch + 1.0);
  reference_sum_ = state.number(-1, static_cast<double>(used_ * options_.stride) + 1);
  double sum = 0;
  for (std::size_t age = used_; state.ok() && age >= 1; --age)
    sum += static_cast<double>(chunks_[(next_ + size - age) % size] =
                                   state.single(0, static_cast<float>(options_.stride)));
  state.check(std::abs(sum - batch_sum_ - reference_sum_) <= 1e-3 * (1 + sum));
  if (!state.ok()) reset();
  return state.result("the threshold test");
}

}  // namespace p2p::learner

#include "learner/drift/cumulative_sum.hpp"

#include <algorithm>

#include "learner/drift/state.hpp"

namespace p2p::learner {

CumulativeSum::CumulativeSum(const Options& options) : options_(options) {
  P2P_ASSERT(options.minimum >= 1 && options.delta >= 0 && options.lambda > 0);
  P2P_ASSERT(options.fade > 0 && options.fade <= 1 && options.warning > 0 && options.warning <= 1);
}

void CumulativeSum::reset() {
  n_ = 0;
  mean_ = sum_ = 0;
}

std::unique_ptr<DriftDetector> CumulativeSum::clone() const {
  return std::make_unique<CumulativeSum>(*this);
}

DriftLevel CumulativeSum::update(double value) {
  ++n_;
  mean_ += (value - mean_) / static_cast<double>(n_);
  sum_ = options_.fade * sum_ + (value - mean_ - options_.delta);
  if (options_.floor) sum_ = std::max(0.0, sum_);
  if (n_ < options_.minimum) return DriftLevel::stable;
  if (sum_ > options_.lambda) {
    reset();
    return DriftLevel::drift;
  }
  return sum_ > options_.warning * options_.lambda ? DriftLevel::warning : DriftLevel::stable;
}

void CumulativeSum::encode(ByteWriter& out) const {
  out.put(n_);
  out.put(mean_);
  out.put(sum_);
}

Result<void> CumulativeSum::decode(ByteReader& in) {
  StateReader state(in);
  n_ = state.count();
  mean_ = state.number(-1e-9, 1 + 1e-9);
  sum_ = state.number(-1e17, options_.lambda + 2);
  if (!state.ok()) reset();
  return state.result("the cumulative sum");
}

}  // namespace p2p::learner

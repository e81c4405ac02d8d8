#include "learner/drift/hddm.hpp"

#include <cmath>

#include "learner/drift/state.hpp"

namespace p2p::learner {
namespace {

bool confidences(double drift, double warning) {
  return drift > 0 && warning >= drift && warning < 1;
}

}  // namespace

// ---- HDDM-A

HddmA::HddmA(const Options& options)
    : options_(options),
      ln_drift_(std::log(2 / options.drift)),
      ln_warning_(std::log(2 / options.warning)),
      ln_cut_(std::log(1 / options.drift)) {
  P2P_ASSERT(confidences(options.drift, options.warning) && options.minimum >= 1);
}

void HddmA::reset() {
  n_ = n_low_ = n_high_ = 0;
  sum_ = sum_low_ = sum_high_ = 0;
}

std::unique_ptr<DriftDetector> HddmA::clone() const { return std::make_unique<HddmA>(*this); }

DriftLevel HddmA::update(double value) {
  ++n_;
  sum_ += value;
  const double n = static_cast<double>(n_), now = sum_ / n;
  // The cut of each direction: where the mean was surest to be low, and to be high.
  const double bound = std::sqrt(ln_cut_ / (2 * n));
  double low = static_cast<double>(n_low_), high = static_cast<double>(n_high_);
  if (n_low_ == 0 || sum_low_ / low + std::sqrt(ln_cut_ / (2 * low)) >= now + bound) {
    n_low_ = n_;
    sum_low_ = sum_;
    low = n;
  }
  if (n_high_ == 0 || sum_high_ / high - std::sqrt(ln_cut_ / (2 * high)) <= now - bound) {
    n_high_ = n_;
    sum_high_ = sum_;
    high = n;
  }
  if (n_ < options_.minimum) return DriftLevel::stable;
  // change^2 against m/2 ln(2/alpha), m = (n - cut) / (cut n): no root needed.
  const double rise = n_low_ == n_ ? 0 : now - sum_low_ / low;
  const double rise_unit = (n - low) / (low * n) / 2;
  const double fall = n_high_ == n_ ? 0 : sum_high_ / high - now;
  const double fall_unit = (n - high) / (high * n) / 2;
  if (rise > 0 && rise * rise >= rise_unit * ln_drift_) {
    reset();
    return DriftLevel::drift;
  }
  if (fall > 0 && fall * fall >= fall_unit * ln_drift_) {
    reset();
    return DriftLevel::stable;
  }
  return rise > 0 && rise * rise >= rise_unit * ln_warning_ ? DriftLevel::warning
                                                            : DriftLevel::stable;
}

void HddmA::encode(ByteWriter& out) const {
  for (const std::uint64_t value : {n_, n_low_, n_high_}) out.put(value);
  for (const double value : {sum_, sum_low_, sum_high_}) out.put(value);
}

Result<void> HddmA::decode(ByteReader& in) {
  StateReader state(in);
  n_ = state.count();
  n_low_ = state.count(n_);
  n_high_ = state.count(n_);
  sum_ = state.number(0, static_cast<double>(n_));
  sum_low_ = state.number(0, static_cast<double>(n_low_));
  sum_high_ = state.number(0, static_cast<double>(n_high_));
  state.check((n_ == 0) == (n_low_ == 0) && (n_ == 0) == (n_high_ == 0));
  if (!state.ok()) reset();
  return state.result("HDDM-A");
}

// ---- HDDM-W

HddmW::HddmW(const Options& options)
    : options_(options),
      ln_drift_(std::log(1 / options.drift)),
      ln_warning_(std::log(1 / options.warning)) {
  P2P_ASSERT(confidences(options.drift, options.warning) && options.minimum >= 1);
  P2P_ASSERT(options.lambda > 0 && options.lambda < 1);
}

void HddmW::reset() {
  n_ = 0;
  total_ = {};
  rise_ = {};
  fall_ = {};
}

std::unique_ptr<DriftDetector> HddmW::clone() const { return std::make_unique<HddmW>(*this); }

void HddmW::Fading::add(double value, double lambda) {
  if (squares == 0) {
    mean = value;
    squares = 1;
    return;
  }
  mean += lambda * (value - mean);
  squares = lambda * lambda + (1 - lambda) * (1 - lambda) * squares;
}

bool HddmW::exceeds(const Side& side, double sign, double ln) const {
  if (side.before.squares == 0 || side.after.squares == 0) return false;
  const double change = sign * (side.after.mean - side.before.mean);
  return change > 0 && change * change > (side.before.squares + side.after.squares) * ln / 2;
}

DriftLevel HddmW::update(double value) {
  ++n_;
  total_.add(value, options_.lambda);
  const double bound = std::sqrt(total_.squares * ln_drift_ / 2);
  for (Side* side : {&rise_, &fall_}) {
    const double edge = (side == &rise_ ? total_.mean : -total_.mean) + bound;
    if (edge < side->cut) {
      side->cut = edge;
      side->before = total_;
      side->after = {};
    } else {
      side->after.add(value, options_.lambda);
    }
  }
  if (n_ < options_.minimum) return DriftLevel::stable;
  if (exceeds(rise_, 1, ln_drift_)) {
    reset();
    return DriftLevel::drift;
  }
  if (exceeds(fall_, -1, ln_drift_)) {
    reset();
    return DriftLevel::stable;
  }
  return exceeds(rise_, 1, ln_warning_) ? DriftLevel::warning : DriftLevel::stable;
}

void HddmW::encode(ByteWriter& out) const {
  out.put(n_);
  for (const Fading* mean : {&total_, &rise_.before, &rise_.after, &fall_.before, &fall_.after}) {
    out.put(mean->mean);
    out.put(mean->squares);
  }
  out.put(rise_.cut);
  out.put(fall_.cut);
}

Result<void> HddmW::decode(ByteReader& in) {
  StateReader state(in);
  n_ = state.count();
  for (Fading* mean : {&total_, &rise_.before, &rise_.after, &fall_.before, &fall_.after}) {
    mean->mean = state.number(-1e-9, 1 + 1e-9);
    mean->squares = state.number(0, 1);
  }
  rise_.cut = state.number(-2, kNoCut);
  fall_.cut = state.number(-2, kNoCut);
  if (!state.ok()) reset();
  return state.result("HDDM-W");
}

}  // namespace p2p::learner

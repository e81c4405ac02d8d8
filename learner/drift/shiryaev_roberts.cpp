#include "learner/drift/shiryaev_roberts.hpp"

#include <algorithm>
#include <cmath>

#include "learner/drift/state.hpp"

namespace p2p::learner {
namespace {

/// What an estimated baseline costs: the run length measured at this factor is above the one asked
/// for.
constexpr double kReserve = 1.5;
/// A baseline that no value exceeds: where all is wrong already, nothing can rise.
constexpr double kNever = 1.001;
constexpr double kRegrowth = 1.0 / 64;

}  // namespace

ShiryaevRoberts::ShiryaevRoberts(const Options& o)
    : options_(o),
      odds_{std::exp(o.smallest) - 1, std::exp(o.middle) - 1, std::exp(o.largest) - 1},
      fall_odds_(std::exp(-o.smallest) - 1),
      drift_at_(o.run_length * kReserve * kBets),
      warning_at_(o.warning_length * kReserve * kBets),
      fall_at_(o.fall_length) {
  P2P_ASSERT(o.warning_length >= 1 && o.run_length >= o.warning_length && o.fall_length >= 1);
  P2P_ASSERT(o.run_length <= 1e15 && o.fall_length <= 1e15);
  P2P_ASSERT(o.smallest > 0 && o.middle >= o.smallest && o.largest >= o.middle && o.largest <= 10);
  P2P_ASSERT(o.margin >= 1 && o.slack >= 0 && o.least > 0 && o.least < 0.5 && o.minimum >= 1);
}

void ShiryaevRoberts::reset() { restart({}); }

std::unique_ptr<DriftDetector> ShiryaevRoberts::clone() const {
  return std::make_unique<ShiryaevRoberts>(*this);
}

double ShiryaevRoberts::mean() const {
  const double n = base_.n + held_.n;
  return n > 0 ? (base_.sum + held_.sum) / n : 0;
}

void ShiryaevRoberts::restart(const Tally& base) {
  base_ = base;
  held_ = fallen_ = {};
  evidence_.fill(0);
  page_ = fall_page_ = 1;
  fall_evidence_ = 0;
  placed_at_ = placed_sum_ = 0;
}

void ShiryaevRoberts::place_bets() {
  if (base_.n < placed_at_ * (1 + kRegrowth)) return;
  placed_at_ = base_.n;
  placed_sum_ = base_.sum;
  const double p = (base_.sum + 0.5) / (base_.n + 1);
  const double sigma = std::sqrt(p * (1 - p)), root = std::sqrt(base_.n);
  const double error =
      sigma / root * std::max(1.0, options_.margin - options_.slack * sigma * root);
  high_ = std::clamp(p + error, options_.least, kNever);
  low_ = std::max(p - error, 1e-9);
  for (std::size_t g = 0; g < kBets; ++g) bets_[g] = odds_[g] / (1 + high_ * odds_[g]);
  fall_bet_ = fall_odds_ / (1 + low_ * fall_odds_);
}

DriftLevel ShiryaevRoberts::update(double value) {
  if (base_.n < options_.minimum) {
    base_.add(value);
    return DriftLevel::stable;
  }
  place_bets();
  held_.add(value);
  fallen_.add(value);
  const double above = value - high_;
  double evidence = 0;
  for (std::size_t g = 0; g < kBets; ++g) {
    evidence_[g] = (1 + evidence_[g]) * (1 + bets_[g] * above);
    evidence += evidence_[g];
  }
  page_ = std::max(1.0, page_) * (1 + bets_[0] * above);
  const double factor = 1 + fall_bet_ * (value - low_);
  fall_evidence_ = (1 + fall_evidence_) * factor;
  fall_page_ = std::max(1.0, fall_page_) * factor;
  if (evidence >= drift_at_) {
    restart(held_);
    return DriftLevel::drift;
  }
  if (fall_evidence_ >= fall_at_) {
    restart(fallen_);
    return DriftLevel::stable;
  }
  if (fall_page_ <= 1) fallen_ = {};
  if (page_ <= 1) {
    base_.n += held_.n;
    base_.sum += held_.sum;
    held_ = {};
  }
  return evidence >= warning_at_ ? DriftLevel::warning : DriftLevel::stable;
}

void ShiryaevRoberts::encode(ByteWriter& out) const {
  for (const Tally* tally : {&base_, &held_, &fallen_}) {
    out.put(tally->n);
    out.put(tally->sum);
  }
  out.put_array(std::span<const double>(evidence_));
  for (const double value : {page_, fall_evidence_, fall_page_, placed_at_, placed_sum_})
    out.put(value);
}

Result<void> ShiryaevRoberts::decode(ByteReader& in) {
  StateReader state(in);
  constexpr double kMost = 4503599627370496.0;  // 2^52: counts beyond it would stand still
  for (Tally* tally : {&base_, &held_, &fallen_}) {
    tally->n = std::floor(state.number(0, kMost));
    tally->sum = state.number(0, tally->n);
  }
  for (double& value : evidence_) value = state.number(0, drift_at_);
  // The largest of the stakes is no more than all of them together: so it stays, and so no state grows past what
  // can be read again.
  page_ = state.number(0, std::max(1.0, evidence_[0]));
  fall_evidence_ = state.number(0, fall_at_);
  fall_page_ = state.number(0, std::max(1.0, fall_evidence_));
  const double placed_at = state.number(0, base_.n);
  const double placed_sum = state.number(0, placed_at);
  placed_at_ = placed_sum_ = 0;
  if (state.ok() && placed_at > 0) {
    // The bets are those of the baseline as it was when they were placed.
    const Tally base = base_;
    base_ = {placed_at, placed_sum};
    place_bets();
    base_ = base;
  }
  if (!state.ok()) reset();
  return state.result("Shiryaev-Roberts");
}

}  // namespace p2p::learner

// Shiryaev-Roberts with a learnt baseline: bets that the mean has risen, started anew at every
// value.
#pragma once

#include <array>
#include <cstdint>

#include "learner/drift/detector.hpp"

namespace p2p::learner {

/// With p a baseline and bets b_g > 0, each value multiplies a stake by 1 + b_g (x - p): a fair or
/// losing game while the mean is at most p, whatever the distribution in [0, 1]. One stake is put
/// in per value,
///
///     R_g <- (1 + R_g) (1 + b_g (x - p)),      drift when mean_g R_g >= threshold,
///
/// and since E R_g <= number of values, it takes at least `threshold` values on average until a
/// false alarm. For 0/1 values 1 + b (x - p) with b = (r - 1) / (1 + p (r - 1)) is the likelihood
/// ratio against an error whose odds are r times as large, so R_g is Shiryaev-Roberts' statistic
/// for that rise, optimal in its delay; the mixture over three odds ratios covers those between at
/// a cost of ln 3 in evidence.
///
/// The baseline is the mean of all values before the likeliest change, and what it may be short of.
/// Values are held apart while the evidence for a rise (Page's statistic of the smallest bet) is
/// positive, and join the baseline once it is gone; when the alarm rings those held apart are the
/// new concept and width() says since when. The mirrored test finds falls: they restart the
/// baseline and are not reported.
///
/// Reference: Shiryaev, "On Optimum Methods in Quickest Detection Problems", 1963; Roberts, "A
/// Comparison of Some Control Chart Procedures", Technometrics 8, 1966; Shin, Ramdas, Rinaldo,
/// "E-detectors: a nonparametric framework for sequential change detection", NEJSDS 2023 (bets and
/// mixtures in its place).
///
/// Deviations: the papers know p. Here it is learnt: `margin` standard errors are added, less what
/// would cost a tenth of the log threshold (`slack`, times the values' variance) but never fewer
/// than one; and threshold is 1.5 times `run_length`, which holds the measured run length above it
/// (bench_detectors).
///
/// Bounds: 300 bytes. Cost: O(1); four products a value, and a root and four divisions when the
/// baseline has grown by a 64th.
class ShiryaevRoberts final : public DriftDetector {
 public:
  struct Options {
    double run_length = 1e7;      ///< values to a false alarm, on average and at least
    double warning_length = 1e4;  ///< the same to a false warning; <= run_length
    double fall_length = 1e8;     ///< the same to a restart of the baseline
    double smallest = 0.7;        ///< log odds ratios of the rises that are bet on
    double middle = 1.3;
    double largest = 2.2;
    double margin = 4.5;
    double slack = 0.09;
    double least = 0.005;  ///< the baseline is never thought lower: rarer errors do not matter
    std::uint32_t minimum = 60;  ///< values before the first bet
  };
  ShiryaevRoberts() : ShiryaevRoberts(Options{}) {}
  explicit ShiryaevRoberts(const Options& options);

  DriftLevel update(double value) override;
  std::size_t width() const override { return static_cast<std::size_t>(base_.n + held_.n); }
  double mean() const override;
  void reset() override;
  std::unique_ptr<DriftDetector> clone() const override;
  void encode(ByteWriter& out) const override;
  Result<void> decode(ByteReader& in) override;
  std::size_t bytes() const override { return sizeof *this; }

 private:
  static constexpr std::size_t kBets = 3;
  struct Tally {
    double n = 0, sum = 0;
    void add(double value) {
      n += 1;
      sum += value;
    }
  };
  void restart(const Tally& base);
  void place_bets();

  Options options_;
  std::array<double, kBets> odds_;  ///< r - 1
  double fall_odds_;
  double drift_at_, warning_at_, fall_at_;

  Tally base_, held_, fallen_;  ///< before the likeliest rise; since it; since the likeliest fall
  std::array<double, kBets> evidence_{};
  double page_ = 1, fall_evidence_ = 0, fall_page_ = 1;
  // Derived from base_ when it had placed_at_ values:
  double placed_at_ = 0, placed_sum_ = 0;
  double high_ = 0, low_ = 0, fall_bet_ = 0;
  std::array<double, kBets> bets_{};
};

}  // namespace p2p::learner

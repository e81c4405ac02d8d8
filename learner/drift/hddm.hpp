// HDDM-A and HDDM-W: bounds of Hoeffding and McDiarmid on plain and on fading means.
#pragma once

#include <cstdint>

#include "learner/drift/detector.hpp"

namespace p2p::learner {

/// The mean of all values against the mean up to the point at which its upper bound was lowest:
/// drift when they differ by more than Hoeffding's inequality allows for values in [0, 1], whatever
/// their distribution.
///
/// Reference: Frias-Blanco et al., "Online and Non-Parametric Drift Detection Methods Based on
/// Hoeffding's Bounds", IEEE TKDE 27(3), 2015 (the A-test). Deviations: a decrease found by the
/// same bound starts anew and is not reported. No alarm in the first `minimum` values.
///
/// Bounds: 6 numbers. Cost: O(1), two roots a value.
class HddmA final : public DriftDetector {
 public:
  struct Options {
    double drift = 0.001;    ///< confidence
    double warning = 0.005;  ///< >= drift
    std::uint32_t minimum = 30;
  };
  HddmA() : HddmA(Options{}) {}
  explicit HddmA(const Options& options);

  DriftLevel update(double value) override;
  std::size_t width() const override { return static_cast<std::size_t>(n_); }
  double mean() const override { return n_ == 0 ? 0.0 : sum_ / static_cast<double>(n_); }
  void reset() override;
  std::unique_ptr<DriftDetector> clone() const override;
  void encode(ByteWriter& out) const override;
  Result<void> decode(ByteReader& in) override;
  std::size_t bytes() const override { return sizeof *this; }

 private:
  Options options_;
  double ln_drift_, ln_warning_, ln_cut_;
  std::uint64_t n_ = 0, n_low_ = 0, n_high_ = 0;
  double sum_ = 0, sum_low_ = 0, sum_high_ = 0;
};

/// The same with exponentially fading means (weight lambda for the latest value) and McDiarmid's
/// inequality: quicker for abrupt changes, deaf to small ones, whose bound the fading mean cannot
/// exceed.
///
/// Reference: as above (the W-test).
/// Deviations: a decrease starts anew and is not reported. No alarm in the first `minimum` values.
///
/// Bounds: 13 numbers. Cost: O(1), up to six roots a value.
class HddmW final : public DriftDetector {
 public:
  struct Options {
    double drift = 0.001;
    double warning = 0.005;
    double lambda = 0.05;  ///< weight of the latest value, in (0, 1)
    std::uint32_t minimum = 30;
  };
  HddmW() : HddmW(Options{}) {}
  explicit HddmW(const Options& options);

  DriftLevel update(double value) override;
  std::size_t width() const override { return static_cast<std::size_t>(n_); }
  double mean() const override { return total_.mean; }
  void reset() override;
  std::unique_ptr<DriftDetector> clone() const override;
  void encode(ByteWriter& out) const override;
  Result<void> decode(ByteReader& in) override;
  std::size_t bytes() const override { return sizeof *this; }

 private:
  /// A fading mean and the sum of its squared weights; `squares` 0: empty.
  struct Fading {
    double mean = 0, squares = 0;
    void add(double value, double lambda);
  };
  static constexpr double kNoCut = 1e6;
  /// One direction: the mean up to the best cut, and what came after it.
  struct Side {
    Fading before, after;
    double cut = kNoCut;
  };
  bool exceeds(const Side& side, double sign, double ln) const;

  Options options_;
  double ln_drift_, ln_warning_;
  std::uint64_t n_ = 0;
  Fading total_;
  Side rise_, fall_;
};

}  // namespace p2p::learner

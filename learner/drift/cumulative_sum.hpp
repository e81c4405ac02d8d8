// Page-Hinkley and CUSUM: the sum of what the values exceed their mean by.
#pragma once

#include <cstdint>

#include "learner/drift/detector.hpp"

namespace p2p::learner {

/// With m the running mean, g = fade g + (x - m - delta); drift when g > lambda. CUSUM also keeps g
/// from falling below zero, so that it forgets the past at once; without that (Page-Hinkley as it
/// is usually built) g rests near -delta / (1 - fade) and has a longer way to go, but rings less
/// often.
///
/// lambda is the knob: the delay after a rise by d is about lambda / (d - delta) for CUSUM.
///
/// Reference: Page, "Continuous Inspection Schemes", Biometrika 41, 1954; Hinkley, "Inference about
/// the change-point from cumulative sum tests", Biometrika 58, 1971; parameters as in MOA (Bifet et
/// al., 2010). Deviations: a warning at `warning` of lambda, which neither has.
///
/// Bounds: 3 numbers. Cost: O(1), a division a value.
class CumulativeSum final : public DriftDetector {
 public:
  struct Options {
    std::uint32_t minimum = 30;  ///< values before anything is said
    double delta = 0.005;        ///< a rise that does not matter
    double lambda = 50;
    double fade = 1;       ///< in (0, 1]; Page-Hinkley: 0.9999
    bool floor = true;     ///< CUSUM; false: Page-Hinkley
    double warning = 0.5;  ///< share of lambda
  };
  CumulativeSum() : CumulativeSum(Options{}) {}
  explicit CumulativeSum(const Options& options);

  DriftLevel update(double value) override;
  std::size_t width() const override { return static_cast<std::size_t>(n_); }
  double mean() const override { return mean_; }
  void reset() override;
  std::unique_ptr<DriftDetector> clone() const override;
  void encode(ByteWriter& out) const override;
  Result<void> decode(ByteReader& in) override;
  std::size_t bytes() const override { return sizeof *this; }

 private:
  Options options_;
  std::uint64_t n_ = 0;
  double mean_ = 0, sum_ = 0;
};

}  // namespace p2p::learner

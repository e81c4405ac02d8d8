// KSWIN: do the latest values have the distribution of those before them?
#pragma once

#include <cstdint>
#include <vector>

#include "learner/drift/detector.hpp"

namespace p2p::learner {

/// In a window of the latest `window` values the `recent` newest are compared with the older ones
/// by the one-sided statistic of Kolmogorov and Smirnov: drift when
///
///     max_v (F_older(v) - F_newest(v)) > sqrt(ln(1/alpha) / 2 (1/n_older + 1/n_newest))
///
/// that is, when the newest are larger by more than chance allows in one test.
///
/// Reference: Raab, Heusinger, Schleif, "Reactive Soft Prototype Computing for Concept Drift
/// Streams", Neurocomputing 416, 2020. Deviations: one-sided; all older values are compared, where
/// the paper draws as many of them as are newest by chance (the same level, more power, no
/// generator). `alpha` is the chance of one test and there is a test for every value: 0.005, the
/// usual default, rings 8 times in 10,000 stable values. On 0/1 values, which are nearly all ties,
/// the test is blunt: it rings seldom and misses small rises.
///
/// Bounds: 8 bytes per value of the window. Cost: O(window) a value.
class Kswin final : public DriftDetector {
 public:
  struct Options {
    std::uint32_t window = 100;
    std::uint32_t recent = 30;  ///< < window
    double alpha = 0.005;
    double warning = 5;  ///< a warning has so many times the chance
  };
  Kswin() : Kswin(Options{}) {}
  explicit Kswin(const Options& options);

  DriftLevel update(double value) override;
  std::size_t width() const override { return used_; }
  double mean() const override;
  void reset() override;
  std::unique_ptr<DriftDetector> clone() const override;
  void encode(ByteWriter& out) const override;
  Result<void> decode(ByteReader& in) override;
  std::size_t bytes() const override;

 private:
  float back(std::uint32_t age) const;
  void push(float value);
  double statistic() const;

  Options options_;
  double drift_, warning_;                    ///< critical values
  std::vector<float> ring_, older_, newest_;  ///< the last two sorted
  std::uint32_t next_ = 0, used_ = 0;
};

}  // namespace p2p::learner

// Cartel's detector: the error of the latest batch against the window of batches before it.
#pragma once

#include <cstdint>
#include <vector>

#include "learner/drift/detector.hpp"

namespace p2p::learner {

/// With e the mean of the latest `batch` values and m the mean over the reference before them
/// (between `minimum_batches` and `reference_batches` batches), drift is
///
///     e > m + permitted_loss   and   P(at least this many errors | reference) < chance
///
/// The first half is the paper's. Alone it alarms by chance where the error is not small: with
/// batches of 35 and an error of 0.25 a loss of 0.2 is 2.7 standard deviations. The second half is
/// the posterior predictive tail of a beta-binomial: it takes the size of batch and reference into
/// account and makes the rate of false alarms the same at every level of error. `chance` = 1 gives
/// the paper's test.
///
/// Reference: Daga et al., "Cartel: A System for Collaborative Transfer Learning at the Edge", SoCC
/// 2019.
///
/// Deviations: the second half; and `stride`: the batch may slide, so that a change need not wait
/// for the end of a batch (stride = batch is the paper's). For a test per class, one of these per
/// class sees the values of its samples (DriftMonitor).
///
/// Bounds: 4 bytes for each `stride` values of reference and batch. Cost: O(1) a value, O(batch) a
/// test that finds a loss.
class ThresholdTest final : public DriftDetector {
 public:
  struct Options {
    std::uint32_t batch = 35;
    std::uint32_t stride = 35;             ///< divides batch; a test every so many values
    std::uint32_t reference_batches = 10;  ///< W
    std::uint32_t minimum_batches = 3;     ///< W_min
    double permitted_loss = 0.2;           ///< L in [0, 1]
    double chance = 1;                     ///< of a false alarm in one test
    double warning_factor = 100;  ///< a warning has `factor` times the chance, and half of L
  };
  explicit ThresholdTest(const Options& options);

  DriftLevel update(double value) override;
  /// Reference and latest batch; right after a drift, the batch that gave it away.
  std::size_t width() const override;
  double mean() const override;
  void reset() override;
  std::unique_ptr<DriftDetector> clone() const override;
  void encode(ByteWriter& out) const override;
  Result<void> decode(ByteReader& in) override;
  std::size_t bytes() const override { return sizeof *this + chunks_.capacity() * sizeof(float); }

 private:
  DriftLevel test() const;

  Options options_;
  std::vector<float> chunks_;  ///< sums of `stride` values each; a ring of reference and batch
  std::size_t next_ = 0, used_ = 0;
  double batch_sum_ = 0, reference_sum_ = 0;
  double open_sum_ = 0;  ///< of the chunk that is not yet full
  std::uint32_t open_ = 0;
  /// Values thought to follow the latest drift, until a new reference exists, and their sum.
  std::uint32_t after_ = 0;
  double after_sum_ = 0;
};

/// P(X >= k) for X ~ beta-binomial(n, a, b): k errors or more in n, when a - 1 errors and b - 1
/// hits were seen.
double beta_binomial_tail(std::uint32_t n, std::uint32_t k, double a, double b);

}  // namespace p2p::learner

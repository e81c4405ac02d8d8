// A detector that needs no labels: has the mean embedding of the inputs moved?
#pragma once

#include <cstdint>
#include <vector>

#include "learner/drift/detector.hpp"

namespace p2p::learner {

/// With phi(x) the task's random Fourier features, |E phi(x) - E phi(x')|^2 is (nearly) the squared
/// maximum mean discrepancy of the two distributions. The difference between the mean of the latest
/// values, m, and that of the reference, m0, is the direction in which they seem to have parted; it
/// is bet on before the next value is seen:
///
///     v = (m - m0) . (phi - m0) - 3 (1 - |m0|^2) / n0 - slack |m - m0|^2,
///     R <- (1 + R) (1 + b v),                                       drift when R >= run_length
///
/// While nothing has changed E v <= 0 (the second term covers that m0 is itself a mean of n0
/// values, the third that streams are not quite steady), so E R is at most the number of values and
/// a false alarm of an independent stream takes `run_length` values on average. After a change E v
/// is nearly the squared discrepancy. b is the bet that would have won most on the latest values,
/// so that no value can lose more than 0.9 of the stake.
///
/// As in ShiryaevRoberts values are held apart while there is evidence; width() then says since
/// when. After an alarm the latest ones are the new reference. There is no direction "worse"
/// without labels: any change of the inputs counts, one for the better too, so a node should take
/// it for a warning. Inputs that depend on those before them (seasons, runs) ring more often;
/// `stride` takes only every so manieth.
///
/// Reference: Gretton et al., "A Kernel Two-Sample Test", JMLR 13, 2012; Shekhar, Ramdas,
/// "Nonparametric Two-Sample Testing by Betting", IEEE Trans. Inform. Theory 2023; Shin, Ramdas,
/// Rinaldo, "E-detectors", 2023. Deviations: the papers bet with pairs of samples, which would ask
/// for old inputs to be kept; here the reference is a mean, and the first correction pays for its
/// error.
///
/// Values: vectors of `dimensions` numbers in [-1, 1] with |phi|^2 <= 2 (FourierBasis gives such).
/// Bounds: 24 bytes a dimension. Cost: O(dimensions) a value.
class EmbeddingTest final : public DriftDetector {
 public:
  struct Options {
    std::uint32_t dimensions = 1;
    double run_length = 1e6;
    double warning_length = 1e4;  ///< <= run_length
    double latest = 32;           ///< values that m averages over (it fades)
    double slack = 0.1;
    std::uint32_t minimum = 200;  ///< values in the reference before the first bet
    std::uint32_t most = 20000;   ///< values that the reference averages over at most (it fades)
    std::uint32_t stride = 1;
  };
  explicit EmbeddingTest(const Options& options);

  /// With one dimension.
  DriftLevel update(double value) override;
  DriftLevel update_vector(std::span<const float> values) override;
  std::size_t arity() const override { return options_.dimensions; }
  std::size_t width() const override {
    return static_cast<std::size_t>(passed_ + reference_n_ + held_n_);
  }
  /// The latest |m - m0|^2: an estimate of the squared discrepancy, and what chance adds to it.
  double mean() const override { return apart_; }
  void reset() override;
  std::unique_ptr<DriftDetector> clone() const override;
  void encode(ByteWriter& out) const override;
  Result<void> decode(ByteReader& in) override;
  std::size_t bytes() const override { return sizeof *this + values_.capacity() * sizeof(double); }

 private:
  std::span<double> part(std::size_t index);
  void commit();
  void restart();

  Options options_;
  std::vector<double> values_;  ///< reference mean, mean of the latest, sum of those held apart
  double reference_n_ = 0, held_n_ = 0;
  double passed_ = 0;  ///< since the latest change, but not in the reference
  std::uint32_t skipped_ = 0;
  double gain_ = 0, gain_squares_ = 0;  ///< fading means of v and v^2
  double evidence_ = 0, page_ = 1;
  double apart_ = 0;
};

}  // namespace p2p::learner

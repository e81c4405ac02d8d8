// DDM, EDDM and RDDM: control charts on the error rate or on the distance between errors.
#pragma once

#include <cstdint>
#include <vector>

#include "learner/drift/detector.hpp"

namespace p2p::learner {

/// The running mean p of the values and its deviation s = sqrt(p (1 - p) / n) are compared with
/// what they were when p + s was lowest: a warning beyond p_min + warning s_min, drift beyond p_min
/// + drift s_min.
///
/// Reference: Gama, Medas, Castillo, Rodrigues, "Learning with Drift Detection", SBIA 2004.
/// Deviations: before the first error there is no minimum (with p_min = s_min = 0 the first one
/// rang). For values between 0 and 1, p (1 - p) is only a bound on the variance. Good for abrupt
/// changes soon after a start; after long stable times the mean is slow to move (RDDM mends that).
///
/// Bounds: 5 numbers. Cost: O(1), a root a value.
class Ddm final : public DriftDetector {
 public:
  struct Options {
    std::uint32_t minimum = 30;  ///< values before anything is said
    double warning = 2;          ///< in standard deviations
    double drift = 3;
  };
  Ddm() : Ddm(Options{}) {}
  explicit Ddm(const Options& options);

  DriftLevel update(double value) override;
  std::size_t width() const override { return static_cast<std::size_t>(n_); }
  double mean() const override { return p_; }
  void reset() override;
  std::unique_ptr<DriftDetector> clone() const override;
  void encode(ByteWriter& out) const override;
  Result<void> decode(ByteReader& in) override;
  std::size_t bytes() const override { return sizeof *this; }

 private:
  Options options_;
  std::uint64_t n_ = 0;
  double p_ = 0, p_min_ = 1, s_min_ = 1;
};

/// The mean distance between errors, p', and its deviation s': they are largest while the learner
/// is at its best. A warning when (p' + 2 s') / (p'_max + 2 s'_max) < warning, drift when it is <
/// drift.
///
/// Reference: Baena-Garcia et al., "Early Drift Detection Method", ECML PKDD workshop 2006.
/// Deviations: a value is an error when it is at least 1/2. An alarm also asks that the mean
/// distance is smaller than it was at the maximum: an improvement inflates s', which then falls and
/// rang the alarm. Rings often on stable streams (its thresholds do not know how many errors there
/// were); sensitive to slow changes.
///
/// Bounds: 7 numbers. Cost: O(1), a root an error.
class Eddm final : public DriftDetector {
 public:
  struct Options {
    std::uint32_t minimum_errors = 30;
    double warning = 0.95;  ///< shares of the best
    double drift = 0.9;     ///< <= warning
  };
  Eddm() : Eddm(Options{}) {}
  explicit Eddm(const Options& options);

  DriftLevel update(double value) override;
  std::size_t width() const override { return static_cast<std::size_t>(n_); }
  double mean() const override;
  void reset() override;
  std::unique_ptr<DriftDetector> clone() const override;
  void encode(ByteWriter& out) const override;
  Result<void> decode(ByteReader& in) override;
  std::size_t bytes() const override { return sizeof *this; }

 private:
  Options options_;
  std::uint64_t n_ = 0, last_ = 0, errors_ = 0;
  double distance_ = 0, squares_ = 0;  ///< mean, and sum of squared deviations (Welford)
  double best_ = 0, best_distance_ = 0;
};

/// DDM that does not grow deaf: a concept longer than `most` values is measured anew over its
/// latest `keep` values; after a drift the values since the warning are the new concept; a warning
/// that lasts `warning_limit` values is a drift.
///
/// Reference: Barros, Cabral, Goncalves, Santos, "RDDM: Reactive drift detection method", Expert
/// Systems with Applications 90, 2017. Deviations: a value is an error when it is at least 1/2, so
/// that `keep` values take one bit each; no minimum before the first error, as in Ddm.
///
/// Bounds: keep / 8 bytes and a few numbers. Cost: O(1), a root a value; O(keep) at a drift and
/// once every `most` - `keep` values of a stable concept.
class Rddm final : public DriftDetector {
 public:
  struct Options {
    std::uint32_t minimum = 129;
    double warning = 1.773, drift = 2.258;
    std::uint32_t most = 40000, keep = 7000;  ///< keep <= most / 2
    std::uint32_t warning_limit = 1400;
  };
  Rddm() : Rddm(Options{}) {}
  explicit Rddm(const Options& options);

  DriftLevel update(double value) override;
  std::size_t width() const override { return n_; }
  double mean() const override { return p_; }
  void reset() override;
  std::unique_ptr<DriftDetector> clone() const override;
  void encode(ByteWriter& out) const override;
  Result<void> decode(ByteReader& in) override;
  std::size_t bytes() const override { return sizeof *this + bits_.capacity(); }

 private:
  bool bit(std::uint32_t age) const;
  void forget();
  /// The statistics over the latest `count` values.
  void measure(std::uint32_t count);
  double deviation() const;

  Options options_;
  std::vector<std::uint8_t> bits_;  ///< ring of `keep` errors
  std::uint32_t next_ = 0, kept_ = 0;
  std::uint32_t n_ = 0;
  std::uint32_t warned_ = 0;  ///< values since the present warning began, that one included
  double p_ = 0, p_min_ = 1, s_min_ = 1;
};

}  // namespace p2p::learner

// What a node's experience looks like, in a few hundred bytes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "metadata/base/bytes.hpp"
#include "metadata/base/error.hpp"

namespace p2p::metadata {

/// The joint kernel mean embedding of labelled experience, M[:,c] = (1/n) sum_{i: y_i = c} phi(x_i), quantised
/// to int8, with decayed counts and accuracies per class.
///
/// Column norms carry the class priors, the sum over c is the marginal embedding, and |M - M'| is the (biased)
/// maximum mean discrepancy between joint distributions with a delta kernel on the labels.
///
/// Reference: Smola, Gretton, Song, Schoelkopf, "A Hilbert Space Embedding for Distributions", ALT 2007;
/// Gretton et al., "A Kernel Two-Sample Test", JMLR 2012.
/// Deviations: exponential decay instead of a flat window; int8 with one scale per class.
struct Fingerprint {
  std::uint32_t dimensions = 0;  ///< D, 1 .. kMaxDimensions
  std::uint32_t classes = 0;     ///< K
  std::vector<std::int8_t> joint;    ///< (D x K), column-major: class after class
  std::vector<float> scale;          ///< (K x 1): M[d,c] = joint[c*D+d] * scale[c]
  std::vector<float> count;          ///< (K x 1): decayed number of samples
  std::vector<float> accuracy;       ///< (K x 1): decayed prequential recall, 0 .. 1

  static constexpr std::uint32_t kMaxDimensions = 256;

  bool operator==(const Fingerprint&) const = default;

  /// Decayed number of all samples.
  double samples() const;
  /// Count-weighted mean of the class accuracies.
  double overall_accuracy() const;
  /// Class c's share of the samples.
  double prior(std::size_t c) const;
  /// M[:,c], dequantised, out: (D x 1).
  void column(std::size_t c, std::span<float> out) const;
};

/// Accumulates experience; one sample costs O(D) amortised.
class FingerprintBuilder {
 public:
  struct Options {
    std::uint32_t dimensions = 0;
    std::uint32_t classes = 0;
    double half_life = 500;  ///< samples until an old one counts half; 0: never forgets
  };
  explicit FingerprintBuilder(const Options& options);
  /// One that holds what `so_far` says and goes on from there: what it builds is `so_far` again, to the rounding of its
  /// scales. `so_far` has the options' dimensions and classes.
  FingerprintBuilder(const Options& options, const Fingerprint& so_far);

  /// phi: (D x 1) with entries of order sqrt(2/D).
  void add(std::span<const float> phi, std::int32_t label, bool correct);
  double samples() const;
  Fingerprint build() const;
  void clear();

 private:
  Options options_;
  double growth_ = 1;   // each new sample weighs this much more than the one before it
  double weight_ = 1;   // weight of the next sample; renormalised before it grows large
  std::vector<double> sum_;      // (D x K)
  std::vector<double> count_, correct_;
};

/// Canonical msgpack form (FORMAT.md).
Bytes encode(const Fingerprint& fingerprint);
/// Bounded: at most `max_classes` columns; refuses NaN, infinities, negative counts, accuracies outside [0, 1].
Result<Fingerprint> decode_fingerprint(ByteView bytes, std::uint32_t max_classes);

}  // namespace p2p::metadata

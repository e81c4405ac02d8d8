// One interface for every test that watches a stream, and a factory by name.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "metadata/base/bytes.hpp"
#include "metadata/base/error.hpp"

namespace p2p::learner {

/// What a detector thinks of its stream now. A warning may prefetch; only drift acts.
enum class DriftLevel { stable, warning, drift };

/// Watches one stream of values in [0, 1], usually 0/1 losses, for an increase of its mean. (Two
/// detectors look at something else and say so: "labels" takes class indices, "embedding" takes
/// vectors.)
///
/// Bounds: the size is fixed when it is made; update() allocates nothing.
/// Errors: only decode() meets bytes from outside, and only it can fail.
class DriftDetector {
 public:
  virtual ~DriftDetector() = default;
  /// Takes the next value. Returns drift at most once per change; the detector then starts anew.
  virtual DriftLevel update(double value) = 0;
  /// The same for a detector whose values are vectors; `values` has arity() elements.
  virtual DriftLevel update_vector(std::span<const float> values);
  /// How many numbers one value has.
  virtual std::size_t arity() const { return 1; }
  /// How many of the latest values belong to the present concept, by this detector's own estimate.
  virtual std::size_t width() const = 0;
  /// Mean over these (of an "embedding": the latest evidence per value; of "labels": the commonest
  /// share).
  virtual double mean() const = 0;
  virtual void reset() = 0;
  virtual std::unique_ptr<DriftDetector> clone() const = 0;

  /// The state without the options, appended. A detector made with the same options that decodes it
  /// goes on bit-identically.
  virtual void encode(ByteWriter& out) const = 0;
  /// Reads what encode() wrote. `malformed` when it is short or contradicts itself; the detector is
  /// then as after reset(). Takes no memory that the bytes ask for.
  virtual Result<void> decode(ByteReader& in) = 0;
  /// Memory held, in bytes.
  virtual std::size_t bytes() const = 0;
};

/// Names that make_detector() knows.
std::span<const std::string_view> detectors();

/// A fresh detector; parameters that are not named have their published defaults.
/// `invalid_argument` names what cannot be: a detector or a parameter that is not known, a number
/// out of its range.
Result<std::unique_ptr<DriftDetector>> make_detector(
    std::string_view name, const std::map<std::string, double>& params = {});

}  // namespace p2p::learner

// One interface for every test that watches a stream of losses.
#pragma once

#include <cstddef>
#include <memory>

namespace p2p::learner {

/// What a detector thinks of its stream now. A warning may prefetch; only drift acts.
enum class DriftLevel { stable, warning, drift };

/// Watches one stream of values in [0, 1], usually 0/1 losses, for an increase of its mean.
class DriftDetector {
 public:
  virtual ~DriftDetector() = default;
  /// Takes the next value. Returns drift at most once per change; the detector then starts anew.
  virtual DriftLevel update(double value) = 0;
  /// How many of the latest values belong to the present concept, by this detector's own estimate.
  virtual std::size_t width() const = 0;
  /// Mean over these.
  virtual double mean() const = 0;
  virtual void reset() = 0;
  virtual std::unique_ptr<DriftDetector> clone() const = 0;
};

}  // namespace p2p::learner

// Who has seen what is needed, though among much else? Told from a sketch.
#pragma once

#include <array>
#include <vector>

#include "metadata/index.hpp"
#include "metadata/similarity.hpp"

namespace p2p::metadata {

/// Looks for the needed classes within sketches.
///
/// Distances between sketches find whoever has seen the same classes in the same shares. The best helper is often somebody
/// who has seen them, and others besides: his distance is large. But a sketch is linear. So each needed class is sketched by
/// itself, s_c, and another's sketch s is explained by them:
///
///   x = argmin |s - sum_c x_c s_c|^2, negative ones set to 0;  x_c: about what share class c, as the need sees it, has there
///   cover = |s - sum_c x_c s_c|  -  sum_c w_c x_c / (x_c + 0.1),   w_c: the need's own shares
///
/// Lower is better; about -1 .. 1. Which fingerprints to fetch is all that it decides (those tell more), and only for a part
/// of them: by cover alone the nearest would be missed. What it is worth prints tests/directory/bench_index mode=best.
///
/// Bounds: the kMostClasses classes with the largest shares.
class Cover {
 public:
  static constexpr std::size_t kMostClasses = 8;

  /// Of a need without experience every cover is 0.
  Cover(const Sketcher& sketcher, const Need& need);
  double operator()(const Outline& outline) const;

 private:
  std::vector<double> weight_;      // (classes)
  std::vector<OutlineCoordinates> class_;  // s_c
  std::vector<OutlineCoordinates> solver_; // (classes x coordinates): x = solver * s
};

}  // namespace p2p::metadata

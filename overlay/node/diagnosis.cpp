#include "overlay/node/diagnosis.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "metadata/similarity.hpp"

namespace p2p::node {
namespace {

using metadata::Fingerprint;

constexpr double kFewestAfter = 8;       // samples, before anything is said
constexpr double kConditionalsMoved = 1.5;  // ratio to what chance shows
constexpr double kMarginalMoved = 1.15;
constexpr double kMixMoved = 3;
constexpr float kSeenAfter = 2, kSeenBefore = 5;  // samples of a class that a comparison needs
constexpr float kKnownBefore = 20;       // and that make it one that the model had a chance to learn
constexpr double kGrown = 0.2;           // share of the new samples that hardly known classes must have

/// |mean of phi in class c|^2.
double squared_mean(const Fingerprint& f, std::size_t c) {
  double sum = 0;
  for (std::size_t d = 0; d < f.dimensions; ++d) {
    const double v = static_cast<double>(f.joint[c * f.dimensions + d]) * f.scale[c];
    sum += v * v;
  }
  const double prior = f.prior(c);
  return prior > 0 ? sum / (prior * prior) : 0;
}

/// How far the class-conditional means moved, in units of what chance shows; 0: no class can be compared.
double conditionals_moved(const Fingerprint& before, const Fingerprint& after) {
  double moved = 0, chance = 0;
  for (std::size_t c = 0; c < before.classes; ++c) {
    if (after.count[c] < kSeenAfter || before.count[c] < kSeenBefore) continue;
    const double distance = metadata::class_distance(before, after, c);
    moved += after.count[c] * distance * distance;
    chance += after.count[c] * (1.0 / before.count[c] + 1.0 / after.count[c]) *
              std::max(0.05, 1 - squared_mean(before, c));
  }
  return chance > 0 ? moved / chance : 0;
}

}  // namespace

std::string_view name(DriftKind kind) {
  switch (kind) {
    case DriftKind::unclear:
      return "unclear";
    case DriftKind::new_class:
      return "new_class";
    case DriftKind::grown_classes:
      return "grown_classes";
    case DriftKind::changed_classes:
      return "changed_classes";
    case DriftKind::changed_inputs:
      return "changed_inputs";
    case DriftKind::changed_mix:
      return "changed_mix";
  }
  return "unknown";
}

Diagnosis diagnose(const Fingerprint& before, const Fingerprint& after, learner::DriftCause cause) {
  if (cause == learner::DriftCause::new_class) return {DriftKind::new_class, {}};
  const double n = after.samples(), n0 = before.samples();
  if (n < kFewestAfter || !(n0 > 0)) return {};
  if (conditionals_moved(before, after) > kConditionalsMoved) {
    const double marginal = metadata::marginal_distance(before, after);
    // Two marginals of one distribution are no further apart than two joint embeddings of it.
    const bool inputs = marginal > kMarginalMoved * metadata::same_distance(before, after);
    return {inputs ? DriftKind::changed_inputs : DriftKind::changed_classes, {}};
  }
  std::size_t present = 0;
  double hardly_known = 0;
  Diagnosis grown{DriftKind::grown_classes, {}};
  for (std::size_t c = 0; c < before.classes; ++c) {
    present += before.count[c] > 0 || after.count[c] > 0;
    if (after.count[c] < kSeenAfter || before.count[c] >= kKnownBefore) continue;
    hardly_known += after.count[c];
    grown.classes.push_back(static_cast<learner::ClassIndex>(c));
  }
  if (hardly_known >= kGrown * n) return grown;
  const double by_chance =
      static_cast<double>(std::max<std::size_t>(2, present) - 1) * (1 / n + 1 / n0) / (8 * std::numbers::ln2);
  if (metadata::prior_divergence(before, after) > kMixMoved * by_chance) return {DriftKind::changed_mix, {}};
  return {};
}

}  // namespace p2p::node

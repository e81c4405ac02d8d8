// How candidates are compared, whichever directory found them.
#include "overlay/directory/directory.hpp"

namespace p2p::directory {

double listed_recall(const metadata::Entry& entry, const metadata::Need& need) {
  double sum = 0;
  std::size_t count = 0;
  const auto add = [&](std::int32_t c) {
    sum += entry.listed_recall(c);
    ++count;
  };
  if (!need.classes.empty()) {
    for (const auto c : need.classes) add(c);
  } else {
    for (std::size_t c = 0; c < need.experience.count.size(); ++c) {
      if (need.experience.count[c] > 0) add(static_cast<std::int32_t>(c));
    }
  }
  return count > 0 ? sum / static_cast<double>(count) : 0.0;
}

double rank(const Candidate& candidate, const metadata::Need& need) {
  if (need.by == metadata::By::marginal) return candidate.distance;  // without labels nothing is known of classes
  const bool compared = candidate.fingerprint && need.by == metadata::By::joint && need.experience.samples() > 0;
  return compared ? -metadata::expected_accuracy(need, *candidate.fingerprint)
                  : candidate.distance - candidate.needed_recall;
}

}  // namespace p2p::directory

#include "tools/demo_cmd/recovery.hpp"

#include <algorithm>

namespace p2p::tools {

std::optional<double> accuracy(const Hits& hits, std::uint64_t from, std::uint64_t to) {
  to = std::min<std::uint64_t>(to, hits.size());
  if (from >= to) return std::nullopt;
  std::uint64_t right = 0;
  for (std::uint64_t i = from; i < to; ++i) right += hits[i];
  return static_cast<double>(right) / static_cast<double>(to - from);
}

std::optional<double> recovery_level(const Hits& twin, std::uint64_t at, std::uint64_t until) {
  until = std::min<std::uint64_t>(until, twin.size());
  if (at < kSteadyWindow || until < at + 2 * kRecoveryWindow + kSteadyWindow) return std::nullopt;
  const double steady = *accuracy(twin, until - kSteadyWindow, until);
  const double before = *accuracy(twin, at - kSteadyWindow, at);
  return std::min(steady - 0.03, before - 0.05);
}

std::optional<std::uint64_t> samples_to_recover(const Hits& hits, std::uint64_t at,
                                                std::uint64_t until, double level) {
  until = std::min<std::uint64_t>(until, hits.size());
  for (std::uint64_t k = at; k + 2 * kRecoveryWindow <= until; ++k) {
    const std::uint64_t middle = k + kRecoveryWindow;
    if (*accuracy(hits, k, middle) >= level &&
        *accuracy(hits, middle, middle + kRecoveryWindow) >= level - 0.05) {
      return k - at;
    }
  }
  return std::nullopt;
}

Censored speed_up(const RecoveryPair& pair) {
  if (!pair.node && !pair.twin) return {1, false};
  if (!pair.twin) return {0, true};
  if (!pair.node) return {0, false};
  return {static_cast<double>(std::max(*pair.twin, kRatioFloor)) /
              static_cast<double>(std::max(*pair.node, kRatioFloor)),
          false};
}

std::optional<Censored> median(std::vector<Censored> values) {
  if (values.empty()) return std::nullopt;
  std::sort(values.begin(), values.end(), [](const Censored& a, const Censored& b) {
    return a.beyond != b.beyond ? b.beyond : a.value < b.value;
  });
  const Censored& high = values[values.size() / 2];
  const Censored& low = values[(values.size() - 1) / 2];
  if (high.beyond || low.beyond) return Censored{0, true};
  return Censored{(low.value + high.value) / 2, false};
}

std::optional<double> median(std::vector<double> values) {
  std::vector<Censored> all;
  all.reserve(values.size());
  for (const double v : values) all.push_back({v, false});
  const std::optional<Censored> middle = median(std::move(all));
  if (!middle) return std::nullopt;
  return middle->value;
}

}  // namespace p2p::tools

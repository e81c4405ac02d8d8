#include "overlay/geo/mirror_clock.hpp"

#include <algorithm>

namespace p2p::geo {

namespace {
const auto by_clock = [](const auto& a, const auto& b) { return a.second < b.second; };
}

std::optional<MirrorClock::Wait> MirrorClock::waits_for(std::uint64_t own) const {
  const auto slowest = std::min_element(clocks_.begin(), clocks_.end(), by_clock);
  if (slowest == clocks_.end() || slowest->second + bound_ >= own) return std::nullopt;
  return Wait{slowest->first, slowest->second};
}

std::uint64_t MirrorClock::staleness(std::uint64_t own) const {
  const auto slowest = std::min_element(clocks_.begin(), clocks_.end(), by_clock);
  return slowest == clocks_.end() || slowest->second >= own ? 0 : own - slowest->second;
}

std::optional<std::uint64_t> MirrorClock::behind(std::uint64_t own) const {
  const auto fastest = std::max_element(clocks_.begin(), clocks_.end(), by_clock);
  if (fastest == clocks_.end() || fastest->second <= own + bound_ + 1) return std::nullopt;
  return fastest->second - bound_;
}

}  // namespace p2p::geo

#include "overlay/net/key_quota.hpp"

#include <algorithm>

namespace p2p::net {

namespace {

bool is_loopback(std::uint32_t address) { return address >> 24 == 127; }

}  // namespace

bool KeyQuota::admit(const metadata::DhtKey& key, std::uint64_t id, std::uint32_t address, Clock::time_point now) {
  auto found = held_.find(key);
  if (found == held_.end()) {
    if (held_.size() >= options_.keys) make_room();
    found = held_.emplace(key, std::vector<Held>{}).first;
  }
  auto& held = found->second;
  std::erase_if(held, [&](const Held& h) { return h.until <= now; });
  const auto mine = std::find_if(held.begin(), held.end(), [&](const Held& h) { return h.id == id; });
  if (mine != held.end()) {
    mine->until = now + options_.life;
    return true;
  }
  const auto from_there = static_cast<std::size_t>(
      std::count_if(held.begin(), held.end(), [&](const Held& h) { return h.address == address; }));
  if (held.size() >= options_.per_key || (!is_loopback(address) && from_there >= options_.per_address)) return false;
  held.push_back({id, address, now + options_.life});
  return true;
}

void KeyQuota::make_room() {
  const auto last_of = [](const auto& entry) {
    Clock::time_point last = Clock::time_point::min();
    for (const auto& h : entry.second) last = std::max(last, h.until);
    return last;
  };
  held_.erase(std::min_element(held_.begin(), held_.end(),
                               [&](const auto& a, const auto& b) { return last_of(a) < last_of(b); }));
}

}  // namespace p2p::net

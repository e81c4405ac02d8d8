#include "overlay/geo/selective_barrier.hpp"

#include <algorithm>

namespace p2p::geo {

SelectiveBarrier::Ticket SelectiveBarrier::announce(const NodeId& site, std::vector<std::uint32_t> indices) {
  for (const auto index : indices) {
    P2P_ASSERT(index < barred_by_.size());
    ++barred_by_[index];
  }
  open_[next_] = {site, false, std::move(indices)};
  return next_++;
}

SelectiveBarrier::Ticket SelectiveBarrier::announce_all(const NodeId& site) {
  open_[next_] = {site, true, {}};
  ++open_all_;
  return next_++;
}

void SelectiveBarrier::release(Ticket ticket) {
  const auto found = open_.find(ticket);
  P2P_ASSERT(found != open_.end());
  for (const auto index : found->second.indices) --barred_by_[index];
  if (found->second.all) --open_all_;
  open_.erase(found);
}

std::optional<SelectiveBarrier::Barred> SelectiveBarrier::barred(std::span<const std::uint32_t> indices) const {
  for (const auto index : indices) {
    P2P_ASSERT(index < barred_by_.size());
    if (barred_by_[index] == 0 && open_all_ == 0) continue;
    for (const auto& [ticket, announced] : open_) {
      if (announced.all || std::binary_search(announced.indices.begin(), announced.indices.end(), index)) {
        return Barred{index, announced.site};
      }
    }
  }
  return std::nullopt;
}

std::optional<SelectiveBarrier::Barred> SelectiveBarrier::barred_any() const {
  for (const auto& [ticket, announced] : open_) {
    if (announced.all) return Barred{0, announced.site};
    if (!announced.indices.empty()) return Barred{announced.indices.front(), announced.site};
  }
  return std::nullopt;
}

}  // namespace p2p::geo

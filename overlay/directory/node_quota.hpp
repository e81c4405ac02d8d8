// Of one node no more presences are taken than it may show, however many it has made up.
#pragma once

#include <cstdint>
#include <map>

#include "metadata/record.hpp"

namespace p2p::directory {

/// Counts the presences of each node among what is read. Who has had its share is told by looking at a listing, before a
/// signature is checked; only what was checked counts, so nobody can use up the share of another.
class NodeQuota {
 public:
  static constexpr std::size_t kMost = 1 + metadata::kMostArchived;
  /// Of a listing that nobody has checked yet.
  bool used_up(ByteView listing) const {
    if (full_ == 0) return false;
    const auto unpacked = metadata::unpack_listing(listing);
    if (!unpacked) return false;
    const auto entry = metadata::peek_entry(unpacked->entry);
    if (!entry) return false;
    const auto found = counts_.find(entry->node);
    return found != counts_.end() && found->second >= kMost;
  }
  /// One more, verified; false: that is too many.
  bool take(const metadata::NodeId& node) {
    std::size_t& count = counts_[node];
    if (count >= kMost) return false;
    if (++count == kMost) ++full_;
    return true;
  }

 private:
  std::map<metadata::NodeId, std::size_t> counts_;
  std::size_t full_ = 0;
};

}  // namespace p2p::directory

// How far a site may run ahead of the others: Gaia's mirror clock.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "metadata/crypto.hpp"

namespace p2p::geo {

using metadata::NodeId;

/// The clocks of the other sites as far as they are known here, and the bound DS on being ahead of the slowest.
///
/// A site that has finished `own` clocks may read while every other has announced at least own - DS. DS = 0 is
/// bulk synchronous. With everybody keeping to this, a site that is heard to be more than DS + 1 ahead of us can
/// only have come back from a time alone: then we have to follow, see behind().
class MirrorClock {
 public:
  explicit MirrorClock(std::uint64_t bound) : bound_(bound) {}

  /// `site` counts from now on, and has finished `clock`.
  void set(const NodeId& site, std::uint64_t clock) { clocks_[site] = clock; }
  void drop(const NodeId& site) { clocks_.erase(site); }

  struct Wait {
    NodeId site;  ///< the slowest
    std::uint64_t clock = 0;
  };
  /// Whom a site at `own` must wait for before it reads.
  std::optional<Wait> waits_for(std::uint64_t own) const;
  /// How old the oldest of the others' news is at `own`, in clocks.
  std::uint64_t staleness(std::uint64_t own) const;
  /// The clock that a site at `own` must skip to, if another has come back from far ahead.
  std::optional<std::uint64_t> behind(std::uint64_t own) const;
  std::uint64_t bound() const { return bound_; }

 private:
  std::uint64_t bound_;
  std::map<NodeId, std::uint64_t> clocks_;
};

}  // namespace p2p::geo

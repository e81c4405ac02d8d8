// Parameters whose new values are known to be on their way, and must not be read before they are here.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "metadata/crypto.hpp"

namespace p2p::geo {

using metadata::NodeId;

/// Gaia's selective barrier: an announcement bars reads of just the parameters that it names.
///
/// Several announcements may name one parameter; it can be read when all of their values have come or been given
/// up. A barrier per site and vector; it knows neither clocks nor bytes.
class SelectiveBarrier {
 public:
  using Ticket = std::uint64_t;
  explicit SelectiveBarrier(std::uint32_t dimension) : barred_by_(dimension, 0) {}

  /// `indices` ascending; waits for `site`.
  Ticket announce(const NodeId& site, std::vector<std::uint32_t> indices);
  /// The whole vector.
  Ticket announce_all(const NodeId& site);
  /// The values came, or never will.
  void release(Ticket ticket);

  struct Barred {
    std::uint32_t index = 0;
    NodeId site;  ///< whose values are awaited
  };
  /// The first of `indices` that must not be read; nothing: all may.
  std::optional<Barred> barred(std::span<const std::uint32_t> indices) const;
  std::optional<Barred> barred_any() const;

 private:
  struct Announcement {
    NodeId site;
    bool all = false;
    std::vector<std::uint32_t> indices;
  };
  std::vector<std::uint32_t> barred_by_;  ///< announcements that name it
  std::map<Ticket, Announcement> open_;
  std::size_t open_all_ = 0;
  Ticket next_ = 1;
};

}  // namespace p2p::geo

// What sites say to each other: frames on a link, and the one place that reads them.
#pragma once

#include <compare>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "metadata/crypto.hpp"
#include "overlay/geo/update_coding.hpp"

namespace p2p::geo {

using metadata::Hash;
using metadata::NodeId;

/// How much of an origin's stream of updates a sum contains. Streams of a later life of a site win.
struct Version {
  std::uint64_t incarnation = 0;
  std::uint64_t clock = 0;
  auto operator<=>(const Version&) const = default;
};

/// First on every link, in both directions.
struct Hello {
  Hash group;                       ///< which model is trained here
  std::uint32_t dimension = 0;
  std::uint32_t initial_crc = 0;    ///< of the initial values as they lie in memory
  std::vector<std::pair<NodeId, Version>> versions;  ///< what the sender has of every site, itself included
};
/// All states that the receiver lacked by its Hello are announced; from here on come increments.
struct Synced {};
/// Goes ahead of values. Also says that the origin has finished this clock.
struct Announce {
  std::optional<NodeId> relayed_origin;  ///< none: the sender's own updates
  bool absolute = false;                 ///< the values replace the origin's sum, all other parameters of it are 0
  Precision precision = Precision::fp32;
  Version version;
  std::vector<std::uint32_t> indices;
};
/// A piece of the values of the oldest announcement on this link that is not yet complete.
struct Values {
  Bytes bytes;
};
/// The sender goes on without `site`, of which it has `version`.
struct Lost {
  NodeId site;
  Version version;
};
struct Ping {};
using Frame = std::variant<Hello, Synced, Announce, Values, Lost, Ping>;

inline constexpr std::size_t kMaxSites = 64;
inline constexpr std::uint32_t kMaxDimension = 1u << 27;
inline constexpr std::size_t kValuesBytes = 8 * 1024;  ///< in one frame

/// Whole frames: u32 length of what follows, u8 kind, content.
Bytes encode_frame(const Frame& frame, std::uint32_t dimension);
/// One frame's kind and content. `malformed` for anything that encode_frame does not write; a Hello of another
/// protocol is `version`.
Result<Frame> decode_frame(ByteView body, std::uint32_t dimension);

/// Cuts a link's bytes into frames.
class FrameReader {
 public:
  explicit FrameReader(std::uint32_t dimension) : dimension_(dimension) {}
  void add(ByteView bytes) { buffer_.insert(buffer_.end(), bytes.begin(), bytes.end()); }
  /// The next frame's kind and content, valid until the next call; nothing: not all of it is here yet.
  /// `limit_exceeded` for one that is longer than any can be.
  Result<std::optional<ByteView>> next();

 private:
  std::uint32_t dimension_;
  Bytes buffer_;
  std::size_t used_ = 0;
};

}  // namespace p2p::geo

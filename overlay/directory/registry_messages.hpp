// What a node and its registry say to each other, and its bytes (README.md, "Registry").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "metadata/base/bytes.hpp"
#include "metadata/base/error.hpp"
#include "metadata/similarity.hpp"
#include "metadata/task.hpp"
#include "overlay/messages.hpp"

namespace p2p::directory::registry {

inline constexpr std::uint32_t kProtocolVersion = 2;
/// Longest frame in either direction: an entry and the largest description that fits a task's bounds, with room.
inline constexpr std::size_t kFrameBytes = 320 * 1024;
inline constexpr std::size_t kMaxWant = 64;       ///< nodes in one answer
inline constexpr std::size_t kMaxExcluded = 256;  ///< presences that a question rules out

/// What nearness is, at the registry.
enum class Similarity : std::uint8_t {
  embedding = 0,  ///< metadata::plain_distance: joint or marginal, as the need says
  priors = 1,     ///< Jensen-Shannon divergence of the classes' shares: Cartel as published
};

/// First in both directions. The kinds of its frames are none of the exchange's, so that an address that is no
/// registry's is noticed at once.
struct Greeting {
  std::uint32_t version = kProtocolVersion;
  std::uint32_t frame_bytes = kFrameBytes;  ///< longest frame that the sender takes
};
/// Both sealed, of one version.
struct Publish {
  Bytes entry, description;
};
struct Withdraw {
  metadata::TaskId task;
  std::optional<std::uint32_t> concept_id = {};  ///< one presence; none: all of the task's
};
/// A metadata::Need on its way.
struct Query {
  metadata::TaskId task;
  Similarity similarity = Similarity::embedding;
  metadata::By by = metadata::By::joint;
  std::vector<std::int32_t> classes;
  Bytes fingerprint;  ///< never empty: a need without experience has one of no samples
};
struct Lookup {
  Query query;
  std::uint32_t want = 0;  ///< 1 .. kMaxWant
  std::vector<metadata::NodeId> excluded;  ///< by what presences go by (metadata::presence_of)
};
/// A standing question; its number is the request's.
struct Watch {
  Query query;
  double within = 0;
};
struct Unwatch {
  std::uint64_t watch = 0;
};
/// Is the other end still there?
struct Ping {};

/// The request was done.
struct Done {};
struct Row {
  Bytes entry, description;  ///< sealed by the node that they describe
};
struct Found {
  std::uint64_t known = 0;  ///< nodes of the task
  bool more = false;        ///< there are other presences than these and the excluded ones
  std::vector<Row> rows;    ///< best first
};
/// A watch has seen this presence; the frame's id is the watch's.
struct Appeared {
  Row row;
};
struct Refused {
  enum class Why : std::uint8_t {
    busy = 0,         ///< ask again after `retry_ms`
    full = 1,         ///< no room for another node, task or watch
    bad_request = 2,  ///< it cannot be answered, ever
    untrusted = 3,    ///< a key, signature or time stamp does not fit
  };
  Why why = Why::busy;
  std::uint32_t retry_ms = 0;
  std::string text;
};

using Message = std::variant<Greeting, Publish, Withdraw, Lookup, Watch, Unwatch, Ping, Done, Found, Appeared, Refused,
                             overlay::Goodbye>;
struct Frame {
  std::uint64_t id = 0;
  Message message;
};

/// The frame's bytes with its length in front.
Bytes encode(const Frame& frame);
/// The bytes after the length. `malformed` or `limit_exceeded`; never more memory than in proportion to `body`.
Result<Frame> decode_frame(ByteView body);

bool is_request(const Message& message);

}  // namespace p2p::directory::registry

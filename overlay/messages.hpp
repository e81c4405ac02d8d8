// What peers say to each other, and its bytes (README.md, "Frames").
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "metadata/base/bytes.hpp"
#include "metadata/base/error.hpp"
#include "metadata/crypto.hpp"
#include "metadata/task.hpp"

namespace p2p::overlay {

inline constexpr std::uint32_t kProtocolVersion = 1;

/// The first frame in both directions: what this end speaks and takes.
struct Hello {
  std::uint32_t version = kProtocolVersion;
  metadata::NodeId to;             ///< the key that the sender has seen the receiver prove
  std::uint32_t frame_bytes = 0;   ///< longest frame that the sender takes
  std::uint32_t chunk_bytes = 0;   ///< most content that it sends in one answer
  std::uint32_t requests = 0;      ///< unanswered requests that it takes
};
struct DescribeRequest {
  metadata::TaskId task;
};
struct ManifestRequest {
  metadata::TaskId task;
  std::vector<std::int32_t> classes;  ///< empty: all
};
/// The manifest goes on after its first page.
struct PageRequest {
  std::uint64_t snapshot = 0;
  std::uint32_t first = 0;
};
struct ChunkRequest {
  std::uint64_t snapshot = 0;
  std::uint32_t block = 0;
  std::uint64_t offset = 0;
  std::uint32_t length = 0;  ///< the answer has exactly so many bytes
};
/// What a part was worth; not answered.
struct Feedback {
  metadata::TaskId task;
  double gain = 0;
};

/// A sealed description, or its beginning: the rest are chunks of block 0 of `snapshot`.
struct DescriptionAnswer {
  std::uint64_t snapshot = 0;  ///< 0: `bytes` is all of it
  std::uint64_t total = 0;
  Bytes bytes;
};
struct BlockLine {
  std::string name;
  std::vector<std::int32_t> classes;
  double evidence = 0;
  std::uint64_t size = 0;
  metadata::Hash hash;
  bool operator==(const BlockLine&) const = default;
};
struct ManifestAnswer {
  std::uint64_t snapshot = 0;
  std::string family;
  std::uint32_t total = 0;   ///< blocks in all
  std::uint32_t first = 0;   ///< number of lines[0]
  std::vector<BlockLine> lines;
};
struct ChunkAnswer {
  Bytes bytes;
};
/// No answer, and why.
struct Refusal {
  enum class Why : std::uint8_t {
    busy = 0,        ///< ask again after `retry_ms`
    not_served = 1,  ///< this task is not served here
    gone = 2,        ///< the snapshot is too old
    bad_request = 3,
    too_large = 4,   ///< the answer would pass a bound
  };
  Why why = Why::busy;
  std::uint32_t retry_ms = 0;
  std::string text;
};
/// The sender ends the link; why, for people.
struct Goodbye {
  std::string text;
};

using Message = std::variant<Hello, DescribeRequest, ManifestRequest, PageRequest, ChunkRequest, Feedback,
                             DescriptionAnswer, ManifestAnswer, ChunkAnswer, Refusal, Goodbye>;

/// A message and the request that it belongs to; 0: to none.
struct Frame {
  std::uint64_t id = 0;
  Message message;
};

inline constexpr std::size_t kMaxNameBytes = 256;     ///< of a block, a family, a reason
inline constexpr std::size_t kMaxClasses = 65536;     ///< in one list

/// A body with its length in front.
Bytes framed(ByteView body);
/// The frame's bytes with its length in front.
Bytes encode(const Frame& frame);
/// The bytes after the length. `malformed` or `limit_exceeded`; never more memory than in proportion to `body`.
Result<Frame> decode_frame(ByteView body);

/// About the bytes that a line takes in a page.
std::size_t line_bytes(const BlockLine& line);

/// Puts frames together again from a stream that is cut anywhere.
///
/// Bounds: keeps at most one frame of `frame_bytes`, and allocates as bytes come, not as lengths claim.
class FrameReader {
 public:
  explicit FrameReader(std::size_t frame_bytes) : frame_bytes_(frame_bytes) {}
  /// Calls `on_frame` with each complete body until it returns false. `limit_exceeded` when a length passes the
  /// bound, `malformed` for an empty frame; nothing is read after an error.
  Result<void> feed(ByteView bytes, const std::function<bool(ByteView)>& on_frame);
  /// A frame has begun and not ended.
  bool in_frame() const { return !buffer_.empty(); }

 private:
  std::size_t frame_bytes_;
  Bytes buffer_;  // of the frame that has begun, its length in front
};

}  // namespace p2p::overlay

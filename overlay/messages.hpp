// What peers say to each other, and its bytes (README.md, "Frames").
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "metadata/base/bytes.hpp"
#include "metadata/base/error.hpp"
#include "metadata/crypto.hpp"
#include "metadata/record.hpp"
#include "metadata/task.hpp"

namespace p2p::overlay {

inline constexpr std::uint32_t kProtocolVersion = 3;

/// Somebody who has some content, or soon will: where to ask, and which key he must prove.
struct Holder {
  metadata::NodeId id;
  metadata::Endpoint endpoint;
  bool operator==(const Holder&) const = default;
};

/// The first frame in both directions: what this end speaks and takes.
struct Hello {
  std::uint32_t version = kProtocolVersion;
  metadata::NodeId to;             ///< the key that the sender has seen the receiver prove
  std::uint32_t frame_bytes = 0;   ///< longest frame that the sender takes
  std::uint32_t chunk_bytes = 0;   ///< most content that it sends in one answer
  std::uint32_t requests = 0;      ///< unanswered requests that it takes
  metadata::Endpoint accepts;      ///< where others can link to it; port 0: nowhere
};
struct DescribeRequest {
  metadata::TaskId task;
};
/// Which part stands for these classes now? The answer is a name: everything else is asked for by its hash.
struct ManifestRequest {
  metadata::TaskId task;
  std::vector<std::int32_t> classes;  ///< empty: all
  std::uint32_t along = 0;            ///< the part's content may come with the answer, when all of it has at most so many bytes
};
/// Bytes of the content that has this hash: a block, a manifest, a description.
struct ChunkRequest {
  metadata::Hash hash;
  std::uint64_t offset = 0;
  std::uint32_t length = 0;  ///< the answer stands for exactly so many bytes
  std::optional<metadata::Hash> base = {};  ///< an older version, which the asker has
};
/// What a part was worth; not answered.
struct Feedback {
  metadata::TaskId task;
  double gain = 0;
};

/// Content by its hash and length, and its beginning. The rest are chunks.
struct DescriptionAnswer {
  metadata::Hash hash;
  std::uint64_t total = 0;
  Bytes bytes;
};
/// How a chunk travels: see ChunkCoder.
enum class Coding : std::uint8_t {
  plain = 0,
  packed = 1,      ///< a zstd frame
  patch = 2,       ///< a zstd frame, with the base around the chunk's place as its prefix
  difference = 3,  ///< a zstd frame of the chunk's bytes minus the base's at the same place, modulo 256
};
struct ChunkAnswer {
  Coding coding = Coding::plain;
  Bytes bytes;
  /// Instead of `bytes`: they lie elsewhere, in a snapshot or a received frame, and stay there while the message is dealt with.
  ByteView lent = {};
  ByteView content() const { return lent.empty() ? ByteView(bytes) : lent; }
};
struct ManifestAnswer {
  metadata::Hash hash;
  std::uint64_t total = 0;
  Bytes bytes;
  std::vector<Holder> holders;  ///< who has asked for the same lately and may be asked for its content
  std::vector<ChunkAnswer> along = {};  ///< each content of the part, whole, in the order of its first line; none: ask for it
};
/// No answer, and why.
struct Refusal {
  enum class Why : std::uint8_t {
    busy = 0,        ///< ask again after `retry_ms`
    not_served = 1,  ///< this task is not served here
    gone = 2,        ///< there is no such content here (any more)
    bad_request = 3,
    too_large = 4,   ///< the answer would pass a bound
    later = 5,       ///< content: it is on its way to here, or too much is to be sent; ask again, or `holders`
  };
  Why why = Why::busy;
  std::uint32_t retry_ms = 0;
  std::string text;
  std::vector<Holder> holders = {};  ///< who may have it meanwhile
};
/// The sender ends the link; why, for people.
struct Goodbye {
  enum class Why : std::uint8_t {
    ended = 0,
    no_room = 1,  ///< for this link, now: come again in a moment
  };
  std::string text;
  Why why = Why::ended;
};

using Message = std::variant<Hello, DescribeRequest, ManifestRequest, ChunkRequest, Feedback, DescriptionAnswer,
                             ManifestAnswer, ChunkAnswer, Refusal, Goodbye>;

/// A message and the request that it belongs to; 0: to none.
struct Frame {
  std::uint64_t id = 0;
  Message message;
};

inline constexpr std::size_t kMaxNameBytes = 256;     ///< of a block, a family, a reason
inline constexpr std::size_t kMaxClasses = 65536;     ///< in one list
inline constexpr std::size_t kMaxHolders = 8;         ///< in one message
inline constexpr std::size_t kMaxAlong = 256;         ///< contents in one message

/// A body with its length in front.
Bytes framed(ByteView body);
/// The frame's bytes with its length in front.
Bytes encode(const Frame& frame);
/// The frame's bytes up to its content, which ends it.
Bytes encode_head(std::uint64_t id, const ChunkAnswer& answer);
enum class Content { owned, lent };  ///< of a decoded frame that is a ChunkAnswer: `bytes`, or a view of `body`
/// The bytes after the length. `malformed` or `limit_exceeded`; never more memory than in proportion to `body`.
Result<Frame> decode_frame(ByteView body, Content content = Content::owned);

/// Puts frames together again from a stream that is cut anywhere.
///
/// Bounds: keeps at most one frame of `frame_bytes`, and allocates as bytes come, not as lengths claim: at most
/// kGrowth times what has come.
class FrameReader {
 public:
  explicit FrameReader(std::size_t frame_bytes) : frame_bytes_(frame_bytes) {}
  /// Calls `on_frame` with each complete body until it returns false. `limit_exceeded` when a length passes the
  /// bound, `malformed` for an empty frame; nothing is read after an error.
  Result<void> feed(ByteView bytes, const std::function<bool(ByteView)>& on_frame);
  /// A frame has begun and not ended.
  bool in_frame() const { return !buffer_.empty(); }

 private:
  static constexpr std::size_t kGrowth = 8;
  void append(ByteView bytes, std::size_t wanted);

  std::size_t frame_bytes_;
  Bytes buffer_;  // of the frame that has begun, its length in front
};

}  // namespace p2p::overlay

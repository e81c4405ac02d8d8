#include "overlay/messages.hpp"

#include "metadata/codec.hpp"
#include "metadata/task.hpp"
#include "overlay/fields.hpp"

namespace p2p::overlay {

namespace {

using metadata::Encoder;
using metadata::Value;

// The numbers on the wire. Requests below 16, answers below 32.
enum Kind : std::uint64_t {
  kHello = 0,
  kDescribe = 1,
  kManifest = 2,
  kChunk = 4,
  kFeedback = 5,
  kDescription = 17,
  kManifestHead = 18,
  kContent = 20,
  kRefusal = 30,
  kGoodbye = 31,
};

void put_length(Bytes& out, std::size_t length) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<std::uint8_t>(length >> shift));
}

void start(Encoder& out, std::uint32_t size, Kind kind, std::uint64_t id) {
  out.array(size).unsigned_integer(kind).unsigned_integer(id);
}

void put_holders(Encoder& out, const std::vector<Holder>& holders) {
  out.array(static_cast<std::uint32_t>(holders.size()));
  for (const auto& holder : holders) out.array(2).binary(holder.id.view()).text(holder.endpoint.text());
}

/// Addresses to which nobody can connect are left out: they are of no use, and no lie.
std::vector<Holder> read_holders(Fields& fields) {
  const Value list = fields.next();
  fields.require(list.kind() == Value::Kind::array && list.size() <= kMaxHolders);
  std::vector<Holder> out;
  for (std::size_t i = 0; i < std::min(list.size(), kMaxHolders); ++i) {
    const Value entry = list[i];
    Fields one(entry, 0);
    one.require(entry.kind() == Value::Kind::array);
    const auto id = one.fixed<metadata::NodeId>();
    const auto endpoint = metadata::parse_endpoint(one.text());
    fields.require(one.complete());
    if (endpoint && metadata::connectable(*endpoint)) out.push_back({id, *endpoint});
  }
  return out;
}

Coding read_coding(Fields& fields) {
  return static_cast<Coding>(fields.number(static_cast<std::uint64_t>(Coding::difference)));
}

std::vector<ChunkAnswer> read_along(Fields& fields) {
  const Value list = fields.next();
  fields.require(list.kind() == Value::Kind::array && list.size() <= kMaxAlong);
  std::vector<ChunkAnswer> out;
  for (std::size_t i = 0; i < std::min(list.size(), kMaxAlong); ++i) {
    const Value entry = list[i];
    Fields one(entry, 0);
    one.require(entry.kind() == Value::Kind::array);
    ChunkAnswer answer;
    answer.coding = read_coding(one);
    answer.bytes = one.bytes();
    fields.require(one.complete());
    out.push_back(std::move(answer));
  }
  return out;
}

tl::unexpected<Error> bad(std::string_view what) {
  return fail(ErrorCode::malformed, "the peer sent a frame that is not of this protocol: " + std::string(what));
}

}  // namespace

Bytes framed(ByteView body) {
  Bytes bytes;
  bytes.reserve(body.size() + 4);
  put_length(bytes, body.size());
  bytes.insert(bytes.end(), body.begin(), body.end());
  return bytes;
}

Bytes encode_head(std::uint64_t id, const ChunkAnswer& answer) {
  const auto content = answer.content().size();
  Encoder out;
  start(out, 4, kContent, id);
  out.unsigned_integer(static_cast<std::uint64_t>(answer.coding)).binary_head(static_cast<std::uint32_t>(content));
  const Bytes head = out.take();
  Bytes bytes;
  bytes.reserve(4 + head.size());
  put_length(bytes, head.size() + content);
  bytes.insert(bytes.end(), head.begin(), head.end());
  return bytes;
}

Bytes encode(const Frame& frame) {
  Encoder out;
  const auto id = frame.id;
  std::visit(
      Match{
          [&](const Hello& m) {
            start(out, 8, kHello, id);
            out.unsigned_integer(m.version).binary(m.to.view()).unsigned_integer(m.frame_bytes);
            out.unsigned_integer(m.chunk_bytes).unsigned_integer(m.requests);
            out.text(m.accepts.port == 0 ? "" : m.accepts.text());
          },
          [&](const DescribeRequest& m) {
            start(out, 3, kDescribe, id);
            out.binary(m.task.view());
          },
          [&](const ManifestRequest& m) {
            start(out, 5, kManifest, id);
            out.binary(m.task.view());
            put_classes(out, m.classes);
            out.unsigned_integer(m.along);
          },
          [&](const ChunkRequest& m) {
            start(out, 6, kChunk, id);
            out.binary(m.hash.view()).unsigned_integer(m.offset).unsigned_integer(m.length);
            out.binary(m.base ? m.base->view() : ByteView());
          },
          [&](const Feedback& m) {
            start(out, 4, kFeedback, id);
            out.binary(m.task.view()).real(m.gain);
          },
          [&](const DescriptionAnswer& m) {
            start(out, 5, kDescription, id);
            out.binary(m.hash.view()).unsigned_integer(m.total).binary(m.bytes);
          },
          [&](const ManifestAnswer& m) {
            start(out, 7, kManifestHead, id);
            out.binary(m.hash.view()).unsigned_integer(m.total).binary(m.bytes);
            put_holders(out, m.holders);
            out.array(static_cast<std::uint32_t>(m.along.size()));
            for (const auto& one : m.along) {
              out.array(2).unsigned_integer(static_cast<std::uint64_t>(one.coding)).binary(one.content());
            }
          },
          [&](const ChunkAnswer& m) {
            start(out, 4, kContent, id);
            out.unsigned_integer(static_cast<std::uint64_t>(m.coding)).binary(m.content());
          },
          [&](const Refusal& m) {
            start(out, 6, kRefusal, id);
            out.unsigned_integer(static_cast<std::uint64_t>(m.why)).unsigned_integer(m.retry_ms).text(m.text);
            put_holders(out, m.holders);
          },
          [&](const Goodbye& m) {
            start(out, 4, kGoodbye, id);
            out.unsigned_integer(static_cast<std::uint64_t>(m.why)).text(m.text);
          },
      },
      frame.message);
  return framed(out.take());
}

Result<Frame> decode_frame(ByteView body, Content content) {
  const metadata::DecodeLimits limits{.bytes = body.size(), .depth = 5, .elements = 1u << 18};
  auto document = metadata::Document::of_lent(body, limits);
  if (!document) return tl::unexpected(document.error());
  const Value root = document->root();
  const auto kind = root[std::size_t{0}].unsigned_integer();
  const auto id = root[std::size_t{1}].unsigned_integer();
  if (root.kind() != Value::Kind::array || !kind || !id) return bad("no kind and id");

  Frame frame;
  frame.id = *id;
  Fields fields(root);
  switch (*kind) {
    case kHello: {
      Hello m;
      m.version = fields.number32();
      // Other versions say other things, and are refused by number, not by shape.
      if (m.version != kProtocolVersion) {
        frame.message = m;
        return frame;
      }
      m.to = fields.fixed<metadata::NodeId>();
      m.frame_bytes = fields.number32();
      m.chunk_bytes = fields.number32();
      m.requests = fields.number32();
      // Whoever accepts nowhere says so; what cannot be read is taken for that.
      if (const auto accepts = metadata::parse_endpoint(fields.text()); accepts && metadata::connectable(*accepts)) {
        m.accepts = *accepts;
      }
      frame.message = m;
      break;
    }
    case kDescribe:
      frame.message = DescribeRequest{fields.fixed<metadata::TaskId>()};
      break;
    case kManifest: {
      ManifestRequest m;
      m.task = fields.fixed<metadata::TaskId>();
      m.classes = fields.classes();
      // Refused here, and not by the server, so that whoever costs us the reading of it must come anew.
      fields.require(m.classes.size() <= metadata::kMaxTaskClasses);
      m.along = fields.number32();
      frame.message = std::move(m);
      break;
    }
    case kChunk: {
      ChunkRequest m;
      m.hash = fields.fixed<metadata::Hash>();
      m.offset = fields.number();
      m.length = fields.number32();
      m.base = fields.optional<metadata::Hash>();
      frame.message = m;
      break;
    }
    case kFeedback: {
      Feedback m;
      m.task = fields.fixed<metadata::TaskId>();
      m.gain = fields.finite();
      fields.require(m.gain >= -1 && m.gain <= 1);
      frame.message = m;
      break;
    }
    case kDescription: {
      DescriptionAnswer m;
      m.hash = fields.fixed<metadata::Hash>();
      m.total = fields.number();
      m.bytes = fields.bytes();
      frame.message = std::move(m);
      break;
    }
    case kManifestHead: {
      ManifestAnswer m;
      m.hash = fields.fixed<metadata::Hash>();
      m.total = fields.number();
      m.bytes = fields.bytes();
      m.holders = read_holders(fields);
      m.along = read_along(fields);
      frame.message = std::move(m);
      break;
    }
    case kContent: {
      ChunkAnswer m;
      m.coding = read_coding(fields);
      if (content == Content::lent) {
        m.lent = fields.lent_bytes();
      } else {
        m.bytes = fields.bytes();
      }
      frame.message = std::move(m);
      break;
    }
    case kRefusal: {
      Refusal m;
      m.why = static_cast<Refusal::Why>(fields.number(static_cast<std::uint64_t>(Refusal::Why::later)));
      m.retry_ms = fields.number32();
      m.text = fields.text();
      m.holders = read_holders(fields);
      frame.message = std::move(m);
      break;
    }
    case kGoodbye: {
      Goodbye m;
      m.why = static_cast<Goodbye::Why>(fields.number(static_cast<std::uint64_t>(Goodbye::Why::no_room)));
      m.text = fields.text();
      frame.message = std::move(m);
      break;
    }
    default:
      return bad("kind " + std::to_string(*kind) + " is not known");
  }
  if (!fields.complete()) return bad("a field is missing, wrong, or one too many");
  return frame;
}

void FrameReader::append(ByteView bytes, std::size_t wanted) {
  const auto size = buffer_.size() + bytes.size();
  if (size > buffer_.capacity()) buffer_.reserve(std::min(wanted, kGrowth * size));
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

Result<void> FrameReader::feed(ByteView bytes, const std::function<bool(ByteView)>& on_frame) {
  const auto length_of = [](ByteView at) {
    return std::size_t{at[0]} << 24 | std::size_t{at[1]} << 16 | std::size_t{at[2]} << 8 | at[3];
  };
  const auto check = [this](std::size_t length) -> Result<void> {
    if (length == 0) return fail(ErrorCode::malformed, "the peer sent an empty frame");
    if (length > frame_bytes_) {
      return fail(ErrorCode::limit_exceeded, "the peer announced a frame of " + std::to_string(length) +
                                                 " bytes; " + std::to_string(frame_bytes_) + " are allowed");
    }
    return {};
  };
  while (!bytes.empty()) {
    // A whole frame in what came: no copy.
    if (buffer_.empty() && bytes.size() >= 4) {
      const std::size_t length = length_of(bytes);
      if (auto fits = check(length); !fits) return fits;
      if (bytes.size() - 4 >= length) {
        const ByteView body = bytes.subspan(4, length);
        bytes = bytes.subspan(4 + length);
        if (!on_frame(body)) return {};
        continue;
      }
    }
    const std::size_t wanted = buffer_.size() < 4 ? 4 : 4 + length_of(buffer_);
    const std::size_t take = std::min(wanted - buffer_.size(), bytes.size());
    append(bytes.first(take), wanted);
    bytes = bytes.subspan(take);
    if (buffer_.size() < 4) continue;
    const std::size_t length = length_of(buffer_);
    if (auto fits = check(length); !fits) return fits;
    if (buffer_.size() < 4 + length) continue;
    const Bytes whole = std::move(buffer_);
    buffer_.clear();
    if (!on_frame(ByteView(whole).subspan(4))) return {};
  }
  return {};
}

}  // namespace p2p::overlay

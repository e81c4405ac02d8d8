#include "overlay/geo/wire.hpp"

#include <algorithm>

namespace p2p::geo {

namespace {

constexpr std::uint32_t kMagic = 0x47503250;  // "P2PG"
constexpr std::uint16_t kProtocol = 1;
constexpr std::uint8_t kAbsolute = 1, kRelayed = 2;  // Announce flags; the precision is in bits 2 and 3
constexpr std::uint64_t kMaxClock = std::uint64_t{1} << 48;

struct Body {
  Bytes out{0, 0, 0, 0};  // the length comes last
  void node(const NodeId& id) { out.insert(out.end(), id.bytes.begin(), id.bytes.end()); }
  void bytes(ByteView view) { out.insert(out.end(), view.begin(), view.end()); }
  void version(const Version& version) {
    put_varint(out, version.incarnation);
    put_varint(out, version.clock);
  }
  void operator()(const Hello& hello) {
    ByteWriter fixed;
    fixed.put(kMagic);
    fixed.put(kProtocol);
    fixed.put_array(std::span<const std::uint8_t>(hello.group.bytes));
    fixed.put(hello.dimension);
    fixed.put(hello.initial_crc);
    bytes(fixed.bytes());
    for (const auto& [site, of] : hello.versions) {
      node(site);
      version(of);
    }
  }
  void operator()(const Announce& announce, std::uint32_t dimension) {
    out.push_back(static_cast<std::uint8_t>((announce.absolute ? kAbsolute : 0) |
                                            (announce.relayed_origin ? kRelayed : 0) |
                                            static_cast<int>(announce.precision) << 2));
    if (announce.relayed_origin) node(*announce.relayed_origin);
    version(announce.version);
    bytes(encode_indices(announce.indices, dimension));
  }
};

bool get_node(ByteView& from, NodeId& id) {
  if (from.size() < id.bytes.size()) return false;
  std::copy_n(from.begin(), id.bytes.size(), id.bytes.begin());
  from = from.subspan(id.bytes.size());
  return true;
}

bool get_version(ByteView& from, Version& version) {
  return get_varint(from, version.incarnation) && get_varint(from, version.clock) &&
         version.incarnation <= kMaxClock && version.clock <= kMaxClock;
}

Result<Frame> decode_hello(ByteView body) {
  ByteReader reader(body);
  Hello hello;
  const auto magic = reader.get<std::uint32_t>();
  const auto protocol = reader.get<std::uint16_t>();
  reader.get_array(std::span<std::uint8_t>(hello.group.bytes));
  hello.dimension = reader.get<std::uint32_t>();
  hello.initial_crc = reader.get<std::uint32_t>();
  if (!reader.ok() || magic != kMagic) return fail(ErrorCode::malformed, "the peer is no site of a group");
  if (protocol != kProtocol) {
    return fail(ErrorCode::version, "the peer speaks another version of geo sync: update the older site");
  }
  body = body.last(reader.remaining());
  while (!body.empty()) {
    auto& [site, version] = hello.versions.emplace_back();
    if (!get_node(body, site) || !get_version(body, version) || hello.versions.size() > kMaxSites) {
      return fail(ErrorCode::malformed, "a site's greeting is cut or names too many sites");
    }
  }
  return Frame(std::move(hello));
}

Result<Frame> decode_announce(ByteView body, std::uint32_t dimension) {
  const auto malformed = [] { return fail(ErrorCode::malformed, "an announcement is damaged"); };
  if (body.empty() || body[0] >> 2 > static_cast<int>(Precision::fp64)) return malformed();
  Announce announce;
  const auto flags = body[0];
  announce.absolute = flags & kAbsolute;
  announce.precision = static_cast<Precision>(flags >> 2);
  body = body.subspan(1);
  if (flags & kRelayed) {
    if (!announce.absolute || !get_node(body, announce.relayed_origin.emplace())) return malformed();
  }
  if (!get_version(body, announce.version)) return malformed();
  auto indices = decode_indices(body, dimension);
  if (!indices) return tl::unexpected(indices.error());
  announce.indices = std::move(*indices);
  return Frame(std::move(announce));
}

}  // namespace

Bytes encode_frame(const Frame& frame, std::uint32_t dimension) {
  Body body;
  body.out.push_back(static_cast<std::uint8_t>(frame.index()));
  if (const auto* hello = std::get_if<Hello>(&frame)) body(*hello);
  if (const auto* announce = std::get_if<Announce>(&frame)) body(*announce, dimension);
  if (const auto* values = std::get_if<Values>(&frame)) body.bytes(values->bytes);
  if (const auto* lost = std::get_if<Lost>(&frame)) {
    body.node(lost->site);
    body.version(lost->version);
  }
  const auto size = static_cast<std::uint32_t>(body.out.size() - 4);
  std::memcpy(body.out.data(), &size, sizeof size);
  return std::move(body.out);
}

Result<Frame> decode_frame(ByteView body, std::uint32_t dimension) {
  if (body.empty()) return fail(ErrorCode::malformed, "a frame is empty");
  const auto kind = body[0];
  body = body.subspan(1);
  switch (kind) {
    case 0: return decode_hello(body);
    case 1: if (body.empty()) return Frame(Synced{}); break;
    case 2: return decode_announce(body, dimension);
    case 3:
      if (!body.empty() && body.size() <= kValuesBytes) return Frame(Values{Bytes(body.begin(), body.end())});
      break;
    case 4: {
      Lost lost;
      if (get_node(body, lost.site) && get_version(body, lost.version) && body.empty()) return Frame(lost);
      break;
    }
    case 5: if (body.empty()) return Frame(Ping{}); break;
    default: break;
  }
  return fail(ErrorCode::malformed, "a frame of geo sync has a kind or size that is not known");
}

Result<std::optional<ByteView>> FrameReader::next() {
  // The longest: an announcement of everything as a bitmap, or a greeting that names all sites.
  const std::size_t limit = std::max<std::size_t>(dimension_ / 8 + 128, 64 + kMaxSites * 52) + kValuesBytes;
  std::uint32_t size = 0;
  if (buffer_.size() - used_ >= sizeof size) {
    std::memcpy(&size, buffer_.data() + used_, sizeof size);
    if (size > limit) return fail(ErrorCode::limit_exceeded, "a frame claims more bytes than any can have");
    if (buffer_.size() - used_ - sizeof size >= size) {
      const auto body = ByteView(buffer_).subspan(used_ + sizeof size, size);
      used_ += sizeof size + size;
      return std::optional(body);
    }
  }
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(used_));
  used_ = 0;
  return std::optional<ByteView>();
}

}  // namespace p2p::geo

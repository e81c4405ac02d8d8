#include "metadata/record.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "metadata/codec.hpp"
#include "metadata/utf8.hpp"

namespace p2p::metadata {

namespace {

constexpr std::uint64_t kFormat = 1;
constexpr std::size_t kMaxHostBytes = 45;  // the longest text of an IPv6 address
constexpr std::size_t kMaxDescriptionBytes = 1u << 20;

// What a signature covers begins with one of these and the zero that ends it, so that no signed bytes of one
// kind can be shown as another's.
constexpr std::string_view kEntryDomain{"p2p-learner entry v1", 21};
constexpr std::string_view kDescriptionDomain{"p2p-learner description v1", 27};

Bytes signed_bytes(std::string_view domain, ByteView body) {
  Bytes out;
  out.reserve(domain.size() + body.size());
  out.insert(out.end(), domain.begin(), domain.end());
  out.insert(out.end(), body.begin(), body.end());
  return out;
}

/// [body, signature]
Bytes seal_body(std::string_view domain, ByteView body, const KeyPair& key) {
  const Signature signature = key.sign(signed_bytes(domain, body));
  Encoder out;
  out.array(2).binary(body).binary(signature);
  return out.take();
}

template <std::size_t N>
bool read_bytes(Value value, std::array<std::uint8_t, N>& out) {
  const auto bytes = value.binary();
  if (!bytes || bytes->size() != N) return false;
  std::copy(bytes->begin(), bytes->end(), out.begin());
  return true;
}

template <typename T>
bool read_unsigned(Value value, T& out) {
  const auto number = value.unsigned_integer();
  if (!number || *number > std::numeric_limits<T>::max()) return false;
  out = static_cast<T>(*number);
  return true;
}

tl::unexpected<Error> malformed(const char* what) { return fail(ErrorCode::malformed, what); }

/// The two halves of a sealed record; views into `outer`.
struct Sealed {
  Document outer;
  Document body;
  ByteView body_bytes;
  Signature signature{};
};

Result<Sealed> unseal(ByteView bytes, std::size_t max_bytes, const DecodeLimits& body_limits) {
  auto outer = Document::parse(bytes, {.bytes = max_bytes, .depth = 1, .elements = 2});
  if (!outer) return tl::unexpected<Error>(std::move(outer).error());
  Signature signature;
  const auto body_bytes = outer->root()[0].binary();
  if (outer->root().size() != 2 || !body_bytes || !read_bytes(outer->root()[1], signature)) {
    return malformed("the record is not a body and its signature");
  }
  auto body = Document::parse(*body_bytes, body_limits);
  if (!body) return tl::unexpected<Error>(std::move(body).error());
  const auto format = body->root()[0].unsigned_integer();
  if (!format) return malformed("the record does not begin with its format");
  if (*format != kFormat) {
    return fail(ErrorCode::version, "the record is of a newer format; update this node");
  }
  return Sealed{std::move(*outer), std::move(*body), *body_bytes, signature};
}

Result<void> check_signature(const Sealed& sealed, std::string_view domain, const NodeId& node) {
  if (!verify(node, signed_bytes(domain, sealed.body_bytes), sealed.signature)) {
    return fail(ErrorCode::untrusted, "the record is not signed by the node that it names");
  }
  return {};
}

/// Everything of open_entry but the signature.
Result<Entry> read_entry(const Sealed& sealed) {
  const Value root = sealed.body.root();
  Entry out;
  if (root.size() != 10 || !read_bytes(root[1], out.task.bytes) || !read_bytes(root[2], out.node.bytes)) {
    return malformed("the entry does not name its task and node");
  }
  const Value place = root[3], endpoint = root[5];
  std::uint8_t kind = 0;
  if (place.size() != 4 || !read_unsigned(place[0], kind) || !read_unsigned(place[1], out.place.table) ||
      !read_unsigned(place[2], out.place.depth) || !read_unsigned(place[3], out.place.prefix)) {
    return malformed("the entry does not name its place");
  }
  out.place.kind = static_cast<Place::Kind>(kind);
  if (!valid(out.place)) return malformed("the entry names a place that cannot be");

  const auto host = endpoint[0].text();
  if (endpoint.size() != 2 || !host || host->size() > kMaxHostBytes ||
      !read_unsigned(endpoint[1], out.endpoint.port)) {
    return malformed("the entry has no endpoint");
  }
  out.endpoint.host = *host;
  if (!connectable(out.endpoint)) return malformed("the entry's endpoint is no address to connect to");

  const auto recall = root[9].binary();
  if (!read_unsigned(root[4], out.version) || !read_bytes(root[6], out.sketch.bits) ||
      !read_unsigned(root[7], out.samples) || !read_unsigned(root[8], out.accuracy) || !recall ||
      recall->size() > Entry::kMaxListedClasses) {
    return malformed("the entry has a field of a wrong kind or size");
  }
  out.recall.assign(recall->begin(), recall->end());
  return out;
}

Result<Sealed> unseal_entry(ByteView bytes) {
  return unseal(bytes, Entry::kMaxBytes, {.bytes = Entry::kMaxBytes, .depth = 2, .elements = 16});
}

/// May `entry` stand in place of what was stored before it?
Result<void> may_replace(const Entry& entry, const StoreCheck& check) {
  if (!check.old_bytes || std::equal(check.bytes.begin(), check.bytes.end(), check.old_bytes->begin(),
                                     check.old_bytes->end())) {
    return {};
  }
  const auto old = peek_entry(*check.old_bytes);
  if (!old || (old->node == entry.node && old->version < entry.version)) return {};
  // Only an entry that its node really signed can stand in the way; others got here past this policy.
  if (!open_entry(*check.old_bytes)) return {};
  return fail(ErrorCode::untrusted, old->node == entry.node
                                        ? "the entry is not newer than the one it would replace"
                                        : "the entry would replace another node's");
}

}  // namespace

Bytes seal(const Entry& entry, const KeyPair& key) {
  P2P_ASSERT(entry.node == key.id());
  P2P_ASSERT(valid(entry.place));
  P2P_ASSERT(entry.recall.size() <= Entry::kMaxListedClasses && entry.endpoint.host.size() <= kMaxHostBytes);
  Encoder body;
  body.array(10).unsigned_integer(kFormat).binary(entry.task.bytes).binary(entry.node.bytes);
  body.array(4).unsigned_integer(static_cast<std::uint8_t>(entry.place.kind));
  body.unsigned_integer(entry.place.table).unsigned_integer(entry.place.depth);
  body.unsigned_integer(entry.place.prefix).unsigned_integer(entry.version);
  body.array(2).text(entry.endpoint.host).unsigned_integer(entry.endpoint.port);
  body.binary(entry.sketch.bits).unsigned_integer(entry.samples).unsigned_integer(entry.accuracy);
  body.binary(entry.recall);
  Bytes out = seal_body(kEntryDomain, body.take(), key);
  P2P_ASSERT(out.size() <= Entry::kMaxBytes);
  return out;
}

Result<Entry> peek_entry(ByteView bytes) {
  auto sealed = unseal_entry(bytes);
  if (!sealed) return tl::unexpected<Error>(std::move(sealed).error());
  return read_entry(*sealed);
}

Result<Entry> open_entry(ByteView bytes) {
  auto sealed = unseal_entry(bytes);
  if (!sealed) return tl::unexpected<Error>(std::move(sealed).error());
  auto entry = read_entry(*sealed);
  if (!entry) return entry;
  if (auto good = check_signature(*sealed, kEntryDomain, entry->node); !good) {
    return tl::unexpected<Error>(std::move(good).error());
  }
  return entry;
}

Result<void> may_store(const StoreCheck& check) {
  // What costs nothing comes first; the signature, which does, last.
  auto sealed = unseal_entry(check.bytes);
  if (!sealed) return tl::unexpected<Error>(std::move(sealed).error());
  const auto entry = read_entry(*sealed);
  if (!entry) return tl::unexpected<Error>(entry.error());
  if (place_key(entry->task, entry->place) != check.key) {
    return fail(ErrorCode::untrusted, "the entry belongs under another key");
  }
  const auto apart = entry->version > check.now_ms ? entry->version - check.now_ms : check.now_ms - entry->version;
  if (apart > kMaxClockSkewMs) {
    return fail(ErrorCode::untrusted,
                fmt::format("the entry's time stamp is {} s {} this node's clock; set the clock of whichever is wrong",
                            apart / 1000, entry->version > check.now_ms ? "ahead of" : "behind"));
  }
  if (auto in_order = may_replace(*entry, check); !in_order) return in_order;
  return check_signature(*sealed, kEntryDomain, entry->node);
}

Bytes seal(const Description& description, const KeyPair& key) {
  P2P_ASSERT(description.node == key.id());
  Encoder body;
  body.array(5).unsigned_integer(kFormat).binary(description.task.bytes).binary(description.node.bytes);
  body.unsigned_integer(description.version).binary(encode(description.fingerprint));
  return seal_body(kDescriptionDomain, body.take(), key);
}

Result<Description> open_description(ByteView bytes, std::uint32_t max_classes) {
  auto sealed = unseal(bytes, kMaxDescriptionBytes, {.bytes = kMaxDescriptionBytes, .depth = 1, .elements = 5});
  if (!sealed) return tl::unexpected<Error>(std::move(sealed).error());
  const Value root = sealed->body.root();
  Description out;
  const auto fingerprint = root[4].binary();
  if (root.size() != 5 || !read_bytes(root[1], out.task.bytes) || !read_bytes(root[2], out.node.bytes) ||
      !read_unsigned(root[3], out.version) || !fingerprint) {
    return malformed("the description has a missing field or one of a wrong kind");
  }
  if (auto good = check_signature(*sealed, kDescriptionDomain, out.node); !good) {
    return tl::unexpected<Error>(std::move(good).error());
  }
  auto decoded = decode_fingerprint(*fingerprint, max_classes);
  if (!decoded) return tl::unexpected<Error>(std::move(decoded).error());
  out.fingerprint = std::move(*decoded);
  return out;
}

namespace {

constexpr std::size_t kMaxTwinBytes = 500;
constexpr std::size_t kMaxTwinName = 48;  // bytes of a name after escaping

/// A JSON string with its quotes, cut at a whole character so that what stands between them has at most
/// `max_bytes`. Control characters are escaped: dhtnode prints what it gets straight to a terminal.
std::string json_text(std::string_view text, std::size_t max_bytes) {
  std::string out = "\"";
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    std::string piece(text.substr(0, length));
    const auto lead = static_cast<unsigned char>(text[0]);
    if (length == 0) {
      piece = "\\ufffd";
    } else if (piece == "\"" || piece == "\\") {
      piece = std::string{'\\', text[0]};
    } else if (lead < 0x20 || lead == 0x7f) {
      piece = fmt::format("\\u{:04x}", lead);
    } else if (lead == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0) {
      piece = fmt::format("\\u{:04x}", static_cast<unsigned char>(text[1]));
    }
    if (out.size() - 1 + piece.size() > max_bytes) break;
    out += piece;
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out + "\"";
}

}  // namespace

std::string twin_text(const Entry& entry, const Task& task, std::string_view node_name) {
  std::string out = fmt::format(
      R"({{"name":{},"id":"{}","task":{},"endpoint":{},"samples":{},"accuracy":{:.2f},"knows":{{)",
      json_text(node_name, kMaxTwinName), entry.node.hex(), json_text(task.name, kMaxTwinName),
      json_text(entry.endpoint.text(), kMaxTwinName + 8), entry.samples, entry.accuracy / 255.0);
  constexpr std::size_t kTail = std::string_view(R"(},"more":1024})").size();
  std::size_t listed = 0, more = 0;
  for (std::size_t c = 0; c < std::min(entry.recall.size(), task.classes.size()); ++c) {
    if (entry.recall[c] == 0) continue;
    const auto item = fmt::format("{}{}:{:.2f}", listed == 0 ? "" : ",",
                                  json_text(task.classes[c], kMaxTwinName), (entry.recall[c] - 1) / 254.0);
    if (more > 0 || out.size() + item.size() + kTail > kMaxTwinBytes) {
      ++more;
      continue;
    }
    out += item;
    ++listed;
  }
  out += '}';
  if (more > 0) out += fmt::format(R"(,"more":{})", more);
  return out + "}";
}

}  // namespace p2p::metadata

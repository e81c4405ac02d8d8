#include "metadata/record.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "metadata/codec.hpp"
#include "metadata/utf8.hpp"

namespace p2p::metadata {

namespace {

constexpr std::uint64_t kEntryFormat = 4, kDescriptionFormat = 2, kListingFormat = 1;
constexpr std::size_t kMaxHostBytes = 45;  // the longest text of an IPv6 address
constexpr std::size_t kMaxDescriptionBytes = 1u << 20;

// What a signature covers begins with one of these and the zero that ends it, so that no signed bytes of one
// kind can be shown as another's.
constexpr std::string_view kEntryDomain{"p2p-learner entry v4", 21};
constexpr std::string_view kDescriptionDomain{"p2p-learner description v2", 27};
constexpr std::string_view kPresenceDomain{"p2p-learner presence v1", 24};
constexpr std::string_view kConceptDomain{"p2p-learner concept v1"};

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

Result<void> check_format(Value format, std::uint64_t expected) {
  const auto number = format.unsigned_integer();
  if (!number) return malformed("the record does not begin with its format");
  if (*number > expected) return fail(ErrorCode::version, "the record is of a newer format; update this node");
  if (*number < expected) return fail(ErrorCode::version, "the record is of an older format; update the node that made it");
  return {};
}

Result<Sealed> unseal(ByteView bytes, std::size_t max_bytes, const DecodeLimits& body_limits, std::uint64_t expected) {
  auto outer = Document::parse(bytes, {.bytes = max_bytes, .depth = 1, .elements = 2});
  if (!outer) return tl::unexpected<Error>(std::move(outer).error());
  Signature signature;
  const auto body_bytes = outer->root()[0].binary();
  if (outer->root().size() != 2 || !body_bytes || !read_bytes(outer->root()[1], signature)) {
    return malformed("the record is not a body and its signature");
  }
  auto body = Document::parse(*body_bytes, body_limits);
  if (!body) return tl::unexpected<Error>(std::move(body).error());
  if (auto good = check_format(body->root()[0], expected); !good) {
    return tl::unexpected<Error>(std::move(good).error());
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
  if (root.size() != 11 || !read_bytes(root[1], out.task.bytes) || !read_bytes(root[2], out.node.bytes) ||
      !read_unsigned(root[3], out.concept_id)) {
    return malformed("the entry does not name its task, node and concept");
  }
  const Value endpoint = root[5];
  const auto host = endpoint[0].text();
  if (endpoint.size() != 2 || !host || host->size() > kMaxHostBytes ||
      !read_unsigned(endpoint[1], out.endpoint.port) || !read_unsigned(root[6], out.table_port)) {
    return malformed("the entry has no endpoint");
  }
  out.endpoint.host = *host;
  if (!connectable(out.endpoint) || !connectable(out.table_endpoint())) {
    return malformed("the entry's endpoint is no address to connect to");
  }
  const auto recall = root[10].binary();
  if (!read_unsigned(root[4], out.version) || !read_bytes(root[7], out.sketch.bytes) ||
      !read_unsigned(root[8], out.samples) || !read_unsigned(root[9], out.accuracy) || !recall ||
      recall->size() > Entry::kMaxListedClasses / 2) {
    return malformed("the entry has a field of a wrong kind or size");
  }
  for (const auto pair : *recall) {
    out.recall.push_back(pair & 15);
    out.recall.push_back(pair >> 4);
  }
  return out;
}

Result<Sealed> unseal_entry(ByteView bytes) {
  return unseal(bytes, Entry::kMaxBytes, {.bytes = Entry::kMaxBytes, .depth = 2, .elements = 15}, kEntryFormat);
}

/// The entry of a stored listing, without its signature; nothing if it is none.
std::optional<Entry> peek_listed(ByteView bytes) {
  const auto listing = unpack_listing(bytes);
  if (!listing) return std::nullopt;
  auto entry = peek_entry(listing->entry);
  if (!entry) return std::nullopt;
  return std::move(*entry);
}

/// May `entry` stand in place of what was stored before it?
Result<void> may_replace(const Entry& entry, const StoreCheck& check) {
  if (!check.old_bytes || std::equal(check.bytes.begin(), check.bytes.end(), check.old_bytes->begin(),
                                     check.old_bytes->end())) {
    return {};
  }
  const auto old = peek_listed(*check.old_bytes);
  const bool same = old && old->presence() == entry.presence();
  if (!old || (same && old->version < entry.version)) return {};
  // Only an entry that its node really signed can stand in the way; others got here past this policy.
  if (!open_entry(unpack_listing(*check.old_bytes)->entry)) return {};
  if (same) return fail(ErrorCode::untrusted, "the entry is not newer than the one it would replace");
  return fail(ErrorCode::untrusted, old->node == entry.node ? "the entry would replace one of another concept"
                                                            : "the entry would replace another node's");
}

Hash numbered(std::string_view domain, std::span<const std::uint8_t> name, std::uint32_t number) {
  ByteWriter text;
  text.put_array(std::span<const std::uint8_t>(view(domain)));
  text.put_array(name);
  text.put(number);
  return sha256(text.bytes());
}

}  // namespace

NodeId presence_of(const NodeId& node, std::uint32_t concept_id) {
  if (concept_id == 0) return node;
  NodeId out;
  out.bytes = numbered(kPresenceDomain, node.bytes, concept_id).bytes;
  return out;
}

TaskId concept_task(const TaskId& task, std::uint32_t concept_id) {
  return concept_id == 0 ? task : numbered(kConceptDomain, task.bytes, concept_id);
}

double Entry::listed_recall(std::int32_t c) const {
  if (c < 0) return 0;
  const auto at = static_cast<std::size_t>(c) % kMaxListedClasses;
  return at < recall.size() && recall[at] > 0 ? (recall[at] - 1) / 14.0 : 0.0;
}

ClassMask Entry::knows() const {
  ClassMask mask = 0;
  for (std::size_t c = 0; c < recall.size(); ++c) {
    if (listed_recall(static_cast<std::int32_t>(c)) >= kKnownRecall) mask |= ClassMask{1} << c;
  }
  return mask;
}

bool known_well(const Fingerprint& fingerprint, std::size_t c) {
  return fingerprint.count[c] >= Entry::kKnownSamples && fingerprint.accuracy[c] >= Entry::kKnownRecall;
}

Entry entry_of(const Fingerprint& fingerprint, const Sketch& sketch) {
  Entry out;
  out.sketch = sketch;
  out.samples = static_cast<std::uint32_t>(std::min(fingerprint.samples(), 4e9));
  out.accuracy = static_cast<std::uint8_t>(std::lround(255 * std::clamp(fingerprint.overall_accuracy(), 0.0, 1.0)));
  out.recall.resize(std::min<std::size_t>((fingerprint.classes + 1) / 2 * 2, Entry::kMaxListedClasses), 0);
  for (std::size_t c = 0; c < fingerprint.classes; ++c) {
    if (fingerprint.count[c] < Entry::kKnownSamples) continue;
    const double recall = std::clamp(static_cast<double>(fingerprint.accuracy[c]), 0.0, 1.0);
    auto& listed = out.recall[c % Entry::kMaxListedClasses];
    listed = std::max(listed, static_cast<std::uint8_t>(1 + std::lround(14 * recall)));
  }
  return out;
}

Bytes seal(const Entry& entry, const KeyPair& key) {
  P2P_ASSERT(entry.node == key.id());
  P2P_ASSERT(entry.recall.size() <= Entry::kMaxListedClasses && entry.endpoint.host.size() <= kMaxHostBytes);
  Encoder body;
  body.array(11).unsigned_integer(kEntryFormat).binary(entry.task.bytes).binary(entry.node.bytes);
  body.unsigned_integer(entry.concept_id).unsigned_integer(entry.version);
  body.array(2).text(entry.endpoint.host).unsigned_integer(entry.endpoint.port);
  body.unsigned_integer(entry.table_port).binary(entry.sketch.bytes);
  body.unsigned_integer(entry.samples).unsigned_integer(entry.accuracy);
  Bytes pairs((entry.recall.size() + 1) / 2);
  for (std::size_t c = 0; c < entry.recall.size(); ++c) {
    P2P_ASSERT(entry.recall[c] <= 15);
    pairs[c / 2] = static_cast<std::uint8_t>(pairs[c / 2] | entry.recall[c] << (4 * (c % 2)));
  }
  body.binary(pairs);
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

Bytes pack(const Listing& listing) {
  Encoder out;
  out.array(5).unsigned_integer(kListingFormat).unsigned_integer(static_cast<std::uint8_t>(listing.place.kind));
  out.unsigned_integer(listing.place.table).unsigned_integer(listing.place.depth).binary(listing.entry);
  Bytes bytes = out.take();
  P2P_ASSERT(bytes.size() <= Listing::kMaxBytes);
  return bytes;
}

Result<Listing> unpack_listing(ByteView bytes) {
  auto document = Document::parse(bytes, {.bytes = Listing::kMaxBytes, .depth = 1, .elements = 5});
  if (!document) return tl::unexpected<Error>(std::move(document).error());
  const Value root = document->root();
  if (auto good = check_format(root[0], kListingFormat); !good) {
    return tl::unexpected<Error>(std::move(good).error());
  }
  Listing out;
  std::uint8_t kind = 0;
  const auto sealed = root[4].binary();
  if (root.size() != 5 || !read_unsigned(root[1], kind) || !read_unsigned(root[2], out.place.table) ||
      !read_unsigned(root[3], out.place.depth) || !sealed) {
    return malformed("the listing has a missing field or one of a wrong kind");
  }
  out.place.kind = static_cast<Place::Kind>(kind);
  if (!valid(out.place)) return malformed("the listing names a place that cannot be");
  if (out.place.kind != Place::Kind::label) {
    const auto entry = peek_entry(*sealed);
    if (!entry) return tl::unexpected<Error>(entry.error());
    out.place = place_of(entry->sketch, out.place.kind, out.place.table, out.place.depth);
  }
  out.entry.assign(sealed->begin(), sealed->end());
  return out;
}

bool belongs(const Entry& entry, const Place& place) {
  if (!valid(place)) return false;
  if (place.kind == Place::Kind::label) return entry.listed_recall(place.table) >= Entry::kKnownRecall;
  return place_of(entry.sketch, place.kind, place.table, place.depth) == place;
}

Result<Entry> open_listed(ByteView bytes, const TaskTag& task, const Place& place) {
  const auto listing = unpack_listing(bytes);
  if (!listing) return tl::unexpected<Error>(listing.error());
  auto entry = open_entry(listing->entry);
  if (entry && (entry->task != task || listing->place != place || !belongs(*entry, place))) {
    return fail(ErrorCode::untrusted, "the entry belongs under another key");
  }
  return entry;
}

Result<void> may_store(const StoreCheck& check) {
  // What costs nothing comes first; the signature, which does, last.
  auto listing = unpack_listing(check.bytes);
  if (!listing) return tl::unexpected<Error>(std::move(listing).error());
  auto sealed = unseal_entry(listing->entry);
  if (!sealed) return tl::unexpected<Error>(std::move(sealed).error());
  const auto entry = read_entry(*sealed);
  if (!entry) return tl::unexpected<Error>(entry.error());
  if (!belongs(*entry, listing->place) || place_key(entry->task, listing->place) != check.key) {
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
  body.array(6).unsigned_integer(kDescriptionFormat).binary(description.task.bytes).binary(description.node.bytes);
  body.unsigned_integer(description.concept_id).unsigned_integer(description.version).binary(encode(description.fingerprint));
  return seal_body(kDescriptionDomain, body.take(), key);
}

Result<Description> open_description(ByteView bytes, std::uint32_t max_classes) {
  auto sealed = unseal(bytes, kMaxDescriptionBytes, {.bytes = kMaxDescriptionBytes, .depth = 1, .elements = 6},
                       kDescriptionFormat);
  if (!sealed) return tl::unexpected<Error>(std::move(sealed).error());
  const Value root = sealed->body.root();
  Description out;
  const auto fingerprint = root[5].binary();
  if (root.size() != 6 || !read_bytes(root[1], out.task.bytes) || !read_bytes(root[2], out.node.bytes) ||
      !read_unsigned(root[3], out.concept_id) || !read_unsigned(root[4], out.version) || !fingerprint) {
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

std::string twin_text(const Entry& entry, const Task& task, std::string_view node_name, std::size_t archived) {
  std::string out = fmt::format(
      R"({{"name":{},"id":"{}","task":{},"endpoint":{},"samples":{},"accuracy":{:.2f},"knows":{{)",
      json_text(node_name, kMaxTwinName), entry.node.hex(), json_text(task.name, kMaxTwinName),
      json_text(entry.endpoint.text(), kMaxTwinName + 8), entry.samples, entry.accuracy / 255.0);
  const std::string remembers = archived > 0 ? fmt::format(R"(,"remembers":{})", archived) : "";
  const std::size_t tail = std::string_view(R"(},"more":1024})").size() + remembers.size();
  std::size_t listed = 0, more = 0;
  for (std::size_t c = 0; c < std::min(entry.recall.size(), task.classes.size()); ++c) {
    if (entry.recall[c] == 0) continue;
    const auto item = fmt::format("{}{}:{:.2f}", listed == 0 ? "" : ",",
                                  json_text(task.classes[c], kMaxTwinName), entry.listed_recall(static_cast<std::int32_t>(c)));
    if (more > 0 || out.size() + item.size() + tail > kMaxTwinBytes) {
      ++more;
      continue;
    }
    out += item;
    ++listed;
  }
  out += '}';
  if (more > 0) out += fmt::format(R"(,"more":{})", more);
  return out + remembers + "}";
}

}  // namespace p2p::metadata

// What nodes publish about themselves: small, signed, versioned.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "metadata/crypto.hpp"
#include "metadata/index.hpp"

namespace p2p::metadata {

/// Where a node accepts links.
struct Endpoint {
  std::string host;        ///< numeric IPv4 or IPv6 address
  std::uint16_t port = 0;
  bool operator==(const Endpoint&) const = default;
  /// "127.0.0.1:4222", "[::1]:4222".
  std::string text() const;
};
/// Reads Endpoint::text()'s form; names are not resolved here. Port 0 is accepted: it asks for any free one.
Result<Endpoint> parse_endpoint(std::string_view text);
/// A numeric address without a port, in its shortest form.
Result<std::string> parse_host(std::string_view text);
/// Can a peer connect there? Not to port 0, "any" or multicast addresses; entries with those are not opened.
bool connectable(const Endpoint& endpoint);

/// A node shows what it serves now, and a few concepts that it has kept from its past: each is a presence of its own, with an
/// entry and a description. This is what a presence goes by wherever several are told apart: the node itself for concept 0,
/// which is what it serves now, else a hash of the node and the number (FORMAT.md). The signature and the link are always
/// the node's.
NodeId presence_of(const NodeId& node, std::uint32_t concept_id);
/// The name under which links serve the parts of a concept, in the place of the task's: the task itself for concept 0, else a
/// hash of it and the number.
TaskId concept_task(const TaskId& task, std::uint32_t concept_id);
/// Of one node at a time, besides what it serves now. Whoever keeps or counts presences takes no more of one node.
inline constexpr std::size_t kMostArchived = 3;

/// What a node says of itself to be found: just enough to choose whom to ask. One signature serves under every bucket
/// key and in every datagram.
struct Entry {
  TaskTag task;
  NodeId node;                   ///< who signs, and whom links reach
  std::uint32_t concept_id = 0;  ///< 0: what the node serves now; else an archived concept of that number, the node's own
  std::uint64_t version = 0;     ///< grows with every change; milliseconds since 1970 when it was made
  Endpoint endpoint;             ///< of links
  std::uint16_t table_port = 0;  ///< of the table and of datagrams, at the same address
  Sketch sketch;
  std::uint32_t samples = 0;
  std::uint8_t accuracy = 0;     ///< overall, 0 .. 255 for 0 .. 1
  /// Per class 0: not known here, else 1 .. 15 for a recall of 0 .. 1; at most kMaxListedClasses. A task of more
  /// classes folds class c onto c % kMaxListedClasses, the best known counts. Packed in pairs: read back, the number is
  /// even.
  std::vector<std::uint8_t> recall;
  bool operator==(const Entry&) const = default;

  NodeId presence() const { return presence_of(node, concept_id); }
  Endpoint table_endpoint() const { return {endpoint.host, table_port}; }
  /// 0 where the class is not known.
  double listed_recall(std::int32_t c) const;
  /// Classes of at least kKnownRecall.
  ClassMask knows() const;

  static constexpr std::size_t kMaxBytes = 396;
  static constexpr std::size_t kMaxListedClasses = 64;
  static constexpr double kKnownRecall = 0.5;   ///< from here on a class counts as known well
  static constexpr double kKnownSamples = 20;   ///< and from so many samples on as known at all
};
/// Is class c one that an entry lists as known well?
bool known_well(const Fingerprint& fingerprint, std::size_t c);
/// The entry of a node with this experience: all but task, node, concept, version and addresses.
Entry entry_of(const Fingerprint& fingerprint, const Sketch& sketch);
/// Signed and packed; fits kMaxBytes.
Bytes seal(const Entry& entry, const KeyPair& key);
/// Size, shape and signature checked; `untrusted` when the signature is not the named node's.
Result<Entry> open_entry(ByteView bytes);
/// open_entry without the signature, which costs a hundred times as much as all the rest: to rank what a lookup
/// brought and then open only what is worth it. Nothing that it says may be believed or passed on.
Result<Entry> peek_entry(ByteView bytes);

/// An entry under one of its keys: which bucket, then the sealed entry. The bucket needs no signature of its own, for
/// it follows from the entry: prefixes from the sketch, labels from what is known well.
struct Listing {
  Place place;
  Bytes entry;  ///< sealed
  static constexpr std::size_t kMaxBytes = Entry::kMaxBytes + 16;
};
Bytes pack(const Listing& listing);
/// Shape and bounds only: the entry is not opened, and the prefix is what the entry's sketch makes it.
Result<Listing> unpack_listing(ByteView bytes);
/// The entry of what was read from a bucket: a listing of this task and place, which its node signed and where it belongs;
/// `untrusted` or `malformed` otherwise.
Result<Entry> open_listed(ByteView bytes, const TaskTag& task, const Place& place);
/// May a node with this entry be listed there?
bool belongs(const Entry& entry, const Place& place);

/// May `bytes` be stored under `key`, and in place of `old_bytes` if those are given? The policy of every
/// holder: a valid listing, of this key's bucket, stamped within `kMaxClockSkewMs` of the holder's clock, and newer
/// than what it replaces, or the very same bytes; nothing of another node, or of another concept of the same one, is
/// replaced.
///
/// So a publisher seals anew, with a new version, whenever it refreshes an entry, and a recorded entry cannot be
/// played back for longer than the skew.
struct StoreCheck {
  DhtKey key{};
  ByteView bytes;
  std::optional<ByteView> old_bytes;
  std::uint64_t now_ms = 0;
};
Result<void> may_store(const StoreCheck& check);
inline constexpr std::uint64_t kMaxClockSkewMs = 10 * 60 * 1000;

/// A node's description of itself, or of an archived concept, in full, as it answers it to peers: the fingerprint, signed.
struct Description {
  TaskId task;
  NodeId node;
  std::uint64_t version = 0;
  Fingerprint fingerprint;
  std::uint32_t concept_id = 0;  ///< as in an entry

  NodeId presence() const { return presence_of(node, concept_id); }
};
Bytes seal(const Description& description, const KeyPair& key);
Result<Description> open_description(ByteView bytes, std::uint32_t max_classes);

/// The readable twin: one line of JSON for `dhtnode` and curious people. Unsigned; never read by nodes. `archived`: how many
/// concepts it remembers besides.
std::string twin_text(const Entry& entry, const Task& task, std::string_view node_name, std::size_t archived);

}  // namespace p2p::metadata

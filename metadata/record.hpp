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

/// One bucket entry: just enough to choose whom to ask.
struct Entry {
  TaskId task;
  NodeId node;
  Place place;
  std::uint64_t version = 0;  ///< grows with every change; milliseconds since 1970 when it was made
  Endpoint endpoint;
  Sketch sketch;
  std::uint32_t samples = 0;
  std::uint8_t accuracy = 0;  ///< overall, 0 .. 255 for 0 .. 1
  /// Per class 0: unknown here, else 1 + 254 * recall; at most kMaxListedClasses.
  std::vector<std::uint8_t> recall;
  bool operator==(const Entry&) const = default;

  static constexpr std::size_t kMaxBytes = 560;  ///< so that OpenDHT carries it in one packet
  static constexpr std::size_t kMaxListedClasses = 250;
};
/// Signed and packed; fits kMaxBytes.
Bytes seal(const Entry& entry, const KeyPair& key);
/// Size, shape and signature checked; `untrusted` when the signature is not the named node's.
Result<Entry> open_entry(ByteView bytes);
/// open_entry without the signature, which costs a hundred times as much as all the rest: to rank what a lookup
/// brought and then open only what is worth it. Nothing that it says may be believed or passed on.
Result<Entry> peek_entry(ByteView bytes);

/// May `bytes` be stored under `key`, and in place of `old_bytes` if those are given? The policy of every
/// holder: a valid entry, of this key's bucket, stamped within `kMaxClockSkewMs` of the holder's clock, and newer
/// than what it replaces, or the very same bytes; nothing of another node is replaced.
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

/// A node's description of itself in full, as it answers it to peers: the fingerprint, signed.
struct Description {
  TaskId task;
  NodeId node;
  std::uint64_t version = 0;
  Fingerprint fingerprint;
};
Bytes seal(const Description& description, const KeyPair& key);
Result<Description> open_description(ByteView bytes, std::uint32_t max_classes);

/// The readable twin: one line of JSON for `dhtnode` and curious people. Unsigned; never read by nodes.
std::string twin_text(const Entry& entry, const Task& task, std::string_view node_name);

}  // namespace p2p::metadata

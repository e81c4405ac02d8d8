// Seam 2 of 3: what a distributed hash table does for us, and no more than that.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "metadata/base/bytes.hpp"
#include "metadata/base/error.hpp"
#include "metadata/index.hpp"
#include "metadata/record.hpp"

namespace p2p::overlay {

using metadata::DhtKey;
using metadata::Endpoint;

/// One value under a key. A second put with the same id replaces it, if the holders' policy allows.
struct DhtValue {
  std::uint64_t id = 0;
  Bytes data;
};

/// How the table looks from here.
struct DhtStats {
  std::size_t good_nodes = 0;      ///< answered lately
  std::size_t known_nodes = 0;
  std::size_t stored_values = 0;   ///< kept here for others
  std::size_t stored_bytes = 0;
  std::uint64_t sent_bytes = 0, received_bytes = 0;
  std::uint64_t sent_packets = 0, received_packets = 0;
  std::uint64_t refused_packets = 0;  ///< dropped by the ingress filter
  /// Of the above: datagrams of our own, which share the table's socket.
  std::uint64_t sent_datagrams = 0, sent_datagram_bytes = 0;
  std::uint64_t received_datagrams = 0, received_datagram_bytes = 0;
  /// How many nodes the table has, from how close to their keys the holders of the latest gets and puts lay; 0 while
  /// nothing has been asked.
  double estimated_nodes = 0;
};

/// A key-value table spread over all nodes: exact keys, several values per key, best effort. Its nodes also reach each
/// other by single datagrams on the same socket, which cost a hundredth of what a get does.
///
/// Promises nothing: a put that "succeeded" may be gone, a get may miss values, anybody may store junk. Callers
/// verify what they read. Both implementations apply metadata::may_store as the holder's policy.
///
/// Callbacks run on the executor's thread, never from inside the call that asked, and each `done` exactly once.
class Dht {
 public:
  virtual ~Dht() = default;

  /// Seeds are tried until one answers; resolves names. Joining goes on in the background.
  virtual void join(const std::vector<std::string>& seeds) = 0;

  /// Stores a record for its type's life time (20 minutes). done(false): certainly not stored.
  virtual void put(const DhtKey& key, DhtValue value, std::function<void(bool)> done) = 0;
  /// `on_value` may be called many times and returns false to stop early.
  virtual void get(const DhtKey& key, std::function<bool(const DhtValue&)> on_value,
                   std::function<void(bool)> done) = 0;
  /// A readable text under a key, for people with `dhtnode`; replaces the one with the same id.
  virtual void put_text(const DhtKey& key, std::uint64_t id, std::string text) = 0;

  /// One datagram to another node's table address: may be lost, late or doubled. More than kMaxDatagramBytes are not
  /// sent.
  virtual void send(const Endpoint& to, Bytes datagram) = 0;
  /// Takes the datagrams that others sent with send(); at most one handler, empty for none. `from` is the address that
  /// the network shows, which a sender can forge.
  virtual void on_datagram(std::function<void(const Endpoint& from, ByteView datagram)> handler) = 0;
  /// Tables of other nodes, at most so many, as they come: those that have answered lately, then the seeds. Anybody,
  /// whatever else they do.
  virtual std::vector<Endpoint> neighbours(std::size_t most) const = 0;
  /// Where others reach this node's table and datagrams; port 0 before there is a socket.
  virtual Endpoint local() const = 0;
  /// Fits one packet on every path (1280 bytes are promised by IPv6, with room for headers).
  static constexpr std::size_t kMaxDatagramBytes = 1200;

  virtual DhtStats stats() const = 0;
  /// Leaves. `done` once pending work is handed over or `deadline` passed.
  virtual void leave(std::function<void()> done) = 0;
};

}  // namespace p2p::overlay

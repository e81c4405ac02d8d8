// Peer to peer: "what do you know?", "which blocks is it made of?", "send me these".
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "metadata/record.hpp"
#include "overlay/executor.hpp"
#include "overlay/transport.hpp"

namespace p2p::overlay {

/// A block as it travels: exchange knows nothing of models.
struct SharedBlock {
  std::string name;
  std::vector<std::int32_t> classes;
  double evidence = 0;
  Bytes content;
};

/// What a holder offers of itself now; immutable, so that serving never waits for learning.
struct Offer {
  std::string family;
  std::vector<SharedBlock> blocks;
};

/// Answers for this node; called on the executor's thread, must be quick.
struct ExchangeHost {
  /// The sealed description (metadata::seal) for a task; empty: not served here.
  std::function<Bytes(const metadata::TaskId&)> describe;
  /// A snapshot of the blocks for `classes` (empty: all); null: not served here.
  std::function<std::shared_ptr<const Offer>(const metadata::TaskId&, const std::vector<std::int32_t>&)> offer;
  /// A peer says what a part from here was worth to it, -1 .. 1; may be empty.
  std::function<void(const NodeId&, const metadata::TaskId&, double)> on_feedback = {};
};

/// Bounds on what a peer can make this node do. Every one has a test.
struct ExchangeLimits {
  std::size_t frame_bytes = 256 * 1024;
  std::size_t chunk_bytes = 64 * 1024;
  std::size_t blocks = 4096;               ///< in one manifest
  std::size_t block_bytes = 8u << 20;
  std::size_t part_bytes = 64u << 20;
  std::size_t description_bytes = 1u << 20;
  std::size_t manifest_bytes = 1u << 20;
  std::size_t store_bytes = 16u << 20;     ///< content kept for others and for the next pull
  std::size_t links = 64;                  ///< open at once
  std::size_t requests_per_link = 16;      ///< unanswered, in either direction
  std::size_t requests_per_second = 200;   ///< per peer; more are answered "busy"
  /// Processor time for answering (cutting, quantising, hashing, packing; not TLS) in a second, of one peer and of all
  /// together; 0: no limit. What is not used counts for one second. Who has used it up is told how long to wait.
  Duration processor_per_peer = 100ms;
  Duration processor_for_all = 250ms;
  /// Of everything that leaves on links; 0: no limit. Peers share it evenly; who would have to wait for long is told so,
  /// and who else may have what he asks for.
  std::size_t send_bytes_per_second = 16u << 20;
  Duration request_timeout = 2s;
  Duration connect_timeout = 2s;
  Duration pull_timeout = 30s;             ///< a whole description or part
  Duration idle_timeout = 30s;             ///< an unused link is closed
  Duration snapshot_life = 30s;            ///< how long what an offer is made of can be asked for
  Duration store_life = std::chrono::minutes(10);  ///< after the last use
};

/// Bytes on links, by kind, both directions, framing included; "link" is what TLS and framing add.
struct TrafficByKind {
  std::map<std::string, std::uint64_t> bytes;  ///< "describe", "manifest", "chunk", "feedback", "link"
};

struct PulledPart {
  std::string family;
  std::vector<SharedBlock> blocks;
  NodeId from;                      ///< whose part it is
  std::size_t bytes_received = 0;   ///< content of blocks as it travelled
  std::size_t bytes_unpacked = 0;   ///< what these bytes stood for
  std::size_t blocks_reused = 0;    ///< were here already
  std::size_t givers = 0;           ///< holders that gave some of it
  std::vector<metadata::Hash> hashes = {};  ///< of each block's content, in the order of `blocks`
  Duration link_took{}, manifest_took{}, chunks_took{};
};

struct PeerStats {
  NodeId id;
  Endpoint endpoint;         ///< where this node links to it; port 0: it never did, the peer did
  std::uint64_t sent = 0, received = 0;
  Duration round_trip{};     ///< of a request; 0: none was sent to it
  bool connected = false;
  Endpoint remote = {};      ///< the far end of a link that is open; port 0: of none
};

/// Serves this node's parts and pulls those of others, over links that are kept while they are useful.
///
/// Protocol (README.md, "Frames"): length-prefixed msgpack frames; every request has an id and a deadline. Whoever is
/// asked for a part answers with the hash of its manifest, which names blocks by SHA-256; all of these are content,
/// fetched by hash from anybody who has it and believed when the hash fits. Anything malformed ends the link. Each
/// operation reports exactly once, and never from inside the call that started it.
///
/// Links: one per pair, used in both directions. When two peers connect to each other at the same time, both keep
/// the link that the smaller key began; the other one still answers what is under way and goes when it is quiet.
/// Snapshots: what an Offer is made of can be had for ExchangeLimits::snapshot_life after its last use, however much
/// the model has learned meanwhile. Whoever asks for the same within half a second gets the same.
/// Deltas: blocks that are here do not travel; of a block whose older version came from the same holder, what has changed
/// travels when that is shorter; everything else is compressed when that pays (chunk_coder.hpp). Nothing is rounded.
/// Serving on: what was pulled here is kept (store_bytes, store_life), need not travel again, and is given to others by
/// its hash; a holder names those who have asked for the same lately, so that a crowd serves itself. What this node
/// offers of its own is always its own model.
/// Thread: the executor's.
/// Errors: `untrusted` (key, signature or hash does not fit), `malformed` and `limit_exceeded` (what the peer sent),
/// `version`, `timeout`, `closed` (it went away), `not_found` (it does not serve this), `unavailable` (busy, or its
/// snapshot is gone), `full` (no room for another link), `cancelled`.
class Exchange {
 public:
  Exchange(Executor& executor, Transport& transport, ExchangeHost host, ExchangeLimits limits);
  /// Ends all links; reports nothing any more. shutdown() first, where reports matter.
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  struct Peer {
    NodeId id;
    Endpoint endpoint;
  };
  /// The peer's description of itself, signature checked; `untrusted` when it is somebody else's.
  void describe(const Peer& peer, const metadata::TaskId& task, std::uint32_t max_classes,
                std::function<void(Result<metadata::Description>)> done);
  /// The part that the first of `holders` (at least one) to answer has for `classes` (empty: all) now. Its content comes
  /// from that one, from the other holders, and from those that they name, as far as they have it; when a link breaks,
  /// it goes on where it was.
  void pull(const std::vector<Peer>& holders, const metadata::TaskId& task, const std::vector<std::int32_t>& classes,
            std::function<void(Result<PulledPart>)> done);
  /// Tells the helper what its part was worth: accuracy gained, -1 .. 1. Best effort.
  void feedback(const Peer& peer, const metadata::TaskId& task, double gain);

  TrafficByKind traffic() const;
  std::vector<PeerStats> peers() const;
  /// Requests answered for others.
  std::uint64_t served() const;
  /// Ends all links and fails what is under way with `cancelled`.
  void shutdown();

 private:
  class State;
  std::shared_ptr<State> state_;
};

}  // namespace p2p::overlay

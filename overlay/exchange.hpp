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
  std::size_t links = 64;                  ///< open at once
  std::size_t requests_per_link = 16;      ///< unanswered, in either direction
  std::size_t requests_per_second = 200;   ///< per peer; more are answered "busy"
  Duration request_timeout = 2s;
  Duration connect_timeout = 2s;
  Duration pull_timeout = 30s;             ///< a whole description or part, once linked
  Duration idle_timeout = 30s;             ///< an unused link is closed
  Duration snapshot_life = 30s;            ///< how long an offered manifest's blocks can be asked for
};

/// Bytes on links, by kind, both directions, framing included; "link" is what TLS and framing add.
struct TrafficByKind {
  std::map<std::string, std::uint64_t> bytes;  ///< "describe", "manifest", "chunk", "feedback", "link"
};

struct PulledPart {
  std::string family;
  std::vector<SharedBlock> blocks;
  std::size_t bytes_received = 0;   ///< content that travelled
  std::size_t blocks_reused = 0;    ///< already here, by hash: their content is empty
  std::vector<metadata::Hash> hashes = {};  ///< of each block's content, in the order of `blocks`
  Duration link_took{}, manifest_took{}, chunks_took{};
};

struct PeerStats {
  NodeId id;
  Endpoint endpoint;
  std::uint64_t sent = 0, received = 0;
  Duration round_trip{};
  bool connected = false;
};

/// Serves this node's parts and pulls those of others, over links that are kept while they are useful.
///
/// Protocol (README.md, "Frames"): length-prefixed msgpack frames; every request has an id and a deadline; a
/// manifest names blocks by SHA-256; content comes in chunks and is believed when its hash fits. Anything malformed
/// ends the link. Each operation reports exactly once, and never from inside the call that started it.
///
/// Links: one per pair, used in both directions. When two peers connect to each other at the same time, both keep
/// the link that the smaller key began; the other one still answers what is under way and goes when it is quiet.
/// Snapshots: a manifest and its chunks come from one Offer, kept for ExchangeLimits::snapshot_life after its last
/// use, however much the model has learned meanwhile. Whoever asks for the same within half a second gets the same.
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
  /// The blocks for `classes` (empty: all). `have`: content that is here already and need not travel.
  void pull(const Peer& peer, const metadata::TaskId& task, const std::vector<std::int32_t>& classes,
            const std::vector<metadata::Hash>& have, std::function<void(Result<PulledPart>)> done);
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

// What this node answers its peers: descriptions, manifests, chunks; snapshots, crowds and rates.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "metadata/base/random.hpp"
#include "overlay/chunk_coder.hpp"
#include "overlay/content_store.hpp"
#include "overlay/exchange.hpp"
#include "overlay/messages.hpp"
#include "overlay/pacer.hpp"
#include "overlay/processor_budget.hpp"

namespace p2p::overlay {

/// Answers requests; one for all links.
///
/// A manifest opens a snapshot: an Offer that stays as it is while the model learns on, and whose content can be asked
/// for until snapshot_life after the last use; the store has what was pulled here, and what was given of snapshots that
/// are gone. Copying a model for every question would let a peer make this node copy without end, so the same question
/// within kFresh gets the same snapshot, and so does who is offered what another was (it is hashed once), a peer opens at most kSnapshotsPerPeer within one life, and all snapshots
/// together are at most kSnapshots and hold at most twice part_bytes: beyond that, the one that was unused for longest
/// goes.
/// Crowds: of each content the kMostAskers latest peers that asked for it are remembered. kMaxHolders / 2 of them, drawn at
/// random, are named with each manifest, and whenever this node is too busy to send. Each of these remembers its own
/// askers, so that a crowd becomes a tree.
/// Processor time: a request is begun when its peer, and all peers together, have some left; what it took is then taken
/// off, so that one dear request makes its peer wait for as long as it was dear.
/// Rate: a bucket of requests_per_second per peer; who goes on asking as often again is `abusive`.
class Server {
 public:
  static constexpr Duration kFresh = 500ms;
  static constexpr std::size_t kSnapshotsPerPeer = 8;
  static constexpr std::size_t kSnapshots = 64;  ///< of all peers together
  static constexpr std::size_t kCrowds = 256;    ///< contents whose askers are remembered
  static constexpr std::size_t kMostAskers = 64;

  struct Parts {
    std::shared_ptr<ContentStore> store;
    std::shared_ptr<ChunkCoder> coder;
    std::shared_ptr<Pacer> pacer;
  };
  Server(Executor& executor, const ExchangeHost& host, const ExchangeLimits& limits, Parts parts, std::uint64_t seed)
      : executor_(executor),
        host_(host),
        limits_(limits),
        store_(std::move(parts.store)),
        coder_(std::move(parts.coder)),
        pacer_(std::move(parts.pacer)),
        random_(seed) {}

  struct Answer {
    std::optional<Message> message;
    bool abusive = false;  ///< end the link
  };
  Answer answer(const NodeId& peer, const Hello& bounds, const Message& request);

  /// "Busy": what waits for the pacer takes too long. When to ask again, and whom instead.
  Message no_room(const NodeId& peer, const Hello& bounds, const ChunkRequest& request);

  /// Requests answered with what they asked for.
  std::uint64_t served() const { return served_; }
  std::size_t snapshots() const { return snapshots_.size(); }

 private:
  /// Contents that are served from one moment: a manifest and its blocks, or a description.
  struct Snapshot {
    std::optional<metadata::TaskId> task;   ///< none: a description
    std::vector<std::int32_t> classes;
    std::shared_ptr<const Offer> offer;     ///< null: a description
    std::vector<std::pair<metadata::Hash, ContentStore::Content>> contents;  ///< the manifest first
    std::vector<bool> given;
    std::size_t bytes = 0;
    std::size_t content_bytes = 0;          ///< of the part alone
    TimePoint made, used;
  };
  struct Crowd {
    std::deque<Holder> askers;  ///< the latest last
    TimePoint used;
  };
  struct Guest {
    ProcessorBudget processor;
    double tokens = 0, refusals = 0;
    TimePoint refilled;
    std::deque<TimePoint> opened;  ///< when it made this node copy a model
  };

  Guest& guest(const NodeId& peer);
  /// Not now, and when to come again; ends the link of who does not heed it.
  Answer busy(Guest& guest, const Message& request, std::string text, Refusal::Why why, Duration wait);
  Message serve(const NodeId& peer, Guest& guest, const Hello& bounds, const DescribeRequest& request);
  Message serve(const NodeId& peer, Guest& guest, const Hello& bounds, const ManifestRequest& request);
  Message serve(const NodeId& peer, Guest& guest, const Hello& bounds, const ChunkRequest& request);
  ManifestAnswer head(const NodeId& peer, const Hello& bounds, Snapshot& snapshot, std::size_t along);
  /// Puts the snapshot's content into its head when it has at most `most` bytes, and the head with it at most `room`.
  void add_content(ManifestAnswer& head, Snapshot& snapshot, std::size_t most, std::size_t room);
  /// Null: not here.
  ContentStore::Content find(const metadata::Hash& hash);
  /// Remembers that this peer asks for it.
  Crowd& join_crowd(const metadata::Hash& hash, const NodeId& peer, const Hello& bounds);
  /// Some of the others who did lately.
  std::vector<Holder> others(const Crowd& crowd, const NodeId& peer);
  std::uint64_t keep(Snapshot snapshot);
  void forget(std::map<std::uint64_t, Snapshot>::iterator snapshot);
  void forget_old();
  void sweep();

  Executor& executor_;
  const ExchangeHost& host_;
  const ExchangeLimits& limits_;
  std::shared_ptr<ContentStore> store_;
  std::shared_ptr<ChunkCoder> coder_;
  std::shared_ptr<Pacer> pacer_;
  Random random_;
  std::map<NodeId, Guest> guests_;
  std::map<std::uint64_t, Snapshot> snapshots_;
  std::map<std::pair<metadata::Hash, std::uint64_t>, std::size_t> served_by_;  // hash and snapshot: place in contents
  std::map<metadata::Hash, Crowd> crowds_;
  std::uint64_t next_snapshot_ = 1;
  ProcessorBudget processor_;  ///< of all
  std::size_t held_bytes_ = 0;
  std::uint64_t served_ = 0;
  Executor::TimerHandle sweep_;  // set while there are snapshots
};

}  // namespace p2p::overlay

// What this node answers its peers: descriptions, manifests, chunks; snapshots and rates.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "overlay/exchange.hpp"
#include "overlay/messages.hpp"

namespace p2p::overlay {

/// Answers requests; one for all links.
///
/// A manifest opens a snapshot: an Offer that stays as it is while the model learns on, and whose chunks can be asked
/// for until snapshot_life after the last use. Copying a model for every question would let a peer make this node
/// copy without end, so the same question within kFresh gets the same snapshot, a peer opens at most
/// kSnapshotsPerPeer within one life, and all snapshots together are at most kSnapshots and hold at most twice
/// part_bytes: beyond that, the one that was unused for longest goes.
/// Rate: a bucket of requests_per_second per peer; who goes on asking as often again is `abusive`.
class Server {
 public:
  static constexpr Duration kFresh = 500ms;
  static constexpr std::size_t kSnapshotsPerPeer = 8;
  static constexpr std::size_t kSnapshots = 64;  ///< of all peers together

  Server(Executor& executor, const ExchangeHost& host, const ExchangeLimits& limits)
      : executor_(executor), host_(host), limits_(limits) {}

  struct Answer {
    std::optional<Message> message;
    bool abusive = false;  ///< end the link
  };
  Answer answer(const NodeId& peer, const Hello& bounds, const Message& request);

  /// Requests answered with what they asked for.
  std::uint64_t served() const { return served_; }
  std::size_t snapshots() const { return snapshots_.size(); }

 private:
  struct Snapshot {
    metadata::TaskId task;
    std::vector<std::int32_t> classes;
    std::shared_ptr<const Offer> offer;   ///< null: a description
    Bytes description;
    std::vector<BlockLine> lines;
    std::size_t bytes = 0;
    TimePoint made, used;
  };
  struct Guest {
    double tokens = 0, refusals = 0;
    TimePoint refilled;
    std::deque<TimePoint> opened;  ///< when it made this node copy a model
  };

  Guest& guest(const NodeId& peer);
  Message serve(Guest& guest, const Hello& bounds, const DescribeRequest& request);
  Message serve(Guest& guest, const Hello& bounds, const ManifestRequest& request);
  Message serve(Guest& guest, const Hello& bounds, const PageRequest& request);
  Message serve(Guest& guest, const Hello& bounds, const ChunkRequest& request);
  Message page(const Hello& bounds, std::uint64_t id, const Snapshot& snapshot, std::uint32_t first) const;
  Snapshot* find(std::uint64_t id);
  std::uint64_t keep(Snapshot snapshot);
  void forget_old();
  void sweep();

  Executor& executor_;
  const ExchangeHost& host_;
  const ExchangeLimits& limits_;
  std::map<NodeId, Guest> guests_;
  std::map<std::uint64_t, Snapshot> snapshots_;
  std::uint64_t next_snapshot_ = 1;
  std::size_t held_bytes_ = 0;
  std::uint64_t served_ = 0;
  Executor::TimerHandle sweep_;  // set while there are snapshots
};

}  // namespace p2p::overlay

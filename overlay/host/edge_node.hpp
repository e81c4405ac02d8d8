// The real thing in one object: a node on libuv, GnuTLS and OpenDHT, with its state on disk. This is what an
// application embeds.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "metadata/task.hpp"
#include "overlay/dht.hpp"
#include "overlay/directory/registry.hpp"
#include "overlay/node/node.hpp"

namespace p2p::host {

struct EdgeNodeOptions {
  std::string name = "node";           ///< for people
  metadata::Task task;
  std::string state_dir;               ///< key.pem, snapshot, lock; made if missing; empty: nothing is kept
  std::string bind = "127.0.0.1";      ///< address of both sockets
  std::uint16_t dht_port = 0;          ///< UDP; 0: any free one
  std::uint16_t link_port = 0;         ///< TCP; 0: any free one
  std::vector<std::string> seeds;      ///< "host:port"; empty: the first of its overlay
  /// Where a registry answers (`p2p-learner registry`), and the key that it proves: then there is no DHT at all, and no
  /// seeds.
  std::optional<metadata::Endpoint> registry;
  metadata::NodeId registry_key;
  directory::registry::Similarity registry_similarity = directory::registry::Similarity::embedding;
  std::string network = "p2p-learner"; ///< overlays with other names are not seen; no secret
  bool isolated = false;               ///< no overlay at all
  overlay::Duration snapshot_every = std::chrono::seconds(10);
  node::NodeOptions node;
  /// Runs on the node's thread; must not block, feed the node or destroy it. It may ask status() and predict().
  std::function<void(const node::Event&)> on_event;
  /// What keeps the node from being found or from finding others at its registry, for people. As on_event.
  std::function<void(const Error&)> on_trouble = {};
};

struct EdgeNodeStatus {
  std::string name;
  std::string id;                      ///< 64 hexadecimal digits; empty when isolated and without state
  std::string task_id;
  metadata::Endpoint dht, link;
  node::NodeStatus node;
  overlay::DhtStats overlay;
  overlay::TrafficByKind traffic;
  std::vector<overlay::PeerStats> peers;
  std::uint64_t handshakes = 0, resumed_handshakes = 0;  ///< of links, whichever end began; of these, without signatures
  double uptime_s = 0;
  std::string last_snapshot_error;     ///< empty: the last one was written
};

/// One running node. All members may be called from any thread; calls wait for the node's own thread, which
/// never waits for a peer or a disk.
///
/// Invariants: what start() finds in the state directory and cannot read, it leaves as it is. A snapshot that cannot
/// be written costs nothing but itself: the former one stays, learning goes on, last_snapshot_error says why.
class EdgeNode {
 public:
  /// Starts threads, binds, joins in the background, loads the state directory's snapshot. Errors: `in_use` (port,
  /// state directory), `io`, `malformed`/`version`/`untrusted` (key, snapshot), `invalid_argument` (options).
  static Result<std::unique_ptr<EdgeNode>> start(EdgeNodeOptions options);
  /// Writes a last snapshot, leaves the overlay, joins its threads.
  ~EdgeNode();

  struct Sample {
    std::span<const float> x;                     ///< (raw_features x 1)
    std::optional<learner::ClassIndex> label;
  };
  Result<node::Outcome> process(const Sample& sample);
  /// The same for many, with one hand-over between threads. Stops at the first error; what came before it counts.
  Result<std::vector<node::Outcome>> process(std::span<const Sample> samples);
  /// The label of a sample that was processed without one, by its Outcome's ticket: node::Node::label().
  Result<node::Outcome> label(std::uint64_t ticket, learner::ClassIndex label);
  Result<learner::ClassIndex> predict(std::span<const float> x) const;

  EdgeNodeStatus status() const;
  std::vector<node::DriftReport> drifts() const;
  /// Who is like me now? Waits for the answer.
  directory::LookupResult lookup() const;
  /// What it has lived through, as it would publish it now.
  Result<metadata::Fingerprint> fingerprint() const;
  /// How the directory stands, and who is listed in a bucket; `unavailable` for a node without one, or whose table is
  /// silent. Both wait.
  Result<directory::Standing> standing() const;
  /// Where nobody at all is heard for kSilence, silence() is the error of read_bucket().
  Result<directory::Bucket> read_bucket(const metadata::Place& place) const;
  bool has_table() const;
  /// As status().overlay; all 0 for a node without a table.
  overlay::DhtStats table() const;
  /// That nobody answered, for people: where this node asked, or that there is nobody whom it could ask. `unavailable`.
  Error silence(overlay::Duration waited) const;
  /// OpenDHT sends a request three times, a second apart: two are lost now and then, a node that is there has answered one.
  static constexpr overlay::Duration kSilence = std::chrono::seconds(2);
  /// The directory's lookup() and watch() for any need: they return at once, and what they are given is called on the
  /// node's thread, where it must not block; `done` not at all if the node ends before. A need must have the task's
  /// dimensions and classes. `unavailable` for a node without a directory, `limit_exceeded` for one watch too many.
  Result<void> lookup(const metadata::Need& need, directory::LookupOptions how,
                      std::function<void(directory::LookupResult)> done) const;
  Result<std::uint64_t> watch(const metadata::Need& need, double within,
                              std::function<void(const directory::Candidate&)> on_candidate) const;
  void unwatch(std::uint64_t number) const;
  /// Node::rollback() and Node::redo(), then a snapshot.
  Result<void> rollback(std::uint64_t drift);
  Result<void> redo(std::uint64_t drift);
  /// Writes a snapshot now; `full` or `io` leave the former one in place.
  Result<void> save();

 private:
  struct State;
  template <typename Change>
  Result<void> changed(Change change);
  explicit EdgeNode(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace p2p::host

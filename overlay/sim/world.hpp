// What the simulated seams share; not for users of the simulation.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "metadata/base/random.hpp"
#include "overlay/sim/simulation.hpp"

namespace p2p::sim {

struct Connection;
struct HostState;
struct Run;

/// A value that a host keeps for others.
struct Stored {
  Bytes data;
  TimePoint expires;
};
struct StoredText {
  std::string text;
  TimePoint expires;
};

/// The hosts of one overlay in the order of their ids: a trie without nodes. The nearest to a key by exclusive or are
/// found by descending, so that an operation among thousands of hosts costs what it costs among ten.
class Members {
 public:
  void add(HostState& host);
  void remove(HostState& host);
  std::size_t size() const { return hosts_.size(); }
  const std::vector<HostState*>& all() const { return hosts_; }
  /// Calls `visit` with the nearest first, until it returns false.
  void visit_nearest(const DhtKey& key, const std::function<bool(HostState&)>& visit) const;

 private:
  std::vector<HostState*>::iterator place(const HostState& host);
  std::vector<HostState*> hosts_;
};

/// Timers and posts of one run of a host.
class HostExecutor final : public overlay::Executor {
 public:
  explicit HostExecutor(Run& run) : run_(run) {}
  TimePoint now() const override;
  std::uint64_t wall_ms() const override;
  void post(std::function<void()> task) override;
  TimerHandle after(Duration delay, std::function<void()> task) override;

 private:
  Run& run_;
};

class HostTransport final : public overlay::Transport {
 public:
  explicit HostTransport(Run& run) : run_(run) {}
  void connect(const Endpoint& to, const NodeId& expected, Duration timeout, OnLink done) override;
  void on_accept(std::function<void(std::shared_ptr<overlay::Link>)> handler) override;
  Endpoint local() const override;

  std::function<void(std::shared_ptr<overlay::Link>)> accept;  ///< empty: nobody listens

 private:
  Run& run_;
};

class HostTable final : public overlay::Dht {
 public:
  using DatagramHandler = std::function<void(const Endpoint& from, ByteView datagram)>;
  explicit HostTable(Run& run) : run_(run) {}
  void join(const std::vector<std::string>& seeds) override;
  void put(const DhtKey& key, overlay::DhtValue value, std::function<void(bool)> done) override;
  void get(const DhtKey& key, std::function<bool(const overlay::DhtValue&)> on_value,
           std::function<void(bool)> done) override;
  void put_text(const DhtKey& key, std::uint64_t id, std::string text) override;
  void send(const Endpoint& to, Bytes datagram) override;
  void on_datagram(DatagramHandler handler) override;
  std::vector<Endpoint> neighbours(std::size_t most) const override;
  Endpoint local() const override;
  overlay::DhtStats stats() const override;
  void leave(std::function<void()> done) override;

  std::uint64_t overlay_number = 0;  ///< 0: not joined; hosts with the same number know each other. World::enrol() sets it
  std::map<DhtKey, std::map<std::uint64_t, Stored>> values;
  std::map<DhtKey, std::map<std::uint64_t, StoredText>> texts;
  mutable overlay::DhtStats counters;
  DatagramHandler datagram_handler;
  bool left = false;  ///< its socket is closed

  void store(const DhtKey& key, const overlay::DhtValue& value, bool checked);
  void expire(const DhtKey& key);
  void arrive(const Endpoint& from, ByteView datagram);

 private:
  friend struct Ask;
  void try_join(const std::vector<std::string>& seeds);
  Run& run_;
};

/// One run of a host, from its start to its crash.
struct Run {
  Run(World& the_world, HostState& the_host, EventQueue::Owner the_owner)
      : world(the_world), host(the_host), owner(the_owner), executor(*this), transport(*this), table(*this) {}
  World& world;
  HostState& host;
  EventQueue::Owner owner;
  bool alive = true;
  HostExecutor executor;
  HostTransport transport;
  HostTable table;
  TimePoint uplink_free;  ///< when the last segment that was handed to the wire has left
  std::map<std::uint64_t, std::weak_ptr<Connection>> connections;
};

struct HostState {
  HostState(World& the_world, std::size_t the_index, KeyPair the_key)
      : world(&the_world), index(the_index), key(std::move(the_key)) {}
  World* world;
  std::size_t index;
  KeyPair key;
  std::string name;
  Endpoint endpoint;
  DhtKey table_id{};
  unsigned group = 0;
  std::chrono::milliseconds clock_offset{0};
  bool stalled = false;
  bool liar = false;
  std::vector<std::unique_ptr<Run>> runs;  ///< the last one is the present one
  std::unique_ptr<Host> face;

  Run& run() const { return *runs.back(); }
  bool up() const { return run().alive; }
};

struct World {
  explicit World(std::uint64_t the_seed) : seed(the_seed), random(the_seed), queue(log) {}
  std::uint64_t seed;
  Random random;
  EventLog log;
  EventQueue queue;
  NetworkOptions network;
  TableOptions table;
  bool partitioned = false;
  std::vector<std::unique_ptr<HostState>> hosts;
  std::map<std::string, HostState*> by_endpoint;
  EventQueue::Owner next_owner = 1;
  std::uint64_t next_connection = 1, next_overlay = 1;
  std::map<std::uint64_t, std::weak_ptr<Connection>> connections;
  std::map<std::uint64_t, Members> overlays;  ///< by overlay number
  std::function<void()> check;

  /// Both up and on one side of the partition.
  bool reachable(const HostState& a, const HostState& b) const;
  /// The one way in to, between and out of (number 0) overlays.
  void enrol(Run& run, std::uint64_t number);
  /// The overlay of `run`; null outside of any.
  const Members* members(const Run& run) const;
  /// One way, with fresh jitter.
  Duration latency(const HostState& a, const HostState& b);
  /// What finding the holders of a key takes.
  Duration search_time();
  bool chance(double probability) { return probability > 0 && random.uniform() < probability; }
  /// A member of the overlay of `asker` that it can reach, itself included; the nearest to `key` first.
  std::vector<HostState*> holders(const HostState& asker, const DhtKey& key);
  void note(const HostState& who, std::string_view what) { log.add(queue.now(), who.name, what); }
};

/// Ends all connections of a run. `silently`: the peers are not told.
void drop_connections(Run& run, bool silently);
/// Goes on sending after a stall.
void pump_connections(Run& run);
/// Breaks cycles of links and handlers before the world goes.
void forget_connections(World& world);

}  // namespace p2p::sim

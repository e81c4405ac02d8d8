// A whole overlay in one thread and one seed: virtual time, a network with fault dials, a hash table.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "metadata/crypto.hpp"
#include "metadata/record.hpp"
#include "overlay/dht.hpp"
#include "overlay/executor.hpp"
#include "overlay/sim/event_queue.hpp"
#include "overlay/transport.hpp"

namespace p2p::sim {

using metadata::DhtKey;
using metadata::Endpoint;
using metadata::KeyPair;
using metadata::NodeId;

/// The network as a threat list. Every dial may be turned while the simulation runs.
struct NetworkOptions {
  Duration latency_low = 5ms;    ///< one way; each pair of hosts has its own, fixed, in this range
  Duration latency_high = 40ms;
  Duration jitter = 2ms;         ///< 0 .. this comes on top, anew each time: reorders between links, not within one
  std::uint64_t bandwidth = 12'500'000;  ///< bytes per second that a host can send, all links together; 0: no limit
  double loss = 0;               ///< of a table's message or datagram; a stream's segment is late by `retransmit` instead
  double duplication = 0;        ///< of a table's message or datagram
  double link_break = 0;         ///< per segment: both ends see `io`
  double corruption = 0;         ///< per segment: one bit flips on the way
  Duration retransmit = 200ms;
  Duration dead_after = 10s;     ///< a stream that cannot deliver for so long breaks with `timeout`
  std::size_t segment_bytes = 16 * 1024;   ///< what arrives in one piece
  std::size_t window_bytes = 256 * 1024;   ///< sent and not yet read by the peer; more waits at the sender
};

struct TableOptions {
  std::size_t holders = 8;       ///< a value lies on so many reachable hosts, the nearest to its key
  Duration expiry = std::chrono::minutes(20);
  Duration text_expiry = std::chrono::minutes(10);
  Duration retry = 1s;           ///< a lost question is asked again after this, three times in all
  unsigned hops = 2;             ///< round trips to find the holders
  std::size_t values_per_key = 1024;   ///< on one holder
  bool down = false;             ///< all operations fail, as before joining, and datagrams are lost
};

struct HostOptions {
  std::string name;              ///< empty: "h<index>"
  unsigned group = 0;            ///< side in a partition
  std::chrono::milliseconds clock_offset{0};  ///< of its wall clock from the true time
};

enum class Crash {
  process,  ///< the operating system lives on: peers see their links closed, connects are refused
  power,    ///< nothing says so: peers see silence
};

struct HostState;
struct World;

/// One simulated machine. Its three seams belong to the current run of the machine: after crash() they are dead
/// (posts and timers never run, calls do nothing), after restart() there are new ones. Dead ones stay in memory
/// until the simulation goes, so that logic which is destroyed late refers to live objects.
class Host {
 public:
  explicit Host(HostState& state) : state_(state) {}
  const std::string& name() const;
  std::size_t index() const;
  const KeyPair& key() const;
  const NodeId& id() const;
  const Endpoint& endpoint() const;
  /// Endpoint as a seed for Dht::join.
  std::string seed() const;
  bool up() const;

  overlay::Executor& executor();
  overlay::Transport& transport();
  overlay::Dht& dht();

  /// Stops the machine; what it stored for others is gone.
  void crash(Crash how = Crash::process);
  void restart();
  void set_group(unsigned group);
  void set_clock_offset(std::chrono::milliseconds offset);
  /// Its links stay open, and nothing that it sends leaves it.
  void stall_links(bool stalled);
  /// As a holder it stores anything, and answers with junk, damaged values and values of other keys.
  void set_table_liar(bool liar);

  /// Values that it holds for others now.
  std::size_t stored_values() const;

 private:
  HostState& state_;
};

/// Thread: one. Everything made from a simulation must go before it.
/// Bounds: a simulation lives in memory. 1000 hosts that publish and look up took 87 MB with their log, and 18 s of a
/// core, most of it for the signatures that holders check.
class Simulation {
 public:
  explicit Simulation(std::uint64_t seed);
  ~Simulation();
  Simulation(const Simulation&) = delete;
  Simulation& operator=(const Simulation&) = delete;

  /// References stay valid as long as the simulation.
  Host& add_host(HostOptions options = {});
  Host& host(std::size_t index);
  std::size_t hosts() const;

  NetworkOptions& network();
  TableOptions& table();
  EventLog& log();
  std::uint64_t seed() const;
  TimePoint now() const;
  std::uint64_t events() const;

  /// Hosts reach only their own group, until heal().
  void partition();
  void heal();
  /// Stores without any check on the holders of `key`: what a liar with many nodes could do.
  void plant(const DhtKey& key, const overlay::DhtValue& value);
  /// Values that hosts hold under `key`: one per holder and id.
  std::size_t copies(const DhtKey& key) const;
  /// A text under `key`, as a person with `dhtnode` would see it.
  std::optional<std::string> text(const DhtKey& key) const;

  /// Calls `call` at that time, as nobody in particular: for scripts of faults.
  void at(TimePoint when, std::function<void()> call);
  /// Called after every event; asserts what must always hold.
  void check_always(std::function<void()> check);
  void run_for(Duration time);
  /// Runs until `condition` holds, tested after every event; false when `limit` passed first.
  bool run_until(const std::function<bool()>& condition, Duration limit);

 private:
  std::unique_ptr<World> world_;
};

}  // namespace p2p::sim

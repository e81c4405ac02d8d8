// Thousands of real OpenDHT nodes in one process and one thread, in virtual time.
//
// What is real: OpenDHT 2.4 as the distribution ships it, our net::OpenDht around it, the ingress filter, the holders'
// checks with their signatures. What is simulated: the network between the ports (one constant latency per pair, loss),
// the clocks, the randomness. So routing tables, searches, retries and time-outs are those of the field, and a run
// repeats bit by bit. overlay/sim is the other simulation: all three seams, with a table that is an idea of one; it tests
// the node's logic, this one the table.
//
//     swarm::Swarm swarm({.seed = 7, .loss = 0.01});
//     swarm::grow(swarm, 300, 10s);                       // 300 nodes, through the first
//     auto& node = swarm.node(17);
//     overlay::Directory directory(node.executor(), node.dht(), ...);
//     swarm.kill(swarm.node(3));
//     REQUIRE(swarm.run_until([&] { return found; }, 30s));
//
// Not simulated: processing time, bandwidth, reordering within a pair, fragmentation, NAT.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "metadata/base/random.hpp"
#include "overlay/dht.hpp"
#include "overlay/executor.hpp"
#include "overlay/net/opendht.hpp"
#include "overlay/sim/event_queue.hpp"
#include "virtual_clock.hpp"

namespace p2p::swarm {

using overlay::Duration;
using overlay::TimePoint;
using overlay::operator""ms;
using overlay::operator""s;

struct SwarmOptions {
  std::uint64_t seed = 1;
  Duration latency_low = 20ms;   ///< one way; each pair has its own, fixed, in this range
  Duration latency_high = 80ms;
  double loss = 0;               ///< of every packet; see Swarm::set_loss
  net::OpenDhtOptions dht{};     ///< of every node; `threaded` is off whatever it says
};

/// What a packet is about.
enum class Kind : std::uint8_t { ping, find, get, put, refresh, listen, reply, error, other, datagram };
inline constexpr std::size_t kKinds = 10;
std::string_view name(Kind kind);

/// Bytes are those on the wire: 28 of IP and UDP headers with each packet.
struct Traffic {
  std::uint64_t sent_packets = 0, sent_bytes = 0, received_packets = 0, received_bytes = 0;
  Traffic& operator+=(const Traffic& other);
  Traffic operator-(const Traffic& earlier) const;
};

class Swarm;

/// One node. It stays in memory after it was killed, deaf, so that logic that is destroyed late refers to live objects.
class Node {
 public:
  std::size_t index() const { return index_; }
  bool alive() const { return alive_; }
  /// 10.x.y.z:4222, another address for each.
  const metadata::Endpoint& endpoint() const { return endpoint_; }
  /// The same as a seed for Dht::join.
  std::string seed() const { return endpoint_.text(); }
  /// Virtual time; dead with the node: posts and timers never run then.
  overlay::Executor& executor() { return *executor_; }
  /// Runs as soon as it has something to do. Neither joined nor killed by anybody else.
  overlay::Dht& dht() { return *dht_; }

  Traffic traffic() const;
  const Traffic& traffic(Kind kind) const { return traffic_[static_cast<std::size_t>(kind)]; }

 private:
  friend class Swarm;
  class Clockwork;
  class Port;
  std::size_t index_ = 0;
  bool alive_ = true;
  metadata::Endpoint endpoint_;
  net::UdpAddress address_;
  std::unique_ptr<overlay::Executor> executor_;
  std::unique_ptr<net::OpenDht> dht_;
  Port* port_ = nullptr;  ///< the table's; null before it starts and once it has left
  std::array<Traffic, kKinds> traffic_{};
};

/// Thread: one. Only one Swarm at a time, because clocks are everybody's. What refers to its nodes goes before it.
/// Bounds: memory, 70 KB a node after joining and 200 KB when a network of 1,000 has seen an hour and 3,500 operations,
/// because OpenDHT keeps searches for an hour; time, a second of a core for about 160,000 events. bench_opendht_sim
/// prints both.
class Swarm {
 public:
  explicit Swarm(SwarmOptions options = {});
  ~Swarm();
  Swarm(const Swarm&) = delete;
  Swarm& operator=(const Swarm&) = delete;

  /// A node that is started and knows nobody. References stay valid as long as the swarm.
  Node& add();
  /// Silence, from this moment on; what it has sent still arrives.
  void kill(Node& node);
  Node& node(std::size_t index) { return *nodes_.at(index); }
  std::size_t size() const { return nodes_.size(); }
  void set_loss(double loss) { options_.loss = loss; }
  Random& random() { return random_; }

  TimePoint now() const { return queue_.now(); }
  /// The wall clock of every node.
  std::uint64_t wall_ms() const { return kEpochMs + static_cast<std::uint64_t>(now().us / 1000); }
  /// Calls `call` at that time, on nobody's behalf.
  void at(TimePoint when, std::function<void()> call);
  void run_for(Duration time);
  /// Runs until `condition` holds, tested after every event; false when `limit` passed first.
  bool run_until(const std::function<bool()>& condition, Duration limit);

  /// Of all nodes together, also dead ones.
  Traffic traffic() const;
  Traffic traffic(Kind kind) const;
  std::uint64_t events() const { return queue_.ran(); }
  /// Of everything that has happened: two runs are the same when their digests are.
  std::uint64_t digest() const { return log_.hash(); }

 private:
  friend class Node;
  void send(Node& from, const net::UdpAddress& to, ByteView bytes);
  Duration latency(std::size_t a, std::size_t b) const;

  SwarmOptions options_;
  Random random_;
  sim::EventLog log_{0};
  sim::EventQueue queue_{log_};
  std::vector<std::unique_ptr<Node>> nodes_;
  std::map<net::UdpAddress, Node*> by_address_;
};

/// Adds `count` nodes within `over`, one after the other, which join through the swarm's first.
void grow(Swarm& swarm, std::size_t count, Duration over);

}  // namespace p2p::swarm

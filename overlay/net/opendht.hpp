// The distributed hash table of the real world: OpenDHT behind a socket of our own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "metadata/record.hpp"
#include "overlay/dht.hpp"
#include "overlay/executor.hpp"
#include "overlay/net/datagram_port.hpp"
#include "overlay/net/ingress_filter.hpp"

namespace p2p::net {

struct OpenDhtOptions {
  std::string bind = "127.0.0.1";        ///< numeric IPv4 address; nothing else is listened on
  std::uint16_t port = 0;                ///< UDP; 0: any free one
  std::string network = "p2p-learner";   ///< overlays with other names are ignored; no secret
  IngressLimits ingress{};
  /// Requests answered per second, in all and per address. Both are set, or both are off (-1): one alone makes
  /// OpenDHT 2.4 refuse everything.
  std::int64_t requests_per_second = 8192;
  std::int64_t requests_per_second_and_address = 2048;
  overlay::Duration operation_timeout = overlay::Duration{std::chrono::seconds(20)};  ///< of a put or get
  overlay::Duration leave_timeout = overlay::Duration{std::chrono::seconds(3)};
  int receive_buffer_bytes = 4 << 20;    ///< of the kernel
  /// false: OpenDHT has no thread but runs on the executor, when packets come and when its timers are due. For
  /// simulations, where the port and the clock are simulated too, and for many nodes in one process. Seeds should be
  /// numeric then: a name would be resolved on the executor.
  bool threaded = true;
};

/// A place to join at.
struct Seed {
  std::string host;  ///< name or numeric address
  std::uint16_t port = 0;
};
/// "host:port" or "[address]:port"; `invalid_argument` otherwise.
Result<Seed> parse_seed(std::string_view text);

/// The number by which OpenDHT tells a network of this name from others; `dhtnode -n` takes it. Never 0, which is
/// OpenDHT's public network.
std::uint32_t network_id(const std::string& name);

/// overlay::Dht on OpenDHT 2.4.
///
/// OpenDHT calls back on a thread of its own (or from inside a task of the executor); such a callback copies what it
/// got, posts it to the executor and returns. Datagrams of our own share the port (DatagramSwitch). No OpenDHT identity is used and no value of an OpenDHT owner is stored or read: records are signed by
/// their nodes (metadata::seal), and every packet passes the ingress filter before OpenDHT sees it.
///
/// Invariants: each `done` exactly once, on the executor, even when OpenDHT forgets it: operations have their own
/// deadline. The constructor starts nothing.
/// Thread: the executor's. local() from any, but not while start() runs.
/// Bounds: OpenDHT's store (64 MB), rate limits, IngressLimits, DatagramSwitch::kMaxWaiting.
class OpenDht final : public overlay::Dht {
 public:
  /// `executor` must go on running until leave()'s `done` has been called or this object is destroyed.
  /// Without a `port` start() opens a UdpPort; with one, `bind`, `port` and `receive_buffer_bytes` mean nothing.
  OpenDht(overlay::Executor& executor, OpenDhtOptions options, std::unique_ptr<DatagramPort> port = nullptr);
  /// Leaves without waiting for the network; outstanding callbacks are not called any more.
  ~OpenDht() override;

  /// Binds the socket and starts OpenDHT. `in_use`, `invalid_argument` (address), `io`.
  Result<void> start();

  /// Seeds that parse_seed() refuses are skipped. Tried again, ever more slowly, whenever we are connected to nobody.
  void join(const std::vector<std::string>& seeds) override;
  /// done(false) also when the deadline passed. Records larger than kMaxRecordBytes are not sent.
  void put(const overlay::DhtKey& key, overlay::DhtValue value, std::function<void(bool)> done) override;
  void get(const overlay::DhtKey& key, std::function<bool(const overlay::DhtValue&)> on_value,
           std::function<void(bool)> done) override;
  /// A text longer than kMaxTextBytes is cut: a cut text is better than none for a person, and no program reads it.
  void put_text(const overlay::DhtKey& key, std::uint64_t id, std::string text) override;
  /// Goes out at once. IPv4 only, as all of the table.
  void send(const overlay::Endpoint& to, Bytes datagram) override;
  void on_datagram(std::function<void(const overlay::Endpoint& from, ByteView datagram)> handler) override;
  std::vector<overlay::Endpoint> neighbours(std::size_t most) const override;
  /// Where we are bound: 0.0.0.0 if that is what `bind` says. Port 0 before start().
  overlay::Endpoint local() const override;
  overlay::DhtStats stats() const override;
  void leave(std::function<void()> done) override;

  /// Values of ours on the table have this OpenDHT type; all nodes of the overlay know it.
  static constexpr std::uint16_t kValueType = 4243;
  /// What OpenDHT sends in one packet; larger values it splits, and split values are refused.
  static constexpr std::size_t kMaxRecordBytes = 559;
  static constexpr std::size_t kMaxTextBytes = 540;

 private:
  class State;
  std::shared_ptr<State> state_;
};

}  // namespace p2p::net

// Two protocols on one port: which received packets are OpenDHT's, and which are datagrams of our own.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "overlay/dht.hpp"
#include "overlay/executor.hpp"
#include "overlay/net/datagram_port.hpp"
#include "overlay/net/ingress_filter.hpp"

namespace p2p::net {

/// Sits between a DatagramPort and OpenDHT. A datagram of our own begins with the byte 0xc1, which begins no msgpack
/// document and so no packet of OpenDHT's, then the network's number (32 bits, big-endian), then its content:
///
///     c1  1f 2e 3d 4c  68 69      "hi" to the nodes of network 0x1f2e3d4c
///
/// Such datagrams are copied and posted to the executor; those of other networks are dropped. All else is OpenDHT's if
/// the ingress filter lets it pass.
///
/// Bounds: at most kMaxWaiting datagrams are on their way to the executor; more are dropped and counted as refused, so
/// that a flood costs the sender's bandwidth and not our memory.
/// Thread: counters from any; what the port hands over comes on its thread; the rest on the executor's.
class DatagramSwitch final : public std::enable_shared_from_this<DatagramSwitch> {
 public:
  using OnDatagram = std::function<void(const metadata::Endpoint& from, ByteView datagram)>;
  static constexpr std::uint8_t kMark = 0xc1;
  static constexpr std::size_t kHeaderBytes = 5;
  static constexpr std::size_t kMaxWaiting = 1024;

  DatagramSwitch(overlay::Executor& executor, std::unique_ptr<DatagramPort> port, std::uint32_t network,
                 const IngressLimits& limits);

  /// `on_packets` gets OpenDHT's packets on the port's thread, and must not throw.
  void start(DatagramPort::OnPackets on_packets);
  /// Ends the port: nothing is received any more. Any thread.
  void stop();

  UdpAddress local() const { return port_->local(); }
  /// A packet of OpenDHT's; any thread. 0 or errno.
  int send_packet(const UdpAddress& to, ByteView packet) noexcept;
  /// A datagram of ours; one that is too long or goes to no IPv4 address is not sent.
  void send(const metadata::Endpoint& to, ByteView datagram);
  void on_datagram(OnDatagram handler) { handler_ = std::move(handler); }
  /// Adds what has been counted.
  void count(overlay::DhtStats& into) const;

 private:
  void sort(std::span<const Packet> packets);
  void accept(const Packet& packet);

  struct Counters {
    std::atomic<std::uint64_t> sent_packets{0}, sent_bytes{0}, received_packets{0}, received_bytes{0}, refused{0};
    std::atomic<std::uint64_t> sent_datagrams{0}, sent_datagram_bytes{0}, received_datagrams{0},
        received_datagram_bytes{0};
  };

  overlay::Executor& executor_;
  const std::unique_ptr<DatagramPort> port_;
  const std::array<std::uint8_t, kHeaderBytes> header_;
  const IngressLimits limits_;
  DatagramPort::OnPackets on_packets_;
  OnDatagram handler_;
  std::atomic<std::size_t> waiting_{0};
  Counters counters_;
};

}  // namespace p2p::net

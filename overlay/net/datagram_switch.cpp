#include "overlay/net/datagram_switch.hpp"

#include <algorithm>
#include <array>

namespace p2p::net {

using metadata::Endpoint;

namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

std::array<std::uint8_t, DatagramSwitch::kHeaderBytes> header_of(std::uint32_t network) {
  return {DatagramSwitch::kMark, static_cast<std::uint8_t>(network >> 24), static_cast<std::uint8_t>(network >> 16),
          static_cast<std::uint8_t>(network >> 8), static_cast<std::uint8_t>(network)};
}

}  // namespace

DatagramSwitch::DatagramSwitch(overlay::Executor& executor, std::unique_ptr<DatagramPort> port, std::uint32_t network,
                               const IngressLimits& limits)
    : executor_(executor), port_(std::move(port)), header_(header_of(network)), limits_(limits) {}

void DatagramSwitch::start(DatagramPort::OnPackets on_packets) {
  on_packets_ = std::move(on_packets);
  port_->start([this](std::span<const Packet> packets) {
    try {
      sort(packets);
    } catch (const std::exception&) {
      // No memory for these packets: the network may lose packets, and so may we.
    }
  });
}

void DatagramSwitch::stop() { port_->stop(); }

int DatagramSwitch::send_packet(const UdpAddress& to, ByteView packet) noexcept {
  const int error = port_->send(to, packet);
  if (error != 0) return error;
  counters_.sent_packets.fetch_add(1, kRelaxed);
  counters_.sent_bytes.fetch_add(packet.size(), kRelaxed);
  return 0;
}

void DatagramSwitch::send(const Endpoint& to, ByteView datagram) {
  const auto address = udp_address(to);
  if (!address || datagram.size() > overlay::Dht::kMaxDatagramBytes) return;
  std::array<std::uint8_t, kHeaderBytes + overlay::Dht::kMaxDatagramBytes> packet;
  const auto end = std::copy(datagram.begin(), datagram.end(), std::copy(header_.begin(), header_.end(), packet.begin()));
  const ByteView bytes(packet.data(), static_cast<std::size_t>(end - packet.begin()));
  if (send_packet(*address, bytes) != 0) return;
  counters_.sent_datagrams.fetch_add(1, kRelaxed);
  counters_.sent_datagram_bytes.fetch_add(bytes.size(), kRelaxed);
}

void DatagramSwitch::sort(std::span<const Packet> packets) {
  std::vector<Packet> passed;
  passed.reserve(packets.size());
  for (const Packet& packet : packets) {
    counters_.received_packets.fetch_add(1, kRelaxed);
    counters_.received_bytes.fetch_add(packet.bytes.size(), kRelaxed);
    if (!packet.bytes.empty() && packet.bytes[0] == kMark) {
      accept(packet);
    } else if (packet.truncated || check_packet(packet.bytes, limits_) != Refusal::none) {
      counters_.refused.fetch_add(1, kRelaxed);
    } else {
      passed.push_back(packet);
    }
  }
  if (!passed.empty()) on_packets_(passed);
}

void DatagramSwitch::accept(const Packet& packet) {
  const bool ours = !packet.truncated && packet.bytes.size() >= kHeaderBytes &&
                    packet.bytes.size() <= kHeaderBytes + overlay::Dht::kMaxDatagramBytes &&
                    std::equal(header_.begin(), header_.end(), packet.bytes.begin());
  if (!ours || waiting_.load(kRelaxed) >= kMaxWaiting) {
    counters_.refused.fetch_add(1, kRelaxed);
    return;
  }
  counters_.received_datagrams.fetch_add(1, kRelaxed);
  counters_.received_datagram_bytes.fetch_add(packet.bytes.size(), kRelaxed);
  Bytes content(packet.bytes.begin() + kHeaderBytes, packet.bytes.end());
  waiting_.fetch_add(1, kRelaxed);
  executor_.post([weak = weak_from_this(), from = packet.from, content = std::move(content)] {
    const auto self = weak.lock();
    if (!self) return;
    self->waiting_.fetch_sub(1, kRelaxed);
    const auto handler = self->handler_;  // a copy: it may be replaced from inside
    if (handler) handler(endpoint(from), content);
  });
}

void DatagramSwitch::count(overlay::DhtStats& into) const {
  into.sent_packets += counters_.sent_packets;
  into.sent_bytes += counters_.sent_bytes;
  into.received_packets += counters_.received_packets;
  into.received_bytes += counters_.received_bytes;
  into.refused_packets += counters_.refused;
  into.sent_datagrams += counters_.sent_datagrams;
  into.sent_datagram_bytes += counters_.sent_datagram_bytes;
  into.received_datagrams += counters_.received_datagrams;
  into.received_datagram_bytes += counters_.received_datagram_bytes;
}

}  // namespace p2p::net

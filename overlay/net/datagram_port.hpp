// Where the table's packets leave and enter: a UDP socket, or a simulated one.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "metadata/base/bytes.hpp"
#include "metadata/record.hpp"

namespace p2p::net {

/// An IPv4 address and port as numbers: packets are many, and Endpoint keeps its address as a text.
struct UdpAddress {
  std::uint32_t address = 0;  ///< 192.0.2.1 is 0xc0000201
  std::uint16_t port = 0;
  auto operator<=>(const UdpAddress&) const = default;
};
/// Nothing unless `endpoint` is a numeric IPv4 address.
std::optional<UdpAddress> udp_address(const metadata::Endpoint& endpoint);
metadata::Endpoint endpoint(const UdpAddress& address);

/// One received datagram; the bytes are good during the call that shows them.
struct Packet {
  UdpAddress from;
  ByteView bytes;
  bool truncated = false;  ///< there was more
};

/// A bound datagram port. Not an OpenDHT type on purpose: OpenDHT's own stays within opendht.cpp, and a simulation
/// implements this without its headers.
///
/// Thread: send() and local() from any; the rest from the owner's. The handler is called from one thread at a time,
/// which may be the port's own.
class DatagramPort {
 public:
  using OnPackets = std::function<void(std::span<const Packet>)>;

  virtual ~DatagramPort() = default;
  /// Never blocks. 0, or the error's number (errno).
  virtual int send(const UdpAddress& to, ByteView bytes) noexcept = 0;
  virtual UdpAddress local() const = 0;
  /// From now on what comes goes to `handler`, which must not throw; what came before waits, within bounds. Once.
  virtual void start(OnPackets handler) = 0;
  /// The handler is not called again after this returns, unless it is called from inside the handler. May be
  /// called twice, and without start().
  virtual void stop() = 0;
};

}  // namespace p2p::net

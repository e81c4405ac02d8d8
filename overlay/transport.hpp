// Seam 3 of 3: authenticated byte streams between peers.
#pragma once

#include <functional>
#include <memory>

#include "metadata/record.hpp"
#include "overlay/executor.hpp"

namespace p2p::overlay {

using metadata::Endpoint;
using metadata::NodeId;

/// One connection: ordered, reliable, encrypted where it crosses a wire, both ends proven by their node keys.
///
/// Thread: the executor's. Handlers are set once, right after the link is handed over, and never run from
/// inside a call on the same link. After on_closed nothing more is called. Destroying the last reference
/// closes the link without a call.
class Link {
 public:
  struct Handlers {
    std::function<void(ByteView)> on_data;      ///< the view is valid during the call
    std::function<void()> on_drained;           ///< queued() fell below the low-water mark again
    std::function<void(const Error&)> on_closed;  ///< `closed`: the peer ended it in order
  };
  virtual ~Link() = default;
  virtual const NodeId& peer() const = 0;
  /// The far end's address as the network shows it: where the peer accepts if we connected, any port of its if it did.
  /// Port 0: not known.
  virtual Endpoint remote() const { return {}; }
  virtual void start(Handlers handlers) = 0;
  /// Queues bytes; the sender keeps queued() below kHighWater and waits for on_drained otherwise.
  virtual void send(Bytes bytes) = 0;
  /// The same for `head` and, right behind it, `body`, which is needed during the call only.
  virtual void send_with(Bytes head, ByteView body) {
    head.insert(head.end(), body.begin(), body.end());
    send(std::move(head));
  }
  virtual std::size_t queued() const = 0;
  /// Stop and go on reading: back-pressure on the peer.
  virtual void pause_reading() = 0;
  virtual void resume_reading() = 0;
  /// Sends what is queued, then ends the stream in order.
  virtual void close() = 0;
  virtual std::uint64_t bytes_sent() const = 0;      ///< on the wire, framing and handshake included
  virtual std::uint64_t bytes_received() const = 0;

  static constexpr std::size_t kHighWater = 256 * 1024;
  static constexpr std::size_t kLowWater = 64 * 1024;
};

/// Makes links.
class Transport {
 public:
  using OnLink = std::function<void(Result<std::shared_ptr<Link>>)>;
  virtual ~Transport() = default;

  /// Connects to `to`, which must prove to hold the key of `expected` (`untrusted` otherwise). Exactly one call of
  /// `done`, after at most `timeout`.
  virtual void connect(const Endpoint& to, const NodeId& expected, Duration timeout, OnLink done) = 0;
  /// Peers that connect to us, each with its proven key.
  virtual void on_accept(std::function<void(std::shared_ptr<Link>)> handler) = 0;
  /// Where we accept; port 0 before listening.
  virtual Endpoint local() const = 0;
};

}  // namespace p2p::overlay

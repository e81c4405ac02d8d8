// A wire with a length: TCP between two ports of loopback, every byte a fixed time later.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace p2p::net::testing {

/// Takes connections on a port of its own and passes each on to `port`, delaying both directions by half of
/// `round_trip`. Connecting costs a round trip as on a real wire: what a client says before it has heard anything is a
/// whole round trip later still. Not emulated: bandwidth, loss, and TCP's slow start.
/// Thread: the maker's; four threads a connection do the work. The destructor ends all connections.
class DelayRelay {
 public:
  DelayRelay(std::uint16_t port, std::chrono::microseconds round_trip);
  ~DelayRelay();
  DelayRelay(const DelayRelay&) = delete;
  DelayRelay& operator=(const DelayRelay&) = delete;

  std::uint16_t port() const { return port_; }

 private:
  struct Pipe;
  void accept_all(std::uint16_t to);

  std::chrono::microseconds round_trip_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::vector<std::shared_ptr<Pipe>> pipes_;  // of acceptor_, until it has ended
  std::vector<std::thread> threads_;
  std::vector<int> sockets_;
  std::thread acceptor_;
};

}  // namespace p2p::net::testing

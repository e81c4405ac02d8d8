#include "tests/net/delay_relay.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <mutex>

namespace p2p::net::testing {

using Clock = std::chrono::steady_clock;

/// One direction of one connection.
struct DelayRelay::Pipe {
  int from = -1, to = -1;
  Clock::duration delay{};
  std::atomic<std::int64_t>* extra_us = nullptr;  // of the client's first words; 0 once the server has been heard
  bool clears_extra = false;

  struct Piece {
    std::vector<char> bytes;  // none: the end
    Clock::time_point due;
  };
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Piece> pieces;

  void read_all() {
    for (bool more = true; more;) {
      std::vector<char> bytes(64 << 10);
      const ssize_t count = ::recv(from, bytes.data(), bytes.size(), 0);
      more = count > 0;
      bytes.resize(more ? static_cast<std::size_t>(count) : 0);
      const auto extra = clears_extra ? std::chrono::microseconds(0) : std::chrono::microseconds(extra_us->load());
      const std::lock_guard lock(mutex);
      pieces.push_back({std::move(bytes), Clock::now() + delay + extra});
      changed.notify_one();
    }
  }
  void write_all() {
    prctl(PR_SET_TIMERSLACK, 1000);  // nanoseconds: a delay is to be what it says
    for (;;) {
      Piece piece;
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [this] { return !pieces.empty(); });
        piece = std::move(pieces.front());
        pieces.pop_front();
      }
      std::this_thread::sleep_until(piece.due);
      if (clears_extra) extra_us->store(0);
      if (piece.bytes.empty()) break;
      for (std::size_t sent = 0; sent < piece.bytes.size();) {
        const ssize_t count = ::send(to, piece.bytes.data() + sent, piece.bytes.size() - sent, MSG_NOSIGNAL);
        if (count <= 0) break;
        sent += static_cast<std::size_t>(count);
      }
    }
    ::shutdown(to, SHUT_WR);
  }
};

namespace {

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

}  // namespace

DelayRelay::DelayRelay(std::uint16_t port, std::chrono::microseconds round_trip) : round_trip_(round_trip) {
  listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
  auto address = loopback(0);
  socklen_t size = sizeof address;
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(listener_, 8) != 0) std::abort();
  ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this, port] { accept_all(port); });
}

void DelayRelay::accept_all(std::uint16_t to) {
  for (;;) {
    const int client = ::accept(listener_, nullptr, nullptr);
    if (client < 0) return;
    const int server = ::socket(AF_INET, SOCK_STREAM, 0);
    const auto address = loopback(to);
    const int on = 1;
    for (const int socket : {client, server}) ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockets_.insert(sockets_.end(), {client, server});
    if (::connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) std::abort();
    const auto extra = std::make_shared<std::atomic<std::int64_t>>(round_trip_.count());
    for (const bool back : {false, true}) {
      auto pipe = std::make_shared<Pipe>();
      pipe->from = back ? server : client;
      pipe->to = back ? client : server;
      pipe->delay = round_trip_ / 2;
      pipe->extra_us = extra.get();
      pipe->clears_extra = back;
      pipes_.push_back(pipe);
      threads_.emplace_back([pipe, extra] { pipe->read_all(); });
      threads_.emplace_back([pipe, extra] { pipe->write_all(); });
    }
  }
}

DelayRelay::~DelayRelay() {
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  for (const int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
  for (auto& thread : threads_) thread.join();
  for (const int socket : sockets_) ::close(socket);
  ::close(listener_);
}

}  // namespace p2p::net::testing

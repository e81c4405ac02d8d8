// Two transports on one loop, and peers that do not keep to the rules.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "overlay/net/tls_transport.hpp"
#include "support.hpp"

namespace p2p::net::test {

using LinkPtr = std::shared_ptr<overlay::Link>;

/// What one end of a link has seen; touched on the loop's thread only.
struct End {
  LinkPtr link;
  Bytes received;
  std::size_t received_bytes = 0;
  bool keep = true;  ///< the bytes, not only their number
  int drained = 0, closed = 0;
  std::optional<Error> error;

  void take(LinkPtr fresh) {
    link = std::move(fresh);
    link->start({
        .on_data =
            [this](ByteView data) {
              received_bytes += data.size();
              if (keep) received.insert(received.end(), data.begin(), data.end());
            },
        .on_drained = [this] { ++drained; },
        .on_closed =
            [this](const Error& why) {
              ++closed;
              error = why;
            },
    });
  }
};

/// A server with key 1 and a client with key 2.
class TwoNodes {
 public:
  explicit TwoNodes(TlsOptions server_options = {}, TlsOptions client_options = {}) {
    loop.on([&] {
      server = std::move(TlsTransport::make(loop, key_of(1), server_options).value());
      client = std::move(TlsTransport::make(loop, key_of(2), client_options).value());
      REQUIRE(server->listen({"127.0.0.1", 0}));
      server->on_accept([this](LinkPtr link) {
        accepted.push_back(std::make_unique<End>());
        accepted.back()->take(std::move(link));
      });
    });
  }
  ~TwoNodes() {
    const auto end = [&] {
      accepted.clear();
      connected = {};
      server.reset();
      client.reset();
    };
    if (!loop.call_and_wait(end)) end();  // a test may have stopped the loop
  }

  /// Connects and waits for the outcome.
  Result<LinkPtr> connect(std::optional<metadata::NodeId> expected = std::nullopt,
                          std::optional<overlay::Endpoint> to = std::nullopt, overlay::Duration timeout = 10s) {
    std::optional<Result<LinkPtr>> outcome;
    int calls = 0;
    bool inside = false;
    loop.on([&] {
      inside = true;
      client->connect(to.value_or(server->local()), expected.value_or(key_of(1).id()), timeout,
                      [&](Result<LinkPtr> result) {
                        CHECK_FALSE(inside);
                        ++calls;
                        outcome = std::move(result);
                      });
      inside = false;
    });
    loop.await("the outcome of connect()", [&] { return outcome.has_value(); });
    loop.on([&] { CHECK(calls == 1); });
    return std::move(*outcome);
  }
  /// Connects both ends; `connected` and accepted[0] are ready.
  void link_up() {
    auto link = connect();
    REQUIRE(link);
    loop.on([&] { connected.take(std::move(*link)); });
    loop.await("the accepting end", [&] { return accepted.size() == 1; });
  }
  End& far() { return *accepted.front(); }

  RunningLoop loop;
  std::unique_ptr<TlsTransport> server, client;
  std::vector<std::unique_ptr<End>> accepted;
  End connected;
};

/// A plain blocking TCP connection to a transport.
class RawPeer {
 public:
  explicit RawPeer(const overlay::Endpoint& to) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(to.port);
    REQUIRE(inet_pton(AF_INET, to.host.c_str(), &address.sin_addr) == 1);
    REQUIRE(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    const timeval limit{20, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  ~RawPeer() { close(); }
  RawPeer(const RawPeer&) = delete;
  RawPeer& operator=(const RawPeer&) = delete;

  int descriptor() const { return socket_; }
  void send(ByteView bytes) { CHECK(::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL) > 0); }
  /// Everything until the other side ends or resets the connection.
  Bytes read_to_end() {
    Bytes out;
    for (;;) {
      std::uint8_t buffer[4096];
      const ssize_t count = ::recv(socket_, buffer, sizeof buffer, 0);
      if (count <= 0) {
        timed_out_ = count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
        return out;
      }
      out.insert(out.end(), buffer, buffer + count);
    }
  }
  bool timed_out() const { return timed_out_; }
  void close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }
  /// Closes with a reset.
  void reset() {
    const linger now{1, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close();
  }

 private:
  int socket_;
  bool timed_out_ = false;
};

/// A socket that accepts connections and does nothing more, or with a backlog that is full.
class SilentListener {
 public:
  SilentListener() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(socket_, 16) == 0);
    socklen_t size = sizeof address;
    ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
    endpoint_ = {"127.0.0.1", ntohs(address.sin_port)};
  }
  ~SilentListener() { ::close(socket_); }
  const overlay::Endpoint& endpoint() const { return endpoint_; }
  int descriptor() const { return socket_; }

 private:
  int socket_;
  overlay::Endpoint endpoint_;
};

inline Bytes pattern(std::size_t size, std::uint8_t first = 0) {
  Bytes out(size);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::uint8_t>(first + i * 7 + i / 251);
  return out;
}

}  // namespace p2p::net::test

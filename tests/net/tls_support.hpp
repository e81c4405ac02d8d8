// Two transports on one loop, and peers that do not keep to the rules.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "overlay/net/tls_session.hpp"
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
  /// Whether a link can be made; it is closed again, on its loop's thread.
  bool links(overlay::Duration timeout = 10s) {
    auto link = connect(std::nullopt, std::nullopt, timeout);
    const bool made = link.has_value();
    loop.on([&] { link = fail(ErrorCode::not_found, "closed"); });
    return made;
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

inline std::shared_ptr<const TlsCredentials> credentials_of(std::uint8_t number) {
  return TlsCredentials::make(key_of(number)).value();
}

inline Bytes drain(std::deque<Bytes>& pieces) {
  Bytes out;
  for (; !pieces.empty(); pieces.pop_front()) out.insert(out.end(), pieces.front().begin(), pieces.front().end());
  return out;
}

/// Both ends of a connection in memory.
struct Pair {
  std::unique_ptr<TlsSession> client, server;
  Result<bool> client_done = false, server_done = false;
  std::size_t bytes = 0;
  Bytes hello{};  ///< the first that the client said

  bool shake() {
    for (int i = 0; i < 10; ++i) {
      if (client_done && !*client_done) client_done = client->handshake();
      const Bytes up = drain(client->outgoing());
      if (hello.empty()) hello = up;
      server->receive(up);
      if (server_done && !*server_done) server_done = server->handshake();
      server->settle();
      const Bytes down = drain(server->outgoing());
      bytes += up.size() + down.size();
      client->receive(down);
      client->settle();
      if (up.empty() && down.empty()) break;
    }
    return client_done && *client_done && server_done && *server_done;
  }
};

/// A GnuTLS client of its own making, in memory: for what our client never does. With a secret, a key to sign with, or both.
class MemoryClient {
 public:
  MemoryClient(std::optional<Resumption> offer, const char* priority, std::uint8_t key_number = 0) {
    REQUIRE(gnutls_psk_allocate_client_credentials(&secret_) == 0);
    if (offer) {
      const gnutls_datum_t name{offer->secret.id.data(), 16}, key{offer->secret.key.data(), 32};
      REQUIRE(gnutls_psk_set_client_credentials2(secret_, &name, &key, GNUTLS_PSK_KEY_RAW) == 0);
    }
    REQUIRE(gnutls_certificate_allocate_credentials(&own_) == 0);
    if (key_number != 0) sign_with(key_of(key_number));
    REQUIRE(gnutls_init(&session_, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_ENABLE_RAWPK |
                                      GNUTLS_NO_TICKETS | GNUTLS_KEY_SHARE_TOP) == 0);
    REQUIRE(gnutls_priority_set_direct(session_, priority, nullptr) == 0);
    REQUIRE(gnutls_credentials_set(session_, GNUTLS_CRD_PSK, secret_) == 0);
    REQUIRE(gnutls_credentials_set(session_, GNUTLS_CRD_CERTIFICATE, own_) == 0);
    gnutls_transport_set_ptr(session_, this);
    gnutls_transport_set_push_function(session_, [](gnutls_transport_ptr_t self, const void* data, std::size_t size) {
      const auto* bytes = static_cast<const std::uint8_t*>(data);
      auto& out = static_cast<MemoryClient*>(self)->out_;
      out.insert(out.end(), bytes, bytes + size);
      return static_cast<ssize_t>(size);
    });
    gnutls_transport_set_pull_function(session_, [](gnutls_transport_ptr_t self, void* data, std::size_t size) {
      auto& me = *static_cast<MemoryClient*>(self);
      const auto taken = std::min(size, me.in_.size());
      if (taken == 0) {
        gnutls_transport_set_errno(me.session_, EAGAIN);
        return ssize_t{-1};
      }
      std::copy_n(me.in_.begin(), taken, static_cast<std::uint8_t*>(data));
      me.in_.erase(me.in_.begin(), me.in_.begin() + static_cast<std::ptrdiff_t>(taken));
      return static_cast<ssize_t>(taken);
    });
  }
  ~MemoryClient() {
    gnutls_deinit(session_);
    gnutls_psk_free_client_credentials(secret_);
    gnutls_certificate_free_credentials(own_);
  }
  /// What the server makes of it in the end. Its key share is of the first group of `priority` only.
  Result<bool> against(TlsSession& server) {
    Result<bool> done = false;
    for (int i = 0; i < 10 && done && !*done; ++i) {
      static_cast<void>(gnutls_handshake(session_));
      const Bytes up = std::exchange(out_, {});
      server.receive(up);
      done = server.handshake();
      server.settle();
      const Bytes down = drain(server.outgoing());
      in_.insert(in_.end(), down.begin(), down.end());
    }
    return done;
  }

  /// A change of keys and then `text`, as they would come in one go.
  Bytes say_with_new_keys(std::string_view text) {
    REQUIRE(gnutls_session_key_update(session_, 0) == 0);
    REQUIRE(gnutls_record_send(session_, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    return std::exchange(out_, {});
  }

 private:
  void sign_with(const metadata::KeyPair& key) {
    Bytes open = from_hex("302a300506032b6570032100").value(), secret = from_hex("302e020100300506032b657004220420").value();
    open.insert(open.end(), key.id().bytes.begin(), key.id().bytes.end());
    const auto seed = key.seed();
    secret.insert(secret.end(), seed.begin(), seed.end());
    const gnutls_datum_t first{open.data(), 44}, second{secret.data(), 48};
    REQUIRE(gnutls_certificate_set_rawpk_key_mem(own_, &first, &second, GNUTLS_X509_FMT_DER, nullptr,
                                                 GNUTLS_KEY_DIGITAL_SIGNATURE, nullptr, 0, 0) >= 0);
  }

  Bytes in_, out_;
  gnutls_session_t session_ = nullptr;
  gnutls_psk_client_credentials_t secret_ = nullptr;
  gnutls_certificate_credentials_t own_ = nullptr;
};

inline Bytes pattern(std::size_t size, std::uint8_t first = 0) {
  Bytes out(size);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::uint8_t>(first + i * 7 + i / 251);
  return out;
}

}  // namespace p2p::net::test

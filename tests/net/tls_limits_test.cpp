// What a peer can try against a transport, and what it is allowed to cost.
#include <thread>

#include <gnutls/gnutls.h>

#include "tls_support.hpp"

namespace p2p::net::test {
namespace {

/// A GnuTLS client of its own making on a plain socket: for what our client never does.
class ForeignClient {
 public:
  /// `priority` as GnuTLS reads it; `flags` beside GNUTLS_CLIENT.
  ForeignClient(const overlay::Endpoint& to, const char* priority, unsigned flags) : peer_(to) {
    REQUIRE(gnutls_certificate_allocate_credentials(&credentials_) == 0);
    REQUIRE(gnutls_init(&session_, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL | flags) == 0);
    REQUIRE(gnutls_priority_set_direct(session_, priority, nullptr) == 0);
    REQUIRE(gnutls_credentials_set(session_, GNUTLS_CRD_CERTIFICATE, credentials_) == 0);
    gnutls_transport_set_int(session_, peer_.descriptor());
    gnutls_handshake_set_timeout(session_, 20'000);
  }
  ~ForeignClient() {
    gnutls_deinit(session_);
    gnutls_certificate_free_credentials(credentials_);
  }
  /// The first error of handshaking and then reading one byte; 0: none.
  int attempt() {
    int code = 0;
    do {
      code = gnutls_handshake(session_);
    } while (code < 0 && gnutls_error_is_fatal(code) == 0);
    if (code < 0) return code;
    char byte;
    ssize_t count;
    do {
      count = gnutls_record_recv(session_, &byte, 1);
    } while (count < 0 && gnutls_error_is_fatal(static_cast<int>(count)) == 0);
    return count < 0 ? static_cast<int>(count) : 0;
  }
  int alert() const { return gnutls_alert_get(session_); }

 private:
  RawPeer peer_;
  gnutls_certificate_credentials_t credentials_ = nullptr;
  gnutls_session_t session_ = nullptr;
};

overlay::Endpoint address_of(TwoNodes& nodes) {
  return nodes.loop.on([&] { return nodes.server->local(); });
}

void expect_refused(TwoNodes& nodes, std::uint64_t times) {
  nodes.loop.await("the refusal", [&] { return nodes.server->stats().refused == times; });
  nodes.loop.await("the socket's end", [&] { return nodes.server->stats().half_open == 0; });
  nodes.loop.on([&] {
    CHECK(nodes.accepted.empty());
    CHECK(nodes.server->stats().accepted == 0);
  });
}

TEST_CASE("A client that shows no key is refused, and is told so by an alert") {
  TwoNodes nodes;
  ForeignClient keyless(address_of(nodes),
                        "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CTYPE-ALL:+CTYPE-RAWPK", GNUTLS_ENABLE_RAWPK);
  CHECK(keyless.attempt() == GNUTLS_E_FATAL_ALERT_RECEIVED);
  CHECK(keyless.alert() == GNUTLS_A_CERTIFICATE_REQUIRED);
  expect_refused(nodes, 1);
}

TEST_CASE("A client that speaks TLS 1.2 at most is refused") {
  TwoNodes nodes;
  ForeignClient old(address_of(nodes), "NORMAL:-VERS-ALL:+VERS-TLS1.2", 0);
  CHECK(old.attempt() < 0);
  expect_refused(nodes, 1);
}

TEST_CASE("A client that only knows certificates is refused") {
  TwoNodes nodes;
  ForeignClient certificates(address_of(nodes), "NORMAL:-VERS-ALL:+VERS-TLS1.3", 0);
  CHECK(certificates.attempt() < 0);
  expect_refused(nodes, 1);
}

TEST_CASE("Garbage instead of a handshake is refused and the connection ended") {
  TwoNodes nodes;
  SECTION("text") {
    RawPeer peer(address_of(nodes));
    peer.send(view("GET / HTTP/1.1\r\nHost: nobody\r\n\r\n"));
    peer.read_to_end();
    CHECK_FALSE(peer.timed_out());
    expect_refused(nodes, 1);
  }
  SECTION("zeros") {
    RawPeer peer(address_of(nodes));
    peer.send(Bytes(5000, 0));
    peer.read_to_end();
    CHECK_FALSE(peer.timed_out());
    expect_refused(nodes, 1);
  }
  SECTION("a TLS record that claims more than it brings, then the end") {
    RawPeer peer(address_of(nodes));
    peer.send(Bytes{0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc});
    ::shutdown(peer.descriptor(), SHUT_WR);
    peer.read_to_end();
    CHECK_FALSE(peer.timed_out());
    expect_refused(nodes, 1);
  }
  SECTION("nothing, and a reset") {
    RawPeer peer(address_of(nodes));
    nodes.loop.await("the connection", [&] { return nodes.server->stats().half_open == 1; });
    peer.reset();
    expect_refused(nodes, 1);
  }
}

TEST_CASE("A server that answers garbage, or hangs up, is an error of connect() and not a link") {
  SilentListener fake;
  TwoNodes nodes;
  const auto answer = [&](ByteView bytes) {
    bool exchanged = false;
    std::thread server([&] {
      const int peer = ::accept(fake.descriptor(), nullptr, nullptr);
      std::uint8_t hello[4096];
      exchanged = ::recv(peer, hello, sizeof hello, 0) > 0 &&
                  (bytes.empty() || ::send(peer, bytes.data(), bytes.size(), MSG_NOSIGNAL) > 0);
      ::shutdown(peer, SHUT_WR);
      while (::recv(peer, hello, sizeof hello, 0) > 0) {
      }
      ::close(peer);
    });
    auto outcome = nodes.connect(std::nullopt, fake.endpoint());
    server.join();
    CHECK(exchanged);
    REQUIRE_FALSE(outcome);
    return outcome.error();
  };
  const Error garbage = answer(view("220 mail.example ESMTP ready, how may I help you today?\r\n"));
  CHECK(garbage.code == ErrorCode::malformed);
  CHECK_FALSE(garbage.cause.empty());
  CHECK(answer({}).code == ErrorCode::io);
}

TEST_CASE("A handshake that stalls is ended at its deadline, on either side") {
  SECTION("the connecting side: connect() fails with `timeout`") {
    SilentListener silent;
    TwoNodes nodes;
    const auto start = std::chrono::steady_clock::now();
    const auto outcome = nodes.connect(std::nullopt, silent.endpoint(), 150ms);
    const auto took = std::chrono::steady_clock::now() - start;
    REQUIRE_FALSE(outcome);
    CHECK(outcome.error().code == ErrorCode::timeout);
    CHECK(took >= 150ms);
    CHECK(took < 5s);
    nodes.loop.on([&] { CHECK(nodes.client->stats().timed_out == 1); });
  }
  SECTION("the accepting side: the connection is closed, even if bytes dribble in") {
    TlsOptions options;
    options.handshake_timeout = 150ms;
    TwoNodes nodes(options);
    RawPeer peer(address_of(nodes));
    std::thread dribble([&] {
      // The header of a long record, then one byte at a time.
      const Bytes header{0x16, 0x03, 0x01, 0x3f, 0x00};
      ::send(peer.descriptor(), header.data(), header.size(), MSG_NOSIGNAL);
      const std::uint8_t byte = 1;
      while (::send(peer.descriptor(), &byte, 1, MSG_NOSIGNAL) == 1) std::this_thread::sleep_for(10ms);
    });
    nodes.loop.await("the deadline", [&] { return nodes.server->stats().timed_out == 1; });
    nodes.loop.await("the socket's end", [&] { return nodes.server->stats().half_open == 0; });
    dribble.join();
  }
}

TEST_CASE("Connections over the bound on half-open ones are dropped; a proven peer still gets in afterwards") {
  TlsOptions options;
  options.half_open = 4;
  options.handshake_timeout = 300ms;
  TwoNodes nodes(options);
  std::vector<std::unique_ptr<RawPeer>> idlers;
  for (int i = 0; i < 10; ++i) idlers.push_back(std::make_unique<RawPeer>(address_of(nodes)));
  nodes.loop.await("the surplus dropped", [&] { return nodes.server->stats().dropped == 6; });
  nodes.loop.on([&] { CHECK(nodes.server->stats().half_open == 4); });
  nodes.loop.await("the slots free", [&] { return nodes.server->stats().half_open == 0; });
  CHECK(nodes.links());
}

TEST_CASE("Newcomers wait their turn when handshakes have cost what they may, and are let in after that") {
  TlsOptions options;
  options.handshake_processor = 2ms;  // about seven handshakes in a second
  TwoNodes nodes(options);
  const auto put_off = [&] { return nodes.loop.on([&] { return nodes.server->stats().put_off; }); };
  int made = 0;
  while (put_off() == 0 && made < 300) {
    REQUIRE(nodes.links());
    ++made;
  }
  CHECK(put_off() > 0);
  CHECK(nodes.links());
  const auto before = put_off();
  const auto start = std::chrono::steady_clock::now();
  std::size_t linked = 0;
  nodes.loop.on([&] {
    for (int i = 0; i < 20; ++i) {
      nodes.client->connect(nodes.server->local(), key_of(1).id(), 20s, [&](Result<LinkPtr> link) { linked += link.has_value(); });
    }
  });
  nodes.loop.await("all of them", [&] { return linked == 20; });
  CHECK(put_off() >= before);
  // What the twenty have cost is owed by whoever comes next: 2 ms of it a second.
  CHECK(nodes.links(20s));
  CHECK(std::chrono::steady_clock::now() - start > 200ms);
}

TEST_CASE("Without a bound on what handshakes cost nobody waits") {
  TlsOptions options;
  options.handshake_processor = 0ms;
  TwoNodes nodes(options);
  for (int i = 0; i < 20; ++i) CHECK(nodes.links());
  nodes.loop.on([&] { CHECK(nodes.server->stats().put_off == 0); });
}

TEST_CASE("A transport that goes while newcomers wait their turn calls nobody") {
  TlsOptions options;
  options.handshake_processor = overlay::Duration(1);
  TwoNodes nodes(options);
  REQUIRE(nodes.links());  // uses up a second's worth, and much more
  const auto to = address_of(nodes);
  const RawPeer waits(to);
  nodes.loop.await("the put-off", [&] { return nodes.server->stats().put_off > 0; });
  nodes.loop.on([&] { nodes.server.reset(); });
}

TEST_CASE("Links over the bound are refused on both sides, and a closed link makes room") {
  TlsOptions two;
  two.links = 2;
  TwoNodes nodes({}, two);
  std::vector<LinkPtr> links;
  for (int i = 0; i < 2; ++i) links.push_back(nodes.connect().value());
  CHECK(nodes.connect().error().code == ErrorCode::limit_exceeded);
  nodes.loop.on([&] { links.pop_back(); });
  nodes.loop.await("room", [&] { return nodes.client->stats().links == 1; });
  links.push_back(nodes.connect().value());
  nodes.loop.on([&] { links.clear(); });

  TwoNodes small(two);
  for (int i = 0; i < 2; ++i) links.push_back(small.connect().value());
  small.loop.await("two accepted", [&] { return small.accepted.size() == 2; });
  auto third = small.connect();  // its end of the handshake is complete before the server's verdict
  small.loop.await("the third dropped", [&] { return small.server->stats().dropped == 1; });
  small.loop.on([&] {
    CHECK(small.accepted.size() == 2);
    links.clear();
    third = fail(ErrorCode::closed, "");
  });
}

TEST_CASE("A slow reader holds back a fast writer: 64 MB arrive whole while queued() stays bounded") {
  TwoNodes nodes;
  nodes.link_up();
  constexpr std::size_t kTotal = 64u << 20, kPiece = 64u << 10;
  std::size_t sent = 0, highest = 0;
  std::uint32_t sent_sum = 1, received_sum = 1;
  const auto add = [](std::uint32_t& sum, ByteView bytes) {
    for (const std::uint8_t byte : bytes) sum = sum * 31 + byte;
  };
  std::function<void()> fill;
  std::function<void()> rest;
  overlay::Executor::TimerHandle pause;
  std::size_t received = 0, since_pause = 0;
  int drained = 0;
  bool ended = false;
  LinkPtr writer, reader;
  nodes.loop.on([&] {
    nodes.server->on_accept([&](LinkPtr link) {
      reader = std::move(link);
      reader->start({.on_data =
                         [&](ByteView data) {
                           received += data.size();
                           since_pause += data.size();
                           add(received_sum, data);
                           if (since_pause < (1u << 20)) return;
                           since_pause = 0;
                           reader->pause_reading();
                           pause = nodes.loop.after(1ms, [&] { reader->resume_reading(); });
                         },
                     .on_drained = {},
                     .on_closed = [&](const Error& error) { ended = error.code == ErrorCode::closed; }});
    });
  });
  auto link = nodes.connect();
  REQUIRE(link);
  nodes.loop.on([&] {
    writer = std::move(*link);
    fill = [&] {
      while (sent < kTotal && writer->queued() < overlay::Link::kHighWater) {
        Bytes piece = pattern(kPiece, static_cast<std::uint8_t>(sent >> 16));
        add(sent_sum, piece);
        writer->send(std::move(piece));
        sent += kPiece;
        highest = std::max(highest, writer->queued());
      }
      if (sent == kTotal) writer->close();
    };
    writer->start({.on_data = {},
                   .on_drained =
                       [&] {
                         ++drained;
                         fill();
                       },
                   .on_closed = {}});
    fill();
  });
  nodes.loop.await("64 MB", [&] { return ended; }, 120s);
  nodes.loop.on([&] {
    CHECK(received == kTotal);
    CHECK(received_sum == sent_sum);
    CHECK(drained > 10);
    CHECK(highest < overlay::Link::kHighWater + kPiece + kPiece / 8);
    CHECK(highest >= overlay::Link::kHighWater);  // the writer did run into the bound
    pause.reset();
    writer.reset();
    reader.reset();
  });
}

TEST_CASE("A paused reader gets nothing, not even what had come before; after resuming, everything") {
  TwoNodes nodes;
  nodes.link_up();
  nodes.loop.on([&] {
    nodes.far().link->pause_reading();
    nodes.connected.link->send(pattern(10'000));
  });
  std::this_thread::sleep_for(50ms);
  nodes.loop.on([&] {
    CHECK(nodes.far().received_bytes == 0);
    nodes.far().link->resume_reading();
    CHECK(nodes.far().received_bytes == 0);  // never from inside a call
  });
  nodes.loop.await("all of it", [&] { return nodes.far().received_bytes == 10'000; });
}

TEST_CASE("A peer that is reset in mid-stream ends the link with `io`, once") {
  // Our client and a server of ours, with a relay between them that can cut the wire.
  TwoNodes nodes;
  SilentListener relay;
  const auto server = address_of(nodes);
  std::atomic<bool> cut{false};
  std::thread wire([&] {
    const int near = ::accept(relay.descriptor(), nullptr, nullptr);
    RawPeer far(server);
    const timeval poll{0, 2000};
    ::setsockopt(near, SOL_SOCKET, SO_RCVTIMEO, &poll, sizeof poll);
    ::setsockopt(far.descriptor(), SOL_SOCKET, SO_RCVTIMEO, &poll, sizeof poll);
    std::uint8_t buffer[65536];
    while (!cut) {
      ssize_t count = ::recv(near, buffer, sizeof buffer, 0);
      if (count > 0 && ::send(far.descriptor(), buffer, static_cast<std::size_t>(count), MSG_NOSIGNAL) < 0) break;
      count = ::recv(far.descriptor(), buffer, sizeof buffer, 0);
      if (count > 0 && ::send(near, buffer, static_cast<std::size_t>(count), MSG_NOSIGNAL) < 0) break;
    }
    const linger now{1, 0};
    ::setsockopt(near, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    ::close(near);
    far.reset();
  });
  auto link = nodes.connect(std::nullopt, relay.endpoint());
  REQUIRE(link);
  nodes.loop.on([&] {
    nodes.connected.take(std::move(*link));
    nodes.connected.link->send(pattern(200'000));
  });
  nodes.loop.await("some of it", [&] { return nodes.accepted.size() == 1 && nodes.far().received_bytes > 0; });
  cut = true;
  wire.join();
  nodes.loop.await("both ends", [&] { return nodes.far().closed == 1 && nodes.connected.closed == 1; });
  nodes.loop.on([&] {
    CHECK(nodes.far().error->code == ErrorCode::io);
    CHECK(nodes.connected.error->code == ErrorCode::io);
    CHECK_FALSE(nodes.far().error->cause.empty());
    nodes.connected.link->send(pattern(10));
  });
  nodes.loop.on([&] { CHECK(nodes.connected.closed == 1); });
}

TEST_CASE("A message in two records is read whole; a stream that ends within one is an error at once, wherever it ends") {
  const auto hello = [] {
    const auto client = TlsSession::client(credentials_of(2), key_of(1).id()).value();
    CHECK_FALSE(client->handshake().value());
    return drain(client->outgoing());
  }();
  // The same hello in two records.
  Bytes split(hello.begin(), hello.begin() + 5 + 90);
  split[3] = 0;
  split[4] = 90;
  const std::size_t rest = hello.size() - 5 - 90;
  split.insert(split.end(), {0x16, 0x03, 0x01, 0x00, static_cast<std::uint8_t>(rest)});
  split.insert(split.end(), hello.begin() + 5 + 90, hello.end());
  for (const Bytes& whole : {hello, split}) {
    for (std::size_t size = 0; size < whole.size(); ++size) {
      const auto server = TlsSession::server(credentials_of(1)).value();
      server->receive(ByteView(whole).first(size));
      CHECK_FALSE(server->handshake().value());
      server->settle();
      server->receive_end();
      const auto done = server->handshake();
      REQUIRE_FALSE(done);
      CHECK(done.error().code == ErrorCode::io);
    }
    const auto server = TlsSession::server(credentials_of(1)).value();
    server->receive(whole);
    CHECK_FALSE(server->handshake().value());
    CHECK(server->outgoing_bytes() > 400);
  }

  const Bytes head = pattern(20);
  for (std::size_t size = 0; size < 20 + 22; ++size) {
    Pair pair{TlsSession::client(credentials_of(2), key_of(1).id()).value(), TlsSession::server(credentials_of(1)).value()};
    REQUIRE(pair.shake());
    REQUIRE(pair.client->write(head));
    const Bytes record = drain(pair.client->outgoing());
    REQUIRE(record.size() == 20 + 22);
    pair.server->receive(ByteView(record).first(size));
    CHECK(pair.server->read().value().empty());
    pair.server->settle();
    pair.server->receive_end();
    const auto read = pair.server->read();
    REQUIRE_FALSE(read);
    CHECK(read.error().code == ErrorCode::io);
  }
}

TEST_CASE("What follows a change of the peer's keys in the same piece is read at once") {
  const auto server = TlsSession::server(credentials_of(1)).value();
  MemoryClient client(std::nullopt, "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CTYPE-ALL:+CTYPE-RAWPK", 2);
  REQUIRE(client.against(*server).value());
  const Bytes wire = client.say_with_new_keys("after");
  server->receive(wire);
  CHECK(to_string(server->read().value()) == "after");
}

TEST_CASE("Writing to a peer that has gone is an end of the link, not of the process") {
  TwoNodes nodes;
  // The peer is gone before what is written to it: the second write is what SIGPIPE is raised for.
  for (int round = 0; round < 5; ++round) {
    auto link = nodes.connect();
    REQUIRE(link);
    const auto count = static_cast<std::size_t>(round) + 1;
    nodes.loop.await("the accepting end", [&] { return nodes.accepted.size() == count; });
    End end;
    nodes.loop.on([&] {
      end.take(std::move(*link));
      end.link->pause_reading();  // so that only writing can tell
      nodes.accepted.back()->link.reset();
    });
    nodes.loop.await("the end of it", [&] {
      end.link->send(pattern(100'000));
      return end.closed == 1;
    });
    nodes.loop.on([&] {
      CHECK(end.error->code == ErrorCode::io);
      end.link.reset();
    });
  }
}

TEST_CASE("A damaged record ends the link with `malformed` and nothing of it is delivered") {
  TwoNodes nodes;
  SilentListener relay;
  const auto server = address_of(nodes);
  std::atomic<bool> damage{false};
  std::thread wire([&] {
    const int near = ::accept(relay.descriptor(), nullptr, nullptr);
    RawPeer far(server);
    const timeval poll{0, 2000};
    ::setsockopt(near, SOL_SOCKET, SO_RCVTIMEO, &poll, sizeof poll);
    ::setsockopt(far.descriptor(), SOL_SOCKET, SO_RCVTIMEO, &poll, sizeof poll);
    std::uint8_t buffer[65536];
    for (;;) {
      ssize_t count = ::recv(near, buffer, sizeof buffer, 0);
      if (count == 0) break;
      if (count > 0 && damage) buffer[count - 1] ^= 1;
      if (count > 0 && ::send(far.descriptor(), buffer, static_cast<std::size_t>(count), MSG_NOSIGNAL) < 0) break;
      count = ::recv(far.descriptor(), buffer, sizeof buffer, 0);
      if (count == 0) break;
      if (count > 0 && ::send(near, buffer, static_cast<std::size_t>(count), MSG_NOSIGNAL) < 0) break;
    }
    ::close(near);
  });
  auto link = nodes.connect(std::nullopt, relay.endpoint());
  REQUIRE(link);
  nodes.loop.on([&] {
    nodes.connected.take(std::move(*link));
    nodes.connected.link->send(pattern(100));
  });
  nodes.loop.await("the good part", [&] { return nodes.accepted.size() == 1 && nodes.far().received_bytes == 100; });
  damage = true;
  nodes.loop.on([&] { nodes.connected.link->send(pattern(500)); });
  nodes.loop.await("both ends", [&] { return nodes.far().closed == 1 && nodes.connected.closed == 1; });
  wire.join();
  nodes.loop.on([&] {
    CHECK(nodes.far().error->code == ErrorCode::malformed);
    CHECK(nodes.far().received_bytes == 100);
    CHECK(nodes.connected.error->code == ErrorCode::io);  // the alert
    CHECK(nodes.connected.error->cause.find("alert") != std::string::npos);
  });
}

TEST_CASE("Hundreds of links at once each carry their own bytes") {
  constexpr int kLinks = 200;
  TlsOptions wide;
  wide.half_open = kLinks;
  wide.handshake_timeout = 60s;
  TwoNodes nodes(wide);
  std::vector<std::unique_ptr<End>> ends;
  int failed = 0;
  nodes.loop.on([&] {
    nodes.server->on_accept([&](LinkPtr link) {
      // Echo.
      auto end = std::make_unique<End>();
      end->link = link;
      link->start({.on_data = [raw = link.get()](ByteView data) { raw->send(Bytes(data.begin(), data.end())); },
                   .on_drained = {},
                   .on_closed = {}});
      nodes.accepted.push_back(std::move(end));
    });
    for (int i = 0; i < kLinks; ++i) {
      nodes.client->connect(nodes.server->local(), key_of(1).id(), 60s, [&, i](Result<LinkPtr> link) {
        if (!link) {
          ++failed;
          return;
        }
        ends.push_back(std::make_unique<End>());
        ends.back()->take(std::move(*link));
        ends.back()->link->send(pattern(5'000, static_cast<std::uint8_t>(i)));
        ends.back()->drained = 1000 + i;  // remembers which
      });
    }
  });
  nodes.loop.await(
      "every echo",
      [&] {
        return failed == 0 && ends.size() == kLinks &&
               std::all_of(ends.begin(), ends.end(), [](const auto& end) { return end->received_bytes == 5'000; });
      },
      100s);
  nodes.loop.on([&] {
    for (const auto& end : ends) {
      CHECK(end->received == pattern(5'000, static_cast<std::uint8_t>((end->drained - 1000) % 1000)));
    }
    CHECK(nodes.client->stats().links == kLinks);
    ends.clear();
  });
}

}  // namespace
}  // namespace p2p::net::test

#include "tls_support.hpp"

namespace p2p::net::test {
namespace {

TEST_CASE("Both ends of a link know the other's key, and bytes arrive in order in both directions") {
  TwoNodes nodes;
  nodes.link_up();
  nodes.loop.on([&] {
    CHECK(nodes.connected.link->peer() == key_of(1).id());
    CHECK(nodes.far().link->peer() == key_of(2).id());
    for (int i = 0; i < 100; ++i) nodes.connected.link->send(pattern(1000 + i, static_cast<std::uint8_t>(i)));
    nodes.far().link->send(pattern(300'000, 9));
  });
  Bytes sent;
  for (int i = 0; i < 100; ++i) {
    const Bytes part = pattern(1000 + i, static_cast<std::uint8_t>(i));
    sent.insert(sent.end(), part.begin(), part.end());
  }
  nodes.loop.await("all bytes", [&] {
    return nodes.far().received_bytes >= sent.size() && nodes.connected.received_bytes >= 300'000;
  });
  nodes.loop.on([&] {
    CHECK(nodes.far().received == sent);
    CHECK(nodes.connected.received == pattern(300'000, 9));
    CHECK(nodes.server->stats().accepted == 1);
    CHECK(nodes.client->stats().connected == 1);
  });
}

TEST_CASE("The counters of a link count the bytes on the wire, the handshake's included, on both sides alike") {
  TwoNodes nodes;
  nodes.link_up();
  nodes.loop.on([&] { nodes.connected.link->send(pattern(50'000)); });
  nodes.loop.await("the bytes", [&] { return nodes.far().received_bytes == 50'000; });
  nodes.loop.on([&] {
    const auto sent = nodes.connected.link->bytes_sent();
    CHECK(sent == nodes.far().link->bytes_received());
    CHECK(nodes.connected.link->bytes_received() == nodes.far().link->bytes_sent());
    CHECK(sent > 50'000 + 300);
    CHECK(sent < 50'000 + 2'000);
  });
}

TEST_CASE("A client that finds another key than the expected one refuses with `untrusted`, and the server gets no link") {
  TwoNodes nodes;
  const auto outcome = nodes.connect(key_of(3).id());
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code == ErrorCode::untrusted);
  CHECK(outcome.error().message.find(key_of(1).id().brief()) != std::string::npos);
  CHECK(outcome.error().message.find(key_of(3).id().brief()) != std::string::npos);
  CHECK_FALSE(outcome.error().cause.empty());
  nodes.loop.await("the server's verdict", [&] { return nodes.server->stats().refused == 1; });
  nodes.loop.on([&] { CHECK(nodes.accepted.empty()); });
}

TEST_CASE("Nobody at the address is `unavailable`, with the system's own words as the cause") {
  overlay::Endpoint nobody;
  {
    SilentListener gone;
    nobody = gone.endpoint();
  }
  TwoNodes nodes;
  const auto outcome = nodes.connect(std::nullopt, nobody);
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code == ErrorCode::unavailable);
  CHECK(outcome.error().cause == "connection refused");
}

TEST_CASE("A name instead of a numeric address is `invalid_argument`, reported after connect() has returned") {
  TwoNodes nodes;
  const auto outcome = nodes.connect(std::nullopt, overlay::Endpoint{"localhost", 1});
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code == ErrorCode::invalid_argument);
}

TEST_CASE("A taken port is `in_use` and says what to do") {
  TwoNodes nodes;
  nodes.loop.on([&] {
    auto third = std::move(TlsTransport::make(nodes.loop, key_of(3)).value());
    const auto taken = third->listen(nodes.server->local());
    REQUIRE_FALSE(taken);
    CHECK(taken.error().code == ErrorCode::in_use);
    CHECK(taken.error().message.find("choose another link port") != std::string::npos);
    CHECK(third->local().port == 0);
    CHECK(third->listen({"203.0.113.1", 0}).error().code == ErrorCode::invalid_argument);
    CHECK(third->listen({"127.0.0.1", 0}));  // and it can still listen elsewhere
  });
}

TEST_CASE("close() delivers what was queued, then both ends see the link end in order") {
  TwoNodes nodes;
  nodes.link_up();
  nodes.loop.on([&] {
    nodes.connected.link->send(pattern(3'000'000));
    nodes.connected.link->close();
    nodes.connected.link->send(pattern(10));  // too late: dropped
  });
  nodes.loop.await("both ends closed", [&] { return nodes.far().closed == 1 && nodes.connected.closed == 1; });
  nodes.loop.on([&] {
    CHECK(nodes.far().received == pattern(3'000'000));
    CHECK(nodes.far().error->code == ErrorCode::closed);
    CHECK(nodes.connected.error->code == ErrorCode::closed);
  });
}

TEST_CASE("A half-closed link still carries what the other end had queued before it saw the end") {
  TwoNodes nodes;
  nodes.link_up();
  nodes.loop.on([&] {
    nodes.far().link->send(pattern(2'000'000, 5));  // more than the sockets hold
    nodes.connected.link->close();
  });
  nodes.loop.await("both ends closed", [&] { return nodes.far().closed == 1 && nodes.connected.closed == 1; });
  nodes.loop.on([&] {
    CHECK(nodes.connected.received == pattern(2'000'000, 5));
    CHECK(nodes.connected.error->code == ErrorCode::closed);
  });
}

TEST_CASE("A link that is closed and dropped at once still delivers what was queued") {
  TwoNodes nodes;
  nodes.link_up();
  nodes.loop.on([&] {
    nodes.connected.link->send(pattern(1'000'000));
    nodes.connected.link->close();
    nodes.connected.link.reset();
  });
  nodes.loop.await("the far end closed", [&] { return nodes.far().closed == 1; });
  nodes.loop.on([&] {
    CHECK(nodes.far().received == pattern(1'000'000));
    CHECK(nodes.far().error->code == ErrorCode::closed);
    CHECK(nodes.connected.closed == 0);  // nobody is called about a link that nobody holds
  });
  nodes.loop.await("no link left", [&] { return nodes.client->stats().links == 0; });
}

TEST_CASE("A link that is dropped in mid-stream is an abrupt end for its peer: not `closed`") {
  TwoNodes nodes;
  nodes.link_up();
  nodes.loop.on([&] {
    nodes.connected.link->send(pattern(100));
    nodes.connected.link.reset();
  });
  nodes.loop.await("the far end closed", [&] { return nodes.far().closed == 1; });
  nodes.loop.on([&] {
    CHECK(nodes.far().error->code == ErrorCode::io);
    CHECK_FALSE(nodes.far().error->cause.empty());
  });
}

TEST_CASE("A handler may drop its own link, close it and send on it without being called again") {
  TwoNodes nodes;
  nodes.link_up();
  int calls = 0;
  LinkPtr third;
  nodes.loop.on([&] {
    nodes.server->on_accept([&](LinkPtr link) {
      third = std::move(link);
      third->start({.on_data =
                        [&](ByteView) {
                          ++calls;
                          third->send(pattern(10));
                          third->close();
                          third.reset();
                        },
                    .on_drained = {},
                    .on_closed = [&](const Error&) { ++calls; }});
    });
  });
  auto second = nodes.connect();
  REQUIRE(second);
  End end;
  nodes.loop.on([&] {
    end.take(std::move(*second));
    end.link->send(pattern(100'000));
  });
  nodes.loop.await("the end", [&] { return end.closed == 1; });
  nodes.loop.on([&] {
    CHECK(calls == 1);
    CHECK(end.received == pattern(10));
    end.link.reset();
  });
}

TEST_CASE("A peer that does not end its side is cut off after the close timeout") {
  TlsOptions impatient;
  impatient.close_timeout = 100ms;
  TwoNodes nodes({}, impatient);
  nodes.link_up();
  nodes.loop.on([&] {
    nodes.far().link->pause_reading();  // it will not see our good-bye
    nodes.connected.link->close();
  });
  nodes.loop.await("the timeout", [&] { return nodes.connected.closed == 1; });
  nodes.loop.on([&] { CHECK(nodes.connected.error->code == ErrorCode::timeout); });
}

TEST_CASE("Destroying a transport ends its links without a call") {
  TwoNodes nodes;
  nodes.link_up();
  nodes.loop.on([&] {
    nodes.client.reset();
    nodes.connected.link->send(pattern(10));  // harmless on a dead link
    CHECK(nodes.connected.link->queued() == 0);
  });
  nodes.loop.await("the far end closed", [&] { return nodes.far().closed == 1; });
  nodes.loop.on([&] { CHECK(nodes.connected.closed == 0); });
}

TEST_CASE("A loop that stops under open links and half-open connections closes them all") {
  TwoNodes nodes;
  nodes.link_up();
  const RawPeer half_open(nodes.loop.on([&] { return nodes.server->local(); }));
  nodes.loop.await("a half-open connection", [&] { return nodes.server->stats().half_open == 1; });
  CHECK(nodes.loop.stop());  // an open handle would be an assertion
  // The transports still exist; their destructors find a loop that has ended.
  CHECK(nodes.connected.closed == 0);
}

TEST_CASE("A head and what it is sent with arrive as one stream, wherever the records are cut") {
  TwoNodes nodes;
  nodes.link_up();
  Bytes sent;
  nodes.loop.on([&] {
    for (const std::size_t head : {1, 30, 16383, 16384, 16385, 40000}) {
      for (const std::size_t body : {0, 1, 16383, 16384, 100'000}) {
        const Bytes first = pattern(head), second = pattern(body);
        sent.insert(sent.end(), first.begin(), first.end());
        sent.insert(sent.end(), second.begin(), second.end());
        nodes.connected.link->send_with(first, second);
      }
    }
  });
  nodes.loop.await("all of it", [&] { return nodes.far().received_bytes >= sent.size(); });
  nodes.loop.on([&] { CHECK(nodes.far().received == sent); });
}

}  // namespace
}  // namespace p2p::net::test

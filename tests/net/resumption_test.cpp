// Links without signatures: who may have one, who may not, and for how long.
#include <utility>

#include "overlay/net/resumption.hpp"
#include "tls_support.hpp"

namespace p2p::net::test {
namespace {

using overlay::TimePoint;

Resumption secret_of(std::uint8_t peer, std::uint8_t number, TimePoint proven = {}) {
  Resumption out{key_of(peer).id(), {}, proven};
  out.secret.id.fill(number);
  out.secret.key.fill(static_cast<std::uint8_t>(number + 100));
  return out;
}

std::uint8_t number_of(const std::optional<Resumption>& one) { return one ? one->secret.id[0] : std::uint8_t{0}; }

ResumptionId name_of(std::uint8_t number) { return secret_of(0, number).secret.id; }

TEST_CASE("A secret is handed out once, to whoever asks for its peer or names it") {
  ResumptionTable table({.most = 10, .life = 1s});
  table.keep(secret_of(1, 11), {});
  table.keep(secret_of(2, 22), {});
  CHECK_FALSE(table.take(key_of(3).id(), {}));
  CHECK_FALSE(table.take(name_of(33), {}));
  const auto first = table.take(key_of(1).id(), {});
  REQUIRE(first);
  CHECK(first->peer == key_of(1).id());
  CHECK(first->secret.key == secret_of(1, 11).secret.key);
  CHECK_FALSE(table.take(key_of(1).id(), {}));
  CHECK_FALSE(table.take(name_of(11), {}));
  const auto second = table.take(name_of(22), {});
  REQUIRE(second);
  CHECK(second->peer == key_of(2).id());
  CHECK_FALSE(table.take(name_of(22), {}));
  CHECK(table.size() == 0);
}

TEST_CASE("Of one peer the newest secrets are kept, and the newest is offered first") {
  ResumptionTable table({.most = 10, .life = 1s});
  for (std::uint8_t number = 1; number <= 5; ++number) table.keep(secret_of(1, number), {});
  CHECK(table.size() == ResumptionTable::kPerPeer);
  CHECK(number_of(table.take(key_of(1).id(), {})) == 5);
  CHECK(number_of(table.take(name_of(4), {})) == 4);
  CHECK(table.size() == 0);
}

TEST_CASE("A table holds as many secrets as it may, and drops the oldest first; one that may hold none holds none") {
  ResumptionTable table({.most = 3, .life = 1s});
  for (std::uint8_t number = 1; number <= 5; ++number) table.keep(secret_of(number, number), {});
  CHECK(table.size() == 3);
  CHECK_FALSE(table.take(key_of(2).id(), {}));
  CHECK(number_of(table.take(key_of(3).id(), {})) == 3);
  ResumptionTable none({.most = 0, .life = 1s});
  none.keep(secret_of(1, 1), {});
  CHECK(none.size() == 0);
}

TEST_CASE("A secret dies when its life after the signature is over, however lately it was kept") {
  ResumptionTable table({.most = 10, .life = 10s});
  const TimePoint signed_at{5'000'000};
  table.keep(secret_of(1, 1, signed_at), signed_at + 9s);
  CHECK(table.size() == 1);
  SECTION("asked for by its peer") {
    CHECK(table.take(key_of(1).id(), signed_at + (10s - 1us)));
  }
  SECTION("asked for by its peer, too late") {
    CHECK_FALSE(table.take(key_of(1).id(), signed_at + 10s));
    CHECK(table.size() == 0);
  }
  SECTION("named, too late") {
    CHECK_FALSE(table.take(name_of(1), signed_at + 10s));
    CHECK(table.size() == 0);
  }
  SECTION("kept too late") {
    table.keep(secret_of(2, 2, signed_at), signed_at + 11s);
    CHECK(table.size() == 0);
  }
}

/// The extension of a client that offers the secret `number`.
Bytes offer_bytes(std::uint8_t number) {
  Bytes out{0, 22, 0, 16};
  out.insert(out.end(), 16, number);
  out.insert(out.end(), 4, 0);
  out.insert(out.end(), {0, 33, 32});
  out.insert(out.end(), 32, 0xbb);
  return out;
}

TEST_CASE("An offer is one name of 16 bytes without an age and one binder of 32; anything else is none") {
  const Bytes good = offer_bytes(7);
  REQUIRE(offered_resumption(good));
  CHECK(*offered_resumption(good) == name_of(7));
  for (std::size_t size = 0; size < good.size(); ++size) {
    CHECK_FALSE(offered_resumption(ByteView(good).first(size)));
  }
  for (std::size_t i = 0; i < good.size(); ++i) {
    Bytes bad = good;
    bad[i] ^= 1;
    const bool of_name_or_binder = (i >= 4 && i < 20) || i >= 27;
    CHECK(offered_resumption(bad).has_value() == of_name_or_binder);
  }
  Bytes longer = good;
  longer.push_back(0);
  CHECK_FALSE(offered_resumption(longer));
}

/// A server of key 1 that knows `known`; it counts what it is asked for.
struct Server {
  std::optional<Resumption> known;
  int asked = 0;
  std::unique_ptr<TlsSession> session(std::uint8_t key = 1) {
    return TlsSession::server(credentials_of(key), [this](const ResumptionId& id) {
             ++asked;
             return known && known->secret.id == id ? std::exchange(known, std::nullopt) : std::nullopt;
           }).value();
  }
};

std::unique_ptr<TlsSession> client_of(std::uint8_t key, std::optional<Resumption> offer = std::nullopt,
                                      std::uint8_t expected = 1) {
  return TlsSession::client(credentials_of(key), key_of(expected).id(), std::move(offer)).value();
}

TEST_CASE("Both ends of a handshake derive the same secrets, other ones for each direction and each handshake") {
  std::vector<ResumptionSecret> seen;
  for (int round = 0; round < 2; ++round) {
    Server server;
    Pair pair{client_of(2), server.session()};
    REQUIRE(pair.shake());
    CHECK(server.asked == 0);
    const auto here = pair.client->next_secrets().value(), there = pair.server->next_secrets().value();
    CHECK(here.onward.id == there.onward.id);
    CHECK(here.onward.key == there.onward.key);
    CHECK(here.back.id == there.back.id);
    CHECK(here.back.key == there.back.key);
    seen.push_back(here.onward);
    seen.push_back(here.back);
  }
  for (std::size_t i = 0; i < seen.size(); ++i) {
    for (std::size_t k = i + 1; k < seen.size(); ++k) {
      CHECK(seen[i].id != seen[k].id);
      CHECK(seen[i].key != seen[k].key);
    }
  }
}

TEST_CASE("A resumed handshake has no signatures, has X25519, and names at each end the peer of the first one") {
  Server server;
  Pair first{client_of(2), server.session()};
  REQUIRE(first.shake());
  CHECK_FALSE(first.client->resumed_from());
  CHECK_FALSE(first.server->resumed_from());
  CHECK(first.server->description().find("EdDSA-Ed25519") != std::string::npos);

  const TimePoint here{11}, there{22};
  server.known = Resumption{key_of(2).id(), first.server->next_secrets()->onward, there};
  Pair second{client_of(2, Resumption{key_of(1).id(), first.client->next_secrets()->onward, here}), server.session()};
  REQUIRE(second.shake());
  CHECK(second.client->resumed_from() == here);
  CHECK(second.server->resumed_from() == there);
  CHECK(second.client->peer() == key_of(1).id());
  CHECK(second.server->peer() == key_of(2).id());
  CHECK(second.client->description().find("AES-128-GCM") != std::string::npos);
  CHECK(second.client->description().find("EdDSA") == std::string::npos);
  CHECK(second.bytes + 200 < first.bytes);

  CHECK(second.client->next_secrets()->onward.id == second.server->next_secrets()->onward.id);
  CHECK(second.client->next_secrets()->onward.id != first.client->next_secrets()->onward.id);
  REQUIRE(second.client->write(view("hello")));
  const Bytes wire = drain(second.client->outgoing());
  second.server->receive(wire);
  CHECK(to_string(second.server->read().value()) == "hello");
}

TEST_CASE("A name that was overheard is worth nothing without its key, and is used up by the attempt") {
  Server server;
  server.known = secret_of(2, 5);
  auto overheard = secret_of(1, 5);
  overheard.secret.key.fill(0);
  Pair thief{client_of(3, overheard), server.session()};
  CHECK_FALSE(thief.shake());
  REQUIRE_FALSE(thief.server_done);
  CHECK(thief.server_done.error().code == ErrorCode::malformed);
  REQUIRE_FALSE(thief.client_done);
  CHECK(thief.client_done.error().code == ErrorCode::closed);
  CHECK_FALSE(thief.server->peer());
  CHECK_FALSE(thief.client->peer());

  Pair owner{client_of(2, secret_of(1, 5)), server.session()};
  REQUIRE(owner.shake());
  CHECK(owner.server->peer() == key_of(2).id());
  CHECK_FALSE(owner.server->resumed_from());
}

TEST_CASE("A server that knows nothing of an offer shakes hands in full in the same connection, and proves its key") {
  Server server;
  SECTION("the right one, which has forgotten") {
    Pair pair{client_of(2, secret_of(1, 5)), server.session()};
    REQUIRE(pair.shake());
    CHECK(server.asked == 1);
    CHECK_FALSE(pair.client->resumed_from());
    CHECK_FALSE(pair.server->resumed_from());
    CHECK(pair.server->peer() == key_of(2).id());
    CHECK(pair.client->description().find("EdDSA-Ed25519") != std::string::npos);
  }
  SECTION("the right one, which does not resume at all") {
    Pair pair{client_of(2, secret_of(1, 5)), TlsSession::server(credentials_of(1)).value()};
    REQUIRE(pair.shake());
    CHECK_FALSE(pair.client->resumed_from());
    CHECK(pair.client->peer() == key_of(1).id());
  }
  SECTION("another node at the same address") {
    Pair pair{client_of(2, secret_of(1, 5)), server.session(4)};
    CHECK_FALSE(pair.shake());
    REQUIRE_FALSE(pair.client_done);
    CHECK(pair.client_done.error().code == ErrorCode::untrusted);
    CHECK_FALSE(pair.client->peer());
  }
  SECTION("another node that has overheard the name, but not the key") {
    server.known = secret_of(2, 5);
    server.known->secret.key.fill(0);
    Pair pair{client_of(2, secret_of(1, 5)), server.session(4)};
    CHECK_FALSE(pair.shake());
    CHECK_FALSE(pair.client->peer());
    CHECK_FALSE(pair.server->peer());
  }
}

TEST_CASE("A hello that is played again resumes nothing") {
  Server server;
  server.known = secret_of(2, 5);
  Pair pair{client_of(2, secret_of(1, 5)), server.session()};
  REQUIRE(pair.shake());
  REQUIRE(pair.server->resumed_from());

  const auto again = server.session();
  again->receive(pair.hello);
  const auto step = again->handshake();
  REQUIRE(step);
  CHECK_FALSE(*step);  // it waits for a key and its signature
  CHECK(server.asked == 2);
  again->receive_end();
  CHECK_FALSE(again->handshake());
  CHECK_FALSE(again->peer());
}

TEST_CASE("Whoever has a secret must still make a key of X25519 with it, at the first attempt") {
  Server server;
  server.known = secret_of(2, 5);
  const auto session = server.session();
  const std::string common = "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CTYPE-ALL:+CTYPE-RAWPK";
  SECTION("as our clients do it: resumed") {
    MemoryClient good(secret_of(1, 5), (common + ":-GROUP-ALL:+GROUP-X25519:+ECDHE-PSK").c_str());
    CHECK(good.against(*session).value());
    CHECK(session->peer() == key_of(2).id());
  }
  SECTION("the bare secret: not resumed, and refused for want of a key") {
    MemoryClient bare(secret_of(1, 5), (common + ":-GROUP-ALL:+GROUP-X25519:+PSK").c_str());
    const auto done = bare.against(*session);
    REQUIRE_FALSE(done);
    CHECK(done.error().code == ErrorCode::untrusted);
  }
  SECTION("another's name, no use of its secret, and a key of one's own: one is oneself") {
    auto overheard = secret_of(1, 5);
    overheard.secret.key.fill(0);
    MemoryClient other(overheard, (common + ":-GROUP-ALL:+GROUP-X25519:+PSK").c_str(), 3);
    CHECK(other.against(*session).value());
    CHECK_FALSE(server.known);  // it was named
    CHECK(session->peer() == key_of(3).id());
    CHECK_FALSE(session->resumed_from());
  }
  SECTION("another group first, X25519 in a second hello: refused") {
    MemoryClient slow(secret_of(1, 5), (common + ":-GROUP-ALL:+GROUP-SECP256R1:+GROUP-X25519:+ECDHE-PSK").c_str());
    const auto done = slow.against(*session);
    REQUIRE_FALSE(done);
    CHECK(done.error().cause.find("unexpected TLS packet") != std::string::npos);
    CHECK_FALSE(session->peer());
  }
  SECTION("no X25519 at all: refused") {
    MemoryClient other(secret_of(1, 5), (common + ":-GROUP-ALL:+GROUP-SECP256R1:+ECDHE-PSK").c_str());
    CHECK_FALSE(other.against(*session));
    CHECK_FALSE(session->peer());
  }
}

/// Links, then ends the link on both sides.
void link_once(TwoNodes& nodes) {
  const auto before = nodes.loop.on([&] { return nodes.server->stats().accepted; });
  auto link = nodes.connect();
  REQUIRE(link);
  nodes.loop.await("the accepting end", [&] { return nodes.server->stats().accepted == before + 1; });
  nodes.loop.on([&] {
    CHECK((*link)->peer() == key_of(1).id());
    CHECK(nodes.accepted.back()->link->peer() == key_of(2).id());
    link->reset();
    nodes.accepted.clear();
  });
}

std::uint64_t resumed(TwoNodes& nodes) {
  return nodes.loop.on([&] {
    const auto here = nodes.client->stats(), there = nodes.server->stats();
    CHECK(here.connected == there.accepted);
    CHECK(here.connected_resumed == there.accepted_resumed);
    return here.connected_resumed;
  });
}

TEST_CASE("The second link to a peer and every one after it are resumed, between the same two keys") {
  TwoNodes nodes;
  for (std::uint64_t i = 0; i < 5; ++i) {
    link_once(nodes);
    CHECK(resumed(nodes) == i);
  }
}

TEST_CASE("A resumed link carries its bytes in order both ways, and saves some at the handshake") {
  TwoNodes nodes;
  nodes.link_up();
  const auto full = nodes.loop.on([&] {
    return nodes.connected.link->bytes_sent() + nodes.far().link->bytes_sent();
  });
  nodes.loop.on([&] {
    nodes.accepted.clear();
    nodes.connected = {};
  });
  nodes.link_up();
  REQUIRE(resumed(nodes) == 1);
  nodes.loop.on([&] {
    CHECK(nodes.connected.link->bytes_sent() + nodes.far().link->bytes_sent() + 200 < full);
    nodes.connected.link->send(pattern(200'000, 3));
    nodes.far().link->send(pattern(300'000, 9));
  });
  nodes.loop.await("all bytes", [&] {
    return nodes.far().received_bytes >= 200'000 && nodes.connected.received_bytes >= 300'000;
  });
  nodes.loop.on([&] {
    CHECK(nodes.far().received == pattern(200'000, 3));
    CHECK(nodes.connected.received == pattern(300'000, 9));
  });
}

TEST_CASE("Either end may begin the link that resumes") {
  TwoNodes nodes;
  link_once(nodes);
  LinkPtr back, accepted;
  nodes.loop.on([&] {
    REQUIRE(nodes.client->listen({"127.0.0.1", 0}));
    nodes.client->on_accept([&](LinkPtr link) { accepted = std::move(link); });
    nodes.server->connect(nodes.client->local(), key_of(2).id(), 10s, [&](Result<LinkPtr> link) { back = link.value(); });
  });
  nodes.loop.await("both ends", [&] { return back && accepted; });
  nodes.loop.on([&] {
    CHECK(back->peer() == key_of(2).id());
    CHECK(accepted->peer() == key_of(1).id());
    CHECK(nodes.server->stats().connected_resumed == 1);
    CHECK(nodes.client->stats().accepted_resumed == 1);
    back.reset();
    accepted.reset();
  });
}

TEST_CASE("A peer that was restarted gets a full handshake, without an error, and the next link is resumed again") {
  TwoNodes nodes;
  link_once(nodes);
  nodes.loop.on([&] {
    const auto address = nodes.server->local();
    nodes.server.reset();
    nodes.server = std::move(TlsTransport::make(nodes.loop, key_of(1)).value());
    REQUIRE(nodes.server->listen(address));
    nodes.server->on_accept([&](LinkPtr link) {
      nodes.accepted.push_back(std::make_unique<End>());
      nodes.accepted.back()->take(std::move(link));
    });
  });
  link_once(nodes);
  nodes.loop.on([&] {
    CHECK(nodes.client->stats().connected_resumed == 0);
    CHECK(nodes.server->stats().accepted_resumed == 0);
    CHECK(nodes.server->stats().refused == 0);
  });
  link_once(nodes);
  nodes.loop.on([&] { CHECK(nodes.server->stats().accepted_resumed == 1); });
}

TEST_CASE("A peer's signature holds for `resume_within`, however often it is resumed meanwhile, at either end") {
  TlsOptions brief;
  brief.resume_within = 1s;
  const bool here = GENERATE(true, false);
  TwoNodes nodes(here ? TlsOptions{} : brief, here ? brief : TlsOptions{});
  link_once(nodes);
  const auto start = nodes.loop.on([&] { return nodes.loop.now(); });
  std::uint64_t links = 1;
  while (nodes.loop.on([&] { return nodes.loop.now() - start < brief.resume_within; })) {
    link_once(nodes);
    ++links;
  }
  link_once(nodes);
  CHECK(links > 2);
  CHECK(resumed(nodes) == links + 1 - 2);  // all but the first, and the one that came after the second
}

TEST_CASE("Without room for secrets links work and nothing is resumed, whichever end has none") {
  TlsOptions none;
  none.resumptions = 0;
  const bool here = GENERATE(true, false);
  TwoNodes nodes(here ? TlsOptions{} : none, here ? none : TlsOptions{});
  for (int i = 0; i < 3; ++i) link_once(nodes);
  CHECK(resumed(nodes) == 0);
}

TEST_CASE("A secret that was offered in vain is not offered again") {
  TwoNodes nodes;
  link_once(nodes);
  SilentListener silent;
  CHECK(nodes.connect(std::nullopt, silent.endpoint(), 100ms).error().code == ErrorCode::timeout);
  link_once(nodes);
  CHECK(resumed(nodes) == 0);
  link_once(nodes);
  CHECK(resumed(nodes) == 1);
}

TEST_CASE("A node whose greeting comes back to itself does not take itself for its peer") {
  TwoNodes nodes;
  link_once(nodes);
  nodes.loop.on([&] { REQUIRE(nodes.client->listen({"127.0.0.1", 0})); });
  const auto itself = nodes.loop.on([&] { return nodes.client->local(); });
  const auto outcome = nodes.connect(key_of(1).id(), itself);
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code == ErrorCode::untrusted);
  nodes.loop.await("the other end's verdict", [&] { return nodes.client->stats().refused == 1; });
  nodes.loop.on([&] { CHECK(nodes.client->stats().accepted == 0); });
}

TEST_CASE("What one node shares with a peer is no use to another node") {
  TwoNodes nodes;
  link_once(nodes);
  std::unique_ptr<TlsTransport> third;
  LinkPtr link;
  nodes.loop.on([&] {
    third = std::move(TlsTransport::make(nodes.loop, key_of(3)).value());
    third->connect(nodes.server->local(), key_of(1).id(), 10s, [&](Result<LinkPtr> done) { link = done.value(); });
  });
  nodes.loop.await("both ends", [&] { return link && nodes.accepted.size() == 1; });
  nodes.loop.on([&] {
    CHECK(nodes.accepted.back()->link->peer() == key_of(3).id());
    CHECK(nodes.server->stats().accepted_resumed == 0);
    nodes.accepted.clear();
    link.reset();
    third.reset();
  });
  link_once(nodes);
  nodes.loop.on([&] { CHECK(nodes.server->stats().accepted_resumed == 1); });
}

TEST_CASE("More peers than there is room for: the latest are resumed, the others shake hands in full") {
  TlsOptions two;
  two.resumptions = 2;
  TwoNodes nodes(two);
  std::vector<std::unique_ptr<TlsTransport>> peers;
  const auto link_from = [&](std::size_t i) {
    LinkPtr link;
    nodes.loop.on([&] {
      peers[i]->connect(nodes.server->local(), key_of(1).id(), 10s, [&](Result<LinkPtr> done) { link = done.value(); });
    });
    nodes.loop.await("both ends", [&] { return link && nodes.accepted.size() == 1; });
    nodes.loop.on([&] {
      nodes.accepted.clear();
      link.reset();
    });
    return nodes.loop.on([&] { return peers[i]->stats().connected_resumed; });
  };
  for (std::size_t i = 0; i < 3; ++i) {
    nodes.loop.on([&] { peers.push_back(TlsTransport::make(nodes.loop, key_of(static_cast<std::uint8_t>(10 + i))).value()); });
    CHECK(link_from(i) == 0);
  }
  CHECK(link_from(0) == 0);  // which pushes out the second
  CHECK(link_from(1) == 0);
  CHECK(link_from(1) == 1);
  nodes.loop.on([&] { peers.clear(); });
}

}  // namespace
}  // namespace p2p::net::test

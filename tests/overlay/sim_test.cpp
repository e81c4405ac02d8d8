// The simulation itself: what its tests of others rest on.
#include "overlay/sim/simulation.hpp"

#include <algorithm>
#include <set>
#include <string>

#include <catch2/catch.hpp>

#include "tests/overlay/support.hpp"

namespace p2p::sim {
namespace {

using overlay::Link;

/// Two hosts with a link between them.
struct Linked {
  explicit Linked(std::uint64_t seed = 1, std::function<void(Simulation&)> dials = {}) : simulation(seed) {
    simulation.network().latency_low = simulation.network().latency_high = 10ms;
    simulation.network().jitter = 0us;
    if (dials) dials(simulation);
    auto& a = simulation.add_host();
    auto& b = simulation.add_host();
    b.transport().on_accept([this](std::shared_ptr<Link> link) {
      far = std::move(link);
      far->start(handlers(received, far_closed));
    });
    a.transport().connect(b.endpoint(), b.id(), 5s, [this](Result<std::shared_ptr<Link>> link) {
      REQUIRE(link);
      near = std::move(*link);
      near->start(handlers(returned, near_closed));
    });
    REQUIRE(simulation.run_until([this] { return near && far; }, 5s));
  }
  Link::Handlers handlers(Bytes& into, std::vector<Error>& closed) {
    return {.on_data = [&into](ByteView bytes) { into.insert(into.end(), bytes.begin(), bytes.end()); },
            .on_drained = [this] { ++drained; },
            .on_closed = [&closed](const Error& why) { closed.push_back(why); }};
  }
  Simulation simulation;
  std::shared_ptr<Link> near, far;
  Bytes received, returned;
  std::vector<Error> near_closed, far_closed;
  int drained = 0;
};

TEST_CASE("A link delivers all bytes in their order, whatever the dials do to its segments") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    Linked net(seed, [](Simulation& s) {
      s.network().jitter = 50ms;
      s.network().loss = 0.2;
      s.network().segment_bytes = 333;
      s.network().bandwidth = 1'000'000;
    });
    const Bytes sent = test::random_bytes(200'000, seed);
    Random random(seed);
    for (std::size_t at = 0; at < sent.size();) {
      const std::size_t size = std::min(sent.size() - at, std::size_t{1} + random.below(5000));
      net.near->send(Bytes(sent.begin() + static_cast<std::ptrdiff_t>(at),
                           sent.begin() + static_cast<std::ptrdiff_t>(at + size)));
      at += size;
      net.simulation.run_for(Duration(random.below(3000)));
      // Partitions that are shorter than dead_after delay and do not reorder.
      if (random.below(20) == 0) {
        net.simulation.host(1).set_group(1);
        net.simulation.partition();
        net.simulation.run_for(Duration(random.below(1'000'000)));
        net.simulation.heal();
      }
    }
    net.simulation.run_for(60s);
    CHECK(net.received == sent);
    CHECK(net.near_closed.empty());
    CHECK(net.far_closed.empty());
  }
}

TEST_CASE("A segment that had to be sent again holds up those behind it") {
  Linked net;
  net.simulation.network().loss = 1;
  net.near->send({1});
  net.simulation.run_for(1ms);
  net.simulation.network().loss = 0;
  net.near->send({2});
  net.simulation.run_for(150ms);
  CHECK(net.received.empty());
  net.simulation.run_for(100ms);
  CHECK(net.received == Bytes{1, 2});
}

TEST_CASE("A byte takes the pair's latency, and many bytes take the bandwidth's time") {
  Linked net(1, [](Simulation& s) { s.network().bandwidth = 100'000; });
  net.near->send({1});
  net.simulation.run_for(10ms);
  CHECK(net.received.empty());
  net.simulation.run_for(1ms);
  CHECK(net.received.size() == 1);
  net.near->send(Bytes(100'000));
  net.simulation.run_for(990ms);
  CHECK(net.received.size() < 100'001);
  net.simulation.run_for(50ms);
  CHECK(net.received.size() == 100'001);
}

TEST_CASE("Links of one host share its uplink") {
  Simulation simulation(1);
  simulation.network().bandwidth = 100'000;
  std::vector<Bytes> received(2);
  std::vector<std::shared_ptr<Link>> links;
  auto& sender = simulation.add_host();
  for (std::size_t i = 0; i < 2; ++i) {
    auto& host = simulation.add_host();
    host.transport().on_accept([&, i](std::shared_ptr<Link> link) {
      link->start({.on_data = [&received, i](ByteView bytes) { received[i].insert(received[i].end(), bytes.begin(), bytes.end()); },
                   .on_drained = {},
                   .on_closed = {}});
      links.push_back(link);
    });
    sender.transport().connect(host.endpoint(), host.id(), 5s, [&](Result<std::shared_ptr<Link>> link) {
      REQUIRE(link);
      (*link)->send(Bytes(100'000));
      links.push_back(*link);
    });
  }
  simulation.run_for(1300ms);
  CHECK(received[0].size() + received[1].size() < 130'000);
  CHECK(received[0].size() > 40'000);
  CHECK(received[1].size() > 40'000);
  simulation.run_for(1s);
  CHECK(received[0].size() + received[1].size() == 200'000);
}

TEST_CASE("A reader that pauses stops its sender at the window, and draining is told once below the low-water mark") {
  Linked net(1, [](Simulation& s) { s.network().window_bytes = 100'000; });
  net.far->pause_reading();
  net.near->send(Bytes(500'000));
  CHECK(net.near->queued() == 500'000);
  net.simulation.run_for(5s);
  CHECK(net.received.empty());
  CHECK(net.near->queued() > 500'000 - 120'000);
  CHECK(net.drained == 0);
  net.far->resume_reading();
  CHECK(net.received.empty());  // never from inside the call
  net.simulation.run_for(5s);
  CHECK(net.received.size() == 500'000);
  CHECK(net.near->queued() == 0);
  CHECK(net.drained == 1);
}

TEST_CASE("close() delivers what is queued and then ends the stream; the closing end hears nothing more") {
  Linked net(1, [](Simulation& s) { s.network().bandwidth = 100'000; });
  net.near->send(Bytes(50'000));
  net.near->close();
  net.far->send({1, 2, 3});
  net.simulation.run_for(5s);
  CHECK(net.received.size() == 50'000);
  REQUIRE(net.far_closed.size() == 1);
  CHECK(net.far_closed[0].code == ErrorCode::closed);
  CHECK(net.near_closed.empty());
  CHECK(net.returned.empty());
}

TEST_CASE("Dropping the last reference ends the link without a call at that end") {
  Linked net;
  net.near.reset();
  net.simulation.run_for(1s);
  CHECK(net.far_closed.size() == 1);
  CHECK(net.near_closed.empty());
}

TEST_CASE("A broken link is io at both ends, once") {
  Linked net;
  net.simulation.network().link_break = 1;
  net.near->send({1});
  net.near->send({2});
  net.simulation.run_for(5s);
  REQUIRE((net.near_closed.size() == 1 && net.far_closed.size() == 1));
  CHECK(net.near_closed[0].code == ErrorCode::io);
  CHECK(net.far_closed[0].code == ErrorCode::io);
}

TEST_CASE("Corruption flips one bit of a segment and nothing else") {
  Linked net;
  net.simulation.network().corruption = 1;
  const Bytes sent = test::random_bytes(1000, 1);
  net.near->send(sent);
  net.simulation.run_for(1s);
  REQUIRE(net.received.size() == 1000);
  int differing = 0;
  for (std::size_t i = 0; i < sent.size(); ++i) differing += __builtin_popcount(sent[i] ^ net.received[i]);
  CHECK(differing == 1);
}

TEST_CASE("A long partition breaks links with timeout, and connects time out until it heals") {
  Linked net;
  net.simulation.host(1).set_group(1);
  net.simulation.partition();
  net.near->send({1});
  net.simulation.run_for(9s);
  CHECK(net.near_closed.empty());
  net.simulation.run_for(2s);
  REQUIRE(net.near_closed.size() == 1);
  CHECK(net.near_closed[0].code == ErrorCode::timeout);
  CHECK(net.received.empty());
  std::vector<ErrorCode> codes;
  const auto connect = [&] {
    net.simulation.host(0).transport().connect(net.simulation.host(1).endpoint(), net.simulation.host(1).id(), 1s,
                                               [&](Result<std::shared_ptr<Link>> link) {
                                                 if (!link) codes.push_back(link.error().code);
                                               });
    net.simulation.run_for(2s);
  };
  connect();
  CHECK(codes == std::vector<ErrorCode>{ErrorCode::timeout});
  net.simulation.heal();
  connect();
  CHECK(codes.size() == 1);
}

TEST_CASE("A crashed process ends its links; a host without power just falls silent") {
  for (const auto how : {Crash::process, Crash::power}) {
    Linked net;
    net.simulation.host(1).crash(how);
    net.simulation.run_for(1s);
    CHECK(net.near_closed.size() == (how == Crash::process ? 1u : 0u));
    CHECK(net.far_closed.empty());
    net.near->send({1});
    net.simulation.run_for(15s);
    CHECK(net.near_closed.size() == 1);
    CHECK(net.received.empty());
  }
}

TEST_CASE("A link to a host that has restarted is io as soon as something is sent on it") {
  Linked net;
  net.simulation.host(1).crash(Crash::power);
  net.simulation.host(1).restart();
  net.simulation.run_for(1s);
  CHECK(net.near_closed.empty());
  net.near->send({1});
  net.simulation.run_for(1s);
  REQUIRE(net.near_closed.size() == 1);
  CHECK(net.near_closed[0].code == ErrorCode::io);
}

TEST_CASE("Timers and posts of a crashed host never run, also after its restart") {
  Simulation simulation(1);
  auto& host = simulation.add_host();
  int ran = 0;
  auto& executor = host.executor();
  const auto timer = executor.after(1s, [&] { ++ran; });
  executor.post([&] { ++ran; });
  host.crash();
  executor.post([&] { ++ran; });
  const auto late = executor.after(1s, [&] { ++ran; });
  host.restart();
  simulation.run_for(10s);
  CHECK(ran == 0);
  host.executor().post([&] { ++ran; });
  simulation.run_for(10s);
  CHECK(ran == 1);
}

TEST_CASE("A timer runs at its time unless its handle goes first, and posts run in their order") {
  Simulation simulation(1);
  auto& executor = simulation.add_host().executor();
  std::string order;
  auto kept = executor.after(20ms, [&] { order += "t"; });
  auto gone = executor.after(10ms, [&] { order += "x"; });
  executor.post([&] {
    order += "a";
    executor.post([&] { order += "c"; });
  });
  executor.post([&] { order += "b"; });
  CHECK(order.empty());
  gone.reset();
  simulation.run_for(19ms);
  CHECK(order == "abc");
  simulation.run_for(1ms);
  CHECK(order == "abct");
}

TEST_CASE("Every host's wall clock is as wrong as its dial says, and time itself is everybody's") {
  Simulation simulation(1);
  auto& right = simulation.add_host();
  auto& wrong = simulation.add_host({.name = "wrong", .clock_offset = std::chrono::minutes(-7)});
  simulation.run_for(5s);
  CHECK(right.executor().wall_ms() - wrong.executor().wall_ms() == 7 * 60 * 1000);
  CHECK(right.executor().now() == wrong.executor().now());
  wrong.set_clock_offset(std::chrono::minutes(1));
  CHECK(wrong.executor().wall_ms() - right.executor().wall_ms() == 60 * 1000);
}

TEST_CASE("Connecting to the wrong key is untrusted, to nobody unavailable, and in silence a timeout") {
  Simulation simulation(1);
  auto& a = simulation.add_host();
  auto& b = simulation.add_host();
  std::vector<ErrorCode> codes;
  const auto connect = [&](const metadata::NodeId& expected, Duration timeout) {
    a.transport().connect(b.endpoint(), expected, timeout, [&](Result<std::shared_ptr<Link>> link) {
      REQUIRE_FALSE(link);
      codes.push_back(link.error().code);
    });
    simulation.run_for(5s);
  };
  connect(b.id(), 2s);
  int accepted = 0;
  b.transport().on_accept([&](std::shared_ptr<Link>) { ++accepted; });
  connect(a.id(), 2s);
  connect(b.id(), 1ms);
  b.stall_links(true);
  connect(b.id(), 2s);
  CHECK(codes == std::vector<ErrorCode>{ErrorCode::unavailable, ErrorCode::untrusted, ErrorCode::timeout,
                                        ErrorCode::timeout});
  CHECK(accepted == 0);
}

TEST_CASE("A stalled host's links stay open and deliver when the stall is over") {
  Linked net;
  net.simulation.host(0).stall_links(true);
  net.near->send({1, 2, 3});
  net.simulation.run_for(60s);
  CHECK(net.received.empty());
  CHECK(net.far_closed.empty());
  net.simulation.host(0).stall_links(false);
  net.simulation.run_for(1s);
  CHECK(net.received == Bytes{1, 2, 3});
}

// ---- The table

struct Table {
  explicit Table(std::size_t hosts, std::uint64_t seed = 1) : simulation(seed) {
    for (std::size_t i = 0; i < hosts; ++i) {
      simulation.add_host();
      simulation.host(i).dht().join(i == 0 ? std::vector<std::string>{}
                                           : std::vector<std::string>{simulation.host(0).seed()});
    }
    simulation.run_for(5s);
  }
  metadata::Entry entry(std::size_t i) {
    metadata::Entry out;
    out.task = metadata::tag(test::task_id());
    out.node = simulation.host(i).id();
    out.version = simulation.host(i).executor().wall_ms();
    out.endpoint = simulation.host(i).endpoint();
    out.table_port = out.endpoint.port;
    out.recall = {15, 15, 15, 0};
    return out;
  }
  static constexpr metadata::Place kPlace{metadata::Place::Kind::label, 1, 0, 0};
  DhtKey key() { return metadata::place_key(metadata::tag(test::task_id()), kPlace); }
  int put(std::size_t i, std::uint64_t id, const metadata::Entry& entry, const metadata::Place& place = kPlace) {
    int said = -1;
    const auto listing = metadata::pack({place, metadata::seal(entry, simulation.host(i).key())});
    simulation.host(i).dht().put(key(), {id, listing}, [&](bool ok) { said = ok ? 1 : 0; });
    simulation.run_for(10s);
    return said;
  }
  std::vector<Bytes> get(std::size_t i, bool first_only = false) {
    std::vector<Bytes> values;
    int done = 0;
    simulation.host(i).dht().get(
        key(),
        [&](const overlay::DhtValue& value) {
          values.push_back(value.data);
          return !first_only;
        },
        [&](bool) { ++done; });
    simulation.run_for(10s);
    CHECK(done == 1);
    return values;
  }
  Simulation simulation;
};

TEST_CASE("A record lies on the eight hosts nearest to its key and is found from everywhere") {
  Table table(30);
  CHECK(table.put(3, 1, table.entry(3)) == 1);
  CHECK(table.simulation.copies(table.key()) == 8);
  for (std::size_t i = 0; i < 30; ++i) CHECK(table.get(i).size() == 8);
  CHECK(table.get(5, true).size() == 1);
}

TEST_CASE("Holders apply the policy: junk, foreign buckets and older versions are not stored, whatever put says") {
  Table table(30);
  const auto fresh = table.entry(3);
  CHECK(table.put(3, 1, fresh) == 1);
  auto older = fresh;
  older.version -= 1000;
  CHECK(table.put(3, 1, older) == 1);
  CHECK(table.put(3, 2, fresh, {metadata::Place::Kind::label, 2, 0, 0}) == 1);
  int said = -1;
  table.simulation.host(4).dht().put(table.key(), {9, test::random_bytes(200, 1)}, [&](bool ok) { said = ok ? 1 : 0; });
  table.simulation.run_for(5s);
  CHECK(said == 1);
  CHECK(table.simulation.copies(table.key()) == 8);
  for (const auto& value : table.get(7)) {
    CHECK(metadata::open_entry(metadata::unpack_listing(value)->entry)->version == fresh.version);
  }
}

TEST_CASE("A record is gone after twenty minutes") {
  Table table(30);
  table.put(3, 1, table.entry(3));
  table.simulation.run_for(std::chrono::minutes(19));
  CHECK(table.simulation.copies(table.key()) == 8);
  table.simulation.run_for(std::chrono::minutes(1));
  CHECK(table.simulation.copies(table.key()) == 0);
  CHECK(table.get(5).empty());
}

TEST_CASE("A host that knows nobody puts and gets in vain, and says so") {
  Table alone(1);
  CHECK(alone.put(0, 1, alone.entry(0)) == 0);
  CHECK(alone.get(0).empty());
  Table other(3);
  other.simulation.add_host();
  CHECK(other.put(3, 1, other.entry(3)) == 0);
}

TEST_CASE("The neighbours of a host are others of its table that it can reach, as many as are asked for") {
  Simulation simulation(3);
  for (int i = 0; i < 12; ++i) simulation.add_host();
  CHECK(simulation.host(0).dht().neighbours(4).empty());
  simulation.host(0).dht().join({});
  for (std::size_t i = 1; i < 12; ++i) {
    if (i != 5) simulation.host(i).dht().join({simulation.host(0).seed()});
  }
  simulation.run_for(5s);
  simulation.host(7).crash();
  std::set<std::string> found;
  for (const auto& at : simulation.host(0).dht().neighbours(99)) found.insert(at.text());
  std::set<std::string> expected;
  for (const std::size_t i : {1, 2, 3, 4, 6, 8, 9, 10, 11}) expected.insert(simulation.host(i).dht().local().text());
  CHECK(found == expected);
  CHECK(simulation.host(0).dht().neighbours(4).size() == 4);
  CHECK(simulation.host(0).dht().neighbours(0).empty());
}

TEST_CASE("Joining waits for a seed that is not there yet") {
  Simulation simulation(1);
  auto& late = simulation.add_host();
  auto& seed = simulation.add_host();
  late.dht().join({seed.seed()});
  simulation.run_for(30s);
  CHECK(late.dht().stats().good_nodes == 0);
  seed.dht().join({});
  simulation.run_for(3s);
  CHECK(late.dht().stats().good_nodes == 1);
  CHECK(seed.dht().stats().good_nodes == 1);
}

TEST_CASE("Two overlays become one when a member of one joins the other") {
  Simulation simulation(1);
  for (int i = 0; i < 6; ++i) simulation.add_host();
  simulation.host(0).dht().join({});
  simulation.host(3).dht().join({});
  for (std::size_t i : {1, 2}) simulation.host(i).dht().join({simulation.host(0).seed()});
  for (std::size_t i : {4, 5}) simulation.host(i).dht().join({simulation.host(3).seed()});
  simulation.run_for(5s);
  CHECK(simulation.host(1).dht().stats().good_nodes == 2);
  simulation.host(4).dht().join({simulation.host(1).seed()});
  simulation.run_for(5s);
  for (std::size_t i = 0; i < 6; ++i) CHECK(simulation.host(i).dht().stats().good_nodes == 5);
}

TEST_CASE("In a partition each side has a table of its own") {
  Table table(20);
  for (std::size_t i = 10; i < 20; ++i) table.simulation.host(i).set_group(1);
  table.simulation.partition();
  table.put(3, 1, table.entry(3));
  CHECK_FALSE(table.get(5).empty());
  CHECK(table.get(15).empty());
}

TEST_CASE("Lost questions are asked again: at ten in a hundred lost nearly every answer comes, later") {
  Table table(30);
  table.put(3, 1, table.entry(3));
  table.simulation.network().loss = 0.1;
  std::size_t found = 0;
  for (std::size_t i = 0; i < 30; ++i) found += table.get(i).empty() ? 0 : 1;
  CHECK(found == 30);
}

TEST_CASE("A liar answers with junk, and planted values bypass the policy") {
  Table table(9);
  table.put(3, 1, table.entry(3));
  for (std::size_t i = 0; i < 9; ++i) table.simulation.host(i).set_table_liar(true);
  std::size_t refused = 0;
  for (const auto& value : table.get(5)) refused += metadata::open_entry(value) ? 0 : 1;
  CHECK(refused >= 8);
  const auto before = table.simulation.copies(table.key());
  table.simulation.plant(table.key(), {77, test::random_bytes(100, 1)});
  CHECK(table.simulation.copies(table.key()) == before + 8);
}

TEST_CASE("The holders of a key are the nearest by exclusive or, among hundreds and after a third has crashed") {
  Table table(300);
  const auto ids = [&] {
    std::vector<std::pair<DhtKey, std::size_t>> out;
    for (std::size_t i = 0; i < 300; ++i) {
      if (!table.simulation.host(i).up()) continue;
      const auto hash = metadata::sha256(table.simulation.host(i).id().view());
      DhtKey distance = table.key();
      for (std::size_t b = 0; b < distance.size(); ++b) distance[b] ^= hash.bytes[b];
      out.emplace_back(distance, i);
    }
    std::sort(out.begin(), out.end());
    return out;
  };
  const auto check = [&](std::size_t publisher) {
    CHECK(table.put(publisher, publisher, table.entry(publisher)) == 1);
    const auto sorted = ids();
    for (std::size_t rank = 0; rank < sorted.size(); ++rank) {
      CHECK((table.simulation.host(sorted[rank].second).stored_values() > 0) == (rank < 8));
    }
  };
  check(299);
  for (std::size_t i = 0; i < 300; i += 3) table.simulation.host(i).crash();
  table.simulation.run_for(std::chrono::minutes(21));  // the first record is gone
  check(299);
}

TEST_CASE("A host knows how many its table has: those that it can reach, and itself") {
  Table table(20);
  CHECK(table.simulation.host(3).dht().stats().estimated_nodes == 20);
  for (std::size_t i = 15; i < 20; ++i) table.simulation.host(i).crash();
  for (std::size_t i = 10; i < 15; ++i) table.simulation.host(i).set_group(1);
  table.simulation.partition();
  CHECK(table.simulation.host(3).dht().stats().estimated_nodes == 10);
  CHECK(table.simulation.host(12).dht().stats().estimated_nodes == 5);
  CHECK(Table(1).simulation.host(0).dht().stats().estimated_nodes == 1);
}

// ---- Datagrams

struct Mail {
  explicit Mail(std::size_t hosts, std::uint64_t seed = 1) : simulation(seed), got(hosts) {
    for (std::size_t i = 0; i < hosts; ++i) {
      simulation.add_host();
      listen(i);
    }
  }
  void listen(std::size_t i) {
    simulation.host(i).dht().on_datagram([this, i](const Endpoint& from, ByteView datagram) {
      got[i].push_back({from, Bytes(datagram.begin(), datagram.end()), simulation.now()});
    });
  }
  void send(std::size_t from, std::size_t to, Bytes bytes = {1, 2, 3}) {
    simulation.host(from).dht().send(simulation.host(to).dht().local(), std::move(bytes));
  }
  struct Letter {
    Endpoint from;
    Bytes bytes;
    TimePoint at;
  };
  Simulation simulation;
  std::vector<std::vector<Letter>> got;
};

TEST_CASE("A datagram arrives after the pair's latency, without joining anything, and says where it came from") {
  Mail mail(3);
  mail.simulation.network().jitter = 0ms;
  mail.send(0, 1);
  CHECK(mail.got[1].empty());
  mail.simulation.run_for(1s);
  REQUIRE(mail.got[1].size() == 1);
  CHECK(mail.got[1][0].bytes == Bytes{1, 2, 3});
  CHECK(mail.got[1][0].from == mail.simulation.host(0).endpoint());
  CHECK(mail.got[1][0].at >= TimePoint{5'000});
  CHECK(mail.got[1][0].at <= TimePoint{40'000});
  CHECK(mail.got[2].empty());
  const auto sent = mail.simulation.host(0).dht().stats(), received = mail.simulation.host(1).dht().stats();
  CHECK(sent.sent_datagrams == 1);
  CHECK(sent.sent_datagram_bytes == 8);  // with the five bytes that name the network
  CHECK(sent.sent_packets == 1);
  CHECK(received.received_datagrams == 1);
  CHECK(received.received_datagram_bytes == 8);
  CHECK(received.received_bytes == 8);
}

TEST_CASE("Datagrams that are too long or go to nobody are lost without a word") {
  Mail mail(2);
  mail.send(0, 1, Bytes(overlay::Dht::kMaxDatagramBytes, 7));
  mail.send(0, 1, Bytes(overlay::Dht::kMaxDatagramBytes + 1, 7));
  mail.simulation.host(0).dht().send({"192.0.2.1", 9}, {1});
  mail.simulation.run_for(1s);
  CHECK(mail.got[1].size() == 1);
  CHECK(mail.simulation.host(0).dht().stats().sent_datagrams == 2);
}

TEST_CASE("Datagrams are lost and doubled as often as the dials say, and never cross a partition") {
  Mail mail(2);
  mail.simulation.network().loss = 0.2;
  for (int i = 0; i < 2000; ++i) mail.send(0, 1);
  mail.simulation.run_for(1s);
  CHECK(mail.got[1].size() > 1500);
  CHECK(mail.got[1].size() < 1700);
  mail.got[1].clear();
  mail.simulation.network().loss = 0;
  mail.simulation.network().duplication = 0.2;
  for (int i = 0; i < 2000; ++i) mail.send(0, 1);
  mail.simulation.run_for(1s);
  CHECK(mail.got[1].size() > 2300);
  CHECK(mail.got[1].size() < 2500);
  mail.got[1].clear();
  mail.simulation.host(1).set_group(1);
  mail.send(0, 1);
  mail.simulation.partition();
  mail.simulation.run_for(1s);
  CHECK(mail.got[1].empty());
}

TEST_CASE("A datagram outlives the crash of its sender, but not that of its receiver, whose handler is gone too") {
  Mail mail(3);
  mail.send(0, 1);
  mail.send(0, 2);
  mail.simulation.host(0).crash();
  mail.simulation.host(2).crash();
  mail.simulation.run_for(1s);
  CHECK(mail.got[1].size() == 1);
  CHECK(mail.got[2].empty());
  mail.simulation.host(2).restart();
  mail.send(1, 2);
  mail.simulation.run_for(1s);
  CHECK(mail.got[2].empty());
  mail.listen(2);
  mail.send(1, 2);
  mail.send(0, 2);  // by a host that is down
  mail.simulation.run_for(1s);
  CHECK(mail.got[2].size() == 1);
}

TEST_CASE("A handler may answer, replace itself and leave from inside its call") {
  Mail mail(2);
  auto& dht = mail.simulation.host(1).dht();
  int first = 0, left = 0;
  dht.on_datagram([&](const Endpoint& from, ByteView) {
    ++first;
    dht.send(from, {9});
    mail.listen(1);
  });
  mail.send(0, 1);
  mail.simulation.run_for(1s);
  mail.send(0, 1);
  mail.simulation.run_for(1s);
  CHECK(first == 1);
  CHECK(mail.got[0].size() == 1);
  CHECK(mail.got[1].size() == 1);
  dht.on_datagram([&](const Endpoint&, ByteView) { dht.leave([&] { ++left; }); });
  mail.send(0, 1);
  mail.send(0, 1);
  mail.simulation.run_for(1s);
  CHECK(left == 1);
  dht.send(mail.simulation.host(0).endpoint(), {1});
  mail.simulation.run_for(1s);
  CHECK(mail.got[0].size() == 1);
}

// ---- One seed, one run

struct Story {
  std::uint64_t hash = 0;
  std::vector<std::string> lines;
};

/// A day in a bad network: exchanges, tables, losses, breaks, crashes, partitions.
Story story(std::uint64_t seed) {
  Simulation simulation(seed);
  auto& network = simulation.network();
  network.loss = 0.05;
  network.duplication = 0.1;
  network.link_break = 0.002;
  network.corruption = 0.001;
  network.jitter = 10ms;
  Random random(seed);
  constexpr std::size_t kHosts = 12;
  std::vector<std::unique_ptr<test::Party>> parties;
  for (std::size_t i = 0; i < kHosts; ++i) {
    auto& host = simulation.add_host({.name = "", .group = static_cast<unsigned>(i % 2)});
    host.dht().join(i == 0 ? std::vector<std::string>{} : std::vector<std::string>{simulation.host(0).seed()});
    parties.push_back(std::make_unique<test::Party>(simulation, host));
  }
  for (int round = 0; round < 60; ++round) {
    const auto i = random.below(kHosts), j = random.below(kHosts);
    if (simulation.host(i).up() && i != j) {
      (void)parties[i]->pull(parties[j]->peer());
      simulation.host(i).dht().get({static_cast<std::uint8_t>(j)}, [](const auto&) { return true; }, [](bool) {});
    }
    if (round % 20 == 7) simulation.partition();
    if (round % 20 == 12) simulation.heal();
    if (round % 15 == 3) {
      const auto k = 1 + random.below(kHosts - 1);
      simulation.host(k).crash(random.below(2) == 0 ? Crash::process : Crash::power);
      parties[k].reset();
      simulation.run_for(100ms);
      simulation.host(k).restart();
      simulation.host(k).dht().join({simulation.host(0).seed()});
      parties[k] = std::make_unique<test::Party>(simulation, simulation.host(k));
    }
    simulation.run_for(Duration(random.below(500'000)));
  }
  simulation.run_for(40s);
  return {simulation.log().hash(), simulation.log().lines()};
}

TEST_CASE("The same seed is the same run, event by event; another seed is another") {
  const Story first = story(11), second = story(11), other = story(12);
  CHECK(first.lines == second.lines);
  CHECK(first.hash == second.hash);
  CHECK(first.hash != other.hash);
  CHECK(first.lines.size() > 100);
}

TEST_CASE("A check that is set runs after every event, and a script at its time") {
  Simulation simulation(1);
  auto& host = simulation.add_host();
  std::uint64_t checked = 0;
  simulation.check_always([&] { ++checked; });
  overlay::TimePoint at;
  simulation.at(overlay::TimePoint{} + 3s, [&] { at = simulation.now(); });
  for (int i = 0; i < 10; ++i) host.executor().post([] {});
  simulation.run_for(5s);
  CHECK(checked == 11);
  CHECK(simulation.events() == 11);
  CHECK(at.us == 3'000'000);
}

TEST_CASE("run_until stops at the event that makes its condition true, or at its limit") {
  Simulation simulation(1);
  int count = 0;
  simulation.at(overlay::TimePoint{} + 1s, [&] { ++count; });
  simulation.at(overlay::TimePoint{} + 2s, [&] { ++count; });
  CHECK(simulation.run_until([&] { return count == 1; }, 10s));
  CHECK(simulation.now().us == 1'000'000);
  CHECK_FALSE(simulation.run_until([&] { return count == 3; }, 10s));
  CHECK(simulation.now().us == 11'000'000);
}

}  // namespace
}  // namespace p2p::sim

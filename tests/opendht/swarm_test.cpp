// The table in virtual time: real OpenDHT nodes by the hundred, joining through one seed, storing, finding, dying.
#include "swarm.hpp"

#include <chrono>
#include <optional>

#include <catch2/catch.hpp>

#include "storable.hpp"

namespace p2p::swarm {
namespace {

bool put(Swarm& swarm, Node& node, const Storable& what) {
  std::optional<bool> outcome;
  node.dht().put(what.key, what.value, [&](bool ok) { outcome = ok; });
  CHECK_FALSE(outcome);
  REQUIRE(swarm.run_until([&] { return outcome.has_value(); }, 60s));
  return *outcome;
}

struct Found {
  std::vector<overlay::DhtValue> values;
  Duration first{-1}, done{-1};
};
Found get(Swarm& swarm, Node& node, const overlay::DhtKey& key) {
  Found found;
  const TimePoint start = swarm.now();
  node.dht().get(
      key,
      [&](const overlay::DhtValue& value) {
        if (found.values.empty()) found.first = swarm.now() - start;
        found.values.push_back(value);
        return true;
      },
      [&](bool) { found.done = swarm.now() - start; });
  REQUIRE(swarm.run_until([&] { return found.done.count() >= 0; }, 60s));
  return found;
}

Node& any_alive(Swarm& swarm) {
  for (;;) {
    Node& node = swarm.node(swarm.random().below(swarm.size()));
    if (node.alive()) return node;
  }
}

TEST_CASE("Clocks show the swarm's time and nothing else while there is a swarm") {
  const double start = real_seconds();
  {
    Swarm swarm;
    const auto steady = std::chrono::steady_clock::now();
    swarm.run_for(std::chrono::hours(24));
    CHECK(std::chrono::steady_clock::now() - steady == std::chrono::hours(24));
    CHECK(std::chrono::system_clock::now().time_since_epoch() ==
          std::chrono::milliseconds(kEpochMs) + std::chrono::hours(24));
    CHECK(swarm.wall_ms() == kEpochMs + 24 * 3600 * 1000);
  }
  CHECK(real_seconds() - start < 5);
  CHECK(std::chrono::system_clock::now().time_since_epoch() < std::chrono::milliseconds(kEpochMs + 3'000'000'000'000));
  CHECK(std::chrono::steady_clock::now().time_since_epoch() >= std::chrono::duration<double>(start));
}

TEST_CASE("Three hundred nodes join through one seed; records are found by all and survive thirty in a hundred deaths") {
  Swarm swarm({.seed = 3});
  grow(swarm, 300, 5s);
  REQUIRE(swarm.run_until(
      [&] {
        for (std::size_t i = 0; i < swarm.size(); ++i) {
          if (swarm.node(i).dht().stats().good_nodes == 0) return false;
        }
        return true;
      },
      30s));
  swarm.run_for(20s);

  constexpr std::uint32_t kRecords = 60;
  std::vector<Storable> records;
  for (std::uint32_t i = 0; i < kRecords; ++i) {
    Node& publisher = swarm.node(200 + i);  // these will live
    records.push_back(storable(i, publisher.index(), publisher.endpoint(), swarm.wall_ms()));
    CHECK(put(swarm, publisher, records.back()));
  }
  for (const Storable& record : records) {
    const Found found = get(swarm, any_alive(swarm), record.key);
    REQUIRE(found.values.size() == 1);
    CHECK(found.values[0].data == record.value.data);
    CHECK((found.first >= 40ms || found.first == 0ms));  // there and back at least, or the asker is a holder
    CHECK(found.first <= found.done);
    CHECK(found.done < 3s);
  }

  for (std::size_t i = 0; i < 90; ++i) swarm.kill(swarm.node(1 + 2 * i));
  std::size_t found = 0;
  for (const Storable& record : records) found += get(swarm, any_alive(swarm), record.key).values.empty() ? 0 : 1;
  CHECK(found == kRecords);
}

TEST_CASE("A node that is started into a running network finds a record with its very first get") {
  Swarm swarm({.seed = 6});
  grow(swarm, 200, 5s);
  swarm.run_for(10s);
  const auto record = storable(1, 50, swarm.node(50).endpoint(), swarm.wall_ms());
  CHECK(put(swarm, swarm.node(50), record));
  for (int i = 0; i < 20; ++i) {
    Node& fresh = swarm.add();
    fresh.dht().join({swarm.node(0).seed()});
    const Found found = get(swarm, fresh, record.key);
    CHECK(found.values.size() == 1);
    CHECK(found.first < 1s);
  }
}

TEST_CASE("Whoever asks for a few keys knows the size of the network within a quarter") {
  Swarm swarm({.seed = 5});
  grow(swarm, 200, 5s);
  swarm.run_for(20s);
  Node& node = swarm.node(77);
  CHECK(node.dht().stats().estimated_nodes == 0);
  for (std::uint32_t i = 0; i < 16; ++i) get(swarm, node, storable(i, 1, node.endpoint(), swarm.wall_ms()).key);
  CHECK(node.dht().stats().estimated_nodes > 150);
  CHECK(node.dht().stats().estimated_nodes < 250);
}

TEST_CASE("Holders refuse junk although the put is said to be done, and every packet is counted at both ends") {
  Swarm swarm({.seed = 4});
  grow(swarm, 30, 2s);
  swarm.run_for(20s);
  const auto key = storable(1, 1, swarm.node(1).endpoint(), swarm.wall_ms()).key;
  put(swarm, swarm.node(1), {key, {7, Bytes(300, 1)}});
  CHECK(get(swarm, swarm.node(9), key).values.empty());
  swarm.run_for(1s);
  const Traffic all = swarm.traffic();
  CHECK(all.sent_packets == all.received_packets);
  CHECK(all.sent_bytes == all.received_bytes);
  CHECK(swarm.traffic(Kind::put).sent_packets >= 8);
  CHECK(swarm.traffic(Kind::reply).sent_packets > 30);
  CHECK(swarm.traffic(Kind::other).sent_packets == 0);
  CHECK(swarm.traffic(Kind::datagram).sent_packets == 0);
}

TEST_CASE("A datagram takes one way's time; dead nodes neither send nor hear, and a lossy network loses its share") {
  Swarm swarm({.seed = 9, .latency_low = 30ms, .latency_high = 30ms});
  Node& a = swarm.add();
  Node& b = swarm.add();
  std::vector<Bytes> got;
  std::optional<TimePoint> at;
  b.dht().on_datagram([&](const overlay::Endpoint& from, ByteView bytes) {
    CHECK(from == a.endpoint());
    got.emplace_back(bytes.begin(), bytes.end());
    at = swarm.now();
  });
  a.dht().send(b.dht().local(), {1, 2});
  swarm.run_for(1s);
  REQUIRE(got.size() == 1);
  CHECK(*at == TimePoint{30'000});
  CHECK(a.traffic(Kind::datagram).sent_bytes == 2 + 5 + 28);
  CHECK(b.traffic(Kind::datagram).received_bytes == 2 + 5 + 28);
  swarm.set_loss(0.5);
  for (int i = 0; i < 1000; ++i) a.dht().send(b.dht().local(), {3});
  swarm.run_for(1s);
  CHECK(got.size() > 400);
  CHECK(got.size() < 600);
  swarm.set_loss(0);
  const auto before = got.size();
  bool ran = false;
  const auto timer = a.executor().after(1s, [&] { ran = true; });
  a.executor().post([&] { ran = true; });
  a.dht().send(b.dht().local(), {4});  // on its way, it arrives
  swarm.kill(a);
  a.dht().send(b.dht().local(), {5});
  swarm.run_for(5s);
  CHECK(got.size() == before + 1);
  CHECK_FALSE(ran);
}

struct Run {
  std::uint64_t digest = 0, events = 0, bytes = 0;
  bool operator==(const Run&) const = default;
};
Run run(std::uint64_t seed) {
  Swarm swarm({.seed = seed, .loss = 0.02});
  grow(swarm, 60, 3s);
  swarm.run_for(10s);
  for (std::uint32_t i = 0; i < 10; ++i) {
    const auto record = storable(i, i, swarm.node(i).endpoint(), swarm.wall_ms());
    put(swarm, swarm.node(20 + i), record);
    get(swarm, any_alive(swarm), record.key);
    swarm.kill(swarm.node(40 + i));
  }
  swarm.run_for(60s);
  return {swarm.digest(), swarm.events(), swarm.traffic().received_bytes};
}

TEST_CASE("The same seed is the same run of real nodes, packet by packet; another seed is another") {
  const Run first = run(1);
  CHECK(first == run(1));
  CHECK_FALSE(first == run(2));
}

}  // namespace
}  // namespace p2p::swarm

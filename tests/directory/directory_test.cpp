// The life of nodes in the directory: listed, known, moved, restarted, gone; watched for; the same from the same seed.
#include "overlay/directory/directory.hpp"

#include "overlay/directory/responder.hpp"
#include "tests/directory/support.hpp"

namespace p2p::directory {
namespace {

using namespace test;

const LookupOptions kThorough{.want = 8, .deadline = 2s};

TEST_CASE("Entries are refreshed in place: after three hours each holder keeps one per bucket") {
  Overlay net(12);
  net.publish(3, experience());
  net.simulation.run_for(std::chrono::hours(3));
  const Need need{near(experience(), 1), {}, By::joint};
  REQUIRE(net.lookup(7, need).has(net.id(3)));
  CHECK(net.copies(experience()) == 4 * 8);
}

TEST_CASE("A node that died, and one that withdrew, is in no bucket after twenty minutes and nobody's contact") {
  Overlay net(24);
  const bool dies = GENERATE(true, false);
  CAPTURE(dies);
  net.publish_all(12s, [](std::size_t i) { return one_of(2, i); });
  net.simulation.run_for(minutes(5));
  REQUIRE(net.acquainted_with(net.id(3)) >= 20);
  const auto fingerprint = *net.shown[3];
  if (dies) {
    net.kill(3);
  } else {
    net.directories[3]->withdraw();
    net.shown[3].reset();
  }
  net.simulation.run_for(minutes(21));
  CHECK(net.acquainted_with(net.id(3)) == 0);
  std::size_t listed = 0;
  for (const auto& place : net.places(fingerprint)) {
    net.directories[7]->read(place, [&](const Result<Bucket>& bucket) {
      REQUIRE(bucket);
      for (const auto& entry : bucket->entries) listed += entry.node == net.id(3) ? 1 : 0;
    });
  }
  net.simulation.run_for(5s);
  CHECK(listed == 0);
  CHECK_FALSE(net.lookup(7, {fingerprint, {}, By::joint}, kThorough).has(net.id(3)));
}

TEST_CASE("A node that restarts replaces its entries instead of adding to them") {
  Overlay net(12);
  net.publish(3, experience());
  net.simulation.run_for(5s);
  REQUIRE(net.copies(experience()) == 4 * 8);
  net.kill(3);
  net.start(3);
  net.simulation.run_for(5s);
  net.publish(3, experience());
  net.simulation.run_for(5s);
  CHECK(net.copies(experience()) <= 5 * 9);  // what lay on itself went with it, and may lie elsewhere now
  CHECK(net.lookup(7, {experience(), {}, By::joint}).result.candidates.size() == 1);
}

TEST_CASE("A node whose address for links has changed is found at the new one within ten seconds") {
  Overlay net(24);
  net.publish_all(12s, [](std::size_t i) { return one_of(2, i); });
  net.simulation.run_for(minutes(3));
  const auto fingerprint = *net.shown[3];
  net.kill(3);
  net.simulation.run_for(30s);
  auto moved = net.simulation.host(3).endpoint();
  moved.port = 5555;
  net.start(3, [moved] { return moved; });
  net.publish(3, fingerprint);
  net.simulation.run_for(10s);
  const auto answer = net.lookup(7, {fingerprint, {}, By::joint}, kThorough);
  REQUIRE(answer.has(net.id(3)));
  for (const auto& found : answer.result.candidates) {
    if (found.entry.node == net.id(3)) CHECK(found.entry.endpoint == moved);
  }
}

TEST_CASE("A changed fingerprint moves its entries, and its new neighbours know of it within a minute") {
  Overlay net(24);
  const auto other = opposite(kind(0));
  net.publish_all(24s, [&](std::size_t i) { return i % 2 == 0 ? near(kind(0), i) : near(other, i); });
  net.simulation.run_for(minutes(3));
  const auto before = net.copies(near(kind(0), 4));
  net.publish(4, near(other, 4));
  net.simulation.run_for(minutes(1));
  std::size_t acquainted = 0, with_new = 0;
  for (std::size_t i = 1; i < 24; i += 2) {
    for (const auto& contact : net.directories[i]->standing().contacts) {
      if (contact.entry.node != net.id(4)) continue;
      ++acquainted;
      with_new += contact.entry.sketch == net.sketcher.sketch(*net.shown[4]) ? 1 : 0;
    }
  }
  CHECK(acquainted >= 8);
  CHECK(with_new >= 4);
  CHECK(net.lookup(7, {near(other, 99), {}, By::joint}, {.want = 12, .deadline = 2s}).has(net.id(4)));
  net.simulation.run_for(minutes(22));
  CHECK(net.copies(near(kind(0), 4)) <= before);
  std::size_t stale = 0;
  for (const auto& place : net.places(near(kind(0), 4))) {
    if (metadata::belongs(metadata::entry_of(*net.shown[4], net.sketcher.sketch(*net.shown[4])), place)) continue;
    net.directories[7]->read(place, [&](const Result<Bucket>& bucket) {
      REQUIRE(bucket);
      for (const auto& entry : bucket->entries) stale += entry.node == net.id(4) ? 1 : 0;
    });
  }
  net.simulation.run_for(5s);
  CHECK(stale == 0);
}

TEST_CASE("Publishing the same again costs no message") {
  DhtDirectoryOptions quiet;
  quiet.exchange = std::chrono::hours(1);
  Overlay net(12, 1, quiet);
  net.publish(3, experience());
  net.simulation.run_for(minutes(4));
  const auto before = net.simulation.host(3).dht().stats();
  for (int i = 0; i < 60; ++i) {
    net.publish(3, experience());
    net.simulation.run_for(2s);
  }
  const auto after = net.simulation.host(3).dht().stats();
  CHECK(after.sent_packets == before.sent_packets);
}

TEST_CASE("A node that cannot be reached yet is found once it can") {
  Overlay net(12);
  Endpoint endpoint;
  net.start(3, [&endpoint] { return endpoint; });
  net.publish(3, experience());
  net.simulation.run_for(30s);
  CHECK(net.copies(experience()) == 0);
  endpoint = net.simulation.host(3).endpoint();
  net.simulation.run_for(5s);
  CHECK(net.lookup(7, {experience(), {}, By::joint}).has(net.id(3)));
}

TEST_CASE("A clock that is five minutes off does no harm") {
  Overlay net(12);
  const int off = GENERATE(-5, 5);
  net.simulation.host(3).set_clock_offset(minutes(off));
  net.publish(3, experience());
  net.simulation.run_for(30s);
  CHECK(net.copies(experience()) == 4 * 8);
  CHECK(net.lookup(7, {experience(), {}, By::joint}).has(net.id(3)));
}

TEST_CASE("The readable twin lies under the node's text key, and stays there until it withdraws") {
  Overlay net(12);
  net.publish(3, experience());
  net.simulation.run_for(5s);
  const auto key = metadata::text_key(metadata::twin_name(net.id(3)));
  net.simulation.table().text_expiry = minutes(18);
  for (int i = 0; i < 4; ++i) {
    const auto text = net.simulation.text(key);
    REQUIRE(text);
    CHECK(text->find(net.id(3).hex()) != std::string::npos);
    CHECK(text->find("\"name\":\"h3\"") != std::string::npos);
    net.simulation.run_for(minutes(9));
  }
  net.directories[3]->withdraw();
  net.simulation.run_for(minutes(17));
  CHECK_FALSE(net.simulation.text(key));
}

// ---- Watching

TEST_CASE("A watcher hears of newcomers within range, of nobody outside of it, and of nobody once it has stopped") {
  Overlay net(40, 4);
  for (std::size_t i = 0; i < 30; ++i) {
    net.publish(i, one_of(2, i));
    net.simulation.run_for(1s);
  }
  net.simulation.run_for(minutes(4));
  const Need need{near(kind(0), 1), {}, By::joint};
  const auto newcomer = near(kind(0), 501), stranger = opposite(kind(0)), later = near(kind(0), 502);
  const double within = 2 * metadata::plain_distance(need, newcomer);
  REQUIRE(metadata::plain_distance(need, stranger) > 3 * within);
  std::map<metadata::NodeId, std::set<std::uint64_t>> told;
  int calls = 0;
  const auto number = net.directories[35]->watch(need, within, [&](const Candidate& c) {
    ++calls;
    CHECK(c.distance <= within);
    CHECK(told[c.entry.node].insert(c.entry.version).second);
  });
  REQUIRE(number != 0);
  CHECK(calls == 0);
  net.simulation.run_for(10s);
  net.publish(31, newcomer);
  net.publish(32, stranger);
  net.simulation.run_for(minutes(2));
  CHECK(told.contains(net.id(31)));
  CHECK_FALSE(told.contains(net.id(32)));
  net.directories[35]->unwatch(number);
  const int before = calls;
  net.publish(33, later);
  net.simulation.run_for(minutes(12));
  CHECK(calls == before);
  std::size_t served = 0;
  for (std::size_t i = 0; i < 30; ++i) served += net.directories[i]->standing().watches_served;
  CHECK(served == 0);
}

TEST_CASE("A watch may end in its own report, and no more than sixteen are kept") {
  Overlay net(12);
  net.publish(3, experience());
  net.simulation.run_for(5s);
  int calls = 0;
  std::uint64_t number = 0;
  number = net.directories[7]->watch({experience(), {}, By::joint}, 1, [&](const Candidate&) {
    ++calls;
    net.directories[7]->unwatch(number);
  });
  net.simulation.run_for(minutes(1));
  CHECK(calls == 1);
  std::size_t possible = 0;
  for (int i = 0; i < 40; ++i) {
    possible += net.directories[7]->watch({experience(), {}, By::joint}, 0.1, [](const Candidate&) {}) != 0 ? 1 : 0;
  }
  CHECK(possible == 16);
}

// ---- Determinism

TEST_CASE("Two runs of one seed are the same, event by event; another seed's is another") {
  const auto run = [](std::uint64_t seed) {
    Overlay net(30, seed);
    net.simulation.network().loss = 0.05;
    net.publish_all(30s, [](std::size_t i) { return one_of(3, i); });
    net.kill(4);
    net.directories[5]->watch({one_of(3, 5), {}, By::joint}, 0.5, [](const Candidate&) {});
    net.simulation.run_for(minutes(20));
    for (std::size_t i = 6; i < 12; ++i) net.lookup(i, {one_of(3, i), {}, By::joint});
    return net.simulation.log().hash();
  };
  const auto first = run(1);
  CHECK(run(1) == first);
  CHECK(run(2) != first);
}

}  // namespace
}  // namespace p2p::directory

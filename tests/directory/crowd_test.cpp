// Many nodes: alike, joining at once, dying at once, coming and going, cut in two.
#include "tests/directory/support.hpp"

namespace p2p::directory {
namespace {

using namespace test;

/// The most entries in any bucket of the three tables, as its best holder has them.
std::size_t fullest(Overlay& net) {
  std::map<DhtKey, std::size_t> buckets;
  for (const auto& shown : net.shown) {
    if (!shown) continue;
    for (const auto& place : net.places(*shown)) {
      if (place.kind != Place::Kind::label) buckets[metadata::place_key(net.tag, place)] = 0;
    }
  }
  std::size_t most = 0;
  for (auto& [key, entries] : buckets) most = std::max(most, (net.simulation.copies(key) + 7) / 8);
  return most;
}

TEST_CASE("A hundred nodes that are all alike fill no bucket, and each of them is found by walking") {
  DhtDirectoryOptions quick;
  quick.refresh = minutes(5);  // three times as often, so that the test is short
  quick.exchange = 60s;
  Overlay net(100, 2, quick);
  net.simulation.table().expiry = minutes(7);
  net.publish_all(60s, [](std::size_t i) { return near(kind(0), i, 5); });
  net.simulation.run_for(minutes(20));
  const std::size_t most = fullest(net);
  CAPTURE(most);
  CHECK(most <= 2 * 8 + 8);
  std::size_t found = 0;
  for (std::size_t i = 0; i < 40; ++i) {
    const std::size_t asker = (i + 50) % 100;
    found += net.lookup(asker, {*net.shown[i], {}, By::joint}, {.want = 10, .deadline = 2s}).has(net.id(i)) ? 1 : 0;
  }
  CHECK(found >= 36);
}

TEST_CASE("A bucket that is shallower holds some of those below it, such as have low lots") {
  Overlay net(60, 3);
  for (std::size_t i = 0; i < 60; ++i) {
    net.publish(i, one_of(4, i));
    net.simulation.run_for(2s);
  }
  net.simulation.run_for(minutes(120));
  const Place root{Place::Kind::joint, 0, 0, 0};
  std::vector<std::pair<double, bool>> lots;  // and whether it is listed at the root
  for (std::size_t i = 0; i < 60; ++i) {
    bool listed = false;
    for (const auto& one : net.directories[i]->standing().places) listed |= one.place == root && one.listed;
    lots.emplace_back(metadata::lot(net.id(i), root), listed);
  }
  std::sort(lots.begin(), lots.end());
  const auto listed = [](const auto& lot) { return lot.second; };
  CHECK(std::count_if(lots.begin(), lots.begin() + 8, listed) >= 2);
  CHECK(std::count_if(lots.begin() + 30, lots.end(), listed) <= 6);
}

TEST_CASE("A flash join of a hundred is findable within two minutes") {
  Overlay net(100, 4);
  for (std::size_t i = 0; i < 100; ++i) net.publish(i, one_of(10, i));
  net.simulation.run_for(minutes(2));
  CHECK(net.recall_at_ten(20) >= 0.8);
}

TEST_CASE("When thirty in a hundred die at once, what is left is found as before within one refresh") {
  Overlay net(200, 5);
  net.publish_all(100s, [](std::size_t i) { return one_of(20, i); });
  net.simulation.run_for(minutes(5));
  const double before = net.recall_at_ten(20);
  CHECK(before >= 0.9);
  Random random(9);
  for (std::size_t i = 0; i < 200; ++i) {
    if (random.uniform() < 0.3) net.kill(i);
  }
  net.simulation.run_for(minutes(18));
  const double after = net.recall_at_ten(20);
  CAPTURE(before, after);
  CHECK(after >= 0.9);
}

TEST_CASE("With a tenth leaving and joining in each of fifteen minutes, whoever is there is found; nothing hangs") {
  Overlay net(100, 6);
  net.publish_all(50s, [](std::size_t i) { return one_of(10, i); });
  net.simulation.run_for(minutes(3));
  Random random(10);
  std::vector<std::shared_ptr<Overlay::Answer>> answers;
  for (int minute = 0; minute < 15; ++minute) {
    for (int k = 0; k < 10; ++k) {
      const std::size_t i = 1 + random.below(99);
      if (net.shown[i]) {
        net.kill(i);
      } else {
        net.start(i);
        net.simulation.run_for(500ms);
        net.publish(i, one_of(10, i));
      }
      net.simulation.run_for(5s);
    }
    answers.push_back(net.ask(0, {one_of(10, random.below(10)), {}, By::joint}));
    net.simulation.run_for(1s);
    CHECK(answers.back()->calls == 1);
  }
  const double during = net.recall_at_ten(20);
  net.simulation.run_for(minutes(18));
  const double after = net.recall_at_ten(20);
  CAPTURE(during, after);
  CHECK(during >= 0.6);
  CHECK(after >= 0.9);
}

TEST_CASE("After a partition each side finds its own, and after it heals everybody") {
  Overlay net(60, 7);
  for (std::size_t i = 30; i < 60; ++i) net.simulation.host(i).set_group(1);
  net.publish_all(60s, [](std::size_t i) { return near(kind(0), i, 60); });
  net.simulation.run_for(minutes(2));
  net.simulation.partition();
  net.simulation.run_for(minutes(20));
  const Need need{near(kind(0), 3, 60), {}, By::joint};
  const auto cut = net.lookup(7, need, {.want = 16, .deadline = 2s});
  for (std::size_t i = 30; i < 60; ++i) CHECK_FALSE(cut.has(net.id(i)));
  CHECK(cut.result.candidates.size() >= 8);
  net.simulation.heal();
  net.simulation.run_for(minutes(18));
  CHECK(net.recall_at_ten(20) >= 0.9);
}

TEST_CASE("Nodes that start together do not refresh together") {
  Overlay net(40, 8);
  for (std::size_t i = 0; i < 40; ++i) net.publish(i, one_of(4, i));
  net.simulation.run_for(minutes(5));
  const auto first = net.simulation.log().lines().size();
  net.simulation.run_for(minutes(15));
  std::map<long, int> per_half_minute;
  int puts = 0;
  const auto& lines = net.simulation.log().lines();
  for (std::size_t i = first; i < lines.size(); ++i) {
    if (lines[i].find("put under") == std::string::npos) continue;
    ++per_half_minute[std::stol(lines[i]) / 30'000'000];
    ++puts;
  }
  REQUIRE(puts >= 80);
  for (const auto& [when, count] : per_half_minute) CHECK(count < puts / 2);
}

TEST_CASE("Buckets get deeper as the overlay grows, and shallower as it shrinks") {
  DhtDirectoryOptions quick;
  quick.refresh = minutes(5);
  quick.crowd = 4;
  quick.exchange = 60s;
  Overlay net(120, 9, quick);
  net.simulation.table().expiry = minutes(7);
  const auto depth = [&] {
    double sum = 0;
    std::size_t count = 0;
    for (const auto& directory : net.directories) {
      if (!directory) continue;
      for (const auto& one : directory->standing().places) {
        if (one.place.kind != Place::Kind::joint || !one.confirmed) continue;
        sum += one.place.depth;
        ++count;
      }
    }
    return count > 0 ? sum / static_cast<double>(count) : 0;
  };
  for (std::size_t i = 0; i < 12; ++i) net.publish(i, one_of(30, i));
  net.simulation.run_for(minutes(16));
  const double few = depth();
  for (std::size_t i = 12; i < 120; ++i) {
    net.publish(i, one_of(30, i));
    net.simulation.run_for(500ms);
  }
  net.simulation.run_for(minutes(30));
  const double many = depth();
  for (std::size_t i = 12; i < 120; ++i) net.kill(i);
  net.simulation.run_for(minutes(45));
  const double again = depth();
  CAPTURE(few, many, again);
  CHECK(many > few);
  CHECK(again < many);
}

}  // namespace
}  // namespace p2p::directory

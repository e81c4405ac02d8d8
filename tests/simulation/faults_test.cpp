// Drifts while the overlay is missing, broken or dying.
#include <catch2/catch.hpp>

#include "tests/simulation/village.hpp"

using namespace p2p;
using namespace p2p::testing;
using node::Event;
using node::Phase;

namespace {

/// Every story has ended, with a sentence.
void check_all_told(Place& place) {
  for (const auto& report : place.node().drifts()) {
    CHECK(report.finished);
    CHECK_FALSE(report.reason.empty());
  }
  CHECK(place.node().status().phase == Phase::learning);
}

std::string last_reason(Place& place) {
  return place.node().drifts().empty() ? "" : place.node().drifts().back().reason;
}

}  // namespace

TEST_CASE("A node without peers is its isolated twin, sample for sample") {
  const auto seed = seed_or(11);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  Village village(seed, 1);
  village[0].at_sample(600, [&] { village[0].stream().set(rotated(5), kAll); });
  village.start();
  village.run_to(0, 1200);
  CHECK(first_difference(village[0].record(), village[0].twin_record()) == -1);
  check_all_told(village[0]);
  REQUIRE_FALSE(village[0].node().drifts().empty());
  const auto& report = village[0].node().drifts().front();
  CHECK_THAT(report.reason, Catch::Contains("nobody"));
  CHECK(report.attempts == 2);
  CHECK(report.bytes_pulled == 0);
}

TEST_CASE("While the directory is down a node learns on as its twin, and heals once it is back") {
  const auto seed = seed_or(12);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  Village village(seed, 6);
  for (std::size_t i = 3; i < 6; ++i) village[i].stream().set(rotated(5), kAll);
  auto& place = village[0];
  place.stream().set({}, without({4}));
  place.at_sample(800, [&] {
    village.sim().table().down = true;
    place.stream().set({}, kAll);
  });
  village.start(std::chrono::milliseconds(20));
  village.run_to(0, 1500);
  CHECK(first_difference(place.record(), place.twin_record()) == -1);
  REQUIRE_FALSE(place.node().drifts().empty());
  check_all_told(place);
  CHECK(place.node().drifts().back().attempts >= 1);  // it may have learned the class by the second look
  CHECK_FALSE(place.node().drifts().back().accepted);
  village.sim().table().down = false;
  place.at_sample(1600, [&] { place.stream().set(rotated(5), kAll); });
  village.run_to(0, 2100);
  for (const auto& event : place.events()) UNSCOPED_INFO(event.samples << " " << event.text);
  CHECK(place.node().status().accepted >= 1);
  CHECK(accuracy(place.record(), 1600, 2100) > accuracy(place.twin_record(), 1600, 2100) + 0.05);
}

TEST_CASE("A helper that dies in mid-transfer is replaced by another one") {
  const auto seed = seed_or(13);
  for (const auto how : {sim::Crash::process, sim::Crash::power}) {
    INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
    CAPTURE(static_cast<int>(how));
    node::NodeOptions options;
    options.pull_from = 1;
    options.limits.request_timeout = std::chrono::seconds(1);
    options.limits.chunk_bytes = 1000;  // a third of a part: it does not come in one answer
    Village village(seed, 5, options);
    village.sim().network().bandwidth = 5'000;  // a whole part takes about a second
    for (std::size_t i = 1; i < 5; ++i) village[i].stream().set(rotated(5), kAll);
    auto& place = village[0];
    place.at_sample(800, [&] { place.stream().set(rotated(5), kAll); });
    village.start(std::chrono::milliseconds(50));
    REQUIRE(village.sim().run_until([&] { return place.node().status().phase == Phase::pulling; },
                                    std::chrono::hours(1)));
    village.sim().run_for(std::chrono::milliseconds(300));
    REQUIRE(place.node().status().phase == Phase::pulling);
    const auto helper = place.node().drifts().back().helper;
    std::size_t died = 0;
    for (std::size_t i = 1; i < 5; ++i) {
      if (village[i].host().id().brief() != helper) continue;
      village[i].crash(how);
      ++died;
    }
    REQUIRE(died == 1);
    village.run_to(0, 1500);
    for (const auto& event : place.events()) UNSCOPED_INFO(event.samples << " " << event.text);
    REQUIRE(place.node().status().accepted >= 1);
    CHECK(place.node().drifts().back().helper != helper);
    check_all_told(place);
  }
}

TEST_CASE("When every helper dies in mid-transfer the node learns on as its twin, and nothing hangs") {
  const auto seed = seed_or(14);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  node::NodeOptions options;
  options.limits.chunk_bytes = 1000;  // a third of a part: it does not come in one answer
  Village village(seed, 5, options);
  village.sim().network().bandwidth = 5'000;  // a whole part takes about a second
  for (std::size_t i = 1; i < 5; ++i) village[i].stream().set(rotated(5), kAll);
  auto& place = village[0];
  place.at_sample(800, [&] { place.stream().set(rotated(5), kAll); });
  village.start(std::chrono::milliseconds(50));
  REQUIRE(village.sim().run_until([&] { return place.node().status().phase == Phase::pulling; },
                                  std::chrono::hours(1)));
  village.sim().run_for(std::chrono::milliseconds(100));
  for (std::size_t i = 1; i < 5; ++i) village[i].crash(sim::Crash::power);
  village.run_to(0, 1700);
  CHECK(first_difference(place.record(), place.twin_record()) == -1);
  CHECK(place.node().status().accepted == 0);
  check_all_told(place);
  CHECK_THAT(last_reason(place), Catch::Contains("alone"));
}

TEST_CASE("Helpers that stall are given up at the deadlines") {
  const auto seed = seed_or(15);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  Village village(seed, 5);
  for (std::size_t i = 1; i < 5; ++i) village[i].stream().set(rotated(5), kAll);
  auto& place = village[0];
  place.at_sample(800, [&] {
    place.stream().set(rotated(5), kAll);
    for (std::size_t i = 1; i < 5; ++i) village[i].host().stall_links(true);
  });
  overlay::TimePoint noticed, left;
  village.sim().check_always([&] {
    const auto phase = place.node().status().phase;
    if (phase == Phase::looking_up && noticed.us == 0) noticed = village.sim().now();
    if (phase == Phase::learning && noticed.us != 0 && left.us == 0) left = village.sim().now();
  });
  village.start(std::chrono::milliseconds(100));
  village.run_to(0, 1300);
  REQUIRE(noticed.us > 0);
  REQUIRE(left.us > 0);
  CHECK(left - noticed < std::chrono::seconds(15));
  CHECK(first_difference(place.record(), place.twin_record()) == -1);
  check_all_told(place);
}

TEST_CASE("A drift on the wrong side of a partition heals once the partition does") {
  const auto seed = seed_or(16);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  Village village(seed, 0);
  for (unsigned i = 0; i < 6; ++i) village.add({}, {.name = {}, .group = i < 3 ? 0u : 1u});
  for (std::size_t i = 3; i < 6; ++i) village[i].stream().set(rotated(5), kAll);
  auto& place = village[0];
  place.at_sample(800, [&] {
    village.sim().partition();
    place.stream().set(rotated(5), kAll);
  });
  village.start(std::chrono::milliseconds(50));
  REQUIRE(
      village.sim().run_until([&] { return place.count(Event::Kind::lookup_done) > 0; }, std::chrono::hours(1)));
  village.sim().run_for(std::chrono::seconds(1));
  CHECK(first_difference(place.record(), place.twin_record()) == -1);
  village.sim().heal();
  village.run_to(0, 1500);
  for (const auto& event : place.events()) UNSCOPED_INFO(event.samples << " " << event.text);
  CHECK(place.node().status().accepted == 1);
  CHECK(accuracy(place.record(), 800, 1500) > accuracy(place.twin_record(), 800, 1500) + 0.05);
  check_all_told(place);
}

TEST_CASE(
    "On a network that loses, doubles, damages and breaks, drifts still heal or the node stays as its twin") {
  std::size_t healed = 0;
  const auto seeds = seeds_or(20, 6);
  for (const auto seed : seeds) {
    INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
    Village village(seed, 8);
    auto& network = village.sim().network();
    network.loss = 0.1;
    network.duplication = 0.1;
    network.link_break = 0.01;
    network.corruption = 0.01;
    network.jitter = std::chrono::milliseconds(50);
    for (std::size_t i = 2; i < 8; ++i) village[i].stream().set(rotated(5), kAll);
    auto& place = village[0];
    place.at_sample(800, [&] { place.stream().set(rotated(5), kAll); });
    village.start(std::chrono::milliseconds(50));
    village.run_to(0, 1500);
    check_all_told(place);
    const bool accepted = place.node().status().accepted > 0;
    healed += accepted;
    if (!accepted) CHECK(first_difference(place.record(), place.twin_record()) == -1);
    CHECK(accuracy(place.record(), 800, 1500) >= accuracy(place.twin_record(), 800, 1500) - 0.01);
  }
  CHECK(healed * 2 >= seeds.size());
}

TEST_CASE("A node that was restarted from its snapshot goes on, publishes again and helps") {
  const auto seed = seed_or(17);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  Village village(seed, 3);
  village[1].stream().set(rotated(6), kAll);
  village[2].stream().set(rotated(5), kAll);
  village[0].at_sample(1300, [&] { village[0].stream().set(rotated(5), kAll); });
  village.start(std::chrono::milliseconds(50));
  village.run_to(2, 800);
  const auto saved = village[2].node().snapshot();
  village[2].crash(sim::Crash::power);
  village.run_to(0, 900);
  auto& reborn = village.add();
  reborn.stream().set(rotated(5), kAll);
  REQUIRE(reborn.node().restore(saved).has_value());
  CHECK(reborn.node().status().samples == 800);
  reborn.start(village.seeds(), std::chrono::milliseconds(50));
  village.run_to(0, 1800);
  // As good as it was, and not as at the beginning of its life.
  const auto& before = village[2].record();
  CHECK(accuracy(reborn.record(), 0, 100) > accuracy(before, 600, 800) - 0.1);
  CHECK(accuracy(reborn.record(), 0, 100) > accuracy(before, 0, 100) + 0.1);
  CHECK(village[0].node().status().accepted >= 1);
  CHECK(village[0].node().drifts().back().helper == reborn.host().id().brief());
}

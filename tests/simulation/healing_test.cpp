// Drifts among honest peers on a network that works.
#include <algorithm>

#include <catch2/catch.hpp>

#include "tests/simulation/village.hpp"

using namespace p2p;
using namespace p2p::testing;
using node::Event;
using node::Phase;

namespace {

/// The report of the first accepted merge after `sample`; fails the test when there is none.
const node::DriftReport& merged(Place& place, std::uint64_t sample) {
  for (const auto& report : place.node().drifts()) {
    if (report.accepted && report.detected_at >= sample) return report;
  }
  for (const auto& event : place.events()) UNSCOPED_INFO(event.samples << " " << event.text);
  FAIL("no part was accepted");
  std::abort();
}

}  // namespace

TEST_CASE("Drifts heal in 32 simulated nodes, in half the samples that a twin alone needs") {
  const auto seed = seed_or(1);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  Village village(seed, 32);
  // Two concepts; four places of the first one come to the second, at different times.
  for (std::size_t i = 16; i < 32; ++i) village[i].stream().set(rotated(5), kAll);
  constexpr std::size_t kAfter = 600;
  for (std::size_t i = 0; i < 4; ++i) {
    village[i].at_sample(900 + 60 * i, [&village, i] { village[i].stream().set(rotated(5), kAll); });
  }
  village.start(std::chrono::milliseconds(50));
  village.run_to(31, 900 + 180 + kAfter);
  for (std::size_t i = 0; i < 4; ++i) {
    CAPTURE(i);
    auto& place = village[i];
    const std::size_t change = 900 + 60 * i;
    const auto& report = merged(place, change);
    CHECK(report.detected_at < change + 100);
    CHECK_FALSE(report.rolled_back);
    const auto node = samples_to_recover(place.record(), change);
    const auto twin = samples_to_recover(place.twin_record(), change);
    CHECK(2 * std::max<std::size_t>(node, 20) <= twin);
    CHECK(accuracy(place.record(), change, change + kAfter) >
          accuracy(place.twin_record(), change, change + kAfter) + 0.05);
  }
  // The others had no drift to heal, and lost nothing by the company.
  for (std::size_t i = 4; i < 32; ++i) {
    CAPTURE(i);
    const auto size = village[i].samples();
    CHECK(accuracy(village[i].record(), size / 2, size) >=
          accuracy(village[i].twin_record(), size / 2, size) - 0.01);
  }
}

TEST_CASE("A class never seen here is learned from a peer that knows it, and only its rows travel") {
  const auto seed = seed_or(2);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  Village village(seed, 8);
  village[0].stream().set({}, without({4}));
  village[0].at_sample(900, [&] { village[0].stream().set({}, kAll); });
  village.start(std::chrono::milliseconds(50));
  village.run_to(0, 1400);
  const auto& report = merged(village[0], 900);
  CHECK(report.cause == learner::DriftCause::new_class);
  CHECK(report.classes == std::vector<learner::ClassIndex>{4});
  CHECK(report.blocks == report.parts);  // one row each
  const auto whole = village[0].node().status().model_bytes;
  CHECK(report.bytes_pulled < whole * report.parts / 3);
  CHECK(accuracy(village[0].record(), 900, 1200) > accuracy(village[0].twin_record(), 900, 1200));
}

TEST_CASE("A report adds up: stages, bytes on the wire, samples") {
  const auto seed = seed_or(3);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  Village village(seed, 6);
  for (std::size_t i = 1; i < 6; ++i) village[i].stream().set(rotated(5), kAll);
  village[0].at_sample(900, [&] { village[0].stream().set(rotated(5), kAll); });
  village.start(std::chrono::milliseconds(50));
  village.run_to(0, 1300);
  const auto& report = merged(village[0], 900);
  CHECK(report.attempts == 1);
  CHECK(report.lookup.count() > 0);
  CHECK(report.ask.count() == 0);  // fingerprints came with the lookup
  CHECK(report.pull.count() > 0);
  CHECK(report.lookup + report.ask + report.pull + report.trial == report.detect_to_merge);
  CHECK(report.merged_at >= report.detected_at);
  CHECK(report.candidates > 0);
  CHECK(report.tally.wins > report.tally.losses);
  const auto status = village[0].node().status();
  CHECK(status.bytes_pulled == report.bytes_pulled);
  // It served nobody, so every chunk byte on its links was pulled; framing is on top.
  REQUIRE(village[0].node().served() == 0);
  const auto traffic = village[0].node().traffic();
  const auto chunks = traffic.bytes.at("chunk");
  CHECK(chunks >= report.bytes_pulled);
  CHECK(chunks < report.bytes_pulled * 1.15);  // a question and its answer add some 60 bytes to a block
  CHECK(village[0].count(Event::Kind::merged) == 1);
}

TEST_CASE("A peer's part is undone by hand, done again, and the story names every stage in order") {
  const auto seed = seed_or(3);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  Village village(seed, 6);
  for (std::size_t i = 1; i < 6; ++i) village[i].stream().set(rotated(5), kAll);
  village[0].at_sample(900, [&] { village[0].stream().set(rotated(5), kAll); });
  village.start(std::chrono::milliseconds(50));
  village.run_to(0, 1300);
  const auto report = merged(village[0], 900);
  REQUIRE(report.finished);
  REQUIRE_FALSE(report.rolled_back);
  std::vector<Event::Kind> kinds;
  for (const auto& step : report.steps) {
    kinds.push_back(step.kind);
    CHECK(step.wall_ms >= report.steps.front().wall_ms);
    CHECK(step.challengers.empty() != (step.kind == Event::Kind::trial_done || step.kind == Event::Kind::watched));
  }
  auto at = kinds.begin();
  for (const auto stage : {Event::Kind::drift_detected, Event::Kind::lookup_done, Event::Kind::described, Event::Kind::part_pulled,
                           Event::Kind::trial_done, Event::Kind::merged, Event::Kind::watched, Event::Kind::settled}) {
    CAPTURE(node::name(stage));
    at = std::find(at, kinds.end(), stage);
    REQUIRE(at != kinds.end());
  }
  // Every event of this drift is a step of its story, and the other way round.
  std::vector<Event::Kind> told;
  for (const auto& event : village[0].events()) {
    if (event.drift.id == report.id) told.push_back(event.kind);
  }
  CHECK(told == kinds);

  auto& node = village[0].node();
  const auto answers = [&] {
    Stream other(seed, 5);
    std::vector<learner::ClassIndex> out;
    for (int i = 0; i < 200; ++i) out.push_back(*node.predict(other.next().x));
    return out;
  };
  const auto present = answers();
  REQUIRE(node.rollback(report.id).has_value());
  CHECK(answers() != present);
  CHECK(node.status().rolled_back == 1);
  // The node goes on with the former model: it learns, and keeps what it knows of the drift.
  village.run_to(0, 1500);
  CHECK(accuracy(village[0].record(), 1400, 1500) > 0.5);
  REQUIRE(node.redo(report.id).has_value());
  CHECK(answers() == present);
  CHECK(node.status().rolled_back == 0);
}

TEST_CASE("A helper hears what its part was worth, and a node that was helped helps the next one") {
  const auto seed = seed_or(4);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  // One place knows the new concept. It reaches the others one after the other, and the first helper then goes.
  Village village(seed, 3);
  village[2].stream().set(rotated(5), kAll);
  village[0].at_sample(900, [&] { village[0].stream().set(rotated(5), kAll); });
  village[1].at_sample(1700, [&] { village[1].stream().set(rotated(5), kAll); });
  village.start(std::chrono::milliseconds(50));
  village.run_to(0, 1600);
  CHECK(merged(village[0], 900).helper == village[2].host().id().brief());
  village[2].crash();
  village.run_to(1, 2200);
  CHECK(merged(village[1], 1700).helper == village[0].host().id().brief());
}

TEST_CASE("A merge is undone when the concept that it was for turns out a short visit") {
  const auto seed = seed_or(5);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  Village village(seed, 6);
  for (std::size_t i = 1; i < 6; ++i) village[i].stream().set(rotated(5), kAll);
  auto& place = village[0];
  place.at_sample(900, [&] { place.stream().set(rotated(5), kAll); });
  village.start(std::chrono::milliseconds(50));
  REQUIRE(village.sim().run_until([&] { return place.count(Event::Kind::merged) > 0; }, std::chrono::hours(1)));
  const auto merged_at = place.samples();
  place.stream().set({}, kAll);
  REQUIRE(
      village.sim().run_until([&] { return place.count(Event::Kind::rolled_back) > 0; }, std::chrono::hours(1)));
  const auto back_at = place.samples();
  CHECK(back_at < merged_at + 100);
  const auto& report = merged(place, 900);
  CHECK(report.rolled_back);
  CHECK(report.watch.wins > report.watch.losses);
  // What came back is the former model, which went on learning meanwhile.
  village.run_to(0, back_at + 300);
  CHECK(accuracy(place.record(), back_at, back_at + 300) >
        accuracy(place.twin_record(), back_at, back_at + 300) - 0.03);
}

TEST_CASE("An alarm during a story is left to it or takes it over, and there are never two") {
  const auto seed = seed_or(7);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  Village village(seed, 8);
  village.sim().network().latency_low = std::chrono::milliseconds(60);  // stories that last
  village.sim().network().latency_high = std::chrono::milliseconds(90);
  auto& place = village[0];
  place.stream().set({}, without({3, 4, 5}));
  for (std::size_t i = 1; i < 8; i += 2) village[i].stream().set(rotated(5), kAll);
  place.at_sample(900, [&] { place.stream().set({}, without({4, 5})); });
  place.at_sample(975, [&] { place.stream().set({}, kAll); });
  place.at_sample(1100, [&] { place.stream().set(rotated(5), kAll); });
  village.sim().check_always([&] {
    std::size_t running = 0;
    for (const auto& report : place.node().drifts()) running += !report.finished;
    P2P_ASSERT(running <= 1);
    P2P_ASSERT(running == 1 || place.node().status().phase == Phase::learning);
  });
  village.start(std::chrono::milliseconds(10));
  village.run_to(0, 2200);
  for (const auto& event : place.events()) UNSCOPED_INFO(event.samples << " " << event.text);
  const auto& drifts = place.node().drifts();
  CHECK(drifts.size() >= 3);
  for (const auto& report : drifts) {
    CHECK(report.finished);
    CHECK_FALSE(report.reason.empty());
  }
  CHECK(place.node().status().drifts == drifts.size());
  CHECK(accuracy(place.record(), 1800, 2200) > accuracy(place.twin_record(), 1800, 2200) - 0.01);
}

TEST_CASE("The same seed gives the same events, another one does not") {
  const auto run = [](std::uint64_t seed, std::vector<std::string>* lines) {
    Village village(seed, 6);
    village.sim().network().loss = 0.05;
    village.sim().network().link_break = 0.02;
    for (std::size_t i = 3; i < 6; ++i) village[i].stream().set(rotated(5), kAll);
    for (std::size_t i = 0; i < 3; ++i) {
      village[i].at_sample(500 + 40 * i, [&village, i] { village[i].stream().set(rotated(5), kAll); });
    }
    village.start();
    village.run_to(0, 900);
    *lines = village.sim().log().lines();
    return village.sim().log().hash();
  };
  const auto seed = seed_or(7);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  std::vector<std::string> first, second, other;
  const auto hash = run(seed, &first);
  CHECK(run(seed, &second) == hash);
  REQUIRE(first.size() == second.size());
  for (std::size_t i = 0; i < first.size(); ++i) REQUIRE(first[i] == second[i]);
  CHECK(std::any_of(first.begin(), first.end(),
                    [](const std::string& line) { return line.find("merged") != std::string::npos; }));
  CHECK(run(seed + 1000, &other) != hash);
}

TEST_CASE("A concept that comes back is taken from the own past: within thirty samples, and not a byte is pulled") {
  const auto seed = seed_or(9);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  Village village(seed, 2);  // the other one knows a third concept
  const auto first = relabelled({1, 2, 3, 4, 5, 0});
  auto& place = village[0];
  place.stream().set(first, kAll);
  village[1].stream().set(rotated(5), kAll);
  place.at_sample(1500, [&] { place.stream().set({}, kAll); });
  place.at_sample(2500, [&] { place.stream().set(first, kAll); });
  village.start(std::chrono::milliseconds(50));
  village.run_to(0, 2500);
  const auto bytes = place.node().status().bytes_pulled;
  REQUIRE(place.node().status().concepts >= 1);
  village.run_to(0, 2900);
  const auto& report = merged(place, 2500);
  CHECK(report.own_concept != 0);
  CHECK(report.helper.empty());
  CHECK(report.merged_at <= 2530);
  CHECK(report.luck < 0.1);
  CHECK(place.node().status().bytes_pulled == bytes);
  CHECK(samples_to_recover(place.record(), 2500) <= 20);
  CHECK(samples_to_recover(place.twin_record(), 2500) >= 100);
}

TEST_CASE("What a neighbour has met is fetched before it comes here, and nothing is fetched where scouting is off") {
  const auto seed = seed_or(10);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  const auto turned = relabelled({1, 2, 3, 4, 5, 0});
  for (const std::size_t neighbours : {3, 0}) {
    CAPTURE(neighbours);
    node::NodeOptions options;
    options.scout = {.neighbours = neighbours, .interval = std::chrono::seconds(10)};
    Village village(seed, 4, options);
    village[1].at_sample(1500, [&] { village[1].stream().set(turned, kAll); });
    village[0].at_sample(3000, [&] { village[0].stream().set(turned, kAll); });
    village.start(std::chrono::milliseconds(100));
    village.run_to(0, 3000);
    auto& place = village[0];
    CHECK(place.count(Event::Kind::fetched_ahead) == (neighbours > 0 ? 1 : 0));
    CHECK(place.node().library().all().size() == (neighbours > 0 ? 1 : 0));
    const auto pulled = place.node().status().bytes_pulled;
    village.run_to(0, 3050);
    if (neighbours > 0) {
      const auto& report = merged(place, 3000);
      CHECK(report.own_concept != 0);
      CHECK(report.merged_at <= 3030);
      CHECK(place.node().status().bytes_pulled == pulled);
    }
    village.run_to(0, 3300);
    if (neighbours == 0) CHECK(merged(place, 3000).own_concept == 0);
  }
}

TEST_CASE("A scout whose budget is spent fetches nothing") {
  const auto seed = seed_or(11);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  node::NodeOptions options;
  options.scout = {.neighbours = 3, .interval = std::chrono::seconds(10), .bytes_per_hour = 0};
  Village village(seed, 4, options);
  village[1].at_sample(1500, [&] { village[1].stream().set(relabelled({1, 2, 3, 4, 5, 0}), kAll); });
  village.start(std::chrono::milliseconds(100));
  village.run_to(0, 3000);
  CHECK(village[0].count(Event::Kind::fetched_ahead) == 0);
}

TEST_CASE("A concept that nobody lives in any more is pulled from the archive of whoever has seen it") {
  const auto seed = seed_or(12);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  Village village(seed, 4);
  const auto turned = relabelled({1, 2, 3, 4, 5, 0});
  village[1].stream().set(turned, kAll);
  village[1].at_sample(1200, [&] { village[1].stream().set(relabelled({5, 0, 1, 2, 3, 4}), kAll); });
  village[2].stream().set(rotated(5), kAll);
  village[3].stream().set(rotated(6), kAll);
  village[0].at_sample(2200, [&] { village[0].stream().set(turned, kAll); });
  village.start(std::chrono::milliseconds(100));
  village.run_to(0, 2800);
  REQUIRE(village[1].node().status().concepts >= 1);
  const auto& report = merged(village[0], 2200);
  CHECK(report.helper == village[1].host().id().brief());
  CHECK(report.reason.find("its concept") != std::string::npos);
  CHECK(accuracy(village[0].record(), 2200, 2600) > accuracy(village[0].twin_record(), 2200, 2600) + 0.05);
}

// Peers that mislead: by damaged numbers, by wrong knowledge under a right description, by another meaning of labels.
#include <algorithm>

#include <catch2/catch.hpp>

#include "tests/simulation/village.hpp"

using namespace p2p;
using namespace p2p::testing;
using node::Event;

namespace {

/// The last numbers of a block are none.
void poison(overlay::SharedBlock& block) {
  if (block.content.size() >= 8) std::fill(block.content.end() - 8, block.content.end(), std::uint8_t{0xff});
}

constexpr std::size_t kChange = 800;

/// Place 0 comes to a new concept at kChange; nobody knows it but liars, who say they do.
void run(Village& village, const Concept& to, std::size_t samples) {
  village[0].at_sample(kChange, [&village, to] { village[0].stream().set(to, kAll); });
  village.start(std::chrono::milliseconds(50));
  village.run_to(0, samples);
  for (const auto& event : village[0].events()) UNSCOPED_INFO(event.samples << " " << event.text);
}

}  // namespace

TEST_CASE("A part with numbers that are none is refused, its sender is not asked again, nothing else happens") {
  const auto seed = seed_or(31);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  Village village(seed, 2);
  auto& liar = village.add_liar({.pretends = rotated(5), .learned = rotated(5), .damage = poison});
  run(village, rotated(5), 1500);
  auto& place = village[0];
  CHECK(liar.served() > 0);
  CHECK(place.count(Event::Kind::peer_refused) == 1);
  CHECK(place.node().status().distrusted == 1);
  CHECK(place.node().status().accepted == 0);
  CHECK(first_difference(place.record(), place.twin_record()) == -1);
}

TEST_CASE("A poisoned part does not keep a sound one from being merged") {
  const auto seed = seed_or(32);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  Village village(seed, 4);
  for (std::size_t i = 2; i < 4; ++i) village[i].stream().set(rotated(5), kAll);
  village.add_liar({.pretends = rotated(5), .learned = rotated(5), .damage = poison});
  run(village, rotated(5), 1400);
  auto& place = village[0];
  CHECK(place.count(Event::Kind::peer_refused) == 1);
  REQUIRE(place.node().status().accepted >= 1);
  CHECK(accuracy(place.record(), kChange, 1400) > accuracy(place.twin_record(), kChange, 1400) + 0.05);
}

TEST_CASE("Plausible weights of another concept under a perfect description lose their trial") {
  std::size_t merged = 0;
  const auto seeds = seeds_or(33, 6);
  for (const auto seed : seeds) {
    INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
    Village village(seed, 2);
    auto& liar = village.add_liar({.pretends = rotated(5), .learned = rotated(99)});
    run(village, rotated(5), 1500);
    auto& place = village[0];
    CHECK(liar.served() > 0);
    CHECK(place.node().status().bytes_pulled > 0);
    CHECK(accuracy(place.record(), kChange, 1500) >= accuracy(place.twin_record(), kChange, 1500) - 0.01);
    // A young model of anything can beat an old one that is stuck; that is no harm, but it is rare.
    merged += place.node().status().accepted > 0;
    if (place.node().status().accepted > 0) continue;
    CHECK(place.node().status().rejected >= 1);
    CHECK(first_difference(place.record(), place.twin_record()) == -1);
  }
  CHECK(3 * merged <= seeds.size());
}

TEST_CASE("A helper with swapped labels that claims the true ones is not believed about a new class") {
  for (const auto seed : seeds_or(43, 5)) {
    INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
    Village village(seed, 1);
    auto& place = village[0];
    place.stream().set({}, without({4}));
    auto& liar = village.add_liar({.pretends = {}, .learned = relabelled({0, 1, 2, 4, 3, 5})});
    place.at_sample(kChange, [&] { place.stream().set({}, kAll); });
    village.start(std::chrono::milliseconds(50));
    village.run_to(0, 1500);
    for (const auto& event : place.events()) UNSCOPED_INFO(event.samples << " " << event.text);
    CHECK(liar.served() > 0);
    CHECK(place.node().status().accepted == place.node().status().rolled_back);
    CHECK(accuracy(place.record(), kChange, 1500) >= accuracy(place.twin_record(), kChange, 1500) - 0.01);
  }
}

// Measured over 258 runs (seeds 50-61 and 200-230 of each kind): mean +0.021, 2 more than 0.01 below, the worst by 0.026.
TEST_CASE("Among misleading helpers only, nodes are on average no worse than alone, and hardly one by more than 0.01") {
  double sum = 0;
  std::size_t runs = 0, below = 0;
  for (const auto& misled : misleading()) {
    for (const auto seed : seeds_or(50, 12)) {
      INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
      CAPTURE(misled.what);
      Village village(seed, 1);
      auto& place = village[0];
      place.stream().set({}, misled.before);
      for (int i = 0; i < 3; ++i) village.add_liar({.pretends = misled.pretends, .learned = misled.learned});
      place.at_sample(kChange, [&] { place.stream().set(misled.to, kAll); });
      village.start(std::chrono::milliseconds(50));
      village.run_to(0, 1800);
      for (const auto& event : place.events()) UNSCOPED_INFO(event.samples << " " << event.text);
      const double gain = accuracy(place.record(), kChange, 1800) - accuracy(place.twin_record(), kChange, 1800);
      CHECK(gain >= -0.04);
      sum += gain;
      below += gain < -0.01;
      ++runs;
    }
  }
  CHECK(sum >= 0);
  CHECK(20 * below <= runs);
}

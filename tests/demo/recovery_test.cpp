#include "tools/demo_cmd/recovery.hpp"

#include <catch2/catch.hpp>

#include "metadata/base/random.hpp"

using namespace p2p;
using namespace p2p::tools;

namespace {

/// `right` of every ten samples are hits, spread evenly.
void append(Hits& hits, std::size_t count, unsigned right) {
  for (std::size_t i = 0; i < count; ++i) hits.push_back((i * right) % 10 < right);
}

}  // namespace

TEST_CASE("Accuracy is taken over the part of the range that exists") {
  const Hits hits = {1, 0, 1, 1};
  CHECK(*accuracy(hits, 0, 4) == Approx(0.75));
  CHECK(*accuracy(hits, 2, 100) == Approx(1));
  CHECK_FALSE(accuracy(hits, 4, 100));
  CHECK_FALSE(accuracy(hits, 2, 2));
}

TEST_CASE("A learner that drops and comes back at a known sample recovers there") {
  Hits hits;
  append(hits, 1000, 8);
  append(hits, 150, 2);  // the change is at 1000
  append(hits, 850, 8);
  const double level = *recovery_level(hits, 1000, 2000);
  CHECK(level == Approx(0.75));  // before - 0.05 is lower than steady - 0.03
  // 0.75 of the next 100: at most 8 of them (of 0.2) can be from before the recovery at +150.
  const auto k = samples_to_recover(hits, 1000, 2000, level);
  REQUIRE(k);
  CHECK(*k >= 140);
  CHECK(*k <= 150);
}

TEST_CASE("A learner that never drops recovers in no time") {
  Hits hits;
  append(hits, 2000, 8);
  CHECK(*samples_to_recover(hits, 1000, 2000, *recovery_level(hits, 1000, 2000)) == 0);
}

TEST_CASE("One good window that does not last is no recovery") {
  Hits hits;
  append(hits, 1000, 9);
  append(hits, 200, 1);
  append(hits, 100, 9);  // a flash
  append(hits, 300, 1);
  append(hits, 600, 9);
  const auto k = samples_to_recover(hits, 1000, hits.size(), 0.84);
  REQUIRE(k);
  CHECK(*k >= 590);
  CHECK(*k <= 600);
}

TEST_CASE("The level is what the twin reaches alone, or what it had, whichever is lower") {
  Hits harder;  // 0.9 before, 0.6 at the end of the new phase
  append(harder, 1000, 9);
  append(harder, 1000, 6);
  CHECK(*recovery_level(harder, 1000, 2000) == Approx(0.57));
  Hits easier;  // 0.6 before, 0.9 after
  append(easier, 1000, 6);
  append(easier, 1000, 9);
  CHECK(*recovery_level(easier, 1000, 2000) == Approx(0.55));
}

TEST_CASE("A phase that is too short to know what is steady has no level") {
  Hits hits;
  append(hits, 1499, 8);
  CHECK_FALSE(recovery_level(hits, 1000, 2000));  // the stream ended 499 samples after the change
  append(hits, 1, 8);
  CHECK(recovery_level(hits, 1000, 2000));
  CHECK_FALSE(recovery_level(hits, 299, 1400));  // and what was before must be known too
}

TEST_CASE("A recovery that would need samples behind the phase's end is censored") {
  Hits hits;
  append(hits, 1000, 9);
  append(hits, 450, 1);
  append(hits, 150, 9);   // too late: two windows do not fit
  append(hits, 1000, 9);  // the next phase does not count
  CHECK_FALSE(samples_to_recover(hits, 1000, 1600, 0.85));
  CHECK(samples_to_recover(hits, 1000, 2600, 0.85));
}

TEST_CASE("The measure is the same function for both: exchanging node and twin turns the ratio over") {
  const Censored there = speed_up({.node = 50, .twin = 200});
  const Censored back = speed_up({.node = 200, .twin = 50});
  CHECK(there.value == Approx(4));
  CHECK(back.value == Approx(1 / there.value));
}

TEST_CASE("Ratios do not tell recoveries below ten samples apart, and know what censoring means") {
  CHECK(speed_up({.node = 0, .twin = 100}).value == Approx(10));
  CHECK(speed_up({.node = 0, .twin = 3}).value == Approx(1));
  CHECK(speed_up({.node = 30, .twin = std::nullopt}).beyond);
  CHECK(speed_up({.node = std::nullopt, .twin = 30}).value == 0);
  CHECK_FALSE(speed_up({.node = std::nullopt, .twin = 30}).beyond);
  CHECK(speed_up({.node = std::nullopt, .twin = std::nullopt}).value == 1);
}

TEST_CASE("Medians take censored values as larger than all") {
  using V = std::vector<Censored>;
  CHECK(median(V{{3, false}, {0, true}, {1, false}})->value == 3);
  CHECK(median(V{{0, true}, {0, true}, {1, false}})->beyond);
  CHECK(median(V{{2, false}, {4, false}})->value == 3);
  CHECK(median(V{{2, false}, {0, true}})->beyond);
  CHECK_FALSE(median(V{}));
  CHECK(*median(std::vector<double>{5, 1, 3}) == 3);
}

TEST_CASE("Two learners of the same accuracy recover equally fast: over many draws neither is favoured") {
  // Both climb from 0.2 to 0.8 within 300 samples; only chance tells them apart.
  std::size_t faster = 0, slower = 0;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Random random(seed);
    const auto draw = [&] {
      Hits hits;
      for (std::size_t i = 0; i < 2000; ++i) {
        const double since = i < 1000 ? 300 : static_cast<double>(i - 1000);
        hits.push_back(random.uniform() < 0.2 + 0.6 * std::min(1.0, since / 300));
      }
      return hits;
    };
    const Hits node = draw(), twin = draw();
    const double level = *recovery_level(twin, 1000, 2000);
    const RecoveryPair pair{samples_to_recover(node, 1000, 2000, level),
                            samples_to_recover(twin, 1000, 2000, level)};
    const Censored ratio = speed_up(pair);
    faster += ratio.beyond || ratio.value > 1;
    slower += !ratio.beyond && ratio.value < 1;
  }
  // A fair coin of 200 throws stays within 100 +- 30 but for one in 50,000; the twin's own level
  // may cost it a little.
  INFO(faster << " faster, " << slower << " slower");
  CHECK(faster < 130);
  CHECK(slower < 130);
}

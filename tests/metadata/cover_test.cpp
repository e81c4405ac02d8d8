#include "metadata/cover.hpp"

#include <catch2/catch.hpp>
#include <cmath>

#include "tests/metadata/examples.hpp"

using p2p::Random;
using namespace p2p::metadata;
using namespace p2p::metadata::testing;

namespace {

const TaskId kTask = id(example_task());

std::vector<double> uniform(std::size_t classes) { return std::vector<double>(classes, 1.0 / static_cast<double>(classes)); }

}  // namespace

TEST_CASE("whoever has seen the needed classes among all others covers more than a nearer one that has seen half") {
  const World world({});
  const Sketcher sketcher(kTask, 32, 10);
  Random random(21);
  std::vector<double> need_shares(10, 0.0), half(10, 0.0), broad(10, 0.02);
  need_shares[2] = need_shares[3] = half[2] = 0.5;
  half[2] = 1;
  broad[2] = broad[3] = 0.42;
  int passed = 0;
  constexpr int kRounds = 20;
  for (int round = 0; round < kRounds; ++round) {
    const Need need{world.fingerprint(random, need_shares, 4, 100), {}};
    const Cover cover(sketcher, need);
    const double covers = cover(outline_of(sketcher.sketch(world.fingerprint(random, broad, 4, 500))));
    const double halves = cover(outline_of(sketcher.sketch(world.fingerprint(random, half, 4, 500))));
    const double strangers = cover(outline_of(sketcher.sketch(world.fingerprint(random, need_shares, 0, 500))));
    passed += covers < halves && covers < strangers;
  }
  CHECK(passed >= kRounds - 1);
}

TEST_CASE("a need without experience is covered by all alike") {
  const Sketcher sketcher(kTask, 32, 10);
  const World world({});
  Random random(22);
  const Cover cover(sketcher, {FingerprintBuilder({.dimensions = 32, .classes = 10}).build(), {1, 2}});
  CHECK(cover(outline_of(sketcher.sketch(world.fingerprint(random, uniform(10), 0, 100)))) == 0);
}

TEST_CASE("cover looks at the named classes alone, and is finite whatever an outline says") {
  const Sketcher sketcher(kTask, 32, 10);
  const World world({});
  Random random(23);
  const auto experience = world.fingerprint(random, uniform(10), 0, 200);
  std::vector<double> third(10, 0.0), fourth(10, 0.0);
  third[3] = fourth[4] = 1;
  const auto has = outline_of(sketcher.sketch(world.fingerprint(random, third, 0, 300)));
  const auto has_not = outline_of(sketcher.sketch(world.fingerprint(random, fourth, 0, 300)));
  const Cover cover(sketcher, {experience, {3}});
  CHECK(cover(has) < cover(has_not));
  CHECK(cover(has) < 0);
  CHECK(cover(has_not) > 0);
  for (int round = 0; round < 200; ++round) {
    Outline junk;
    for (auto& byte : junk.bytes) byte = static_cast<std::uint8_t>(random.below(256));
    CHECK(std::isfinite(cover(junk)));
  }
}

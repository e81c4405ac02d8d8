// What the room's operations cost:  test_metadata '[measure]'
#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdio>
#include <functional>

#include "metadata/similarity.hpp"
#include "tests/metadata/examples.hpp"

using p2p::Random;
using namespace p2p::metadata;
using namespace p2p::metadata::testing;

namespace {

/// Prints and returns the best of five means, in microseconds.
double time_it(const char* what, int rounds, const std::function<void()>& run) {
  using Clock = std::chrono::steady_clock;
  double best = 1e30;
  for (int i = 0; i < 5; ++i) {
    const auto start = Clock::now();
    for (int r = 0; r < rounds; ++r) run();
    best = std::min(best, std::chrono::duration<double, std::micro>(Clock::now() - start).count() / rounds);
  }
  std::printf("  %-32s %8.2f us\n", what, best);
  return best;
}

}  // namespace

TEST_CASE("a node verifies at least 500 entries a second", "[.][measure]") {
  const KeyPair key = example_key();
  const Entry entry = example_entry();
  const auto bytes = seal(entry, key);
  const World world({});
  Random random(1);
  const auto a = world.fingerprint(random, dirichlet(random, 10, 1), 0, 200);
  const auto b = world.fingerprint(random, dirichlet(random, 10, 1), 0, 200);
  const Sketcher sketcher(id(example_task()), 32, 10);
  const Sketch sa = sketcher.sketch(a), sb = sketcher.sketch(b);
  const Target target = sketcher.target({a, {1, 2}});
  const Place place = example_place();
  const auto listing = pack(example_listing());
  const StoreCheck check{place_key(entry.task, place), listing, {}, entry.version};
  FingerprintBuilder builder({.dimensions = 32, .classes = 10});
  const auto phi = world.sample(random, 0, 0);
  double sum = 0;  // keeps what is computed from being left out
  std::printf("entry %zu bytes, listing %zu, fingerprint of 32 x 10 %zu\n", bytes.size(), listing.size(),
              encode(a).size());
  time_it("sign", 500, [&] { key.sign(bytes); });
  time_it("seal", 500, [&] { (void)seal(entry, key); });
  CHECK(time_it("open_entry (one verification)", 500, [&] { REQUIRE(open_entry(bytes)); }) < 2000);
  time_it("may_store (one verification)", 500, [&] { REQUIRE(may_store(check)); });
  time_it("peek_entry", 5000, [&] { sum += peek_entry(bytes)->samples; });
  time_it("sketch", 5000, [&] { sum += sketcher.sketch(a).bytes[0]; });
  time_it("probes, 8 of depth 9", 5000, [&] { (void)probes(sa, Place::Kind::joint, 0, 9, 8); });
  time_it("place_key", 5000, [&] { sum += place_key(entry.task, place)[0]; });
  time_it("joint_distance of fingerprints", 5000, [&] { sum += joint_distance(a, b); });
  time_it("joint_distance of sketches", 50000, [&] { sum += joint_distance(sa, sb); });
  time_it("remoteness", 50000, [&] { sum += remoteness(target, sb, 6); });
  time_it("a sample into a fingerprint", 100000, [&] { builder.add(phi, 3, true); });
  CHECK(sum > 0);
}

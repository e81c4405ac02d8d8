// The detector that needs no labels, on Gaussian inputs and on the task's own embedding of them.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <optional>

#include "learner/drift/embedding_test.hpp"
#include "learner/fourier_basis.hpp"
#include "metadata/base/random.hpp"

namespace p2p::learner {
namespace {

constexpr std::uint32_t kFeatures = 8, kDimensions = 128;

struct Stream {
  EmbeddingTest test;
  Random random;
  std::shared_ptr<const FourierBasis> basis;
  std::vector<float> x = std::vector<float>(kFeatures), phi = std::vector<float>(kDimensions);

  explicit Stream(std::uint64_t seed, EmbeddingTest::Options options = {})
      : test([&] {
          options.dimensions = kDimensions;
          return options;
        }()),
        random(seed) {
    FourierBasis::Options map;
    map.seed = 1;
    map.features = kFeatures;
    map.dimensions = kDimensions;
    map.bandwidth = 1.0 / kFeatures;  // 2 / mean squared distance
    basis = FourierBasis::shared(map);
  }

  DriftLevel step(double shift, double scale = 1) {
    for (float& v : x) v = static_cast<float>(shift + scale * random.normal());
    basis->map(x, phi);
    return test.update_vector(phi);
  }
};

TEST_CASE(
    "The embedding test is silent on stable inputs and holds its run length where that is short") {
  std::size_t alarms = 0, short_alarms = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Stream stream(seed), often(seed, {.run_length = 2000, .warning_length = 100, .slack = 0});
    for (int i = 0; i < 20000; ++i) {
      alarms += stream.step(0) == DriftLevel::drift;
      short_alarms += often.step(0) == DriftLevel::drift;
    }
  }
  CHECK(alarms <= 2);  // a run length of 10^6 in 4 10^5 values
  CAPTURE(short_alarms);
  CHECK(short_alarms <= 200 + 43);  // three deviations above what the run length allows
}

TEST_CASE("The embedding test finds inputs that moved, spread or shrank, and says since when") {
  struct Case {
    double shift, scale;
    double delay;
  };
  const Case change =
      GENERATE(Case{1.0, 1, 120}, Case{-1.5, 1, 80}, Case{0, 2, 160}, Case{0, 0.3, 150});
  const auto [shift, scale, bound] = change;
  double sum = 0;
  int found = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Stream stream(seed);
    for (int i = 0; i < 2000; ++i) REQUIRE(stream.step(0) != DriftLevel::drift);
    for (int i = 1; i <= 1000; ++i) {
      if (stream.step(shift, scale) != DriftLevel::drift) continue;
      ++found;
      sum += i;
      CHECK(stream.test.width() <= static_cast<std::size_t>(i) + 64);
      break;
    }
    // Once for one change: what it was held apart is the reference now.
    std::size_t again = 0;
    for (int i = 0; i < 2000; ++i) again += stream.step(shift, scale) == DriftLevel::drift;
    CHECK(again == 0);
  }
  CAPTURE(shift, scale, sum / found);
  CHECK(found == 20);
  CHECK(sum / found <= bound);
}

TEST_CASE("The embedding test warns before it rings") {
  int warned = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Stream stream(seed);
    for (int i = 0; i < 2000; ++i) stream.step(0);
    for (int i = 0; i < 1000; ++i) {
      const DriftLevel level = stream.step(1);
      if (level == DriftLevel::stable) continue;
      warned += level == DriftLevel::warning;
      break;
    }
  }
  CHECK(warned >= 19);
}

TEST_CASE("Inputs that never vary do not ring, and one feature that jumps does") {
  EmbeddingTest test({.dimensions = 2});
  const std::vector<float> here = {0.7f, 0.1f}, there = {0.1f, 0.7f};
  for (int i = 0; i < 5000; ++i) REQUIRE(test.update_vector(here) == DriftLevel::stable);
  bool rang = false;
  for (int i = 0; i < 200; ++i) rang = test.update_vector(there) == DriftLevel::drift || rang;
  CHECK(rang);
}

}  // namespace
}  // namespace p2p::learner

#include <catch2/catch.hpp>

#include "metadata/base/random.hpp"
#include "overlay/node/shadow.hpp"
#include "tests/node/learners.hpp"

namespace p2p {
namespace {

using namespace testing;
using node::Shadow;

constexpr std::uint64_t kPlaces = 7;

/// How long it takes until the former model, which is right about as often as one that has learned this stream, comes back
/// over one that is right with chance `serving`. 0: it does not.
std::size_t comes_back(std::uint64_t seed, double serving, const Shadow::Options& options, Shadow::Verdict* end = nullptr) {
  const auto task = make_task(kPlaces);
  Stream stream(kPlaces, seed);
  Shadow shadow(options, {.drift = 3, .before = {1}, .helper = {}}, trained(task, stream, 1000));
  Random random(seed);
  Shadow::Verdict verdict{};
  std::vector<float> scaled(kFeatures);
  while (verdict == Shadow::Verdict::undecided) {
    const auto sample = stream.next();
    REQUIRE(task.scale(sample.x, scaled));
    const auto said = random.uniform() < serving ? sample.label : (sample.label + 1) % static_cast<std::int32_t>(kClasses);
    verdict = shadow.step(learner::Features(scaled), sample.label, said);
  }
  if (end) *end = verdict;
  CHECK(shadow.merge().drift == 3);
  return verdict == Shadow::Verdict::back ? shadow.tally().samples : 0;
}

}  // namespace

TEST_CASE("A former model that has become better comes back, long after its watch") {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const auto after = comes_back(seed, 0.4, {});
    CHECK(after > 0);
    CHECK(after < 200);
  }
}

TEST_CASE("A former model that is worse stays in the shadow, and goes when its time is over") {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    Shadow::Verdict end{};
    CHECK(comes_back(seed, 1.0, {.samples = 300}, &end) == 0);
    CHECK(end == Shadow::Verdict::over);
  }
}

TEST_CASE("What it did badly at first is forgotten once it does well") {
  const auto task = make_task(kPlaces);
  Stream stream(kPlaces, 1);
  Shadow shadow({}, {}, trained(task, stream, 1000));
  std::vector<float> scaled(kFeatures);
  Shadow::Verdict verdict{};
  for (int i = 0; i < 600 && verdict == Shadow::Verdict::undecided; ++i) {
    const auto sample = stream.next();
    REQUIRE(task.scale(sample.x, scaled));
    // At first the serving model is always right, then never.
    const auto said = i < 500 ? sample.label : (sample.label + 1) % static_cast<std::int32_t>(kClasses);
    verdict = shadow.step(learner::Features(scaled), sample.label, said);
    if (i == 499) {
      CHECK_FALSE(shadow.ahead());
      CHECK(shadow.tally().losses > 30);
    }
  }
  CHECK(verdict == Shadow::Verdict::back);
  CHECK(shadow.tally().samples < 560);
}

}  // namespace p2p

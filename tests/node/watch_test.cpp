#include "overlay/node/watch.hpp"

#include <catch2/catch.hpp>

#include "tests/node/learners.hpp"

using namespace p2p;
using namespace p2p::testing;
using node::Watch;

namespace {

/// Feeds the watch until it decides; `now` is the model in force.
Watch::Verdict decide(Watch& watch, learner::Model& now, const metadata::Task& task, Stream& stream, int* samples) {
  for (*samples = 0; *samples < 1000 && watch.verdict() == Watch::Verdict::undecided; ++*samples) {
    const auto sample = scaled(task, stream);
    watch.step(sample.x, sample.label, now.predict_then_learn(sample.x, sample.label));
  }
  return watch.verdict();
}

}  // namespace

TEST_CASE("A former model that is clearly better comes back long before the watch would end") {
  const auto task = make_task(kWorld);
  Stream stream(kWorld, 1), wrong(kWorld, 2);
  wrong.set(rotated(9), kAll);
  Watch watch(trained(task, stream, 1000), {});
  const auto now = trained(task, wrong, 1000);
  int samples = 0;
  CHECK(decide(watch, *now, task, stream, &samples) == Watch::Verdict::roll_back);
  CHECK(samples < 60);
}

TEST_CASE("Of two equal models the one in force stays") {
  const auto task = make_task(kWorld);
  for (std::uint64_t place = 1; place <= 10; ++place) {
    CAPTURE(place);
    Stream a(kWorld, place), b(kWorld, place + 100), stream(kWorld, place + 200);
    Watch watch(trained(task, a, 1500), {.samples = 200});
    const auto now = trained(task, b, 1500);
    int samples = 0;
    const auto verdict = decide(watch, *now, task, stream, &samples);
    CHECK(samples <= 200);
    CHECK(verdict == Watch::Verdict::keep);
  }
}

TEST_CASE("A former model that leads by the margin at the end comes back though chance could explain it") {
  const auto task = make_task(kWorld);
  Stream stream(kWorld, 1);
  Watch watch(trained(task, stream, 1000), {.samples = 40, .alpha = 1e-9, .margin = 0.02});
  const auto now = fresh(task);
  int samples = 0;
  CHECK(decide(watch, *now, task, stream, &samples) == Watch::Verdict::roll_back);
  CHECK(samples == 40);
}

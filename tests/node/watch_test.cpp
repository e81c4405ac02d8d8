#include "overlay/node/watch.hpp"

#include <catch2/catch.hpp>

#include "tests/node/learners.hpp"

using namespace p2p;
using namespace p2p::testing;
using node::Watch;

namespace {

/// Feeds the watch until it decides; `now` is the model in force.
Watch::Verdict decide(Watch& watch, learner::Model& now, const metadata::Task& task, Stream& stream,
                      int* samples) {
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

TEST_CASE("Of two models that are as good as each other the one in force nearly always stays") {
  const auto task = make_task(kWorld);
  int undone = 0;
  for (std::uint64_t place = 1; place <= 40; ++place) {
    CAPTURE(place);
    Stream a(kWorld, place), b(kWorld, place + 100), stream(kWorld, place + 200);
    Watch watch(trained(task, a, 1500), {.samples = 200});
    const auto now = trained(task, b, 1500);
    int samples = 0;
    const auto verdict = decide(watch, *now, task, stream, &samples);
    CHECK(samples <= 200);
    undone += verdict == Watch::Verdict::roll_back;
  }
  CHECK(undone <= 10);  // more than alpha, for they are as good only on average over the places
}

TEST_CASE(
    "Counts bring the former model back: a clear lead at a quarter, a lead by the margin at the end, no less") {
  const auto task = make_task(kWorld);
  Stream stream(kWorld, 1);
  const auto former = trained(task, stream, 1000);
  // The model in force is right whenever the former one is, but for every `miss`-th of these samples.
  const auto run = [&](int miss, std::size_t* samples) {
    Watch watch(former->clone(), {.samples = 200, .alpha = 1e-9, .margin = 0.02});
    auto shadow = former->clone();
    int right = 0;
    for (*samples = 0; watch.verdict() == Watch::Verdict::undecided; ++*samples) {
      const auto sample = scaled(task, stream);
      const bool hit = shadow->predict_then_learn(sample.x, sample.label) == sample.label;
      const bool also = hit && ++right % miss != 0;
      watch.step(sample.x, sample.label, also ? sample.label : (sample.label + 1) % static_cast<int>(kClasses));
    }
    return watch.verdict();
  };
  std::size_t samples = 0;
  CHECK(run(6, &samples) == Watch::Verdict::roll_back);  // some 7 of 50
  CHECK(samples == 50);
  CHECK(run(25, &samples) == Watch::Verdict::roll_back);  // some 6 of 200
  CHECK(samples == 200);
  CHECK(run(70, &samples) == Watch::Verdict::keep);  // 2 of 200
  CHECK(samples == 200);
}

TEST_CASE("A watch that is cut short after one sample in favour of the former model keeps the merge, after ten it does not") {
  const auto task = make_task(kWorld);
  for (const int in_favour : {1, 10}) {
    CAPTURE(in_favour);
    Stream stream(kWorld, 1);
    Watch watch(trained(task, stream, 1500), {});
    // Only samples that the former model knows, each said wrong by the one in force.
    for (int told = 0; watch.tally().wins < static_cast<std::size_t>(in_favour) && told < 200; ++told) {
      const auto sample = scaled(task, stream);
      watch.step(sample.x, sample.label, (sample.label + 1) % static_cast<learner::ClassIndex>(kClasses));
    }
    REQUIRE(watch.tally().losses == 0);
    REQUIRE(watch.tally().wins == static_cast<std::size_t>(in_favour));
    CHECK(watch.by_count() == (in_favour == 1 ? Watch::Verdict::keep : Watch::Verdict::roll_back));
  }
}

#include "overlay/node/standby.hpp"

#include <catch2/catch.hpp>

#include "tests/node/learners.hpp"

using namespace p2p;
using namespace p2p::testing;
using node::Library;
using node::Standby;

namespace {

/// A node that knows concept `before` by heart and has archived it, and serves a model of `now`.
struct Past {
  metadata::Task task = make_task(kWorld);
  Library library{{}};
  Stream stream{kWorld, 1};
  std::unique_ptr<learner::Model> serving;
  Standby standby;

  Past(const Concept& before, const Concept& now, const Standby::Options& options = {})
      : standby(options, library, node::model_spec(task)) {
    stream.set(before, kAll);
    const auto model = trained(task, stream, 1500);
    library.archive(model->partition({}), experience(task, stream, 400), 1500);
    stream.set(now, kAll);
    serving = trained(task, stream, 1500);
  }
  /// Reports within `samples`; where the first one came.
  struct Seen {
    int reports = 0, first = 0;
    Standby::Report report;
  };
  Seen live(int samples) {
    Seen seen;
    for (int i = 1; i <= samples; ++i) {
      const auto sample = scaled(task, stream);
      const auto predicted = serving->predict_then_learn(sample.x, sample.label);
      const auto report = standby.on_sample(sample.x, sample.label, predicted);
      if (!report) continue;
      if (seen.reports++ == 0) seen = {1, i, *report};
    }
    return seen;
  }
};

const Concept kSwapped = relabelled({0, 2, 1, 3, 4, 5}), kTurned = relabelled({1, 2, 3, 4, 5, 0});

}  // namespace

TEST_CASE("An archived concept that is back is noticed within twenty samples, with the samples since") {
  Past past({}, kTurned);
  past.stream.set({}, kAll);
  const auto seen = past.live(20);
  REQUIRE(seen.reports >= 1);
  CHECK(seen.report.archived == 1);
  CHECK(seen.report.since <= static_cast<std::size_t>(seen.first));
  CHECK(seen.report.since >= 8);
}

TEST_CASE("Two labels of six that swap back are noticed within sixty samples") {
  Past past({}, kSwapped);
  past.stream.set({}, kAll);
  const auto seen = past.live(60);
  REQUIRE(seen.reports >= 1);
  CHECK(seen.first <= 60);
}

TEST_CASE("A stream that stays as it is wakes no past concept in 20,000 samples") {
  Past past({}, kTurned);
  CHECK(past.live(20'000).reports == 0);
}

TEST_CASE("The model in force does not lose to its own copy more than once in 20,000 samples") {
  Past past({}, {});
  CHECK(past.live(20'000).reports <= 1);
}

TEST_CASE("Nobody stands by where nobody is wanted") {
  Past past({}, kTurned, {.models = 0});
  past.stream.set({}, kAll);
  CHECK(past.live(100).reports == 0);
}

TEST_CASE("A concept that was saved under another spec does not stand by, and harms nobody") {
  Past past({}, kTurned);
  learner::Part strange{.family = "arf", .blocks = {{"tree/0", {0}, 1, Bytes(8)}}};
  Stream stream(kWorld, 4);
  stream.set(rotated(9), kAll);
  REQUIRE(past.library.archive(std::move(strange), experience(past.task, stream, 400), 2000) != 0);
  past.stream.set({}, kAll);
  CHECK(past.live(40).reports >= 1);
}

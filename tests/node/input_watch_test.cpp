#include "overlay/node/input_watch.hpp"

#include <catch2/catch.hpp>

#include "tests/node/learners.hpp"

using namespace p2p;
using namespace p2p::testing;
using node::InputWatch;
using node::PendingLabels;

namespace {

constexpr float kShift = 1.6f;  // a fifth of the inputs' range

struct Watched {
  metadata::Task task = make_task(kWorld);
  std::unique_ptr<node::Serving> serving = std::move(*node::Serving::make(task, {}));
  PendingLabels pending;
  InputWatch watch;
  Stream stream{kWorld, 1};
  explicit Watched(double run_length = 1e6, std::size_t kept = 1000) : pending(kept), watch({.run_length = run_length}, *serving, pending) {}

  /// Until an alarm counts, at most `most` samples; every `labelled`-th has its label, 0: none.
  std::optional<InputWatch::Alarm> run(int most, int labelled) {
    for (int i = 0; i < most; ++i) {
      const auto sample = scaled(task, stream);
      labelled > 0 && i % labelled == 0 ? pending.count() : pending.keep(sample.x, 0);
      if (const auto alarm = watch.on_sample(serving->embed(sample.x))) return alarm;
    }
    return {};
  }
};

}  // namespace

TEST_CASE("Inputs that change without labels ring, and the change is placed within a few samples") {
  Watched watched;
  REQUIRE_FALSE(watched.run(600, 0).has_value());
  watched.stream.set(shifted(kShift), kAll);
  const auto alarm = watched.run(300, 0);
  REQUIRE(alarm.has_value());
  CHECK(alarm->labelled == 0);
  CHECK(alarm->change + alarm->since == watched.watch.latest());
  CHECK(alarm->change >= 560);
  CHECK(alarm->change <= 640);
  CHECK(watched.watch.waiting_after(alarm->change, 1000).size() == alarm->since);
  CHECK(watched.watch.waiting_after(alarm->change, 5).size() == 5);
}

TEST_CASE("Samples that are not kept for a label are not taken for labelled ones") {
  for (const std::size_t kept : {0u, 10u}) {
    Watched watched(1e6, kept);
    REQUIRE_FALSE(watched.run(600, 0).has_value());
    watched.stream.set(shifted(kShift), kAll);
    const auto alarm = watched.run(300, 20);
    REQUIRE(alarm.has_value());
    CHECK(alarm->labelled <= 1 + alarm->since / 20);
    CHECK(watched.watch.waiting_after(alarm->change, 1000).size() == kept);
  }
}

TEST_CASE("Where most samples have labels the inputs are left to the drift monitor") {
  Watched watched;
  REQUIRE_FALSE(watched.run(600, 1).has_value());
  watched.stream.set(shifted(kShift), kAll);
  CHECK_FALSE(watched.run(300, 1).has_value());
}

TEST_CASE("A twentieth of the labels does not make the inputs' alarm superfluous") {
  Watched watched;
  REQUIRE_FALSE(watched.run(600, 1).has_value());
  watched.stream.set(shifted(kShift), kAll);
  const auto alarm = watched.run(300, 20);
  REQUIRE(alarm.has_value());
  CHECK(alarm->labelled > 0);
  CHECK(10 * alarm->labelled < alarm->since);
}

TEST_CASE("Inputs that are not to be watched never ring") {
  Watched watched(0);
  watched.run(600, 0);
  watched.stream.set(shifted(kShift), kAll);
  CHECK_FALSE(watched.run(500, 0).has_value());
}

TEST_CASE("The marginal of the waiting samples is that of their stream") {
  Watched watched;
  watched.run(300, 0);
  const auto marginal = watched.watch.marginal(watched.watch.waiting_after(200, 100));
  CHECK(marginal.samples() == Approx(100));
  Stream same(kWorld, 2), elsewhere(kWorld, 3);
  elsewhere.set(shifted(kShift), kAll);
  CHECK(node::marginal_ratio(marginal, experience(watched.task, same, 400)) < 1.5);
  CHECK(node::marginal_ratio(marginal, experience(watched.task, elsewhere, 400)) > 2);
}

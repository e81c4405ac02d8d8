#include "overlay/node/contest.hpp"

#include <catch2/catch.hpp>

#include "tests/node/learners.hpp"

using namespace p2p;
using namespace p2p::testing;
using node::Contest;
using Verdict = learner::Trial::Verdict;

namespace {

/// A place that lived in one concept until `change` and in another since, with its serving model's record.
struct Past {
  metadata::Task task = make_task(kWorld);
  Stream stream{kWorld, 1};
  std::unique_ptr<learner::Model> serving;
  std::shared_ptr<const learner::Model> base;
  node::Tape tape{kFeatures};
  std::size_t change_at = 0;

  Past(const Concept& before, const Mix& mix_before, const Concept& after, const Mix& mix_after, int since) {
    stream.set(before, mix_before);
    serving = trained(task, stream, 600);
    base = serving->clone();
    live(60);
    change_at = tape.size();
    stream.set(after, mix_after);
    live(since);
  }
  struct Lived {
    Scaled sample;
    learner::ClassIndex predicted;
  };
  Lived next() {
    auto sample = scaled(task, stream);
    const auto predicted = serving->predict_then_learn(sample.x, sample.label);
    return {std::move(sample), predicted};
  }
  void live(int samples) {
    for (int i = 0; i < samples; ++i) {
      const auto lived = next();
      tape.append(lived.sample.x, lived.sample.label, lived.predicted);
    }
  }
  Contest contest(std::vector<learner::ClassIndex> classes, bool changed) {
    const std::size_t lead = classes.empty() ? 0 : 50;
    return Contest({.base = base,
                    .tape = tape,
                    .judge_from = change_at - lead,
                    .change_at = change_at,
                    .classes = std::move(classes),
                    .classes_changed = changed,
                    .trial = {}});
  }
};

/// Of a place to which the class was new, against the rows of another that knows it; all that was recorded is replayed.
Contest with_rows_of_class_4(Past& past) {
  Stream elsewhere(kWorld, 2);
  const auto helper = trained(past.task, elsewhere, 1500);
  auto contest = past.contest({4}, false);
  const std::vector<learner::ClassIndex> classes = {4};
  const std::vector<node::Received> parts = {received(*helper, classes, 1)};
  REQUIRE(contest.enter(parts).empty());
  contest.advance(1000);
  return contest;
}

}  // namespace

TEST_CASE("A model of the new concept wins on the recorded samples alone, and is up to date") {
  Past past({}, kAll, rotated(5), kAll, 60);
  Stream elsewhere(kWorld, 2);
  elsewhere.set(rotated(5), kAll);
  const auto helper = trained(past.task, elsewhere, 1500);
  auto contest = past.contest({}, true);
  const std::vector<node::Received> parts = {received(*helper, {}, 1)};
  REQUIRE(contest.enter(parts).empty());
  CHECK(contest.verdict() == Verdict::undecided);
  contest.advance(1000);
  REQUIRE(contest.caught_up());
  REQUIRE(contest.verdict() == Verdict::accept);
  const auto tally = contest.tally(contest.best());
  CHECK(tally.samples == 60);
  CHECK(tally.wins > tally.losses);
  const auto winner = contest.take(contest.best());
  int serving_right = 0, winner_right = 0;
  for (int i = 0; i < 200; ++i) {
    const auto lived = past.next();
    serving_right += lived.predicted == lived.sample.label;
    winner_right += winner->predict_then_learn(lived.sample.x, lived.sample.label) == lived.sample.label;
  }
  CHECK(winner_right > serving_right + 10);
}

TEST_CASE("A model of another concept is not accepted, however long the trial lasts") {
  for (std::uint8_t peer = 1; peer <= 5; ++peer) {
    CAPTURE(int{peer});
    Past past({}, kAll, rotated(5), kAll, 60);
    Stream elsewhere(kWorld, 10 + peer);
    elsewhere.set(rotated(20 + peer), kAll);
    const auto helper = trained(past.task, elsewhere, 1500);
    auto contest = past.contest({}, true);
    const std::vector<node::Received> parts = {received(*helper, {}, peer)};
    REQUIRE(contest.enter(parts).empty());
    contest.advance(1000);
    for (int i = 0; i < 300 && contest.verdict() == Verdict::undecided; ++i) {
      const auto lived = past.next();
      contest.append(lived.sample.x, lived.sample.label, lived.predicted);
      contest.advance(1);
    }
    CHECK(contest.verdict() == Verdict::reject);
  }
}

TEST_CASE("The rows of a class that is new here are accepted after a few of its samples") {
  Past past({}, without({4}), {}, kAll, 20);
  auto contest = with_rows_of_class_4(past);
  int fresh_samples = 0;
  while (contest.verdict() == Verdict::undecided && fresh_samples < 300) {
    const auto lived = past.next();
    contest.append(lived.sample.x, lived.sample.label, lived.predicted);
    contest.advance(1);
    ++fresh_samples;
  }
  CHECK(contest.verdict() == Verdict::accept);
  CHECK(fresh_samples < 150);
}

TEST_CASE("The rows of a class that the serving model has learned by itself meanwhile are not taken, whatever they were ahead before") {
  Past past({}, without({4}), {}, kAll, 140);
  auto contest = with_rows_of_class_4(past);
  REQUIRE(contest.caught_up());
  const auto best = contest.best();
  CHECK(contest.luck(best) < learner::Trial::Options{}.alpha);
  CHECK(contest.verdict() != Verdict::accept);
}

TEST_CASE("Blocks with numbers that are none are refused before any trial, and named") {
  Past past({}, kAll, rotated(5), kAll, 60);
  Stream elsewhere(kWorld, 2);
  elsewhere.set(rotated(5), kAll);
  const auto helper = trained(past.task, elsewhere, 500);
  std::vector<node::Received> parts = {received(*helper, {}, 1), received(*helper, {}, 2)};
  for (auto& block : parts[1].part.blocks) {
    std::fill(block.content.end() - 8, block.content.end(), std::uint8_t{0xff});  // float32 and float64 NaN
  }
  auto contest = past.contest({}, true);
  const auto refusals = contest.enter(parts);
  REQUIRE(refusals.size() == 1);
  CHECK(refusals[0].part == 1);
  CHECK(refusals[0].error.code == ErrorCode::malformed);
  CHECK_FALSE(contest.empty());
}

TEST_CASE("Two helpers that each know one of two new classes are tried together") {
  Past past({}, without({4, 5}), {}, kAll, 40);
  Stream first(kWorld, 2), second(kWorld, 3);
  first.set({}, without({5}));
  second.set({}, without({4}));
  const auto one = trained(past.task, first, 1500);
  const auto two = trained(past.task, second, 1500);
  const std::vector<learner::ClassIndex> classes = {4, 5};
  const std::vector<node::Received> parts = {received(*one, classes, 1, without({5})),
                                             received(*two, classes, 2, without({4}))};
  auto contest = past.contest({4, 5}, false);
  REQUIRE(contest.enter(parts).empty());
  contest.advance(1000);
  while (contest.verdict() == Verdict::undecided) {
    const auto lived = past.next();
    contest.append(lived.sample.x, lived.sample.label, lived.predicted);
    contest.advance(1);
  }
  REQUIRE(contest.verdict() == Verdict::accept);
  CHECK_THAT(contest.label(contest.best()), Catch::Contains("together"));
}

TEST_CASE("A replay gives the same challengers whether it is done at once or in slices") {
  const auto run = [](std::size_t slice) {
    Past past({}, kAll, rotated(5), kAll, 60);
    Stream elsewhere(kWorld, 2);
    elsewhere.set(rotated(5), kAll);
    const auto helper = trained(past.task, elsewhere, 800);
    auto contest = past.contest({}, true);
    const std::vector<node::Received> parts = {received(*helper, {}, 1)};
    contest.enter(parts);
    while (!contest.caught_up()) contest.advance(slice);
    return contest.take(contest.best())->encode();
  };
  CHECK(run(1000) == run(7));
}

#include "overlay/node/agreement.hpp"

#include <catch2/catch.hpp>

#include "tests/node/learners.hpp"

using namespace p2p;
using namespace p2p::testing;
using Adopt = node::AgreementOptions::Adopt;
using node::agree;
using node::AgreementOptions;

namespace {

constexpr float kShift = 1.6f;  // a fifth of the inputs' range

Stream moved(std::uint64_t place, Concept what = {}) {
  Stream stream(kWorld, place);
  what.shift = kShift;
  stream.set(what, kAll);
  return stream;
}

/// A node that knows the world as it was; what comes is shifted, and others have learned that.
struct Jury {
  metadata::Task task = make_task(kWorld);
  metadata::Fingerprint known, inputs, told;
  std::vector<std::vector<float>> rows;
  std::vector<std::unique_ptr<learner::Model>> models;
  std::vector<node::Voter> voters;
  AgreementOptions options{.adopt = Adopt::agreed};

  Jury() {
    Stream past(kWorld, 1), now = moved(2), there = moved(3);
    known = experience(task, past, 400);
    inputs = experience(task, now, 100);
    told = experience(task, there, 400);
    for (int i = 0; i < 100; ++i) rows.push_back(scaled(task, now).x);
  }
  /// A voter of key `peer` (0: an own one) that learned `learned` and tells of the experience `says`.
  void add(std::uint8_t peer, const Concept& learned, const metadata::Fingerprint& says) {
    Stream stream = moved(10u + models.size(), learned);
    models.push_back(trained(task, stream, 1500));
    node::Voter voter{models.back().get(), &says, {}, peer == 0};
    voter.node.bytes[0] = peer;
    voters.push_back(voter);
  }
  node::Agreement ask() const {
    const std::vector<learner::Features> samples(rows.begin(), rows.end());
    return agree(voters, samples, inputs, known, options);
  }
};

constexpr Concept kWrong{.labels = {1, 2, 3, 4, 5, 0}};

}  // namespace

TEST_CASE("Marginals of one distribution are one unit apart, of another several, of nothing none") {
  const auto task = make_task(kWorld);
  Stream one(kWorld, 1), same(kWorld, 2), elsewhere = moved(3), renamed(kWorld, 4);
  renamed.set(relabelled({1, 2, 3, 4, 5, 0}), kAll);
  const auto base = experience(task, one, 400);
  double sum = 0;
  for (int i = 0; i < 20; ++i) sum += node::marginal_ratio(base, experience(task, same, 100));
  CHECK(sum / 20 > 0.7);
  CHECK(sum / 20 < 1.2);
  CHECK(node::marginal_ratio(base, experience(task, renamed, 100)) < 1.6);  // labels do not show
  CHECK(node::marginal_ratio(base, experience(task, elsewhere, 100)) > 2);
  CHECK(node::marginal_ratio(base, experience(task, elsewhere, 0)) == 0);
}

TEST_CASE("Two helpers of different keys that know the inputs and agree are believed") {
  Jury jury;
  jury.add(1, {}, jury.told);
  jury.add(2, {}, jury.told);
  const auto agreement = jury.ask();
  REQUIRE(agreement.chosen == 0u);
  CHECK(agreement.share > 0.7);
  CHECK(agreement.kappa > 0.6);
  CHECK_THAT(agreement.reason, Catch::Contains("2 who know such inputs agree"));
}

TEST_CASE("One helper is not believed, nor two models of one key, nor one beside one that knows other inputs") {
  Jury jury;
  jury.add(1, {}, jury.told);
  CHECK_FALSE(jury.ask().chosen.has_value());
  jury.add(1, {}, jury.told);
  CHECK_FALSE(jury.ask().chosen.has_value());
  jury.add(2, {}, jury.known);
  const auto agreement = jury.ask();
  CHECK_FALSE(agreement.chosen.has_value());
  CHECK_THAT(agreement.reason, Catch::Contains("two nodes are needed"));
}

TEST_CASE("One who knows the inputs and says something else keeps all from being believed") {
  Jury jury;
  jury.add(1, {}, jury.told);
  jury.add(2, {}, jury.told);
  jury.add(3, kWrong, jury.told);
  const auto agreement = jury.ask();
  CHECK_FALSE(agreement.chosen.has_value());
  CHECK(agreement.kappa < 0.3);
  CHECK_THAT(agreement.reason, Catch::Contains("disagree"));
}

// What the test cannot see, and why this is off unless asked for.
TEST_CASE("Two liars that lie alike are believed where nobody contradicts") {
  Jury jury;
  jury.add(1, kWrong, jury.told);
  jury.add(2, kWrong, jury.told);
  CHECK(jury.ask().chosen.has_value());
}

TEST_CASE("Inputs that this node knows itself are no reason to believe others") {
  Jury jury;
  jury.add(1, {}, jury.told);
  jury.add(2, {}, jury.told);
  Stream there = moved(9);
  jury.known = experience(jury.task, there, 400);
  const auto agreement = jury.ask();
  CHECK_FALSE(agreement.chosen.has_value());
  CHECK_THAT(agreement.reason, Catch::Contains("not clearly outside"));
}

TEST_CASE("An own past concept whose inputs are back suffices, and is preferred to helpers that agree with it") {
  Jury jury;
  jury.options.adopt = Adopt::own;
  jury.add(1, {}, jury.told);
  jury.add(2, {}, jury.told);
  CHECK_FALSE(jury.ask().chosen.has_value());  // helpers are not what was allowed
  jury.add(0, {}, jury.told);
  CHECK(jury.ask().chosen == 2u);
  jury.options.adopt = Adopt::agreed;
  CHECK(jury.ask().chosen == 2u);
  jury.add(0, kWrong, jury.told);  // another past of the same inputs: who can say which?
  CHECK_FALSE(jury.ask().chosen.has_value());
}

TEST_CASE("Nobody is asked about too few samples, or where nothing may be put in force") {
  Jury jury;
  jury.add(1, {}, jury.told);
  jury.add(2, {}, jury.told);
  jury.options.fewest = 101;
  CHECK_THAT(jury.ask().reason, Catch::Contains("too few"));
  jury.options = {};
  CHECK_THAT(jury.ask().reason, Catch::Contains("nothing is put in force"));
}

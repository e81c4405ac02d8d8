#include <algorithm>
#include <catch2/catch.hpp>

#include "learner/models/trees/adaptive_random_forest.hpp"
#include "support.hpp"

namespace p2p::learner::test {
namespace {

std::unique_ptr<AdaptiveRandomForest> forest(std::map<std::string, double> params = {}) {
  ModelSpec spec = spec_of(AdaptiveRandomForest::kFamily);
  for (const auto& [name, value] : params) spec.params[name] = value;
  auto made = AdaptiveRandomForest::make(spec);
  REQUIRE(made);
  return std::move(*made);
}

/// Samples whose labels are moved on by `shift`.
int hits(Model& model, Blobs& stream, int samples, ClassIndex shift) {
  int n = 0;
  for (int i = 0; i < samples; ++i) {
    const Sample s = stream.next();
    const ClassIndex y = (s.y + shift) % 4;
    n += model.predict_then_learn(s.x, y) == y;
  }
  return n;
}

TEST_CASE("Poisson(6) trains every tree on nearly every sample, each with other weights") {
  auto model = forest();
  Blobs stream(1, 6, 4);
  train(*model, stream, 3000);
  std::vector<double> masses;
  for (const Block& block : model->partition({}).blocks) masses.push_back(block.evidence);
  for (const double trained : masses) {
    // Binomial(3000, 1 - exp(-6)): 2992.6, standard deviation 2.7.
    CHECK(trained >= 2975);
    CHECK(trained <= 3000);
  }
}

TEST_CASE("Trees are replaced after a change of the labels and hardly on a stable stream") {
  std::uint64_t before = 0, after = 0;
  double recovered = 0;
  const int seeds = 10;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    auto model = forest();
    Blobs stream(seed, 6, 4);
    hits(*model, stream, 4000, 0);
    before += model->events().drifts;
    hits(*model, stream, 500, 1);
    after += model->events().drifts;
    recovered += hits(*model, stream, 500, 1) / 500.0 / seeds;
  }
  after -= before;
  CAPTURE(before, after, recovered);
  CHECK(before <= 8);           // of 80 trees
  CHECK(after >= 10 * 8 * 3 / 4);
  CHECK(recovered > 0.85);
}

TEST_CASE("A background tree starts at a warning and has its place at the drift") {
  auto model = forest({{"delta_drift", 1e-9}, {"delta_warning", 0.1}});
  Blobs stream(3, 6, 4);
  hits(*model, stream, 3000, 0);
  bool background = false;
  for (int i = 0; i < 400 && !background; ++i) {
    hits(*model, stream, 1, 2);
    for (const auto& tree : model->report()) background = background || tree.background;
  }
  CHECK(background);
  CHECK(model->events().drifts == 0);
  hits(*model, stream, 600, 2);
  CHECK(model->events().drifts > 0);
  // What took over had trained since the warning, not since the drift.
  int grown = 0;
  for (const auto& tree : model->report()) grown += tree.leaves > 1;
  CHECK(grown >= 6);
}

TEST_CASE("Blended trees stay in the background until they are better, and go when they are not") {
  Blobs stream(4, 6, 4), other(5, 6, 4);
  // The receiver is fresh in a world that the helper knows.
  auto helper = forest(), novice = forest();
  hits(*helper, other, 3000, 0);
  hits(*novice, stream, 15, 0);
  REQUIRE(novice->merge(helper->partition({}), {{}, MergeOptions::Mode::blend}));
  for (const auto& tree : novice->report()) CHECK(tree.background);
  hits(*novice, stream, 400, 0);
  CHECK(novice->events().promoted >= 4);
  // The receiver knows its own world, the helper another one.
  auto wrong = forest(), expert = forest();
  hits(*wrong, other, 3000, 1);
  hits(*expert, stream, 3000, 0);
  REQUIRE(expert->merge(wrong->partition({}), {{}, MergeOptions::Mode::blend}));
  const int right = hits(*expert, stream, 600, 0);
  CHECK(right > 0.93 * 600);
  CHECK(expert->events().promoted == 0);
  CHECK(expert->events().dismissed == 8);
  for (const auto& tree : expert->report()) CHECK_FALSE(tree.background);
}

TEST_CASE("A tree that took a place gives it back to the one before it when that was better") {
  Blobs stream(6, 6, 4), other(7, 6, 4);
  auto wrong = forest(), expert = forest();
  hits(*wrong, other, 3000, 1);
  hits(*expert, stream, 3000, 0);
  REQUIRE(expert->merge(wrong->partition({}), {{}, MergeOptions::Mode::replace}));
  CHECK(hits(*expert->clone(), stream, 5, 0) <= 3);  // all places are taken by what is wrong here
  hits(*expert, stream, 60, 0);
  CHECK(expert->events().promoted == 8);
  CHECK(hits(*expert, stream, 500, 0) > 0.93 * 500);
}

TEST_CASE("Trees with a new class help within tens of samples and the old classes stay known") {
  double isolated = 0, merged = 0, old_isolated = 0, old_merged = 0;
  const int seeds = 10;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    auto helper = forest({{"trees", 10}}), target = forest({{"trees", 10}});
    Blobs far(100 + seed, 6, 4), here(200 + seed, 6, 4);
    hits(*helper, far, 3000, 0);
    for (int i = 0; i < 1500; ++i) {
      const Sample s = here.next(0, 3);
      target->learn(s.x, s.y);
    }
    auto with = target->clone();
    const std::vector<ClassIndex> fresh = {3};
    REQUIRE(with->merge(helper->partition(fresh, Precision::bits8), {fresh, {}}));
    train(*with, here, 30);
    train(*target, here, 30);
    isolated += accuracy(*target, here, 200, 3, 4) / seeds;
    merged += accuracy(*with, here, 200, 3, 4) / seeds;
    old_isolated += accuracy(*target, here, 300, 0, 3) / seeds;
    old_merged += accuracy(*with, here, 300, 0, 3) / seeds;
  }
  CAPTURE(isolated, merged, old_isolated, old_merged);
  CHECK(merged > 0.85);
  CHECK(merged > isolated + 0.1);
  CHECK(old_merged > old_isolated - 0.03);
}

TEST_CASE("Fewer bits a number make fewer bytes, and answers that are nearly the same") {
  auto model = forest();
  Blobs stream(8, 6, 4);
  hits(*model, stream, 3000, 0);
  std::size_t before = model->partition({}).bytes();
  auto exact = forest();
  REQUIRE(exact->merge(model->partition({}), {}));
  for (const auto& [precision, least, share] : {std::tuple(Precision::bits16, 0.99, 0.55),
                                                std::tuple(Precision::bits8, 0.96, 0.7),
                                                std::tuple(Precision::bits4, 0.94, 0.5)}) {
    const Part part = model->partition({}, precision);
    CHECK(static_cast<double>(part.bytes()) < share * static_cast<double>(before));
    before = part.bytes();
    auto fresh = forest();
    REQUIRE(fresh->merge(part, {}));
    Blobs test = stream;
    int same = 0;
    for (int i = 0; i < 1000; ++i) {
      const Sample s = test.next();
      same += fresh->predict(s.x) == exact->predict(s.x);
    }
    CAPTURE(static_cast<int>(precision), same);
    CHECK(same >= 1000 * least);
    // And it goes on learning.
    CHECK(hits(*fresh, test, 1000, 0) > 930);
  }
}

TEST_CASE("Classes that come later are learnt beside the old ones, and a saved forest keeps them") {
  auto model = forest();
  Blobs stream(9, 6, 6);
  for (int i = 0; i < 1500; ++i) {
    const Sample s = stream.next(0, 4);
    model->learn(s.x, s.y);
  }
  model->grow(6);
  CHECK(model->spec().classes == 6);
  for (int i = 0; i < 1500; ++i) {
    const Sample s = stream.next();
    model->learn(s.x, s.y);
  }
  CHECK(accuracy(*model, stream, 500, 0, 6) > 0.9);
  auto decoded = decode_model(model->spec(), model->encode());
  REQUIRE(decoded);
  CHECK((*decoded)->encode() == model->encode());
}

TEST_CASE("A forest goes on bit-identically from bytes saved amid warnings, drifts and guests") {
  auto model = forest({{"delta_warning", 0.2}, {"delta_drift", 0.01}});
  Blobs stream(10, 6, 4), other(11, 6, 4);
  auto helper = forest({{"delta_warning", 0.2}, {"delta_drift", 0.01}});
  hits(*helper, other, 1500, 1);
  hits(*model, stream, 1500, 0);
  REQUIRE(model->merge(helper->partition({}), {{1, 2}, MergeOptions::Mode::replace}));
  int backgrounds = 0;
  for (int round = 0; round < 30; ++round) {
    hits(*model, stream, 25, round / 10);
    auto decoded = decode_model(model->spec(), model->encode());
    REQUIRE(decoded);
    for (const auto& tree : model->report()) backgrounds += tree.background;
    Blobs fork = stream;
    auto copy = model->clone();
    Blobs again = stream;
    REQUIRE(hits(**decoded, fork, 100, round / 10) == hits(*copy, again, 100, round / 10));
    REQUIRE((*decoded)->encode() == copy->encode());
  }
  CHECK(backgrounds > 10);
  CHECK(model->events().drifts > 0);
}

TEST_CASE("A forest whose leaves share few rows stays within its memory and goes on learning") {
  ModelSpec spec = spec_of("arf", 400, 8);
  spec.params = {{"memory", 1}};
  auto model = make(spec);
  Blobs stream(12, 400, 8);
  train(*model, stream, 3000);
  // Statistics take 1 MiB at most; the nodes, leaves and classes come on top.
  CHECK(model->bytes() < 3u << 20);
  CHECK(accuracy(*model, stream, 500, 0, 8) > 0.5);
  auto decoded = decode_model(model->spec(), model->encode());
  REQUIRE(decoded);
  train(**decoded, stream, 500);
}

}  // namespace
}  // namespace p2p::learner::test

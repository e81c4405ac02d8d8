#include "learner/models/trees/online_random_forest.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "support.hpp"

namespace p2p::learner::test {
namespace {

std::unique_ptr<OnlineRandomForest> forest(std::map<std::string, double> params = {}) {
  ModelSpec spec = spec_of(OnlineRandomForest::kFamily);
  for (const auto& [name, value] : params) spec.params[name] = value;
  auto made = OnlineRandomForest::make(spec);
  REQUIRE(made);
  return std::move(*made);
}

/// Recall on a class, as a block of the tree has it.
double recall_in(const Block& block, ClassIndex c) {
  ByteReader in(ByteView(block.content).subspan(9));  // after the fingerprint and the precision
  const auto records = read_records(in, 4);
  REQUIRE(records);
  const std::vector<ClassIndex> one = {c};
  return mean_recall(*records, one);
}

TreeNodes nodes_in(const Block& block) {
  ByteReader in(ByteView(block.content).subspan(9));
  REQUIRE(read_records(in, 4));
  auto nodes = read_nodes(in, {6, 64, 1024}, Precision::bits32);
  REQUIRE(nodes);
  return *nodes;
}

TEST_CASE("Trees grow with what they see and keep to their bounds") {
  const std::map<std::string, double> bounds[] = {
      {{"max_leaves", 5}}, {{"max_depth", 2}}, {{"max_leaves", 1}}};
  for (const auto& params : bounds) {
    auto model = forest(params);
    Blobs stream(1, 6, 4);
    train(*model, stream, 3000);
    for (const auto& tree : model->report()) {
      if (params.contains("max_leaves")) CHECK(tree.leaves <= params.at("max_leaves"));
      if (params.contains("max_depth")) CHECK(tree.depth <= params.at("max_depth"));
    }
  }
  auto model = forest();
  Blobs stream(2, 6, 4);
  train(*model, stream, 3000);
  for (const auto& tree : model->report()) CHECK(tree.leaves >= 4);
}

TEST_CASE("Trees do not split where there is nothing to gain") {
  // Labels independent of the features: the best of 20 tests on 50 samples gains some by chance, so
  // ask for more.
  auto model = forest({{"min_gain", 0.5}, {"min_samples", 100}});
  Blobs stream(3, 6, 4);
  Random labels(4);
  for (int i = 0; i < 3000; ++i)
    model->learn(stream.next().x, static_cast<ClassIndex>(labels.below(4)));
  for (const auto& tree : model->report()) CHECK(tree.leaves == 1);
}

TEST_CASE("Poisson bagging trains each tree on about 63 of 100 samples, each tree on others") {
  auto model = forest();
  Blobs stream(5, 6, 4);
  train(*model, stream, 4000);
  std::vector<double> trained;
  for (const auto& tree : model->report()) {
    // Binomial(4000, 1 - 1/e): standard deviation 30.5.
    CHECK(tree.trained == Approx(4000 * 0.63212).margin(150));
    trained.push_back(tree.trained);
  }
  std::sort(trained.begin(), trained.end());
  CHECK(trained.front() != trained.back());
}

TEST_CASE("The out-of-bag error is an honest estimate of a tree's error") {
  // One tree: the forest's test error is the tree's.
  double oob = 0, test = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    auto model = forest({{"trees", 1}, {"min_samples", 60}, {"discard_margin", 1}});
    Blobs stream(seed, 6, 4);
    train(*model, stream, 2000);
    oob += model->report()[0].oob_error / 20;
    test += (1 - accuracy(*model, stream, 1000, 0, 4)) / 20;
  }
  CAPTURE(oob, test);
  CHECK(oob == Approx(test).margin(0.03));
}

TEST_CASE("No tree is discarded on a stable stream, and most are after the labels change") {
  std::uint64_t before = 0, after = 0;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    auto model = forest();
    Blobs stream(seed, 6, 4);
    train(*model, stream, 5000);
    before += model->discarded();
    for (int i = 0; i < 1500; ++i) {
      const Sample s = stream.next();
      model->learn(s.x, (s.y + 1) % 4);
    }
    after += model->discarded();
  }
  CHECK(before == 0);
  CHECK(after >= 10 * 8 / 2);
}

TEST_CASE("A forest follows a change of the labels, and sooner when it discards trees") {
  double with = 0, without = 0;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    for (const bool discards : {true, false}) {
      auto model = forest({{"discard_margin", discards ? 0.2 : 1.0}});
      Blobs stream(seed, 6, 4);
      train(*model, stream, 4000);
      int hits = 0;
      for (int i = 0; i < 1500; ++i) {
        const Sample s = stream.next();
        hits += model->predict_then_learn(s.x, (s.y + 1) % 4) == (s.y + 1) % 4 && i >= 500;
      }
      (discards ? with : without) += hits / 1000.0 / 10;
    }
  }
  CAPTURE(with, without);
  CHECK(with > 0.8);
  CHECK(with > without);
}

TEST_CASE("partition sends the trees that are best on the classes asked for") {
  auto model = forest({{"trees", 12}, {"share", 0.25}});
  Blobs stream(6, 6, 4);
  train(*model, stream, 2500);
  const std::vector<ClassIndex> wanted = {2};
  const Part part = model->partition(wanted);
  REQUIRE(part.blocks.size() == 3);
  std::vector<double> all;
  for (const Block& block : model->partition({}).blocks) all.push_back(recall_in(block, 2));
  std::sort(all.rbegin(), all.rend());
  for (std::size_t i = 0; i < 3; ++i) CHECK(recall_in(part.blocks[i], 2) == all[i]);
}

TEST_CASE("merge replaces the worst trees on the classes, and the forest keeps its size") {
  auto target = forest({{"trees", 10}});
  Blobs stream(7, 6, 4);
  for (int i = 0; i < 2000; ++i) {
    const Sample s = stream.next(0, 2);
    target->learn(s.x, s.y);
  }
  auto helper = forest({{"trees", 10}});
  Blobs other(8, 6, 4);
  train(*helper, other, 3000);
  const std::vector<ClassIndex> wanted = {2, 3};
  const Part offered = helper->partition(wanted);
  REQUIRE(offered.blocks.size() == 3);
  REQUIRE(target->merge(offered, {wanted, MergeOptions::Mode::replace}));
  const Part now = target->partition({});
  CHECK(now.blocks.size() == 10);
  CHECK(target->report().size() == 10);
  int foreign = 0;
  for (const Block& block : now.blocks)
    foreign += block.classes == std::vector<ClassIndex>{0, 1, 2, 3};
  CHECK(foreign == 3);
}

TEST_CASE("The trees that give way are those with the worst record on the classes") {
  auto target = forest({{"trees", 10}});
  Blobs stream(17, 6, 4);
  train(*target, stream, 1200);
  std::vector<std::pair<double, std::string>> order;
  std::map<std::string, Bytes> before;
  for (const Block& block : target->partition({}).blocks) {
    order.emplace_back(recall_in(block, 1), block.name);
    before[block.name] = block.content;
  }
  std::sort(order.begin(), order.end());
  REQUIRE(order[3].first < order[4].first);
  auto helper = forest({{"trees", 10}});
  Blobs other(18, 6, 4);
  train(*helper, other, 2000);
  Part four = helper->partition({});
  four.blocks.resize(4);
  REQUIRE(target->merge(four, {{1}, MergeOptions::Mode::replace}));
  const Part after = target->partition({});
  for (std::size_t i = 0; i < order.size(); ++i) {
    for (const Block& block : after.blocks) {
      if (block.name == order[i].second) CHECK((block.content == before[block.name]) == (i >= 4));
    }
  }
}

TEST_CASE("Asked for some classes, a whole forest may take at most half of the places") {
  auto target = forest({{"trees", 10}});
  Blobs stream(9, 6, 4);
  for (int i = 0; i < 1000; ++i) {
    const Sample s = stream.next(0, 2);
    target->learn(s.x, s.y);
  }
  auto helper = forest({{"trees", 10}});
  train(*helper, stream, 2000);
  auto all = target->clone();
  const auto foreign = [](const Model& model) {
    int n = 0;
    for (const Block& block : model.partition({}).blocks) n += block.classes.size() == 4;
    return n;
  };
  REQUIRE(target->merge(helper->partition({}), {{2, 3}, MergeOptions::Mode::replace}));
  CHECK(foreign(*target) == 5);
  REQUIRE(all->merge(helper->partition({}), {}));
  CHECK(foreign(*all) == 10);
}

TEST_CASE("Blending gives places in proportion to the evidence") {
  auto target = forest({{"trees", 10}}), helper = forest({{"trees", 10}});
  Blobs stream(10, 6, 4);
  for (int i = 0; i < 3000; ++i) {
    const Sample s = stream.next(0, 2);
    target->learn(s.x, s.y);
  }
  train(*helper, stream, 1000);
  REQUIRE(target->merge(helper->partition({}), {{}, MergeOptions::Mode::blend}));
  int foreign = 0;
  for (const Block& block : target->partition({}).blocks) foreign += block.classes.size() == 4;
  CHECK(foreign >= 2);  // a quarter of 10
  CHECK(foreign <= 3);
}

TEST_CASE("Two nodes with one seed and different data grow different trees") {
  auto a = forest(), b = forest();
  Blobs stream_a(11, 6, 4), stream_b(12, 6, 4);
  train(*a, stream_a, 400);
  train(*b, stream_b, 400);
  // The first split of every tree.
  int same = 0;
  const Part pa = a->partition({}), pb = b->partition({});
  for (std::size_t i = 0; i < pa.blocks.size(); ++i) {
    const TreeNode root_a = nodes_in(pa.blocks[i]).nodes[0], root_b = nodes_in(pb.blocks[i]).nodes[0];
    REQUIRE(root_a.feature != TreeNode::kLeaf);
    same += root_a.feature == root_b.feature && root_a.threshold == root_b.threshold;
  }
  CHECK(same == 0);
}

TEST_CASE("A forest that learnt at fewer bits a number says almost the same, in fewer bytes") {
  auto model = forest();
  Blobs stream(15, 6, 4);
  train(*model, stream, 2000);
  std::size_t before = model->partition({}).bytes();
  for (const auto& [precision, least] : {std::pair(Precision::bits16, 0.995),
                                         {Precision::bits8, 0.97},
                                         {Precision::bits4, 0.97}}) {
    const Part part = model->partition({}, precision);
    // Counts have levels of 8 bits at 4 as well: there is nothing more to save in them.
    CHECK(part.bytes() <= before);
    before = part.bytes();
    auto fresh = forest(), exact = forest();
    REQUIRE(fresh->merge(part, {}));
    REQUIRE(exact->merge(model->partition({}), {}));
    Blobs test = stream;
    int same = 0;
    for (int i = 0; i < 1000; ++i) {
      const Sample s = test.next();
      same += fresh->predict(s.x) == exact->predict(s.x);
    }
    CAPTURE(static_cast<int>(precision), same);
    CHECK(same >= 1000 * least);
  }
  CHECK(before < 0.7 * static_cast<double>(model->partition({}).bytes()));
}

TEST_CASE("The bootstraps of two nodes differ from the first sample on") {
  auto a = forest({{"trees", 40}}), b = forest({{"trees", 40}}), c = forest({{"trees", 40}});
  Blobs stream_a(13, 6, 4), stream_b(14, 6, 4);
  const Sample first = stream_a.next(), other = stream_b.next();
  a->learn(first.x, first.y);
  b->learn(first.x, first.y);
  c->learn(other.x, other.y);
  int same_data = 0, other_data = 0;
  for (std::size_t i = 0; i < 40; ++i) {
    same_data += a->report()[i].trained == b->report()[i].trained;
    other_data += a->report()[i].trained == c->report()[i].trained;
  }
  CHECK(same_data == 40);
  CHECK(other_data < 35);  // by chance 0.53 of them agree
}

}  // namespace
}  // namespace p2p::learner::test

// Family "mlp": gradients, batches, and models that travel whole.
#include "learner/models/mlp/perceptron_layers.hpp"

#include <catch2/catch.hpp>
#include <cmath>

#include "support.hpp"

namespace p2p::learner::test {
namespace {

ModelSpec batched(int batch) {
  ModelSpec spec = spec_of("mlp");
  spec.params["batch"] = batch;
  return spec;
}

PerceptronLayers& layers(Model& model) { return dynamic_cast<PerceptronLayers&>(model); }

TEST_CASE("The gradients of both layers are those of finite differences") {
  auto model = make(spec_of("mlp"));
  Blobs stream(1, 6, 4);
  train(*model, stream, 50);  // so that the second layer is not zero
  PerceptronLayers& mlp = layers(*model);
  int compared = 0;
  for (int round = 0; round < 20; ++round) {
    const Sample s = stream.next();
    std::vector<float> gradients[2] = {std::vector<float>(mlp.layer(0).weights.size()),
                                       std::vector<float>(mlp.layer(1).weights.size())};
    mlp.gradient(s.x, s.y, gradients[0], gradients[1]);
    for (std::size_t which = 0; which < 2; ++which) {
      DenseLayer& layer = mlp.layer(which);
      for (int pick = 0; pick < 30; ++pick) {
        const std::size_t at = layer.at(stream.random().below(layer.coordinates()),
                                        stream.random().below(layer.units));
        const float was = layer.weights[at];
        const auto slope = [&](float step) {
          layer.weights[at] = was + step;
          const double up = mlp.loss(s.x, s.y);
          layer.weights[at] = was - step;
          const double down = mlp.loss(s.x, s.y);
          layer.weights[at] = was;
          return (up - down) / (2 * static_cast<double>(step));
        };
        const double wide = slope(4e-3f), narrow = slope(2e-3f);
        // Where a unit bends in between there is no slope to compare with.
        if (std::abs(wide - narrow) > 2e-3) continue;
        CAPTURE(which, at);
        CHECK(static_cast<double>(gradients[which][at]) ==
              Approx(narrow).epsilon(0.02).margin(2e-3));
        compared += std::abs(narrow) > 0.01;
      }
    }
  }
  CHECK(compared > 100);
}

TEST_CASE("A batch is one step by the mean gradient of its samples") {
  auto model = make(batched(4));
  Blobs stream(2, 6, 4);
  train(*model, stream, 400);
  PerceptronLayers& mlp = layers(*model);
  const DenseLayer before[2] = {mlp.layer(0), mlp.layer(1)};
  std::vector<double> sums[2] = {std::vector<double>(before[0].weights.size()),
                                 std::vector<double>(before[1].weights.size())};
  for (int i = 0; i < 4; ++i) {
    const Sample s = stream.next();
    std::vector<float> g[2] = {std::vector<float>(sums[0].size()),
                               std::vector<float>(sums[1].size())};
    mlp.gradient(s.x, s.y, g[0], g[1]);
    for (std::size_t w = 0; w < 2; ++w) {
      for (std::size_t k = 0; k < g[w].size(); ++k) sums[w][k] += static_cast<double>(g[w][k]) / 4;
    }
    if (i < 3) {
      model->learn(s.x, s.y);
      CHECK(mlp.layer(0).weights == before[0].weights);
      CHECK(mlp.layer(1).weights == before[1].weights);
    } else {
      model->learn(s.x, s.y);
    }
  }
  double moved = 0;
  for (std::size_t w = 0; w < 2; ++w) {
    const DenseLayer& after = mlp.layer(w);
    for (std::size_t k = 0; k < sums[w].size(); ++k) {
      const double g = 0.999 * static_cast<double>(before[w].squares[k] * before[w].scale) +
                       sums[w][k] * sums[w][k];
      const double step = 0.1 * sums[w][k] / std::sqrt(g + 1e-3);
      const double stepped =
          static_cast<double>(before[w].weights[k]) - static_cast<double>(after.weights[k]);
      CHECK(stepped == Approx(step).epsilon(2e-3).margin(1e-6));  // the kernels' roots are rough
      moved += std::abs(static_cast<double>(after.weights[k] - before[w].weights[k]));
    }
  }
  CHECK(moved > 1e-3);
}

TEST_CASE("A model saved in the middle of a batch goes on bit-identically, new classes included") {
  const int stop = GENERATE(0, 1, 2, 3, 5, 402, 403);
  auto model = make(batched(4));
  Blobs stream(3, 6, 4);
  for (int i = 0; i < stop; ++i) {
    // The class 3 comes in the last samples only, so that it is new within the batch.
    const Sample s = i + 2 < stop ? stream.next(0, 3) : stream.of(3);
    model->learn(s.x, s.y);
  }
  auto decoded = decode_model(model->spec(), model->encode());
  REQUIRE(decoded);
  auto copy = model->clone();
  CHECK((*decoded)->encode() == model->encode());
  for (int i = 0; i < 50; ++i) {
    const Sample s = stream.next();
    const ClassIndex said = model->predict_then_learn(s.x, s.y);
    REQUIRE((*decoded)->predict_then_learn(s.x, s.y) == said);
    REQUIRE(copy->predict_then_learn(s.x, s.y) == said);
    REQUIRE((*decoded)->encode() == model->encode());
    REQUIRE(copy->encode() == model->encode());
  }
}

TEST_CASE("A model that grows in the middle of a batch keeps what it knows and goes on") {
  auto model = make(batched(8));
  Blobs stream(4, 6, 4);
  train(*model, stream, 1003);
  std::vector<float> before(4), after(20);
  const Sample s = stream.next();
  model->scores(s.x, before);
  model->grow(20);
  CHECK(model->spec().classes == 20);
  model->scores(s.x, after);
  for (std::size_t c = 0; c < 4; ++c) CHECK(after[c] == before[c]);
  auto decoded = decode_model(model->spec(), model->encode());
  REQUIRE(decoded);
  CHECK((*decoded)->encode() == model->encode());
  for (int i = 0; i < 1200; ++i) {
    Sample next = stream.next();
    if (next.y == 1) next.y = 17;  // what was class 1 is now one that joined
    model->learn(next.x, next.y);
  }
  CHECK(model->predict(stream.of(1).x) == 17);
  CHECK(model->predict(stream.of(2).x) == 2);
}

TEST_CASE("Nodes of one task start from the same weights, those of another from others") {
  auto a = make(spec_of("mlp")), b = make(spec_of("mlp"));
  CHECK(layers(*a).layer(0).weights == layers(*b).layer(0).weights);
  ModelSpec other = spec_of("mlp");
  other.seed = 43;
  CHECK(layers(*make(other)).layer(0).weights != layers(*a).layer(0).weights);
  CHECK_FALSE(a->merge(make(other)->partition({}), {}));
}

TEST_CASE("A blend is the mean of both models, weighed by their evidence") {
  ModelSpec spec = spec_of("mlp");
  spec.params["decay"] = 1;
  auto left = make(spec), right = make(spec);
  Blobs stream(5, 6, 4);
  train(*left, stream, 900);
  train(*right, stream, 300);
  auto both = left->clone();
  REQUIRE(both->merge(right->partition({}), {{}, MergeOptions::Mode::blend}));
  for (std::size_t which = 0; which < 2; ++which) {
    const DenseLayer &l = layers(*left).layer(which), &r = layers(*right).layer(which),
                     &m = layers(*both).layer(which);
    for (std::size_t k = 0; k < m.weights.size(); ++k) {
      const double expected =
          0.75 * static_cast<double>(l.weights[k]) + 0.25 * static_cast<double>(r.weights[k]);
      REQUIRE(static_cast<double>(m.weights[k]) == Approx(expected).epsilon(1e-4).margin(1e-6));
    }
  }
  CHECK(both->partition({}).blocks[0].evidence == 1200);
  CHECK(accuracy(*both, stream, 500, 0, 4) > 0.9);
}

TEST_CASE("A class that only one side of a blend knows keeps its row undiluted") {
  auto left = make(spec_of("mlp")), right = make(spec_of("mlp"));
  Blobs stream(6, 6, 4);
  for (int i = 0; i < 900; ++i) {
    const Sample a = stream.next(0, 3), b = stream.next(1, 4);
    left->learn(a.x, a.y);
    right->learn(b.x, b.y);
  }
  auto both = left->clone();
  REQUIRE(both->merge(right->partition({}), {{}, MergeOptions::Mode::blend}));
  const DenseLayer &l = layers(*left).layer(1), &r = layers(*right).layer(1),
                   &m = layers(*both).layer(1);
  for (std::size_t j = 0; j < m.coordinates(); ++j) {
    CHECK(m.weights[m.at(j, 0)] == l.weights[l.at(j, 0)]);
    CHECK(m.weights[m.at(j, 3)] == r.weights[r.at(j, 3)]);
  }
}

TEST_CASE("A replacement that would lose a class is a blend, one that was asked for is not") {
  auto left = make(spec_of("mlp")), right = make(spec_of("mlp"));
  Blobs stream(6, 6, 4);
  for (int i = 0; i < 1500; ++i) {
    const Sample a = stream.next(0, 3), b = stream.next(1, 4);
    left->learn(a.x, a.y);
    right->learn(b.x, b.y);
  }
  const Part part = right->partition({});
  auto blended = left->clone(), replaced = left->clone(), asked = left->clone();
  REQUIRE(blended->merge(part, {{}, MergeOptions::Mode::blend}));
  REQUIRE(replaced->merge(part, {{3}, MergeOptions::Mode::replace}));
  REQUIRE(asked->merge(part, {{0, 3}, MergeOptions::Mode::replace}));
  CHECK(replaced->encode() == blended->encode());
  CHECK(layers(*asked).layer(0).weights == layers(*right).layer(0).weights);
  CHECK(accuracy(*replaced, stream, 400, 0, 1) > accuracy(*asked, stream, 400, 0, 1));
}

TEST_CASE(
    "One layer alone is refused, a model of fewer classes fits one of more, and not the other "
    "way") {
  auto small = make(spec_of("mlp", 6, 3)), large = make(spec_of("mlp", 6, 9));
  Blobs stream(7, 6, 3);
  train(*small, stream, 2000);
  Part part = small->partition({});
  REQUIRE(large->merge(part, {}));
  CHECK(accuracy(*large, stream, 300, 0, 3) == accuracy(*small, stream, 300, 0, 3));
  CHECK_FALSE(small->merge(large->partition({}), {}));
  part.blocks.pop_back();
  const Bytes before = large->encode();
  const auto merged = large->merge(part, {});
  REQUIRE_FALSE(merged);
  CHECK(merged.error().code == ErrorCode::malformed);
  CHECK(large->encode() == before);
}

TEST_CASE("Layers weigh what is stated, and fewer bits cost little accuracy") {
  auto helper = make(spec_of("mlp"));
  Blobs stream(8, 6, 4);
  train(*helper, stream, 3000);
  const Part part = helper->partition({});
  CHECK(part.blocks[0].content.size() == 17 + 8 * 32 * 7);
  CHECK(part.blocks[1].content.size() == 17 + 8 * 4 * 33);
  const double there = accuracy(*helper, stream, 1000, 0, 4);
  CHECK(there > 0.95);
  std::size_t last = part.bytes();
  for (const Precision precision : {Precision::bits16, Precision::bits8, Precision::bits4}) {
    auto fresh = make(spec_of("mlp"));
    const Part less = helper->partition({}, precision);
    CHECK(less.bytes() < last);
    last = less.bytes();
    REQUIRE(fresh->merge(less, {}));
    CAPTURE(static_cast<int>(precision));
    CHECK(accuracy(*fresh, stream, 1000, 0, 4) >
          there - (precision == Precision::bits4 ? 0.1 : 0.02));
  }
}

TEST_CASE("Batches of any size reach the accuracy of single samples") {
  const int batch = GENERATE(1, 2, 8, 32);
  auto model = make(batched(batch));
  Blobs stream(9, 6, 4);
  train(*model, stream, 6000);
  CAPTURE(batch);
  CHECK(accuracy(*model, stream, 1000, 0, 4) > 0.95);
}

}  // namespace
}  // namespace p2p::learner::test

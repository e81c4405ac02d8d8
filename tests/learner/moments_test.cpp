// The families on sufficient statistics: sums are exact, sizes as stated, forgetting follows.
#include <catch2/catch.hpp>
#include <cmath>

#include "learner/models/moments/class_moments.hpp"
#include "learner/models/moments/naive_bayes.hpp"
#include "learner/models/moments/nearest_mean.hpp"
#include "learner/models/moments/ridge.hpp"
#include "support.hpp"

namespace p2p::learner::test {
namespace {

std::string_view family() { return GENERATE(as<std::string_view>{}, "nb", "ncm", "ridge"); }

ModelSpec remembering(std::string_view name) {
  ModelSpec spec = spec_of(name);
  spec.params["decay"] = 1;
  return spec;
}

double second_of(const ClassMoments& m, std::size_t c, std::size_t i, std::size_t j) {
  if (m.kind == ClassMoments::Second::diagonal) return static_cast<double>(m.second(c)[i]);
  return static_cast<double>(m.second(c)[i * (i + 1) / 2 + j]);
}

TEST_CASE("Moments are those of two passes over the samples") {
  const auto kind = GENERATE(ClassMoments::Second::diagonal, ClassMoments::Second::full);
  ClassMoments m(2, 3, kind, 1.0);
  std::vector<std::vector<double>> seen;
  std::vector<float> scratch(3);
  Random random(1);
  for (int i = 0; i < 500; ++i) {
    const double u = random.normal(), v = random.normal();
    const std::vector<float> z = {static_cast<float>(3 + u), static_cast<float>(u - 2 * v),
                                  static_cast<float>(0.1 * v)};
    m.add(z, i % 3 == 0 ? 1 : 0, scratch);
    if (i % 3 == 0) seen.push_back({z.begin(), z.end()});
  }
  const auto n = static_cast<double>(seen.size());
  CHECK(m.seen[1] == n);
  CHECK(m.weight[1] == n);
  std::vector<double> mean(3);
  for (const auto& z : seen) {
    for (std::size_t j = 0; j < 3; ++j) mean[j] += z[j] / n;
  }
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(static_cast<double>(m.mean(1)[i]) == Approx(mean[i]).margin(1e-5));
    for (std::size_t j = 0; j <= i; ++j) {
      if (kind == ClassMoments::Second::diagonal && j < i) continue;
      double expected = 0;
      for (const auto& z : seen) expected += (z[i] - mean[i]) * (z[j] - mean[j]) / n;
      CHECK(second_of(m, 1, i, j) == Approx(expected).epsilon(1e-4).margin(1e-6));
    }
  }
}

TEST_CASE("A blend is the exact sum: what training on both streams would have given") {
  const auto name = family();
  CAPTURE(name);
  auto left = make(remembering(name)), right = make(remembering(name)),
       joint = make(remembering(name));
  Blobs stream(2, 6, 4);
  for (int i = 0; i < 3000; ++i) {
    // Unequal shares, and a class that only one of them ever meets.
    const Sample s = stream.next();
    Model& one = s.y == 3 || i % 4 == 0 ? *left : *right;
    one.learn(s.x, s.y);
    joint->learn(s.x, s.y);
  }
  REQUIRE(left->merge(right->partition({}), {{}, MergeOptions::Mode::blend}));
  const auto& sum = dynamic_cast<MomentsModel&>(*left).moments();
  const auto& all = dynamic_cast<MomentsModel&>(*joint).moments();
  for (std::size_t c = 0; c < 4; ++c) {
    CHECK(sum.seen[c] == all.seen[c]);
    CHECK(sum.weight[c] == all.weight[c]);
    for (std::size_t j = 0; j < all.length; ++j)
      CHECK(std::abs(sum.mean(c)[j] - all.mean(c)[j]) < 1e-5f);
    for (std::size_t j = 0; j < all.second_length(); ++j)
      CHECK(std::abs(sum.second(c)[j] - all.second(c)[j]) < 2e-5f);
  }
  if (auto* ridge = dynamic_cast<Ridge*>(joint.get())) ridge->solve();
  std::vector<float> a(4), b(4);
  for (int i = 0; i < 200; ++i) {
    const Sample s = stream.next();
    left->scores(s.x, a);
    joint->scores(s.x, b);
    for (std::size_t c = 0; c < 4; ++c) CHECK(a[c] == Approx(b[c]).epsilon(2e-3).margin(2e-3));
  }
}

TEST_CASE(
    "A block of ridge holds all that a class's samples say: copying one is training on them") {
  auto helper = make(remembering("ridge")), target = make(remembering("ridge")),
       joint = make(remembering("ridge"));
  Blobs stream(3, 6, 4);
  for (int i = 0; i < 2000; ++i) {
    const Sample s = stream.next();
    (s.y < 2 ? *target : *helper).learn(s.x, s.y);
    joint->learn(s.x, s.y);
  }
  const std::vector<ClassIndex> fresh = {2, 3};
  REQUIRE(target->merge(helper->partition(fresh), {{}, MergeOptions::Mode::blend}));
  dynamic_cast<Ridge&>(*joint).solve();
  std::vector<float> a(4), b(4);
  for (int i = 0; i < 200; ++i) {
    const Sample s = stream.next();
    target->scores(s.x, a);
    joint->scores(s.x, b);
    for (std::size_t c = 0; c < 4; ++c) CHECK(a[c] == Approx(b[c]).epsilon(1e-3).margin(1e-3));
  }
}

/// 1/2 sum over samples of (w z + o - [y = k])^2 + ridge/2 |w|^2 and its gradient, for class k.
TEST_CASE("The gradient of the squared loss vanishes at the rows of ridge") {
  ModelSpec spec = remembering("ridge");
  spec.params["ridge"] = 0.5;
  spec.params["dimensions"] = 0;
  auto model = make(spec);
  Blobs stream(4, 6, 4, false);
  std::vector<Sample> samples;
  for (int i = 0; i < 400; ++i) {
    samples.push_back(stream.next());
    model->learn(samples.back().x, samples.back().y);
  }
  dynamic_cast<Ridge&>(*model).solve();
  // The rows by their effect: scores at the origin and at the unit vectors.
  std::vector<float> zero(6), at(4);
  model->scores(zero, at);
  const std::vector<float> offset = at;
  std::vector<std::vector<double>> w(4, std::vector<double>(6));
  for (std::size_t j = 0; j < 6; ++j) {
    std::vector<float> unit(6);
    unit[j] = 1;
    model->scores(unit, at);
    for (std::size_t k = 0; k < 4; ++k) w[k][j] = static_cast<double>(at[k] - offset[k]);
  }
  const auto loss = [&](std::size_t k, const std::vector<double>& row, double o) {
    double sum = 0;
    for (const Sample& s : samples) {
      double score = o;
      for (std::size_t j = 0; j < 6; ++j) score += row[j] * static_cast<double>(s.x[j]);
      const double miss = score - (static_cast<std::size_t>(s.y) == k ? 1 : 0);
      sum += 0.5 * miss * miss;
    }
    for (const double v : row) sum += 0.25 * v * v;
    return sum;
  };
  for (std::size_t k = 0; k < 4; ++k) {
    const auto o = static_cast<double>(offset[k]);
    const double best = loss(k, w[k], o), step = 1e-3;
    for (std::size_t j = 0; j < 6; ++j) {
      auto up = w[k], down = w[k];
      up[j] += step;
      down[j] -= step;
      CHECK(loss(k, up, o) > best);
      CHECK(loss(k, down, o) > best);
      CHECK(std::abs(loss(k, up, o) - loss(k, down, o)) / (2 * step) < 0.02);
    }
    CHECK(std::abs(loss(k, w[k], o + step) - loss(k, w[k], o - step)) / (2 * step) < 0.02);
  }
}

TEST_CASE("Naive Bayes scores are log densities of the class's own Gaussians") {
  ModelSpec spec = remembering("nb");
  spec.params["floor"] = 1e-3;
  spec.params["spread"] = 0.2;
  auto model = make(spec);
  Blobs stream(5, 6, 4, false);
  train(*model, stream, 800);
  const auto& m = dynamic_cast<NaiveBayes&>(*model).moments();
  const Sample s = stream.next();
  std::vector<float> scores(4);
  model->scores(s.x, scores);
  for (std::size_t c = 0; c < 4; ++c) {
    const double n = m.seen[c];
    double expected = std::log((m.weight[c] + 1) / (m.total_weight() + 4));
    for (std::size_t j = 0; j < 6; ++j) {
      const double v = (n * static_cast<double>(m.second(c)[j]) + 0.2) / (n + 1) + 1e-3;
      const double d = static_cast<double>(s.x[j] - m.mean(c)[j]);
      expected -= 0.5 * (std::log(v) + d * d / v);
    }
    CHECK(static_cast<double>(scores[c]) == Approx(expected).epsilon(1e-4));
  }
}

TEST_CASE("A block weighs what is stated, and less at fewer bits") {
  const auto weighs = [](std::string_view name, std::uint32_t features, Precision precision) {
    ModelSpec spec = spec_of(name, features, 2);
    spec.params.clear();
    auto model = make(spec);
    Random random(6);
    std::vector<float> x(features);
    for (int i = 0; i < 20; ++i) {
      for (float& v : x) v = static_cast<float>(random.uniform());
      model->learn(x, i % 2);
    }
    return model->partition({}, precision).blocks[0].content.size();
  };
  CHECK(weighs("ncm", 784, Precision::bits32) == 29 + 4 * 784);
  CHECK(weighs("ncm", 784, Precision::bits4) == 29 + 4 + 784 / 2);
  CHECK(weighs("nb", 784, Precision::bits32) == 29 + 8 * 784);
  CHECK(weighs("nb", 784, Precision::bits4) == 29 + 4 + 784 / 2 + 784);
  CHECK(weighs("ridge", 784, Precision::bits32) == 29 + 4 * 128 + 2 * 128 * 129);
  CHECK(weighs("ridge", 784, Precision::bits16) == 17069);
  CHECK(weighs("ridge", 784, Precision::bits8) == 8557);
  CHECK(weighs("ridge", 784, Precision::bits4) == 4365);
}

TEST_CASE("Fewer bits cost little accuracy") {
  const auto name = family();
  const auto precision = GENERATE(Precision::bits16, Precision::bits8, Precision::bits4);
  CAPTURE(name, static_cast<int>(precision));
  auto helper = make(spec_of(name));
  Blobs stream = blobs_for(name, 7);
  train(*helper, stream, 3000);
  auto fresh = make(spec_of(name));
  REQUIRE(fresh->merge(helper->partition({}, precision), {}));
  const double there = accuracy(*helper, stream, 1000, 0, 4),
               here = accuracy(*fresh, stream, 1000, 0, 4);
  CAPTURE(there, here);
  CHECK(there > 0.9);
  CHECK(here > there - (precision == Precision::bits4 ? 0.05 : 0.01));
}

TEST_CASE("With forgetting a model follows a swap of labels, without it stays wrong for longer") {
  const auto name = family();
  const auto after = [&](double decay) {
    ModelSpec spec = spec_of(name);
    spec.params["decay"] = decay;
    auto model = make(spec);
    Blobs stream = blobs_for(name, 8);
    train(*model, stream, 8000);
    const auto swapped = [](ClassIndex y) { return y < 2 ? 1 - y : y; };
    for (int i = 0; i < 3000; ++i) {
      const Sample s = stream.next();
      model->learn(s.x, swapped(s.y));
    }
    int hits = 0;
    for (int i = 0; i < 500; ++i) {
      const Sample s = stream.next();
      hits += model->predict(s.x) == swapped(s.y);
    }
    return hits / 500.0;
  };
  const double forgetting = after(0.995), remembering_all = after(1);
  CAPTURE(name, forgetting, remembering_all);
  CHECK(forgetting > 0.9);
  CHECK(remembering_all < 0.8);
}

TEST_CASE("A class that stays away is still known when it comes back") {
  const auto name = family();
  ModelSpec spec = spec_of(name);
  if (name == "ridge") spec.params["dimensions"] = 64;
  auto model = make(spec);
  Blobs stream = blobs_for(name, 9);
  train(*model, stream, 2000);
  for (int i = 0; i < 3000; ++i) {  // three times the memory of the default decay
    const Sample s = stream.next(0, 3);
    model->learn(s.x, s.y);
  }
  // Least squares masks a class that is rare among many: it needs more of them.
  for (int i = 0; i < (name == "ridge" ? 500 : 100); ++i) {
    const Sample s = stream.next();
    model->learn(s.x, s.y);
  }
  CAPTURE(name);
  CHECK(accuracy(*model, stream, 400, 3, 4) > 0.9);
}

TEST_CASE(
    "Covariances that are none are met with more ridge, not with numbers that are not finite") {
  auto model = make(spec_of("ridge")), helper = make(spec_of("ridge"));
  Blobs stream(10, 6, 4);
  train(*model, stream, 500);
  train(*helper, stream, 500);
  Part part = helper->partition({});
  for (Block& block : part.blocks) {
    // Large covariances beside variances of zero: no matrix of anything.
    const std::size_t length = 16 + 6, triangle = 29 + 4 * length;
    for (std::size_t i = 0, at = 0; i < length; at += ++i) {
      for (std::size_t j = 0; j <= i; ++j) {
        const float value = i == j ? 0.0f : 1e13f;
        std::memcpy(block.content.data() + triangle + 4 * (at + j), &value, 4);
      }
    }
  }
  REQUIRE(model->merge(part, {}));
  std::vector<float> scores(4);
  for (int i = 0; i < 300; ++i) {
    const Sample s = stream.next();
    model->scores(s.x, scores);
    for (const float score : scores) CHECK(std::isfinite(score));
    model->learn(s.x, s.y);
  }
  REQUIRE(decode_model(model->spec(), model->encode()));
}

}  // namespace
}  // namespace p2p::learner::test

// What Hoeffding trees are made of: four floats at a time, Gaussians, and the tree itself.
#include "learner/models/trees/hoeffding_tree.hpp"

#include <catch2/catch.hpp>
#include <cmath>

#include "support.hpp"

namespace p2p::learner::test {
namespace {

TEST_CASE("log2 of four floats is within 5e-7 of the library's, over all magnitudes") {
  double worst = 0;
  for (double v = 1e-37; v < 1e37; v *= 1.0137) {
    const auto x = static_cast<float>(v);
    const double exact = std::log2(static_cast<double>(x));
    const double error =
        std::abs(static_cast<double>(lanes::log2(lanes::all(x))[0]) - exact);
    // Beside the bound: half a unit in the last place of the result.
    worst = std::max(worst, error - std::abs(exact) * 0x1p-23);
  }
  CHECK(worst < 5e-7);
  CHECK(lanes::log2(lanes::all(1.0f))[2] == 0);
}

TEST_CASE("The normal distribution of four floats is within 1e-6 of the library's") {
  double worst = 0;
  for (double z = -12; z < 12; z += 0.003) {
    const double exact = 0.5 * std::erfc(-z / std::sqrt(2.0));
    worst = std::max(worst, std::abs(static_cast<double>(
                                lanes::normal_below(lanes::all(static_cast<float>(z)))[1]) -
                            exact));
  }
  CHECK(worst < 1e-6);
  for (const float far : {1e3f, 1e10f, 1e30f}) {
    CHECK(lanes::normal_below(lanes::all(far))[0] == 1);
    CHECK(lanes::normal_below(lanes::all(-far))[0] < 1e-30f);
  }
}

TEST_CASE("A row has the mean, variance and extremes that two passes over the samples give") {
  Random random(1);
  const std::size_t features = 5, stride = lanes::padded(features);
  GaussianRows rows(stride, 3);
  rows.take();
  const std::uint32_t row = rows.take();
  std::vector<std::vector<float>> samples;
  std::vector<float> weights;
  float before = 0, logs = 0;
  for (int i = 0; i < 400; ++i) {
    std::vector<float> x(stride);
    for (std::size_t f = 0; f < features; ++f)
      x[f] = static_cast<float>(static_cast<double>(f) + 0.1 * random.normal());
    const auto w = static_cast<float>(1 + random.below(6));
    logs = rows.add(row, x.data(), before, w);
    before += w;
    samples.push_back(x);
    weights.push_back(w);
  }
  double expected_logs = 0;
  for (std::size_t f = 0; f < features; ++f) {
    double sum = 0, squares = 0, low = 1e9, high = -1e9;
    for (std::size_t i = 0; i < samples.size(); ++i) {
      sum += static_cast<double>(weights[i] * samples[i][f]);
      low = std::min(low, static_cast<double>(samples[i][f]));
      high = std::max(high, static_cast<double>(samples[i][f]));
    }
    const double mean = sum / static_cast<double>(before);
    for (std::size_t i = 0; i < samples.size(); ++i)
      squares += static_cast<double>(weights[i]) * std::pow(samples[i][f] - mean, 2);
    const double variance = squares / static_cast<double>(before - 1);
    CHECK(static_cast<double>(rows.mean(row)[f]) == Approx(mean).margin(1e-5));
    CHECK(static_cast<double>(rows.spread(row)[f]) == Approx(squares).epsilon(1e-3));
    CHECK(static_cast<double>(rows.half_inverse(row)[f]) == Approx(0.5 / variance).epsilon(1e-3));
    CHECK(static_cast<double>(rows.low(row)[f]) == low);
    CHECK(static_cast<double>(rows.high(row)[f]) == high);
    expected_logs += 0.5 * std::log(2 * 3.14159265358979 * variance);
  }
  CHECK(static_cast<double>(logs) == Approx(expected_logs).epsilon(1e-4));
  CHECK(rows.refresh(row, before) == logs);
  CHECK(rows.available() == 1);
  rows.give_back(row);
  CHECK(rows.available() == 2);
  const std::uint32_t again = rows.take();
  CHECK(again == row);
  for (std::size_t f = 0; f < 5 * stride; ++f) REQUIRE(rows.mean(again)[f] == 0);
}

TEST_CASE("The chosen split is the best of a search without shortcuts") {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    Random random(seed);
    const std::size_t features = 1 + random.below(9), classes = 2 + random.below(4);
    const std::size_t stride = lanes::padded(features);
    GaussianRows rows(stride, 8);
    std::vector<SplitRow> all;
    for (std::size_t c = 0; c < classes; ++c) {
      SplitRow one{rows.take(), 0};
      for (int i = 0; i < 40; ++i) {
        std::vector<float> x(stride);
        for (std::size_t f = 0; f < features; ++f) {
          x[f] = static_cast<float>(random.normal() + (f == seed % features ? 1.5 : 0.1) *
                                                          static_cast<double>(c));
        }
        rows.add(one.row, x.data(), one.weight, 1);
        one.weight += 1;
      }
      all.push_back(one);
    }
    const auto entropy = [](const std::vector<double>& n) {
      double total = 0, sum = 0;
      for (const double v : n) total += v;
      for (const double v : n) sum -= v > 0 ? v / total * std::log2(v / total) : 0;
      return std::pair(sum, total);
    };
    double best = -1, second = -1;
    std::size_t where = 0;
    for (std::size_t f = 0; f < features; ++f) {
      double low = 1e9, high = -1e9, gain_of = -1;
      for (const SplitRow& c : all) {
        low = std::min(low, static_cast<double>(rows.low(c.row)[f]));
        high = std::max(high, static_cast<double>(rows.high(c.row)[f]));
      }
      for (int k = 1; k <= 10; ++k) {
        const double t = low + (high - low) * k / 11;
        std::vector<double> left, right, both;
        for (const SplitRow& c : all) {
          const double sigma = std::sqrt(0.5 / static_cast<double>(rows.half_inverse(c.row)[f]));
          double below = 0.5 * std::erfc(-(t - static_cast<double>(rows.mean(c.row)[f])) / sigma /
                                         std::sqrt(2.0));
          if (t < static_cast<double>(rows.low(c.row)[f])) below = 0;
          if (t >= static_cast<double>(rows.high(c.row)[f])) below = 1;
          left.push_back(below * static_cast<double>(c.weight));
          right.push_back((1 - below) * static_cast<double>(c.weight));
          both.push_back(static_cast<double>(c.weight));
        }
        const auto [h, n] = entropy(both);
        const auto [hl, nl] = entropy(left);
        const auto [hr, nr] = entropy(right);
        if (nl <= 0.01 * n || nr <= 0.01 * n) continue;
        gain_of = std::max(gain_of, h - (nl * hl + nr * hr) / n);
      }
      if (gain_of > best) {
        second = best;
        best = gain_of;
        where = f;
      } else {
        second = std::max(second, gain_of);
      }
    }
    const SplitChoice choice = choose_split(rows, all, features);
    CAPTURE(seed, features, classes);
    CHECK(static_cast<double>(choice.best) == Approx(best).margin(1e-4));
    CHECK(static_cast<double>(choice.second) == Approx(second).margin(1e-4));
    if (best - second > 1e-3) CHECK(choice.lane == where);
    // The shares of the two sides follow from the same threshold.
    for (const SplitRow& c : all) {
      const float below = share_below(rows, c.row, choice.lane, choice.threshold);
      CHECK(below >= 0);
      CHECK(below <= 1);
    }
  }
}

TEST_CASE("Every width of vector that this processor has chooses the same split, bit for bit") {
  Random random(2);
  for (int round = 0; round < 50; ++round) {
    const std::size_t features = 1 + random.below(40), classes = 2 + random.below(5);
    GaussianRows rows(lanes::padded(features), 8);
    std::vector<SplitRow> all;
    float weight = 0;
    for (std::size_t c = 0; c < classes; ++c) {
      SplitRow one{rows.take(), 0};
      for (int i = 0; i < 30; ++i) {
        std::vector<float> x(rows.stride());
        for (std::size_t f = 0; f < features; ++f)
          x[f] = static_cast<float>(f % 3 == 0 ? static_cast<double>(random.below(2))
                                               : random.normal() + static_cast<double>(c));
        rows.add(one.row, x.data(), one.weight, 1);
        one.weight += 1;
      }
      weight += one.weight;
      all.push_back(one);
    }
    std::vector<float> roots(classes * kSplitWidth);
    const SplitInput input{rows.data(), rows.stride(), features, all.data(), all.size(),
                           weight, 2.0f, roots.data()};
    SplitChoice first;
    all_split_searches()[0]->run(input, first);
    for (const SplitSearch* search : all_split_searches()) {
      SplitChoice choice;
      search->run(input, choice);
      CAPTURE(search->name, features, classes);
      CHECK(choice.best == first.best);
      CHECK(choice.second == first.second);
      CHECK(choice.lane == first.lane);
      CHECK(choice.threshold == first.threshold);
    }
    CHECK(split_search(features).width / 2 < std::max<std::size_t>(features, 3));
  }
}

TEST_CASE("A constant feature allows no split, and is believed at its value only") {
  GaussianRows rows(4, 4);
  std::vector<SplitRow> classes = {{rows.take(), 0}, {rows.take(), 0}};
  for (int i = 0; i < 50; ++i) {
    for (SplitRow& c : classes) {
      const std::vector<float> x(4, 0.25f);
      rows.add(c.row, x.data(), c.weight, 1);
      c.weight += 1;
    }
  }
  CHECK(choose_split(rows, classes, 4).best < 0);
  const std::vector<float> same(4, 0.25f), other(4, 0.2501f);
  CHECK(rows.distance(classes[0].row, same.data()) == 0);
  CHECK(rows.distance(classes[0].row, other.data()) > 1e6f);
}

HoeffdingShape shape(std::uint32_t features, std::uint32_t classes) {
  HoeffdingShape out;
  out.features = features;
  out.classes = classes;
  out.subset = features;
  out.max_depth = 20;
  out.max_leaves = 100;
  out.max_rows = 400;
  out.grace = 50;
  out.log_inverse_delta = std::log(100.0f);
  out.tie = 0.05f;
  out.persistence = 6;
  return out;
}

/// Trains on uniform samples with labels from `rule`; returns the last prequential accuracy.
template <typename Rule>
double grow(HoeffdingTree& tree, const HoeffdingShape& s, int samples, const Rule& rule,
            Random& random) {
  HoeffdingTree::Scratch scratch{std::vector<float>(s.stride()), std::vector<float>(s.classes)};
  int hits = 0, asked = 0;
  std::vector<float> x(s.features);
  for (int i = 0; i < samples; ++i) {
    for (float& v : x) v = static_cast<float>(random.uniform());
    const ClassIndex y = rule(x);
    const auto guess = tree.guess(x, 1, {}, scratch);
    if (i >= samples / 2) {
      ++asked;
      hits += guess.said == y;
    }
    tree.train(guess, y, 1, scratch, random);
  }
  return static_cast<double>(hits) / asked;
}

TEST_CASE("A tree splits where the classes part and nowhere near where they do not") {
  Random random(3);
  const HoeffdingShape s = shape(3, 2);
  HoeffdingTree tree(s, random);
  const double accuracy = grow(
      tree, s, 4000, [](const std::vector<float>& x) { return x[1] > 0.5f ? 1 : 0; }, random);
  CHECK(accuracy > 0.95);
  CHECK(tree.leaves() >= 2);
  // Labels by chance: what gain there is, is chance; only the tie threshold lets a leaf split.
  HoeffdingShape strict = s;
  strict.tie = 0.001f;
  HoeffdingTree noise(strict, random);
  grow(
      noise, strict, 4000,
      [&](const std::vector<float>&) { return static_cast<ClassIndex>(random.below(2)); }, random);
  CHECK(noise.leaves() <= 2);
}

TEST_CASE("A checkerboard, which no single split helps with, is learnt by splits of splits") {
  Random random(4);
  const HoeffdingShape s = shape(2, 2);
  HoeffdingTree tree(s, random);
  const double accuracy = grow(
      tree, s, 20000,
      [](const std::vector<float>& x) { return (x[0] > 0.5f) != (x[1] > 0.5f) ? 1 : 0; }, random);
  CHECK(accuracy > 0.9);
}

TEST_CASE("A tree keeps to its bounds, and leaves without rows go on counting") {
  Random random(5);
  for (const auto& [leaves, rows, depth] :
       {std::tuple(5u, 400u, 20u), std::tuple(100u, 6u, 20u), std::tuple(100u, 400u, 2u)}) {
    HoeffdingShape s = shape(2, 4);
    s.max_leaves = leaves;
    s.max_rows = rows;
    s.max_depth = depth;
    HoeffdingTree tree(s, random);
    const auto rule = [](const std::vector<float>& x) {
      return static_cast<ClassIndex>((x[0] > 0.5f) + 2 * (x[1] > 0.5f));
    };
    const double accuracy = grow(tree, s, 6000, rule, random);
    CAPTURE(leaves, rows, depth);
    CHECK(tree.leaves() <= leaves);
    CHECK(tree.depth() <= depth);
    CHECK(accuracy > 0.7);
    if (rows == 6) CHECK(tree.active() < tree.leaves());
    std::vector<double> mass(4);
    tree.class_mass(mass);
    for (const double m : mass) CHECK(m > 0);
  }
}

TEST_CASE("Leaves answer with the latest class where labels come in runs, and not where they do not") {
  for (const bool runs : {true, false}) {
    Random random(6);
    HoeffdingShape s = shape(2, 2);
    s.max_leaves = 1;
    HoeffdingTree tree(s, random);
    int i = 0;
    const double accuracy = grow(
        tree, s, 4000,
        [&](const std::vector<float>&) {
          return runs ? (i++ / 50) % 2 : static_cast<ClassIndex>(random.uniform() < 0.7);
        },
        random);
    CAPTURE(runs, accuracy);
    if (runs) {
      CHECK(accuracy > 0.95);
    } else {
      CHECK(accuracy == Approx(0.7).margin(0.04));  // no-change would have 0.58
    }
  }
}

}  // namespace
}  // namespace p2p::learner::test

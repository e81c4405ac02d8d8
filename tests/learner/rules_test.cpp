// The update rules of the linear families: slopes against finite differences, steps against their
// formulas.
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <memory>

#include "learner/models/linear/gradient_rules.hpp"
#include "learner/models/linear/margin_rules.hpp"
#include "metadata/base/random.hpp"

namespace p2p::learner {
namespace {

using Loss = AdagradRule::Loss;

template <typename R, typename... Args>
std::shared_ptr<const Rule> make_rule(const std::map<std::string, double>& values, Args... args) {
  ModelSpec spec;
  spec.params = values;
  Params params(spec);
  auto rule = std::make_shared<const R>(params, args...);
  REQUIRE(params.check());
  return rule;
}

/// Every row seen ten times, with random weights.
Rows random_rows(std::uint64_t seed, std::uint32_t classes, std::size_t length,
                 std::size_t arrays) {
  Rows rows(classes, length, arrays);
  Random random(seed);
  std::vector<float> row(length);
  for (std::uint32_t c = 0; c < classes; ++c) {
    for (std::size_t array = 0; array < arrays; ++array) {
      for (float& v : row) {
        v = static_cast<float>(random.normal());
        if (array == 1) v = std::abs(v);
      }
      rows.put_row(array, c, row);
    }
    rows.set_evidence(c, 10);
  }
  return rows;
}

std::vector<float> row_of(const Rows& rows, std::size_t array, std::uint32_t c) {
  std::vector<float> out(rows.length());
  rows.get_row(array, c, out);
  return out;
}

/// An input without zeros: its list and its values are the same.
struct Input {
  Input(std::uint64_t seed, std::size_t length) {
    Random random(seed);
    for (std::size_t j = 0; j < length; ++j) {
      index.push_back(static_cast<std::uint32_t>(j));
      value.push_back(static_cast<float>(random.normal()));
    }
  }
  operator Sparse() const { return {index.data(), value.data(), index.size()}; }
  double squared() const {
    double sum = 0;
    for (const float v : value) sum += static_cast<double>(v) * static_cast<double>(v);
    return sum;
  }
  std::vector<std::uint32_t> index;
  std::vector<float> value;
};

std::vector<float> scores_of(const Rows& rows, const Sparse& z) {
  std::vector<float> out(rows.padded());
  rows.score(z, out);
  return out;
}

/// One training step, as LinearModel does it.
void learn(const Rule& rule, Rows& rows, const Sparse& z, ClassIndex y) {
  auto scores = scores_of(rows, z);
  std::vector<float> slope(rows.padded());
  rows.count(static_cast<std::uint32_t>(y), rule.decay());
  rule.slope(scores, y, slope);
  rule.step(rows, z, y, scores, slope);
}

TEST_CASE("The gradient of every loss agrees with finite differences") {
  const std::pair<const char*, std::shared_ptr<const Rule>> rules[] = {
      {"perceptron", make_rule<PerceptronRule>({})},
      {"pa", make_rule<PassiveAggressiveRule>({})},
      {"arow", make_rule<ArowRule>({})},
      {"softmax", make_rule<AdagradRule>({}, Loss::softmax, 0.1, 1.0)},
      {"logistic", make_rule<AdagradRule>({}, Loss::logistic, 0.1, 1.0)},
      {"hinge", make_rule<AdagradRule>({}, Loss::hinge, 0.1, 1.0)},
      {"ftrl", make_rule<FtrlRule>({})},
  };
  for (const auto& [name, rule] : rules) {
    int moved = 0;
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      const std::uint32_t classes = 2 + static_cast<std::uint32_t>(seed % 9);
      const std::size_t length = 3 + seed % 5;
      CAPTURE(name, seed, classes);
      auto rows = random_rows(seed, classes, length, rule->arrays());
      const Input z(seed + 100, length);
      const auto y = static_cast<ClassIndex>(seed % classes);
      std::vector<float> slope(rows.padded());
      rule->slope(scores_of(rows, z), y, slope);
      for (std::uint32_t c = 0; c < classes; ++c) {
        auto row = row_of(rows, 0, c);
        for (std::size_t j = 0; j < length; ++j) {
          // The loss is summed in double, the scores in float: h large against float's rounding.
          const float h = 1e-2f, kept = row[j];
          std::vector<float> there(rows.padded());
          bool kink = false;
          const auto loss_at = [&](float w) {
            row[j] = w;
            rows.put_row(0, c, row);
            rule->slope(scores_of(rows, z), y, there);
            for (std::size_t k = 0; k < there.size(); ++k)
              kink |= std::abs(there[k] - slope[k]) > 0.5f;
            return rule->loss(scores_of(rows, z), y);
          };
          const double above = loss_at(kept + h), below = loss_at(kept - h);
          loss_at(kept);
          if (kink) continue;  // no gradient to compare with
          const double expected = (above - below) / (2.0 * static_cast<double>(h));
          moved += std::abs(expected) > 0.1;
          CHECK(static_cast<double>(slope[c]) * static_cast<double>(z.value[j]) ==
                Approx(expected).margin(2e-3));
        }
      }
    }
    CHECK(moved > 20);
  }
}

TEST_CASE("Lanes beyond the last class have no slope, so their rows stay zero") {
  const std::shared_ptr<const Rule> rules[] = {
      make_rule<PerceptronRule>({}),
      make_rule<PassiveAggressiveRule>({}),
      make_rule<ArowRule>({}),
      make_rule<AdagradRule>({}, Loss::softmax, 0.1, 1.0),
      make_rule<AdagradRule>({}, Loss::logistic, 0.1, 1.0),
      make_rule<AdagradRule>({}, Loss::hinge, 0.1, 1.0),
      make_rule<FtrlRule>({}),
  };
  for (const auto& rule : rules) {
    for (const std::uint32_t classes : {3u, 6u, 11u, 17u}) {
      auto rows = random_rows(3, classes, 4, rule->arrays());
      const Input z(4, 4);
      for (const ClassIndex y : {0, 1, 2}) {
        std::vector<float> slope(rows.padded());
        const auto scores = scores_of(rows, z);
        CHECK(std::isfinite(rule->loss(scores, y)));
        rule->slope(scores, y, slope);
        for (std::size_t c = classes; c < rows.padded(); ++c) CHECK(std::abs(slope[c]) < 1e-30f);
        learn(*rule, rows, z, y);
      }
      rows.grow(classes + 1);
      for (std::size_t array = 0; array < rule->arrays(); ++array)
        CHECK(row_of(rows, array, classes) == std::vector<float>(4));
    }
  }
}

TEST_CASE("A perceptron moves the two rows of a mistake by the input, and none when it is right") {
  const auto rule = make_rule<PerceptronRule>({});
  const Input z(1, 5);
  auto rows = random_rows(2, 4, 5, 1);
  const auto scores = scores_of(rows, z);
  std::vector<std::size_t> order = {0, 1, 2, 3};
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return scores[a] > scores[b]; });
  auto right = rows;
  learn(*rule, right, z, static_cast<ClassIndex>(order[0]));
  for (std::uint32_t c = 0; c < 4; ++c) CHECK(row_of(right, 0, c) == row_of(rows, 0, c));
  auto wrong = rows;
  learn(*rule, wrong, z, static_cast<ClassIndex>(order[2]));
  for (std::size_t place = 0; place < 4; ++place) {
    const auto c = static_cast<std::uint32_t>(order[place]);
    const float sign = place == 0 ? -1.0f : place == 2 ? 1.0f : 0.0f;
    for (std::size_t j = 0; j < 5; ++j)
      CHECK(row_of(wrong, 0, c)[j] == row_of(rows, 0, c)[j] + sign * z.value[j]);
  }
}

TEST_CASE("A passive-aggressive step reaches the margin exactly, or goes as far as C lets it") {
  const Input z(5, 6);
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const auto before = random_rows(seed, 3, 6, 1);
    const auto scores = scores_of(before, z);
    const auto y = static_cast<ClassIndex>(seed % 3);
    const auto bold = make_rule<PassiveAggressiveRule>({{"C", 1000.0}});
    const double loss = bold->loss(scores, y);
    auto rows = before;
    learn(*bold, rows, z, y);
    if (loss == 0) {
      for (std::uint32_t c = 0; c < 3; ++c) CHECK(row_of(rows, 0, c) == row_of(before, 0, c));
      continue;
    }
    // The lead over the rival of before is now 1.
    std::vector<float> slope(rows.padded());
    bold->slope(scores, y, slope);
    const auto after = scores_of(rows, z);
    double lead = 0;
    for (std::size_t c = 0; c < 3; ++c)
      lead -= static_cast<double>(slope[c]) * static_cast<double>(after[c]);
    CHECK(lead == Approx(1).margin(1e-4));
    const auto shy = make_rule<PassiveAggressiveRule>({{"C", 1e-3}});
    rows = before;
    learn(*shy, rows, z, y);
    const double moved = std::min(1e-3, loss / (2 * z.squared()));
    for (std::size_t j = 0; j < 6; ++j)
      CHECK(static_cast<double>(row_of(rows, 0, static_cast<std::uint32_t>(y))[j]) ==
            Approx(static_cast<double>(row_of(before, 0, static_cast<std::uint32_t>(y))[j]) +
                   moved * static_cast<double>(z.value[j]))
                .margin(1e-6));
  }
}

TEST_CASE("One AdaGrad step is its formula") {
  for (const Loss loss : {Loss::softmax, Loss::logistic, Loss::hinge}) {
    for (const std::uint32_t classes : {3u, 7u, 20u}) {
      const auto rule = make_rule<AdagradRule>(
          {{"learning_rate", 0.3}, {"decay", 0.9}, {"floor", 1e-3}}, loss, 0.1, 1.0);
      const std::size_t length = 5;
      const auto before = random_rows(5, classes, length, 2);
      const Input z(7, length);
      std::vector<float> slope(before.padded());
      rule->slope(scores_of(before, z), 1, slope);
      auto rows = before;
      learn(*rule, rows, z, 1);
      for (std::uint32_t c = 0; c < classes; ++c) {
        const auto w0 = row_of(before, 0, c), g0 = row_of(before, 1, c), w1 = row_of(rows, 0, c),
                   g1 = row_of(rows, 1, c);
        const double r =
            std::abs(slope[c]) < AdagradRule::kResidual ? 0 : static_cast<double>(slope[c]);
        for (std::size_t j = 0; j < length; ++j) {
          const double gradient = r * static_cast<double>(z.value[j]);
          const double g = 0.9 * static_cast<double>(g0[j]) + gradient * gradient;
          CHECK(static_cast<double>(g1[j]) == Approx(g).epsilon(1e-5));
          // The root is a rough one.
          const double step = -0.3 * gradient / std::sqrt(g + 1e-3);
          CHECK(static_cast<double>(w1[j]) - static_cast<double>(w0[j]) ==
                Approx(step).epsilon(8e-4).margin(1e-6));
        }
      }
    }
  }
}

TEST_CASE("AdaGrad steps on one sample bring its loss down to nothing") {
  for (const Loss loss : {Loss::softmax, Loss::logistic, Loss::hinge}) {
    const auto rule = make_rule<AdagradRule>({}, loss, 0.1, 1.0);
    auto rows = random_rows(9, 5, 6, 2);
    const Input z(10, 6);
    const double first = rule->loss(scores_of(rows, z), 2);
    REQUIRE(first > 0.1);
    for (int i = 0; i < 600; ++i) learn(*rule, rows, z, 2);
    CHECK(rule->loss(scores_of(rows, z), 2) < 0.1);
    CHECK(rule->loss(scores_of(rows, z), 2) < first / 10);
  }
}

TEST_CASE("One AROW step is that of the paper, with the diagonal of the inverse kept") {
  const double r = 2.5;
  const auto rule = make_rule<ArowRule>({{"r", r}, {"decay", 1}});
  int steps = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    // 20 classes: the two rows may lie in different groups.
    const std::uint32_t classes = seed % 2 == 0 ? 3 : 20;
    const auto before = random_rows(seed, classes, 5, 2);
    const Input z(seed + 50, 5);
    const auto scores = scores_of(before, z);
    const auto y = static_cast<std::uint32_t>(seed % classes);
    std::uint32_t k = y == 0 ? 1 : 0;
    for (std::uint32_t c = 0; c < classes; ++c) {
      if (c != y && scores[c] > scores[k]) k = c;
    }
    auto rows = before;
    learn(*rule, rows, z, static_cast<ClassIndex>(y));
    const double lead = static_cast<double>(scores[y]) - static_cast<double>(scores[k]);
    double total = 0;
    for (const std::uint32_t c : {y, k}) {
      const auto p = row_of(before, 1, c);
      for (std::size_t j = 0; j < 5; ++j)
        total += std::pow(static_cast<double>(z.value[j]), 2) / (1 + static_cast<double>(p[j]));
    }
    const double a = std::max(0.0, 1 - lead) / (total + r);
    steps += a > 0;
    for (std::uint32_t c = 0; c < classes; ++c) {
      const double sign = c == y ? 1 : c == k ? -1 : 0;
      const auto w0 = row_of(before, 0, c), p0 = row_of(before, 1, c), w1 = row_of(rows, 0, c),
                 p1 = row_of(rows, 1, c);
      for (std::size_t j = 0; j < 5; ++j) {
        const double v = static_cast<double>(z.value[j]);
        CHECK(static_cast<double>(w1[j]) ==
              Approx(static_cast<double>(w0[j]) + sign * a * v / (1 + static_cast<double>(p0[j])))
                  .margin(1e-5));
        const double more = a > 0 && sign != 0 ? v * v / r : 0;
        CHECK(static_cast<double>(p1[j]) ==
              Approx(static_cast<double>(p0[j]) + more).epsilon(1e-5));
      }
    }
  }
  CHECK(steps > 5);
}

TEST_CASE("Two AROW rows blend as the product of what their samples say, the prior counted once") {
  const auto rule = make_rule<ArowRule>({});
  // Beliefs N(1, 1/4) and N(3, 1/2): precisions 3 and 1 above the prior's.
  std::vector<float> w = {1, 5}, p = {3, 0}, w2 = {3, 7}, p2 = {1, 0};
  rule->blend({w, p, 100}, {w2, p2, 100});
  CHECK(w[0] == Approx((4.0 * 1 + 2.0 * 3) / 5));
  CHECK(p[0] == Approx(4));
  // One that claims far more certainty per sample than the row here has is believed four times as
  // much at most.
  w = {1, 0}, p = {3, 1}, w2 = {-1, 0}, p2 = {3e9f, 1e9f};
  rule->blend({w, p, 50}, {w2, p2, 100});
  CHECK(p[0] == Approx(3 + 4 * 2 * 3.0));
  CHECK(w[0] > -0.8f);
}

TEST_CASE("FTRL follows algorithm 1 of the paper coordinate by coordinate") {
  const double alpha = 0.2, beta = 0.5, l1 = 0.3, l2 = 0.05;
  const auto rule = make_rule<FtrlRule>({{"alpha", alpha}, {"beta", beta}, {"l1", l1}, {"l2", l2}});
  const std::size_t length = 6;
  Rows rows(2, length, 3);
  rows.set_evidence(0, 1);
  rows.set_evidence(1, 1);
  std::vector<double> z(2 * length), n(2 * length);
  const auto weight = [&](std::size_t i) {
    if (std::abs(z[i]) <= l1) return 0.0;
    return -(z[i] - (z[i] > 0 ? l1 : -l1)) / ((beta + std::sqrt(n[i])) / alpha + l2);
  };
  int zero = 0;
  for (std::uint64_t t = 0; t < 300; ++t) {
    const Input x(t, length);
    const auto y = static_cast<ClassIndex>(x.value[0] + 0.3f * x.value[1] > 0 ? 1 : 0);
    learn(*rule, rows, x, y);
    for (std::size_t c = 0; c < 2; ++c) {
      double score = 0;
      for (std::size_t j = 0; j < length; ++j)
        score += weight(c * length + j) * static_cast<double>(x.value[j]);
      const double p = 1 / (1 + std::exp(-score)) - (static_cast<ClassIndex>(c) == y ? 1 : 0);
      if (std::abs(p) < static_cast<double>(AdagradRule::kResidual)) continue;
      for (std::size_t j = 0; j < length; ++j) {
        const std::size_t i = c * length + j;
        const double g = p * static_cast<double>(x.value[j]), w = weight(i);
        const double sigma = (std::sqrt(n[i] + g * g) - std::sqrt(n[i])) / alpha;
        z[i] += g - sigma * w;
        n[i] += g * g;
      }
    }
    for (std::uint32_t c = 0; c < 2; ++c) {
      const auto w = row_of(rows, 0, c), sums = row_of(rows, 1, c), extra = row_of(rows, 2, c);
      for (std::size_t j = 0; j < length; ++j) {
        zero += w[j] == 0;
        CHECK(static_cast<double>(w[j]) == Approx(weight(c * length + j)).margin(2e-3));
        CHECK(static_cast<double>(sums[j]) == Approx(n[c * length + j]).epsilon(1e-3));
        CHECK(static_cast<double>(extra[j]) == Approx(z[c * length + j]).margin(5e-3));
      }
    }
  }
  CHECK(zero > 10);  // l1 does hold some at zero
}

TEST_CASE("FTRL restores what a part does not carry") {
  const auto rule = make_rule<FtrlRule>({{"l1", 0.2}, {"l2", 0.1}});
  Rows rows(2, 5, 3);
  rows.set_evidence(0, 1);
  rows.set_evidence(1, 1);
  for (std::uint64_t t = 0; t < 50; ++t)
    learn(*rule, rows, Input(t, 5), static_cast<ClassIndex>(t % 2));
  const auto w = row_of(rows, 0, 1), kept = row_of(rows, 2, 1);
  rule->settle(rows, 1);
  const auto restored = row_of(rows, 2, 1);
  int compared = 0;
  for (std::size_t j = 0; j < 5; ++j) {
    if (w[j] == 0) {
      CHECK(restored[j] == 0);
    } else {
      CHECK(restored[j] == Approx(kept[j]).epsilon(1e-4));
      ++compared;
    }
  }
  CHECK(compared > 1);
}

}  // namespace
}  // namespace p2p::learner

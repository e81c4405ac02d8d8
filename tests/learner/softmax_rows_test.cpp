#include "learner/models/softmax_rows.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "metadata/base/random.hpp"

namespace p2p::learner {
namespace {

SoftmaxRows random_rows(std::uint64_t seed, std::uint32_t classes, std::size_t length) {
  SoftmaxRows rows(classes, length);
  Random random(seed);
  for (float& w : rows.weights) w = static_cast<float>(random.normal());
  return rows;
}

std::vector<float> random_input(std::uint64_t seed, std::size_t length) {
  Random random(seed);
  std::vector<float> z(length);
  for (float& v : z) v = static_cast<float>(random.normal());
  return z;
}

TEST_CASE("The gradient of the softmax loss agrees with finite differences") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const std::uint32_t classes = 2 + static_cast<std::uint32_t>(seed % 4);
    const std::size_t length = 3 + seed % 5;
    auto rows = random_rows(seed, classes, length);
    const auto z = random_input(seed + 100, length);
    const auto y = static_cast<ClassIndex>(seed % classes);
    std::vector<float> gradient(classes * length);
    rows.gradient(z, y, gradient);
    // The loss is summed in double, the scores in float: h large against float's rounding.
    const float h = 1e-2f;
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      const float kept = rows.weights[i];
      rows.weights[i] = kept + h;
      const double above = rows.loss(z, y);
      rows.weights[i] = kept - h;
      const double below = rows.loss(z, y);
      rows.weights[i] = kept;
      CHECK(static_cast<double>(gradient[i]) ==
            Approx((above - below) / (2.0 * static_cast<double>(h))).margin(2e-3));
    }
  }
}

TEST_CASE("One step is AdaGrad's formula") {
  const std::uint32_t classes = 3;
  const std::size_t length = 4;
  auto rows = random_rows(5, classes, length);
  Random random(6);
  for (float& g : rows.squares) g = static_cast<float>(random.uniform());
  const auto before = rows;
  const auto z = random_input(7, length);
  std::vector<float> p(classes), gradient(classes * length);
  rows.scores(z, p);
  REQUIRE(SoftmaxRows::softmax(p));
  rows.gradient(z, 1, gradient);
  rows.step(z, 1, p, {0.3f, 0.9f, 1e-3f});
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    const double g = 0.9 * static_cast<double>(before.squares[i]) +
                     std::pow(static_cast<double>(gradient[i]), 2);
    CHECK(static_cast<double>(rows.squares[i]) == Approx(g).epsilon(1e-5));
    const double w = static_cast<double>(before.weights[i]) -
                     0.3 * static_cast<double>(gradient[i]) / std::sqrt(g + 1e-3);
    CHECK(static_cast<double>(rows.weights[i]) == Approx(w).epsilon(1e-5).margin(1e-6));
  }
}

TEST_CASE("A row that is left alone catches up on its decay later") {
  SoftmaxRows rows(2, 1);
  rows.squares = {1.0f, 1.0f};
  rows.weights = {20.0f, -20.0f};
  const std::vector<float> z = {1.0f};
  std::vector<float> p(2);
  const SoftmaxRows::Step how{0.1f, 0.5f, 1e-6f};
  for (int i = 0; i < 3; ++i) {
    rows.scores(z, p);
    SoftmaxRows::softmax(p);
    rows.step(z, 0, p, how);  // sure and right: no residual
  }
  CHECK(rows.squares[0] == 1.0f);
  CHECK(rows.owed[0] == 0.125f);
  rows.scores(z, p);
  SoftmaxRows::softmax(p);
  rows.step(z, 1, p, how);  // sure and wrong: residual 1
  CHECK(rows.squares[0] == Approx(0.0625 + 1.0));
  CHECK(rows.owed[0] == 1.0f);
}

TEST_CASE("Steps on one sample bring its loss down to nothing") {
  auto rows = random_rows(9, 5, 6);
  const auto z = random_input(10, 6);
  const double last = rows.loss(z, 2);
  REQUIRE(last > 0.1);
  std::vector<float> p(5);
  for (int i = 0; i < 200; ++i) {
    rows.scores(z, p);
    SoftmaxRows::softmax(p);
    rows.step(z, 2, p, {0.1f, 1.0f, 1e-3f});
  }
  CHECK(rows.loss(z, 2) < 0.05);
  CHECK(rows.loss(z, 2) < last / 10);
}

TEST_CASE(
    "Softmax is a distribution even for scores that would overflow, and says when it cannot be") {
  std::vector<float> p = {1000.0f, 999.0f, -1000.0f};
  REQUIRE(SoftmaxRows::softmax(p));
  CHECK(p[0] + p[1] + p[2] == Approx(1.0));
  CHECK(p[0] == Approx(1 / (1 + std::exp(-1.0))));
  p = {0.0f, std::numeric_limits<float>::quiet_NaN()};
  CHECK_FALSE(SoftmaxRows::softmax(p));
  p = {0.0f, std::numeric_limits<float>::infinity()};
  CHECK_FALSE(SoftmaxRows::softmax(p));
}

TEST_CASE("Evidence of a class is its decayed number of samples") {
  SoftmaxRows rows(2, 1);
  const std::vector<float> z = {1.0f};
  std::vector<float> p = {0.5f, 0.5f};
  const SoftmaxRows::Step how{0.1f, 0.5f, 1e-3f};
  for (const ClassIndex y : {0, 0, 1}) rows.step(z, y, p, how);
  CHECK(rows.evidence[0] == Approx((1 * 0.5 + 1) * 0.5));
  CHECK(rows.evidence[1] == Approx(1));
}

}  // namespace
}  // namespace p2p::learner

#include "learner/fourier_basis.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <vector>

#include "metadata/base/random.hpp"

namespace p2p::learner {
namespace {

std::vector<float> point(Random& random, std::size_t features) {
  std::vector<float> x(features);
  for (float& v : x) v = static_cast<float>(random.uniform());
  return x;
}

TEST_CASE("Inner products of the features are the Gaussian kernel within the Monte Carlo error") {
  const std::uint32_t dimensions = 4096, features = 10;
  const double gamma = 1.5;
  const FourierBasis basis({7, features, dimensions, gamma});
  Random random(1);
  std::vector<float> a(dimensions), b(dimensions);
  double bias = 0, worst = 0;
  const int pairs = 200;
  for (int i = 0; i < pairs; ++i) {
    const auto x = point(random, features), y = point(random, features);
    basis.map(x, a);
    basis.map(y, b);
    double product = 0, distance = 0;
    for (std::size_t k = 0; k < dimensions; ++k)
      product += static_cast<double>(a[k]) * static_cast<double>(b[k]);
    for (std::size_t k = 0; k < features; ++k)
      distance += std::pow(static_cast<double>(x[k] - y[k]), 2);
    const double error = product - std::exp(-gamma * distance / 2);
    bias += error / pairs;
    worst = std::max(worst, std::abs(error));
  }
  // One product has standard deviation below 1 / sqrt(D) = 0.0156; all pairs share one basis.
  CHECK(std::abs(bias) < 0.03);
  CHECK(worst < 5.0 / std::sqrt(4096.0));
}

TEST_CASE("A smaller basis is a prefix of a larger one, up to the scale") {
  const std::uint32_t features = 9;
  const FourierBasis large({3, features, 200, 2.0});
  Random random(2);
  std::vector<float> all(200);
  for (const std::uint32_t dimensions : {1u, 7u, 64u, 199u}) {
    const FourierBasis small({3, features, dimensions, 2.0});
    std::vector<float> some(dimensions);
    for (int i = 0; i < 20; ++i) {
      auto x = point(random, features);
      x[static_cast<std::size_t>(i) % features] = 0;  // takes the shorter way through the columns
      large.map(x, all);
      small.map(x, some);
      const float scale = std::sqrt(200.0f / static_cast<float>(dimensions));
      for (std::size_t k = 0; k < dimensions; ++k)
        CHECK(some[k] == Approx(all[k] * scale).margin(2e-6));
    }
  }
}

TEST_CASE("The features are those of the formula, drawn row after row from the seed") {
  const std::uint32_t features = 3, dimensions = 5;
  const double gamma = 0.7;
  const FourierBasis basis({11, features, dimensions, gamma});
  const std::vector<float> x = {0.2f, 0.0f, -1.5f};
  std::vector<float> out(dimensions);
  basis.map(x, out);
  Random random(11);
  for (std::size_t row = 0; row < dimensions; ++row) {
    double angle = 0;
    for (std::size_t f = 0; f < features; ++f)
      angle += std::sqrt(gamma) * random.normal() * static_cast<double>(x[f]);
    angle += 2 * 3.14159265358979323846 * random.uniform();
    CHECK(out[row] == Approx(std::sqrt(2.0 / dimensions) * std::cos(angle)).margin(1e-6));
  }
}

TEST_CASE("One basis is shared while it is held and made again afterwards") {
  const FourierBasis::Options options{5, 4, 8, 1.0};
  auto first = FourierBasis::shared(options);
  CHECK(FourierBasis::shared(options) == first);
  CHECK(FourierBasis::shared({6, 4, 8, 1.0}) != first);
  CHECK(FourierBasis::shared({5, 4, 8, 1.5}) != first);
  const std::weak_ptr<const FourierBasis> watch = first;
  first.reset();
  CHECK(watch.expired());
  CHECK(FourierBasis::shared(options) != nullptr);
}

TEST_CASE("The bandwidth is two over the median squared distance") {
  // On a line at 0, 1, 3: squared distances 1, 4, 9.
  CHECK(median_bandwidth(std::vector<float>{0, 1, 3}, 1) == Approx(2.0 / 4.0));
  // 2 features: (0,0), (3,4): 25.
  CHECK(median_bandwidth(std::vector<float>{0, 0, 3, 4}, 2) == Approx(2.0 / 25.0));
  CHECK(median_bandwidth(std::vector<float>{1, 1, 1, 1}, 1) == 0);
  CHECK(median_bandwidth(std::vector<float>{}, 3) == 0);
  CHECK(median_bandwidth(std::vector<float>{1}, 1) == 0);
  // Duplicates do not make it infinite, and what is not finite does not make it NaN.
  const float inf = std::numeric_limits<float>::infinity();
  CHECK(median_bandwidth(std::vector<float>{1, 1, 1, 1, 3}, 1) == Approx(2.0 / 4.0));
  CHECK(median_bandwidth(std::vector<float>{1, 3, inf}, 1) == Approx(2.0 / 4.0));
}

TEST_CASE("The bandwidth of many samples is that of the distribution, whatever their order") {
  // Uniform in [0,1]^20: the squared distance is concentrated around 20/6.
  Random random(3);
  std::vector<float> samples;
  for (int i = 0; i < 5000; ++i) {
    const auto x = point(random, 20);
    samples.insert(samples.end(), x.begin(), x.end());
  }
  CHECK(median_bandwidth(samples, 20) == Approx(2.0 / (20.0 / 6.0)).epsilon(0.05));
}

}  // namespace
}  // namespace p2p::learner

// The inner loops of the linear families: right to the stated bounds, and the same bits at every
// width.
#include "learner/kernels/kernels.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <numbers>
#include <string>
#include <vector>

#include "metadata/base/random.hpp"

namespace p2p::learner {
namespace {

std::vector<float> normals(std::uint64_t seed, std::size_t count, double spread = 1) {
  Random random(seed);
  std::vector<float> out(count);
  for (float& v : out) v = static_cast<float>(spread * random.normal());
  return out;
}

std::vector<float> positives(std::uint64_t seed, std::size_t count, double spread = 1) {
  auto out = normals(seed, count, spread);
  for (float& v : out) v = std::abs(v);
  return out;
}

/// A list of `count` coordinates below `length`, with repeats when there are more than that.
struct List {
  List(std::uint64_t seed, std::size_t count, std::size_t length) : value(normals(seed, count)) {
    Random random(seed + 1);
    for (std::size_t i = 0; i < count; ++i)
      index.push_back(static_cast<std::uint32_t>(random.below(length)));
  }
  operator Sparse() const { return {index.data(), value.data(), index.size()}; }
  std::vector<std::uint32_t> index;
  std::vector<float> value;
};

TEST_CASE("Every width of vectors gives the same bits in every kernel") {
  REQUIRE_FALSE(all_kernels().empty());
  CHECK(&kernels() == all_kernels().back());
  const Kernels& first = *all_kernels().front();
  for (const Kernels* other : all_kernels()) {
    CAPTURE(std::string(other->name));
    for (const std::size_t lanes : {4u, 8u, 16u}) {
      for (const std::size_t count : {0u, 1u, 3u, 4u, 5u, 17u, 150u}) {
        CAPTURE(lanes, count);
        const std::size_t length = 200;
        const List z(count + 1, count, length);
        const auto w = normals(2, length * lanes), s = normals(3, length * lanes);
        const auto n = positives(4, length * lanes), step = normals(5, lanes);
        const auto gain = positives(6, lanes);
        // Runs on copies and returns all that was written.
        const auto run = [&](const Kernels& k) {
          std::vector<std::vector<float>> out;
          std::vector<float> a = w, b = n, c = s, sums(lanes);
          k.scores(w.data(), lanes, z, sums.data());
          out.push_back(sums);
          k.variance(n.data(), lanes, z, 0.7f, sums.data());
          out.push_back(sums);
          k.add(a.data(), lanes, z, step.data());
          out.push_back(a);
          k.adagrad(a.data(), b.data(), lanes, z, step.data(), 0.3f, 0.6f, 1e-3f);
          out.insert(out.end(), {a, b});
          k.arow(a.data(), b.data(), lanes, z, step.data(), gain.data(), 0.9f);
          out.insert(out.end(), {a, b});
          k.ftrl(a.data(), c.data(), b.data(), lanes, z, step.data(), {0.1f, 1, 0.01f, 0.02f});
          out.insert(out.end(), {a, b, c});
          return out;
        };
        CHECK(run(*other) == run(first));
      }
    }
    for (const std::size_t count : {0u, 1u, 40u}) {
      const List z(count + 9, count, 50);
      const auto tile = normals(7, 50 * Kernels::kTile);
      auto a = normals(8, Kernels::kTile), b = a;
      first.project(tile.data(), z, a.data());
      other->project(tile.data(), z, b.data());
      CHECK(a == b);
    }
    for (const std::size_t size : {0u, 1u, 15u, 16u, 33u}) {
      auto a = normals(9, size, 100), b = a;
      first.cosine(a.data(), size, 0.3f);
      other->cosine(b.data(), size, 0.3f);
      CHECK(a == b);
    }
    for (const std::size_t size : {0u, 1u, 15u, 16u, 17u, 784u}) {
      auto x = normals(10, size);
      for (std::size_t i = 0; i < size; i += 1 + i % 4) x[i] = 0;
      std::vector<std::uint32_t> i(size + 16), j(size + 16);
      std::vector<float> v(size + 16), u(size + 16);
      const std::size_t count = first.gather(x.data(), size, i.data(), v.data());
      REQUIRE(other->gather(x.data(), size, j.data(), u.data()) == count);
      for (std::size_t k = 0; k < count; ++k) {
        REQUIRE(i[k] == j[k]);
        REQUIRE(v[k] == u[k]);
      }
    }
  }
}

TEST_CASE("Gathering lists what is not zero in order, cuts it, and finds what is not finite") {
  for (const Kernels* k : all_kernels()) {
    CAPTURE(std::string(k->name));
    for (const std::size_t size : {1u, 5u, 16u, 37u}) {
      for (std::size_t at = 0; at < size; ++at) {
        std::vector<float> x(size);
        std::vector<std::uint32_t> index(size + 16);
        std::vector<float> value(size + 16);
        const auto gather = [&](float v) {
          x[at] = v;
          return k->gather(x.data(), size, index.data(), value.data());
        };
        CHECK(gather(0.0f) == 0);
        CHECK(gather(-0.0f) == 0);
        REQUIRE(gather(2.5f) == 1);
        CHECK(index[0] == at);
        CHECK(value[0] == 2.5f);
        REQUIRE(gather(3e38f) == 1);
        CHECK(value[0] == kMaxInput);
        REQUIRE(gather(-3e38f) == 1);
        CHECK(value[0] == -kMaxInput);
        CHECK(gather(std::numeric_limits<float>::denorm_min()) == 1);
        for (const float bad :
             {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
              -std::numeric_limits<float>::infinity()})
          CHECK(gather(bad) == Kernels::kNotFinite);
      }
    }
  }
}

TEST_CASE("Scores are inner products, and add moves every row along the input") {
  const std::size_t lanes = 8, length = 30;
  const List z(1, 21, length);
  auto w = normals(2, length * lanes);
  const auto step = normals(3, lanes);
  std::vector<float> out(lanes);
  kernels().scores(w.data(), lanes, z, out.data());
  for (std::size_t c = 0; c < lanes; ++c) {
    double sum = 0;
    for (std::size_t i = 0; i < 21; ++i)
      sum += static_cast<double>(z.value[i]) * static_cast<double>(w[z.index[i] * lanes + c]);
    CHECK(static_cast<double>(out[c]) == Approx(sum).margin(1e-5));
  }
  std::vector<double> expected(w.begin(), w.end());
  for (std::size_t i = 0; i < 21; ++i) {
    for (std::size_t c = 0; c < lanes; ++c)
      expected[z.index[i] * lanes + c] +=
          static_cast<double>(step[c]) * static_cast<double>(z.value[i]);
  }
  kernels().add(w.data(), lanes, z, step.data());
  for (std::size_t i = 0; i < w.size(); ++i)
    CHECK(static_cast<double>(w[i]) == Approx(expected[i]).margin(1e-5));
}

TEST_CASE("The roots and quotients of the steps keep their bound over all magnitudes") {
  const std::uint32_t zero = 0;
  const float one = 1;
  const Sparse z{&zero, &one, 1};
  std::vector<float> r(4, 1e-10f), out(4);
  double worst_root = 0, worst_quotient = 0;
  for (double order = -36; order < 36; order += 0.0101) {
    const auto x = static_cast<float>(std::exp2(order));
    // w -= rate r / sqrt(x), with a sum that r^2 does not change.
    std::vector<float> w(4), g(4);
    kernels().adagrad(w.data(), g.data(), 4, z, r.data(), 1e10f, 1.0f, x);
    worst_root = std::max(
        worst_root, std::abs(-static_cast<double>(w[0]) * std::sqrt(static_cast<double>(x)) - 1));
    // The variance at precision 1 + x.
    std::vector<float> p(4, x);
    kernels().variance(p.data(), 4, z, 1.0f, out.data());
    worst_quotient = std::max(
        worst_quotient, std::abs(static_cast<double>(out[0]) * static_cast<double>(x + 1.0f) - 1));
  }
  CHECK(worst_root < 7e-4);
  CHECK(worst_quotient < 1e-6);
}

TEST_CASE("Cosines of turns are within their bound, and bounded for absurd angles") {
  std::vector<float> turns;
  for (int i = -40000; i <= 40000; ++i) turns.push_back(static_cast<float>(i) * 1e-4f);
  auto out = turns;
  kernels().cosine(out.data(), out.size(), 1.0f);
  double worst = 0;
  for (std::size_t i = 0; i < turns.size(); ++i) {
    const double exact = std::cos(2 * std::numbers::pi * static_cast<double>(turns[i]));
    worst = std::max(worst, std::abs(static_cast<double>(out[i]) - exact));
  }
  // The angle is exact here, so all of the error is the polynomial's.
  CHECK(worst < 5e-7);
  for (const float absurd : {1e5f, 4194303.7f, 4194304.0f, 1e9f, 1e30f, 3e38f}) {
    for (float v : {absurd, -absurd}) {
      kernels().cosine(&v, 1, 0.5f);
      CHECK(std::abs(v) <= 0.5f * (1 + 1e-6f));
    }
  }
}

TEST_CASE("The exponential of what is not positive is within its bound") {
  double worst = 0;
  for (double x = -86.9; x <= 0; x += 0.00037) {
    const double exact = std::exp(static_cast<double>(static_cast<float>(x)));
    const double got = static_cast<double>(exp_of_negative(static_cast<float>(x)));
    worst = std::max(worst, std::abs(got / exact - 1));
  }
  CHECK(worst < 3e-7);
  CHECK(exp_of_negative(0) == 1);
  for (const float far : {-87.0f, -1e4f, -1e30f, -std::numeric_limits<float>::infinity()}) {
    CHECK(exp_of_negative(far) > 0);
    CHECK(exp_of_negative(far) < 1e-37f);
  }
}

}  // namespace
}  // namespace p2p::learner

#include "metadata/similarity.hpp"

#include <catch2/catch.hpp>
#include <cmath>

#include "tests/metadata/examples.hpp"

using p2p::Random;
using namespace p2p::metadata;
using namespace p2p::metadata::testing;

namespace {

std::vector<double> uniform(std::size_t classes) {
  return std::vector<double>(classes, 1.0 / static_cast<double>(classes));
}

}  // namespace

TEST_CASE("a fingerprint is at distance 0 from itself, and distances do not depend on the order") {
  const World world({});
  Random random(1);
  const auto a = world.fingerprint(random, dirichlet(random, 10, 0.3), 0, 100);
  const auto b = world.fingerprint(random, dirichlet(random, 10, 0.3), 5, 100);
  CHECK(joint_distance(a, a) == 0);
  CHECK(marginal_distance(a, a) == 0);
  CHECK(prior_divergence(a, a) == 0);
  CHECK(joint_distance(a, b) == joint_distance(b, a));
  CHECK(marginal_distance(a, b) == Approx(marginal_distance(b, a)));
  CHECK(prior_divergence(a, b) == Approx(prior_divergence(b, a)));
}

TEST_CASE("distances agree with their definitions on numbers done by hand") {
  Fingerprint a = example_fingerprint(), b = example_fingerprint();
  b.joint = {0, -64, 10, 0, -127, 1};
  b.scale = {0.005f, 0.01f, 0.0025f};
  b.count = {150.f, 50.f, 50.f};
  // a - b: column 0 differs by (127 * 0.005, 0), column 1 by (-10 * 0.01, 0).
  CHECK(joint_distance(a, b) == Approx(std::sqrt(0.635 * 0.635 + 0.1 * 0.1)));
  CHECK(marginal_distance(a, b) == Approx(0.635 - 0.1));
  // Class 0: conditional means M / prior with priors 150/200 and 150/250.
  const double x = 0.635 / 0.75, y = -0.32 / 0.75 + 0.32 / 0.6;
  CHECK(class_distance(a, b, 0) == Approx(std::sqrt(x * x + y * y)));
  CHECK(class_distance(a, b, 1) == std::numeric_limits<double>::infinity());
}

TEST_CASE("the joint distance obeys the triangle inequality") {
  const auto seed = test_seed();
  P2P_SHOW_SEED(seed);
  Random random(seed);
  const World world({});
  for (int i = 0; i < 200; ++i) {
    const auto make = [&] { return world.fingerprint(random, dirichlet(random, 10, 0.5), random.below(3), 40); };
    const auto a = make(), b = make(), c = make();
    REQUIRE(joint_distance(a, c) <= joint_distance(a, b) + joint_distance(b, c) + 1e-9);
    REQUIRE(joint_distance(a, c) <= 1.6);  // sqrt(2), and what 32 random features add to it
  }
}

TEST_CASE("Jensen-Shannon is Lin's: 0 for equal, 1 bit for disjoint, and known in between") {
  const auto js = [](std::vector<double> p, std::vector<double> q) { return jensen_shannon(p, q); };
  CHECK(js({1, 3}, {2, 6}) == Approx(0).margin(1e-12));  // not normalised
  CHECK(js({1, 0}, {0, 1}) == Approx(1));
  CHECK(js({1, 0}, {1, 1}) == Approx(0.31127812445913283));
  CHECK(js({0, 0}, {0, 0}) == 0);
  CHECK(js({0, 0}, {0, 2}) == 1);
  CHECK(js({}, {}) == 0);
  const auto seed = test_seed();
  P2P_SHOW_SEED(seed);
  Random random(seed);
  for (int i = 0; i < 500; ++i) {
    const auto p = dirichlet(random, 6, 0.2), q = dirichlet(random, 6, 0.2), r = dirichlet(random, 6, 0.2);
    REQUIRE(js(p, q) >= 0);
    REQUIRE(js(p, q) <= 1);
    // Its square root is a metric (Endres, Schindelin 2003).
    REQUIRE(std::sqrt(js(p, r)) <= std::sqrt(js(p, q)) + std::sqrt(js(q, r)) + 1e-9);
  }
}

TEST_CASE("two samples of one distribution are near, of a rotated one far, though the priors are the same") {
  // 500 samples each, 20 worlds. The biased estimate of equal distributions is about sqrt(2/n) = 0.063 with
  // unit-norm features; rotation is a change of P(x|y) that priors cannot see.
  double equal_worst = 0, rotated_best = 10, equal_mean = 0, prior_worst = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const World world({.seed = seed});
    Random random(seed * 1000);
    const auto a = world.fingerprint(random, uniform(10), 0, 500);
    const auto b = world.fingerprint(random, uniform(10), 0, 500);
    const auto rotated = world.fingerprint(random, uniform(10), 5, 500);
    equal_worst = std::max(equal_worst, joint_distance(a, b));
    equal_mean += joint_distance(a, b) / 20;
    rotated_best = std::min(rotated_best, joint_distance(a, rotated));
    prior_worst = std::max(prior_worst, prior_divergence(a, rotated));
  }
  INFO("equal: mean " << equal_mean << ", worst " << equal_worst << "; rotated: best " << rotated_best);
  CHECK(equal_mean < 0.08);
  CHECK(equal_worst < 0.1);
  CHECK(rotated_best > 0.15);
  CHECK(prior_worst < 0.05);
}

TEST_CASE("the distance between two samples of one distribution falls with the square root of their size") {
  double small = 0, large = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const World world({.seed = seed});
    Random random(seed * 77);
    const auto distance = [&](std::size_t n) {
      const auto a = world.fingerprint(random, uniform(10), 0, n);
      return joint_distance(a, world.fingerprint(random, uniform(10), 0, n));
    };
    small += distance(100);
    large += distance(1600);
  }
  CHECK(small / large == Approx(4).margin(0.6));
}

TEST_CASE("quantisation changes a distance by no more than both quantisation errors together") {
  const auto seed = test_seed();
  P2P_SHOW_SEED(seed);
  Random random(seed);
  const World world({});
  struct Exact {
    std::vector<double> sum = std::vector<double>(320, 0.0);
    Fingerprint quantised;
    double bound() const {  // half a step in every coordinate
      double squares = 0;
      for (const double step : quantised.scale) squares += 32 * step * step / 4;
      return std::sqrt(squares);
    }
  };
  const auto make = [&] {
    Exact out;
    FingerprintBuilder b({.dimensions = 32, .classes = 10, .half_life = 0});
    const auto shares = dirichlet(random, 10, 0.5);
    const auto rotation = random.below(4);
    for (int i = 0; i < 200; ++i) {
      const auto c = draw(random, shares);
      const auto phi = world.sample(random, c, rotation);
      b.add(phi, static_cast<std::int32_t>(c), true);
      for (std::size_t d = 0; d < 32; ++d) out.sum[c * 32 + d] += phi[d] / 200.0;
    }
    out.quantised = b.build();
    return out;
  };
  for (int round = 0; round < 50; ++round) {
    const Exact a = make(), b = make();
    double exact = 0;
    for (std::size_t i = 0; i < a.sum.size(); ++i) exact += std::pow(a.sum[i] - b.sum[i], 2);
    exact = std::sqrt(exact);
    const double bound = a.bound() + b.bound();
    REQUIRE(std::abs(joint_distance(a.quantised, b.quantised) - exact) <= bound + 1e-6);
    REQUIRE(bound < 0.03);
  }
}

TEST_CASE("a change of one class moves that class's distance and no other's") {
  const World world({});
  Random random(6);
  const auto mix = [&](std::size_t turned, std::size_t rotation) {
    FingerprintBuilder b({.dimensions = 32, .classes = 10, .half_life = 0});
    for (int i = 0; i < 2000; ++i) {
      const std::size_t c = static_cast<std::size_t>(i) % 10;
      b.add(world.sample(random, c, c == turned ? rotation : 0), static_cast<std::int32_t>(c), true);
    }
    return b.build();
  };
  const auto before = mix(3, 0), after = mix(3, 7);
  for (std::size_t c = 0; c < 10; ++c) {
    INFO(c);
    if (c == 3) {
      CHECK(class_distance(before, after, c) > 0.4);
    } else {
      CHECK(class_distance(before, after, c) < 0.2);
    }
  }
}

TEST_CASE("the class distance does not depend on how often the class comes") {
  const World world({});
  Random random(7);
  std::vector<double> rare(10, 0.98 / 9), often(10, 0.2 / 9);
  rare[0] = 0.02;
  often[0] = 0.8;
  const auto a = world.fingerprint(random, rare, 0, 20000), b = world.fingerprint(random, often, 0, 20000);
  CHECK(class_distance(a, b, 0) < 0.08);
  CHECK(joint_distance(a, b) > 0.5);
}

TEST_CASE("a need is nearest to whoever knows its classes as it sees them") {
  const World world({});
  Random random(8);
  std::vector<double> some(10, 0.0);
  some[2] = some[3] = 0.5;
  const Need need{world.fingerprint(random, some, 4, 300), {2, 3}};
  const auto expert = world.fingerprint(random, uniform(10), 4, 2000);
  const auto other_concept = world.fingerprint(random, uniform(10), 0, 2000);
  std::vector<double> half = some;
  half[3] = 0;
  const auto knows_half = world.fingerprint(random, half, 4, 300);
  CHECK(need_distance(need, expert) < 0.3);
  CHECK(need_distance(need, expert) < need_distance(need, other_concept));
  CHECK(need_distance(need, expert) < need_distance(need, knows_half));
  // One class matches, the other is unseen there: about the mean of near 0 and 2.
  CHECK(need_distance(need, knows_half) == Approx(1).margin(0.2));
}

TEST_CASE("a class that the asker has not seen yet favours those who have") {
  const World world({});
  Random random(9);
  std::vector<double> without(10, 1.0 / 9);
  without[5] = 0;
  const Need need{world.fingerprint(random, without, 0, 300), {5}};
  const auto has = world.fingerprint(random, uniform(10), 0, 300);
  const auto has_not = world.fingerprint(random, without, 0, 300);
  CHECK(need_distance(need, has) == 1);
  CHECK(need_distance(need, has_not) == 2);
}

TEST_CASE("more is expected of whoever has seen the needed classes among others than of whoever has seen few of them") {
  const World world({});
  Random random(12);
  std::vector<double> some(10, 0.0), half(10, 0.0);
  some[2] = some[3] = 0.5;
  half[2] = 1;
  const Need need{world.fingerprint(random, some, 4, 100), {}};
  const auto broad = world.fingerprint(random, uniform(10), 4, 500);
  const auto same = world.fingerprint(random, some, 4, 500);
  const auto few = world.fingerprint(random, some, 4, 4);
  const auto knows_half = world.fingerprint(random, half, 4, 500);
  const auto other_concept = world.fingerprint(random, some, 0, 500);
  CHECK(expected_accuracy(need, broad) > expected_accuracy(need, knows_half));
  CHECK(expected_accuracy(need, same) > expected_accuracy(need, few));
  CHECK(expected_accuracy(need, same) > 2 * expected_accuracy(need, other_concept));
  for (const auto* f : {&broad, &same, &few, &knows_half, &other_concept}) {
    CHECK(expected_accuracy(need, *f) >= 0);
    CHECK(expected_accuracy(need, *f) <= 1);
  }
}

TEST_CASE("what is expected falls with the claimed recall, and is nothing where no needed class was seen") {
  const World world({});
  Random random(13);
  const Need need{world.fingerprint(random, uniform(10), 0, 200), {4}};
  auto other = world.fingerprint(random, uniform(10), 0, 500);
  const double before = expected_accuracy(need, other);
  other.accuracy[4] /= 4;
  CHECK(expected_accuracy(need, other) == Approx(before / 2));
  other.count[4] = 0;
  CHECK(expected_accuracy(need, other) == 0);
  CHECK(expected_accuracy({need.experience, {-1, 10, 1000}}, other) == 0);
  const Fingerprint empty = FingerprintBuilder({.dimensions = 32, .classes = 10}).build();
  CHECK(expected_accuracy({empty, {}}, other) == 0);
  CHECK(expected_accuracy({empty, {5}}, other) > 0);
  other.count[5] = 1e-38f;  // as a hostile peer might say
  CHECK(std::isfinite(expected_accuracy({need.experience, {5}}, other)));
}

TEST_CASE("a need without classes asks for all that it has seen, and indices out of range are skipped") {
  const World world({});
  Random random(10);
  const auto experience = world.fingerprint(random, uniform(10), 0, 300);
  const auto other = world.fingerprint(random, uniform(10), 0, 300);
  std::vector<std::int32_t> all;
  for (std::int32_t c = 0; c < 10; ++c) all.push_back(c);
  CHECK(need_distance({experience, {}}, other) == Approx(need_distance({experience, all}, other)));
  CHECK(need_distance({experience, {-1, 10, 1000}}, other) == 2);
  Fingerprint empty = FingerprintBuilder({.dimensions = 32, .classes = 10}).build();
  CHECK(need_distance({empty, {}}, other) == 2);
}

TEST_CASE("the plain distance of a need is marginal where labels are not known yet, and else joint") {
  const World world({});
  Random random(11);
  const auto mine = world.fingerprint(random, dirichlet(random, 10, 0.3), 0, 100);
  const auto other = world.fingerprint(random, dirichlet(random, 10, 0.3), 5, 100);
  REQUIRE(joint_distance(mine, other) != marginal_distance(mine, other));
  CHECK(plain_distance({mine, {}, By::joint}, other) == joint_distance(mine, other));
  CHECK(plain_distance({mine, {1}, By::marginal}, other) == marginal_distance(mine, other));
  CHECK(plain_distance({mine, {1}, By::classes}, other) == joint_distance(mine, other));
  CHECK(plain_distance({mine, {}}, other) == joint_distance(mine, other));
}

TEST_CASE("the marginal distance does not see how inputs are labelled, the joint one does") {
  const World world({});
  Random random(12);
  FingerprintBuilder named({.dimensions = 32, .classes = 10, .half_life = 0}), renamed = named;
  for (int i = 0; i < 1000; ++i) {
    const std::size_t c = random.below(10);
    const auto phi = world.sample(random, c, 0);
    named.add(phi, static_cast<std::int32_t>(c), true);
    renamed.add(phi, static_cast<std::int32_t>((c + 3) % 10), true);
  }
  CHECK(marginal_distance(named.build(), renamed.build()) < 0.02);
  CHECK(joint_distance(named.build(), renamed.build()) > 0.2);
}

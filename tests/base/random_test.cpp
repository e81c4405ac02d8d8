#include "metadata/base/random.hpp"

#include <catch2/catch.hpp>
#include <vector>

using p2p::Random;

TEST_CASE("the generator is SplitMix64: the published first values for seed 1234567") {
  Random random(1234567);
  CHECK(random.next() == 6457827717110365317ull);
  CHECK(random.next() == 3203168211198807973ull);
  CHECK(random.next() == 9817491932198370423ull);
}

TEST_CASE("a generator made from a state goes on where the other stands") {
  Random a(5);
  for (int i = 0; i < 100; ++i) a.normal();
  Random b(a.state());
  for (int i = 0; i < 100; ++i) REQUIRE(a.next() == b.next());
}

TEST_CASE("forks of one generator by different keys do not repeat each other") {
  const Random root(5);
  Random a = root.fork(1), b = root.fork(2), c = root.fork(1);
  int same = 0;
  for (int i = 0; i < 1000; ++i) {
    const auto x = a.next();
    REQUIRE(x == c.next());
    same += x == b.next();
  }
  CHECK(same == 0);
}

TEST_CASE("uniform numbers lie in [0, 1) with the mean and variance of their distribution") {
  Random random(3);
  const int n = 200000;
  double sum = 0, squares = 0;
  for (int i = 0; i < n; ++i) {
    const double u = random.uniform();
    REQUIRE(u >= 0);
    REQUIRE(u < 1);
    sum += u;
    squares += u * u;
  }
  // Four standard errors of the mean are 0.0026.
  CHECK(sum / n == Approx(0.5).margin(0.0026));
  CHECK(squares / n - (sum / n) * (sum / n) == Approx(1.0 / 12).margin(0.001));
}

TEST_CASE("below stays under its bound and hits every value about equally often") {
  Random random(4);
  std::vector<int> hits(7);
  for (int i = 0; i < 70000; ++i) ++hits.at(random.below(7));
  for (const int h : hits) CHECK(h == Approx(10000).margin(400));  // four standard deviations: 370
  CHECK(random.below(1) == 0);
}

TEST_CASE("normal numbers have mean 0, variance 1, and the tails of a normal distribution") {
  Random random(8);
  const int n = 200000;
  double sum = 0, squares = 0;
  int beyond_two = 0;
  for (int i = 0; i < n; ++i) {
    const double x = random.normal();
    REQUIRE(std::isfinite(x));
    sum += x;
    squares += x * x;
    beyond_two += std::abs(x) > 2;
  }
  CHECK(sum / n == Approx(0).margin(0.009));
  CHECK(squares / n == Approx(1).margin(0.013));
  CHECK(beyond_two / double(n) == Approx(0.0455).margin(0.002));
}

TEST_CASE("Poisson numbers have equal mean and variance") {
  Random random(9);
  const int n = 100000;
  double sum = 0, squares = 0;
  for (int i = 0; i < n; ++i) {
    const double k = random.poisson(1);
    sum += k;
    squares += k * k;
  }
  const double mean = sum / n;
  CHECK(mean == Approx(1).margin(0.013));
  CHECK(squares / n - mean * mean == Approx(1).margin(0.025));
}

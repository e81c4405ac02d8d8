#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <deque>

#include "learner/drift/adwin.hpp"
#include "learner/drift/threshold_test.hpp"
#include "metadata/base/random.hpp"

namespace p2p::learner {
namespace {

std::size_t alarms(DriftDetector& detector, Random& random, double rate, int samples) {
  std::size_t n = 0;
  for (int i = 0; i < samples; ++i)
    n += detector.update(random.uniform() < rate) == DriftLevel::drift;
  return n;
}

/// Samples to the first alarm, 0 when there is none within `most`.
std::size_t delay(DriftDetector& detector, Random& random, double rate, std::size_t most) {
  for (std::size_t i = 1; i <= most; ++i) {
    if (detector.update(random.uniform() < rate) == DriftLevel::drift) return i;
  }
  return 0;
}

TEST_CASE("ADWIN raises no alarm in a million stable samples") {
  const double rate = GENERATE(0.05, 0.1, 0.25);
  Adwin adwin;
  Random random(static_cast<std::uint64_t>(1000 * rate));
  CHECK(alarms(adwin, random, rate, 1000000) == 0);
  CHECK(adwin.mean() == Approx(rate).margin(0.01));
  CHECK(adwin.width() > 100000);
}

TEST_CASE("ADWIN finds a rise of the error within the promised number of samples") {
  const auto [after, bound] = GENERATE(std::pair{0.3, 130.0}, std::pair{0.5, 60.0});
  double sum = 0;
  const int seeds = 60;
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    Adwin adwin;
    Random random(seed);
    REQUIRE(alarms(adwin, random, 0.1, 10000) == 0);
    const std::size_t d = delay(adwin, random, after, 2000);
    REQUIRE(d > 0);
    sum += static_cast<double>(d);
    // The window has shrunk to about what follows the change.
    CHECK(adwin.width() <= d + 250);
    CHECK(adwin.mean() > 0.2);
  }
  CAPTURE(after);
  CHECK(sum / seeds <= bound);
}

TEST_CASE("ADWIN alarms once for one change") {
  int more = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    Adwin adwin;
    Random random(seed);
    alarms(adwin, random, 0.1, 5000);
    more += alarms(adwin, random, 0.4, 5000) != 1;
  }
  CHECK(more <= 2);
}

TEST_CASE("ADWIN shrinks after an improvement and says nothing") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Adwin adwin;
    Random random(seed);
    CHECK(alarms(adwin, random, 0.5, 2000) == 0);
    CHECK(alarms(adwin, random, 0.1, 2000) == 0);
    CHECK(adwin.width() <= 2600);
    CHECK(adwin.mean() < 0.17);
  }
}

TEST_CASE("ADWIN's histogram keeps the exact mean and variance while nothing is dropped") {
  Adwin adwin;
  Random random(4);
  double sum = 0, squares = 0;
  int n = 0;
  for (int i = 1; i <= 5000; ++i) {
    const double value = 0.4 + 0.2 * random.uniform();
    sum += value;
    squares += value * value;
    ++n;
    adwin.update(value);
    REQUIRE(adwin.width() == static_cast<std::size_t>(n));
  }
  CHECK(adwin.mean() == Approx(sum / n));
  CHECK(adwin.variance() == Approx(squares / n - std::pow(sum / n, 2)).epsilon(1e-6));
}

TEST_CASE("ADWIN's window after a cut holds the latest values and no others") {
  Adwin adwin;
  Random random(5);
  std::deque<double> latest;
  bool cut = false;
  for (int i = 0; i < 4000; ++i) {
    const double value = i < 2000 ? 0.1 * random.uniform() : 0.9 + 0.1 * random.uniform();
    latest.push_front(value);
    cut = adwin.update(value) == DriftLevel::drift || cut;
    double sum = 0, squares = 0;
    for (std::size_t k = 0; k < adwin.width(); ++k) {
      sum += latest[k];
      squares += latest[k] * latest[k];
    }
    const double n = static_cast<double>(adwin.width());
    REQUIRE(adwin.mean() == Approx(sum / n).epsilon(1e-9));
    REQUIRE(adwin.variance() == Approx(squares / n - sum / n * sum / n).epsilon(1e-6).margin(1e-9));
  }
  CHECK(cut);
  CHECK(adwin.mean() > 0.9);
}

TEST_CASE("ADWIN warns before it alarms, in most changes that are not abrupt") {
  int warned = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    Adwin adwin;
    Random random(seed);
    alarms(adwin, random, 0.1, 3000);
    bool warning = false;
    for (int i = 0; i < 3000; ++i) {
      const DriftLevel level =
          adwin.update(random.uniform() < 0.1 + 0.3 * std::min(1.0, i / 1000.0));
      warning = warning || level == DriftLevel::warning;
      if (level == DriftLevel::drift) break;
    }
    warned += warning;
  }
  CHECK(warned >= 32);
}

TEST_CASE("A detector's clone goes on as the original would, and reset forgets everything") {
  Adwin adwin;
  ThresholdTest threshold({.batch = 20, .stride = 5});
  for (DriftDetector* detector : std::initializer_list<DriftDetector*>{&adwin, &threshold}) {
    Random random(6);
    alarms(*detector, random, 0.2, 777);
    auto copy = detector->clone();
    Random fork = random;
    for (int i = 0; i < 1000; ++i) {
      const double rate = i < 500 ? 0.2 : 0.8;
      REQUIRE(detector->update(random.uniform() < rate) == copy->update(fork.uniform() < rate));
      REQUIRE(detector->width() == copy->width());
    }
    detector->reset();
    CHECK(detector->width() == 0);
    CHECK(detector->mean() == 0);
  }
}

TEST_CASE(
    "ADWIN decoded at any point goes on bit-identically, and cut off at any byte it is refused") {
  Adwin adwin;
  Random random(31);
  for (int i = 0; i < 3000; ++i) {
    adwin.update(random.uniform() < (i < 2000 ? 0.1 : 0.4));
    if (i % 97 != 0) continue;
    ByteWriter out;
    adwin.encode(out);
    Adwin copy;
    ByteReader in(out.bytes());
    REQUIRE(copy.decode(in));
    REQUIRE(in.at_end());
    Adwin original = adwin;
    Random fork = random;
    for (int k = 0; k < 300; ++k) {
      const double value = fork.uniform() < 0.3;
      REQUIRE(copy.update(value) == original.update(value));
      REQUIRE(copy.width() == original.width());
      REQUIRE(copy.mean() == original.mean());
    }
    for (std::size_t size = 0; size < out.bytes().size(); ++size) {
      ByteReader torn(ByteView(out.bytes()).first(size));
      CHECK_FALSE(Adwin().decode(torn));
    }
  }
}

TEST_CASE("The beta-binomial tail is the sum of its probabilities") {
  CHECK(beta_binomial_tail(10, 0, 1, 1) == 1);
  CHECK(beta_binomial_tail(10, 11, 1, 1) == 0);
  // A uniform prior makes every count equally likely: P(X >= k) = (n + 1 - k) / (n + 1).
  for (std::uint32_t k = 1; k <= 10; ++k)
    CHECK(beta_binomial_tail(10, k, 1, 1) == Approx((11.0 - k) / 11));
  // A very sure prior makes it binomial: P(Bin(5, 0.2) >= 4) = 5 0.2^4 0.8 + 0.2^5.
  CHECK(beta_binomial_tail(5, 4, 2e6, 8e6) == Approx(5 * 0.0016 * 0.8 + 0.00032).epsilon(1e-4));
}

TEST_CASE(
    "The threshold test at chance 1 is the paper's: the batch's error against the window's plus "
    "L") {
  ThresholdTest test({.batch = 10,
                      .stride = 10,
                      .reference_batches = 5,
                      .minimum_batches = 3,
                      .permitted_loss = 0.3});
  const auto batch = [&](int errors) {
    DriftLevel level = DriftLevel::stable;
    for (int i = 0; i < 10; ++i) level = test.update(i < errors ? 1 : 0);
    return level;
  };
  CHECK(batch(9) == DriftLevel::stable);  // no reference yet
  CHECK(batch(1) == DriftLevel::stable);
  CHECK(batch(2) == DriftLevel::stable);
  // Window (9 + 1 + 2) / 30 = 0.4: 0.7 is not more than 0.4 + 0.3, 0.8 is.
  CHECK(batch(7) != DriftLevel::drift);
  // Window (9 + 1 + 2 + 7) / 40 = 0.475.
  CHECK(batch(8) == DriftLevel::drift);
  CHECK(test.width() == 10);
  CHECK(test.mean() == Approx(0.8));
  // It starts anew: three batches are needed before it speaks again.
  CHECK(batch(0) == DriftLevel::stable);
  CHECK(batch(0) == DriftLevel::stable);
  CHECK(batch(10) == DriftLevel::stable);
  CHECK(batch(10) == DriftLevel::drift);
}

TEST_CASE("The reference is a window: old batches leave it") {
  ThresholdTest test({.batch = 10,
                      .stride = 10,
                      .reference_batches = 3,
                      .minimum_batches = 3,
                      .permitted_loss = 0.25});
  const auto batch = [&](int errors) {
    DriftLevel level = DriftLevel::stable;
    for (int i = 0; i < 10; ++i) level = test.update(i < errors ? 1 : 0);
    return level;
  };
  for (int i = 0; i < 3; ++i) batch(9);
  for (int i = 0; i < 3; ++i) CHECK(batch(0) != DriftLevel::drift);
  CHECK(batch(4) == DriftLevel::drift);
}

TEST_CASE("The second condition brings the false alarms down and leaves the delay") {
  ThresholdTest::Options paper;
  ThresholdTest::Options ours = paper;
  ours.chance = 1e-6;
  ours.stride = 7;
  std::size_t paper_alarms = 0, our_alarms = 0;
  double paper_delay = 0, our_delay = 0;
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    ThresholdTest a(paper), b(ours);
    Random ra(seed), rb(seed);
    paper_alarms += alarms(a, ra, 0.25, 10000);
    our_alarms += alarms(b, rb, 0.25, 10000);
    a.reset();
    b.reset();
    alarms(a, ra, 0.25, 140);
    alarms(b, rb, 0.25, 140);
    alarms(b, rb, 0.25, 210);
    alarms(a, ra, 0.25, 210);
    paper_delay += static_cast<double>(delay(a, ra, 0.9, 500)) / 30;
    our_delay += static_cast<double>(delay(b, rb, 0.9, 500)) / 30;
  }
  CAPTURE(paper_alarms, our_alarms, paper_delay, our_delay);
  CHECK(paper_alarms > 20);
  CHECK(our_alarms == 0);
  CHECK(our_delay > 0);
  CHECK(our_delay < 40);
}

}  // namespace
}  // namespace p2p::learner

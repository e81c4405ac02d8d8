#include "learner/transfer/trial.hpp"

#include <catch2/catch.hpp>
#include <cmath>

#include "metadata/base/random.hpp"

namespace p2p::learner {
namespace {

/// A model whose answers are an input: right when x[index] is 1. It counts what it was trained on.
class Scripted final : public Model {
 public:
  explicit Scripted(std::size_t index) : index_(index) {}
  const ModelSpec& spec() const override { return spec_; }
  void scores(Features, std::span<float>) const override {}
  ClassIndex predict(Features x) const override { return x[index_] > 0.5f ? 1 : 0; }
  void learn(Features, ClassIndex) override { ++learned_; }
  ClassIndex predict_then_learn(Features x, ClassIndex y) override {
    learn(x, y);
    return predict(x);
  }
  std::unique_ptr<Model> clone() const override { return std::make_unique<Scripted>(*this); }
  Part partition(std::span<const ClassIndex>, Precision) const override { return {}; }
  Result<void> merge(const Part&, const MergeOptions&) override { return {}; }
  void grow(std::uint32_t) override {}
  Bytes encode() const override { return {}; }
  std::size_t bytes() const override { return 0; }
  int learned() const { return learned_; }

 private:
  ModelSpec spec_;
  std::size_t index_;
  int learned_ = 0;
};

/// One sample of label 1: who is right is given.
void step(Trial& trial, bool champion, std::initializer_list<bool> challengers) {
  std::vector<float> x;
  for (const bool right : challengers) x.push_back(right ? 1.0f : 0.0f);
  trial.step(x, 1, champion ? 1 : 0);
}

TEST_CASE("The martingale is 2^(w+l) B(w+1, l+1)") {
  CHECK(Trial::log_martingale(0, 0) == Approx(0).margin(1e-12));
  CHECK(std::exp(Trial::log_martingale(1, 0)) == Approx(2 * 0.5));
  CHECK(std::exp(Trial::log_martingale(5, 0)) == Approx(32.0 / 6));
  CHECK(std::exp(Trial::log_martingale(2, 1)) == Approx(8 * (2.0 * 1.0) / 24));
  CHECK(Trial::log_martingale(3, 7) == Approx(Trial::log_martingale(7, 3)));
}

TEST_CASE("The martingale's expectation after any number of fair coins is 1") {
  for (const std::size_t n : {1u, 2u, 5u, 12u, 30u}) {
    double expectation = 0;
    for (std::size_t w = 0; w <= n; ++w) {
      const double choose = std::lgamma(n + 1.0) - std::lgamma(w + 1.0) - std::lgamma(n - w + 1.0);
      expectation += std::exp(choose - static_cast<double>(n) * std::log(2.0) +
                              Trial::log_martingale(w, n - w));
    }
    CHECK(expectation == Approx(1).epsilon(1e-9));
  }
}

TEST_CASE("A challenger that is clearly better is accepted soon, and every sample trained it") {
  Trial trial({});
  auto model = std::make_unique<Scripted>(0);
  const Scripted* watch = model.get();
  trial.enter("peer a", std::move(model));
  int n = 0;
  while (trial.verdict() == Trial::Verdict::undecided) {
    step(trial, false, {true});
    ++n;
  }
  CHECK(trial.verdict() == Trial::Verdict::accept);
  CHECK(n == 10);  // the minimum; 2^n / (n + 1) passes 10 at 7
  CHECK(watch->learned() == n);
  CHECK(trial.best() == 0u);
  CHECK(trial.label(0) == "peer a");
  CHECK(trial.tally(0).wins == 10);
  CHECK(trial.tally(0).challenger_correct == 10);
  CHECK(trial.tally(0).champion_correct == 0);
  CHECK(trial.take(0).get() == watch);
}

TEST_CASE("Several challengers share alpha: each must show more") {
  const auto wins_needed = [](std::size_t challengers) {
    Trial trial({.alpha = 0.1, .minimum_samples = 1, .maximum_samples = 100});
    for (std::size_t i = 0; i < challengers; ++i) {
      trial.enter("peer", std::make_unique<Scripted>(i == 0 ? 0 : 1));
    }
    int n = 0;
    for (; trial.verdict() == Trial::Verdict::undecided; ++n) step(trial, false, {true, false});
    return n;
  };
  CHECK(wins_needed(1) == 7);    // 2^7 / 8 = 16 >= 10
  CHECK(wins_needed(3) == 9);    // 2^8 / 9 = 28.4 < 30 <= 2^9 / 10
  CHECK(wins_needed(10) == 11);  // 2^10 / 11 = 93.1 < 100 <= 2^11 / 12
}

TEST_CASE("A challenger that is worse is never accepted, however long and clear") {
  Trial trial({.alpha = 0.1, .minimum_samples = 1, .maximum_samples = 100});
  trial.enter("worse", std::make_unique<Scripted>(0));
  for (int i = 0; i < 100; ++i) {
    step(trial, true, {false});
    CHECK(trial.verdict() != Trial::Verdict::accept);
  }
  CHECK(trial.verdict() == Trial::Verdict::reject);
}

TEST_CASE("A trial ends as soon as nobody can win any more") {
  Trial trial({.alpha = 0.1, .minimum_samples = 5, .maximum_samples = 40});
  trial.enter("equal", std::make_unique<Scripted>(0));
  int n = 0;
  for (; n < 40 && trial.verdict() == Trial::Verdict::undecided; ++n) step(trial, true, {true});
  CHECK(trial.verdict() == Trial::Verdict::reject);
  // It takes 7 wins in a row to pass the threshold of 10; after 34 agreements 6 samples are left.
  CHECK(n == 34);
}

TEST_CASE(
    "The share of equal challengers that are accepted stays below alpha, with one and with "
    "several") {
  for (const std::size_t challengers : {1u, 3u}) {
    for (const double alpha : {0.1, 0.3}) {
      int accepted = 0;
      const int runs = 2000;
      for (int run = 0; run < runs; ++run) {
        Trial trial({.alpha = alpha, .minimum_samples = 5, .maximum_samples = 200});
        for (std::size_t i = 0; i < challengers; ++i)
          trial.enter("equal", std::make_unique<Scripted>(i));
        Random random(static_cast<std::uint64_t>(run) * 7919 + challengers);
        std::vector<float> x(challengers);
        while (trial.verdict() == Trial::Verdict::undecided) {
          for (float& v : x) v = random.uniform() < 0.7 ? 1.0f : 0.0f;
          trial.step(x, 1, random.uniform() < 0.7 ? 1 : 0);
        }
        accepted += trial.verdict() == Trial::Verdict::accept;
      }
      // Three standard deviations of the count above alpha.
      CAPTURE(challengers, alpha, accepted);
      CHECK(accepted <= runs * alpha + 3 * std::sqrt(runs * alpha * (1 - alpha)));
    }
  }
}

TEST_CASE(
    "A challenger that is right 15 points more often is found in most trials of 200 samples") {
  int accepted = 0;
  double used = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Trial trial({});
    trial.enter("better", std::make_unique<Scripted>(0));
    Random random(seed);
    while (trial.verdict() == Trial::Verdict::undecided) {
      const bool champion = random.uniform() < 0.6;
      step(trial, champion, {random.uniform() < 0.75});
    }
    accepted += trial.verdict() == Trial::Verdict::accept;
    used += static_cast<double>(trial.tally(0).samples) / 300;
  }
  CAPTURE(accepted, used);
  CHECK(accepted > 200);
  CHECK(used < 130);
}

TEST_CASE("Of several challengers the one that passed and leads is the best") {
  Trial trial({});
  for (std::size_t i = 0; i < 3; ++i)
    trial.enter("peer " + std::to_string(i), std::make_unique<Scripted>(i));
  CHECK(trial.size() == 3);
  for (int i = 0; i < 12; ++i) step(trial, false, {i % 2 == 0, true, false});
  CHECK(trial.verdict() == Trial::Verdict::accept);
  CHECK(trial.best() == 1u);
  // A pass is not taken back by what follows.
  for (int i = 0; i < 8; ++i) step(trial, true, {true, false, true});
  CHECK(trial.verdict() == Trial::Verdict::accept);
  CHECK(trial.best() == 1u);
}

TEST_CASE("A trial that nobody entered is over and has no best") {
  const Trial trial({});
  CHECK(trial.verdict() == Trial::Verdict::reject);
  CHECK_FALSE(trial.best());
}

}  // namespace
}  // namespace p2p::learner

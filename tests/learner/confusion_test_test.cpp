#include <catch2/catch.hpp>

#include "learner/drift/confusion_test.hpp"
#include "learner/drift/drift_monitor.hpp"
#include "metadata/base/random.hpp"

namespace p2p::learner {
namespace {

/// Labels drawn evenly from `classes`; the model errs at a rate of `error`, towards the next class; from `swapped` on it takes
/// classes 0 and 1 for each other.
struct Swapping {
  Random random;
  std::uint32_t classes;
  double error;
  bool swapped = false;

  std::pair<ClassIndex, ClassIndex> next() {
    const auto label = static_cast<ClassIndex>(random.below(classes));
    auto predicted = random.uniform() < error ? static_cast<ClassIndex>((label + 1) % static_cast<ClassIndex>(classes)) : label;
    if (swapped && predicted < 2) predicted = 1 - predicted;
    return {label, predicted};
  }
};

/// Samples until the alarm; 0: none within `most`.
template <typename Test>
std::size_t until_alarm(Test& test, Swapping& stream, std::size_t most) {
  for (std::size_t i = 1; i <= most; ++i) {
    const auto [label, predicted] = stream.next();
    if (test.update(label, predicted)) return i;
  }
  return 0;
}

TEST_CASE("Two classes that are suddenly taken for each other are told within sixty samples of ten classes, and which") {
  double total = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    ConfusionTest test({.classes = 10, .run_length = 2e4});
    Swapping stream{Random(seed), 10, 0.1};
    REQUIRE(until_alarm(test, stream, 1000) == 0);
    stream.swapped = true;
    const auto took = until_alarm(test, stream, 200);
    REQUIRE(took > 0);
    CHECK(test.alarm().pair == std::array<ClassIndex, 2>{0, 1});
    CHECK(test.alarm().since <= took + 60);
    total += static_cast<double>(took);
  }
  CHECK(total / 40 < 60);
}

TEST_CASE("The monitor names the two classes, mostly before the error of all would have rung") {
  std::size_t sooner = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    DriftMonitor monitor({.classes = 10}), blind({.classes = 10});
    Swapping stream{Random(seed), 10, 0.1};
    for (int i = 0; i < 1000; ++i) {
      const auto [label, predicted] = stream.next();
      REQUIRE(monitor.update(label, predicted).level != DriftLevel::drift);
      blind.update(label, predicted == label ? label : kNoClass);
    }
    stream.swapped = true;
    DriftSignal signal;
    bool blind_rang = false;
    for (int i = 0; i < 200 && signal.level != DriftLevel::drift; ++i) {
      const auto [label, predicted] = stream.next();
      signal = monitor.update(label, predicted);
      blind_rang = blind_rang || blind.update(label, predicted == label ? label : kNoClass).level == DriftLevel::drift;
    }
    REQUIRE(signal.level == DriftLevel::drift);
    if (blind_rang) continue;
    ++sooner;
    CHECK(signal.cause == DriftCause::confusion);
    CHECK(signal.classes == std::vector<ClassIndex>{0, 1});
  }
  CHECK(sooner >= 12);
}

TEST_CASE("Pairs that have always been confused ring no more often than promised") {
  std::size_t alarms = 0;
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    ConfusionTest test({.classes = 10, .run_length = 1e5});
    Swapping stream{Random(seed), 10, 0.05 + 0.05 * static_cast<double>(seed % 6)};
    for (std::size_t i = 0; i < 20000;) {
      const auto took = until_alarm(test, stream, 20000 - i);
      if (took == 0) break;
      i += took;
      ++alarms;
      test.forget_confusions();
    }
  }
  // 600,000 samples.
  CHECK(alarms <= 6);
}

TEST_CASE("A class that is new to the model is no confusion, and of two classes nothing is said") {
  ConfusionTest test({.classes = 4});
  Random random(3);
  for (int i = 0; i < 1000; ++i) {
    const auto label = static_cast<ClassIndex>(random.below(3));
    REQUIRE_FALSE(test.update(label, label));
  }
  for (int i = 0; i < 9; ++i) CHECK_FALSE(test.update(3, 0));
  ConfusionTest two({.classes = 2});
  for (int i = 0; i < 1000; ++i) REQUIRE_FALSE(two.update(i % 2, i % 2));
  for (int i = 0; i < 1000; ++i) REQUIRE_FALSE(two.update(i % 2, 1 - i % 2));
}

TEST_CASE("After another model has taken over, its confusions are nothing to wonder at until they are known") {
  ConfusionTest test({.classes = 10});
  Swapping stream{Random(5), 10, 0.1};
  REQUIRE(until_alarm(test, stream, 1000) == 0);
  test.forget_confusions();
  stream.swapped = true;
  CHECK(until_alarm(test, stream, 180) == 0);
}

TEST_CASE("A decoded confusion test goes on as the saved one does, with more classes too") {
  ConfusionTest test({.classes = 10});
  Swapping stream{Random(6), 10, 0.3};
  REQUIRE(until_alarm(test, stream, 1000) == 0);
  ByteWriter out;
  test.encode(out);
  const auto bytes = out.take();
  ConfusionTest same({.classes = 10}), grown({.classes = 12});
  ByteReader first(bytes), second(bytes);
  REQUIRE(same.decode(first));
  REQUIRE(grown.decode(second));
  REQUIRE(first.at_end());
  stream.swapped = true;
  for (int i = 0; i < 300; ++i) {
    const auto [label, predicted] = stream.next();
    const bool rang = test.update(label, predicted);
    CHECK(same.update(label, predicted) == rang);
    CHECK(grown.update(label, predicted) == rang);
    if (rang) CHECK(same.alarm().since == test.alarm().since);
  }
  ByteReader cut(ByteView(bytes).first(bytes.size() - 1));
  CHECK_FALSE(same.decode(cut));
}

}  // namespace
}  // namespace p2p::learner

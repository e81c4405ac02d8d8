// Every family through a whole overlay: parts at the node's own precision, trials, merges.
#include <catch2/catch.hpp>

#include "tests/simulation/village.hpp"

using namespace p2p;
using namespace p2p::testing;

namespace {

constexpr std::size_t kChange = 900, kAfter = 600;

/// One place changes, the others have known for long what it changes to.
void run(Village& village, const std::function<void(Stream&)>& change) {
  for (std::size_t i = 1; i < village.size(); ++i) change(village[i].stream());
  village[0].at_sample(kChange, [&] { change(village[0].stream()); });
  village.start(std::chrono::milliseconds(50));
  village.run_to(0, kChange + kAfter);
}

/// Accuracy after the change, of the node less that of its isolated twin.
double gain(Village& village) {
  return accuracy(village[0].record(), kChange, kChange + kAfter) -
         accuracy(village[0].twin_record(), kChange, kChange + kAfter);
}

}  // namespace

TEST_CASE(
    "Whatever the family, a node that meets a concept its peers know is helped by them, if it can learn the stream at "
    "all") {
  const auto seed = seed_or(21);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  std::size_t learned = 0;
  for (const auto family : learner::families()) {
    CAPTURE(family);
    Village village(seed, 5, std::string(family));
    run(village, [](Stream& stream) { stream.set(rotated(5), kAll); });
    // Two clusters a class: rows over raw features hardly beat guessing, and have no error that could rise.
    const bool learns = accuracy(village[0].record(), kChange - 300, kChange) > 0.5;
    learned += learns;
    CHECK(gain(village) >= (learns ? 0.1 : -0.01));
  }
  CHECK(learned >= 6);
}

TEST_CASE("Whatever the family, a class that is new here costs no accuracy by being learned from peers") {
  const auto seed = seed_or(22);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  for (const auto family : learner::families()) {
    CAPTURE(family);
    Village village(seed, 5, std::string(family));
    village[0].stream().set({}, without({4}));
    run(village, [](Stream& stream) { stream.set({}, kAll); });
    CHECK(gain(village) >= -0.01);
  }
}

// The walk alone: whom it asks, whom it believes, when it is over. Nodes lie on a line, so distances are plain to see.
#include "overlay/directory/walk.hpp"

#include "tests/directory/support.hpp"

namespace p2p::directory {
namespace {

using namespace test;

/// As far from a target at 0 as x says.
Hint hint(std::uint64_t number, double x) {
  return hint_of(entry_on_line(number, x), {.by = By::joint, .sketch = on_line(0)});
}
Brief brief_of(std::uint64_t number) { return brief(id_of(number)); }

metadata::Target target(double x) { return {.by = By::joint, .sketch = on_line(x), .classes = 0, .blank = false}; }

TEST_CASE("A walk asks the nearest first, each node once, and nobody that it shuns") {
  Walk walk(target(0), {});
  for (const auto number : {5, 3, 4, 1, 2}) walk.hear(hint(static_cast<std::uint64_t>(number), 0.1 * number), Walk::kOurselves);
  walk.hear(hint(3, 0.3), brief_of(1));
  walk.shun(brief_of(2));
  walk.hear(hint(2, 0.2), brief_of(1));
  std::vector<Brief> asked;
  while (const auto next = walk.next()) asked.push_back(brief(*next));
  CHECK(asked == std::vector<Brief>{brief_of(1), brief_of(3), brief_of(4), brief_of(5)});
  CHECK(walk.pending() == 4);
}

TEST_CASE("On a line where everybody knows but two neighbours a walk arrives at the target") {
  constexpr int kNodes = 120;
  Walk walk(target(0), {.settled = 4, .questions = 200});
  walk.hear(hint(kNodes, 0.99), Walk::kOurselves);
  while (const auto next = walk.next()) {
    const auto number = static_cast<int>(brief(*next));
    for (const int neighbour : {number - 2, number - 1, number + 1, number + 2}) {
      if (neighbour < 1 || neighbour > kNodes) continue;
      walk.hear(hint(static_cast<std::uint64_t>(neighbour), 0.99 * neighbour / kNodes), brief(*next));
    }
    walk.answered(brief(*next), on_line(0.99 * number / kNodes), 0);
  }
  CHECK(walk.settled());
  const auto best = walk.best(3);
  REQUIRE(best.size() == 3);
  for (std::uint64_t i = 0; i < 3; ++i) CHECK(brief(best[i]->hint) == brief_of(i + 1));
  CHECK(walk.asked() < 80);
}

TEST_CASE("A walk waits for more answers at once when the nearest that it knows has answered than while it comes nearer") {
  Walk walk(target(0), {});
  const auto start = walk.width();  // knows nobody: buckets bring whoever they bring
  walk.hear(hint(1, 0.5), Walk::kOurselves);
  walk.hear(hint(2, 0.6), Walk::kOurselves);
  const auto approaching = walk.width();
  CHECK(approaching < start);
  CHECK(approaching > 1);  // one that does not answer holds nobody up
  REQUIRE(brief(*walk.next()) == brief_of(1));
  CHECK(walk.width() == approaching);  // its answer may lead nearer
  walk.answered(brief_of(1), on_line(0.5), 0);
  CHECK(walk.width() == start);
  walk.hear(hint(3, 0.4), brief_of(1));
  CHECK(walk.width() == approaching);
  REQUIRE(brief(*walk.next()) == brief_of(3));
  walk.failed(brief_of(3));
  CHECK(walk.width() == start);
  walk.hear(hint(4, 0.3), Walk::kOurselves);
  CHECK(walk.width() == approaching + 1);  // one has failed
  for (std::uint64_t i = 5; i <= 9; ++i) {
    walk.hear(hint(i, 0.2), Walk::kOurselves);
    walk.failed(brief_of(i));
  }
  CHECK(walk.width() == start);
}

TEST_CASE("Who answers before anybody has named him costs no question, and what he says waits for his experience") {
  Walk walk(target(0), {.settled = 4, .questions = 2});
  walk.met(hint(1, 0.5), true);
  CHECK(walk.asked() == 0);
  for (std::uint64_t i = 10; i < 14; ++i) walk.hear(hint(i, 0.1), brief_of(1));
  CHECK_FALSE(walk.next());
  CHECK_FALSE(walk.settled());
  CHECK_FALSE(walk.shown(brief_of(1), on_line(0.9), 0));
  REQUIRE(brief(*walk.next()) == brief_of(10));
  CHECK_FALSE(walk.next());  // one of his at a time, until one was right
  walk.answered(brief_of(10), on_line(0.1), 0);
  CHECK(walk.best(1)[0]->hint.id == hint(10, 0.1).id);
  CHECK(walk.known(brief_of(1))->hint.remoteness == Approx(0.9).margin(0.01));
  walk.next();
  CHECK_FALSE(walk.next());
  walk.grant(1);
  CHECK(walk.next());
}

TEST_CASE("What somebody has said of others who never shows himself falls behind") {
  Walk walk(target(0), {.settled = 8, .questions = 16});
  walk.hear(hint(1, 0.3), Walk::kOurselves);
  REQUIRE(brief(*walk.next()) == brief_of(1));
  walk.answered(brief_of(1), on_line(0.3), 0, true);
  for (std::uint64_t i = 10; i < 14; ++i) walk.hear(hint(i, 0), brief_of(1));
  walk.hear(hint(20, 0.5), 777);
  REQUIRE(brief(*walk.next()) == brief_of(20));
  walk.failed(brief_of(1));
  walk.hear(hint(21, 0.6), 777);
  walk.answered(brief_of(20), on_line(0.5), 0);
  CHECK(brief(*walk.next()) == brief_of(21));
}

TEST_CASE("A walk that begins near its target asks as many at a time as around it, however near those are that it knows") {
  Walk walk(target(0), {.from_afar = false});
  walk.hear(hint(1, 0.5), Walk::kOurselves);
  const auto width = walk.width();
  REQUIRE(walk.next());
  walk.answered(brief_of(1), on_line(0.5), 0);
  CHECK(walk.width() == width);
}

TEST_CASE("A walk asks no more than its questions, and none once the best have all been asked") {
  Walk walk(target(0), {.settled = 3, .questions = 7});
  for (std::uint64_t i = 1; i <= 100; ++i) walk.hear(hint(i, 0.005 * static_cast<double>(i)), Walk::kOurselves);
  const bool fail = GENERATE(false, true);
  std::size_t asked = 0;
  while (const auto next = walk.next()) {
    ++asked;
    if (fail) {
      walk.failed(brief(*next));
    } else {
      walk.answered(brief(*next), on_line(static_cast<double>(next->remoteness)), 0);
    }
  }
  CHECK(asked == (fail ? 7 : 3));
  CHECK(walk.asked() == asked);
  CHECK(walk.pending() == 0);
  CHECK(walk.settled());
}

TEST_CASE("A node that failed is not among the best and is not asked again, whoever names it") {
  Walk walk(target(0), {});
  walk.hear(hint(1, 0.1), Walk::kOurselves);
  walk.hear(hint(2, 0.2), Walk::kOurselves);
  REQUIRE(brief(*walk.next()) == brief_of(1));
  walk.failed(brief_of(1));
  walk.failed(brief_of(1));
  walk.hear(hint(1, 0.0), brief_of(2));
  CHECK(walk.pending() == 0);
  CHECK(walk.best(9).size() == 1);
  REQUIRE(brief(*walk.next()) == brief_of(2));
  CHECK_FALSE(walk.next());
}

TEST_CASE("Hints of somebody whose hints were false fall behind those of others") {
  Walk walk(target(0), {.settled = 8, .questions = 16});
  for (std::uint64_t i = 10; i < 17; ++i) walk.hear(hint(i, 0), 666);
  for (std::uint64_t i = 20; i < 24; ++i) walk.hear(hint(i, 0.3), 777);
  std::vector<Brief> asked;
  while (const auto next = walk.next()) {
    asked.push_back(brief(*next));
    const auto number = static_cast<std::uint64_t>(brief(*next));
    if (number < 20) {
      walk.failed(brief(*next));
    } else {
      walk.answered(brief(*next), on_line(0.3), 0);
    }
  }
  const auto false_before = std::find_if(asked.begin(), asked.end(), [](Brief b) { return b >= 20; }) - asked.begin();
  CHECK(false_before <= 3);
  CHECK(walk.best(4).size() == 4);
  CHECK(brief(walk.best(1)[0]->hint) == brief_of(20));
}

TEST_CASE("A hint that an honest node gave as well is not doubted for a liar's sake") {
  Walk walk(target(0), {.settled = 8, .questions = 16});
  for (std::uint64_t i = 10; i < 14; ++i) walk.hear(hint(i, 0), 666);
  walk.hear(hint(30, 0.2), 666);
  walk.hear(hint(31, 0.3), 777);
  walk.hear(hint(30, 0.2), 777);
  walk.failed(brief(*walk.next()));
  CHECK(brief(*walk.next()) == brief_of(30));  // before the liar's other three
}

TEST_CASE("A node that says that it is much nearer than others have said stays where they saw it") {
  Walk walk(target(0), {});
  walk.hear(hint(1, 0.8), 777);
  walk.hear(hint(2, 0.5), 777);
  walk.next();
  walk.next();
  walk.answered(brief_of(1), on_line(0), 0);
  walk.answered(brief_of(2), on_line(0.45), 0);
  const auto best = walk.best(2);
  CHECK(brief(best[0]->hint) == brief_of(2));
  CHECK(best[0]->hint.remoteness == Approx(0.45).margin(0.01));
  CHECK(best[1]->hint.remoteness == Approx(0.8).margin(0.01));
}

TEST_CASE("Liars who vouch for each other are believed until one of them shows its experience, and no longer") {
  Walk walk(target(0), {.settled = 8, .questions = 16});
  walk.hear(hint(1, 0.2), Walk::kOurselves);
  REQUIRE(brief(*walk.next()) == brief_of(1));
  walk.answered(brief_of(1), on_line(0.2), 0);
  for (std::uint64_t i = 10; i < 16; ++i) walk.hear(hint(i, 0), 666);
  walk.hear(hint(20, 0.3), 777);
  REQUIRE(brief(*walk.next()) == brief_of(10));
  walk.answered(brief_of(10), on_line(0), 0, true);
  // While the proof is on its way no other hint of this liar is tried; those that the second one gives are, one at a time.
  REQUIRE(brief(*walk.next()) == brief_of(20));
  walk.answered(brief_of(20), on_line(0.3), 0);
  for (std::uint64_t i = 30; i < 36; ++i) walk.hear(hint(i, 0), brief_of(10));
  walk.hear(hint(40, 0.35), brief_of(20));
  CHECK(walk.pending() == 0);
  walk.shown(brief_of(10), on_line(0.9), 0);
  CHECK(brief(*walk.next()) == brief_of(40));
  const auto all = walk.best(99);
  const auto liar = std::find_if(all.begin(), all.end(), [](const auto* k) { return brief(k->hint) == brief_of(10); });
  REQUIRE(liar != all.end());
  CHECK((*liar)->hint.remoteness == Approx(0.9).margin(0.02));
}

TEST_CASE("Whoever shows what he has said earns credit for the one that named him; whoever shows nothing does not") {
  const bool shows = GENERATE(true, false);
  Walk walk(target(0), {.settled = 8, .questions = 16});
  walk.hear(hint(10, 0.1), 666);
  walk.hear(hint(11, 0.1), 666);
  walk.hear(hint(20, 0.4), 777);
  walk.next();
  walk.answered(brief_of(10), on_line(0.1), 0, true);
  if (shows) {
    walk.shown(brief_of(10), on_line(0.1), 0);
  } else {
    walk.failed(brief_of(10));
  }
  CHECK(brief(*walk.next()) == brief_of(shows ? 11 : 20));
}

TEST_CASE("A node that turns out to be further than was said is further") {
  Walk walk(target(0), {});
  walk.hear(hint(1, 0), 777);
  walk.hear(hint(2, 0.5), Walk::kOurselves);
  walk.next();
  walk.answered(brief_of(1), on_line(0.9), 0);
  CHECK(brief(walk.best(1)[0]->hint) == brief_of(2));
}

TEST_CASE("Of ten thousand named nodes a walk keeps 512, among them the nearest, and forgets none that it asked") {
  Walk walk(target(0), {.settled = 8, .questions = 64});
  for (std::uint64_t i = 1; i <= 8; ++i) walk.hear(hint(i, 0.95), Walk::kOurselves);
  for (int i = 0; i < 8; ++i) walk.next();
  Random random(3);
  for (std::uint64_t i = 100; i < 10'100; ++i) walk.hear(hint(i, 0.1 + 0.8 * random.uniform()), 777);
  walk.hear(hint(9, 0.01), 777);
  CHECK(walk.known() == 512);
  CHECK(brief(walk.best(1)[0]->hint) == brief_of(9));
  for (std::uint64_t i = 1; i <= 8; ++i) walk.answered(brief_of(i), on_line(0.95), 0);
  CHECK(walk.pending() == 0);
}

TEST_CASE("By another measure of their outlines others come first, by what they say of themselves once they do") {
  Walk walk(target(0), {});
  for (std::uint64_t i = 1; i <= 3; ++i) walk.hear(hint(i, 0.1 * static_cast<double>(i)), 777);
  const auto furthest = [](const metadata::Outline& outline) { return -metadata::outline_coordinates(outline)[0]; };
  const auto numbers = [&] {
    std::vector<Brief> out;
    for (const auto* known : walk.best(9, furthest)) out.push_back(brief(known->hint));
    return out;
  };
  CHECK(numbers() == std::vector<Brief>{brief_of(3), brief_of(2), brief_of(1)});
  REQUIRE(brief(*walk.next()) == brief_of(1));
  walk.answered(brief_of(1), on_line(0.5), 0);
  CHECK(numbers() == std::vector<Brief>{brief_of(1), brief_of(3), brief_of(2)});
}

TEST_CASE("With wanted classes a node that lacks them is further, and a blank need looks at nothing else") {
  metadata::Target wanted{.by = By::joint, .sketch = on_line(0), .classes = 0b10, .blank = false};
  const auto with_class = [&](std::uint64_t number, double x, metadata::ClassMask knows) {
    Entry out = entry_on_line(number, x);
    for (std::size_t c = 0; c < 2; ++c) out.recall.push_back(knows >> c & 1 ? 15 : 0);
    REQUIRE(out.knows() == knows);
    return hint_of(out, wanted);
  };
  SECTION("joint") {
    Walk walk(wanted, {});
    walk.hear(with_class(1, 0.1, 0b01), Walk::kOurselves);
    walk.hear(with_class(2, 0.4, 0b10), Walk::kOurselves);
    CHECK(brief(*walk.next()) == brief_of(2));
  }
  SECTION("blank") {
    wanted.blank = true;
    Walk walk(wanted, {});
    walk.hear(with_class(1, 0, 0b01), Walk::kOurselves);
    walk.hear(with_class(2, 0.9, 0b11), Walk::kOurselves);
    CHECK(brief(*walk.next()) == brief_of(2));
  }
}

}  // namespace
}  // namespace p2p::directory

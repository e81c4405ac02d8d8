// Nodes whose labels come late, seldom or never. Inputs move by a shift, which shows without labels.
#include <algorithm>

#include <catch2/catch.hpp>

#include "overlay/exchange.hpp"
#include "tests/simulation/village.hpp"

using namespace p2p;
using namespace p2p::testing;
using Adopt = node::AgreementOptions::Adopt;

namespace {

constexpr std::size_t kChange = 1000;
constexpr float kFar = 2.8f;  // a third of the inputs' range

/// Place 0 lives in the plain world until kChange; the others in the moved one.
struct Scene {
  Village village;

  Scene(std::uint64_t seed, std::size_t helpers, Adopt adopt, std::size_t give_up = 1000)
      : village(seed, 1 + helpers, options(adopt, give_up)) {
    for (std::size_t i = 1; i <= helpers; ++i) village[i].stream().set(shifted(kFar), kAll);
    at(kChange, shifted(kFar));
  }
  static node::NodeOptions options(Adopt adopt, std::size_t give_up) {
    node::NodeOptions out;
    out.without_labels.adopt = adopt;
    out.without_labels.give_up = give_up;
    return out;
  }
  Place& place() { return village[0]; }
  void at(std::size_t sample, const Concept& what) {
    place().at_sample(sample, [this, what] { place().stream().set(what, kAll); });
  }
  /// All at once before the change, and `delay` samples late after it; none: never.
  void labels(std::optional<std::size_t> delay) {
    place().labels_come([delay](std::size_t index) { return index < kChange ? std::optional<std::size_t>(0) : delay; });
  }
  /// One that shows the moved world, and has learned wrong labels.
  void add_liar() {
    village.add_liar({.pretends = shifted(kFar), .learned = {.labels = {1, 2, 3, 4, 5, 0}, .shift = kFar}});
  }
  void run(std::size_t samples) {
    village.start(std::chrono::milliseconds(50));
    go_on(samples);
  }
  void go_on(std::size_t samples) {
    village.run_to(0, samples);
    for (const auto& event : place().events()) UNSCOPED_INFO(event.samples << " " << event.text);
  }
  const node::DriftReport* by_inputs() {
    for (const auto& report : place().node().drifts()) {
      if (report.cause == learner::DriftCause::inputs) return &report;
    }
    return nullptr;
  }
};

}  // namespace

TEST_CASE("Changed inputs bring whole models before the labels come, and the first labels decide by the ordinary trial") {
  const auto seed = seed_or(11);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  Scene scene(seed, 4, Adopt::nothing);
  scene.labels(150);
  scene.run(1149);
  auto& node = scene.place().node();
  const auto* report = scene.by_inputs();
  REQUIRE(report);
  CHECK(report->parts >= 2);  // no label of the new inputs has come yet
  CHECK_FALSE(report->accepted);
  CHECK(node.status().phase == node::Phase::trying);
  scene.go_on(1400);
  report = scene.by_inputs();
  REQUIRE(report->accepted);
  CHECK_FALSE(report->provisional);
  CHECK(report->merged_at < kChange + 100);  // in labels
  CHECK(accuracy(scene.place().record(), 1150, 1400) > accuracy(scene.place().twin_record(), 1150, 1400));
}

TEST_CASE("Without labels two helpers that agree are put in force where that is allowed, and nothing where it is not") {
  const auto seed = seed_or(12);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  for (const auto adopt : {Adopt::nothing, Adopt::agreed}) {
    Scene scene(seed, 4, adopt);
    scene.labels({});
    scene.run(1400);
    const auto& status = scene.place().node().status();
    const double node = accuracy(scene.place().record(), 1250, 1400);
    const double twin = accuracy(scene.place().twin_record(), 1250, 1400);
    const auto* report = scene.by_inputs();
    REQUIRE(report);
    CHECK(report->provisional == (adopt == Adopt::agreed));
    CHECK(status.accepted == (adopt == Adopt::agreed));
    if (adopt == Adopt::agreed) {
      CHECK(node > twin + 0.1);
    } else {
      CHECK(first_difference(scene.place().record(), scene.place().twin_record()) == -1);
    }
  }
}

TEST_CASE("What was put in force without labels does not outlive a restart") {
  const auto seed = seed_or(12);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  Scene scene(seed, 4, Adopt::agreed);
  scene.labels({});
  scene.run(1400);
  auto& before = scene.place().node();
  const auto* report = scene.by_inputs();
  REQUIRE(report);
  REQUIRE(report->provisional);
  const auto id = report->id;
  auto after = node::Node::make(scene.village.task(), {},
                                {.executor = scene.place().host().executor(),
                                 .transport = nullptr,
                                 .directory = nullptr,
                                 .key = scene.place().host().key(),
                                 .on_event = nullptr});
  REQUIRE(after.has_value());
  REQUIRE((*after)->restore(before.snapshot()).has_value());
  std::size_t differ = 0;
  for (int i = 0; i < 200; ++i) {
    const auto x = scene.place().stream().next().x;
    CHECK(*(*after)->predict(x) == *scene.place().twin().predict(x));
    differ += *before.predict(x) != *scene.place().twin().predict(x);
  }
  CHECK(differ > 0);
  const auto& told = *std::find_if((*after)->drifts().begin(), (*after)->drifts().end(),
                                   [id](const auto& each) { return each.id == id; });
  CHECK(told.finished);
  CHECK(told.rolled_back);
  CHECK_THAT(told.reason, Catch::Contains("the former model goes on"));
  CHECK((*after)->status().rolled_back == 1);
  CHECK(before.status().rolled_back == 0);
}

TEST_CASE("What was put in force without labels is neither published nor given away until labels do not speak against it") {
  const auto seed = seed_or(12);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  Scene scene(seed, 4, Adopt::agreed);
  // None for the first 300 samples of the moved world, then at once.
  scene.place().labels_come([](std::size_t index) {
    return index < kChange || index >= kChange + 300 ? std::optional<std::size_t>(0) : std::nullopt;
  });
  auto& asker = scene.village.sim().add_host();
  overlay::Exchange exchange(asker.executor(), asker.transport(), {}, {});
  const auto given = [&] {
    std::optional<bool> described, pulled;
    const overlay::Exchange::Peer peer{scene.place().host().id(), scene.place().host().endpoint()};
    const auto task = metadata::id(scene.village.task());
    exchange.describe(peer, task, kClasses, [&](const auto& answer) { described = answer.has_value(); });
    exchange.pull({peer}, task, {}, [&](const auto& answer) { pulled = answer.has_value(); });
    scene.village.sim().run_until([&] { return described && pulled; }, std::chrono::seconds(30));
    REQUIRE(described);
    REQUIRE(pulled);
    CHECK(*described == *pulled);
    return *described;
  };
  scene.run(kChange);
  CHECK(given());
  scene.go_on(kChange + 300);
  REQUIRE(scene.by_inputs());
  REQUIRE(scene.by_inputs()->provisional);
  CHECK_FALSE(given());
  const auto& events = scene.place().events();
  const auto merged = std::find_if(events.begin(), events.end(), [](const auto& e) { return e.kind == node::EventKind::merged; });
  CHECK(std::none_of(merged, events.end(), [](const auto& e) { return e.kind == node::EventKind::published; }));
  scene.go_on(kChange + 400);
  CHECK(scene.by_inputs()->accepted);
  CHECK_FALSE(scene.by_inputs()->rolled_back);
  CHECK(given());
}

TEST_CASE("One helper is not put in force without labels") {
  const auto seed = seed_or(13);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  Scene scene(seed, 1, Adopt::agreed);
  scene.labels({});
  scene.run(1400);
  REQUIRE(scene.by_inputs());
  CHECK(scene.by_inputs()->parts == 1);
  CHECK_FALSE(scene.by_inputs()->accepted);
  CHECK(first_difference(scene.place().record(), scene.place().twin_record()) == -1);
}

TEST_CASE("Two liars that agree are put in force where that is allowed, and undone by labels") {
  const auto seed = seed_or(14);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  Scene scene(seed, 0, Adopt::agreed);
  scene.add_liar();
  scene.add_liar();
  scene.labels(250);
  scene.run(1249);
  REQUIRE(scene.by_inputs());
  CHECK(scene.by_inputs()->provisional);
  CHECK_FALSE(scene.by_inputs()->rolled_back);
  scene.go_on(1460);
  CHECK(scene.by_inputs()->rolled_back);
  CHECK(scene.place().node().status().rolled_back == 1);
  // What was lost lies between; from there on it is the model that the twin has.
  scene.go_on(1800);
  CHECK(accuracy(scene.place().record(), 1500, 1800) >= accuracy(scene.place().twin_record(), 1500, 1800) - 0.02);
}

TEST_CASE("A liar among two honest helpers does no harm without labels") {
  const auto seed = seed_or(15);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  Scene scene(seed, 2, Adopt::agreed);
  scene.add_liar();
  scene.labels({});
  scene.run(1400);
  REQUIRE(scene.by_inputs());
  CHECK(scene.by_inputs()->parts == 3);
  // Nobody, or, where chance puts the liar outside of what it says it knows, one of the two who are right.
  CHECK(accuracy(scene.place().record(), kChange, 1400) >= accuracy(scene.place().twin_record(), kChange, 1400));
}

TEST_CASE("When the inputs turn back before a label came, the former model is in force again") {
  const auto seed = seed_or(16);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  Scene scene(seed, 4, Adopt::agreed);
  scene.labels({});
  scene.at(1500, {});
  scene.run(1499);
  REQUIRE(scene.by_inputs());
  REQUIRE(scene.by_inputs()->provisional);
  scene.go_on(2000);
  CHECK(scene.by_inputs()->rolled_back);
  CHECK(accuracy(scene.place().record(), 1800, 2000) == accuracy(scene.place().twin_record(), 1800, 2000));
}

TEST_CASE("An own past concept whose inputs are back is put in force without labels and without a peer") {
  const auto seed = seed_or(17);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  Scene scene(seed, 0, Adopt::own);
  scene.place().stream().set(shifted(kFar), kAll);  // lived through first, then left with labels
  scene.at(500, {});
  // At kChange it is back.
  scene.labels({});
  scene.run(1400);
  const auto* report = scene.by_inputs();
  REQUIRE(report);
  CHECK(report->provisional);
  CHECK(report->own_concept != 0);
  // That this is better is not said: here the model in force has not forgotten either.
}

TEST_CASE("A story for which no label ever comes ends") {
  const auto seed = seed_or(18);
  INFO(replay(seed, Catch::getResultCapture().getCurrentTestName()));
  Scene scene(seed, 3, Adopt::nothing, 300);
  scene.labels({});
  scene.run(1400);
  REQUIRE(scene.by_inputs());
  CHECK(scene.by_inputs()->finished);
  CHECK_THAT(scene.by_inputs()->reason, Catch::Contains("no labels came"));
  CHECK(scene.place().node().status().phase == node::Phase::learning);
}

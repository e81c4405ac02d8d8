#include "overlay/node/serving.hpp"

#include <cmath>

#include <catch2/catch.hpp>

#include "metadata/similarity.hpp"
#include "tests/node/learners.hpp"

using namespace p2p;
using namespace p2p::testing;
using node::Serving;

namespace {

std::unique_ptr<Serving> make(const metadata::Task& task) {
  auto made = Serving::make(task, {});
  REQUIRE(made.has_value());
  return std::move(*made);
}

void learn(Serving& serving, Stream& stream, int samples) {
  for (int i = 0; i < samples; ++i) {
    const auto sample = stream.next();
    const auto x = serving.scale(sample.x);
    REQUIRE(x.has_value());
    serving.learn(*x, sample.label);
  }
}

}  // namespace

TEST_CASE("A loaded learner predicts and learns on exactly as the saved one would have") {
  const auto task = make_task(kWorld);
  auto saved = make(task);
  Stream stream(kWorld, 1);
  learn(*saved, stream, 700);
  learner::Snapshot snapshot;
  saved->save(snapshot);
  auto loaded = make(task);
  REQUIRE(loaded->load(snapshot).has_value());
  CHECK(loaded->samples() == 700);
  CHECK(loaded->metrics().accuracy() == saved->metrics().accuracy());
  for (int i = 0; i < 300; ++i) {
    const auto sample = stream.next();
    const auto a = saved->learn(*saved->scale(sample.x), sample.label);
    const auto b = loaded->learn(*loaded->scale(sample.x), sample.label);
    REQUIRE(a.predicted == b.predicted);
    REQUIRE(a.signal.level == b.signal.level);
    REQUIRE(a.signal.since == b.signal.since);
  }
  CHECK(saved->model().encode() == loaded->model().encode());
}

TEST_CASE("A learner whose drift options were changed since loads, and watches by the new ones") {
  const auto task = make_task(kWorld);
  auto saved = make(task);
  Stream stream(kWorld, 1);
  learn(*saved, stream, 700);
  learner::Snapshot snapshot;
  saved->save(snapshot);
  auto loaded = Serving::make(task, {.drift = {.batch = 50}});
  REQUIRE(loaded.has_value());
  REQUIRE((*loaded)->load(snapshot).has_value());
  CHECK((*loaded)->model().encode() == saved->model().encode());
}

TEST_CASE("A loaded fingerprint is nearer to the saved one than the stream itself wanders") {
  const auto task = make_task(kWorld);
  auto saved = make(task);
  Stream stream(kWorld, 1);
  stream.set({}, {1, 2, 3, 4, 0, 0.2});
  learn(*saved, stream, 1000);
  const auto before = saved->fingerprint();
  learner::Snapshot snapshot;
  saved->save(snapshot);
  auto loaded = make(task);
  REQUIRE(loaded->load(snapshot).has_value());
  const auto after = loaded->fingerprint();
  CHECK(metadata::joint_distance(before, after) < 0.02);
  CHECK(after.samples() == Approx(before.samples()).epsilon(0.02));
  CHECK(after.overall_accuracy() == Approx(before.overall_accuracy()).margin(0.02));
  learn(*saved, stream, 100);
  CHECK(metadata::joint_distance(before, saved->fingerprint()) > metadata::joint_distance(before, after));
}

TEST_CASE("A restarted learner notices a new class, and does not take the known ones for new") {
  const auto task = make_task(kWorld);
  auto saved = make(task);
  Stream stream(kWorld, 1);
  stream.set({}, without({4}));
  learn(*saved, stream, 1000);
  learner::Snapshot snapshot;
  saved->save(snapshot);
  auto loaded = make(task);
  REQUIRE(loaded->load(snapshot).has_value());
  for (int i = 0; i < 100; ++i) {
    const auto sample = stream.next();
    REQUIRE(loaded->learn(*loaded->scale(sample.x), sample.label).signal.level != learner::DriftLevel::drift);
  }
  stream.set({}, kAll);
  bool noticed = false;
  for (int i = 0; i < 60 && !noticed; ++i) {
    const auto sample = stream.next();
    const auto signal = loaded->learn(*loaded->scale(sample.x), sample.label).signal;
    noticed = signal.level == learner::DriftLevel::drift && signal.classes == std::vector<learner::ClassIndex>{4};
  }
  CHECK(noticed);
}

TEST_CASE("A damaged section is named, and loading it changes nothing") {
  const auto task = make_task(kWorld);
  auto saved = make(task);
  Stream stream(kWorld, 1);
  learn(*saved, stream, 300);
  learner::Snapshot good;
  saved->save(good);
  for (std::size_t i = 0; i < good.sections.size(); ++i) {
    CAPTURE(good.sections[i].name);
    for (const int how : {0, 1, 2}) {
      auto bad = good;
      auto& section = bad.sections[i];
      if (how == 0) bad.sections.erase(bad.sections.begin() + static_cast<std::ptrdiff_t>(i));
      if (how == 1) section.content.resize(section.content.size() / 2);
      if (how == 2) section.content.push_back(0);
      auto fresh_one = make(task);
      const auto before = fresh_one->model().encode();
      const auto loaded = fresh_one->load(bad);
      REQUIRE_FALSE(loaded.has_value());
      CHECK(loaded.error().code == ErrorCode::malformed);
      CHECK(fresh_one->samples() == 0);
      CHECK(fresh_one->model().encode() == before);
    }
  }
}

TEST_CASE("After a change of everything the fingerprint forgets the time before it") {
  const auto task = make_task(kWorld);
  auto serving = make(task);
  Stream stream(kWorld, 1);
  learn(*serving, stream, 500);
  stream.set(relabelled({1, 2, 3, 4, 5, 0}), kAll);
  learn(*serving, stream, 150);
  const auto since = serving->recent_fingerprint(150);  // of these alone
  const double mixed = metadata::joint_distance(serving->fingerprint(), since);
  serving->forget_before(500, {}, {});
  const auto forgotten = serving->fingerprint();
  CHECK(metadata::joint_distance(forgotten, since) < mixed / 2);  // what is left is the decay
  CHECK(forgotten.samples() == Approx(150).epsilon(0.2));
}

TEST_CASE("Classes suffer when they are mispredicted clearly more often than before") {
  const auto task = make_task(kWorld);
  auto serving = make(task);
  Stream stream(kWorld, 1);
  learn(*serving, stream, 1000);
  stream.set(relabelled({0, 2, 1, 3, 4, 5}), {1, 2, 2, 1, 1, 1});
  learn(*serving, stream, 40);
  CHECK(serving->suffering({.since = 1000}) == std::vector<learner::ClassIndex>{1, 2});
}

TEST_CASE("After a change of one class the fingerprint forgets only that one") {
  const auto task = make_task(kWorld);
  auto serving = make(task);
  Stream stream(kWorld, 1);
  learn(*serving, stream, 500);
  const std::vector<learner::ClassIndex> classes = {2};
  serving->forget_before(500, classes, {});
  const auto fingerprint = serving->fingerprint();
  CHECK(fingerprint.count[2] == 0);
  CHECK(fingerprint.count[1] > 10);
}

TEST_CASE("The window's samples come back in order, as far as it reaches") {
  const auto task = make_task(kWorld);
  auto serving = make(task);
  Stream stream(kWorld, 1), again(kWorld, 1);
  learn(*serving, stream, 450);
  const auto stretch = serving->since(100);
  CHECK(stretch.first == 250);
  REQUIRE(stretch.tape.size() == 200);
  for (int i = 0; i < 250; ++i) again.next();
  for (std::size_t i = 0; i < 200; ++i) REQUIRE(stretch.tape.at(i).label == again.next().label);
  CHECK(serving->since(449).tape.size() == 1);
  CHECK(serving->since(450).tape.size() == 0);
}

TEST_CASE("Checkpoints lie between one and two intervals back") {
  const auto task = make_task(kWorld);
  auto serving = make(task);
  Stream stream(kWorld, 1);
  for (int i = 1; i <= 1000; ++i) {
    learn(*serving, stream, 1);
    const auto samples = serving->samples();
    const auto& older = serving->checkpoints().before(0);
    REQUIRE(older.samples + 200 > samples);
    if (samples >= 100) REQUIRE(older.samples + 100 <= samples);
    REQUIRE(serving->checkpoints().before(samples).samples + 100 > samples);
  }
}

#include "overlay/node/journal.hpp"

#include <catch2/catch.hpp>

#include "learner/snapshot.hpp"
#include "overlay/sim/simulation.hpp"
#include "tests/node/learners.hpp"

using namespace p2p;
using namespace p2p::testing;
using node::DriftReport;
using node::EventKind;
using node::FormerModels;
using node::Journal;

namespace {

DriftReport merged_report(std::uint64_t id) {
  DriftReport report;
  report.id = id;
  report.detected_at = 900;
  report.since = 31;
  report.cause = learner::DriftCause::known_concept;
  report.kind = node::DriftKind::changed_mix;
  report.classes = {1, 4};
  report.finished = true;
  report.archived = 2;
  report.attempts = 1;
  report.gets = 7;
  report.helper = "a1b2";
  report.helper_distance = 0.25;
  report.bytes_pulled = 12345;
  report.accepted = true;
  report.reason = "won";
  report.tally = {40, 10, 31, 22, 1};
  report.pull = overlay::Duration(1500);
  node::add_step(report, {.kind = EventKind::drift_detected, .samples = 900, .wall_ms = 1'800'000'000'000, .text = "alarm"});
  node::add_step(report, {.kind = EventKind::trial_done,
                          .samples = 940,
                          .wall_ms = 1'800'000'001'000,
                          .subject = "a1b2, all that it knows",
                          .text = "won",
                          .figures = {{"ms", 12.5}},
                          .challengers = {{"one", {40, 10, 31, 22, 1}, 0.001}, {"other", {40, 10, 9, 1, 2}, 1}}});
  return report;
}

/// A node that merged an own past concept by itself, twice: A, B, A, B.
struct Recurring {
  sim::Simulation sim{1};
  sim::Host& host = sim.add_host();
  metadata::Task task = make_task(kWorld);
  Stream stream{kWorld, 1};
  std::unique_ptr<node::Node> node = make();

  std::unique_ptr<node::Node> make(const node::NodeOptions& options = {}) {
    auto made = node::Node::make(task, options,
                                 {.executor = host.executor(), .transport = nullptr, .directory = nullptr, .key = host.key(),
                                  .on_event = {}});
    REQUIRE(made.has_value());
    return std::move(*made);
  }
  void feed(int samples) {
    for (int i = 0; i < samples; ++i) {
      const auto sample = stream.next();
      REQUIRE(node->process(sample.x, sample.label).has_value());
      sim.run_for(std::chrono::milliseconds(1));
    }
  }
  /// Until a merge is being watched; its drift.
  std::uint64_t merge(const Concept& next) {
    stream.set(next, kAll);
    for (int i = 0; i < 400 && node->status().phase != node::Phase::watching; ++i) feed(1);
    REQUIRE(node->status().phase == node::Phase::watching);
    return node->drifts().back().id;
  }
  void settle() {
    for (int i = 0; i < 400 && node->status().phase == node::Phase::watching; ++i) feed(1);
    REQUIRE(node->status().phase == node::Phase::learning);
  }
  void learn_both() {
    feed(1000);
    stream.set(rotated(5), kAll);
    feed(1000);
  }
  const DriftReport& report(std::uint64_t id) const {
    for (const auto& report : node->drifts()) {
      if (report.id == id) return report;
    }
    FAIL("no drift " << id);
    std::abort();
  }
  std::vector<std::int32_t> answers() const {
    Stream other(kWorld, 77);
    std::vector<std::int32_t> out;
    for (int i = 0; i < 300; ++i) out.push_back(*node->predict(other.next().x));
    return out;
  }
};

bool has(const DriftReport& report, EventKind kind) {
  for (const auto& step : report.steps) {
    if (step.kind == kind) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("A journal comes back from its bytes, field by field") {
  Journal journal;
  journal.put(merged_report(3));
  DriftReport running;
  running.id = 9;
  journal.put(running);
  const auto again = Journal::decode(journal.encode());
  REQUIRE(again.has_value());
  CHECK(again->encode() == journal.encode());
  REQUIRE(again->reports().size() == 2);
  const auto* report = again->find(3);
  REQUIRE(report);
  CHECK(report->cause == learner::DriftCause::known_concept);
  CHECK(report->classes == std::vector<learner::ClassIndex>{1, 4});
  CHECK(report->pull == overlay::Duration(1500));
  CHECK(report->helper == "a1b2");
  REQUIRE(report->steps.size() == 2);
  CHECK(report->steps[1].wall_ms == 1'800'000'001'000);
  REQUIRE(report->steps[1].challengers.size() == 2);
  CHECK(report->steps[1].challengers[0].tally.wins == 22);
  CHECK(report->steps[1].challengers[1].luck == 1);
  CHECK(report->steps[1].figures.front().second == 12.5);
  CHECK(again->find(4) == nullptr);
}

TEST_CASE("A journal that is cut off, newer, or out of order is refused") {
  Journal journal;
  journal.put(merged_report(3));
  const auto bytes = journal.encode();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto cut = Journal::decode(ByteView(bytes).first(size));
    REQUIRE_FALSE(cut.has_value());
    CHECK(cut.error().code == ErrorCode::malformed);
  }
  auto newer = bytes;
  newer[0] = 3;
  CHECK(Journal::decode(newer).error().code == ErrorCode::version);
  auto none = bytes;
  none[0] = 0;
  CHECK(Journal::decode(none).error().code == ErrorCode::malformed);
  auto longer = bytes;
  longer.push_back(0);
  CHECK(Journal::decode(longer).error().code == ErrorCode::malformed);
  Journal backwards;
  backwards.put(merged_report(3));
  backwards.put(merged_report(2));
  CHECK(Journal::decode(backwards.encode()).error().code == ErrorCode::malformed);
}

TEST_CASE("A journal of the format before is read, and none of its merges was provisional") {
  Journal journal;
  DriftReport report;
  report.id = 3;
  report.accepted = report.rolled_back = true;
  journal.put(report);
  auto bytes = journal.encode();
  bytes[0] = 1;
  // Of an empty report of format 2: format and count, then the fields up to `accepted`.
  const std::size_t at = 4 + 4 + 3 * 8 + 1 + 1 + 4 + 8 + 1 + 4 + 4 + 5 * 8 + 4 + 8 + 8 + 1;
  bytes.erase(bytes.begin() + at);
  const auto again = Journal::decode(bytes);
  REQUIRE(again.has_value());
  CHECK(again->find(3)->accepted);
  CHECK(again->find(3)->rolled_back);
  CHECK_FALSE(again->find(3)->provisional);
  CHECK(again->encode() == journal.encode());
}

TEST_CASE("Of a story with too many steps the first and the latest stay, and it is said how many went") {
  DriftReport report;
  for (std::uint64_t i = 0; i < DriftReport::kMaxSteps + 5; ++i) node::add_step(report, {.samples = i, .text = std::string(5000, 'x')});
  CHECK(report.steps.size() == DriftReport::kMaxSteps);
  CHECK(report.steps_left_out == 5);
  CHECK(report.steps.front().samples == 0);
  CHECK(report.steps.back().samples == DriftReport::kMaxSteps + 4);
  CHECK(report.steps.back().text.size() <= Journal::kMaxText);
}

TEST_CASE("A running story is interrupted by a restart, a finished one is left alone") {
  Journal journal;
  journal.put(merged_report(3));
  DriftReport running;
  running.id = 4;
  running.reason = "nobody; will look again";
  journal.put(running);
  const auto version = journal.version();
  journal.interrupt(1234, 99);
  CHECK(journal.version() > version);
  CHECK(journal.find(3)->steps.size() == 2);
  const auto* closed = journal.find(4);
  CHECK(closed->finished);
  CHECK_THAT(closed->reason, Catch::Contains("will look again") && Catch::Contains("stopped"));
  REQUIRE(closed->steps.size() == 1);
  CHECK(closed->steps[0].kind == EventKind::interrupted);
  CHECK(closed->steps[0].samples == 1234);
}

TEST_CASE("Former models are kept within number and bytes, the first set aside goes first") {
  FormerModels formers({.models = 2, .bytes = 100});
  formers.keep({1, 10, {}, Bytes(40)});
  formers.keep({2, 20, {1}, Bytes(40)});
  formers.keep({3, 30, {1, 2}, Bytes(40)});
  CHECK(formers.find(1) == nullptr);
  REQUIRE(formers.find(2));
  CHECK(formers.bytes() == 80);
  formers.keep({3, 31, {}, Bytes(70)});
  CHECK(formers.find(2) == nullptr);
  CHECK(formers.find(3)->samples == 31);
  formers.keep({4, 40, {}, Bytes(101)});
  CHECK(formers.find(4) == nullptr);
  CHECK(formers.find(3));
}

TEST_CASE("Former models come back from their bytes; damaged, newer or foreign ones are refused and change nothing") {
  const auto task = make_task(kWorld);
  const auto spec = node::model_spec(task);
  Stream stream(kWorld, 1);
  FormerModels formers({});
  formers.keep({7, 900, {2, 5}, trained(task, stream, 50)->encode(), 250});
  formers.set_missed_in_force(31);
  const auto bytes = formers.encode();
  FormerModels again({});
  REQUIRE(again.decode(bytes, spec).has_value());
  CHECK(again.find(7)->merges == std::vector<std::uint64_t>{2, 5});
  CHECK(again.encode() == bytes);
  CHECK(again.find(7)->missed == 250);
  CHECK(again.missed_in_force() == 31);
  for (std::size_t size = 0; size < bytes.size(); size += 7) {
    CHECK(again.decode(ByteView(bytes).first(size), spec).error().code == ErrorCode::malformed);
  }
  auto newer = bytes;
  newer[0] = 9;
  CHECK(again.decode(newer, spec).error().code == ErrorCode::version);
  FormerModels foreign({});
  foreign.keep({8, 1, {}, Bytes(30, 0xFF)});
  CHECK(again.decode(foreign.encode(), spec).error().code == ErrorCode::malformed);
  CHECK(again.find(7));
}

TEST_CASE("A story tells of the alarm, the trial with every challenger, the merge, the watch and its end, each dated") {
  Recurring place;
  place.learn_both();
  const auto id = place.merge({});
  place.settle();
  const auto& report = place.report(id);
  REQUIRE(report.accepted);
  REQUIRE_FALSE(report.steps.empty());
  CHECK(report.steps.front().kind == EventKind::drift_detected);
  CHECK(report.steps.back().kind == EventKind::settled);
  for (const auto kind : {EventKind::recalled, EventKind::trial_done, EventKind::merged, EventKind::watched}) {
    CAPTURE(node::name(kind));
    CHECK(has(report, kind));
  }
  std::uint64_t samples = 0, wall = 0;
  for (const auto& step : report.steps) {
    CHECK(step.samples >= samples);
    CHECK(step.wall_ms >= wall);
    CHECK_FALSE(step.text.empty());
    samples = step.samples, wall = step.wall_ms;
    if (step.kind != EventKind::trial_done) continue;
    REQUIRE_FALSE(step.challengers.empty());
    CHECK(step.challengers.front().tally.samples > 0);
    CHECK(step.challengers.front().luck < 0.2);
  }
  CHECK(wall > 0);
}

TEST_CASE("A merge that is being watched is undone by hand with the shadow, and done again") {
  Recurring place;
  place.learn_both();
  const auto id = place.merge({});
  place.feed(20);
  REQUIRE(place.node->status().phase == node::Phase::watching);
  const auto merged = place.answers();
  REQUIRE(place.node->rollback(id).has_value());
  CHECK(place.node->status().phase == node::Phase::learning);
  CHECK(place.report(id).rolled_back);
  CHECK(place.report(id).finished);
  CHECK_THAT(place.report(id).reason, Catch::Contains("by hand"));
  CHECK(place.node->status().rolled_back == 1);
  CHECK(place.answers() != merged);
  CHECK(place.node->rollback(id).error().code == ErrorCode::invalid_argument);
  REQUIRE(place.node->redo(id).has_value());
  CHECK_FALSE(place.report(id).rolled_back);
  CHECK(place.answers() == merged);
  CHECK(place.node->status().rolled_back == 0);
  CHECK(place.node->redo(id).error().code == ErrorCode::invalid_argument);
}

TEST_CASE("After its watch a merge is still undone, and a later one goes and comes with it") {
  Recurring place;
  place.learn_both();
  const auto first = place.merge({});
  place.settle();
  REQUIRE_FALSE(place.report(first).rolled_back);
  place.feed(300);
  const auto second = place.merge(rotated(5));
  place.settle();
  REQUIRE_FALSE(place.report(second).rolled_back);
  const auto present = place.answers();
  REQUIRE(place.node->rollback(first).has_value());
  CHECK(place.report(first).rolled_back);
  CHECK(place.report(second).rolled_back);
  CHECK_THAT(place.report(second).reason, Catch::Contains("together with the merge of drift " + std::to_string(first)));
  CHECK(place.answers() != present);
  CHECK(place.node->redo(second).error().code == ErrorCode::not_found);
  REQUIRE(place.node->redo(first).has_value());
  CHECK_FALSE(place.report(second).rolled_back);
  CHECK(place.answers() == present);
}

TEST_CASE("What cannot be undone is refused with the reason and changes nothing") {
  Recurring place;
  place.learn_both();
  REQUIRE_FALSE(place.node->drifts().empty());
  const auto& alone = place.node->drifts().front();
  REQUIRE_FALSE(alone.accepted);
  const auto before = place.node->snapshot();
  CHECK(place.node->rollback(999).error().code == ErrorCode::not_found);
  CHECK(place.node->redo(999).error().code == ErrorCode::not_found);
  CHECK(place.node->rollback(alone.id).error().code == ErrorCode::invalid_argument);
  CHECK(place.node->redo(alone.id).error().code == ErrorCode::invalid_argument);
  CHECK(place.node->snapshot() == before);
  place.node->shutdown();
  CHECK(place.node->rollback(1).error().code == ErrorCode::closed);
  CHECK(place.node->redo(1).error().code == ErrorCode::closed);
}

TEST_CASE("A merge whose former model found no room can be undone only while it learns on") {
  Recurring place;
  node::NodeOptions options;
  options.former.models = 0;
  options.shadow.samples = 0;
  place.node = place.make(options);
  place.learn_both();
  const auto id = place.merge({});
  place.settle();
  REQUIRE_FALSE(place.report(id).rolled_back);
  const auto refused = place.node->rollback(id);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == ErrorCode::not_found);
  CHECK_THAT(refused.error().message, Catch::Contains("no longer kept"));
  const auto next = place.merge(rotated(5));
  CHECK(place.node->rollback(next).has_value());
}

TEST_CASE("A former model that learned on is put back by hand as it is now") {
  Recurring place;
  place.learn_both();
  const auto id = place.merge({});
  place.settle();
  place.feed(100);
  REQUIRE_FALSE(place.report(id).rolled_back);
  REQUIRE(place.node->rollback(id).has_value());
  CHECK(place.report(id).rolled_back);
  CHECK_THAT(place.report(id).steps.back().text, Catch::Contains("is 0 samples behind"));
  REQUIRE(place.node->redo(id).has_value());
  CHECK_FALSE(place.report(id).rolled_back);
}

TEST_CASE("A former model that overtakes after its watch serves again, and the journal says so") {
  Recurring place;
  node::NodeOptions options;
  options.drift.cooldown = 1'000'000;  // nobody else is to notice
  options.standby.patience = 1e5;
  place.node = place.make(options);
  place.learn_both();
  const auto id = place.merge({});
  place.settle();
  REQUIRE_FALSE(place.report(id).rolled_back);
  const auto drifts = place.node->drifts().size();
  place.stream.set(rotated(5), kAll);
  for (int i = 0; i < 60 && !place.report(id).rolled_back; ++i) place.feed(1);
  CHECK(place.report(id).rolled_back);
  CHECK_THAT(place.report(id).reason, Catch::Contains("learned on, did better"));
  CHECK(place.report(id).steps.back().subject == "the former model");
  CHECK(place.node->drifts().size() == drifts);
  CHECK(place.node->status().rolled_back == 1);
  CHECK(place.node->status().phase == node::Phase::learning);
  // By hand the merge can be done again.
  REQUIRE(place.node->redo(id).has_value());
  CHECK_FALSE(place.report(id).rolled_back);
}

TEST_CASE("Journal and former models outlive a restart, a watched merge can still be undone, and numbers go on") {
  Recurring place;
  place.learn_both();
  const auto id = place.merge({});
  place.feed(20);
  const auto bytes = place.node->snapshot();
  const auto stories = place.node->drifts().size();
  const auto listed = node::drifts_in(bytes);
  REQUIRE(listed.has_value());
  CHECK(listed->size() == stories);
  CHECK_FALSE(listed->back().finished);

  place.node = place.make();
  REQUIRE(place.node->restore(bytes).has_value());
  REQUIRE(place.node->drifts().size() == stories);
  CHECK(place.report(id).finished);
  CHECK_THAT(place.report(id).reason, Catch::Contains("stopped while the merge was being watched"));
  CHECK(place.report(id).steps.back().kind == EventKind::interrupted);
  const auto merged = place.answers();
  REQUIRE(place.node->rollback(id).has_value());
  CHECK(place.answers() != merged);
  place.feed(600);
  place.stream.set(rotated(7), kAll);
  place.feed(300);
  CHECK(place.node->drifts().back().id > id);
}

TEST_CASE("A snapshot without a journal loads; one with a damaged or newer journal or former models does not") {
  Recurring place;
  place.learn_both();
  const auto whole = learner::decode_snapshot(place.node->snapshot());
  REQUIRE(whole.has_value());
  auto older = *whole;
  std::erase_if(older.sections, [](const auto& section) { return section.name == "journal" || section.name == "former"; });
  const auto drifts = place.node->status().drifts;
  place.node = place.make();
  REQUIRE(place.node->restore(learner::encode(older)).has_value());
  CHECK(place.node->drifts().empty());
  CHECK(node::drifts_in(learner::encode(older))->empty());
  place.feed(600);
  place.stream.set(rotated(7), kAll);
  place.feed(300);
  REQUIRE_FALSE(place.node->drifts().empty());
  CHECK(place.node->drifts().front().id == drifts + 1);

  const auto now = place.node->snapshot();
  for (const char* name : {"journal", "former"}) {
    CAPTURE(name);
    for (auto& section : older.sections) REQUIRE(section.name != name);
    auto damaged = *whole;
    auto newer = *whole;
    for (auto* snapshot : {&damaged, &newer}) {
      for (auto& section : snapshot->sections) {
        if (section.name != name) continue;
        if (snapshot == &damaged) section.content.push_back(1);
        if (snapshot == &newer) section.content[0] = 0x7F;
      }
    }
    CHECK(place.node->restore(learner::encode(damaged)).error().code == ErrorCode::malformed);
    CHECK(place.node->restore(learner::encode(newer)).error().code == ErrorCode::version);
    CHECK(place.node->snapshot() == now);
  }
  CHECK(node::drifts_in(Bytes(5)).error().code == ErrorCode::malformed);
}

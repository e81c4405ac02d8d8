#include "overlay/node/node.hpp"

#include <algorithm>
#include <limits>

#include <catch2/catch.hpp>

#include "learner/snapshot.hpp"
#include "overlay/node/healing.hpp"
#include "overlay/sim/simulation.hpp"
#include "tests/node/learners.hpp"

using namespace p2p;
using namespace p2p::testing;

namespace {

struct Alone {
  sim::Simulation sim{1};
  sim::Host& host = sim.add_host();
  metadata::Task task = make_task(kWorld);
  std::vector<node::Event> events;

  std::unique_ptr<node::Node> make(const metadata::Task& its_task, const node::NodeOptions& options = {}) {
    auto made = node::Node::make(its_task, options,
                                 {.executor = host.executor(),
                                  .transport = nullptr,
                                  .directory = nullptr,
                                  .key = host.key(),
                                  .on_event = [this](const node::Event& event) { events.push_back(event); }});
    REQUIRE(made.has_value());
    return std::move(*made);
  }
  std::unique_ptr<node::Node> make() { return make(task); }
};

void feed(node::Node& node, Stream& stream, int samples) {
  for (int i = 0; i < samples; ++i) {
    const auto sample = stream.next();
    REQUIRE(node.process(sample.x, sample.label).has_value());
  }
}

}  // namespace

TEST_CASE("A node without an overlay learns, notices a drift, and says that it is alone") {
  Alone alone;
  auto node = alone.make();
  Stream stream(kWorld, 1);
  feed(*node, stream, 1000);
  CHECK(node->status().windowed_accuracy > 0.7);
  stream.set(rotated(5), kAll);
  feed(*node, stream, 200);
  REQUIRE_FALSE(node->drifts().empty());
  const auto& report = node->drifts().front();
  CHECK(report.finished);
  CHECK_FALSE(report.accepted);
  CHECK_THAT(report.reason, Catch::Contains("alone"));
  CHECK(report.attempts == 0);
  CHECK(node->status().phase == node::Phase::learning);
  CHECK_FALSE(node->status().published);
}

TEST_CASE("A sample without a label is predicted and changes nothing") {
  Alone alone;
  auto node = alone.make();
  Stream stream(kWorld, 1);
  feed(*node, stream, 300);
  const auto before = node->snapshot();
  const auto sample = stream.next();
  const auto outcome = node->process(sample.x, std::nullopt);
  REQUIRE(outcome.has_value());
  CHECK_FALSE(outcome->learned);
  CHECK(outcome->predicted == *node->predict(sample.x));
  CHECK(node->snapshot() == before);
}

TEST_CASE("Samples that cannot be are refused with a sentence and leave no trace") {
  Alone alone;
  auto node = alone.make();
  Stream stream(kWorld, 1);
  feed(*node, stream, 50);
  const auto before = node->snapshot();
  std::vector<float> x(kFeatures, 0.0f);
  CHECK(node->process(std::span(x).first(kFeatures - 1), 1).error().code == ErrorCode::invalid_argument);
  CHECK(node->process(x, -1).error().code == ErrorCode::invalid_argument);
  CHECK(node->process(x, static_cast<int>(kClasses)).error().code == ErrorCode::invalid_argument);
  x[3] = std::numeric_limits<float>::infinity();
  CHECK(node->process(x, 1).error().code == ErrorCode::invalid_argument);
  CHECK_FALSE(node->predict(x).has_value());
  CHECK(node->snapshot() == before);
  x[3] = std::numeric_limits<float>::quiet_NaN();  // a missing value
  CHECK(node->process(x, 1).has_value());
}

TEST_CASE("A task of an unknown family, and options that cannot be, are refused when the node is made") {
  Alone alone;
  auto task = alone.task;
  task.family = "oracle";
  const auto make = [&](const metadata::Task& its_task, const node::NodeOptions& options) {
    return node::Node::make(its_task, options,
                            {.executor = alone.host.executor(),
                             .transport = nullptr,
                             .directory = nullptr,
                             .key = alone.host.key(),
                             .on_event = nullptr});
  };
  CHECK(make(task, {}).error().code == ErrorCode::invalid_argument);
  node::NodeOptions options;
  options.window = 0;
  CHECK(make(alone.task, options).error().code == ErrorCode::invalid_argument);
  options = {};
  options.checkpoint_every = options.window + 1;
  CHECK(make(alone.task, options).error().code == ErrorCode::invalid_argument);
  options = {};
  options.trial.alpha = 0;
  CHECK(make(alone.task, options).error().code == ErrorCode::invalid_argument);
  options = {};
  options.trial.minimum_samples = options.trial.maximum_samples + 1;
  CHECK(make(alone.task, options).error().code == ErrorCode::invalid_argument);
  options = {};
  options.pending_labels = 1'000'001;
  CHECK(make(alone.task, options).error().code == ErrorCode::invalid_argument);
  options = {};
  options.shadow.patience = 1;
  CHECK(make(alone.task, options).error().code == ErrorCode::invalid_argument);
}

TEST_CASE("A restored node goes on as the one that was saved") {
  Alone alone;
  auto saved = alone.make();
  Stream stream(kWorld, 1), same(kWorld, 1);
  feed(*saved, stream, 800);
  auto restored = alone.make();
  REQUIRE(restored->restore(saved->snapshot()).has_value());
  CHECK(restored->status().samples == 800);
  CHECK(restored->status().accuracy == saved->status().accuracy);
  for (int i = 0; i < 800; ++i) same.next();
  for (int i = 0; i < 200; ++i) {
    const auto sample = same.next();
    REQUIRE(saved->process(sample.x, sample.label)->predicted ==
            restored->process(sample.x, sample.label)->predicted);
  }
}

TEST_CASE("A node without peers goes back to a concept of its own, also after a restart") {
  Alone alone;
  auto saved = alone.make();
  Stream stream(kWorld, 1);
  const auto first = relabelled({1, 2, 3, 4, 5, 0});
  stream.set(first, kAll);
  feed(*saved, stream, 1000);
  stream.set({}, kAll);
  feed(*saved, stream, 1000);
  REQUIRE(saved->status().concepts >= 1);
  auto restored = alone.make();
  REQUIRE(restored->restore(saved->snapshot()).has_value());
  REQUIRE(restored->status().concepts == saved->status().concepts);
  REQUIRE(restored->status().library_bytes == saved->status().library_bytes);
  stream.set(first, kAll);
  feed(*restored, stream, 60);
  REQUIRE_FALSE(restored->drifts().empty());
  CHECK(restored->drifts().back().cause == learner::DriftCause::known_concept);
  CHECK(restored->drifts().back().own_concept != 0);
  CHECK(restored->status().accepted == 1);
}

TEST_CASE(
    "A snapshot of another task, a damaged one and one of a newer version are told apart and change nothing") {
  Alone alone;
  auto node = alone.make();
  Stream stream(kWorld, 1);
  feed(*node, stream, 300);
  const auto good = node->snapshot();

  auto other_task = alone.task;
  other_task.seed = 12;
  auto other = alone.make(other_task);
  const auto before = other->snapshot();
  CHECK(other->restore(good).error().code == ErrorCode::invalid_argument);
  CHECK(other->snapshot() == before);

  auto fresh_node = alone.make();
  for (std::size_t cut = 0; cut < good.size(); cut += 997) {
    const auto torn = fresh_node->restore(ByteView(good).first(cut));
    REQUIRE_FALSE(torn.has_value());
    REQUIRE(torn.error().code == ErrorCode::malformed);
  }
  for (std::size_t at = 0; at < good.size(); at += 997) {
    auto flipped = good;
    flipped[at] ^= 0x10;
    REQUIRE_FALSE(fresh_node->restore(flipped).has_value());
  }
  auto snapshot = *learner::decode_snapshot(good);
  for (auto& section : snapshot.sections) {
    if (section.name == "node") section.content[0] = 99;
  }
  CHECK(fresh_node->restore(learner::encode(snapshot)).error().code == ErrorCode::version);
  CHECK(fresh_node->status().samples == 0);
  CHECK(fresh_node->restore(good).has_value());
}

TEST_CASE("After shutdown there are no events, and samples are refused") {
  Alone alone;
  auto node = alone.make();
  Stream stream(kWorld, 1);
  feed(*node, stream, 500);
  node->shutdown();
  const auto before = alone.events.size();
  const auto sample = stream.next();
  CHECK(node->process(sample.x, sample.label).error().code == ErrorCode::closed);
  CHECK(alone.events.size() == before);
}

TEST_CASE("A journal keeps the latest 256 reports, and a report in place of its former self") {
  node::Journal journal;
  for (std::uint64_t id = 1; id <= 300; ++id) {
    node::DriftReport report;
    report.id = id;
    journal.put(report);
  }
  REQUIRE(journal.reports().size() == node::Journal::kMax);
  CHECK(journal.reports().front().id == 45);
  auto changed = journal.reports()[10];
  changed.reason = "changed";
  journal.put(changed);
  CHECK(journal.reports().size() == node::Journal::kMax);
  CHECK(journal.reports()[10].reason == "changed");
}

TEST_CASE("Every phase and every kind of event has a name of its own") {
  std::vector<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(node::Phase::watching); ++i)
    names.push_back(node::name(static_cast<node::Phase>(i)));
  for (int i = 0; i <= static_cast<int>(node::Event::Kind::peer_refused); ++i) {
    names.push_back(node::name(static_cast<node::Event::Kind>(i)));
  }
  for (const auto name : names) CHECK(name != "unknown");
  std::sort(names.begin(), names.end());
  CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
}

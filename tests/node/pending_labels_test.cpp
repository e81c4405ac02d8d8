#include "overlay/node/pending_labels.hpp"

#include <catch2/catch.hpp>

#include "overlay/sim/simulation.hpp"
#include "tests/node/learners.hpp"

using namespace p2p;
using namespace p2p::testing;
using node::PendingLabels;

namespace {

std::uint64_t keep(PendingLabels& pending, float value) {
  const std::vector<float> x = {value};
  return pending.keep(x, 2);
}

std::unique_ptr<node::Node> alone(sim::Host& host, const metadata::Task& task, const node::NodeOptions& options = {}) {
  auto made = node::Node::make(task, options,
                               {.executor = host.executor(),
                                .transport = nullptr,
                                .directory = nullptr,
                                .key = host.key(),
                                .on_event = nullptr});
  REQUIRE(made.has_value());
  return std::move(*made);
}

}  // namespace

TEST_CASE("A sample is given back for its ticket, once, in any order") {
  PendingLabels pending(10);
  const auto first = keep(pending, 0.25f);
  const auto labelled = pending.count();
  const auto second = keep(pending, 0.5f);
  CHECK(pending.size() == 2);
  CHECK(pending.latest() == second);
  const auto sample = pending.take(second);
  REQUIRE(sample.has_value());
  CHECK(sample->x == std::vector<float>{0.5f});
  CHECK(sample->predicted == 2);
  CHECK(pending.take(first).has_value());
  CHECK(pending.size() == 0);
  for (const auto taken : {first, labelled, second}) {
    const auto again = pending.take(taken);
    REQUIRE_FALSE(again.has_value());
    CHECK(again.error().code == ErrorCode::invalid_argument);
    CHECK_THAT(again.error().message, Catch::Contains("label already"));
  }
}

TEST_CASE("Tickets that were never given and samples that were given up are told apart") {
  PendingLabels pending(2);
  for (int i = 0; i < 3; ++i) keep(pending, 0);
  CHECK(pending.size() == 2);
  for (const std::uint64_t unknown : {0, 4}) {
    CHECK(pending.take(unknown).error().code == ErrorCode::not_found);
    CHECK_THAT(pending.take(unknown).error().message, Catch::Contains("no sample has this ticket"));
  }
  CHECK(pending.take(1).error().code == ErrorCode::not_found);
  CHECK_THAT(pending.take(1).error().message, Catch::Contains("no longer kept") && Catch::Contains("latest 2"));
  pending.give_up();
  CHECK_THAT(pending.take(3).error().message, Catch::Contains("no longer kept"));
  CHECK(keep(pending, 0) == 4);
  CHECK(pending.take(4).has_value());
}

TEST_CASE("Where nothing is kept, every late label is refused") {
  PendingLabels pending(0);
  CHECK(keep(pending, 0) == 1);
  CHECK(pending.size() == 0);
  CHECK_THAT(pending.take(1).error().message, Catch::Contains("no longer kept"));
}

TEST_CASE("Labels that come at once or right after their samples make the same model and metrics") {
  sim::Simulation sim{1};
  const auto task = make_task(kWorld);
  const auto prompt = alone(sim.add_host(), task), late = alone(sim.add_host(), task);
  Stream one(kWorld, 1), other(kWorld, 1);
  for (int i = 0; i < 400; ++i) {
    const auto sample = one.next();
    REQUIRE(prompt->process(sample.x, sample.label).has_value());
    const auto again = other.next();
    const auto outcome = late->process(again.x, std::nullopt);
    REQUIRE(outcome.has_value());
    CHECK_FALSE(outcome->learned);
    CHECK(outcome->ticket == static_cast<std::uint64_t>(i) + 1);
    const auto labelled = late->label(outcome->ticket, again.label);
    REQUIRE(labelled.has_value());
    CHECK(labelled->learned);
    CHECK(labelled->predicted == outcome->predicted);
  }
  CHECK(prompt->snapshot() == late->snapshot());
}

TEST_CASE("What counts is the prediction made when the sample came, not what the model has learned since") {
  sim::Simulation sim{1};
  const auto task = make_task(kWorld);
  const auto node = alone(sim.add_host(), task);
  Stream stream(kWorld, 1);
  std::vector<node::Outcome> outcomes;
  std::vector<learner::ClassIndex> labels;
  for (int i = 0; i < 200; ++i) {  // an untrained model predicts them all
    const auto sample = stream.next();
    outcomes.push_back(*node->process(sample.x, std::nullopt));
    labels.push_back(sample.label);
  }
  CHECK(node->status().pending_labels == 200);
  CHECK(node->status().samples == 0);
  double right = 0;
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    right += outcomes[i].predicted == labels[i];
    CHECK(node->label(outcomes[i].ticket, labels[i])->predicted == outcomes[i].predicted);
  }
  CHECK(node->status().pending_labels == 0);
  CHECK(node->status().samples == 200);
  CHECK(node->status().accuracy == Approx(right / 200));
  CHECK(node->status().accuracy < 0.5);
  int knows = 0;
  for (int i = 0; i < 200; ++i) {
    const auto sample = stream.next();
    knows += *node->predict(sample.x) == sample.label;
  }
  CHECK(knows > 120);
}

TEST_CASE("Labels that cannot be are refused and leave the sample waiting") {
  sim::Simulation sim{1};
  const auto task = make_task(kWorld);
  node::NodeOptions options;
  options.pending_labels = 2;
  const auto node = alone(sim.add_host(), task, options);
  Stream stream(kWorld, 1);
  const auto ticket = node->process(stream.next().x, std::nullopt)->ticket;
  for (const int wrong : {-1, static_cast<int>(kClasses)}) {
    CHECK(node->label(ticket, wrong).error().code == ErrorCode::invalid_argument);
  }
  CHECK(node->status().pending_labels == 1);
  CHECK(node->label(ticket, 0).has_value());
  CHECK(node->label(ticket, 0).error().code == ErrorCode::invalid_argument);
  CHECK(node->label(ticket + 1, 0).error().code == ErrorCode::not_found);
  const auto snapshot = node->snapshot();
  const auto before = node->process(stream.next().x, std::nullopt)->ticket;
  REQUIRE(node->restore(snapshot).has_value());
  CHECK(node->label(before, 0).error().code == ErrorCode::not_found);  // of the model before the restart
  CHECK(node->process(stream.next().x, std::nullopt)->ticket == before + 1);
  node->shutdown();
  CHECK(node->label(before + 1, 0).error().code == ErrorCode::closed);
}

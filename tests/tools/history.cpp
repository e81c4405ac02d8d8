// What is asked of a journal, the answer, and both as text.
#include "tools/cli/history.hpp"

#include <algorithm>

#include <catch2/catch.hpp>

#include "overlay/node/journal.hpp"

using namespace p2p;
using namespace p2p::tools;
using Catch::Contains;

namespace {

std::vector<node::DriftReport> three_drifts() {
  std::vector<node::DriftReport> out(3);
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i].id = 5 + i;
    out[i].finished = true;
    node::add_step(out[i], {.kind = node::EventKind::drift_detected, .samples = 900, .wall_ms = 1'800'000'000'000, .text = "alarm"});
  }
  out[1].accepted = true;
  out[1].classes = {1};
  out[1].own_concept = 4;
  out[1].tally = {40, 10, 31, 22, 1};
  node::add_step(out[1], {.kind = node::EventKind::lookup_done, .text = "found", .figures = {{"gets", 7}, {"questions", 3}, {"ms", 2}}});
  node::add_step(out[1], {.kind = node::EventKind::trial_done,
                          .text = "won",
                          .challengers = {{"own concept 4, as it was", out[1].tally, 0.001}, {"the other", {40, 10, 9, 1, 2}, 1}}});
  out[1].steps_left_out = 2;
  return out;
}

}  // namespace

TEST_CASE("a request to the journal that is not what it should be is refused", "[tools]") {
  for (const auto& request : {Json{{"id", -1}}, Json{{"id", "7"}}, Json{{"last", 1.5}}, Json{{"id", 1}, {"redo", 1}}, Json::object()}) {
    CAPTURE(request.dump());
    const auto asked = parse_journal_request("rollback", request);
    REQUIRE_FALSE(asked.has_value());
    CHECK(asked.error().code == ErrorCode::invalid_argument);
  }
  const auto all = parse_journal_request("history", Json::object());
  REQUIRE(all.has_value());
  CHECK_FALSE(all->id.has_value());
  const auto again = parse_journal_request("rollback", Json{{"id", 7u}, {"redo", true}});
  REQUIRE(again.has_value());
  CHECK(again->id == 7);
  CHECK(again->redo);
}

TEST_CASE("the latest drifts come last, one comes with its steps, and one that is not there is named with those that are", "[tools]") {
  metadata::Task task;
  task.classes = {"north", "south"};
  const auto drifts = three_drifts();
  const auto latest = history_json(drifts, {.id = {}, .last = 2}, task);
  REQUIRE(latest.has_value());
  REQUIRE((*latest)["drifts"].size() == 2);
  CHECK((*latest)["drifts"][0]["id"] == 6);
  CHECK((*latest)["drifts"][0]["classes"][0] == "south");
  CHECK_FALSE((*latest)["drifts"][0].contains("steps"));
  const auto one = history_json(drifts, {.id = 6, .last = {}}, task);
  REQUIRE(one.has_value());
  const auto& steps = (*one)["drift"]["steps"];
  REQUIRE(steps.size() == 3);
  CHECK(steps[1]["questions"] == 3);
  CHECK(steps[2]["challengers"][1]["losses"] == 2);
  const auto none = history_json(drifts, {.id = 9, .last = {}}, task);
  REQUIRE_FALSE(none.has_value());
  CHECK(none.error().code == ErrorCode::not_found);
  CHECK_THAT(none.error().message, Contains("5 to 7"));
  CHECK_THAT(history_json({}, {.id = 9, .last = {}}, task).error().message, Contains("none so far"));
}

TEST_CASE("a story for people names every challenger, and without a task classes are numbers", "[tools]") {
  const auto drifts = three_drifts();
  const auto list = history_text(*history_json(drifts, {}, {}));
  CHECK_THAT(list, Contains("own concept 4") && Contains("31:10 of 40") && Contains("learned alone") && Contains("merged"));
  CHECK(std::count(list.begin(), list.end(), '\n') == 4);
  const auto story = history_text(*history_json(drifts, {.id = 6, .last = {}}, {}));
  CHECK_THAT(story, Contains("in 1: merged") && Contains("7 keys read, 3 nodes asked"));
  CHECK_THAT(story, Contains("own concept 4, as it was: right on 31 of 40 against 10; 22 won, 1 lost; by luck 0.001"));
  CHECK_THAT(story, Contains("the other: right on 9 of 40") && Contains("2 steps after the first one are no longer kept"));
  CHECK(history_text(Json{{"drifts", Json::array()}}) == "No drift so far.\n");
  CHECK_THAT(history_text(*history_json(drifts, {.id = {}, .last = 2}, {})), Contains("\n1 earlier one is left out.\n"));
  CHECK_THAT(history_text(*history_json(drifts, {.id = {}, .last = 1}, {})), Contains("\n2 earlier ones are left out.\n"));
  CHECK(history_text(*history_json(drifts, {.id = {}, .last = 0}, {})) == "3 drifts kept, none of them shown.\n");
  CHECK(history_text(*history_json({}, {.id = {}, .last = 0}, {})) == "No drift so far.\n");
  CHECK(history_json(drifts, {.id = {}, .last = 0}, {})->at("kept") == 3);
  CHECK(moment(0) == "-");
  CHECK(moment(1'800'000'000'000).size() == 19);
}

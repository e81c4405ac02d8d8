#include "tools/demo_cmd/result.hpp"

#include <catch2/catch.hpp>

#include "tools/demo_cmd/result_json.hpp"

using namespace p2p;
using namespace p2p::tools;

namespace {

void append(Hits& hits, std::size_t count, unsigned right) {
  for (std::size_t i = 0; i < count; ++i) hits.push_back((i * right) % 10 < right);
}

/// Four nodes; the one with the real-concept change (n3) recovers after 50 samples with n4's help,
/// its twin after 400.
struct Made {
  Scenario scenario = *make_scenario({.seed = 5, .nodes = 4, .samples = 4000});
  std::vector<NodeLog> logs{4};
  Scripted change;

  Made() {
    for (const Scripted& s : scenario.script) {
      if (s.workload == Workload::real_concept) change = s;
    }
    for (std::size_t i = 0; i < 4; ++i) {
      logs[i].id = std::string(16, static_cast<char>('a' + i)) + "ffff";
      append(logs[i].node, 4000, 8);
      append(logs[i].twin, 4000, 8);
    }
    NodeLog& log = logs[2];
    log.node.clear();
    log.twin.clear();
    append(log.node, change.at_sample, 8);
    append(log.node, 50, 1);
    append(log.node, 4000 - change.at_sample - 50, 8);
    append(log.twin, change.at_sample, 8);
    append(log.twin, 400, 1);
    append(log.twin, 4000 - change.at_sample - 400, 8);
    Story story;
    story.id = 1;
    story.detected_at = change.at_sample + 35;
    story.helper = std::string(16, 'd');
    story.accepted = true;
    story.open = false;
    story.blocks = 10;
    story.parts = 1;
    story.bytes_pulled = 40'000;
    story.detect_to_merge_ms = 250;
    story.merged_at = change.at_sample + 45;
    log.stories.push_back(story);
  }
  DemoResult result() const {
    return make_result({.scenario = scenario,
                        .logs = logs,
                        .deaths = std::vector<std::string>(4),
                        .last_errors = std::vector<std::vector<std::string>>(4),
                        .data = "made up",
                        .classes = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"},
                        .sample_bytes = 785,
                        .deflate_ratio = 0.5});
  }
  const DriftResult& drift(const DemoResult& result) const {
    for (const DriftResult& d : result.drifts) {
      if (d.scripted.workload == Workload::real_concept) return d;
    }
    throw std::logic_error("no such drift");
  }
};

}  // namespace

TEST_CASE("A scripted drift is matched with the first alarm of its phase, its helper named") {
  const Made made;
  const DemoResult result = made.result();
  const DriftResult& drift = made.drift(result);
  CHECK(drift.detected);
  CHECK(drift.delay == 35);
  CHECK(drift.helper == "n4");
  CHECK(drift.told.accepted);
  CHECK(drift.blocks == 10);
  REQUIRE(drift.recovery.node);
  REQUIRE(drift.recovery.twin);
  CHECK(*drift.recovery.node <= 50);
  CHECK(*drift.recovery.node >= 30);
  CHECK(*drift.recovery.twin >= 380);
  CHECK(drift.ratio->value > 7);
  CHECK(*drift.samples_to_merge == 45);
  CHECK(*result.stages.detect_to_merge == 250);
  CHECK(result.nodes[2].false_alarms == 0);
}

TEST_CASE("An alarm outside every scripted phase is a false alarm, a second one within a phase a repeat") {
  Made made;
  Story early;
  early.id = 9;
  early.detected_at = made.change.at_sample;  // raised by the last sample of the old phase
  made.logs[2].stories.insert(made.logs[2].stories.begin(), early);
  Story again = made.logs[2].stories.back();
  again.id = 10;
  again.accepted = false;
  again.detected_at += 300;
  made.logs[2].stories.push_back(again);
  Story helper;
  helper.id = 1;
  helper.detected_at = 2000;
  made.logs[3].stories.push_back(helper);
  const DemoResult result = made.result();
  CHECK(result.nodes[2].false_alarms == 1);
  CHECK(result.nodes[2].repeats == 1);
  CHECK(result.nodes[3].false_alarms == 1);
  const DriftResult& drift = made.drift(result);
  CHECK(drift.delay == 35);
  CHECK(drift.stories.size() == 2);
  CHECK(drift.bytes_pulled == 80'000);  // everything that was pulled in the phase
}

TEST_CASE("When the classes have gone again, an alarm is a false one: leaving is no scripted drift") {
  Made made;
  const Scripted* visit = nullptr;
  for (const Scripted& s : made.scenario.script) {
    if (s.workload == Workload::fluctuation && !s.returning) visit = &s;
  }
  REQUIRE(visit);
  Story story;
  story.id = 1;
  story.detected_at = visit->until;  // raised by the last sample of the visit
  made.logs[visit->node].stories = {story};
  CHECK(made.result().nodes[visit->node].false_alarms == 0);
  made.logs[visit->node].stories[0].detected_at = visit->until + 1;
  CHECK(made.result().nodes[visit->node].false_alarms == 1);
}

TEST_CASE("Without help, a drift tells how the last alarm that was followed up ended") {
  Made made;
  auto& stories = made.logs[2].stories;
  stories[0].accepted = false;
  stories[0].reason = "superseded";
  Story second = stories[0], third = stories[0];
  second.id = 2;
  second.detected_at += 70;
  second.reason = "nothing did better";
  third.id = 3;
  third.detected_at += 90;
  third.part_of = 2;
  third.reason = "left to drift 2";
  stories.push_back(second);
  stories.push_back(third);
  const DemoResult result = made.result();
  CHECK(made.drift(result).told.reason == "nothing did better");
  CHECK(made.drift(result).delay == 35);
  CHECK_FALSE(made.drift(result).samples_to_merge);
}

TEST_CASE("A merge that was undone is told only when no later one helped, and peers go by their names") {
  Made made;
  auto& stories = made.logs[2].stories;
  stories[0].rolled_back = true;
  stories[0].reason = "merged, and undone";
  const DemoResult undone = made.result();
  CHECK(made.drift(undone).told.reason == "merged, and undone");
  Story second = stories[0];
  second.id = 2;
  second.rolled_back = false;
  second.merged_at += 100;
  second.reason = "dddddddddddddddd and eeeeeeeeeeeeeeee together won";
  stories.push_back(second);
  const DemoResult result = made.result();
  CHECK(made.drift(result).told.reason == "n4 and eeeeeeeeeeeeeeee together won");
  CHECK(*made.drift(result).samples_to_merge == 145);
}

TEST_CASE("An undetected drift is told as such, and still measured") {
  Made made;
  made.logs[2].stories.clear();
  const DemoResult result = made.result();
  const DriftResult& drift = made.drift(result);
  CHECK_FALSE(drift.detected);
  CHECK(drift.ratio);
  const Json json = to_json(result);
  for (const Json& d : json["drifts"]) {
    if (d["workload"] != "real_concept") continue;
    CHECK(d["detected"] == false);
    CHECK(d["reason"] == "not detected");
    CHECK(d["detect_to_merge_ms"].is_null());
  }
}

TEST_CASE("Bytes of links are counted once although both ends saw them, those of the directory as sent") {
  Made made;
  for (NodeLog& log : made.logs) {
    log.cost.traffic = {{"chunk", 1000}, {"link", 10}};
    log.cost.dht_sent = 300;
    log.cost.dht_received = 290;
  }
  const DemoResult result = made.result();
  CHECK(result.bytes.by_kind.at("chunk") == 2000);
  CHECK(result.bytes.by_kind.at("link") == 20);
  CHECK(result.bytes.by_kind.at("dht") == 1200);
  CHECK(result.bytes.total == 3220);
  CHECK(result.bytes.raw == 4u * 4000 * 785);
  CHECK(result.bytes.raw_deflated == result.bytes.raw / 2);
}

TEST_CASE("Accuracy over the second half starts at the middle of the planned stream") {
  Made made;
  made.logs[3].node.clear();
  append(made.logs[3].node, 2000, 5);
  append(made.logs[3].node, 1000, 10);  // it ended early
  const DemoResult result = made.result();
  CHECK(*result.nodes[3].second_half == Approx(1));
  CHECK(*result.nodes[3].twin_second_half == Approx(0.8));
  CHECK(result.nodes[3].samples == 3000);
}

TEST_CASE("The JSON has every key that the issue asks for, and says null and censored where nothing was") {
  Made made;
  made.logs[2].twin.clear();
  append(made.logs[2].twin, made.change.at_sample, 8);
  append(made.logs[2].twin, 4000 - made.change.at_sample - 300, 1);
  append(made.logs[2].twin, 300, 8);  // recovers only where no room is left
  const Json json = to_json(made.result());
  bool found = false;
  for (const Json& drift : json["drifts"]) {
    for (const char* key :
         {"workload", "node", "detected", "detect_to_merge_ms", "samples_to_recover",
          "twin_samples_to_recover", "bytes_pulled", "accepted", "reason", "lookup_ms", "censored"}) {
      CHECK(drift.contains(key));
    }
    if (drift["workload"] != "real_concept") continue;
    found = true;
    CHECK(drift["censored"] == false);
    CHECK(drift["samples_to_recover"].is_number());
    CHECK(drift["detect_to_merge_ms"] == 250.0);
  }
  CHECK(found);
  for (const Json& node : json["nodes"]) {
    for (const char* key : {"id", "accuracy", "twin_accuracy", "samples", "second_half_accuracy",
                            "twin_second_half_accuracy", "rss_bytes", "threads", "cpu_s"}) {
      CHECK(node.contains(key));
    }
    CHECK(node["rss_bytes"].is_null());  // none of them told
  }
  CHECK(json["bytes"].contains("raw_data"));
  CHECK(json["medians"].contains("introduction"));
}

TEST_CASE("Of an interrupted stream only what was reached counts") {
  Made made;
  for (NodeLog& log : made.logs) {
    log.node.resize(1000);
    log.twin.resize(1000);
    log.stories.clear();
  }
  const DemoResult result = made.result();
  CHECK_FALSE(made.drift(result).reached);
  CHECK_FALSE(made.drift(result).ratio);
  CHECK(result.workloads[2].drifts == 0);
  CHECK_FALSE(result.workloads[2].ratio);
  CHECK(result.bytes.raw == 4u * 1000 * 785);
}

#include "tools/demo_cmd/result_json.hpp"

#include <cmath>

namespace p2p::tools {
namespace {

template <typename T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json number(const std::optional<Censored>& value) {
  return value && !value->beyond ? Json(value->value) : Json(nullptr);
}

Json story_json(const Story& story) {
  return {
      {"detected_at", story.detected_at},
      {"cause", story.cause},
      {"helper", story.helper},
      {"helper_distance", story.helper_distance < 0 ? Json(nullptr) : Json(story.helper_distance)},
      {"gets", story.gets},
      {"candidates", story.candidates},
      {"parts", story.parts},
      {"blocks", story.blocks},
      {"bytes_pulled", story.bytes_pulled},
      {"accepted", story.accepted},
      {"rolled_back", story.rolled_back},
      {"reason", story.reason},
      {"merged_at", story.accepted ? Json(story.merged_at) : Json(nullptr)},
      {"lookup_ms", story.lookup_ms},
      {"ask_ms", story.ask_ms},
      {"pull_ms", story.pull_ms},
      {"trial_ms", story.trial_ms},
      {"detect_to_merge_ms", story.accepted ? Json(story.detect_to_merge_ms) : Json(nullptr)}};
}

Json drift_json(const DemoResult& result, const DriftResult& drift) {
  const Scripted& scripted = drift.scripted;
  Json classes = Json::array();
  for (const int c : scripted.classes)
    classes.push_back(result.classes[static_cast<std::size_t>(c)]);
  const Story* story = drift.detected ? &drift.told : nullptr;
  Json stories = Json::array();
  for (const Story& s : drift.stories) stories.push_back(story_json(s));
  const bool measured = drift.level.has_value();
  Json out;
  out["workload"] = name(scripted.workload);
  out["node"] = result.nodes[scripted.node].name;
  out["at_sample"] = scripted.at_sample;
  out["until"] = scripted.until;
  out["classes"] = std::move(classes);
  out["transform"] = name(scripted.transform);
  out["returning"] = scripted.returning;
  out["reached"] = drift.reached;
  out["detected"] = drift.detected;
  out["detection_delay_samples"] = drift.detected ? Json(drift.delay) : Json(nullptr);
  out["detect_to_merge_ms"] =
      story && story->accepted ? Json(story->detect_to_merge_ms) : Json(nullptr);
  out["samples_to_merge"] = or_null(drift.samples_to_merge);
  out["lookup_ms"] = story ? Json(story->lookup_ms) : Json(nullptr);
  out["ask_ms"] = story ? Json(story->ask_ms) : Json(nullptr);
  out["pull_ms"] = story ? Json(story->pull_ms) : Json(nullptr);
  out["trial_ms"] = story ? Json(story->trial_ms) : Json(nullptr);
  out["helper"] = story && !drift.helper.empty() ? Json(drift.helper) : Json(nullptr);
  out["parts"] = drift.parts;
  out["blocks"] = drift.blocks;
  out["bytes_pulled"] = drift.bytes_pulled;
  out["accepted"] = story && story->accepted;
  out["rolled_back"] = story && story->rolled_back;
  out["reason"] = story
                      ? story->reason
                      : std::string(drift.reached ? "not detected" : "the stream ended before it");
  out["measured"] = measured;
  out["recovery_level"] = or_null(drift.level);
  out["samples_to_recover"] = or_null(drift.recovery.node);
  out["censored"] = measured && !drift.recovery.node;
  out["twin_samples_to_recover"] = or_null(drift.recovery.twin);
  out["twin_censored"] = measured && !drift.recovery.twin;
  out["ratio"] = number(drift.ratio);
  out["ratio_censored"] = drift.ratio && drift.ratio->beyond;
  out["alarms"] = std::move(stories);
  return out;
}

Json node_json(const NodeResult& node) {
  Json out;
  out["name"] = node.name;
  out["role"] = node.role;
  out["id"] = node.id;
  out["samples"] = node.samples;
  out["accuracy"] = node.accuracy;
  out["twin_accuracy"] = node.twin_accuracy;
  out["second_half_accuracy"] = or_null(node.second_half);
  out["twin_second_half_accuracy"] = or_null(node.twin_second_half);
  out["alarms"] = node.alarms;
  out["false_alarms"] = node.false_alarms;
  out["repeated_alarms"] = node.repeats;
  const auto told = [&](Json value) { return node.summed_up ? std::move(value) : Json(nullptr); };
  out["rss_bytes"] = told(node.cost.rss_bytes);
  out["threads"] = told(node.cost.threads);
  out["cpu_s"] = told(node.cost.cpu_s);
  out["dht_sent_bytes"] = told(node.cost.dht_sent);
  out["dht_received_bytes"] = told(node.cost.dht_received);
  out["died"] = node.death.empty() ? Json(nullptr) : Json(node.death);
  if (!node.last_errors.empty()) out["last_errors"] = node.last_errors;
  return out;
}

Json medians_json(const Medians& medians) {
  Json out;
  out["drifts"] = medians.drifts;
  out["detected"] = medians.detected;
  out["accepted"] = medians.accepted;
  out["detection_delay_samples"] = or_null(medians.delay);
  out["samples_to_recover"] = number(medians.node);
  out["censored"] = medians.node && medians.node->beyond;
  out["twin_samples_to_recover"] = number(medians.twin);
  out["twin_censored"] = medians.twin && medians.twin->beyond;
  out["ratio"] = number(medians.ratio);
  out["ratio_censored"] = medians.ratio && medians.ratio->beyond;
  return out;
}

Json stages_json(const StageTimes& stages) {
  return {{"lookup", or_null(stages.lookup)},
          {"ask", or_null(stages.ask)},
          {"pull", or_null(stages.pull)},
          {"trial", or_null(stages.trial)},
          {"detect_to_merge", or_null(stages.detect_to_merge)}};
}

}  // namespace

Json to_json(const DemoResult& result) {
  Json out;
  out["seed"] = result.options.seed;
  out["data"] = result.data;
  out["samples_per_node"] = result.options.samples;
  out["rate"] = result.rate;
  out["interrupted"] = result.interrupted;
  out["elapsed_s"] = result.elapsed_s;
  out["stream_s"] = result.stream_s;
  out["images_reused"] = result.images_reused;
  out["drifts"] = Json::array();
  for (const DriftResult& drift : result.drifts) out["drifts"].push_back(drift_json(result, drift));
  out["nodes"] = Json::array();
  std::uint64_t false_alarms = 0, repeats = 0;
  for (const NodeResult& node : result.nodes) {
    out["nodes"].push_back(node_json(node));
    false_alarms += node.false_alarms;
    repeats += node.repeats;
  }
  out["false_alarms"] = false_alarms;
  out["repeated_alarms"] = repeats;
  for (std::size_t w = 0; w < result.workloads.size(); ++w) {
    out["medians"][std::string(name(kWorkloads[w]))] = medians_json(result.workloads[w]);
  }
  out["stages_ms"] = stages_json(result.stages);
  for (const auto& [kind, bytes] : result.bytes.by_kind) out["bytes"][kind] = bytes;
  out["bytes"]["total"] = result.bytes.total;
  out["bytes"]["raw_data"] = result.bytes.raw;
  out["bytes"]["raw_data_deflated"] = result.bytes.raw_deflated;
  return out;
}

Json to_json(const std::vector<DemoResult>& results) {
  Json out;
  out["runs"] = Json::array();
  std::vector<DriftResult> all;
  for (const DemoResult& result : results) {
    out["runs"].push_back(to_json(result));
    all.insert(all.end(), result.drifts.begin(), result.drifts.end());
  }
  for (const Workload workload : kWorkloads) {
    out["medians"][std::string(name(workload))] = medians_json(medians_of(all, workload));
  }
  out["stages_ms"] = stages_json(stages_of(all));
  return out;
}

}  // namespace p2p::tools

#include "tools/demo_cmd/result.hpp"

#include <algorithm>

namespace p2p::tools {
namespace {

constexpr std::size_t kBriefId = 16;  // digits of NodeId::brief()

std::string helper_name(const std::vector<NodeLog>& logs, const Scenario& scenario,
                        const std::string& brief) {
  if (brief.empty()) return {};
  for (std::size_t i = 0; i < logs.size(); ++i) {
    if (logs[i].id.starts_with(brief)) return scenario.plans[i].name;
  }
  return brief;
}

/// An alarm at count n was raised by the n-th sample; the first of the new phase is number
/// at_sample + 1.
bool covers(const Scripted& scripted, const Story& story) {
  return story.detected_at > scripted.at_sample && story.detected_at <= scripted.until;
}

DriftResult drift_result(const ResultInput& input, const Scripted& scripted) {
  const NodeLog& log = input.logs[scripted.node];
  DriftResult out;
  out.scripted = scripted;
  out.reached = log.node.size() > scripted.at_sample;
  for (const Story& story : log.stories) {
    if (!covers(scripted, story)) continue;
    out.stories.push_back(story);
    out.stories.back().reason = with_names(story.reason, input.logs, input.scenario);
  }
  if (!out.stories.empty()) {
    out.detected = true;
    out.delay = out.stories.front().detected_at - scripted.at_sample;
    const auto helped = [](const Story& s) { return s.accepted && !s.rolled_back; };
    const auto accepted = [](const Story& s) { return s.accepted; };
    // Without help: the last one that was followed up, for it says how the matter ended.
    const auto followed_up = [](const Story& s) { return s.part_of == 0; };
    auto told = std::find_if(out.stories.begin(), out.stories.end(), helped);
    if (told == out.stories.end()) {
      told = std::find_if(out.stories.begin(), out.stories.end(), accepted);
    }
    if (told == out.stories.end()) {
      const auto last = std::find_if(out.stories.rbegin(), out.stories.rend(), followed_up);
      told = last == out.stories.rend() ? out.stories.begin() : std::prev(last.base());
    }
    out.told = *told;
    if (told->accepted) {
      out.samples_to_merge = told->merged_at - std::min(told->merged_at, scripted.at_sample);
    }
    out.helper = helper_name(input.logs, input.scenario, out.told.helper);
    for (const Story& story : out.stories) {
      out.parts += story.parts;
      out.blocks += story.blocks;
      out.bytes_pulled += story.bytes_pulled;
    }
  }
  out.level = recovery_level(log.twin, scripted.at_sample, scripted.until);
  if (out.level) {
    out.recovery.node =
        samples_to_recover(log.node, scripted.at_sample, scripted.until, *out.level);
    out.recovery.twin =
        samples_to_recover(log.twin, scripted.at_sample, scripted.until, *out.level);
    out.ratio = speed_up(out.recovery);
  }
  return out;
}

NodeResult node_result(const ResultInput& input, std::size_t index) {
  const NodeLog& log = input.logs[index];
  NodeResult out;
  out.name = input.scenario.plans[index].name;
  out.role = input.scenario.plans[index].role;
  out.id = log.id;
  out.samples = log.node.size();
  const std::uint64_t half = input.scenario.options.samples / 2;
  out.accuracy = accuracy(log.node, 0, log.node.size()).value_or(0);
  out.twin_accuracy = accuracy(log.twin, 0, log.twin.size()).value_or(0);
  if (log.node.size() >= half + kRecoveryWindow) {
    out.second_half = accuracy(log.node, half, log.node.size());
    out.twin_second_half = accuracy(log.twin, half, log.twin.size());
  }
  out.alarms = log.stories.size();
  std::map<std::uint64_t, std::uint64_t> in_phase;  // by the scripted change
  for (const Story& story : log.stories) {
    const Scripted* change = nullptr;
    for (const Scripted& s : input.scenario.script) {
      if (s.node == index && covers(s, story)) change = &s;
    }
    if (change == nullptr) {
      ++out.false_alarms;
    } else if (in_phase[change->at_sample]++ > 0) {
      ++out.repeats;
    }
  }
  out.cost = log.cost;
  out.summed_up = log.summed_up;
  out.death = input.deaths[index];
  out.last_errors = input.last_errors[index];
  out.hits = log.node;
  out.twin_hits = log.twin;
  return out;
}

ByteCount byte_count(const ResultInput& input) {
  ByteCount out;
  std::uint64_t samples = 0;
  for (const NodeLog& log : input.logs) {
    samples += log.node.size();
    out.by_kind["dht"] += log.cost.dht_sent;
    for (const auto& [kind, bytes] : log.cost.traffic) out.by_kind[kind] += bytes;
  }
  for (auto& [kind, bytes] : out.by_kind) {
    if (kind != "dht") bytes /= 2;  // both ends of a link counted both directions
    out.total += bytes;
  }
  out.raw = samples * input.sample_bytes;
  out.raw_deflated = static_cast<std::uint64_t>(static_cast<double>(out.raw) * input.deflate_ratio);
  return out;
}

std::optional<double> stage(const std::vector<DriftResult>& drifts, double Story::*field) {
  std::vector<double> values;
  for (const DriftResult& drift : drifts) {
    for (const Story& story : drift.stories) {
      if (story.accepted) values.push_back(story.*field);
    }
  }
  return median(std::move(values));
}

}  // namespace

std::string with_names(std::string text, const std::vector<NodeLog>& logs,
                       const Scenario& scenario) {
  for (std::size_t i = 0; i < logs.size(); ++i) {
    if (logs[i].id.size() < kBriefId) continue;
    const std::string brief = logs[i].id.substr(0, kBriefId);
    for (std::size_t at = text.find(brief); at != std::string::npos; at = text.find(brief, at)) {
      text.replace(at, kBriefId, scenario.plans[i].name);
    }
  }
  return text;
}

std::optional<double> NodeResult::gain() const {
  if (!second_half || !twin_second_half) return std::nullopt;
  return *second_half - *twin_second_half;
}

StageTimes stages_of(const std::vector<DriftResult>& drifts) {
  return {.lookup = stage(drifts, &Story::lookup_ms),
          .ask = stage(drifts, &Story::ask_ms),
          .pull = stage(drifts, &Story::pull_ms),
          .trial = stage(drifts, &Story::trial_ms),
          .detect_to_merge = stage(drifts, &Story::detect_to_merge_ms)};
}

Medians medians_of(const std::vector<DriftResult>& drifts, Workload workload) {
  Medians out;
  std::vector<Censored> ratios, nodes, twins;
  std::vector<double> delays;
  for (const DriftResult& drift : drifts) {
    if (drift.scripted.workload != workload || !drift.reached) continue;
    ++out.drifts;
    if (drift.detected) {
      ++out.detected;
      delays.push_back(static_cast<double>(drift.delay));
    }
    if (drift.told.accepted) ++out.accepted;
    if (!drift.ratio) continue;
    const auto censored = [](const std::optional<std::uint64_t>& samples) {
      return samples ? Censored{static_cast<double>(*samples), false} : Censored{0, true};
    };
    ratios.push_back(*drift.ratio);
    nodes.push_back(censored(drift.recovery.node));
    twins.push_back(censored(drift.recovery.twin));
  }
  out.ratio = median(std::move(ratios));
  out.node = median(std::move(nodes));
  out.twin = median(std::move(twins));
  out.delay = median(std::move(delays));
  return out;
}

DemoResult make_result(const ResultInput& input) {
  DemoResult out;
  out.options = input.scenario.options;
  out.data = input.data;
  out.classes = input.classes;
  for (const Scripted& scripted : input.scenario.script)
    out.drifts.push_back(drift_result(input, scripted));
  for (std::size_t i = 0; i < input.logs.size(); ++i) out.nodes.push_back(node_result(input, i));
  out.bytes = byte_count(input);
  for (std::size_t w = 0; w < out.workloads.size(); ++w)
    out.workloads[w] = medians_of(out.drifts, kWorkloads[w]);
  out.stages = stages_of(out.drifts);
  return out;
}

std::string_view explain_kind(std::string_view kind) {
  if (kind == "dht") return "directory and its upkeep (OpenDHT)";
  if (kind == "describe") return "descriptions of candidates";
  if (kind == "manifest") return "lists of blocks";
  if (kind == "chunk") return "model parts";
  if (kind == "feedback") return "thanks to helpers";
  if (kind == "link") return "TLS and framing";
  return "other";
}

}  // namespace p2p::tools

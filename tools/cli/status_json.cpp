#include "tools/cli/status_json.hpp"

#include <cmath>

#include "tools/cli/overlay_json.hpp"

namespace p2p::tools {

double to_ms(overlay::Duration duration) { return static_cast<double>(duration.count()) / 1000.0; }
Json ms_or_null(overlay::Duration duration) { return duration.count() > 0 ? Json(to_ms(duration)) : Json(nullptr); }

namespace {

Json class_names(const std::vector<learner::ClassIndex>& classes, const metadata::Task& task) {
  Json out = Json::array();
  for (const auto c : classes) {
    const bool known = c >= 0 && static_cast<std::size_t>(c) < task.classes.size();
    out.push_back(known ? Json(task.classes[static_cast<std::size_t>(c)]) : Json(c));
  }
  return out;
}

Json tally(const learner::Trial::Tally& t) {
  return Json{{"samples", t.samples},
              {"champion_correct", t.champion_correct},
              {"challenger_correct", t.challenger_correct},
              {"wins", t.wins},
              {"losses", t.losses}};
}

/// Not listening: null.
Json address(const metadata::Endpoint& endpoint) {
  return endpoint.port == 0 ? Json(nullptr) : Json(endpoint.text());
}

}  // namespace

Json to_json(const node::DriftReport& report, const metadata::Task& task) {
  return Json{
      {"id", report.id},
      {"detected_at", report.detected_at},
      {"since", report.since},
      {"wall_ms", report.steps.empty() ? Json(nullptr) : Json(report.steps.front().wall_ms)},
      {"cause", learner::name(report.cause)},
      {"kind", node::name(report.kind)},
      {"classes", class_names(report.classes, task)},
      {"part_of", report.part_of == 0 ? Json(nullptr) : Json(report.part_of)},
      {"finished", report.finished},
      {"archived", report.archived == 0 ? Json(nullptr) : Json(report.archived)},
      {"own_concept", report.own_concept == 0 ? Json(nullptr) : Json(report.own_concept)},
      {"attempts", report.attempts},
      {"gets", report.gets},
      {"candidates", report.candidates},
      {"helper", report.helper.empty() ? Json(nullptr) : Json(report.helper)},
      {"helper_distance",
       report.helper_distance < 0 ? Json(nullptr) : Json(report.helper_distance)},
      {"parts", report.parts},
      {"blocks", report.blocks},
      {"bytes_pulled", report.bytes_pulled},
      {"accepted", report.accepted},
      {"provisional", report.provisional},
      {"rolled_back", report.rolled_back},
      {"reason", report.reason},
      {"trial", tally(report.tally)},
      {"luck", report.luck},
      {"watch", tally(report.watch)},
      {"merged_at", report.merged_at},
      {"lookup_ms", to_ms(report.lookup)},
      {"ask_ms", to_ms(report.ask)},
      {"pull_ms", to_ms(report.pull)},
      {"trial_ms", to_ms(report.trial)},
      {"detect_to_merge_ms", report.accepted ? Json(to_ms(report.detect_to_merge)) : Json(nullptr)},
  };
}

Json story_json(const node::DriftReport& report, const metadata::Task& task) {
  Json steps = Json::array();
  for (const auto& step : report.steps) {
    Json one{{"step", node::name(step.kind)},
             {"samples", step.samples},
             {"wall_ms", step.wall_ms},
             {"subject", step.subject.empty() ? Json(nullptr) : Json(step.subject)},
             {"text", step.text}};
    for (const auto& [name, value] : step.figures) {
      const bool whole = value == std::floor(value) && std::abs(value) < 9e15 && name != "ms";
      one[name] = whole ? Json(static_cast<std::int64_t>(value)) : Json(value);
    }
    if (!step.challengers.empty()) {
      Json all = Json::array();
      for (const auto& challenger : step.challengers) {
        Json entry = tally(challenger.tally);
        entry["label"] = challenger.label;
        entry["luck"] = challenger.luck;
        all.push_back(std::move(entry));
      }
      one["challengers"] = std::move(all);
    }
    steps.push_back(std::move(one));
  }
  Json out = to_json(report, task);
  out["steps"] = std::move(steps);
  out["steps_left_out"] = report.steps_left_out;
  return out;
}

Json to_json(const node::Event& event, const metadata::Task& task) {
  return Json{
      {"type", "event"},
      {"event", node::name(event.kind)},
      {"samples", event.samples},
      {"text", event.text},
      {"drift", event.drift.id == 0 ? Json(nullptr) : to_json(event.drift, task)},
  };
}

Json to_json(const overlay::PeerStats& peer) {
  return Json{
      {"id", peer.id.hex()},
      {"endpoint", address(peer.endpoint)},
      {"remote", address(peer.remote)},
      {"connected", peer.connected},
      {"sent_bytes", peer.sent},
      {"received_bytes", peer.received},
      {"round_trip_ms", ms_or_null(peer.round_trip)},
  };
}

Json to_json(const overlay::DhtStats& stats) {
  return Json{
      {"good_nodes", stats.good_nodes},           {"known_nodes", stats.known_nodes},
      {"stored_values", stats.stored_values},     {"stored_bytes", stats.stored_bytes},
      {"sent_bytes", stats.sent_bytes},           {"received_bytes", stats.received_bytes},
      {"sent_packets", stats.sent_packets},       {"received_packets", stats.received_packets},
      {"refused_packets", stats.refused_packets},
  };
}

Json to_json(const directory::LookupResult& result, const metadata::Task& task) {
  Json candidates = Json::array();
  for (const auto& candidate : result.candidates) {
    Json one = entry_json(candidate.entry, task);
    one["distance"] = candidate.distance;
    one["fingerprint"] = candidate.fingerprint.has_value();
    one["needed_recall"] = candidate.needed_recall;
    one["round_trip_ms"] = ms_or_null(candidate.round_trip);
    candidates.push_back(std::move(one));
  }
  return Json{
      {"candidates", candidates},
      {"known", result.known},
      {"gets", result.gets},
      {"values", result.values},
      {"questions", result.questions},
      {"answers", result.answers},
      {"fetches", result.fetches},
      {"fingerprints", result.fingerprints},
      {"refused", result.refused},
      {"datagram_bytes", result.datagram_bytes},
      {"took_ms", to_ms(result.took)},
  };
}

Json to_json(const ProcessUsage& usage) {
  return Json{{"rss_bytes", usage.rss_bytes}, {"threads", usage.threads}, {"cpu_s", usage.cpu_s}};
}

Json to_json(const host::EdgeNodeStatus& status) {
  Json traffic = Json::object();
  for (const auto& [kind, bytes] : status.traffic.bytes) traffic[kind] = bytes;
  Json peers = Json::array();
  for (const auto& peer : status.peers) peers.push_back(to_json(peer));
  return Json{
      {"name", status.name},
      {"id", status.id},
      {"task", status.task_id},
      {"dht", address(status.dht)},
      {"link", address(status.link)},
      {"phase", node::name(status.node.phase)},
      {"samples", status.node.samples},
      {"pending_labels", status.node.pending_labels},
      {"accuracy", status.node.accuracy},
      {"windowed_accuracy", status.node.windowed_accuracy},
      {"drifts_detected", status.node.drifts},
      {"accepted", status.node.accepted},
      {"rejected", status.node.rejected},
      {"rolled_back", status.node.rolled_back},
      {"bytes_pulled", status.node.bytes_pulled},
      {"model_bytes", status.node.model_bytes},
      {"distrusted", status.node.distrusted},
      {"published", status.node.published},
      {"overlay", to_json(status.overlay)},
      {"traffic", traffic},
      {"handshakes", {{"made", status.handshakes}, {"resumed", status.resumed_handshakes}}},
      {"peers", peers},
      {"uptime_s", status.uptime_s},
      {"snapshot_error",
       status.last_snapshot_error.empty() ? Json(nullptr) : Json(status.last_snapshot_error)},
  };
}

}  // namespace p2p::tools

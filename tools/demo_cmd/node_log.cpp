#include "tools/demo_cmd/node_log.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace p2p::tools {
namespace {

using Json = nlohmann::json;

/// Field access that does not throw: another type, or no such field, gives the fallback.
const Json& field(const Json& object, const char* key) {
  static const Json none;
  if (!object.is_object()) return none;
  const auto it = object.find(key);
  return it == object.end() ? none : *it;
}
std::string text(const Json& object, const char* key) {
  const Json& value = field(object, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}
double number(const Json& object, const char* key, double fallback = 0) {
  const Json& value = field(object, key);
  return value.is_number() ? value.get<double>() : fallback;
}
std::uint64_t count(const Json& object, const char* key) {
  const double value = number(object, key);
  return value > 0 && value < 1e18 ? static_cast<std::uint64_t>(value) : 0;
}
bool flag(const Json& object, const char* key) {
  const Json& value = field(object, key);
  return value.is_boolean() && value.get<bool>();
}

Result<Hits> hits(const Json& object, const char* key) {
  const std::string digits = text(object, key);
  Hits out;
  out.reserve(digits.size());
  for (const char c : digits) {
    if (c != '0' && c != '1')
      return fail(ErrorCode::malformed, "a correctness line holds something else than 0 and 1");
    out.push_back(c == '1');
  }
  return out;
}

void read_story(const Json& drift, Story& story) {
  story.detected_at = count(drift, "detected_at");
  story.since = count(drift, "since");
  story.part_of = count(drift, "part_of");
  if (flag(drift, "finished")) story.open = false;
  story.cause = text(drift, "cause");
  story.classes.clear();
  for (const Json& c : field(drift, "classes"))
    story.classes.push_back(c.is_string() ? c.get<std::string>() : c.dump());
  story.gets = count(drift, "gets");
  story.candidates = count(drift, "candidates");
  story.helper = text(drift, "helper");
  story.helper_distance = number(drift, "helper_distance", -1);
  story.parts = count(drift, "parts");
  story.blocks = count(drift, "blocks");
  story.bytes_pulled = count(drift, "bytes_pulled");
  story.accepted = flag(drift, "accepted");
  story.rolled_back = flag(drift, "rolled_back");
  story.reason = text(drift, "reason");
  story.merged_at = count(drift, "merged_at");
  story.lookup_ms = number(drift, "lookup_ms");
  story.ask_ms = number(drift, "ask_ms");
  story.pull_ms = number(drift, "pull_ms");
  story.trial_ms = number(drift, "trial_ms");
  story.detect_to_merge_ms = number(drift, "detect_to_merge_ms");
}

/// The story of this report, brought up to date; a new one is put at the end.
Story& tell_story(std::vector<Story>& stories, const Json& drift) {
  const std::uint64_t id = count(drift, "id");
  auto story =
      std::find_if(stories.begin(), stories.end(), [&](const Story& s) { return s.id == id; });
  if (story == stories.end()) {
    stories.emplace_back();
    stories.back().id = id;
    story = std::prev(stories.end());
  }
  read_story(drift, *story);
  return *story;
}

Cost cost_of(const Json& line) {
  Cost cost;
  const Json& traffic = field(line, "traffic");
  if (traffic.is_object()) {
    for (const auto& [kind, bytes] : traffic.items())
      cost.traffic[kind] = count(traffic, kind.c_str());
  }
  const Json& dht = field(line, "overlay");
  cost.dht_sent = count(dht, "sent_bytes");
  cost.dht_received = count(dht, "received_bytes");
  cost.rss_bytes = count(line, "rss_bytes");
  cost.threads = count(line, "threads");
  cost.cpu_s = number(line, "cpu_s");
  return cost;
}

}  // namespace

Result<void> NodeLog::add(std::string_view line) {
  const Json json = Json::parse(line, nullptr, false);
  if (!json.is_object())
    return fail(ErrorCode::malformed, "a line of a node is no JSON object",
                std::string(line.substr(0, 120)));
  const std::string type = text(json, "type");
  if (type == "ready") {
    ready = true;
    id = text(json, "id");
    dht = text(json, "dht");
    control = text(json, "control");
  } else if (type == "progress") {
    samples = count(json, "samples");
    accuracy = number(json, "accuracy");
    windowed = number(json, "windowed_accuracy");
    twin_accuracy = number(json, "twin_accuracy");
    twin_windowed = number(json, "twin_windowed_accuracy");
    phase = text(json, "phase");
    bytes_pulled = count(json, "bytes_pulled");
    peers = count(json, "peers");
  } else if (type == "correctness") {
    auto ours = hits(json, "node");
    auto theirs = hits(json, "twin");
    if (!ours) return tl::unexpected(ours.error());
    if (!theirs) return tl::unexpected(theirs.error());
    if (ours->size() != theirs->size() || count(json, "from") != node.size()) {
      return fail(ErrorCode::malformed, "a correctness line does not follow the one before it");
    }
    node.insert(node.end(), ours->begin(), ours->end());
    twin.insert(twin.end(), theirs->begin(), theirs->end());
  } else if (type == "event") {
    EventNote note{text(json, "event"), count(json, "samples"), text(json, "text"), 0};
    const Json& drift = field(json, "drift");
    if (count(drift, "id") != 0) {
      note.drift = count(drift, "id");
      Story& story = tell_story(stories, drift);
      if (note.event == "merged" || note.event == "rejected" || note.event == "rolled_back" ||
          note.event == "settled") {
        story.open = false;
      }
    }
    if (note.event == "peer_refused") ++refused_peers;
    if (note.event == "published") ++published;
    news_.push_back(std::move(note));
  } else if (type == "end") {
    at_end = true;
  } else if (type == "summary") {
    summed_up = true;
    cost = cost_of(json);
    for (const Json& drift : field(json, "drifts")) {
      if (count(drift, "id") != 0) tell_story(stories, drift);
    }
  }
  // Other types are left to others: a newer `run` may say more.
  return {};
}

std::vector<EventNote> NodeLog::take_news() { return std::exchange(news_, {}); }

}  // namespace p2p::tools

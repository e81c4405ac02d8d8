#include "tools/cli/overlay_json.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <optional>

#include "tools/cli/overlay_places.hpp"
#include "tools/cli/status_json.hpp"

namespace p2p::tools {

namespace {

using metadata::By;
using metadata::Place;

constexpr std::array<std::string_view, 3> kBy{"joint", "marginal", "classes"};  // by their numbers

double ms(directory::Duration duration) { return static_cast<double>(duration.count()) / 1000; }

Json prefixes_json(const metadata::Sketch& sketch) {
  Json out = Json::object();
  for (const auto& table : kIndexTables) {
    out[std::string(table.name)] = metadata::place_of(sketch, table.kind, table.table, Place::kMaxDepth).prefix;
  }
  return out;
}

}  // namespace

Json entry_json(const metadata::Entry& entry, const metadata::Task& task) {
  Json recall = Json::object();
  for (std::size_t c = 0; c < entry.recall.size() && c < task.classes.size(); ++c) {
    if (entry.recall[c] != 0) recall[task.classes[c]] = entry.listed_recall(static_cast<std::int32_t>(c));
  }
  return Json{{"id", entry.node.hex()},
              {"endpoint", entry.endpoint.text()},
              {"table", entry.table_endpoint().text()},
              {"concept", entry.concept_id == 0 ? Json(nullptr) : Json(entry.concept_id)},
              {"samples", entry.samples},
              {"accuracy", entry.accuracy / 255.0},
              {"recall", recall},
              {"published_ms", entry.version}};
}

Json nodes_json(const directory::Standing& standing, const overlay::DhtStats& table,
                const std::optional<metadata::Sketch>& own, const metadata::Task& task) {
  Json nodes = Json::array();
  for (const auto& contact : standing.contacts) {
    Json node = entry_json(contact.entry, task);
    node["near"] = contact.near;
    node["distance"] = std::isfinite(contact.distance) ? Json(contact.distance) : Json(nullptr);
    node["heard_ago_s"] = ms(contact.heard_ago) / 1000;
    node["round_trip_ms"] = ms_or_null(contact.round_trip);
    node["prefixes"] = prefixes_json(contact.entry.sketch);
    nodes.push_back(std::move(node));
  }
  return Json{{"nodes", std::move(nodes)},
              {"published", standing.published},
              {"estimated_nodes", standing.estimated_nodes},
              {"prefixes", own ? prefixes_json(*own) : Json(nullptr)},
              {"routing", Json{{"good_nodes", table.good_nodes},
                               {"known_nodes", table.known_nodes},
                               {"stored_values", table.stored_values},
                               {"refused_packets", table.refused_packets}}},
              {"questions_answered", standing.questions_answered},
              {"questions_refused", standing.questions_refused},
              {"fingerprints_given", standing.fingerprints_given},
              {"watches_served", standing.watches_served}};
}

Json keys_json(const directory::Standing& standing, const metadata::Task& task) {
  Json buckets = Json::array();
  for (const auto& one : standing.places) {
    buckets.push_back(Json{{"bucket", place_text(one.place, task)},
                           {"key", to_hex(one.key)},
                           {"depth", one.place.depth},
                           {"crowd", one.crowd},
                           {"listed", one.listed},
                           {"confirmed", one.confirmed}});
  }
  return Json{{"buckets", std::move(buckets)}, {"published", standing.published}};
}

Json bucket_json(const directory::Bucket& bucket, const metadata::Task& task) {
  Json entries = Json::array();
  for (const auto& entry : bucket.entries) {
    entries.push_back(entry_json(entry, task));
    entries.back()["prefixes"] = prefixes_json(entry.sketch);
  }
  return Json{{"bucket", place_text(bucket.place, task)},
              {"key", to_hex(bucket.key)},
              {"depth", bucket.place.depth},
              {"classes", classes_of(bucket.place, task)},
              {"values", bucket.values},
              {"crowd", bucket.crowd},
              {"entries", std::move(entries)}};
}

Json candidate_json(const directory::Candidate& candidate, const metadata::Need& need, const metadata::Task& task) {
  Json out = entry_json(candidate.entry, task);
  const bool exact = candidate.fingerprint && need.experience.samples() > 0;
  const bool compared = need.experience.samples() > 0;
  out["distance"] = exact      ? Json(metadata::plain_distance(need, *candidate.fingerprint))
                    : compared ? Json(candidate.distance)
                               : Json(nullptr);
  out["exact"] = exact;
  out["needed_recall"] = candidate.needed_recall;
  out["round_trip_ms"] = ms_or_null(candidate.round_trip);
  return out;
}

Json cost_json(const directory::LookupResult& result) {
  return Json{{"gets", result.gets},           {"values", result.values},       {"questions", result.questions},
              {"answers", result.answers},     {"fetches", result.fetches},     {"fingerprints", result.fingerprints},
              {"refused", result.refused},     {"datagram_bytes", result.datagram_bytes},
              {"known", result.known},         {"took_ms", ms(result.took)}};
}

Json need_json(const metadata::Need& need) {
  Json out = Json::object();
  out["by"] = kBy[static_cast<std::size_t>(need.by)];
  if (need.experience.samples() > 0) out["fingerprint"] = to_hex(metadata::encode(need.experience));
  if (!need.classes.empty()) out["classes"] = need.classes;
  return out;
}

Result<metadata::Need> parse_need(const Json& request, const metadata::Task& task, const metadata::Fingerprint& own) {
  const auto refuse = [](std::string text) { return fail(ErrorCode::invalid_argument, std::move(text)); };
  const auto count = static_cast<std::uint32_t>(task.classes.size());
  metadata::Need need;
  if (request.contains("by")) {
    const auto& by = request["by"];
    const auto known = std::find(kBy.begin(), kBy.end(), by.is_string() ? by.get<std::string>() : std::string());
    if (known == kBy.end()) return refuse("\"by\" is \"joint\", \"marginal\" or \"classes\"");
    need.by = static_cast<By>(known - kBy.begin());
  }
  if (request.contains("classes")) {
    const auto& classes = request["classes"];
    if (!classes.is_array() || classes.size() > count) return refuse("\"classes\" is an array of classes' numbers");
    for (const auto& c : classes) {
      if (!c.is_number_integer() || c.get<std::int64_t>() < 0 || c.get<std::int64_t>() >= count) {
        return refuse(fmt::format("a class is a number from 0 to {}", count - 1));
      }
      need.classes.push_back(c.get<std::int32_t>());
    }
  }
  if (need.by == By::classes && need.classes.empty()) return refuse("a query by classes must name some");
  if (request.contains("fingerprint")) {
    const auto& hex = request["fingerprint"];
    const auto bytes = hex.is_string() ? from_hex(hex.get_ref<const std::string&>()) : Bytes{};
    if (!bytes) return tl::unexpected(bytes.error());
    auto fingerprint = metadata::decode_fingerprint(*bytes, count);
    if (!fingerprint) return tl::unexpected(fingerprint.error());
    if (fingerprint->dimensions != task.embedding_dimensions || fingerprint->classes != count) {
      return refuse(fmt::format("the fingerprint has {} dimensions and {} classes, this node's task has {} and {}: it is of "
                                "another task",
                                fingerprint->dimensions, fingerprint->classes, task.embedding_dimensions, count));
    }
    need.experience = std::move(*fingerprint);
  } else if (need.by == By::classes) {
    need.experience = metadata::FingerprintBuilder({.dimensions = task.embedding_dimensions, .classes = count}).build();
  } else {
    need.experience = own;
  }
  if (need.by != By::classes && !(need.experience.samples() > 0)) {
    return refuse("there is nothing to compare with: this node has learned nothing yet; name a file of samples");
  }
  return need;
}

std::size_t longest_need(const metadata::Task& task) {
  const std::size_t classes = task.classes.size();
  const std::size_t packed = (std::size_t{task.embedding_dimensions} + 13) * classes + 64;
  return 4096 + 2 * packed + 8 * classes;
}

}  // namespace p2p::tools

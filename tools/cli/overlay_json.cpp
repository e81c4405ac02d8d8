#include "tools/cli/overlay_json.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <vector>

namespace p2p::tools {

namespace {

using metadata::Place;

double ms(directory::Duration duration) { return static_cast<double>(duration.count()) / 1000; }

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> out;
  for (std::size_t at = 0; at <= text.size();) {
    const auto end = std::min(text.find('/', at), text.size());
    out.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

std::optional<std::uint32_t> number(std::string_view text) {
  std::uint32_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && !text.empty() ? std::optional(out) : std::nullopt;
}

}  // namespace

std::string place_text(const Place& place, const metadata::Task& task) {
  if (place.kind == Place::Kind::label) {
    return "label/" + (place.table < task.classes.size() ? task.classes[place.table] : std::to_string(place.table));
  }
  return fmt::format("{}/{}/{}/{}", place.kind == Place::Kind::joint ? "joint" : "marginal", place.table, place.depth,
                     place.prefix);
}

Result<Place> parse_place(std::string_view text, const metadata::Task& task) {
  const auto refuse = [&] {
    return fail(ErrorCode::invalid_argument,
                fmt::format("\"{}\" is no bucket: write joint/TABLE/DEPTH/PREFIX, marginal/0/DEPTH/PREFIX or label/CLASS, as "
                            "`overlay keys` prints them (depth: a multiple of {} up to {}, prefix below 2^depth)",
                            text.substr(0, 64), int{Place::kLevelBits}, int{Place::kMaxDepth}));
  };
  if (text.substr(0, 6) == "label/") {  // a class's name may have slashes
    const auto c = task.class_index(text.substr(6));
    if (c < 0) return refuse();
    return Place{Place::Kind::label, static_cast<std::uint16_t>(c % metadata::Entry::kMaxListedClasses), 0, 0};
  }
  const auto parts = split(text);
  if (parts.size() != 4 || (parts[0] != "joint" && parts[0] != "marginal")) return refuse();
  const auto table = number(parts[1]), depth = number(parts[2]), prefix = number(parts[3]);
  if (!table || *table > 255 || !depth || *depth > Place::kMaxDepth || !prefix) return refuse();
  const Place place{parts[0] == "joint" ? Place::Kind::joint : Place::Kind::marginal, static_cast<std::uint16_t>(*table),
                    static_cast<std::uint8_t>(*depth), *prefix};
  if (!metadata::valid(place)) return refuse();
  return place;
}

Json entry_json(const metadata::Entry& entry, const metadata::Task& task) {
  Json recall = Json::object();
  for (std::size_t c = 0; c < entry.recall.size() && c < task.classes.size(); ++c) {
    if (entry.recall[c] != 0) recall[task.classes[c]] = entry.listed_recall(static_cast<std::int32_t>(c));
  }
  return Json{{"id", entry.node.hex()},
              {"endpoint", entry.endpoint.text()},
              {"table", entry.table_endpoint().text()},
              {"samples", entry.samples},
              {"accuracy", entry.accuracy / 255.0},
              {"recall", recall},
              {"published_ms", entry.version}};
}

Json nodes_json(const directory::Standing& standing, const metadata::Task& task) {
  Json nodes = Json::array();
  for (const auto& contact : standing.contacts) {
    Json node = entry_json(contact.entry, task);
    node["near"] = contact.near;
    node["distance"] = std::isfinite(contact.distance) ? Json(contact.distance) : Json(nullptr);
    node["heard_ago_s"] = ms(contact.heard_ago) / 1000;
    node["round_trip_ms"] = ms(contact.round_trip);
    nodes.push_back(std::move(node));
  }
  return Json{{"nodes", std::move(nodes)},
              {"published", standing.published},
              {"estimated_nodes", standing.estimated_nodes},
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
                           {"crowd", one.crowd},
                           {"listed", one.listed},
                           {"confirmed", one.confirmed}});
  }
  return Json{{"buckets", std::move(buckets)}, {"published", standing.published}};
}

Json bucket_json(const directory::Bucket& bucket, const metadata::Task& task) {
  Json entries = Json::array();
  for (const auto& entry : bucket.entries) entries.push_back(entry_json(entry, task));
  return Json{{"bucket", place_text(bucket.place, task)},
              {"key", to_hex(bucket.key)},
              {"values", bucket.values},
              {"crowd", bucket.crowd},
              {"entries", std::move(entries)}};
}

}  // namespace p2p::tools

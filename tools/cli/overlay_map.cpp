#include "tools/cli/overlay_map.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

namespace p2p::tools {

namespace {

using metadata::Place;

constexpr std::size_t kSectors = 64;
constexpr double kSilentAfterS = 300;  // contacts are asked in turn, 60 of them every 45 s at the most

std::size_t sector_of(double position, std::size_t sectors) {
  return std::min(static_cast<std::size_t>(position * static_cast<double>(sectors)), sectors - 1);
}

/// The sectors that a bucket covers, one at least.
std::pair<std::size_t, std::size_t> sectors_of(const OverlayMap::Bucket& bucket, std::size_t sectors) {
  const auto first = sector_of(bucket.from(), sectors);
  const auto count = static_cast<std::size_t>(bucket.width() * static_cast<double>(sectors));
  return {first, first + std::max<std::size_t>(count, 1)};
}

char mark(std::size_t count) {
  if (count == 0) return '.';
  if (count < 10) return static_cast<char>('0' + count);
  return count <= kHotBucket ? '+' : '#';
}

std::string count_row(const std::vector<std::size_t>& counts) {
  std::string out;
  for (const auto count : counts) out += mark(count);
  return out;
}

}  // namespace

double OverlayMap::Bucket::width() const { return std::ldexp(1.0, -int{depth}); }

OverlayMap make_map(const std::string& node, std::size_t table, const Json& nodes, const Survey& survey,
                    const metadata::Task& task) {
  OverlayMap out;
  const auto& drawn = kIndexTables[table];
  out.node = node;
  out.table = drawn.name;
  for (const auto& bucket : survey.buckets) {
    if (bucket.place.kind == Place::Kind::label) {
      out.labels.push_back({place_text(bucket.place, task).substr(6), bucket.listed(), bucket.crowd()});
    } else if (bucket.place.kind == drawn.kind && bucket.place.table == drawn.table) {
      out.buckets.push_back({bucket.place.depth, bucket.place.prefix, bucket.listed(), bucket.crowd()});
    }
  }
  const auto position = [&](const Json& of) {
    return ring_position(of.at("prefixes").at(std::string(drawn.name)).get<std::uint32_t>(), Place::kMaxDepth);
  };
  for (const auto& one : nodes["nodes"]) {
    OverlayMap::Contact contact;
    contact.id = one["id"].get<std::string>().substr(0, 16);
    contact.endpoint = one["endpoint"].get<std::string>();
    contact.position = position(one);
    if (one["distance"].is_number()) contact.distance = one["distance"].get<double>();
    contact.near = one["near"].get<bool>();
    contact.heard_ago_s = one["heard_ago_s"].get<double>();
    out.contacts.push_back(std::move(contact));
  }
  if (nodes.at("prefixes").is_object()) out.own = position(nodes);
  std::map<std::string, double> seen;
  for (const auto& one : nodes["nodes"]) seen[one["id"].get<std::string>()] = position(one);
  for (const auto& bucket : survey.buckets) {
    for (const auto& entry : bucket.answer["entries"]) seen[entry["id"].get<std::string>()] = position(entry);
  }
  for (const auto& [id, where] : seen) out.seen.push_back(where);
  out.good_nodes = nodes.at("routing")["good_nodes"].get<std::size_t>();
  out.known_nodes = nodes.at("routing")["known_nodes"].get<std::size_t>();
  out.estimated_nodes = nodes["estimated_nodes"].get<double>();
  out.unread = survey.unread;
  out.failed = survey.failed.size();
  return out;
}

std::vector<std::size_t> sector_counts(const OverlayMap& map, std::size_t sectors) {
  std::vector<std::size_t> out(sectors, 0);
  for (const double position : map.seen) ++out[sector_of(position, sectors)];
  return out;
}

std::string map_text(const OverlayMap& map) {
  std::string out = fmt::format("{} seen from {}: the ring cut at one place, {} sectors\n\n", map.table, map.node, kSectors);
  const auto row = [&](const std::string& name, const std::string& cells) {
    out += fmt::format("{:<9}|{}|\n", name, cells);
  };
  int deepest = -1;
  for (const auto& bucket : map.buckets) deepest = std::max(deepest, int{bucket.depth});
  for (int depth = 0; depth <= deepest; depth += Place::kLevelBits) {
    std::string cells(kSectors, ' ');
    std::vector<std::size_t> listed(kSectors, 0);
    for (const auto& bucket : map.buckets) {
      if (bucket.depth != depth) continue;
      const auto [first, end] = sectors_of(bucket, kSectors);
      for (std::size_t i = first; i < end; ++i) {
        listed[i] = std::max(listed[i], bucket.listed);  // of those narrower than a sector the fullest shows
        cells[i] = mark(listed[i]);
      }
    }
    row(fmt::format("depth {}", depth), cells);
  }
  row("nodes", count_row(sector_counts(map, kSectors)));
  for (const bool near : {true, false}) {
    std::vector<std::size_t> count(kSectors, 0);
    for (const auto& contact : map.contacts) {
      if (contact.near == near) ++count[sector_of(contact.position, kSectors)];
    }
    row(near ? "near" : "far", count_row(count));
  }
  std::string self(kSectors, ' ');
  if (map.own) self[sector_of(*map.own, kSectors)] = '^';
  row("itself", self);
  out +=
      "\ndepth: entries in the bucket there; + ten and more; # more than 16, a hot one; . none; blank: not read.\n"
      "nodes: that are listed somewhere or are contacts, where their own sketch puts them. Dots are gaps.\n"
      "near, far: contacts of the node.\n\n";
  if (!map.labels.empty()) {
    std::string labels;
    for (const auto& label : map.labels) {
      if (label.listed > 0) labels += fmt::format("{}{} {}", labels.empty() ? "" : ", ", label.name, label.listed);
    }
    out += fmt::format("Listed under classes: {}.\n", labels.empty() ? "nobody" : labels);
  }
  for (const auto& finding : map_findings(map)) out += finding + "\n";
  return out;
}

std::vector<std::string> map_findings(const OverlayMap& map) {
  std::vector<std::string> out;
  out.push_back(fmt::format("{} of {} known nodes of the table answer; it has about {:.0f} in all.", map.good_nodes,
                            map.known_nodes, map.estimated_nodes));
  const auto near = std::count_if(map.contacts.begin(), map.contacts.end(), [](const auto& c) { return c.near; });
  const auto silent = std::count_if(map.contacts.begin(), map.contacts.end(),
                                    [](const auto& c) { return c.heard_ago_s > kSilentAfterS; });
  out.push_back(fmt::format("{} contacts, {} of them near; {} not heard for {:.0f} minutes.", map.contacts.size(), near, silent,
                            kSilentAfterS / 60));
  const auto fullest = std::max_element(map.buckets.begin(), map.buckets.end(),
                                        [](const auto& a, const auto& b) { return a.listed < b.listed; });
  if (fullest == map.buckets.end() || fullest->listed == 0) {
    out.push_back("Nobody is listed in this table.");
  } else {
    const auto hot = std::count_if(map.buckets.begin(), map.buckets.end(), [](const auto& b) { return b.listed > kHotBucket; });
    out.push_back(fmt::format("Fullest bucket: {}/{}/{} lists {}, and about {:.0f} nodes belong there; hot buckets: {} of {}.", map.table,
                              fullest->depth, fullest->prefix, fullest->listed, fullest->crowd, hot, map.buckets.size()));
  }
  if (!map.seen.empty()) {
    auto counts = sector_counts(map, kSectors);
    std::sort(counts.begin(), counts.end(), std::greater<>());
    std::size_t half = 0;
    for (std::size_t sum = 0; 2 * sum < map.seen.size(); ++half) sum += counts[half];
    out.push_back(fmt::format("{} nodes seen, half of them in {} of {} sectors; {} sectors have nobody.", map.seen.size(), half, kSectors,
                              std::count(counts.begin(), counts.end(), 0u)));
  }
  if (map.unread > 0 || map.failed > 0) {
    out.push_back(fmt::format("Not the whole table: {} buckets were left unread (--most), {} did not come.", map.unread, map.failed));
  }
  return out;
}

}  // namespace p2p::tools

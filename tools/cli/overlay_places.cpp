#include "tools/cli/overlay_places.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "metadata/base/bytes.hpp"
#include "metadata/record.hpp"

namespace p2p::tools {

namespace {

using metadata::Entry;
using metadata::Place;

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
                fmt::format("\"{}\" is no bucket: write joint/TABLE/DEPTH/PREFIX, marginal/0/DEPTH/PREFIX, label/CLASS or a key "
                            "of 40 digits, as `overlay keys` prints them (depth: a multiple of {} up to {}, prefix below "
                            "2^depth)",
                            text.substr(0, 64), int{Place::kLevelBits}, int{Place::kMaxDepth}));
  };
  if (text.substr(0, 6) == "label/") {  // a class's name may have slashes
    const auto c = task.class_index(text.substr(6));
    if (c < 0) return refuse();
    return Place{Place::Kind::label, static_cast<std::uint16_t>(c % Entry::kMaxListedClasses), 0, 0};
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

std::vector<std::string> classes_of(const Place& place, const metadata::Task& task) {
  std::vector<std::string> out;
  if (place.kind != Place::Kind::label) return out;
  for (std::size_t c = place.table; c < task.classes.size(); c += Entry::kMaxListedClasses) out.push_back(task.classes[c]);
  return out;
}

std::optional<metadata::DhtKey> parse_key(std::string_view text) {
  metadata::DhtKey key{};
  if (text.size() != 2 * key.size()) return std::nullopt;
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c; });
  const auto bytes = from_hex(lower);
  if (!bytes) return std::nullopt;
  std::copy(bytes->begin(), bytes->end(), key.begin());
  return key;
}

std::optional<Place> find_place(const metadata::DhtKey& key, const metadata::Task& task, std::span<const Place> further) {
  const auto tag = metadata::tag(metadata::id(task));
  const auto fits = [&](const Place& place) { return metadata::place_key(tag, place) == key; };
  const auto labels = std::min(task.classes.size(), Entry::kMaxListedClasses);
  for (std::size_t c = 0; c < labels; ++c) {
    const Place place{Place::Kind::label, static_cast<std::uint16_t>(c), 0, 0};
    if (fits(place)) return place;
  }
  for (const auto& place : further) {
    if (fits(place)) return place;
  }
  for (std::uint8_t depth = 0; depth <= kSearchDepth; depth = static_cast<std::uint8_t>(depth + Place::kLevelBits)) {
    for (std::uint32_t prefix = 0; prefix < 1u << depth; ++prefix) {
      for (const auto& table : kIndexTables) {
        const Place place{table.kind, table.table, depth, prefix};
        if (fits(place)) return place;
      }
    }
  }
  return std::nullopt;
}

double ring_position(std::uint32_t prefix, std::uint8_t depth) {
  double position = 0;
  for (int bit = 0; bit < depth; ++bit) {
    if ((prefix >> bit & 1u) != 0) position += std::ldexp(1.0, -1 - bit);
  }
  return position;
}

}  // namespace p2p::tools

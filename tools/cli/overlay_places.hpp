// Buckets of the directory by name, by key, and by where they lie on the ring.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "metadata/base/error.hpp"
#include "metadata/index.hpp"
#include "metadata/task.hpp"

namespace p2p::tools {

/// "joint/0/3/5" (table, depth, prefix), "marginal/0/3/5", or "label/NAME" with a class of the task.
std::string place_text(const metadata::Place& place, const metadata::Task& task);
/// The inverse; `invalid_argument` says what a bucket is called.
Result<metadata::Place> parse_place(std::string_view text, const metadata::Task& task);

/// The classes that a label's bucket is for: one, or all that are folded onto it where a task has more than 64.
std::vector<std::string> classes_of(const metadata::Place& place, const metadata::Task& task);

/// 40 hexadecimal digits, in either case.
std::optional<metadata::DhtKey> parse_key(std::string_view text);
/// The bucket with this key: keys are hashes, so all buckets down to kSearchDepth and the task's labels are hashed, which
/// is 14,000 of them, and then `further`, which may be deeper.
std::optional<metadata::Place> find_place(const metadata::DhtKey& key, const metadata::Task& task,
                                          std::span<const metadata::Place> further);
inline constexpr std::uint8_t kSearchDepth = 12;

/// A table of the index: what the name of its buckets begins with.
struct IndexTable {
  std::string_view name;
  metadata::Place::Kind kind;
  std::uint16_t table;
};
inline constexpr std::array<IndexTable, 3> kIndexTables{{{"joint/0", metadata::Place::Kind::joint, 0},
                                                         {"joint/1", metadata::Place::Kind::joint, 1},
                                                         {"marginal/0", metadata::Place::Kind::marginal, 0}}};

/// Where a prefix lies on the ring of its table, 0 .. 1: its bits reversed, read as a fraction. So the eight buckets
/// below one are the eighths of its arc, and those whose sketches differ late lie side by side.
double ring_position(std::uint32_t prefix, std::uint8_t depth);

}  // namespace p2p::tools

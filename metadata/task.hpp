// What nodes must agree on to compare and share.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "metadata/crypto.hpp"

namespace p2p::metadata {

/// SHA-256 of a task's canonical form: the namespace of everything that its nodes publish.
using TaskId = Hash;

/// The first half of a task id, which stands for the task where bytes are dear.
struct TaskTag {
  std::array<std::uint8_t, 16> bytes{};
  auto operator<=>(const TaskTag&) const = default;
};
TaskTag tag(const TaskId& task);

/// `count` neighbouring columns of one kind.
///
/// Numeric: value -> (value - minimum) / (maximum - minimum). NaN stands for a missing value and becomes 0
/// after scaling; with `missing` it becomes that number instead, and behind the group's columns come as many
/// more that are 1 where a value was missing and 0 elsewhere: 0 would pass for the minimum.
///
/// Categorical: an index 0 .. categories-1, one-hot. The categories may have names, by which readers of text
/// find the index. NaN becomes all zeros: a missing category and, in text, an unknown name. A column for
/// unknown names was not added: no sample of training has it set, so a model could not weigh it.
struct FeatureGroup {
  enum class Kind : std::uint8_t { numeric, categorical };
  std::string name;
  Kind kind = Kind::numeric;
  std::uint32_t count = 1;
  double minimum = 0, maximum = 1;  ///< numeric: the range that is mapped to [0, 1]; not a clamp
  std::optional<double> missing = {};  ///< numeric: what stands for a missing value, within the range
  std::uint32_t categories = 0;        ///< categorical: 2 .. 65536; with names 1 .. 65536
  std::vector<std::string> category_names = {};  ///< none, or one for each category
  bool operator==(const FeatureGroup&) const = default;

  /// Scaled columns of one column.
  std::uint32_t width() const { return kind == Kind::categorical ? categories : missing ? 2 : 1; }
};

/// A task; immutable once it is in use, for its hash names it.
struct Task {
  std::string name;
  std::vector<FeatureGroup> features;
  std::vector<std::string> classes;

  std::string family;                    ///< model family, as learner/ names it
  std::map<std::string, double> params;  ///< its hyper-parameters
  std::uint64_t seed = 1;                ///< of the basis that the nodes share
  double bandwidth = 0;                  ///< gamma, > 0
  std::uint32_t embedding_dimensions = 32;

  bool operator==(const Task&) const = default;

  /// Columns as they come in.
  std::uint32_t raw_features() const;
  /// Length of a scaled sample: categorical columns count once per category, numeric ones with `missing` twice.
  std::uint32_t scaled_features() const;
  /// raw: (raw_features x 1) -> out: (scaled_features x 1). NaN means missing; a number more
  /// than ten thousand ranges away from its own counts as that far. `invalid_argument` names the
  /// column for an infinity or a number that is no category.
  Result<void> scale(std::span<const float> raw, std::span<float> out) const;
  /// Index of a class by name; -1 when the task does not have it.
  std::int32_t class_index(std::string_view class_name) const;
};

// Bounds of a task, whatever form it comes in.
inline constexpr std::size_t kMaxTaskBytes = 1u << 20;        ///< of either form
inline constexpr std::uint32_t kMaxTaskFeatures = 1u << 16;   ///< scaled columns
inline constexpr std::size_t kMaxTaskClasses = 1u << 10;
inline constexpr std::size_t kMaxTaskParams = 64;
inline constexpr std::size_t kMaxNameBytes = 128;             ///< of a task, class, column group or parameter

/// Reads the TOML form. Unknown keys, wrong types and impossible values are `invalid_argument` with the
/// line and what would be right.
Result<Task> parse_task(std::string_view toml, std::string_view source_name);
/// The TOML form, commented; parse_task reads it back to the same task.
std::string to_toml(const Task& task);

/// The canonical msgpack form (FORMAT.md) and its hash.
Bytes canonical(const Task& task);
Result<Task> decode_task(ByteView bytes);
TaskId id(const Task& task);

}  // namespace p2p::metadata

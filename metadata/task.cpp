#include "metadata/task.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "metadata/codec.hpp"
#include "metadata/fingerprint.hpp"
#include "metadata/task_check.hpp"
#include "metadata/utf8.hpp"

namespace p2p::metadata {

namespace {

// Tasks of format 1 have neither names of categories nor values for missing numbers. They keep that format, and
// with it their ids.
constexpr std::uint64_t kFirstFormat = 1, kFormat = 2;
/// One sample of -1e30 would leave weights behind that every peer refuses, and nothing of it would show here.
constexpr float kMostRanges = 1e4f;

bool needs_second_format(const FeatureGroup& group) { return group.missing || !group.category_names.empty(); }

/// "name", or "name[3]" in a group of several columns.
std::string column_name(const FeatureGroup& group, std::uint32_t i) {
  return group.count == 1 ? group.name : fmt::format("{}[{}]", group.name, i);
}

std::optional<std::string> name_problem(std::string_view text) {
  if (text.empty()) return "must not be empty";
  if (text.size() > kMaxNameBytes) return fmt::format("must have at most {} bytes", kMaxNameBytes);
  if (!is_utf8(text)) return "must be UTF-8";
  const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (std::any_of(text.begin(), text.end(), control)) return "must not have control characters";
  return std::nullopt;
}

std::optional<TaskProblem> category_problem(const FeatureGroup& group) {
  if (group.category_names.empty()) return std::nullopt;
  P2P_ASSERT(group.category_names.size() == group.categories);
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < group.category_names.size(); ++i) {
    const auto& category = group.category_names[i];
    const auto where = fmt::format("categories[{}]", i);
    if (auto problem = name_problem(category)) return TaskProblem{where, *problem};
    if (!names.insert(category).second) {
      return TaskProblem{where, fmt::format("is the second category named '{}'", category)};
    }
  }
  return std::nullopt;
}

std::optional<TaskProblem> feature_problem(const Task& task) {
  if (task.features.empty()) return TaskProblem{"features", "must name at least one group of columns"};
  std::set<std::string_view> names;
  std::uint64_t raw = 0, scaled = 0;
  for (std::size_t i = 0; i < task.features.size(); ++i) {
    const FeatureGroup& group = task.features[i];
    const auto at = [&](std::string_view field, std::string what) {
      return TaskProblem{fmt::format("features[{}].{}", i, field), std::move(what)};
    };
    if (auto problem = name_problem(group.name)) return at("name", *problem);
    if (!names.insert(group.name).second) {
      return at("name", fmt::format("is the second group named '{}'; give each its own name", group.name));
    }
    if (group.count < 1 || group.count > kMaxTaskFeatures) {
      return at("count", fmt::format("must be 1 to {}", kMaxTaskFeatures));
    }
    const bool categorical = group.kind == FeatureGroup::Kind::categorical;
    const std::uint32_t least = group.category_names.empty() ? 2 : 1;
    if (categorical && (group.categories < least || group.categories > kMaxTaskFeatures)) {
      return at("categories", fmt::format("must be {} to {}", least, kMaxTaskFeatures));
    }
    if (auto problem = category_problem(group)) return at(problem->where, std::move(problem->what));
    if (!categorical) {
      if (!std::isfinite(group.minimum)) return at("minimum", "must be a finite number");
      if (!std::isfinite(group.maximum)) return at("maximum", "must be a finite number");
      if (!(group.minimum < group.maximum)) {
        return at("maximum", fmt::format("is {}, but must be larger than the minimum, {}", group.maximum,
                                         group.minimum));
      }
      if (!std::isfinite(group.maximum - group.minimum)) {
        return at("maximum", "lies too far from the minimum");
      }
      if (!std::isfinite(1 / (group.maximum - group.minimum))) {
        return at("maximum", "lies too near the minimum");
      }
      if (group.missing && !(*group.missing >= group.minimum && *group.missing <= group.maximum)) {
        return at("missing", fmt::format("must lie in the range, {} to {}", group.minimum, group.maximum));
      }
    }
    raw += group.count;
    scaled += std::uint64_t{group.count} * group.width();
    if (raw > kMaxTaskFeatures || scaled > kMaxTaskFeatures) {
      return at("count", fmt::format("makes more than {} scaled columns in all; each category of a "
                                     "categorical column is one, and a numeric column with 'missing' is two",
                                     kMaxTaskFeatures));
    }
  }
  return std::nullopt;
}

}  // namespace

std::string_view name(FeatureGroup::Kind kind) {
  return kind == FeatureGroup::Kind::numeric ? "numeric" : "categorical";
}

std::optional<TaskProblem> find_problem(const Task& task) {
  if (auto problem = name_problem(task.name)) return TaskProblem{"name", *problem};
  if (auto problem = feature_problem(task)) return problem;
  if (task.classes.size() < 2 || task.classes.size() > kMaxTaskClasses) {
    return TaskProblem{"classes", fmt::format("must name 2 to {} classes", kMaxTaskClasses)};
  }
  std::set<std::string_view> names;
  for (std::size_t c = 0; c < task.classes.size(); ++c) {
    const auto where = fmt::format("classes[{}]", c);
    if (auto problem = name_problem(task.classes[c])) return TaskProblem{where, *problem};
    if (!names.insert(task.classes[c]).second) {
      return TaskProblem{where, fmt::format("is the second class named '{}'", task.classes[c])};
    }
  }
  if (auto problem = name_problem(task.family)) return TaskProblem{"model.family", *problem};
  if (task.params.size() > kMaxTaskParams) {
    return TaskProblem{"model.params", fmt::format("must have at most {} entries", kMaxTaskParams)};
  }
  for (const auto& [key, value] : task.params) {
    const auto where = "model.params." + key;
    if (auto problem = name_problem(key)) return TaskProblem{where, *problem};
    if (!std::isfinite(value)) return TaskProblem{where, "must be a finite number"};
  }
  if (task.seed > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return TaskProblem{"model.seed", "must be 0 to 9223372036854775807"};
  }
  if (!(task.bandwidth > 0) || !std::isfinite(task.bandwidth)) {
    return TaskProblem{"model.bandwidth",
                       "must be a finite number above 0; 2 / (median squared distance of two scaled samples) "
                       "is a good one"};
  }
  if (task.embedding_dimensions < 1 || task.embedding_dimensions > Fingerprint::kMaxDimensions) {
    return TaskProblem{"embedding.dimensions",
                       fmt::format("must be 1 to {}", Fingerprint::kMaxDimensions)};
  }
  return std::nullopt;
}

std::uint32_t Task::raw_features() const {
  std::uint32_t total = 0;
  for (const auto& group : features) total += group.count;
  return total;
}

std::uint32_t Task::scaled_features() const {
  std::uint32_t total = 0;
  for (const auto& group : features) {
    total += group.count * group.width();
  }
  return total;
}

Result<void> Task::scale(std::span<const float> raw, std::span<float> out) const {
  P2P_ASSERT(out.size() == scaled_features());
  if (raw.size() != raw_features()) {
    return fail(ErrorCode::invalid_argument, fmt::format("the sample has {} values, but the task has {} columns",
                                                         raw.size(), raw_features()));
  }
  const float* in = raw.data();
  float* to = out.data();
  for (const auto& group : features) {
    if (group.kind == FeatureGroup::Kind::numeric) {
      const double minimum = group.minimum, factor = 1 / (group.maximum - group.minimum);
      const float neutral = group.missing ? static_cast<float>((*group.missing - minimum) * factor) : 0.f;
      int bad = 0;  // one test per group, so that the loop has no branch and is vectorised
      for (std::uint32_t i = 0; i < group.count; ++i) {
        const auto scaled = static_cast<float>((in[i] - minimum) * factor);
        const float value = in[i] != in[i] ? neutral : scaled;  // NaN: missing
        bad |= !(std::abs(value) <= std::numeric_limits<float>::max());
        to[i] = value;
      }
      if (bad != 0) {
        const auto* first = std::find_if(to, to + group.count, [](float v) { return !std::isfinite(v); });
        const auto i = static_cast<std::uint32_t>(first - to);
        return fail(ErrorCode::invalid_argument,
                    fmt::format("column '{}' is {}, which is no usable number", column_name(group, i), in[i]));
      }
      for (std::uint32_t i = 0; i < group.count; ++i) to[i] = std::clamp(to[i], -kMostRanges, kMostRanges);
      to += group.count;
      if (group.missing) {
        for (std::uint32_t i = 0; i < group.count; ++i) to[i] = in[i] != in[i] ? 1.f : 0.f;
        to += group.count;
      }
      in += group.count;
      continue;
    }
    for (std::uint32_t i = 0; i < group.count; ++i, ++in, to += group.categories) {
      std::fill_n(to, group.categories, 0.f);
      if (std::isnan(*in)) continue;
      if (!(*in >= 0) || !(*in < static_cast<float>(group.categories)) || *in != std::floor(*in)) {
        return fail(ErrorCode::invalid_argument,
                    fmt::format("column '{}' is {}, but its categories are 0 to {}", column_name(group, i), *in,
                                group.categories - 1));
      }
      to[static_cast<std::size_t>(*in)] = 1.f;
    }
  }
  return {};
}

std::int32_t Task::class_index(std::string_view class_name) const {
  const auto found = std::find(classes.begin(), classes.end(), class_name);
  return found == classes.end() ? -1 : static_cast<std::int32_t>(found - classes.begin());
}

Bytes canonical(const Task& task) {
  Encoder out;
  const bool second = std::any_of(task.features.begin(), task.features.end(), needs_second_format);
  out.array(9).unsigned_integer(second ? kFormat : kFirstFormat).text(task.name);
  out.array(static_cast<std::uint32_t>(task.features.size()));
  for (const auto& group : task.features) {
    const bool categorical = group.kind == FeatureGroup::Kind::categorical;
    out.array(categorical ? 4 : group.missing ? 6 : 5).text(group.name).unsigned_integer(categorical ? 1 : 0);
    out.unsigned_integer(group.count);
    if (!categorical) {
      out.real(group.minimum + 0.0).real(group.maximum + 0.0);  // -0 becomes 0: one number, one form
      if (group.missing) out.real(*group.missing + 0.0);
    } else if (group.category_names.empty()) {
      out.unsigned_integer(group.categories);
    } else {
      out.array(group.categories);
      for (const auto& category : group.category_names) out.text(category);
    }
  }
  out.array(static_cast<std::uint32_t>(task.classes.size()));
  for (const auto& class_name : task.classes) out.text(class_name);
  out.text(task.family).map(static_cast<std::uint32_t>(task.params.size()));
  for (const auto& [key, value] : task.params) out.text(key).real(value + 0.0);
  out.unsigned_integer(task.seed).real(task.bandwidth).unsigned_integer(task.embedding_dimensions);
  return out.take();
}

TaskTag tag(const TaskId& task) {
  TaskTag out;
  std::copy_n(task.bytes.begin(), out.bytes.size(), out.bytes.begin());
  return out;
}

TaskId id(const Task& task) { return sha256(canonical(task)); }

namespace {

bool read_text(Value value, std::string& out) {
  const auto text = value.text();
  if (text) out = *text;
  return text.has_value();
}

bool read_number(Value value, double& out) {
  const auto number = value.kind() == Value::Kind::real ? value.real() : std::nullopt;
  if (number) out = *number;
  return number.has_value();
}

bool read_u32(Value value, std::uint32_t& out) {
  const auto number = value.unsigned_integer();
  if (!number || *number > std::numeric_limits<std::uint32_t>::max()) return false;
  out = static_cast<std::uint32_t>(*number);
  return true;
}

bool read_group(Value value, FeatureGroup& out) {
  std::uint32_t kind = 0;
  if (!read_text(value[0], out.name) || !read_u32(value[1], kind) || kind > 1 ||
      !read_u32(value[2], out.count)) {
    return false;
  }
  out.kind = static_cast<FeatureGroup::Kind>(kind);
  if (out.kind == FeatureGroup::Kind::categorical) {
    if (value.size() != 4) return false;
    const Value categories = value[3];
    if (categories.kind() != Value::Kind::array) return read_u32(categories, out.categories);
    if (categories.size() == 0 || categories.size() > kMaxTaskFeatures) return false;
    out.categories = static_cast<std::uint32_t>(categories.size());
    for (std::size_t i = 0; i < categories.size(); ++i) {
      if (!read_text(categories[i], out.category_names.emplace_back())) return false;
    }
    return true;
  }
  if (value.size() == 6 && !read_number(value[5], out.missing.emplace())) return false;
  return (value.size() == 5 || value.size() == 6) && read_number(value[3], out.minimum) &&
         read_number(value[4], out.maximum);
}

bool read_fields(Value root, Task& out) {
  const Value features = root[2], classes = root[3], params = root[5];
  if (root.size() != 9 || !read_text(root[1], out.name) || features.kind() != Value::Kind::array ||
      classes.kind() != Value::Kind::array || params.kind() != Value::Kind::map) {
    return false;
  }
  for (std::size_t i = 0; i < features.size(); ++i) {
    if (!read_group(features[i], out.features.emplace_back())) return false;
  }
  for (std::size_t i = 0; i < classes.size(); ++i) {
    if (!read_text(classes[i], out.classes.emplace_back())) return false;
  }
  for (std::size_t i = 0; i < params.size(); ++i) {
    const auto [key, value] = params.entry(i);
    std::string key_text;
    if (!read_text(key, key_text) || !read_number(value, out.params[key_text])) return false;
  }
  const auto seed = root[6].unsigned_integer();
  if (seed) out.seed = *seed;
  return read_text(root[4], out.family) && seed && read_number(root[7], out.bandwidth) &&
         read_u32(root[8], out.embedding_dimensions);
}

}  // namespace

Result<Task> decode_task(ByteView bytes) {
  auto document = Document::parse(bytes, {.bytes = kMaxTaskBytes, .depth = 4, .elements = std::size_t{8} * kMaxTaskFeatures});
  if (!document) return tl::unexpected<Error>(std::move(document).error());
  const auto format = document->root()[0].unsigned_integer();
  if (!format) return fail(ErrorCode::malformed, "the task does not begin with its format");
  if (*format < kFirstFormat || *format > kFormat) {
    return fail(ErrorCode::version, "the task is of a newer format; update this node");
  }
  Task out;
  if (!read_fields(document->root(), out)) {
    return fail(ErrorCode::malformed, "the task has a missing field or one of a wrong kind");
  }
  if (auto problem = find_problem(out)) {
    return fail(ErrorCode::malformed, fmt::format("the task's {} {}", problem->where, problem->what));
  }
  const Bytes again = canonical(out);
  if (!std::equal(again.begin(), again.end(), bytes.begin(), bytes.end())) {
    return fail(ErrorCode::malformed, "the task is not in its canonical form");
  }
  return out;
}

}  // namespace p2p::metadata

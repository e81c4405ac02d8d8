#include "tools/cli/infer_task.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "learner/fourier_basis.hpp"
#include "learner/model.hpp"
#include "overlay/node/node.hpp"

namespace p2p::tools {

namespace {

struct Column {
  double minimum = std::numeric_limits<double>::infinity();
  double maximum = -std::numeric_limits<double>::infinity();
  bool whole = true;

  void add(double value) {
    minimum = std::min(minimum, value);
    maximum = std::max(maximum, value);
    whole = whole && value == std::floor(value);
  }
};

bool is_whole_number(const std::string& text, std::int64_t& value) {
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  return status == std::errc{} && end == text.data() + text.size();
}

/// By number where all are numbers, else by their letters.
std::vector<std::string> sorted_classes(const std::set<std::string>& seen) {
  std::vector<std::string> out(seen.begin(), seen.end());
  std::int64_t ignored = 0;
  if (std::all_of(out.begin(), out.end(),
                  [&](const auto& c) { return is_whole_number(c, ignored); })) {
    std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) {
      std::int64_t x = 0, y = 0;
      is_whole_number(a, x);
      is_whole_number(b, y);
      return x < y;
    });
  }
  return out;
}

Result<metadata::FeatureGroup> group_of(const std::string& name, const Column& column,
                                        bool categorical) {
  metadata::FeatureGroup group{.name = name};
  if (!(column.minimum <= column.maximum)) return group;  // never a value: any range will do
  if (!categorical) {
    group.minimum = column.minimum;
    group.maximum = column.maximum > column.minimum ? column.maximum : column.minimum + 1;
    return group;
  }
  if (!column.whole || column.minimum < 0 || column.maximum >= 65536) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("column \"{}\" is to be categorical, but its values go from {} to {}; code its "
                    "categories as 0, 1, 2, ...",
                    name, column.minimum, column.maximum));
  }
  group.kind = metadata::FeatureGroup::Kind::categorical;
  group.categories = std::max(2u, static_cast<std::uint32_t>(column.maximum) + 1);
  return group;
}

}  // namespace

Result<InferredTask> infer_task(SampleSource& source, const InferOptions& options) {
  const auto features = source.features();
  auto names = source.feature_names();
  for (const auto& wanted : options.categorical) {
    if (std::find(names.begin(), names.end(), wanted) == names.end()) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("there is no column \"{}\" that could be categorical", wanted));
    }
  }
  InferredTask out;
  std::vector<Column> columns(features);
  std::set<std::string> classes;
  std::vector<float> first;  // (kBandwidthRows x features)
  Row row;
  while (options.rows == 0 || out.rows < options.rows) {
    const auto got = source.next(row);
    if (!got) return tl::unexpected(got.error());
    if (*got != SampleSource::Got::row) break;
    if (!row.texts.empty()) {
      return fail(ErrorCode::malformed,
                  fmt::format("line {}: \"{}\" is no number", row.line, row.texts[0].text));
    }
    for (std::size_t i = 0; i < features; ++i) {
      if (std::isnan(row.x[i])) {
        ++out.missing;
      } else {
        columns[i].add(static_cast<double>(row.x[i]));
      }
    }
    if (!row.labelled) {
      ++out.unlabelled;
    } else if (options.classes.empty()) {
      classes.insert(row.label);
      if (classes.size() > learner::kMaxClasses) {
        return fail(
            ErrorCode::invalid_argument,
            fmt::format("more than {} different labels; is the label column really a class?",
                        learner::kMaxClasses));
      }
    } else if (auto known = resolve_label(options.classes, row.label); !known) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("record {}: {}", row.line, known.error().text()));
    }
    if (out.rows < kBandwidthRows) first.insert(first.end(), row.x.begin(), row.x.end());
    ++out.rows;
  }
  auto& task = out.task;
  task.name = options.name;
  task.family = options.family;
  task.params = options.params;
  task.seed = options.seed;
  task.embedding_dimensions = options.dimensions;
  task.classes = options.classes.empty() ? sorted_classes(classes) : options.classes;
  if (task.classes.size() < 2) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{} different labels in {} rows; a task needs at least two classes",
                            task.classes.size(), out.rows));
  }
  if (options.images) {
    task.features.push_back({.name = "pixel", .count = features, .minimum = 0, .maximum = 255});
  } else {
    for (std::size_t i = 0; i < features; ++i) {
      const auto name =
          i < names.size() && !names[i].empty() ? names[i] : fmt::format("x{}", i + 1);
      auto group = group_of(name, columns[i], options.categorical.contains(name));
      if (!group) return tl::unexpected(group.error());
      task.features.push_back(std::move(*group));
    }
  }
  task.bandwidth = options.bandwidth;
  if (task.bandwidth <= 0) {
    task.bandwidth = 1;  // scale() does not look at it
    const auto rows = first.size() / std::max<std::size_t>(features, 1);
    std::vector<float> scaled(rows * task.scaled_features());
    for (std::size_t i = 0; i < rows; ++i) {
      auto ok =
          task.scale(std::span(first).subspan(i * features, features),
                     std::span(scaled).subspan(i * task.scaled_features(), task.scaled_features()));
      if (!ok) return tl::unexpected(ok.error());
    }
    task.bandwidth = learner::median_bandwidth(scaled, task.scaled_features());
    if (!(task.bandwidth > 0) && options.fallback_bandwidth > 0) task.bandwidth = options.fallback_bandwidth;
    if (!(task.bandwidth > 0) || !std::isfinite(task.bandwidth)) {
      return fail(
          ErrorCode::invalid_argument,
          fmt::format(
              "the first {} rows are all alike, so no bandwidth follows from them; give one with "
              "--bandwidth, or shuffle the rows",
              rows));
    }
  }
  // Whatever is impossible is told here, not at the first start of a node.
  if (!options.check_model) return out;
  if (auto model = learner::make_model(node::model_spec(task)); !model)
    return tl::unexpected(model.error());
  return out;
}

}  // namespace p2p::tools

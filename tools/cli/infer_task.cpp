#include "tools/cli/infer_task.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>

#include "learner/fourier_basis.hpp"
#include "learner/model.hpp"
#include "overlay/node/node.hpp"
#include "tools/data/numbers.hpp"
#include "tools/data/row_coder.hpp"

namespace p2p::tools {

namespace {

constexpr std::size_t kMostGroups = 1024;  // without names

using metadata::FeatureGroup;

/// What is kept only of columns that have categories.
struct Categories {
  bool wanted = false;  ///< the caller says so
  std::set<std::string> texts;
  std::set<float> numbers;
  std::uint64_t text_cells = 0, first_text_line = 0;
};

/// What was seen of one column.
struct Column {
  double minimum = 0, maximum = 0, mean = 0;
  std::uint64_t numbers = 0, missing = 0;
  const Categories* categories = nullptr;
};

/// The numbers of all columns, one array per statistic: most rows are numbers alone, and wide.
struct Numbers {
  std::vector<float> minimum, maximum;
  std::vector<double> sum;
  std::vector<std::uint64_t> count;

  explicit Numbers(std::size_t columns = 0)
      : minimum(columns, std::numeric_limits<float>::infinity()),
        maximum(columns, -std::numeric_limits<float>::infinity()),
        sum(columns),
        count(columns) {}

  void add(std::span<const float> x) {
    for (std::size_t i = 0; i < x.size(); ++i) {  // no comparison with NaN is true
      const float v = x[i];
      minimum[i] = v < minimum[i] ? v : minimum[i];
      maximum[i] = v > maximum[i] ? v : maximum[i];
      sum[i] += v == v ? static_cast<double>(v) : 0.0;
      count[i] += v == v ? 1 : 0;
    }
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

/// The shortest text that reads back to the same number.
std::string decimal(float value) {
  char buffer[48];
  return {buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr};
}

FeatureGroup numeric_group(const std::string& name, const Column& column) {
  FeatureGroup group{.name = name};
  if (column.numbers == 0) return group;  // never a value: any range will do
  group.minimum = column.minimum;
  group.maximum = column.maximum;
  if (!(group.maximum > group.minimum))
    group.maximum = group.minimum + std::max(1.0, std::abs(group.minimum) * 1e-6);
  if (column.missing > 0) {
    group.missing = std::clamp(column.mean, group.minimum, group.maximum);
  }
  return group;
}

FeatureGroup categorical_group(const std::string& name, const Column& column) {
  FeatureGroup group{.name = name, .kind = FeatureGroup::Kind::categorical};
  const auto& seen = *column.categories;
  const auto fraction = [](float v) { return v != std::floor(v); };
  // Whole numbers that fill most of 0 .. maximum are indexes already.
  if (seen.texts.empty() && column.minimum >= 0 && column.maximum < 65536 &&
      std::none_of(seen.numbers.begin(), seen.numbers.end(), fraction) &&
      column.maximum < 2.0 * static_cast<double>(seen.numbers.size())) {
    group.categories = std::max(2u, static_cast<std::uint32_t>(column.maximum) + 1);
    return group;
  }
  for (const float number : seen.numbers) group.category_names.push_back(decimal(number));
  for (const auto& text : seen.texts) group.category_names.push_back(text);
  group.categories = static_cast<std::uint32_t>(group.category_names.size());
  return group;
}

FeatureGroup declared_group(const std::string& name, std::vector<std::string> categories) {
  const auto count = static_cast<std::uint32_t>(categories.size());
  return {.name = name,
          .kind = FeatureGroup::Kind::categorical,
          .categories = count,
          .category_names = std::move(categories)};
}

/// Joins neighbours that differ in nothing but their name.
std::vector<FeatureGroup> joined(const std::vector<FeatureGroup>& columns) {
  std::vector<FeatureGroup> out;
  for (const auto& column : columns) {
    if (!out.empty()) {
      FeatureGroup same = out.back();
      same.name = column.name;
      same.count = 1;
      if (same == column) {
        ++out.back().count;
        continue;
      }
    }
    out.push_back(column);
  }
  return out;
}

/// The groups of columns without names.
std::vector<FeatureGroup> nameless_groups(std::vector<FeatureGroup> columns) {
  auto out = joined(columns);
  const bool numeric = std::all_of(
      out.begin(), out.end(), [](const auto& g) { return g.kind == FeatureGroup::Kind::numeric; });
  if (out.size() <= kMostGroups || !numeric) return out;
  FeatureGroup common{.name = "x1", .count = static_cast<std::uint32_t>(columns.size())};
  common.minimum = std::numeric_limits<double>::infinity();
  common.maximum = -common.minimum;
  bool missing = false;
  for (const auto& column : columns) {
    common.minimum = std::min(common.minimum, column.minimum);
    common.maximum = std::max(common.maximum, column.maximum);
    missing = missing || column.missing;
  }
  if (missing) common.missing = std::clamp(0.0, common.minimum, common.maximum);
  return {common};
}

/// The pass over the data.
class Inference {
 public:
  Inference(DataFile& data, const InferOptions& options)
      : data_(data),
        options_(options),
        names_(data.source->feature_names()),
        declared_(data.source->declared_categories()) {}

  Result<InferredTask> run() {
    for (const auto& wanted : options_.categorical) {
      if (std::find(names_.begin(), names_.end(), wanted) == names_.end()) {
        return fail(ErrorCode::invalid_argument,
                    fmt::format("there is no column \"{}\" that could be categorical", wanted));
      }
    }
    if (auto ok = read(); !ok) return tl::unexpected(ok.error());
    auto& task = out_.task;
    task.name = options_.name;
    task.family = options_.family;
    task.params = options_.params;
    task.seed = options_.seed;
    task.embedding_dimensions = options_.dimensions;
    task.classes = options_.classes;
    if (task.classes.empty()) task.classes = data_.source->declared_classes();
    if (task.classes.empty()) task.classes = sorted_classes(classes_);
    if (task.classes.size() < 2) {
      return fail(
          ErrorCode::invalid_argument,
          fmt::format("{}: {} different labels in {} rows; a task needs at least two classes",
                      data_.path, task.classes.size(), out_.rows));
    }
    if (auto ok = make_groups(); !ok) return tl::unexpected(ok.error());
    if (task.scaled_features() > learner::kMaxFeatures) {
      return fail(
          ErrorCode::limit_exceeded,
          fmt::format(
              "{}: {} scaled columns, for each category is one; at most {} are supported. Leave "
              "columns out with --ignore",
              data_.path, task.scaled_features(), learner::kMaxFeatures));
    }
    if (auto ok = find_bandwidth(); !ok) return tl::unexpected(ok.error());
    // Names from the data may be what no task takes.
    if (auto valid = metadata::decode_task(metadata::canonical(task)); !valid) {
      return fail(valid.error().code, fmt::format("{}: {}", data_.path, valid.error().message));
    }
    return std::move(out_);
  }

 private:
  Result<void> read() {
    Row row;
    while (options_.rows == 0 || out_.rows < options_.rows) {
      const auto got = data_.source->next(row);
      if (!got) return tl::unexpected(got.error());
      if (*got != SampleSource::Got::row) break;
      if (out_.rows == 0) begin(row.x.size());
      if (row.x.size() != columns_.size()) {
        return fail(ErrorCode::malformed,
                    fmt::format("{}: {} values where the first row has {}", data_.place(row.line),
                                row.x.size(), columns_.size()));
      }
      if (auto ok = take_cells(row); !ok) return ok;
      if (auto ok = take_label(row); !ok) return ok;
      if (first_.size() < bandwidth_rows_) first_.push_back(row);
      ++out_.rows;
      if (options_.progress && out_.rows % 1024 == 0 && options_.progress(out_.rows)) break;
    }
    for (std::size_t i = 0; i < columns_.size(); ++i) out_.missing += column(i).missing;
    return {};
  }

  void begin(std::size_t columns) {
    numbers_ = Numbers(columns);
    columns_.resize(columns);
    bandwidth_rows_ = std::clamp<std::size_t>(kBandwidthValues / std::max<std::size_t>(columns, 1),
                                              16, kBandwidthRows);
    for (std::size_t i = 0; i < columns; ++i) {
      if (i < names_.size() && options_.categorical.contains(names_[i]))
        categories_of(i).wanted = true;
    }
  }

  Categories& categories_of(std::size_t i) {
    if (!columns_[i]) {
      columns_[i] = std::make_unique<Categories>();
      categorical_.push_back(i);
    }
    return *columns_[i];
  }

  Column column(std::size_t i) const {
    const auto numbers = numbers_.count[i];
    return {.minimum = static_cast<double>(numbers_.minimum[i]),
            .maximum = static_cast<double>(numbers_.maximum[i]),
            .mean = numbers_.sum[i] / static_cast<double>(std::max<std::uint64_t>(numbers, 1)),
            .numbers = numbers,
            .missing = out_.rows - numbers - (columns_[i] ? columns_[i]->text_cells : 0),
            .categories = columns_[i].get()};
  }

  Result<void> take_cells(const Row& row) {
    numbers_.add(row.x);
    for (const auto& cell : row.texts) {
      auto& seen = categories_of(cell.column);
      ++seen.text_cells;
      if (seen.first_text_line == 0) seen.first_text_line = row.line;
      if (!is_declared(cell.column)) seen.texts.insert(cell.text);
    }
    for (const auto i : categorical_) {
      auto& seen = *columns_[i];
      if (seen.wanted && row.x[i] == row.x[i]) seen.numbers.insert(row.x[i]);
      if (!seen.wanted && numbers_.count[i] > 0) return mixed(row, i);
      if (seen.texts.size() + seen.numbers.size() <= kMostCategories) continue;
      return fail(
          ErrorCode::invalid_argument,
          fmt::format(
              "{}: more than {} different values in column \"{}\"; if it is no category, leave it "
              "out with --ignore",
              data_.place(row.line), kMostCategories, column_name(i)));
    }
    return {};
  }

  tl::unexpected<Error> mixed(const Row& row, std::size_t i) const {
    const auto& seen = *columns_[i];
    return fail(
        ErrorCode::malformed,
        fmt::format(
            "{}: column \"{}\" has both numbers and text (\"{}\"{}); mend the row, leave the field "
            "empty if it is missing, or name the column with --categorical",
            data_.place(row.line), column_name(i),
            seen.texts.empty() ? "" : seen.texts.begin()->substr(0, 64),
            seen.first_text_line == row.line ? ""
                                             : fmt::format(" in line {}", seen.first_text_line)));
  }

  Result<void> take_label(const Row& row) {
    if (!row.labelled) {
      ++out_.unlabelled;
      return {};
    }
    if (!options_.classes.empty()) {
      if (auto known = resolve_label(options_.classes, row.label); !known) {
        return fail(ErrorCode::invalid_argument,
                    fmt::format("{}: {}", data_.place(row.line), known.error().text()));
      }
      return {};
    }
    if (row.label == last_label_) return {};
    last_label_ = row.label;
    classes_.insert(row.label);
    if (classes_.size() > learner::kMaxClasses) {
      return fail(
          ErrorCode::invalid_argument,
          fmt::format("{}: more than {} different labels; is the label column really a class?",
                      data_.place(row.line), learner::kMaxClasses));
    }
    return {};
  }

  bool is_declared(std::size_t i) const { return i < declared_.size() && !declared_[i].empty(); }
  std::string column_name(std::size_t i) const {
    return i < names_.size() && !names_[i].empty() ? names_[i] : fmt::format("x{}", i + 1);
  }

  Result<void> make_groups() {
    auto& groups = out_.task.features;
    if (data_.format == DataFormat::idx) {
      groups.push_back(
          {.name = "pixel", .count = static_cast<std::uint32_t>(columns_.size()), .maximum = 255});
      return {};
    }
    std::set<std::string> taken;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const auto seen = column(i);
      const auto name = column_name(i);
      if (!taken.insert(name).second) {
        return fail(
            ErrorCode::invalid_argument,
            fmt::format("{}: two columns are named \"{}\"; give each its own name in the header",
                        data_.path, name));
      }
      groups.push_back(is_declared(i)    ? declared_group(name, declared_[i])
                       : seen.categories ? categorical_group(name, seen)
                                         : numeric_group(name, seen));
    }
    if (names_.empty()) groups = nameless_groups(std::move(groups));
    return {};
  }

  Result<void> find_bandwidth() {
    auto& task = out_.task;
    task.bandwidth = options_.bandwidth;
    if (task.bandwidth > 0) return {};
    task.bandwidth = 1;  // scale() does not look at it
    const std::size_t width = task.scaled_features();
    const auto rows = std::min(first_.size(), std::max<std::size_t>(16, kBandwidthValues / width));
    std::vector<float> scaled(rows * width);
    RowCoder coder(task);
    for (std::size_t i = 0; i < rows; ++i) {
      if (auto ok = coder.code(first_[i]); !ok) return ok;
      if (auto ok = task.scale(first_[i].x, std::span(scaled).subspan(i * width, width)); !ok)
        return ok;
      first_[i] = {};
    }
    task.bandwidth = learner::median_bandwidth(scaled, width);
    if (!(task.bandwidth > 0) && options_.fallback_bandwidth > 0)
      task.bandwidth = options_.fallback_bandwidth;
    if (!(task.bandwidth > 0) || !std::isfinite(task.bandwidth)) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("{}: the first {} rows are all alike, so no bandwidth follows from "
                              "them; give one with "
                              "--bandwidth, or shuffle the rows",
                              data_.path, rows));
    }
    return {};
  }

  DataFile& data_;
  const InferOptions& options_;
  std::vector<std::string> names_;
  std::vector<std::vector<std::string>> declared_;
  InferredTask out_;
  Numbers numbers_;
  std::vector<std::unique_ptr<Categories>> columns_;  ///< none: numbers alone
  std::vector<std::size_t> categorical_;              ///< the columns that have one
  std::set<std::string> classes_;
  std::optional<std::string> last_label_;
  std::vector<Row> first_;
  std::size_t bandwidth_rows_ = kBandwidthRows;
};

}  // namespace

Result<void> check_family(const std::string& family) {
  const auto known = learner::families();
  if (std::find(known.begin(), known.end(), family) != known.end()) return {};
  return fail(ErrorCode::invalid_argument,
              fmt::format("model family \"{}\" is not known; there are {}", family.substr(0, 64), fmt::join(known, ", ")));
}

Result<InferredTask> infer_task(DataFile& data, const InferOptions& options) {
  return Inference(data, options).run();
}

}  // namespace p2p::tools

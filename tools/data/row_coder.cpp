#include "tools/data/row_coder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tools/data/numbers.hpp"

namespace p2p::tools {

RowCoder::RowCoder(const metadata::Task& task) {
  for (const auto& group : task.features) {
    const bool named = !group.category_names.empty();
    if (named) {
      Categories& to = groups_.emplace_back();
      for (std::size_t i = 0; i < group.category_names.size(); ++i) {
        const auto index = static_cast<float>(i);
        double value = 0;
        bool too_large = false;
        to.by_text.emplace(group.category_names[i], index);
        if (parse_number(group.category_names[i], value, too_large) && !too_large &&
            !std::isnan(value)) {
          to.by_number.emplace(static_cast<float>(value), index);
        }
      }
    }
    for (std::uint32_t i = 0; i < group.count; ++i) {
      if (named) named_.push_back(static_cast<std::uint32_t>(names_.size()));
      categories_.push_back(named ? static_cast<std::int32_t>(groups_.size()) - 1 : -1);
      names_.push_back(group.count == 1 ? group.name : fmt::format("{}[{}]", group.name, i));
    }
  }
}

Result<void> RowCoder::check_columns(std::vector<std::string> names) const {
  if (names == names_) return {};
  if (!std::is_permutation(names.begin(), names.end(), names_.begin(), names_.end())) return {};
  const auto differ = std::mismatch(names.begin(), names.end(), names_.begin());
  return fail(ErrorCode::invalid_argument,
              fmt::format("its columns are the task's in another order: column {} is \"{}\" where the task "
                          "has \"{}\"; bring them into the task's order",
                          differ.first - names.begin() + 1, *differ.first, *differ.second));
}

Result<void> RowCoder::code(Row& row) {
  if (row.x.size() != names_.size()) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{} features where the task has {}; is it the data of this task?",
                            row.x.size(), names_.size()));
  }
  std::uint64_t missing = 0;
  for (const float value : row.x) missing += value != value;
  missing_ += missing - row.texts.size();
  constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
  for (const auto column : named_) {
    float& cell = row.x[column];
    if (cell != cell) continue;  // missing, or text
    const auto& by_number = groups_[static_cast<std::size_t>(categories_[column])].by_number;
    const auto found = by_number.find(cell);
    unknown_ += found == by_number.end();
    cell = found == by_number.end() ? kNone : found->second;
  }
  for (const auto& cell : row.texts) {
    const auto group = categories_[cell.column];
    if (group >= 0) {
      const auto& by_text = groups_[static_cast<std::size_t>(group)].by_text;
      const auto found = by_text.find(cell.text);
      unknown_ += found == by_text.end();
      row.x[cell.column] = found == by_text.end() ? kNone : found->second;
      continue;
    }
    double value = 0;
    bool too_large = false;
    if (!parse_number(cell.text, value, too_large) || too_large ||
        !(std::abs(value) <= static_cast<double>(std::numeric_limits<float>::max()))) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("column \"{}\" is \"{}\", which is no number; leave it empty if it "
                              "is missing, or use "
                              "a task in which the column is categorical",
                              names_[cell.column], cell.text.substr(0, 64)));
    }
    row.x[cell.column] = static_cast<float>(value);
  }
  return {};
}

}  // namespace p2p::tools

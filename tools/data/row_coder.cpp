#include "tools/data/row_coder.hpp"

#include <fmt/format.h>

namespace p2p::tools {

RowCoder::RowCoder(const metadata::Task& task) {
  for (const auto& group : task.features) {
    for (std::uint32_t i = 0; i < group.count; ++i) {
      names_.push_back(group.count == 1 ? group.name : fmt::format("{}[{}]", group.name, i));
    }
  }
}

Result<void> RowCoder::code(Row& row) {
  if (row.x.size() != names_.size()) {
    return fail(ErrorCode::invalid_argument, fmt::format("{} features where the task has {}; is it the data of this task?",
                                                         row.x.size(), names_.size()));
  }
  for (const auto& cell : row.texts) {
    return fail(ErrorCode::invalid_argument, fmt::format("column \"{}\" is \"{}\", which is no number",
                                                         names_[cell.column], cell.text.substr(0, 64)));
  }
  return {};
}

}  // namespace p2p::tools

// From a row as its file has it to the numbers that a task scales.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "metadata/task.hpp"
#include "tools/data/sample_source.hpp"

namespace p2p::tools {

/// Checks a row's width and turns its text into numbers, for one task.
class RowCoder {
 public:
  explicit RowCoder(const metadata::Task& task);

  /// Changes row.x in place. `invalid_argument` for a wrong number of columns, or text in a column of
  /// numbers; the sentence names the column, the caller adds the place.
  Result<void> code(Row& row);

 private:
  std::vector<std::string> names_;  ///< of the columns
};

}  // namespace p2p::tools

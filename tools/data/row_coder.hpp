// From a row as its file has it to the numbers that a task scales.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "metadata/task.hpp"
#include "tools/data/sample_source.hpp"

namespace p2p::tools {

/// Checks a row's width and turns the names of categories into their indexes, for one task.
///
/// In a column whose categories have names a cell is a name: by its letters, or, where the cell and
/// the name are numbers, by their value ("1" is "1.0"). What is no name of the task becomes NaN, as
/// a missing value does: the task then sets none of the column's categories. New categories turn up
/// in any stream; refusing them would end it.
class RowCoder {
 public:
  explicit RowCoder(const metadata::Task& task);

  /// Are these the task's columns in another order? Then `invalid_argument`: values would be taken for others'. Names
  /// that are not the task's say nothing.
  Result<void> check_columns(std::vector<std::string> names) const;

  /// Changes row.x in place. `invalid_argument` for a wrong number of columns, or text in a column
  /// of numbers; the sentence names the column, the caller adds the place.
  Result<void> code(Row& row);

  std::uint64_t missing() const { return missing_; }  ///< values so far
  std::uint64_t unknown() const {
    return unknown_;
  }  ///< names of categories so far that the task lacks

 private:
  struct Categories {
    std::unordered_map<std::string, float> by_text;
    std::unordered_map<float, float> by_number;
  };
  std::vector<std::string> names_;        ///< of the columns
  std::vector<std::int32_t> categories_;  ///< of each column: which of groups_; -1: numbers
  std::vector<std::uint32_t> named_;      ///< the columns that have names of categories
  std::vector<Categories> groups_;
  std::uint64_t missing_ = 0, unknown_ = 0;
};

}  // namespace p2p::tools

// A task from a data set: what its columns and classes are, and a bandwidth that suits them.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "metadata/task.hpp"
#include "tools/data/open_data.hpp"

namespace p2p::tools {

struct InferOptions {
  std::string name = "task";
  std::string family = "rff";
  std::map<std::string, double> params = {};
  std::uint64_t seed = 1;
  std::uint32_t dimensions = 32;
  double bandwidth = 0;           ///< 0: the median rule
  double fallback_bandwidth = 0;  ///< where the rule finds all rows alike; 0: that is an error
  std::vector<std::string> classes = {};   ///< empty: those that occur
  std::set<std::string> categorical = {};  ///< columns that are categories whatever they hold
  std::uint64_t rows = 0;                  ///< read at most so many; 0: all
  /// Told every 1024 rows how many there were; true ends the reading there.
  std::function<bool(std::uint64_t)> progress = {};
};

struct InferredTask {
  metadata::Task task;
  std::uint64_t rows = 0, unlabelled = 0, missing = 0;
};

/// `invalid_argument`, with the families that there are, when this is none: known before any data are read.
Result<void> check_family(const std::string& family);

/// The median rule looks at so many rows, fewer where they hold more than kBandwidthValues numbers.
inline constexpr std::size_t kBandwidthRows = 300;
inline constexpr std::size_t kBandwidthValues = std::size_t{1} << 22;
/// Different texts in one column.
inline constexpr std::size_t kMostCategories = 4096;

/// Reads the data to their end (or `rows`) once, with memory for the rows of the median rule and
/// for the different texts of each column.
///
/// Ranges are those of the values seen. A column of text is categorical; its categories have names,
/// sorted, or as the file declares them. A column of whole numbers from 0 that is named in
/// `categorical` keeps them as indexes; other numbers become names. A column that mixes numbers and
/// text is refused, unless it is named there: mostly one bad cell is to blame. A numeric column in
/// which values are missing gets `missing`, the mean of the others. Columns without names (libsvm,
/// JSON) are joined into groups where their ranges are the same; all into one of the common range
/// where that leaves more than 1024 groups.
///
/// Classes are sorted, by number where all are numbers, or as the file declares them.
Result<InferredTask> infer_task(DataFile& data, const InferOptions& options);

}  // namespace p2p::tools

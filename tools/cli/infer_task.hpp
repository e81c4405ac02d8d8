// A task from a data set: what its columns and classes are, and a bandwidth that suits them.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "metadata/task.hpp"
#include "tools/data/sample_source.hpp"

namespace p2p::tools {

struct InferOptions {
  std::string name = "task";
  std::string family = "rff";
  std::map<std::string, double> params = {};
  std::uint64_t seed = 1;
  std::uint32_t dimensions = 32;
  double bandwidth = 0;                    ///< 0: the median rule
  double fallback_bandwidth = 0;           ///< where the rule finds all rows alike; 0: that is an error
  std::vector<std::string> classes = {};   ///< empty: those that occur
  std::set<std::string> categorical = {};  ///< columns that hold 0, 1, 2, ... as categories
  bool images = false;                     ///< one group of bytes instead of a group per column
  std::uint64_t rows = 0;                  ///< read at most so many; 0: all
  bool check_model = true;                 ///< refuse what no model can be made of
};

struct InferredTask {
  metadata::Task task;
  std::uint64_t rows = 0, unlabelled = 0, missing = 0;
};

/// The median rule looks at so many rows.
inline constexpr std::size_t kBandwidthRows = 300;

/// Reads the source to its end (or `rows`) once, with memory for kBandwidthRows rows. Ranges are
/// those of the values seen; classes are sorted, by number where all are numbers.
Result<InferredTask> infer_task(SampleSource& source, const InferOptions& options);

}  // namespace p2p::tools

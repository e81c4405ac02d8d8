// One way in: opens a data set by what it is.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tools/data/sample_source.hpp"

namespace p2p::tools {

enum class DataFormat { csv, idx, libsvm, arff, json };
std::string_view name(DataFormat format);

struct DataOptions {
  std::string path = {};    ///< a file; or a folder with an idx set
  std::string labels = {};  ///< idx: the file of labels; empty: the one beside the images
  std::string label = {};   ///< CSV, ARFF: the label's column; empty: the last one
  std::vector<std::string> ignore = {};  ///< CSV, ARFF: columns that are passed over
  bool header = true;                    ///< CSV: the first line names the columns
  bool unlabelled = false;               ///< CSV: no column is a label
  std::uint32_t features = 0;            ///< libsvm: how many; 0: the largest index of the file
  bool test_set = false;  ///< of a folder: the test set (t10k-...) instead of the training set
};

struct DataFile {
  std::unique_ptr<SampleSource> source;
  DataFormat format = DataFormat::csv;
  std::string path;  ///< the file that was opened: of an idx set, the images

  /// "FILE, line 7" or "FILE, record 7".
  std::string place(std::uint64_t line) const;
};

/// Do the options fit what the file is? `invalid_argument` names the one that does not.
Result<void> check_options(const DataOptions& options);

/// Looks at the content first, then at the name's extension. Cells may be text.
Result<DataFile> open_data(const DataOptions& options);

}  // namespace p2p::tools

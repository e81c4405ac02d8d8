// The folder that a demonstration works in: streams, the task, one folder per node.
#pragma once

#include <string>
#include <vector>

#include "tools/demo_cmd/data_set.hpp"
#include "tools/demo_cmd/scenario.hpp"

namespace p2p::tools {

/// A folder that is removed with everything in it when the object goes, unless it is the user's
/// own.
class WorkFolder {
 public:
  /// `path` empty: a fresh one under $TMPDIR or /tmp. Otherwise made if it is missing; `in_use`
  /// when there is something in it already, `io` or `full` when it cannot be made.
  static Result<WorkFolder> open(const std::string& path);
  WorkFolder(WorkFolder&& other) noexcept;
  WorkFolder& operator=(WorkFolder&&) = delete;
  ~WorkFolder();
  const std::string& path() const { return path_; }

 private:
  WorkFolder() = default;
  std::string path_;
  bool temporary_ = false;
};

/// What lies where:
///   task.toml, script.json
///   n1/  images.idx labels.idx (or stream.csv), config.toml, state/
struct Workspace {
  std::string root;
  std::string task;
  bool images = false;

  std::string node_folder(const std::string& node) const { return root + "/" + node; }
};

/// Writes the task, the streams and the script. `full` or `io` name the file.
Result<Workspace> write_workspace(const std::string& root, const Scenario& scenario,
                                  const Draw& draw, const DataSet& data);

struct ConfigOptions {
  double rate = 0;
  std::uint64_t samples = 0;
  std::string network;  ///< so that two demonstrations on one machine do not meet
  std::vector<std::string> seeds;
};
/// Writes a node's configuration; returns its path.
Result<std::string> write_config(const Workspace& workspace, const std::string& node,
                                 const ConfigOptions& options);

/// The script as JSON text: what is going to happen.
std::string script_json(const Scenario& scenario, const std::vector<std::string>& classes);

/// Deflated size / plain size of (at most) the first `rows` examples: what shipping could save.
double deflate_ratio(const DataSet& data, std::size_t rows);
/// Bytes of one sample on its way to a centre, label included: one per pixel, four per column.
std::uint64_t sample_bytes(const DataSet& data);

}  // namespace p2p::tools

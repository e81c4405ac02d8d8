// What a node's configuration file says. tools/node.toml documents every key.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "overlay/host/edge_node.hpp"

namespace p2p::tools {

struct SourceConfig {
  enum class Kind { stdin_lines, csv, idx, none };
  Kind kind = Kind::stdin_lines;
  std::string path, label;     ///< csv
  std::string images, labels;  ///< idx
  double rate = 0;             ///< samples/s; 0: as fast as they are learned
  std::uint64_t limit = 0;     ///< samples from the source's beginning; 0: all
  std::uint64_t labels_after = 0;  ///< csv, idx: samples between a sample and its label
  bool hold = false;
  bool stay_at_end = false;

  bool finite() const { return kind == Kind::csv || kind == Kind::idx; }
};

struct NodeConfig {
  std::string path;  ///< of the file itself
  std::string task_path;
  /// Everything that the node itself takes; `task` and `on_event` are filled in later.
  host::EdgeNodeOptions node;
  SourceConfig source;
  bool predictions = true;
  std::uint64_t progress_every = 100;
  bool correctness = false;
  bool twin = false;
};

/// Reads the text of a configuration. `invalid_argument` with file, line and what would be right;
/// paths come out absolute or relative to the working directory, as `path` is.
Result<NodeConfig> parse_config(std::string_view toml, const std::string& path);
/// The same for the file; `not_found` or `io` when it cannot be read.
Result<NodeConfig> load_config(const std::string& path);
/// Reads the task that the configuration names.
Result<metadata::Task> load_task(const std::string& path);

/// The commented template with all keys.
std::string_view config_template();

/// Where a running node of this state directory listens for commands.
std::string control_path(const std::string& state_dir);
/// Where it keeps its key.
std::string key_path(const std::string& state_dir);

}  // namespace p2p::tools

// What `p2p-learner demo` is told on its command line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "metadata/base/error.hpp"
#include "tools/demo_cmd/data_set.hpp"

namespace p2p::tools {

struct DemoOptions {
  std::string data = kDefaultData;
  std::vector<std::uint64_t> seeds = {1};
  std::size_t nodes = 8;
  std::uint64_t samples = 7000;
  double rate = 150;       ///< samples per second and node
  std::string work_dir;    ///< empty: a temporary one
  std::string report_dir;  ///< empty: no report
  bool json = false;
};

/// Either options, or a text to print and the exit status to end with (--help, a wrong flag).
struct ParsedOptions {
  DemoOptions options;
  std::optional<int> exit_now;
};
/// Prints help on stdout and complaints on stderr itself.
ParsedOptions parse_options(int argc, char** argv);

/// "3-7" -> 3 4 5 6 7; "4" -> 4; `invalid_argument` otherwise, or for more than 100.
Result<std::vector<std::uint64_t>> parse_seed_range(const std::string& text);

}  // namespace p2p::tools

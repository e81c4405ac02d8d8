// What the program's exit status means: one table, for the code, --help and the man page.
#pragma once

#include <string>

#include "metadata/base/error.hpp"

namespace p2p::tools {

enum class ExitCode : int {
  ok = 0,
  failed = 1,    ///< something failed while running
  usage = 2,     ///< flags, configuration or task
  data = 3,      ///< a data set or a sample in it
  in_use = 4,    ///< a port or the state directory
  key = 5,       ///< a key that cannot be read, or a signature that does not fit
  snapshot = 6,  ///< the saved state is torn, or from a newer version
  disk_full = 7,
  no_node = 8,       ///< no node is running there, or it does not answer
  no_overlay = 9,    ///< the node answers, but its overlay does not, or it has none
  no_such = 10,      ///< the node has no such drift or inquiry, or no longer keeps what would undo a merge
  interrupted = 130  ///< by a signal: evaluate, or before there was anything to end in order
};

/// Where an error arose; together with its code it decides the exit status. `control`: on the way to a running node;
/// `answer`: the node itself said so.
enum class Context { config, data, key, start, run, control, answer };

ExitCode exit_code(const Error& error, Context context);

/// The table as text, one line a code, for --help.
std::string exit_code_table();

}  // namespace p2p::tools

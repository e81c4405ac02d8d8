#include "tools/cli/exit_codes.hpp"

namespace p2p::tools {

ExitCode exit_code(const Error& error, Context context) {
  // A full disk is a full disk, wherever it shows.
  if (error.code == ErrorCode::full && context != Context::control) return ExitCode::disk_full;
  switch (context) {
    case Context::config:
      return ExitCode::usage;
    case Context::data:
      return ExitCode::data;
    case Context::key:
      return ExitCode::key;
    case Context::control:
      return ExitCode::no_node;
    case Context::start:
      // The key is read before the node starts, so malformed state is a snapshot's.
      switch (error.code) {
        case ErrorCode::in_use:
          return ExitCode::in_use;
        case ErrorCode::untrusted:
          return ExitCode::key;
        case ErrorCode::malformed:
        case ErrorCode::version:
          return ExitCode::snapshot;
        case ErrorCode::invalid_argument:
          return ExitCode::usage;
        default:
          return ExitCode::failed;
      }
    case Context::answer:
      switch (error.code) {
        case ErrorCode::invalid_argument:
        case ErrorCode::malformed:
          return ExitCode::usage;
        case ErrorCode::unavailable:
        case ErrorCode::timeout:
          return ExitCode::no_overlay;
        case ErrorCode::closed:
          return ExitCode::no_node;
        case ErrorCode::not_found:
          return ExitCode::no_such;
        default:
          return ExitCode::failed;
      }
    case Context::run:
      return ExitCode::failed;
  }
  return ExitCode::failed;
}

std::string exit_code_table() {
  return "Exit status:\n"
         "    0  all went well\n"
         "    1  something failed while running\n"
         "    2  usage: a flag, the configuration or the task\n"
         "    3  data: a data set or a sample in it\n"
         "    4  a port or the state directory is in use\n"
         "    5  a key cannot be read or is not this node's, or a signature does not fit\n"
         "    6  the saved state is torn, or from a newer version\n"
         "    7  the disk is full\n"
         "    8  no node is running there, or it does not answer\n"
         "    9  the node answers, but its overlay does not, or it is isolated\n"
         "   10  the node has no such drift or inquiry, or no longer keeps what would undo a merge\n"
         "  130  interrupted; evaluate has printed what it measured, others had nothing to end in order\n";
}

}  // namespace p2p::tools

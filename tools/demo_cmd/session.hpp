// One demonstration as processes: starts the nodes, watches them, ends them.
#pragma once

#include <string>
#include <vector>

#include "tools/demo_cmd/live_view.hpp"
#include "tools/demo_cmd/node_log.hpp"
#include "tools/demo_cmd/process.hpp"
#include "tools/demo_cmd/scenario.hpp"
#include "tools/demo_cmd/workspace.hpp"

namespace p2p::tools {

struct SessionOptions {
  std::string program;  ///< the binary that knows `run`
  std::string data;     ///< name of the data set, for the screen
  double rate = 0;
};

/// What the nodes said, and how it went.
struct SessionOutcome {
  std::vector<NodeLog> logs;
  std::vector<std::string> deaths;                    ///< per node; empty: it lived to the end
  std::vector<std::vector<std::string>> last_errors;  ///< per node; of dead ones
  bool interrupted = false;
  double elapsed_s = 0, stream_s = 0;
};

/// Runs every node of the script as a process of its own, from start to summary. Works on whatever
/// is left: a node that dies is noted, the others go on. No process is left when it returns, by
/// whichever way. Errors: only when no node at all could be brought up.
Result<SessionOutcome> run_session(const Scenario& scenario, const Workspace& workspace,
                                   const SessionOptions& options, SignalWatch& signals,
                                   Screen& screen);

}  // namespace p2p::tools

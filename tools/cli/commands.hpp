// The commands of the program, each registered with its options and help.
#pragma once

#include <functional>

#include <CLI/CLI.hpp>

#include "tools/cli/exit_codes.hpp"
#include "tools/cli/output.hpp"

namespace p2p::tools {

/// What the chosen command will do; set while the arguments are parsed, run afterwards.
using Action = std::function<ExitCode()>;

void add_run_command(CLI::App& app, Action& action);
void add_control_commands(CLI::App& app, Action& action);  ///< status, peers, lookup
void add_history_commands(CLI::App& app, Action& action);  ///< history, rollback
void add_overlay_command(CLI::App& app, Action& action);   ///< overlay nodes, keys, get, map, and what follows
void add_overlay_queries(CLI::App& overlay, Action& action);  ///< lookup, watch
void add_keygen_command(CLI::App& app, Action& action);
void add_check_command(CLI::App& app, Action& action);
void add_registry_command(CLI::App& app, Action& action);
void add_task_command(CLI::App& app, Action& action);
void add_evaluate_command(CLI::App& app, Action& action);

/// Prints one error the way that the command's reader wants it: on stderr, and with `json` as an
/// object on stdout.
ExitCode report_error(const Error& error, Context context, bool json);

/// For options that count: "-1" would otherwise be taken for 2^64 - 1.
CLI::Validator whole_number();

}  // namespace p2p::tools

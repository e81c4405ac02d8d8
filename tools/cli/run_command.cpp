#include <signal.h>

#include <cstdio>
#include <memory>

#include <unistd.h>

#include "tools/cli/commands.hpp"
#include "tools/cli/config.hpp"
#include "tools/cli/end_signals.hpp"
#include "tools/cli/runner.hpp"

namespace p2p::tools {

namespace {

struct Options {
  std::string config;
  bool print_config = false;
  bool json = false;
  std::string level = "info";
};

ExitCode run_node(const Options& options) {
  if (options.print_config) {
    std::fputs(std::string(config_template()).c_str(), stdout);
    return ExitCode::ok;
  }
  if (options.config.empty()) {
    return report_error(
        Error{ErrorCode::invalid_argument,
              "--config FILE is missing; `p2p-learner run --print-config` prints a template",
              {}},
        Context::config, options.json);
  }
  set_log_level(options.level == "error"     ? LogLevel::error
                : options.level == "warning" ? LogLevel::warning
                : options.level == "debug"   ? LogLevel::debug
                                             : LogLevel::info);
  block_end_signals();
  LineWriter out(STDOUT_FILENO);
  const auto refuse = [&](const Error& error) {
    out.put(Json{{"type", "error"},
                 {"code", name(error.code)},
                 {"exit", static_cast<int>(exit_code(error, Context::config))},
                 {"text", error.text()}});
    out.flush();
    log(LogLevel::error, error.text());
    return exit_code(error, Context::config);
  };
  auto config = load_config(options.config);
  if (!config) return refuse(config.error());
  auto task = load_task(config->task_path);
  if (!task) return refuse(task.error());
  Runner runner(std::move(*config), std::move(*task), out);
  return runner.run();
}

}  // namespace

void add_run_command(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  auto* command =
      app.add_subcommand("run", "Run a node: samples in, predictions and events out as JSON lines");
  command->add_option("--config", options->config, "Configuration (TOML)");
  command->add_flag("--print-config", options->print_config,
                    "Print a commented configuration with every key, and end");
  command
      ->add_option("--log-level", options->level,
                   "What goes to stderr: error, warning, info or debug")
      ->check(CLI::IsMember({"error", "warning", "info", "debug"}).description(""))
      ->capture_default_str();
  command->add_flag("--json", options->json,
                    "Accepted for symmetry: the output is JSON lines always");
  command->footer(
      "Input: JSON lines {\"x\": [1.5, null, 3], \"y\": \"class\"} on stdin, or files (see "
      "--print-config).\n"
      "A label may come later: without \"y\" the sample's prediction line has a \"ticket\", and a line\n"
      "{\"ticket\": \"...\", \"y\": \"class\"} gives the label.\n"
      "Output, one JSON object a line, told apart by \"type\": ready, prediction, label, progress, "
      "correctness,\n"
      "event, error, end, summary. Words for people go to stderr.\n"
      "SIGINT and SIGTERM end the node in order: a last snapshot, the summary, exit status 0.\n"
      "After kill -9, start it again: files are replayed from the last snapshot on, so nothing is "
      "lost.\n\n"
      "Example, two nodes by hand:\n"
      "  p2p-learner task --data iris.csv --out task.toml\n"
      "  p2p-learner run --print-config > node.toml     # then set state_dir, seeds, source\n"
      "  p2p-learner run --config node.toml");
  command->callback([&action, options] { action = [options] { return run_node(*options); }; });
}

}  // namespace p2p::tools

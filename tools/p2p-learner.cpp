// The program: picks the command and turns its outcome into an exit status.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>

#include "tools/cli/commands.hpp"
#include "tools/cli/output.hpp"
#include "tools/cli/usage.hpp"
#ifdef P2P_DEMO
#include "tools/demo_cmd/demo.hpp"
#endif

namespace p2p::tools {
namespace {

int run(int argc, char** argv) {
#ifdef P2P_DEMO
  // The demonstration reads its own arguments.
  if (argc > 1 && std::strcmp(argv[1], "demo") == 0) return run_demo(argc - 1, argv + 1);
#endif
  CLI::App app{"p2p-learner: small models that learn at many places and heal each other's drifts"};
  app.name("p2p-learner");
  app.set_version_flag("--version", "p2p-learner " P2P_VERSION);
  app.require_subcommand(1);
  app.footer(
      "`p2p-learner COMMAND --help` says more; the man page p2p-learner(1) says everything.\n\n" +
      exit_code_table());
  Action action;
#ifdef P2P_DEMO
  app.add_subcommand("demo", "Watch eight nodes on this machine heal each other's drifts");
#endif
  add_run_command(app, action);
  add_control_commands(app, action);
  add_history_commands(app, action);
  add_overlay_command(app, action);
  add_keygen_command(app, action);
  add_check_command(app, action);
  add_registry_command(app, action);
  add_task_command(app, action);
  add_evaluate_command(app, action);
  for (auto* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    const auto footer = command->get_footer();
    command->footer((footer.empty() ? "" : footer + "\n\n") + exit_code_table());
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return static_cast<int>(finish_parse(app, argc, argv, error));
  }
  const ExitCode code = action();
  errno = 0;
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    log(LogLevel::error, errno == ENOSPC ? "the output could not be written: the disk is full"
                                         : "the output could not be written");
    if (code == ExitCode::ok) return static_cast<int>(errno == ENOSPC ? ExitCode::disk_full : ExitCode::failed);
  }
  return static_cast<int>(code);
}

}  // namespace
}  // namespace p2p::tools

int main(int argc, char** argv) {
  try {
    return p2p::tools::run(argc, argv);
  } catch (const std::exception& error) {
    p2p::tools::log(p2p::tools::LogLevel::error, error.what());
    return static_cast<int>(p2p::tools::ExitCode::failed);
  }
}

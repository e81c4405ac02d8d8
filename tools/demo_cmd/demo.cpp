#include "tools/demo_cmd/demo.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "tools/cli/commands.hpp"
#include "tools/demo_cmd/data_set.hpp"
#include "tools/demo_cmd/final_screen.hpp"
#include "tools/demo_cmd/live_view.hpp"
#include "tools/demo_cmd/options.hpp"
#include "tools/demo_cmd/process.hpp"
#include "tools/demo_cmd/report.hpp"
#include "tools/demo_cmd/result.hpp"
#include "tools/demo_cmd/result_json.hpp"
#include "tools/demo_cmd/scenario.hpp"
#include "tools/demo_cmd/session.hpp"
#include "tools/demo_cmd/workspace.hpp"

namespace p2p::tools {
namespace {

constexpr std::size_t kDeflateRows = 2000;

/// This very program, so that demo and nodes are the same build.
std::string own_program() {
  char path[4096];
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof path);
  const std::string text(path, n > 0 ? static_cast<std::size_t>(n) : 0);
  // Replaced on disk while it runs (a rebuild): the kernel still has the old one.
  return text.empty() || text.ends_with(" (deleted)") ? "/proc/self/exe" : text;
}

void print(std::FILE* out, const std::vector<std::string>& lines) {
  for (const std::string& line : lines) fmt::print(out, "{}\n", line);
  std::fflush(out);
}

/// What all seeds share.
struct Setting {
  DemoOptions options;
  DataSet data;
  double deflate = 1;
  std::string program;
  int view_fd = STDOUT_FILENO;  // --json: stderr, so that stdout is JSON and nothing else
};

struct Failure {
  Error error;
  Context context;
};

tl::expected<DemoResult, Failure> run_one(const Setting& setting, std::uint64_t seed,
                                          const WorkFolder& folder, SignalWatch& signals) {
  const auto failed = [](const Error& error, Context context) {
    return tl::unexpected(Failure{error, context});
  };
  const DemoOptions& options = setting.options;
  auto scenario = make_scenario({.seed = seed,
                                 .nodes = options.nodes,
                                 .samples = options.samples,
                                 .classes = setting.data.classes.size()});
  if (!scenario) return failed(scenario.error(), Context::config);
  auto draw = draw_streams(*scenario, setting.data.labels);
  if (!draw) return failed(draw.error(), Context::data);

  std::string root = folder.path();
  if (options.seeds.size() > 1) {
    root += fmt::format("/seed-{}", seed);
    std::error_code ignored;  // the next write tells
    std::filesystem::create_directories(root, ignored);
  }
  auto workspace = write_workspace(root, *scenario, *draw, setting.data);
  if (!workspace) return failed(workspace.error(), Context::run);

  Screen screen(setting.view_fd, paper_for(setting.view_fd));
  auto outcome =
      run_session(*scenario, *workspace,
                  {.program = setting.program, .data = setting.data.name, .rate = options.rate},
                  signals, screen);
  screen.finish();
  if (!outcome) return failed(outcome.error(), Context::run);
  DemoResult result = make_result({.scenario = *scenario,
                                   .logs = outcome->logs,
                                   .deaths = outcome->deaths,
                                   .last_errors = outcome->last_errors,
                                   .data = setting.data.name,
                                   .classes = setting.data.classes,
                                   .sample_bytes = sample_bytes(setting.data),
                                   .deflate_ratio = setting.deflate});
  result.rate = options.rate;
  result.interrupted = outcome->interrupted;
  result.elapsed_s = outcome->elapsed_s;
  result.stream_s = outcome->stream_s;
  result.images_reused = draw->reused;
  return result;
}

}  // namespace

int run_demo(int argc, char** argv) {
  const ParsedOptions parsed = parse_options(argc, argv);
  if (parsed.exit_now) return *parsed.exit_now;
  Setting setting;
  setting.options = parsed.options;
  const DemoOptions& options = setting.options;
  setting.program = own_program();
  // With --json stdout holds one object: the result as soon as there is one, else the error.
  const auto complain = [&](const Error& error, Context context, bool nothing_else = true) {
    return static_cast<int>(report_error(error, context, options.json && nothing_else));
  };
  if (options.json) setting.view_fd = STDERR_FILENO;

  // Refused before anything is read or written.
  if (auto possible = make_scenario({.nodes = options.nodes, .samples = options.samples});
      !possible) {
    return complain(possible.error(), Context::config);
  }
  if (auto writable = check_folder(options.report_dir); !writable) {
    return complain(writable.error(), Context::run);
  }
  SignalWatch signals;
  auto data = load_data_set(options.data);
  if (!data) return complain(data.error(), Context::data);
  setting.data = std::move(*data);
  setting.deflate = deflate_ratio(setting.data, kDeflateRows);
  auto folder = WorkFolder::open(options.work_dir);
  if (!folder)
    return complain(folder.error(),
                    folder.error().code == ErrorCode::in_use ? Context::start : Context::run);

  std::FILE* view = options.json ? stderr : stdout;
  std::vector<DemoResult> results;
  bool interrupted = false;
  int status = static_cast<int>(ExitCode::ok);
  for (const std::uint64_t seed : options.seeds) {
    if (signals.take() > 0) interrupted = true;
    if (interrupted) break;
    auto result = run_one(setting, seed, *folder, signals);
    if (!result) {
      status = complain(result.error().error, result.error().context, results.empty());
      break;
    }
    fmt::print(view, "\n");
    print(view, final_screen(*result, paper_for(setting.view_fd)));
    if (!options.report_dir.empty()) {
      auto report = write_report(*result, options.report_dir);
      if (!report) {
        status = complain(report.error(), Context::run, false);
      } else {
        fmt::print(view, "report: {}\n", *report);
      }
    }
    interrupted = result->interrupted;
    results.push_back(std::move(*result));
  }
  if (options.seeds.size() > 1 && !results.empty()) {
    print(view, medians_screen(results, paper_for(setting.view_fd)));
  }
  if (!options.work_dir.empty()) fmt::print(view, "work folder: {}\n", folder->path());
  if (options.json && !results.empty()) {
    const Json json = options.seeds.size() > 1 ? to_json(results) : to_json(results.front());
    fmt::print("{}\n", to_line(json));
  }
  std::fflush(stdout);
  return interrupted ? static_cast<int>(ExitCode::interrupted) : status;
}

}  // namespace p2p::tools

#include "tools/demo_cmd/options.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>

#include "tools/cli/exit_codes.hpp"
#include "tools/cli/usage.hpp"

namespace p2p::tools {
namespace {

std::optional<std::uint64_t> whole_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, bad] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (bad != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

constexpr const char* kFooter =
    R"(What one sees: the overlay forming; a live table (without a terminal: plain lines); at the end one screen with, for
each drift, how soon it was noticed, how long lookup and merge took, what was pulled and whether it was kept, and how
many samples the node and its isolated twin needed to recover; each node's accuracy; bytes by kind.
Ctrl-C ends every process in order and still prints the summary; a second one does so at once.
NO_COLOR is respected. With --json and --seeds the JSON has one element per seed.
A run takes about SAMPLES / RATE seconds and a few more.)";

}  // namespace

Result<std::vector<std::uint64_t>> parse_seed_range(const std::string& text) {
  const std::size_t dash = text.find('-');
  const auto first = whole_number(std::string_view(text).substr(0, dash));
  const auto last =
      dash == std::string::npos ? first : whole_number(std::string_view(text).substr(dash + 1));
  if (!first || !last || *last < *first || *last - *first >= 100) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("'{}' is no range of seeds: write it like 1-5, with at most 100 of them",
                    text));
  }
  std::vector<std::uint64_t> seeds;
  for (std::uint64_t seed = *first;; ++seed) {
    seeds.push_back(seed);
    if (seed == *last) return seeds;
  }
}

ParsedOptions parse_options(int argc, char** argv) {
  ParsedOptions out;
  DemoOptions& options = out.options;
  CLI::App app(
      "Watch nodes on this machine heal each other's drifts: real processes, a real overlay, real "
      "data");
  app.name("p2p-learner demo");
  app.footer(
      std::string(kFooter) + "\n\n" + exit_code_table() +
      "  130  also: the demonstration was interrupted; the summary is of what happened until then");
  std::string range;
  app.add_option("--data", options.data,
                 "Folder with idx files (Fashion-MNIST, MNIST; gzip or plain), or a CSV file")
      ->type_name("PATH")
      ->capture_default_str();
  auto* seed = app.add_option("--seed", options.seeds[0],
                              "Everything random about the script and the task follows from it")
                   ->type_name("N")
                   ->capture_default_str();
  app.add_option("--seeds", range, "Run one demonstration for each of these and print the medians")
      ->type_name("A-B")
      ->excludes(seed);
  app.add_option("--nodes", options.nodes, "How many, 4 to 64")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--samples", options.samples, "Length of each node's stream, at least 2800")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--rate", options.rate, "Samples per second and node")
      ->type_name("R")
      ->capture_default_str()
      ->check(CLI::Range(1.0, 1e5));
  app.add_flag("--json", options.json,
               "The result as one JSON object on stdout; the picture goes to stderr");
  app.add_option("--report", options.report_dir,
                 "Write a self-contained HTML page with plots into this folder")
      ->type_name("DIR");
  app.add_option(
         "--work-dir", options.work_dir,
         "Work in this (new or empty) folder and keep it: streams, task, script, node states")
      ->type_name("DIR");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    out.exit_now = static_cast<int>(finish_parse(app, argc, argv, error));
    return out;
  }
  if (!range.empty()) {
    auto seeds = parse_seed_range(range);
    if (!seeds) {
      fmt::print(stderr, "p2p-learner demo: --seeds: {}\n", seeds.error().text());
      out.exit_now = static_cast<int>(ExitCode::usage);
      return out;
    }
    options.seeds = *seeds;
  }
  return out;
}

}  // namespace p2p::tools

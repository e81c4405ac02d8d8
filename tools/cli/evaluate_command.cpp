#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "overlay/net/files.hpp"
#include "overlay/node/node.hpp"
#include "tools/cli/commands.hpp"
#include "tools/cli/evaluate.hpp"
#include "tools/cli/evaluate_report.hpp"
#include "tools/cli/infer_task.hpp"
#include "tools/cli/output.hpp"
#include "tools/data/row_coder.hpp"

namespace p2p::tools {

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  DataOptions data;
  std::string model, detector = "adwin", task, test, write_task, plot;
  std::vector<std::string> params, categorical;
  std::uint64_t samples = 0, seed = 1;
  std::optional<std::uint64_t> shuffle;
  double bandwidth = 0;
  std::size_t window = 1000;
  bool json = false, quiet = false, force = false;
};

// The handler sets it, the loop reads it; a second signal ends the program at once.
volatile std::sig_atomic_t interrupted = 0;

void on_signal(int) { interrupted = 1; }

void watch_signals() {
  interrupted = 0;
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

/// How far it is, on stderr: one line that is written anew on a terminal, else a line per tenth of
/// the way.
class Progress {
 public:
  explicit Progress(bool quiet) : quiet_(quiet), live_(::isatty(STDERR_FILENO) == 1) {}
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;

  /// Samples that are to come; 0: unknown.
  void expect(std::uint64_t samples) { expected_ = samples; }

  void reading(std::uint64_t rows) {
    if (!quiet_ && live_ && due()) write(fmt::format("looking at the data first: {} rows", rows));
  }
  void show(const Measured& m) {
    if (quiet_) return;
    const auto n = m.metrics.samples();
    if (live_) {
      if (due()) write(text(m));
      return;
    }
    const std::uint64_t step = expected_ > 0 ? std::max<std::uint64_t>(expected_ / 10, 1) : 100'000;
    if (n / step == tenths_) return;
    tenths_ = n / step;
    log(LogLevel::info, text(m));
  }
  void clear() {
    if (written_) fmt::print(stderr, "\r\x1b[K");
    written_ = false;
  }

 private:
  bool due() {
    const auto now = Clock::now();
    if (now - last_ < std::chrono::milliseconds(100)) return false;
    last_ = now;
    return true;
  }
  /// A longer line would wrap, and could not be written anew.
  void write(std::string line) {
    winsize size{};
    const std::size_t width =
        ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
    line.resize(std::min<std::size_t>(line.size(), width - 1));
    fmt::print(stderr, "\r\x1b[K{}", line);
    std::fflush(stderr);
    written_ = true;
  }
  std::string text(const Measured& m) const {
    const auto alarms = m.alarms.size() + m.more_alarms;
    return fmt::format(
        "{}{} samples, accuracy {:.4f}, lately {:.4f}, no-change {:.4f}, {} alarm{}, {:.0f} "
        "samples/s",
        m.metrics.samples(), expected_ > 0 ? fmt::format(" of {}", expected_) : "",
        m.metrics.accuracy(), m.metrics.windowed_accuracy(), m.metrics.no_change_accuracy(), alarms,
        alarms == 1 ? "" : "s", m.samples_per_s());
  }

  bool quiet_, live_, written_ = false;
  std::uint64_t expected_ = 0, tenths_ = 0;
  Clock::time_point last_{};
};

Result<std::map<std::string, double>> parse_params(const std::vector<std::string>& texts) {
  std::map<std::string, double> out;
  for (const auto& text : texts) {
    const auto equals = text.find('=');
    double value = 0;
    if (equals == std::string::npos || equals == 0 ||
        !CLI::detail::lexical_cast(text.substr(equals + 1), value)) {
      return fail(ErrorCode::invalid_argument, fmt::format("--params {}: write NAME=NUMBER", text));
    }
    out[text.substr(0, equals)] = value;
  }
  return out;
}

/// The file's name up to its first point; a task's name is bounded.
std::string task_name(const std::string& path) {
  auto out = std::filesystem::path(path).filename().string();
  out = out.substr(0, std::min(out.find('.'), metadata::kMaxNameBytes));
  return out.empty() ? "data" : out;
}

/// What the run needs to know before it starts, and how many samples to expect (0: unknown).
struct Prepared {
  metadata::Task task;
  std::uint64_t expected = 0;
};

/// An error, and where it arose.
struct Refusal {
  Error error;
  Context context;
};
template <typename T>
using Outcome = tl::expected<T, Refusal>;

tl::unexpected<Refusal> refused(Error error, Context context) {
  return tl::unexpected(Refusal{std::move(error), context});
}

Outcome<Prepared> prepare(const Options& options, Progress& progress) {
  const auto params = parse_params(options.params);
  if (!params) return refused(params.error(), Context::config);
  if (auto ok = check_options(options.data); !ok) {
    return refused(ok.error(), ok.error().code == ErrorCode::invalid_argument ? Context::config
                                                                              : Context::data);
  }
  Prepared out;
  if (!options.task.empty()) {
    const auto bytes = net::read_file(options.task, metadata::kMaxTaskBytes);
    if (!bytes) return refused(bytes.error(), Context::config);
    auto task = metadata::parse_task(to_string(*bytes), options.task);
    if (!task) return refused(task.error(), Context::config);
    out.task = std::move(*task);
    if (!options.model.empty() && options.model != out.task.family) {
      out.task.family = options.model;
      out.task.params.clear();  // they were the other family's
    }
    for (const auto& [key, value] : *params) out.task.params[key] = value;
    if (options.bandwidth > 0) out.task.bandwidth = options.bandwidth;
    return out;
  }
  if (options.model.empty()) {
    return refused({ErrorCode::invalid_argument,
                    fmt::format("name a model with --model ({}), or a task with --task",
                                fmt::join(learner::families(), ", ")),
                    {}},
                   Context::config);
  }
  if (auto ok = check_family(options.model); !ok) return refused(ok.error(), Context::config);
  auto file = open_data(options.data);
  if (!file) return refused(file.error(), Context::data);
  InferOptions infer{.name = task_name(file->path),
                     .family = options.model,
                     .params = *params,
                     .seed = options.seed,
                     .bandwidth = options.bandwidth,
                     .fallback_bandwidth = 1,
                     .categorical = {options.categorical.begin(), options.categorical.end()},
                     .rows = options.samples,
                     .progress = [&](std::uint64_t rows) {
                       progress.reading(rows);
                       return interrupted != 0;
                     }};
  auto inferred = infer_task(*file, infer);
  if (!inferred) return refused(inferred.error(), Context::data);
  out.task = std::move(inferred->task);
  out.expected = inferred->rows - inferred->unlabelled;
  return out;
}

std::uint64_t peak_memory() {
  rusage usage{};
  return ::getrusage(RUSAGE_SELF, &usage) == 0 ? static_cast<std::uint64_t>(usage.ru_maxrss) * 1024
                                               : 0;
}

Result<void> write_text(const std::string& path, const std::string& text) {
  return net::write_atomically(path, view(text));
}

Result<void> check_columns(const metadata::Task& task, const DataFile& file) {
  auto ok = RowCoder(task).check_columns(file.source->feature_names());
  if (!ok) ok.error().message = fmt::format("{}: {}", file.path, ok.error().message);
  return ok;
}

/// What is written may not cost the user a file that is there: no input, no device, no task that nodes may share.
Result<void> check_output(const std::string& flag, const std::string& path, const Options& options,
                          bool replace) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (path.empty() || !fs::exists(fs::symlink_status(path, ignored))) return {};
  const auto no = [&](std::string_view why) {
    return fail(ErrorCode::invalid_argument, fmt::format("{} {}: {}", flag, path, why));
  };
  if (!fs::is_regular_file(fs::symlink_status(path, ignored))) {
    return no("it is there and no ordinary file; name another");
  }
  for (const auto& input : {options.data.path, options.data.labels, options.task, options.test}) {
    if (!input.empty() && fs::equivalent(path, input, ignored)) {
      return no("it is one of the inputs; name another file");
    }
  }
  if (!replace) {
    return no("it is there already; choose another, or use --force. Nodes with different tasks do not meet");
  }
  return {};
}

Outcome<ExitCode> run(const Options& options) {
  const auto started = Clock::now();
  for (auto ok : {check_output("--write-task", options.write_task, options, options.force),
                  check_output("--plot", options.plot, options, true)}) {
    if (!ok) return refused(ok.error(), Context::config);
  }
  Progress progress(options.quiet);
  auto prepared = prepare(options, progress);
  if (interrupted != 0) {
    progress.clear();
    log(LogLevel::error, "interrupted before anything was measured");
    return ExitCode::interrupted;
  }
  if (!prepared) return tl::unexpected(prepared.error());
  progress.expect(prepared->expected);
  const auto& task = prepared->task;
  auto model = learner::make_model(node::model_spec(task));
  if (!model) return refused(model.error(), Context::config);
  std::unique_ptr<DriftWatch> watch;
  if (options.detector != "none") {
    auto made = make_drift_watch(options.detector, task);
    if (!made) return refused(made.error(), Context::config);
    watch = std::move(*made);
  }
  if (!options.write_task.empty()) {
    if (auto ok = write_text(options.write_task, metadata::to_toml(task)); !ok)
      return refused(ok.error(), Context::run);
  }
  DataOptions data = options.data;
  if (data.features == 0) data.features = task.raw_features();
  auto file = open_data(data);
  if (!file) return refused(file.error(), Context::data);
  const auto opened_path = file->path;
  if (auto ok = check_columns(task, *file); !ok) return refused(ok.error(), Context::data);
  SampleBlocks blocks(std::move(*file), task, options.samples);
  if (options.shuffle) {
    if (auto ok = blocks.shuffle(*options.shuffle); !ok) return refused(ok.error(), Context::data);
  }
  const auto stop = [] { return interrupted != 0; };
  auto measured = evaluate(blocks, **model, watch.get(), {.window = options.window, .stop = stop},
                           [&](const Measured& m) { progress.show(m); });
  progress.clear();
  if (!measured) return refused(measured.error(), Context::data);
  if (measured->metrics.samples() == 0 && !measured->stopped) {
    return refused(
        {ErrorCode::invalid_argument,
         fmt::format("{} has no labelled sample, so there is nothing to measure", opened_path),
         {}},
        Context::data);
  }
  EvaluationReport report{.data = opened_path,
                          .task = task,
                          .detector = watch ? options.detector : "",
                          .task_inferred = options.task.empty(),
                          .window = options.window,
                          .measured = std::move(*measured),
                          .counts = blocks.counts()};
  if (!options.test.empty() && !report.measured.stopped) {
    DataOptions test = options.data;
    test.path = options.test;
    test.labels.clear();
    test.test_set = true;
    test.features = task.raw_features();
    auto test_file = open_data(test);
    if (!test_file) return refused(test_file.error(), Context::data);
    report.test_data = test_file->path;
    if (auto ok = check_columns(task, *test_file); !ok) return refused(ok.error(), Context::data);
    SampleBlocks test_blocks(std::move(*test_file), task, 0);
    auto result = held_out(test_blocks, **model, stop);
    if (!result) return refused(result.error(), Context::data);
    if (result->samples == 0) {
      return refused({ErrorCode::invalid_argument,
                      fmt::format("{} has no labelled sample", report.test_data),
                      {}},
                     Context::data);
    }
    report.test = *result;
  }
  report.model_bytes = (*model)->bytes();
  report.peak_memory_bytes = peak_memory();
  report.encoded_bytes = (*model)->encode().size();
  report.class_bytes = class_bytes(**model, report.measured.metrics);
  report.total_s = std::chrono::duration<double>(Clock::now() - started).count();
  if (!options.plot.empty()) {
    if (auto ok = write_text(options.plot, to_svg(report)); !ok)
      return refused(ok.error(), Context::run);
  }
  if (options.json) {
    std::puts(to_line(to_json(report)).c_str());
  } else {
    fmt::print("{}", to_text(report));
  }
  return interrupted != 0 ? ExitCode::interrupted : ExitCode::ok;
}

}  // namespace

void add_evaluate_command(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand(
      "evaluate", "Measure a model on a data set: test each sample, then train on it");
  command
      ->add_option(
          "--data", options->data.path,
          "CSV, libsvm, ARFF or JSON lines, an idx file of images or its folder; gzip or plain")
      ->required();
  command->add_option(
      "--model", options->model,
      fmt::format("Model: {} (default: the task's)", fmt::join(learner::families(), ", ")));
  command
      ->add_option(
          "--detector", options->detector,
          fmt::format("Drift detector that listens: {}, none", fmt::join(drift_watches(), ", ")))
      ->capture_default_str();
  command->add_option("--task", options->task,
                      "Task file (default: one is inferred from the data)");
  command->add_option("--write-task", options->write_task, "Keep the task in this file");
  command->add_flag("--force", options->force, "Let --write-task replace a task that is there");
  command->add_option("--params", options->params, "Parameters of the model, NAME=NUMBER ...");
  command->add_option("--label", options->data.label,
                      "Name of the label's column (default: the last one)");
  command->add_option("--labels", options->data.labels,
                      "idx: the file of labels (default: found by name)");
  command->add_flag("!--no-header", options->data.header,
                    "CSV: the first line is data; columns are x1, x2, ...");
  command->add_option("--features", options->data.features,
                      "libsvm: how many (default: the largest index)");
  command->add_option("--ignore", options->data.ignore, "Columns that are passed over")
      ->delimiter(',');
  command
      ->add_option("--categorical", options->categorical, "Columns of numbers that are categories")
      ->delimiter(',');
  command->add_option("--samples", options->samples, "Stop after so many (default, and 0: all)")
      ->check(whole_number());
  command->add_option("--shuffle", options->shuffle,
                      "Put the samples into a random order from this seed")
      ->check(whole_number());
  command->add_option("--test", options->test,
                      "Then measure on this held-out set, without learning from it");
  command->add_option("--seed", options->seed, "Seed of the model")
      ->check(whole_number())
      ->capture_default_str();
  command
      ->add_option("--bandwidth", options->bandwidth,
                   "gamma of the kernel (default: the median rule)")
      ->check(CLI::PositiveNumber);
  command->add_option("--window", options->window, "Samples of the windowed accuracy")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  command->add_option("--plot", options->plot, "Write the windowed accuracy as a picture, SVG");
  command->add_flag("--json", options->json, "Print the result as one JSON object");
  command->add_flag("--quiet", options->quiet, "No progress on stderr");
  command->footer(
      "Without --task the data are read twice: once for ranges, categories and classes, once to "
      "learn.\n"
      "samples/s counts predicting and learning alone, in time of the processor; reading, scaling "
      "and the\n"
      "detector are told apart.\n"
      "Beside the accuracy stand those of saying the last label again and of always saying the "
      "commonest\n"
      "class: many real streams repeat their labels. Ctrl-C prints what was measured so far.");
  command->callback([&action, options] {
    action = [options] {
      watch_signals();
      const auto outcome = run(*options);
      if (outcome) return *outcome;
      return report_error(outcome.error().error, outcome.error().context, options->json);
    };
  });
}

}  // namespace p2p::tools

#include <fmt/format.h>
#include <sys/stat.h>

#include <cstdio>
#include <filesystem>
#include <memory>

#include "learner/model.hpp"
#include "metadata/base/words.hpp"
#include "overlay/net/files.hpp"
#include "overlay/node/node.hpp"
#include "tools/cli/commands.hpp"
#include "tools/cli/infer_task.hpp"
#include "tools/cli/output.hpp"

namespace p2p::tools {

namespace {

struct Options {
  DataOptions data;
  std::string out = "task.toml";
  std::vector<std::string> params, categorical;
  InferOptions infer;
  bool force = false, json = false;
};

Result<void> parse_params(Options& options) {
  for (const auto& text : options.params) {
    const auto equals = text.find('=');
    double value = 0;
    if (equals == std::string::npos || equals == 0 ||
        !CLI::detail::lexical_cast(text.substr(equals + 1), value)) {
      return fail(ErrorCode::invalid_argument, fmt::format("--param {}: write NAME=NUMBER", text));
    }
    options.infer.params[text.substr(0, equals)] = value;
  }
  options.infer.categorical = {options.categorical.begin(), options.categorical.end()};
  return {};
}

ExitCode make_task(Options& options) {
  const auto refuse = [&](const Error& error, Context context) {
    return report_error(error, context, options.json);
  };
  if (auto ok = parse_params(options); !ok) return refuse(ok.error(), Context::config);
  if (struct stat info{}; ::stat(options.out.c_str(), &info) == 0 && !options.force) {
    return refuse(
        Error{ErrorCode::in_use,
              fmt::format("{} is there already; choose another --out, or use --force. Nodes with "
                          "different tasks do not meet",
                          options.out),
              {}},
        Context::config);
  }
  if (auto ok = check_options(options.data); !ok) {
    return refuse(ok.error(),
                  ok.error().code == ErrorCode::invalid_argument ? Context::config : Context::data);
  }
  if (auto ok = check_family(options.infer.family); !ok) return refuse(ok.error(), Context::config);
  auto data = open_data(options.data);
  if (!data) return refuse(data.error(), Context::data);
  if (options.infer.name.empty()) {
    options.infer.name = std::filesystem::path(data->path).filename().string();
    options.infer.name = options.infer.name.substr(0, options.infer.name.find('.'));
  }
  const auto inferred = infer_task(*data, options.infer);
  if (!inferred) return refuse(inferred.error(), Context::data);
  // Whatever is impossible is told here, not at the first start of a node.
  if (auto model = learner::make_model(node::model_spec(inferred->task)); !model) return refuse(model.error(), Context::config);
  // What is written must read back to the same task, or nodes would disagree about it.
  const auto text = metadata::to_toml(inferred->task);
  const auto back = metadata::parse_task(text, options.out);
  if (!back) return refuse(back.error(), Context::config);
  if (auto ok = net::write_atomically(options.out, view(text)); !ok)
    return refuse(ok.error(), Context::run);

  const auto& task = *back;
  const auto id = to_hex(metadata::id(task).view());
  if (options.json) {
    std::puts(to_line(Json{{"task", id},
                           {"file", options.out},
                           {"name", task.name},
                           {"rows", inferred->rows},
                           {"features", task.raw_features()},
                           {"scaled_features", task.scaled_features()},
                           {"classes", task.classes},
                           {"bandwidth", task.bandwidth},
                           {"missing_values", inferred->missing},
                           {"unlabelled_rows", inferred->unlabelled}})
                  .c_str());
  } else {
    fmt::print(
        "{}: task {} with {} and {}, from {} ({} missing, {} without label)\n"
        "id {}\nNodes meet if they have this very file; give all of them a copy.\n",
        options.out, task.name, counted(task.raw_features(), "feature"), counted(task.classes.size(), "class", "classes"),
        counted(inferred->rows, "row"), counted(inferred->missing, "value"), inferred->unlabelled, id);
  }
  return ExitCode::ok;
}

}  // namespace

void add_task_command(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  options->infer.name.clear();
  auto* command = app.add_subcommand(
      "task", "Infer a task from a data set: features, ranges, classes, bandwidth");
  command
      ->add_option(
          "--data", options->data.path,
          "CSV, libsvm, ARFF or JSON lines, an idx file of images or its folder; gzip or plain")
      ->required();
  command->add_option("--labels", options->data.labels,
                      "idx: the file of labels (default: found by name)");
  command->add_option("--label", options->data.label,
                      "CSV, ARFF: name of the label's column (default: the last one)");
  command->add_option("--ignore", options->data.ignore, "CSV, ARFF: columns that are passed over")
      ->delimiter(',');
  command->add_flag("!--no-header", options->data.header,
                    "CSV: the first line is data; columns are x1, x2, ...");
  command->add_option("--features", options->data.features,
                      "libsvm: how many (default: the largest index)");
  command->add_option("--out", options->out, "Task file to write")->capture_default_str();
  command->add_option("--name", options->infer.name, "Name for people (default: from the file's)");
  command
      ->add_option("--classes", options->infer.classes,
                   "Class names in index order (default: those that occur)")
      ->delimiter(',');
  command
      ->add_option("--categorical", options->categorical,
                   "Columns of numbers that are categories; columns of text are anyway")
      ->delimiter(',');
  command->add_option("--family", options->infer.family, "Model family")->capture_default_str();
  command->add_option("--param", options->params,
                      "Hyper-parameter of the family, NAME=NUMBER; repeatable");
  command->add_option("--seed", options->infer.seed, "Seed of the basis that the nodes share")
      ->check(whole_number())
      ->capture_default_str();
  command
      ->add_option("--dimensions", options->infer.dimensions,
                   "Dimensions of the fingerprint's embedding")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command
      ->add_option(
          "--bandwidth", options->infer.bandwidth,
          "gamma of the kernel (default: 2 / median squared distance over the first 300 rows)")
      ->check(CLI::PositiveNumber);
  command->add_option("--rows", options->infer.rows, "Look at so many rows only (default, and 0: all)")
      ->check(whole_number());
  command->add_flag("--force", options->force, "Overwrite --out");
  command->add_flag("--json", options->json, "Print what was found as one JSON object");
  command->footer(
      "Values outside the range that was found are scaled beyond [0, 1]; they are not refused.\n"
      "The file is TOML with comments; change it before the first node uses it, never after: its "
      "hash\n"
      "is the task's name, and nodes with other names do not meet.");
  command->callback([&action, options] { action = [options] { return make_task(*options); }; });
}

}  // namespace p2p::tools

// history, rollback: what a node has lived through, and a merge undone by hand.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <utility>

#include "learner/snapshot.hpp"
#include "overlay/net/files.hpp"
#include "tools/cli/commands.hpp"
#include "tools/cli/config.hpp"
#include "tools/cli/history.hpp"
#include "tools/cli/overlay_target.hpp"

namespace p2p::tools {

namespace {

struct HistoryOptions {
  OverlayTarget target;
  JournalRequest asked;
  std::string task;
};

/// What the node said when it last saved; nothing there is touched.
tl::expected<Json, Refusal> from_snapshot(const HistoryOptions& options) {
  const auto refuse = [](const Error& error, Context context) { return tl::unexpected(Refusal{error, context}); };
  const auto path = options.target.state_dir + "/snapshot";
  const auto bytes = net::read_file(path, learner::Snapshot::kMaxBytes);
  if (!bytes) return refuse(bytes.error(), Context::start);
  auto drifts = node::drifts_in(*bytes);
  if (!drifts) {
    auto error = drifts.error();
    error.message = fmt::format("{} cannot be read: {}", path, error.message);
    return refuse(error, Context::start);
  }
  metadata::Task task;  // without one, classes are numbers
  if (!options.task.empty()) {
    auto loaded = load_task(options.task);
    if (!loaded) return refuse(loaded.error(), Context::config);
    task = std::move(*loaded);
  }
  auto answer = history_json(*drifts, options.asked, task);
  if (!answer) return refuse(answer.error(), Context::answer);
  return std::move(*answer);
}

tl::expected<Json, Refusal> history(const HistoryOptions& options) {
  Json arguments = Json::object();
  if (options.asked.id) arguments["id"] = *options.asked.id;
  if (options.asked.last) arguments["last"] = *options.asked.last;
  auto answer = options.target.ask("history", arguments);
  if (answer || options.target.state_dir.empty() || answer.error().context != Context::control) return answer;
  auto saved = from_snapshot(options);
  if (!saved && saved.error().error.code == ErrorCode::not_found && saved.error().context == Context::start) {
    return answer;  // neither a node nor its state: the first is what to say
  }
  if (saved) log(LogLevel::info, "no node answers there: this is what it saved last");
  return saved;
}

ExitCode show(const tl::expected<Json, Refusal>& answer, bool json) {
  if (!answer) return report_error(answer.error().error, answer.error().context, json);
  const auto text = json ? to_line(*answer) + "\n" : history_text(*answer);
  std::fputs(text.c_str(), stdout);
  return ExitCode::ok;
}

}  // namespace

void add_history_commands(CLI::App& app, Action& action) {
  auto options = std::make_shared<HistoryOptions>();
  auto* command = app.add_subcommand("history", "Each drift of a node, from the alarm to how it ended");
  command->add_option("ID", options->asked.id, "One drift: all steps of its story")->check(whole_number());
  command->add_option("--last", options->asked.last, "Only so many, the latest")->check(whole_number());
  command->add_option("--task", options->task, "Task file, for class names while the node does not run");
  options->target.add_options(*command, "The answer as one JSON object, as the node gave it");
  command->footer(
      "A node keeps the stories of its latest 256 drifts, also over restarts. With --state-dir they are read\n"
      "from its last snapshot when it does not run.\n\n"
      "Columns: at, the sample at which the alarm came; helper, whose part did best in the trial; trial, what it\n"
      "had right against what the model in force had right.");
  command->callback([&action, options] {
    action = [options] { return show(history(*options), options->target.json); };
  });

  auto undo = std::make_shared<HistoryOptions>();
  auto* rollback = app.add_subcommand("rollback", "Undo the merge of a drift: the model from before it serves again");
  rollback->add_option("ID", undo->asked.id, "The drift, as history numbers it")->required()->check(whole_number());
  rollback->add_flag("--redo", undo->asked.redo, "Take an earlier rollback back instead");
  undo->target.add_options(*rollback, "The drift with its steps as one JSON object");
  const node::FormerModels::Options kept;
  rollback->footer(fmt::format(
      "While a merge is being watched, the former model comes back as it is: it has learned on in the shadow.\n"
      "Later it comes back as it was when the watch ended, so what was learned since is lost to it, and later\n"
      "merges go with it. Kept are the former models of the latest {} merges, {} MB together.\n"
      "The model that is replaced is kept in the same place: --redo puts it back.",
      kept.models, kept.bytes >> 20));
  rollback->callback([&action, undo] {
    action = [undo] {
      return show(undo->target.ask("rollback", Json{{"id", *undo->asked.id}, {"redo", undo->asked.redo}}), undo->target.json);
    };
  });
}

}  // namespace p2p::tools

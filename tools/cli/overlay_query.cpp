// overlay lookup, watch: who is like these samples? Asked through a running node.
#include <fmt/format.h>
#include <signal.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <utility>

#include "metadata/base/words.hpp"
#include "tools/cli/commands.hpp"
#include "tools/cli/end_signals.hpp"
#include "tools/cli/experience.hpp"
#include "tools/cli/overlay_json.hpp"
#include "tools/cli/overlay_target.hpp"
#include "tools/cli/table.hpp"

namespace p2p::tools {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono_literals::operator""ms;

constexpr auto kFirstPoll = 2ms, kLastPoll = 100ms;  // of a lookup: the first answers come within milliseconds
constexpr auto kWatchPoll = 250ms;
constexpr auto kGrace = std::chrono::seconds(5);  // over a lookup's own deadline

struct Query {
  OverlayTarget target;
  ExperienceOptions samples;
  std::vector<std::string> classes;
  bool unlabelled = false;
  // lookup
  std::size_t want = 5;
  double deadline_s = 2;
  bool stream = false;
  // watch
  std::optional<double> within;
  double for_s = 0;
};

ExitCode report(const Query& query, const Refusal& refusal) {
  return report_error(refusal.error, refusal.context, query.target.json);
}

/// What is asked, as a request.
tl::expected<Json, Refusal> request_of(const Query& query) {
  metadata::Need need;
  if (query.samples.data.path.empty() && query.classes.empty()) {
    Json own = Json::object();  // the node's own experience
    own["by"] = query.unlabelled ? "marginal" : "joint";
    return own;
  }
  const auto task = query.target.task();
  if (!task) return tl::unexpected(task.error());
  for (const auto& name : query.classes) {
    const auto c = resolve_label(task->classes, name);
    if (!c) return tl::unexpected(Refusal{c.error(), Context::config});
    need.classes.push_back(*c);
  }
  need.by = !need.classes.empty() ? metadata::By::classes : query.unlabelled ? metadata::By::marginal : metadata::By::joint;
  if (!query.samples.data.path.empty()) {
    auto read = read_experience(query.samples, *task);
    if (!read) return tl::unexpected(Refusal{read.error(), Context::data});
    log(LogLevel::info, fmt::format("{}{}", counted(read->samples, "sample"),
                                    read->unlabelled > 0 ? fmt::format(", {} more without a label", read->unlabelled) : ""));
    need.experience = std::move(read->fingerprint);
  }
  return need_json(need);
}

std::string distance_text(const Json& candidate) {
  if (candidate["distance"].is_null()) return "-";
  return fmt::format("{}{:.3f}", candidate["exact"] == true ? "" : "~", candidate["distance"].get<double>());
}

std::string show(const Json& answer) {
  const auto& cost = answer.at("cost");
  const auto number = [&cost](const char* member) { return cost[member].get<std::uint64_t>(); };
  std::string out = fmt::format("{} of {} heard of, after {:.0f} ms: {} read ({}), {}, {}, {} of datagrams; {} refused.\n",
                                presences_text(answer["candidates"]), number("known"), cost["took_ms"].get<double>(),
                                counted(number("gets"), "key"), counted(number("values"), "value"),
                                counted(number("questions"), "question"), counted(number("fingerprints"), "fingerprint"),
                                bytes_text(cost["datagram_bytes"].get<double>()), number("refused"));
  if (answer["candidates"].empty()) return out + "Nobody has been found; nodes publish after some samples.\n";
  Table table({"node", "shows", "endpoint", "distance", "accuracy", "samples", "round trip", "knows"});
  bool estimated = false;
  for (const auto& one : answer["candidates"]) {
    estimated = estimated || (one["exact"] != true && !one["distance"].is_null());
    table.add({brief_id(one), shown_text(one), one["endpoint"].get<std::string>(), distance_text(one),
               fmt::format("{:.2f}", one["accuracy"].get<double>()), one["samples"].dump(),
               ms_text(one["round_trip_ms"]), known_classes(one)});
  }
  out += "\n" + table.text(true);
  if (estimated) out += "~: estimated, for there was no fingerprint to compare with.\n";
  return out;
}

/// One line per node as it comes.
bool print_arrived(const Query& query, const Json& candidate, const char* type) {
  if (query.target.json) {
    Json line{{"type", type}};
    for (const auto& [key, value] : candidate.items()) line[key] = value;
    std::puts(to_line(line).c_str());
  } else {
    fmt::print("{}  {:<21}  {:>7}  {}  accuracy {:.2f}  {}  knows {}\n", brief_id(candidate),
               candidate["endpoint"].get<std::string>(), distance_text(candidate), shown_text(candidate), candidate["accuracy"].get<double>(),
               counted(candidate["samples"].get<std::uint64_t>(), "sample"), known_classes(candidate));
  }
  return std::fflush(stdout) == 0;
}

/// Set: nobody at all has answered.
std::optional<Refusal> silence_in(const Json& answer) {
  if (!answer.contains("silence") || !answer["silence"].is_string()) return std::nullopt;
  return Refusal{{ErrorCode::unavailable, answer["silence"].get<std::string>(), {}}, Context::answer};
}

ExitCode lookup(const Query& query) {
  auto request = request_of(query);
  if (!request) return report(query, request.error());
  (*request)["want"] = query.want;
  (*request)["deadline_ms"] = query.deadline_s * 1000;
  auto begun = query.target.ask("overlay_lookup", *request);
  if (!begun) return report(query, begun.error());
  bool asked_again = false;
  const auto latest = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(query.deadline_s))  * 2 + kGrace;
  for (auto pause = std::chrono::milliseconds(kFirstPoll);; pause = std::min(2 * pause, std::chrono::milliseconds(kLastPoll))) {
    timespec time{0, std::chrono::nanoseconds(pause).count()};
    ::nanosleep(&time, nullptr);
    auto answer = query.target.ask("overlay_poll", Json{{"number", (*begun)["number"]}});
    if (!answer) return report(query, answer.error());
    if (query.stream) {
      for (const auto& candidate : (*answer)["arrived"]) {
        if (!print_arrived(query, candidate, "arrived")) return ExitCode::ok;  // nobody reads on
      }
    }
    if ((*answer)["over"] == true) {
      if (const auto silence = silence_in(*answer)) {
        // One lost datagram is no silence: the second time the table is read too.
        const bool long_enough = (*answer)["cost"]["took_ms"].get<double>() >= 1000;
        if (long_enough || std::exchange(asked_again, true)) return report(query, *silence);
        begun = query.target.ask("overlay_lookup", *request);
        if (!begun) return report(query, begun.error());
        continue;
      }
      answer->erase("silence");
      answer->erase("arrived");
      answer->erase("over");
      answer->erase("dropped");
      if (query.target.json && query.stream) (*answer)["type"] = "end";
      const auto text = query.target.json ? to_line(*answer) + "\n" : (query.stream ? "\n" : "") + show(*answer);
      std::fputs(text.c_str(), stdout);
      return ExitCode::ok;
    }
    if (Clock::now() > latest) {
      return report(query, {{ErrorCode::timeout, "the node did not finish the lookup in time; see `p2p-learner status`", {}},
                            Context::answer});
    }
  }
}

ExitCode watch(const Query& query) {
  const auto signals = block_end_signals();
  auto request = request_of(query);
  if (!request) return report(query, request.error());
  if (query.within) (*request)["within"] = *query.within;
  const auto begun = query.target.ask("overlay_watch", *request);
  if (!begun) return report(query, begun.error());
  log(LogLevel::info, "watching; Ctrl-C ends");
  if (query.target.json) std::puts(to_line(Json{{"type", "watching"}}).c_str());
  std::fflush(stdout);
  const auto started = Clock::now();
  std::uint64_t appeared = 0, dropped = 0;
  bool read_on = true, ending = false;
  std::optional<Refusal> silence;
  while (true) {
    const timespec pause{0, std::chrono::nanoseconds(kWatchPoll).count()};
    ending = ending || ::sigtimedwait(&signals, nullptr, &pause) > 0 ||
             (query.for_s > 0 && Clock::now() - started >= std::chrono::duration<double>(query.for_s));
    const auto answer = query.target.ask("overlay_poll", Json{{"number", (*begun)["number"]}});
    if (!answer) return report(query, answer.error());
    const auto before = std::exchange(silence, silence_in(*answer));
    if (silence && !before) log(LogLevel::warning, silence->error.message);
    for (const auto& candidate : (*answer)["arrived"]) {
      read_on = read_on && print_arrived(query, candidate, "appeared");
      ++appeared;
    }
    dropped += (*answer)["dropped"].get<std::uint64_t>();
    if (ending || !read_on) break;
  }
  std::ignore = query.target.ask("overlay_end", Json{{"number", (*begun)["number"]}});
  if (dropped > 0) log(LogLevel::warning, fmt::format("{} more appeared than could be kept for this reader", dropped));
  if (query.target.json && read_on) std::puts(to_line(Json{{"type", "end"}, {"appeared", appeared}, {"dropped", dropped}}).c_str());
  // Nobody was heard from beginning to end; the warning has said so.
  return silence ? exit_code(silence->error, silence->context) : ExitCode::ok;
}

CLI::App* add(CLI::App& parent, Action& action, const std::shared_ptr<Query>& query, const char* name, const char* help,
              const char* json_help, ExitCode (*run)(const Query&)) {
  auto* sub = parent.add_subcommand(name, help);
  query->target.add_options(*sub, json_help);
  auto& data = query->samples.data;
  sub->add_option("file", data.path,
                  "Samples: CSV, libsvm, ARFF or JSON lines, an idx file of images or its folder; gzip or plain. Without one "
                  "the node's own experience is asked with");
  sub->add_option("--labels", data.labels, "idx: the file of labels (default: found by name)");
  sub->add_option("--label", data.label, "CSV, ARFF: name of the label's column (default: the last one)");
  sub->add_option("--ignore", data.ignore, "CSV, ARFF: columns that are passed over")->delimiter(',');
  sub->add_flag("!--no-header", data.header, "CSV: the first line is data; columns are x1, x2, ...");
  sub->add_option("--samples", query->samples.samples, "Look at so many samples only (default: all)")
      ->check(whole_number());
  auto* classes = sub->add_option("--classes", query->classes,
                                  "Who knows these classes well, by name? Among these the nearest; a file is not needed")
                      ->delimiter(',');
  sub->add_flag("--unlabelled", query->unlabelled, "Compare inputs alone; labels are not looked at, and need not be there")
      ->excludes(classes);
  sub->callback([query, run, &action] {
    query->samples.labelled = !query->unlabelled;
    action = [query, run] { return run(*query); };
  });
  return sub;
}

}  // namespace

void add_overlay_queries(CLI::App& overlay, Action& action) {
  const auto asked = std::make_shared<Query>();
  auto* find = add(overlay, action, asked, "lookup", "Whose experience is nearest to the samples of a file", "The answer as one JSON object",
                   lookup);
  find->add_option("-k,--want", asked->want, "How many nodes")->check(CLI::Range(1, 64))->capture_default_str();
  find->add_option("--deadline", asked->deadline_s, "Seconds; what has come by then is the answer")
      ->check(CLI::Range(0.001, 60.0))
      ->capture_default_str();
  find->add_flag("--stream", asked->stream, "A line for each node as it comes, not ranked yet; then the answer");
  const auto watched = std::make_shared<Query>();
  auto* stand = add(overlay, action, watched, "watch", "Tell of nodes like the samples of a file as they appear, until Ctrl-C",
                    "JSON lines", watch);
  stand->add_option("--within", watched->within, "Only those at most so far away (default: all)")->check(CLI::Range(0.001, 1000.0));
  stand->add_option("--for", watched->for_s, "End after so many seconds (default: never)")->check(CLI::NonNegativeNumber);
}

}  // namespace p2p::tools

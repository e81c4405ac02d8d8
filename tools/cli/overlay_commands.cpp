// overlay nodes, keys, get, map: how the directory looks from a running node.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <numeric>

#include "metadata/base/words.hpp"
#include "overlay/net/files.hpp"
#include "tools/cli/commands.hpp"
#include "tools/cli/overlay_map.hpp"
#include "tools/cli/overlay_survey.hpp"
#include "tools/cli/overlay_target.hpp"
#include "tools/cli/table.hpp"

namespace p2p::tools {

namespace {

constexpr std::size_t kFewBuckets = 128;  // of one table, for a picture

struct Options {
  OverlayTarget target;
  std::string bucket;
  bool all = false, quiet = false;
  std::size_t most = 0;
  std::string table = "joint/0", svg;
};

ExitCode report(const Options& options, const Refusal& refusal) {
  return report_error(refusal.error, refusal.context, options.target.json);
}

void print(const Options& options, const Json& answer, const std::string& text) {
  std::fputs((options.target.json ? to_line(answer) + "\n" : text).c_str(), stdout);
}

/// "3 entries belong": a crowd is of entries, archived ones included.
std::string belong_text(double crowd) {
  const auto count = static_cast<std::uint64_t>(crowd + 0.5);
  return fmt::format("{} {}", counted(count, "entry", "entries"), plural(count, "belongs", "belong"));
}

// ---- nodes

std::string show_nodes(const Json& s) {
  const auto& routing = s.at("routing");
  const auto number = [](const Json& of, const char* member) { return of[member].get<std::uint64_t>(); };
  std::string out = fmt::format("{} in mind; the table has about {}. {} answered, {} given, {} refused.\n"
                                "Routing: {} of {} of the table answer; {} kept for others.\n",
                                presences_text(s["nodes"]), counted(static_cast<std::uint64_t>(s["estimated_nodes"].get<double>() + 0.5), "node"),
                                counted(number(s, "questions_answered"), "question"), counted(number(s, "fingerprints_given"), "fingerprint"),
                                number(s, "questions_refused"), number(routing, "good_nodes"),
                                counted(number(routing, "known_nodes"), "known node"), counted(number(routing, "stored_values"), "value"));
  if (s["nodes"].empty()) return out + "Nobody yet: a node makes contacts when it looks up, or publishes, after some samples.\n";
  Table table({"node", "shows", "table", "near", "distance", "heard", "round trip", "accuracy", "samples", "knows"});
  for (const auto& node : s["nodes"]) {
    table.add({brief_id(node), shown_text(node), node["table"].get<std::string>(), node["near"].get<bool>() ? "near" : "far",
               node["distance"].is_null() ? "-" : fmt::format("{:.3f}", node["distance"].get<double>()),
               fmt::format("{:.0f} s ago", node["heard_ago_s"].get<double>()),
               ms_text(node["round_trip_ms"]),
               fmt::format("{:.2f}", node["accuracy"].get<double>()), node["samples"].dump(), known_classes(node)});
  }
  return out + "\n" + table.text(true);
}

ExitCode nodes(const Options& options) {
  const auto answer = options.target.ask("overlay_nodes");
  if (!answer) return report(options, answer.error());
  print(options, *answer, show_nodes(*answer));
  // What it has in mind is worth showing; that nobody answers is the outcome.
  if (const auto silence = answer->value("silence", Json()); silence.is_string()) {
    const Error error{ErrorCode::unavailable, silence.get<std::string>(), {}};
    return report_error(error, Context::answer, false);
  }
  return ExitCode::ok;
}

// ---- keys

std::string show_keys(const Json& s) {
  if (s["buckets"].empty()) {
    return s["published"] == true ? "No bucket: this node is listed at a registry, which has none.\n"
                                  : "No bucket yet: this node has published nothing.\n";
  }
  Table table({"bucket", "key", "belong there", "listed", "seen there"});
  for (const auto& one : s["buckets"]) {
    table.add({one["bucket"].get<std::string>(), one["key"].get<std::string>(),
               fmt::format("{:.0f}", one["crowd"].get<double>()),
               one["listed"].get<bool>() ? "yes" : "no, others have lower lots", one["confirmed"].get<bool>() ? "yes" : "no"});
  }
  return table.text(true);
}

/// How many buckets have been read, on stderr: one line written anew on a terminal, else one now and then.
class Counter {
 public:
  explicit Counter(bool quiet) : quiet_(quiet), live_(::isatty(STDERR_FILENO) == 1) {}
  ~Counter() {
    if (live_ && written_) fmt::print(stderr, "\r\x1b[K");
  }
  Counter(const Counter&) = delete;
  void show(std::size_t read, std::size_t left) {
    if (quiet_ || (!live_ && read % 64 != 0 && left > 0)) return;
    fmt::print(stderr, "{}p2p-learner: {} read, {} to go{}", live_ ? "\r" : "", counted(read, "bucket"), left, live_ ? "\x1b[K" : "\n");
    std::fflush(stderr);
    written_ = true;
  }

 private:
  bool quiet_, live_, written_ = false;
};

/// The asked node's view (the answers to overlay_keys and overlay_nodes), then what the table says.
tl::expected<Survey, Refusal> look_around(const Options& options, SurveyPlan plan, const metadata::Task& task, const Json& nodes) {
  const auto keys = options.target.ask("overlay_keys");
  if (!keys) return tl::unexpected(keys.error());
  complete(plan, *keys, nodes);
  Counter counter(options.quiet);
  return survey(
      plan, task, [&](const std::string& bucket) { return options.target.ask("overlay_get", Json{{"bucket", bucket}}); },
      [&](std::size_t read, std::size_t left) { counter.show(read, left); });
}

Json survey_json(const Survey& survey) {
  Json buckets = Json::array();
  for (const auto& bucket : survey.buckets) {
    const auto& answer = bucket.answer;
    buckets.push_back(Json{{"bucket", answer["bucket"]},
                           {"key", answer["key"]},
                           {"depth", answer["depth"]},
                           {"classes", answer["classes"]},
                           {"listed", bucket.listed()},
                           {"values", answer["values"]},
                           {"crowd", bucket.crowd()}});
  }
  return Json{{"buckets", std::move(buckets)}, {"unread", survey.unread}, {"failed", survey.failed}};
}

std::string show_survey(const Survey& survey) {
  Table table({"bucket", "key", "depth", "listed", "belong there", "load"});
  std::size_t empty = 0;
  for (const auto& bucket : survey.buckets) {
    if (bucket.listed() == 0) {
      ++empty;
      continue;
    }
    const auto bars = std::min<std::size_t>(static_cast<std::size_t>(bucket.crowd() + 0.5), 32);
    table.add({bucket.answer["bucket"].get<std::string>(), bucket.answer["key"].get<std::string>(), bucket.answer["depth"].dump(),
               std::to_string(bucket.listed()), fmt::format("{:.0f}", bucket.crowd()), std::string(bars, '#')});
  }
  std::string out = table.text(true);
  out += fmt::format("\n{} read, {} of them empty.\n", counted(survey.buckets.size(), "bucket"), empty);
  if (survey.unread > 0) out += fmt::format("{} more were left unread; --most N reads on.\n", survey.unread);
  for (const auto& name : survey.failed) out += fmt::format("{} did not come: the table did not answer.\n", name);
  return out;
}

ExitCode keys(const Options& options) {
  if (!options.all) {
    const auto answer = options.target.ask("overlay_keys");
    if (!answer) return report(options, answer.error());
    print(options, *answer, show_keys(*answer));
    return ExitCode::ok;
  }
  const auto task = options.target.task();
  if (!task) return report(options, task.error());
  const auto nodes = options.target.ask("overlay_nodes");
  if (!nodes) return report(options, nodes.error());
  SurveyPlan plan;
  plan.tables.resize(kIndexTables.size());
  std::iota(plan.tables.begin(), plan.tables.end(), std::size_t{0});
  plan.most = options.most;
  const auto found = look_around(options, plan, *task, *nodes);
  if (!found) return report(options, found.error());
  print(options, survey_json(*found), show_survey(*found));
  return ExitCode::ok;
}

// ---- get

std::string show_bucket(const Json& s, const std::string& asked) {
  const auto name = s["bucket"].get<std::string>();
  std::string out = fmt::format("{}, key {}: {}, of which are valid {}; about {} there.\n", name, s["key"].get<std::string>(),
                                counted(s["values"].get<std::uint64_t>(), "value"), presences_text(s["entries"]),
                                belong_text(s["crowd"].get<double>()));
  if (s["classes"].size() > 1) {
    std::string names;
    for (const auto& one : s["classes"]) names += (names.empty() ? "" : ", ") + one.get<std::string>();
    out += fmt::format("{}the classes {} share this bucket: of more than 64 classes, those 64 apart are listed as one.\n",
                       asked.starts_with("label/") && asked != name ? asked + " is folded onto " + name + ": " : "", names);
  }
  if (s["entries"].empty()) return out;
  Table table({"node", "shows", "endpoint", "accuracy", "samples", "knows"});
  for (const auto& entry : s["entries"]) {
    table.add({brief_id(entry), shown_text(entry), entry["endpoint"].get<std::string>(), fmt::format("{:.2f}", entry["accuracy"].get<double>()),
               entry["samples"].dump(), known_classes(entry)});
  }
  return out + "\n" + table.text(true);
}

ExitCode get(const Options& options) {
  const auto answer = options.target.ask("overlay_get", Json{{"bucket", options.bucket}});
  if (!answer) return report(options, answer.error());
  print(options, *answer, show_bucket(*answer, options.bucket));
  return ExitCode::ok;
}

// ---- map

Json map_json(const OverlayMap& map) {
  Json out{{"node", map.node}, {"table", map.table}, {"own", map.own ? Json(*map.own) : Json(nullptr)}};
  Json buckets = Json::array(), contacts = Json::array();
  for (const auto& bucket : map.buckets) {
    buckets.push_back(Json{{"depth", bucket.depth},
                           {"prefix", bucket.prefix},
                           {"from", bucket.from()},
                           {"width", bucket.width()},
                           {"listed", bucket.listed},
                           {"crowd", bucket.crowd}});
  }
  for (const auto& contact : map.contacts) {
    contacts.push_back(Json{{"id", contact.id},
                            {"position", contact.position},
                            {"distance", contact.distance ? Json(*contact.distance) : Json(nullptr)},
                            {"near", contact.near},
                            {"heard_ago_s", contact.heard_ago_s}});
  }
  out["buckets"] = std::move(buckets);
  out["seen"] = map.seen;
  out["contacts"] = std::move(contacts);
  out["good_nodes"] = map.good_nodes;
  out["known_nodes"] = map.known_nodes;
  out["estimated_nodes"] = map.estimated_nodes;
  out["unread"] = map.unread;
  out["failed"] = map.failed;
  out["findings"] = map_findings(map);
  return out;
}

ExitCode map(const Options& options) {
  std::size_t table = 0;
  while (table < kIndexTables.size() && kIndexTables[table].name != options.table) ++table;
  const auto status = options.target.ask("status");
  if (!status) return report(options, status.error());
  const auto task = options.target.task();
  if (!task) return report(options, task.error());
  const auto nodes = options.target.ask("overlay_nodes");
  if (!nodes) return report(options, nodes.error());
  SurveyPlan plan;
  plan.tables = {table};
  plan.most = options.most;
  const auto found = look_around(options, plan, *task, *nodes);
  if (!found) return report(options, found.error());
  const auto drawn = make_map(fmt::format("{} {}", (*status)["name"].get<std::string>(), brief_id(*status)), table, *nodes, *found, *task);
  if (!options.svg.empty()) {
    const auto picture = map_svg(drawn);
    if (auto ok = net::write_atomically(options.svg, view(picture)); !ok) {
      return report_error(ok.error(), Context::run, options.target.json);
    }
    log(LogLevel::info, fmt::format("{} shows it", options.svg));
  }
  print(options, map_json(drawn), map_text(drawn));
  return ExitCode::ok;
}

CLI::App* add(CLI::App& parent, Action& action, const std::shared_ptr<Options>& options, const char* name, const char* help,
              ExitCode (*run)(const Options&)) {
  auto* sub = parent.add_subcommand(name, help);
  options->target.add_options(*sub, "The answer as one JSON object");
  sub->callback([options, run, &action] { action = [options, run] { return run(*options); }; });
  return sub;
}

void add_survey_options(CLI::App& command, const std::shared_ptr<Options>& options, std::size_t most) {
  options->most = most;
  command.add_option("--most", options->most, "Buckets read at the most, 12 KB and more each")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  command.add_flag("--quiet", options->quiet, "No progress on stderr");
}

}  // namespace

void add_overlay_command(CLI::App& app, Action& action) {
  auto* overlay = app.add_subcommand("overlay", "How the directory looks from a running node");
  overlay->require_subcommand(1);
  add(*overlay, action, std::make_shared<Options>(), "nodes", "Whom the node has in mind, near and far", nodes);

  const auto of_keys = std::make_shared<Options>();
  auto* list = add(*overlay, action, of_keys, "keys", "The buckets that it belongs to, their keys and crowds; or all of the task", keys);
  list->add_flag("--all", of_keys->all, "All buckets of the task, read from the table");
  add_survey_options(*list, of_keys, SurveyPlan{}.most);

  const auto of_get = std::make_shared<Options>();
  add(*overlay, action, of_get, "get", "Who is listed in a bucket", get)
      ->add_option("bucket", of_get->bucket,
                   "joint/TABLE/DEPTH/PREFIX, marginal/0/DEPTH/PREFIX, label/CLASS, or a key of 40 digits, as `overlay keys` "
                   "prints them")
      ->required();

  add_overlay_queries(*overlay, action);

  const auto of_map = std::make_shared<Options>();
  auto* draw = add(*overlay, action, of_map, "map", "Routing and the load of the buckets as a picture", map);
  draw->add_option("--table", of_map->table, "Which table is the ring")
      ->check(CLI::IsMember({"joint/0", "joint/1", "marginal/0"}))
      ->capture_default_str();
  draw->add_option("--svg", of_map->svg, "Draw it into this file as well");
  add_survey_options(*draw, of_map, kFewBuckets);
  for (auto* command : overlay->get_subcommands([](const CLI::App*) { return true; })) command->footer(exit_code_table());
}

}  // namespace p2p::tools

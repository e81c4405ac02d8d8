// overlay nodes, keys, get: how the directory looks from a running node.
#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "tools/cli/commands.hpp"
#include "tools/cli/config.hpp"
#include "tools/cli/control_protocol.hpp"
#include "tools/cli/table.hpp"

namespace p2p::tools {

namespace {

struct Target {
  std::string state_dir, socket, bucket;
  bool json = false;
  std::string path() const { return socket.empty() ? control_path(state_dir) : socket; }
};

std::string known_classes(const Json& entry) {
  std::string out;
  for (const auto& [name, recall] : entry["recall"].items()) {
    if (recall.get<double>() >= 0.5) out += (out.empty() ? "" : " ") + name;
  }
  return out.empty() ? "-" : out;
}

std::string brief(const Json& entry) { return entry["id"].get<std::string>().substr(0, 16); }

std::string show_nodes(const Json& s) {
  std::string out = fmt::format("{} nodes in mind of about {:.0f}; {} questions answered, {} fingerprints given, {} refused.\n",
                                s["nodes"].size(), s["estimated_nodes"].get<double>(), s["questions_answered"].dump(),
                                s["fingerprints_given"].dump(), s["questions_refused"].dump());
  if (s["nodes"].empty()) return out + "Nobody yet: a node makes contacts when it looks up, or publishes, after some samples.\n";
  Table table({"node", "table", "near", "distance", "heard", "round trip", "accuracy", "samples", "knows"});
  for (const auto& node : s["nodes"]) {
    table.add({brief(node), node["table"].get<std::string>(), node["near"].get<bool>() ? "near" : "far",
               node["distance"].is_null() ? "-" : fmt::format("{:.3f}", node["distance"].get<double>()),
               fmt::format("{:.0f} s ago", node["heard_ago_s"].get<double>()),
               fmt::format("{:.1f} ms", node["round_trip_ms"].get<double>()),
               fmt::format("{:.2f}", node["accuracy"].get<double>()), node["samples"].dump(), known_classes(node)});
  }
  return out + "\n" + table.text(true);
}

std::string show_keys(const Json& s) {
  if (s["buckets"].empty()) return "No bucket yet: this node has published nothing.\n";
  Table table({"bucket", "key", "belong there", "listed", "seen there"});
  for (const auto& one : s["buckets"]) {
    table.add({one["bucket"].get<std::string>(), one["key"].get<std::string>(),
               fmt::format("{:.0f}", one["crowd"].get<double>()),
               one["listed"].get<bool>() ? "yes" : "no, others have lower lots", one["confirmed"].get<bool>() ? "yes" : "no"});
  }
  return table.text(true);
}

std::string show_bucket(const Json& s) {
  std::string out = fmt::format("{}, key {}: {} values, {} valid entries; about {:.0f} nodes belong there.\n",
                                s["bucket"].get<std::string>(), s["key"].get<std::string>(), s["values"].dump(),
                                s["entries"].size(), s["crowd"].get<double>());
  if (s["entries"].empty()) return out;
  Table table({"node", "endpoint", "accuracy", "samples", "knows"});
  for (const auto& entry : s["entries"]) {
    table.add({brief(entry), entry["endpoint"].get<std::string>(), fmt::format("{:.2f}", entry["accuracy"].get<double>()),
               entry["samples"].dump(), known_classes(entry)});
  }
  return out + "\n" + table.text(true);
}

void add(CLI::App& parent, Action& action, const char* name, const char* command, const char* help,
         std::string (*show)(const Json&), bool takes_bucket) {
  auto* sub = parent.add_subcommand(name, help);
  const auto target = std::make_shared<Target>();
  auto* where = sub->add_option_group("node", "Which node");
  where->add_option("--state-dir", target->state_dir, "State directory of the node (its node.state_dir)");
  where->add_option("--socket", target->socket, "Its control socket, where that is known instead");
  where->require_option(1);
  sub->add_flag("--json", target->json, "The answer as one JSON object, as the node gave it");
  if (takes_bucket) {
    sub->add_option("bucket", target->bucket,
                    "joint/TABLE/DEPTH/PREFIX, marginal/0/DEPTH/PREFIX or label/CLASS, as `overlay keys` prints them")
        ->required();
  }
  sub->callback([=, &action] {
    action = [=] {
      Json arguments = Json::object();
      if (takes_bucket) arguments["bucket"] = target->bucket;
      const auto answer = ask_node(target->path(), command, arguments);
      if (!answer) return report_error(answer.error().error, answer.error().context, target->json);
      const auto text = target->json ? to_line(*answer) + "\n" : show(*answer);
      std::fputs(text.c_str(), stdout);
      return ExitCode::ok;
    };
  });
}

}  // namespace

void add_overlay_command(CLI::App& app, Action& action) {
  auto* overlay = app.add_subcommand("overlay", "How the directory looks from a running node");
  overlay->require_subcommand(1);
  add(*overlay, action, "nodes", "overlay_nodes", "Whom the node has in mind, near and far", show_nodes, false);
  add(*overlay, action, "keys", "overlay_keys", "The buckets that it belongs to, their keys and crowds", show_keys, false);
  add(*overlay, action, "get", "overlay_get", "Who is listed in a bucket", show_bucket, true);
}

}  // namespace p2p::tools

// status, peers, lookup: questions to a running node, answered as tables for people or as
// JSON.
#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "metadata/base/words.hpp"
#include "tools/cli/commands.hpp"
#include "tools/cli/config.hpp"
#include "tools/cli/control_protocol.hpp"
#include "tools/cli/table.hpp"

namespace p2p::tools {

namespace {

struct Target {
  std::string state_dir, socket;
  bool json = false;

  std::string path() const { return socket.empty() ? control_path(state_dir) : socket; }
};

/// A member as text; "-" where there is none.
std::string text_of(const Json& object, const char* key) {
  if (!object.contains(key) || object[key].is_null()) return "-";
  const auto& value = object[key];
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return fmt::format("{:.3f}", value.get<double>());
  return value.dump();
}

double number(const Json& object, const char* key) {
  return object.contains(key) && object[key].is_number() ? object[key].get<double>() : 0;
}

std::string amount(const Json& object, const char* key, std::string_view one) {
  return counted(static_cast<std::uint64_t>(number(object, key)), one);
}

std::string brief(const std::string& id) { return id.substr(0, 16); }

std::string show_status(const Json& s) {
  Table table({"", ""});
  const auto row = [&](const char* label, const std::string& value) { table.add({label, value}); };
  row("node", fmt::format("{}  {}", text_of(s, "name"), brief(text_of(s, "id"))));
  row("task", brief(text_of(s, "task")));
  row("network",
      fmt::format("{} (dhtnode -n {})", text_of(s, "network"), text_of(s, "network_id")));
  row("addresses",
      fmt::format("directory udp {}, links tcp {}", text_of(s, "dht"), text_of(s, "link")));
  row("phase", fmt::format("{}, source {}, up {:.0f} s", text_of(s, "phase"), text_of(s, "source"),
                           number(s, "uptime_s")));
  row("samples", fmt::format("{} learned, {} wait for a label", text_of(s, "samples"), text_of(s, "pending_labels")));
  row("accuracy", fmt::format("{:.3f} in all, {:.3f} lately", number(s, "accuracy"),
                              number(s, "windowed_accuracy")));
  if (s.contains("twin_accuracy")) {
    row("twin", fmt::format("{:.3f} in all, {:.3f} lately", number(s, "twin_accuracy"),
                            number(s, "twin_windowed_accuracy")));
  }
  row("drifts", fmt::format("{} detected, {} healed by a peer, {} rejected, {} rolled back",
                            text_of(s, "drifts_detected"), text_of(s, "accepted"),
                            text_of(s, "rejected"), text_of(s, "rolled_back")));
  const auto& overlay = s.contains("overlay") ? s["overlay"] : s;
  row("overlay", fmt::format("{} answering, {} known, {} kept for others",
                             amount(overlay, "good_nodes", "node"), text_of(overlay, "known_nodes"),
                             amount(overlay, "stored_values", "value")));
  row("directory", fmt::format("{} sent, {} received, {} refused",
                               bytes_text(number(overlay, "sent_bytes")),
                               bytes_text(number(overlay, "received_bytes")),
                               amount(overlay, "refused_packets", "packet")));
  std::string kinds;
  if (s.contains("traffic")) {
    for (const auto& [kind, value] : s["traffic"].items()) {
      kinds +=
          fmt::format("{}{} {}", kinds.empty() ? "" : ", ", kind, bytes_text(value.get<double>()));
    }
  }
  row("links", kinds.empty() ? "nothing yet" : kinds);
  if (s.contains("handshakes")) {
    row("handshakes", fmt::format("{}, {} of them resumed", text_of(s["handshakes"], "made"), text_of(s["handshakes"], "resumed")));
  }
  row("process",
      fmt::format("{} resident, {}, {:.2f} s of CPU", bytes_text(number(s, "rss_bytes")),
                  amount(s, "threads", "thread"), number(s, "cpu_s")));
  row("published", s.contains("published") && s["published"] == true ? "yes" : "not yet");
  if (text_of(s, "snapshot_error") != "-") row("snapshot", text_of(s, "snapshot_error"));
  return table.text(false);
}

std::string show_peers(const Json& s) {
  const auto& overlay = s["overlay"];
  std::string out = fmt::format("{} known of the overlay; answering: {}.\n", amount(overlay, "known_nodes", "node"),
                                text_of(overlay, "good_nodes"));
  if (s["peers"].empty())
    return out + "No peer has been linked to yet: links are made when a drift asks for help.\n";
  Table table({"peer", "endpoint", "linked", "sent", "received", "round trip"});
  for (const auto& peer : s["peers"]) {
    // Who linked to this node is seen at any port; where it accepts links itself is not known.
    const bool inbound = text_of(peer, "endpoint") == "-";
    table.add({brief(text_of(peer, "id")), text_of(peer, inbound ? "remote" : "endpoint"),
               peer["connected"] != true ? "no" : inbound ? "by it" : "yes", bytes_text(number(peer, "sent_bytes")),
               bytes_text(number(peer, "received_bytes")),
               ms_text(peer.value("round_trip_ms", Json()))});
  }
  return out + "\n" + table.text(true);
}

std::string show_lookup(const Json& s) {
  std::string out =
      fmt::format("{} after {:.0f} ms: {} heard of, {} asked, {}, {} read, {} refused.\n",
                  counted(s["candidates"].size(), "candidate"), number(s, "took_ms"), text_of(s, "known"), amount(s, "questions", "node"),
                  amount(s, "fingerprints", "fingerprint"), amount(s, "gets", "key"), text_of(s, "refused"));
  if (s["candidates"].empty())
    return out + (number(s, "answers") + number(s, "values") == 0
                      ? "Nobody answered; see `p2p-learner overlay nodes` for whom this node knows.\n"
                      : "Nobody like this node is known yet; nodes publish after some samples.\n");
  Table table({"peer", "endpoint", "distance", "accuracy", "samples", "knows"});
  for (const auto& candidate : s["candidates"]) {
    std::string known;
    for (const auto& [name, recall] : candidate["recall"].items()) {
      if (recall.get<double>() >= 0.5) known += (known.empty() ? "" : " ") + name;
    }
    table.add({brief(text_of(candidate, "id")), text_of(candidate, "endpoint"),
               fmt::format("{:.3f}", number(candidate, "distance")), text_of(candidate, "accuracy"),
               text_of(candidate, "samples"), known.empty() ? "-" : known});
  }
  return out + "\n" + table.text(true);
}

void add(CLI::App& app, Action& action, const char* name, const char* description,
         std::string (*show)(const Json&)) {
  auto target = std::make_shared<Target>();
  auto* command = app.add_subcommand(name, description);
  auto* where = command->add_option_group("node", "Which node");
  where->add_option("--state-dir", target->state_dir,
                    "State directory of the node (its node.state_dir)");
  where->add_option("--socket", target->socket, "Its control socket, where that is known instead");
  where->require_option(1);
  command->add_flag("--json", target->json, "The answer as one JSON object, as the node gave it");
  command->callback([&action, target, name, show] {
    action = [target, name, show] {
      const auto answer = ask_node(target->path(), name);
      if (!answer) return report_error(answer.error().error, answer.error().context, target->json);
      const auto text = target->json ? to_line(*answer) + "\n" : show(*answer);
      std::fputs(text.c_str(), stdout);
      return ExitCode::ok;
    };
  });
}

}  // namespace

void add_control_commands(CLI::App& app, Action& action) {
  add(app, action, "status", "Ask a running node how it is", show_status);
  add(app, action, "peers", "Ask a running node whom it knows and what it exchanged with them",
      show_peers);
  add(app, action, "lookup", "Let a running node look up who is like it now", show_lookup);
}

}  // namespace p2p::tools

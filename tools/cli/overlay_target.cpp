#include "tools/cli/overlay_target.hpp"

#include "metadata/base/words.hpp"
#include "tools/cli/config.hpp"

namespace p2p::tools {

void OverlayTarget::add_options(CLI::App& command, const char* json_help) {
  auto* where = command.add_option_group("node", "Which node");
  where->add_option("--state-dir", state_dir, "State directory of the node (its node.state_dir)");
  where->add_option("--socket", socket, "Its control socket, where that is known instead");
  where->require_option(1);
  command.add_flag("--json", json, json_help);
}

tl::expected<Json, Refusal> OverlayTarget::ask(std::string_view command, const Json& arguments) const {
  return ask_node(socket.empty() ? control_path(state_dir) : socket, command, arguments);
}

tl::expected<metadata::Task, Refusal> OverlayTarget::task() const {
  const auto answer = ask("task");
  if (!answer) return tl::unexpected(answer.error());
  const auto text = [&](const char* member) {
    return answer->contains(member) && (*answer)[member].is_string() ? (*answer)[member].get<std::string>() : std::string();
  };
  auto task = metadata::parse_task(text("task"), "the node's task");
  if (task && to_hex(metadata::id(*task).view()) == text("id")) return std::move(*task);
  return tl::unexpected(Refusal{{ErrorCode::version,
                                 "the node's task cannot be read; use the p2p-learner that the node runs",
                                 task ? "it has another id" : task.error().text()},
                                Context::run});
}

std::string brief_id(const Json& entry) { return entry["id"].get<std::string>().substr(0, 16); }

std::string shown_text(const Json& entry) {
  // An older node does not say.
  const auto shown = entry.value("concept", Json());
  return shown.is_number() ? "concept " + shown.dump() : std::string("now");
}

std::string presences_text(const Json& entries) {
  std::size_t archived = 0;
  for (const auto& entry : entries) archived += entry.value("concept", Json()).is_number() ? 1 : 0;
  const auto nodes = counted(entries.size() - archived, "node");
  return archived == 0 ? nodes : nodes + " and " + counted(archived, "archived concept");
}

std::string known_classes(const Json& entry) {
  std::string out;
  for (const auto& [name, recall] : entry["recall"].items()) {
    if (recall.get<double>() >= 0.5) out += (out.empty() ? "" : " ") + name;
  }
  return out.empty() ? "-" : out;
}

}  // namespace p2p::tools

#include "tools/cli/control_protocol.hpp"

#include <fmt/format.h>

#include <array>

#include "overlay/net/control_socket.hpp"

namespace p2p::tools {

namespace {

/// The inverse of name(); a node of another version may send one that is not known here.
ErrorCode code_of(std::string_view text) {
  for (int i = 0; i <= static_cast<int>(ErrorCode::unavailable); ++i) {
    if (name(static_cast<ErrorCode>(i)) == text) return static_cast<ErrorCode>(i);
  }
  return ErrorCode::unavailable;
}

}  // namespace

std::string answer_control(std::string_view request, const ControlHandlers& handlers) {
  const auto refuse = [](const std::string& text, ErrorCode code = ErrorCode::invalid_argument) {
    return to_line(Json{{"error", text}, {"code", name(code)}});
  };
  const Json parsed = Json::parse(request, nullptr, false);
  if (!parsed.is_object() || !parsed.contains("command") || !parsed["command"].is_string()) {
    return refuse("a request is one line like {\"command\": \"status\"}");
  }
  const auto command = parsed["command"].get<std::string>();
  if (command == "status") return to_line(handlers.status());
  if (command == "peers") return to_line(handlers.peers());
  if (command == "lookup") return to_line(handlers.lookup());
  const bool journal = command == "history" || command == "rollback";
  if (journal || command == "task" || command.starts_with("overlay_")) {
    const auto answer = (journal ? handlers.journal : handlers.overlay)(command, parsed);
    return answer ? to_line(*answer) : refuse(answer.error().text(), answer.error().code);
  }
  if (command == "start" || command == "stop") {
    (command == "start" ? handlers.start : handlers.stop)();
    return to_line(Json{{"ok", true}});
  }
  return refuse(
      fmt::format("unknown command \"{}\"; there are status, peers, lookup, history, rollback, task, overlay_nodes and its like, start, "
                  "stop",
                  command.substr(0, 64)));
}

tl::expected<Json, Refusal> ask_node(const std::string& socket_path, std::string_view command, const Json& arguments) {
  Json request = arguments;
  request["command"] = command;
  const auto line = to_line(request);
  auto answer = net::control_request(socket_path, line, std::chrono::seconds(10));
  if (!answer) return tl::unexpected(Refusal{answer.error()});
  Json parsed = Json::parse(*answer, nullptr, false);
  if (!parsed.is_object()) {
    return tl::unexpected(Refusal{
        {ErrorCode::malformed,
         fmt::format("what answers on {} is no p2p-learner node; name the state directory of one", socket_path),
         {}}});
  }
  if (!parsed.contains("error")) return parsed;
  const auto text = [&](const char* member) {
    return parsed.contains(member) && parsed[member].is_string() ? parsed[member].get<std::string>() : std::string();
  };
  return tl::unexpected(Refusal{{code_of(text("code")), text("error"), {}}, Context::answer});
}

}  // namespace p2p::tools

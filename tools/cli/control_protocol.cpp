#include "tools/cli/control_protocol.hpp"

#include <fmt/format.h>

#include "overlay/net/control_socket.hpp"

namespace p2p::tools {

std::string answer_control(std::string_view request, const ControlHandlers& handlers) {
  const auto refuse = [](const std::string& text) { return to_line(Json{{"error", text}}); };
  const Json parsed = Json::parse(request, nullptr, false);
  if (!parsed.is_object() || !parsed.contains("command") || !parsed["command"].is_string()) {
    return refuse("a request is one line like {\"command\": \"status\"}");
  }
  const auto command = parsed["command"].get<std::string>();
  if (command == "status") return to_line(handlers.status());
  if (command == "peers") return to_line(handlers.peers());
  if (command == "lookup") return to_line(handlers.lookup());
  if (command == "history") return to_line(handlers.history());
  const auto give = [&](const Result<Json>& answer) {
    return answer ? to_line(*answer) : refuse(answer.error().message);
  };
  if (command == "overlay_nodes") return give(handlers.overlay_nodes());
  if (command == "overlay_keys") return give(handlers.overlay_keys());
  if (command == "overlay_get") {
    if (!parsed.contains("bucket") || !parsed["bucket"].is_string()) {
      return refuse("overlay_get needs a bucket, like {\"command\": \"overlay_get\", \"bucket\": \"joint/0/3/5\"}");
    }
    return give(handlers.overlay_get(parsed["bucket"].get<std::string>()));
  }
  if (command == "start" || command == "stop") {
    (command == "start" ? handlers.start : handlers.stop)();
    return to_line(Json{{"ok", true}});
  }
  return refuse(
      fmt::format("unknown command \"{}\"; there are status, peers, lookup, history, overlay_nodes, overlay_keys, "
                  "overlay_get, start, stop",
                  command.substr(0, 64)));
}

Result<Json> ask_node(const std::string& socket_path, std::string_view command, const Json& arguments) {
  Json request = arguments;
  request["command"] = command;
  const auto line = to_line(request);
  auto answer = net::control_request(socket_path, line, std::chrono::seconds(10));
  if (!answer) return tl::unexpected(answer.error());
  Json parsed = Json::parse(*answer, nullptr, false);
  if (!parsed.is_object()) {
    return fail(
        ErrorCode::malformed,
        fmt::format("what answers on {} is no p2p-learner node; name the state directory of one",
                    socket_path));
  }
  if (parsed.contains("error"))
    return fail(ErrorCode::unavailable, parsed["error"].get<std::string>());
  return parsed;
}

}  // namespace p2p::tools

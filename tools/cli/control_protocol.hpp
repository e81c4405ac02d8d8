// What the lines on a node's control socket mean: {"command": "status"} -> {...} or {"error":
// "..."}.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "metadata/base/error.hpp"
#include "tools/cli/output.hpp"

namespace p2p::tools {

struct ControlHandlers {
  std::function<Json()> status, peers, lookup, history;
  /// How the directory looks; an error where there is none.
  std::function<Result<Json>()> overlay_nodes, overlay_keys;
  std::function<Result<Json>(std::string_view bucket)> overlay_get;
  std::function<void()> start, stop;
};
/// One answer, one line, whatever the request is.
std::string answer_control(std::string_view request, const ControlHandlers& handlers);

/// Asks the node behind a socket. Every error says that no node answers there and what to do.
/// `arguments`: further members of the request.
Result<Json> ask_node(const std::string& socket_path, std::string_view command, const Json& arguments = Json::object());

}  // namespace p2p::tools

// What the lines on a node's control socket mean: {"command": "status"} -> {...} or
// {"error": "...", "code": "..."}.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "metadata/base/error.hpp"
#include "tools/cli/exit_codes.hpp"
#include "tools/cli/output.hpp"

namespace p2p::tools {

struct ControlHandlers {
  std::function<Json()> status, peers, lookup;
  /// "history" and "rollback".
  std::function<Result<Json>(std::string_view command, const Json& request)> journal;
  /// "task", and all that begins with "overlay_".
  std::function<Result<Json>(std::string_view command, const Json& request)> overlay;
  std::function<void()> start, stop;
};
/// One answer, one line, whatever the request is.
std::string answer_control(std::string_view request, const ControlHandlers& handlers);

/// Why there is no answer: `control` when none came, `answer` when the node refused.
struct Refusal {
  Error error;
  Context context = Context::control;
};
/// Asks the node behind a socket. `arguments`: further members of the request.
tl::expected<Json, Refusal> ask_node(const std::string& socket_path, std::string_view command,
                                     const Json& arguments = Json::object());

}  // namespace p2p::tools

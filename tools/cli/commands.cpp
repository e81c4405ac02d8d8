#include "tools/cli/commands.hpp"

#include <cstdio>

#include "tools/cli/output.hpp"

namespace p2p::tools {

ExitCode report_error(const Error& error, Context context, bool json) {
  const auto code = exit_code(error, context);
  if (json) {
    std::puts(to_line(Json{{"error", error.text()},
                           {"code", name(error.code)},
                           {"exit", static_cast<int>(code)}})
                  .c_str());
  }
  log(LogLevel::error, error.text());
  return code;
}

}  // namespace p2p::tools

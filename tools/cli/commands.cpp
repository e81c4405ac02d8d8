#include "tools/cli/commands.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
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

CLI::Validator whole_number() {
  return {[](const std::string& text) {
            std::uint64_t value = 0;
            const auto* last = text.data() + text.size();
            const auto [end, status] = std::from_chars(text.data(), last, value);
            if (status == std::errc{} && end == last) return std::string{};
            return fmt::format("\"{}\" is no whole number from 0 on", text.substr(0, 64));
          },
          ""};
}

}  // namespace p2p::tools

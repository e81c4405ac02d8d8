#include "tools/data/numbers.hpp"

#include <charconv>
#include <system_error>

namespace p2p::tools {

bool parse_number(std::string_view text, double& value, bool& too_large) {
  too_large = false;
  if (!text.empty() && text.front() == '+') text.remove_prefix(1);
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || end != text.data() + text.size()) return false;
  if (status == std::errc::result_out_of_range) {
    // Too small is 0, near enough; too large is no number that a model could take.
    const auto e = text.find_first_of("eE");
    too_large = e == std::string_view::npos || text.substr(e + 1, 1) != "-";
    value = 0;
    return true;
  }
  return status == std::errc{};
}

}  // namespace p2p::tools

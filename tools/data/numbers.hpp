// Numbers in text, as the readers of data sets understand them.
#pragma once

#include <string_view>

namespace p2p::tools {

/// Does the whole text say one number? "nan" and "inf" in any case do. Too small to be held is 0;
/// for what is too large `too_large` is set and `value` is 0.
bool parse_number(std::string_view text, double& value, bool& too_large);

/// Without blanks at both ends.
inline std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace p2p::tools

// Numbers in text, as the readers of data sets understand them.
#pragma once

#include <string_view>

namespace p2p::tools {

/// Does the whole text say one number? "nan" and "inf" in any case do. Too small to be held is 0; for what
/// is too large `too_large` is set and `value` is 0.
bool parse_number(std::string_view text, double& value, bool& too_large);

/// Without blanks at both ends.
std::string_view trim(std::string_view text);

}  // namespace p2p::tools

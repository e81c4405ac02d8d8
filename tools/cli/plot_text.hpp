// What every picture needs that is written as text: escaped words and round steps of an axis.
#pragma once

#include <string>
#include <string_view>

namespace p2p::tools {

/// For HTML and SVG, between tags and in attributes; control characters become blanks.
std::string markup_escaped(std::string_view text);

/// 1, 2 or 5 times a power of ten, the smallest that cuts [0, whole] into at most eight.
double round_step(double whole);

}  // namespace p2p::tools

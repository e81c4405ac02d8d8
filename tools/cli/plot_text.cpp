#include "tools/cli/plot_text.hpp"

namespace p2p::tools {

std::string markup_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

double round_step(double whole) {
  double step = 1;
  for (int i = 0; whole / step > 8; ++i) step *= i % 3 == 1 ? 2.5 : 2;
  return step;
}

}  // namespace p2p::tools

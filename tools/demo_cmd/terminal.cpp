#include "tools/demo_cmd/terminal.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>

namespace p2p::tools {
namespace {

struct Glyph {
  std::size_t bytes = 1;
  std::size_t columns = 1;
  bool escape = false;
};

/// The glyph or escape sequence that text starts with. Bytes that are no UTF-8 count one column
/// each.
Glyph glyph(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  if (first == 0x1b && text.size() > 1 && text[1] == '[') {
    std::size_t end = 2;
    while (end < text.size() && (text[end] < '@' || text[end] > '~')) ++end;
    return {std::min(end + 1, text.size()), 0, true};
  }
  if (first < 0x80) return {1, first < 0x20 ? std::size_t{0} : std::size_t{1}};
  const std::size_t bytes = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
  if (bytes == 1 || bytes > text.size()) return {};
  std::uint32_t code = first & (0x7fu >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    if ((next & 0xc0) != 0x80) return {};
    code = code << 6 | (next & 0x3f);
  }
  if ((code >= 0x300 && code < 0x370) || code == 0x200b || code == 0x200d ||
      (code >= 0xfe00 && code < 0xfe10)) {
    return {bytes, 0};
  }
  const bool wide = (code >= 0x1100 && code < 0x1160) || (code >= 0x2e80 && code < 0xa4d0) ||
                    (code >= 0xac00 && code < 0xd7a4) || (code >= 0xf900 && code < 0xfb00) ||
                    (code >= 0xfe30 && code < 0xfe70) || (code >= 0xff00 && code < 0xff61) ||
                    (code >= 0x1f300 && code < 0x1f650) || (code >= 0x1f900 && code < 0x1fa00);
  return {bytes, wide ? std::size_t{2} : std::size_t{1}};
}

std::size_t from_environment(const char* key, std::size_t otherwise) {
  const char* value = std::getenv(key);
  if (value == nullptr) return otherwise;
  const long number = std::strtol(value, nullptr, 10);
  return number >= 20 && number <= 1000 ? static_cast<std::size_t>(number) : otherwise;
}

}  // namespace

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) {
    const Glyph g = glyph(text);
    width += g.columns;
    text.remove_prefix(g.bytes);
  }
  return width;
}

std::string fit(std::string_view text, std::size_t width, bool right) {
  const std::size_t wide = display_width(text);
  if (wide <= width) {
    const std::string space(width - wide, ' ');
    return right ? space + std::string(text) : std::string(text) + space;
  }
  std::string out;
  std::size_t used = 0;
  bool cut = false;
  while (!text.empty()) {
    const Glyph g = glyph(text);
    if (!cut && !g.escape && used + g.columns + 1 > width) {
      cut = true;
      if (width > 0) out += "~";
      used += width > 0 ? 1 : 0;
    }
    if (g.escape || !cut) {
      out.append(text.substr(0, g.bytes));
      used += g.columns;
    }
    text.remove_prefix(g.bytes);
  }
  return out + std::string(width > used ? width - used : 0, ' ');
}

std::string human_bytes(std::uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes);
  const char* unit = "B";
  for (const char* next : {"KB", "MB", "GB", "TB"}) {
    if (value < 999.5) break;
    value /= 1000;
    unit = next;
  }
  return value < 9.995   ? fmt::format("{:.2f} {}", value, unit)
         : value < 99.95 ? fmt::format("{:.1f} {}", value, unit)
                         : fmt::format("{:.0f} {}", value, unit);
}

std::string human_time(double seconds) {
  const auto whole = static_cast<std::uint64_t>(std::max(0.0, std::round(seconds)));
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

std::string Paper::ink(Ink ink, std::string_view text) const {
  if (!colour || ink == Ink::plain) return std::string(text);
  const char* code = "0";
  switch (ink) {
    case Ink::plain:
      break;
    case Ink::bold:
      code = "1";
      break;
    case Ink::dim:
      code = "2";
      break;
    case Ink::red:
      code = "31";
      break;
    case Ink::green:
      code = "32";
      break;
    case Ink::yellow:
      code = "33";
      break;
    case Ink::cyan:
      code = "36";
      break;
  }
  return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

Paper paper_for(int fd) {
  Paper paper;
  const char* term = std::getenv("TERM");
  const bool dumb = term == nullptr || std::string_view(term) == "dumb" || *term == '\0';
  paper.live = ::isatty(fd) == 1 && !dumb;
  const char* no_colour = std::getenv("NO_COLOR");
  paper.colour = paper.live && (no_colour == nullptr || *no_colour == '\0');
  for (const char* key : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(key);
    if (value == nullptr || *value == '\0') continue;
    const std::string_view locale(value);
    paper.unicode = locale.find("UTF-8") != locale.npos || locale.find("utf8") != locale.npos;
    break;
  }
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
    paper.width = size.ws_col;
    paper.height = size.ws_row;
  } else if (!paper.live) {
    paper.width = 120;  // a file or a pipe has no edge, but people will look at it
  }
  paper.width = from_environment("COLUMNS", paper.width);
  paper.height = from_environment("LINES", paper.height);
  return paper;
}

std::string progress_bar(double done, std::size_t width, bool unicode) {
  done = std::clamp(done, 0.0, 1.0);
  const auto full = static_cast<std::size_t>(std::lround(done * static_cast<double>(width)));
  std::string out;
  for (std::size_t i = 0; i < width; ++i)
    out += i < full ? (unicode ? "█" : "#") : (unicode ? "░" : ".");
  return out;
}

void TextTable::add(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

std::vector<std::string> TextTable::lines(const Paper& paper, std::size_t width) const {
  std::vector<std::size_t> widths;
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    std::size_t widest = display_width(columns_[c].title);
    for (const auto& row : rows_) widest = std::max(widest, display_width(row[c]));
    widths.push_back(widest);
  }
  constexpr std::size_t kGap = 2, kLeast = 8;
  std::vector<std::size_t> shown(columns_.size());
  std::iota(shown.begin(), shown.end(), 0);
  const auto total = [&](bool shrunk) {
    std::size_t sum = shown.empty() ? 0 : kGap * (shown.size() - 1);
    for (const std::size_t c : shown)
      sum += shrunk && columns_[c].elastic ? std::min(widths[c], kLeast) : widths[c];
    return sum;
  };
  while (total(true) > width) {
    const auto least = std::min_element(
        shown.begin(), shown.end(),
        [&](std::size_t a, std::size_t b) { return columns_[a].rank < columns_[b].rank; });
    if (least == shown.end() || columns_[*least].rank >= 9) break;
    shown.erase(least);
  }
  for (auto c = shown.rbegin(); c != shown.rend() && total(false) > width; ++c) {
    if (!columns_[*c].elastic) continue;
    const std::size_t over = total(false) - width;
    widths[*c] = std::max(std::min(widths[*c], kLeast), widths[*c] - std::min(widths[*c], over));
  }
  std::vector<std::string> out;
  const auto put = [&](const auto& cell, bool header) {
    std::string line;
    for (std::size_t i = 0; i < shown.size(); ++i) {
      const std::size_t c = shown[i];
      if (i > 0) line += std::string(kGap, ' ');
      const std::string text = fit(cell(c), widths[c], columns_[c].right);
      line += header ? paper.ink(Ink::dim, text) : text;
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    out.push_back(display_width(line) > width ? fit(line, width) : line);
  };
  put([&](std::size_t c) -> const std::string& { return columns_[c].title; }, true);
  for (const auto& row : rows_)
    put([&](std::size_t c) -> const std::string& { return row[c]; }, false);
  return out;
}

std::vector<std::string> wrapped(std::string_view text, std::size_t width, std::size_t indent) {
  std::vector<std::string> out;
  std::string line;
  const auto flush = [&] {
    if (!line.empty()) out.push_back(line);
    line.assign(indent, ' ');
  };
  std::size_t used = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    std::string word(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (word.empty()) continue;
    if (display_width(word) + indent > width) word = fit(word, width > indent ? width - indent : 1);
    const std::size_t wide = display_width(word);
    if (used > 0 && used + 1 + wide > width) {
      flush();
      used = indent;
      line += word;
    } else {
      if (used > indent || (used > 0 && out.empty())) {
        line += ' ';
        ++used;
      }
      line += word;
    }
    used += wide;
  }
  if (used > 0) out.push_back(line);
  return out;
}

}  // namespace p2p::tools

// Text that fits: widths, columns, colours, bars. Pure, but for the functions that ask the
// terminal.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace p2p::tools {

/// Columns that UTF-8 text takes on a terminal: combining marks none, East Asian wide characters
/// two, escape sequences none.
std::size_t display_width(std::string_view text);

/// Cut or padded with spaces to exactly `width` columns; what is cut ends in "~". Escape sequences
/// do not count and are kept whole.
std::string fit(std::string_view text, std::size_t width, bool right = false);

/// "812 B", "20.5 KB", "1.31 MB": three digits, powers of ten.
std::string human_bytes(std::uint64_t bytes);
/// "0:07", "1:15".
std::string human_time(double seconds);

enum class Ink { plain, bold, dim, red, green, yellow, cyan };

/// How to write to one terminal, or to something that is none.
struct Paper {
  bool live = false;  ///< the cursor can be moved
  bool colour = false;
  bool unicode = false;  ///< UTF-8 locale: bars may use blocks
  std::size_t width = 80, height = 24;

  std::string ink(Ink ink, std::string_view text) const;
};
/// Asks isatty, the window size (COLUMNS and LINES go first), TERM, NO_COLOR and the locale.
Paper paper_for(int fd);

/// `done` of `width` columns, done in 0 .. 1.
std::string progress_bar(double done, std::size_t width, bool unicode);

/// A table that never is wider than it may be: columns of the lowest rank go first, then the last
/// one left that is `elastic` shrinks.
class TextTable {
 public:
  struct Column {
    std::string title;
    bool right = false;
    int rank = 9;          ///< 9: always there
    bool elastic = false;  ///< may be cut
  };
  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}
  /// As many cells as columns; missing ones are empty. Cells may be coloured.
  void add(std::vector<std::string> cells);
  /// Lines without their ends, the first is the header. None is wider than `width`.
  std::vector<std::string> lines(const Paper& paper, std::size_t width) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// Words on lines of at most `width` columns, the later ones indented.
std::vector<std::string> wrapped(std::string_view text, std::size_t width, std::size_t indent);

}  // namespace p2p::tools

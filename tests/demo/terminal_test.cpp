#include "tools/demo_cmd/terminal.hpp"

#include <catch2/catch.hpp>

using namespace p2p::tools;

TEST_CASE("Width counts columns, not bytes: escapes and marks none, wide characters two") {
  CHECK(display_width("abc") == 3);
  CHECK(display_width("\x1b[32mabc\x1b[0m") == 3);
  CHECK(display_width("Zürich") == 6);
  CHECK(display_width("e\xcc\x81") == 1);  // e with a combining accent
  CHECK(display_width("靴") == 2);
  CHECK(display_width("\xff\xfe") == 2);  // no UTF-8: one each, never lost
  CHECK(display_width("\xe9") == 1);      // cut in the middle
  CHECK(display_width("\x1b[") == 0);
}

TEST_CASE("Fitted text has exactly the width, whatever is in it") {
  for (const char* text : {"", "a", "abcdef", "Zürich und Genf", "靴靴靴靴", "\x1b[31mred text\x1b[0m",
                           "\xff\xfe\xfd\xfc\xfb"}) {
    for (std::size_t width = 0; width <= 12; ++width) {
      INFO(text << " to " << width);
      CHECK(display_width(fit(text, width)) == width);
      CHECK(display_width(fit(text, width, true)) == width);
    }
  }
  CHECK(fit("abc", 5) == "abc  ");
  CHECK(fit("abc", 5, true) == "  abc");
  CHECK(fit("abcdef", 4) == "abc~");
  // The colour ends even when the text is cut.
  CHECK(fit("\x1b[31mabcdef\x1b[0m", 4) == "\x1b[31mabc~\x1b[0m");
}

TEST_CASE("No line of a table is wider than it may be, down to one column") {
  TextTable table({{.title = "node"},
                   {.title = "role", .rank = 2, .elastic = true},
                   {.title = "accuracy", .right = true},
                   {.title = "state", .rank = 3}});
  table.add({"n1", "lives through an introduction", "81.2", "trying"});
  table.add({"n2", "helper", "79.0"});
  const Paper paper;
  for (std::size_t width = 1; width <= 80; ++width) {
    for (const std::string& line : table.lines(paper, width)) {
      INFO(width << ": " << line);
      CHECK(display_width(line) <= width);
    }
  }
  // What matters stays: with little room the columns of low rank go, the others are whole.
  const auto narrow = table.lines(paper, 16);
  CHECK(narrow[0].find("role") == std::string::npos);
  CHECK(narrow[1].find("n1") != std::string::npos);
  CHECK(narrow[1].find("81.2") != std::string::npos);
  // With room for it, an elastic column is cut, not dropped.
  const auto middle = table.lines(paper, 36);
  CHECK(middle[0].find("role") != std::string::npos);
  CHECK(middle[1].find("~") != std::string::npos);
  CHECK(middle[1].find("trying") != std::string::npos);
}

TEST_CASE("Without colour there is not one escape in what is written") {
  Paper paper;
  CHECK(paper.ink(Ink::red, "x") == "x");
  paper.colour = true;
  CHECK(paper.ink(Ink::red, "x") == "\x1b[31mx\x1b[0m");
}

TEST_CASE("Bytes and times are told in three digits") {
  CHECK(human_bytes(0) == "0 B");
  CHECK(human_bytes(999) == "999 B");
  CHECK(human_bytes(1000) == "1.00 KB");
  CHECK(human_bytes(20'480) == "20.5 KB");
  CHECK(human_bytes(999'499) == "999 KB");
  CHECK(human_bytes(999'600) == "1.00 MB");
  CHECK(human_bytes(37'680'000) == "37.7 MB");
  CHECK(human_time(7.4) == "0:07");
  CHECK(human_time(75) == "1:15");
  CHECK(human_time(-1) == "0:00");
}

TEST_CASE("A bar is full exactly when the work is done, and never wider than it may be") {
  CHECK(progress_bar(0, 10, false) == "..........");
  CHECK(progress_bar(0.5, 10, false) == "#####.....");
  CHECK(progress_bar(1, 10, false) == "##########");
  CHECK(progress_bar(7, 10, false) == "##########");
  CHECK(display_width(progress_bar(0.3, 33, true)) == 33);
}

TEST_CASE("Wrapped text keeps every word and no line is too wide") {
  const std::string text = "the quick brown fox jumps over the lazy dog and averyverylongwordindeed then";
  for (std::size_t width = 12; width <= 40; ++width) {
    for (const std::string& line : wrapped(text, width, 4)) CHECK(display_width(line) <= width);
  }
  const auto lines = wrapped("one two three four", 9, 2);
  CHECK(lines == std::vector<std::string>{"one two", "  three", "  four"});
  CHECK(wrapped("", 10, 0).empty());
}

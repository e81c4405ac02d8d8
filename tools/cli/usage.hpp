// What is wrong with the words of a command line, said so that one can go on.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

#include "tools/cli/exit_codes.hpp"

namespace p2p::tools {

/// One sentence for what CLI11 refused: an unknown command or option with the one that was probably meant, else CLI11's own
/// words; always with the --help that says more. `words` are those of the command line behind the program's name, of which
/// `app` has read as many as it could.
std::string usage_text(const CLI::App& app, const std::vector<std::string>& words, const CLI::ParseError& error);

/// The nearest of `known`, or what `word` is the beginning of; empty where none is near enough to be meant.
std::string nearest_word(std::string_view word, const std::vector<std::string>& known);

/// What a failed parse comes to: help and version are printed, status 0; all else is told on stderr, with "--json" among
/// the words also as an object on stdout, status 2.
ExitCode finish_parse(const CLI::App& app, int argc, const char* const* argv, const CLI::ParseError& error);

}  // namespace p2p::tools

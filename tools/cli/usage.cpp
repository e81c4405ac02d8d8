#include "tools/cli/usage.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "metadata/base/words.hpp"
#include "tools/cli/commands.hpp"

namespace p2p::tools {

namespace {

constexpr std::size_t kShown = 64;  // of a word that was not understood

std::vector<std::string> commands_of(const CLI::App& app) {
  std::vector<std::string> out;
  for (const auto* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!command->get_name().empty()) out.push_back(command->get_name());  // option groups have none
  }
  return out;
}

void collect_options(const CLI::App& app, std::vector<std::string>& out) {
  for (const auto* option : app.get_options()) {
    for (const auto& name : option->get_lnames()) out.push_back("--" + name);
    for (const auto& name : option->get_fnames()) out.push_back("--" + name);
  }
  for (const auto* group : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (group->get_name().empty()) collect_options(*group, out);
  }
}

std::string meant(const std::string& nearest) {
  return nearest.empty() ? std::string() : fmt::format("; did you mean '{}'?", nearest);
}

std::string unknown_option(const CLI::App& app, const std::string& word) {
  std::vector<std::string> options;
  collect_options(app, options);
  const auto name = word.substr(0, std::min(word.find('='), kShown));
  return fmt::format("unknown option '{}'{}", name, meant(nearest_word(name, options)));
}

}  // namespace

std::string nearest_word(std::string_view word, const std::vector<std::string>& known) {
  const auto bare = word.substr(std::min(word.find_first_not_of('-'), word.size()));
  if (bare.empty() || word.size() > kShown) return {};
  std::string best;
  std::size_t least = bare.size() <= 3 ? 2 : 3;  // from here on, another word was meant
  for (const auto& one : known) {
    const bool begins = one.starts_with(word) && bare.size() >= 2;
    const auto distance = begins ? 0 : edit_distance(word, one);
    if (distance < least) {
      least = distance;
      best = one;
    }
  }
  return best;
}

std::string usage_text(const CLI::App& app, const std::vector<std::string>& words, const CLI::ParseError& error) {
  // The command that was reached; where there are commands, whatever is none is the mistake.
  const CLI::App* at = &app;
  std::string path = app.get_name(), what;
  for (const auto& word : words) {
    const auto commands = commands_of(*at);
    if (commands.empty()) {
      // Before what CLI11 says: a mistyped option is also the reason why a required one is missing.
      if (!word.starts_with("--") || word == "--" || word == "--json") continue;
      if (at->get_option_no_throw(word.substr(0, word.find('='))) != nullptr) continue;
      what = unknown_option(*at, word);
      break;
    }
    if (std::find(commands.begin(), commands.end(), word) != commands.end()) {
      at = at->get_subcommand(word);
      path += " " + word;
      continue;
    }
    if (!word.empty() && word.front() == '-') {
      if (at->get_option_no_throw(word.substr(0, word.find('='))) != nullptr || word == "--json") continue;
      what = unknown_option(*at, word);
    } else {
      const auto nearest = nearest_word(word, commands);
      what = fmt::format("unknown command '{}'{}", word.substr(0, kShown),
                         nearest.empty() ? fmt::format("; there are {}", fmt::join(commands, ", ")) : meant(nearest));
    }
    break;
  }
  if (what.empty() && !commands_of(*at).empty()) what = fmt::format("a command is missing; there are {}", fmt::join(commands_of(*at), ", "));
  if (what.empty() && error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError)) {
    const auto extras = app.remaining(true);
    const auto option = std::find_if(extras.begin(), extras.end(), [](const auto& word) { return word.starts_with('-'); });
    if (option != extras.end()) {
      what = unknown_option(*at, *option);
    } else if (!extras.empty()) {
      what = fmt::format("'{}' is one word too many", extras.front().substr(0, kShown));
    }
  }
  if (what.empty()) {
    what = error.what();
    if (what.starts_with("Exactly 1 option from [--state-dir,--socket]")) what = "name one node, with --state-dir DIR or --socket PATH";
  }
  return fmt::format("{}{} See `{} --help`", what, what.ends_with('?') || what.ends_with('.') ? "" : ".", path);
}

ExitCode finish_parse(const CLI::App& app, int argc, const char* const* argv, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) {
    app.exit(error);
    return ExitCode::ok;
  }
  const std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  const bool json = std::find(words.begin(), words.end(), "--json") != words.end();
  return report_error({ErrorCode::invalid_argument, usage_text(app, words, error), {}}, Context::config, json);
}

}  // namespace p2p::tools

#include "tools/cli/toml_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "metadata/base/words.hpp"

namespace p2p::tools {

Error config_error(const std::string& path, std::uint32_t line, const std::string& what) {
  return Error{
      ErrorCode::invalid_argument,
      line == 0 ? fmt::format("{}: {}", path, what) : fmt::format("{}:{}: {}", path, line, what),
      {}};
}

namespace {

std::string_view type_name(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "a whole number";
    case toml::node_type::floating_point:
      return "a number with a point";
    case toml::node_type::boolean:
      return "true or false";
    default:
      return "a date or time";
  }
}

std::string written(const toml::node& node) {
  std::ostringstream out;
  out << toml::node_view<const toml::node>(node);
  std::string text = out.str();
  if (text.size() > 40) text = text.substr(0, 37) + "...";
  return text;
}

}  // namespace

TomlTable::TomlTable(Source& source, std::string name, const toml::table* table)
    : source_(source), name_(std::move(name)), table_(table) {}

const toml::node* TomlTable::find(std::string_view key) {
  asked_.emplace(key);
  source_.known.push_back(name_.empty() ? std::string(key) : name_ + "." + std::string(key));
  if (table_ == nullptr || source_.error) return nullptr;
  return table_->get(key);
}

void TomlTable::refuse(const toml::node& node, const std::string& what) {
  if (!source_.error) source_.error = config_error(source_.path, node.source().begin.line, what);
}

void TomlTable::wrong_type(std::string_view key, const toml::node& node, std::string_view wanted) {
  refuse(node, fmt::format("{}.{} is {} ({}) where {} is needed", name_, key, type_name(node),
                           written(node), wanted));
}

void TomlTable::get(std::string_view key, std::string& out) {
  const auto* node = find(key);
  if (node == nullptr) return;
  if (const auto* value = node->as_string()) {
    out = value->get();
  } else {
    wrong_type(key, *node, "a string in quotes");
  }
}

void TomlTable::get(std::string_view key, bool& out) {
  const auto* node = find(key);
  if (node == nullptr) return;
  if (const auto* value = node->as_boolean()) {
    out = value->get();
  } else {
    wrong_type(key, *node, "true or false");
  }
}

void TomlTable::get(std::string_view key, std::vector<std::string>& out) {
  const auto* node = find(key);
  if (node == nullptr) return;
  const auto* array = node->as_array();
  if (array == nullptr) return wrong_type(key, *node, "an array of strings");
  out.clear();
  for (const auto& element : *array) {
    const auto* value = element.as_string();
    if (value == nullptr) return wrong_type(key, element, "an array of strings");
    out.push_back(value->get());
  }
}

void TomlTable::get(std::string_view key, double& out, double least, double most) {
  const auto* node = find(key);
  if (node == nullptr) return;
  if (!node->is_number()) return wrong_type(key, *node, "a number");
  const double value = node->value<double>().value_or(0);
  if (!(value >= least && value <= most)) {
    return refuse(*node, fmt::format("{}.{} = {} is not between {} and {}", name_, key,
                                     written(*node), least, most));
  }
  out = value;
}

std::optional<std::uint64_t> TomlTable::integer(std::string_view key, std::uint64_t least,
                                                std::uint64_t most) {
  const auto* node = find(key);
  if (node == nullptr) return std::nullopt;
  const auto* value = node->as_integer();
  if (value == nullptr) {
    wrong_type(key, *node, "a whole number");
    return std::nullopt;
  }
  if (value->get() < 0 || static_cast<std::uint64_t>(value->get()) < least ||
      static_cast<std::uint64_t>(value->get()) > most) {
    refuse(*node, fmt::format("{}.{} = {} is not between {} and {}", name_, key, value->get(),
                              least, most));
    return std::nullopt;
  }
  return static_cast<std::uint64_t>(value->get());
}

std::optional<std::uint64_t> TomlTable::get_number(std::string_view key,
                                                   const std::vector<std::uint64_t>& numbers) {
  const auto value = integer(key, 0, INT64_MAX);
  if (!value || std::find(numbers.begin(), numbers.end(), *value) != numbers.end()) return value;
  refuse(*table_->get(key), fmt::format("{}.{} is {}; it must be one of {}", name_, key, *value,
                                        fmt::join(numbers, ", ")));
  return std::nullopt;
}

std::optional<std::size_t> TomlTable::get_word(std::string_view key,
                                               const std::vector<std::string_view>& words) {
  const auto* node = find(key);
  if (node == nullptr) return std::nullopt;
  std::string known;
  for (std::size_t i = 0; i < words.size(); ++i) {
    known += fmt::format("{}\"{}\"", i == 0 ? "" : i + 1 == words.size() ? " or " : ", ", words[i]);
  }
  const auto* value = node->as_string();
  if (value == nullptr) {
    wrong_type(key, *node, known);
    return std::nullopt;
  }
  const auto found = std::find(words.begin(), words.end(), value->get());
  if (found == words.end()) {
    refuse(*node, fmt::format("{}.{} is \"{}\"; it must be {}", name_, key, value->get(), known));
    return std::nullopt;
  }
  return static_cast<std::size_t>(found - words.begin());
}

std::uint32_t TomlTable::line(std::string_view key) const {
  const auto* node = table_ == nullptr ? nullptr : table_->get(key);
  return node == nullptr ? 0 : node->source().begin.line;
}

void TomlTable::finish() {
  if (table_ == nullptr || source_.error) return;
  const toml::node* first = nullptr;
  std::string first_key;
  std::uint32_t first_line = 0;
  for (const auto& [key, node] : *table_) {
    if (asked_.contains(key.str())) continue;
    const auto at = key.source().begin.line;
    if (first == nullptr || at < first_line) {
      first = &node;
      first_key = std::string(key.str());
      first_line = at;
    }
  }
  if (first == nullptr) return;
  // The nearest key of this table; failing that, the same word in another table.
  std::string nearest;
  std::size_t distance = 1000;
  for (const auto& key : asked_) {
    const auto d = edit_distance(first_key, key);
    if (d < distance) {
      distance = d;
      nearest = key;
    }
  }
  std::string hint;
  for (const auto& known : source_.known) {
    const auto dot = known.find('.');
    if (dot != std::string::npos && known.substr(dot + 1) == first_key &&
        known.substr(0, dot) != name_) {
      hint = fmt::format("it belongs under [{}]", known.substr(0, dot));
    }
  }
  if (hint.empty() && !nearest.empty()) {
    hint = fmt::format("the nearest known one is \"{}\"", nearest);
  }
  source_.error =
      config_error(source_.path, first_line,
                   fmt::format("unknown {} \"{}\"{}{}{}", first->is_table() ? "table" : "key",
                               first_key, name_.empty() ? "" : fmt::format(" in [{}]", name_),
                               hint.empty() ? "" : "; ", hint));
}

}  // namespace p2p::tools

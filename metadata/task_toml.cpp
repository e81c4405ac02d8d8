// The form of a task that people write.
#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <initializer_list>
#include <limits>

#include "metadata/base/words.hpp"
#include "metadata/task.hpp"
#include "metadata/task_check.hpp"

namespace p2p::metadata {

namespace {

using Words = std::initializer_list<std::string_view>;

/// "; did you mean 'x'?" for a near miss, else what there is to choose from.
std::string suggestion(std::string_view word, Words known) {
  std::string_view best;
  std::size_t nearest = std::max<std::size_t>(2, word.size() / 3) + 1;
  std::string all;
  for (const auto candidate : known) {
    const auto distance = word.size() > 64 ? 64 : edit_distance(word, candidate);
    if (distance < nearest) {
      nearest = distance;
      best = candidate;
    }
    all += (all.empty() ? "'" : ", '") + std::string(candidate) + "'";
  }
  return best.empty() ? fmt::format("; known are {}", all) : fmt::format("; did you mean '{}'?", best);
}

std::string_view kind_name(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table: return "a table";
    case toml::node_type::array: return "an array";
    case toml::node_type::string: return "a text";
    case toml::node_type::integer: return "a whole number";
    case toml::node_type::floating_point: return "a number";
    case toml::node_type::boolean: return "true or false";
    default: return "a date or time";
  }
}

/// A word from the file, fit to be shown in one line.
std::string shown(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 64)) out += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
  return out;
}

/// Reads a task and stops at the first thing that is wrong.
class TaskReader {
 public:
  explicit TaskReader(std::string_view source) : source_(source) {}

  Result<Task> read(const toml::table& root) {
    known_keys(root, "", {"name", "classes", "features", "model", "embedding"});
    lines_[""] = 1;
    text(root, "", "name", task_.name, Need::required);
    read_classes(root);
    read_features(root);
    if (const auto* model = table(root, "", "model", Need::required)) {
      known_keys(*model, "model", {"family", "seed", "bandwidth", "params"});
      text(*model, "model", "family", task_.family, Need::required);
      whole(*model, "model", "seed", task_.seed, std::numeric_limits<std::int64_t>::max());
      number(*model, "model", "bandwidth", task_.bandwidth, Need::required);
      if (const auto* params = table(*model, "model", "params", Need::optional)) {
        for (const auto& [key, node] : *params) {
          number(*params, "model.params", key.str(), task_.params[std::string(key.str())], Need::required);
        }
      }
    }
    if (const auto* embedding = table(root, "", "embedding", Need::optional)) {
      known_keys(*embedding, "embedding", {"dimensions"});
      small(*embedding, "embedding", "dimensions", task_.embedding_dimensions);
    }
    if (error_) return tl::unexpected<Error>(*error_);
    if (const auto problem = find_problem(task_)) {
      return fail(ErrorCode::invalid_argument, fmt::format("{}:{}: {} {}", source_, line_of(problem->where),
                                                           shown(problem->where), problem->what));
    }
    if (canonical(task_).size() > kMaxTaskBytes) {
      return fail(ErrorCode::limit_exceeded,
                  fmt::format("{}: the task is larger than 1 MiB; join columns of one kind into one group "
                              "with a `count`",
                              source_));
    }
    return std::move(task_);
  }

 private:
  enum class Need { required, optional };

  static std::string path(std::string_view parent, std::string_view key) {
    return parent.empty() ? std::string(key) : fmt::format("{}.{}", parent, key);
  }
  /// The line of a field, or of the nearest thing around it.
  std::uint32_t line_of(std::string where) const {
    while (true) {
      if (const auto found = lines_.find(where); found != lines_.end()) return found->second;
      const auto cut = where.find_last_of(".[");
      where.resize(cut == std::string::npos ? 0 : cut);
    }
  }
  void refuse(std::uint32_t line, std::string what) {
    if (error_) return;
    error_ = Error{ErrorCode::invalid_argument, fmt::format("{}:{}: {}", source_, line, what), {}};
  }

  void known_keys(const toml::table& table, std::string_view where, Words known) {
    for (const auto& [key, node] : table) {
      if (error_ || std::find(known.begin(), known.end(), key.str()) != known.end()) continue;
      refuse(key.source().begin.line,
             fmt::format("unknown key '{}'{}{}", shown(key.str()),
                         where.empty() ? "" : fmt::format(" in [{}]", where), suggestion(key.str(), known)));
    }
  }

  /// Null when it is absent (refused, if required).
  const toml::node* find(const toml::table& table, std::string_view where, std::string_view key, Need need) {
    const toml::node* node = table.get(key);
    if (node != nullptr) {
      lines_[path(where, key)] = node->source().begin.line;
    } else if (need == Need::required) {
      refuse(line_of(std::string(where)), fmt::format("'{}' is missing", path(where, key)));
    }
    return node;
  }
  void wrong_kind(const toml::node& node, std::string_view where, std::string_view wanted) {
    refuse(node.source().begin.line,
           fmt::format("'{}' must be {}, but is {}", shown(where), wanted, kind_name(node)));
  }

  const toml::table* table(const toml::table& parent, std::string_view where, std::string_view key, Need need) {
    const auto* node = find(parent, where, key, need);
    if (node != nullptr && !node->is_table()) wrong_kind(*node, path(where, key), "a table");
    return node == nullptr ? nullptr : node->as_table();
  }
  void text(const toml::table& parent, std::string_view where, std::string_view key, std::string& out, Need need) {
    const auto* node = find(parent, where, key, need);
    if (node == nullptr) return;
    if (!node->is_string()) return wrong_kind(*node, path(where, key), "a text in quotes");
    out = node->as_string()->get();
  }
  bool number(const toml::table& parent, std::string_view where, std::string_view key, double& out, Need need) {
    const auto* node = find(parent, where, key, need);
    if (node == nullptr) return false;
    if (node->is_integer()) {
      out = static_cast<double>(node->as_integer()->get());
    } else if (node->is_floating_point()) {
      out = node->as_floating_point()->get();
    } else {
      wrong_kind(*node, path(where, key), "a number");
    }
    return true;
  }
  bool whole(const toml::table& parent, std::string_view where, std::string_view key, std::uint64_t& out,
             std::uint64_t most) {
    const auto* node = find(parent, where, key, Need::optional);
    if (node == nullptr) return false;
    if (!node->is_integer()) {
      wrong_kind(*node, path(where, key), "a whole number");
      return true;
    }
    const auto value = node->as_integer()->get();
    if (value < 0 || static_cast<std::uint64_t>(value) > most) {
      refuse(node->source().begin.line, fmt::format("'{}' must be 0 to {}", path(where, key), most));
      return true;
    }
    out = static_cast<std::uint64_t>(value);
    return true;
  }
  bool small(const toml::table& parent, std::string_view where, std::string_view key, std::uint32_t& out) {
    std::uint64_t value = out;
    const bool given = whole(parent, where, key, value, std::numeric_limits<std::uint32_t>::max());
    out = static_cast<std::uint32_t>(value);
    return given;
  }

  void read_classes(const toml::table& root) {
    const auto* node = find(root, "", "classes", Need::required);
    if (node == nullptr) return;
    if (!node->is_array()) return wrong_kind(*node, "classes", "an array of texts");
    const auto& array = *node->as_array();
    for (std::size_t i = 0; i < array.size(); ++i) {
      const auto where = fmt::format("classes[{}]", i);
      lines_[where] = array[i].source().begin.line;
      if (!array[i].is_string()) return wrong_kind(array[i], where, "a text in quotes");
      task_.classes.push_back(array[i].as_string()->get());
    }
  }

  void read_features(const toml::table& root) {
    const auto* node = find(root, "", "features", Need::required);
    if (node == nullptr) return;
    if (!node->is_array()) return wrong_kind(*node, "features", "an array of tables: [[features]]");
    const auto& array = *node->as_array();
    for (std::size_t i = 0; i < array.size() && !error_; ++i) {
      const auto where = fmt::format("features[{}]", i);
      lines_[where] = array[i].source().begin.line;
      if (!array[i].is_table()) return wrong_kind(array[i], where, "a table: [[features]]");
      read_group(*array[i].as_table(), where);
    }
  }

  void read_group(const toml::table& table, const std::string& where) {
    known_keys(table, where, {"name", "kind", "count", "minimum", "maximum", "missing", "categories"});
    FeatureGroup& group = task_.features.emplace_back();
    text(table, where, "name", group.name, Need::required);
    std::string kind = "numeric";
    text(table, where, "kind", kind, Need::optional);
    if (kind == "categorical") {
      group.kind = FeatureGroup::Kind::categorical;
    } else if (kind != "numeric") {
      refuse(line_of(where + ".kind"),
             fmt::format("'{}.kind' cannot be '{}'{}", where, shown(kind),
                         suggestion(kind, {"numeric", "categorical"})));
    }
    small(table, where, "count", group.count);
    const bool minimum = number(table, where, "minimum", group.minimum, Need::optional);
    const bool maximum = number(table, where, "maximum", group.maximum, Need::optional);
    double fill = 0;
    const bool missing = number(table, where, "missing", fill, Need::optional);
    if (missing) group.missing = fill;
    const bool categories = read_categories(table, where, group);
    if (group.kind == FeatureGroup::Kind::categorical) {
      if (minimum || maximum) {
        refuse(line_of(where + (minimum ? ".minimum" : ".maximum")),
               "a categorical group has no minimum or maximum; give it 'categories'");
      }
      if (missing) {
        refuse(line_of(where + ".missing"), "a categorical group needs no 'missing'; without a category all its columns are 0");
      }
      if (!categories) refuse(line_of(where), fmt::format("'{}.categories' is missing", where));
    } else if (categories) {
      refuse(line_of(where + ".categories"), "a numeric group has no categories; is kind = \"categorical\" meant?");
    }
  }

  /// How many, or their names.
  bool read_categories(const toml::table& table, const std::string& where, FeatureGroup& group) {
    const auto* node = table.get("categories");
    if (node == nullptr || !node->is_array()) {
      if (node != nullptr && !node->is_integer()) {
        wrong_kind(*node, where + ".categories", "a whole number or an array of texts");
        return true;
      }
      return small(table, where, "categories", group.categories);
    }
    find(table, where, "categories", Need::optional);
    const auto& array = *node->as_array();
    if (array.empty()) refuse(node->source().begin.line, fmt::format("'{}.categories' must not be empty", where));
    for (std::size_t i = 0; i < array.size() && !error_; ++i) {
      const auto at = fmt::format("{}.categories[{}]", where, i);
      lines_[at] = array[i].source().begin.line;
      if (!array[i].is_string()) {
        wrong_kind(array[i], at, "a text in quotes");
      } else {
        group.category_names.push_back(array[i].as_string()->get());
      }
    }
    group.categories = static_cast<std::uint32_t>(group.category_names.size());
    return true;
  }

  std::string_view source_;
  Task task_;
  std::map<std::string, std::uint32_t> lines_;
  std::optional<Error> error_;
};

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

/// The shortest decimal form that reads back to the same number, with a point so that it stays a number.
std::string decimal(double value) {
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  std::string out(buffer, end);
  if (out.find_first_of(".e") == std::string::npos) out += ".0";
  return out;
}

}  // namespace

Result<Task> parse_task(std::string_view toml, std::string_view source_name) {
  if (toml.size() > kMaxTaskBytes) {
    return fail(ErrorCode::limit_exceeded, fmt::format("{}: a task file has at most 1 MiB", source_name));
  }
  try {
    const toml::table root = toml::parse(toml, source_name);
    return TaskReader(source_name).read(root);
  } catch (const toml::parse_error& e) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{}:{}: this is not TOML: {}", source_name, e.source().begin.line, e.description()));
  } catch (const std::exception& e) {
    return fail(ErrorCode::invalid_argument, fmt::format("{}: this is not TOML", source_name), e.what());
  }
}

std::string to_toml(const Task& task) {
  std::string out =
      "# A task: what nodes must agree on to find each other and to share parts of their models.\n"
      "# Its hash is its name; one changed character makes another task.\n\n";
  out += fmt::format("name = {}\n\n# In the order of their numbers, from 0.\nclasses = [\n", quoted(task.name));
  for (const auto& class_name : task.classes) out += fmt::format("  {},\n", quoted(class_name));
  out += "]\n\n# The columns of a sample, left to right. minimum .. maximum is mapped to 0 .. 1.\n";
  for (const auto& group : task.features) {
    out += fmt::format("[[features]]\nname = {}\nkind = \"{}\"\ncount = {}\n", quoted(group.name),
                       name(group.kind), group.count);
    if (group.kind == FeatureGroup::Kind::numeric) {
      out += fmt::format("minimum = {}\nmaximum = {}\n", decimal(group.minimum), decimal(group.maximum));
      if (group.missing) {
        out += fmt::format("missing = {}  # stands for a missing value; one more column tells 0 or 1\n",
                           decimal(*group.missing));
      }
    } else if (group.category_names.empty()) {
      out += fmt::format("categories = {}\n", group.categories);
    } else {
      out += "categories = [\n";
      for (const auto& category : group.category_names) out += fmt::format("  {},\n", quoted(category));
      out += "]\n";
    }
    out += '\n';
  }
  out += fmt::format("[model]\nfamily = {}\nseed = {}\n", quoted(task.family), task.seed);
  out += "# gamma of the kernel exp(-gamma |x-y|^2 / 2) over scaled samples; 2 / median |x-y|^2 is a good one.\n";
  out += fmt::format("bandwidth = {}\n\n", decimal(task.bandwidth));
  if (!task.params.empty()) {
    out += "[model.params]\n";
    for (const auto& [key, value] : task.params) out += fmt::format("{} = {}\n", quoted(key), decimal(value));
    out += "\n";
  }
  out += "# Length of the embedding that fingerprints are made of.\n";
  out += fmt::format("[embedding]\ndimensions = {}\n", task.embedding_dimensions);
  return out;
}

}  // namespace p2p::metadata

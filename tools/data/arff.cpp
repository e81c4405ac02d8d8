// Reference: the ARFF format as Weka's manual describes it (attribute-relation file format,
// developer version with sparse rows).
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <unordered_set>

#include "tools/data/byte_stream.hpp"
#include "tools/data/numbers.hpp"
#include "tools/data/sample_source.hpp"

namespace p2p::tools {

namespace {

constexpr std::size_t kMaxAttributes = 1u << 16;
constexpr std::size_t kMaxCategories = 1u << 16;  // of all attributes together

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

/// Words of a line: bare or in quotes, between blanks and commas.
class Words {
 public:
  explicit Words(std::string_view line) : rest_(line) {}

  enum class Got { word, end, unclosed, empty };
  /// The next word; `bare` is false for a quoted one. A comma behind it is taken along; `empty`
  /// where a comma comes at once. A bare word also ends before one of `stops`.
  Got next(std::string& word, bool& bare, std::string_view stops = {}) {
    skip_blanks();
    word.clear();
    if (rest_.empty()) return after_comma_ ? Got::empty : Got::end;
    after_comma_ = false;
    const char first = rest_.front();
    bare = first != '"' && first != '\'';
    if (bare) {
      std::size_t end = 0;
      while (end < rest_.size() && rest_[end] != ',' && rest_[end] != ' ' && rest_[end] != '\t' &&
             stops.find(rest_[end]) == std::string_view::npos) {
        ++end;
      }
      word = rest_.substr(0, end);
      rest_.remove_prefix(end);
      if (word.empty() && (rest_.empty() || rest_.front() != ',')) return Got::end;  // at a stop
    } else {
      std::size_t at = 1;
      for (; at < rest_.size() && rest_[at] != first; ++at) {
        if (rest_[at] == '\\' && at + 1 < rest_.size()) ++at;
        word.push_back(rest_[at]);
      }
      if (at >= rest_.size()) return Got::unclosed;
      rest_.remove_prefix(at + 1);
    }
    skip_blanks();
    if (!rest_.empty() && rest_.front() == ',') {
      rest_.remove_prefix(1);
      after_comma_ = true;
    }
    return bare && word.empty() ? Got::empty : Got::word;
  }
  std::string_view rest() {
    skip_blanks();
    return rest_;
  }
  void drop(std::size_t count) { rest_.remove_prefix(count); }

 private:
  void skip_blanks() {
    while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == '\t'))
      rest_.remove_prefix(1);
  }
  std::string_view rest_;
  bool after_comma_ = false;
};

struct Attribute {
  enum class Kind { numeric, nominal, string };
  std::string name;
  Kind kind = Kind::numeric;
  std::vector<std::string> categories = {};
  std::unordered_set<std::string> known = {};
  std::int32_t column = -1;  ///< of the row; -1: the label, or ignored
  bool label = false;
};

/// Where in the file something is.
struct Place {
  std::string path;
  std::uint64_t line = 0;

  tl::unexpected<Error> refuse(const std::string& what,
                               ErrorCode code = ErrorCode::malformed) const {
    return fail(code, fmt::format("{}, line {}: {}", path, line, what));
  }
};

/// "@attribute NAME TYPE", from behind "@attribute".
Result<Attribute> read_attribute(std::string_view text, const Place& place) {
  Attribute out;
  Words words(text);
  bool bare = false;
  switch (words.next(out.name, bare, "{")) {
    case Words::Got::word:
      break;
    case Words::Got::unclosed:
      return place.refuse("the quoted name of an attribute is not closed");
    default:
      return place.refuse("an attribute without name");
  }
  if (words.rest().starts_with('{')) {
    out.kind = Attribute::Kind::nominal;
    words.drop(1);
    std::string value;
    while (true) {
      const auto got = words.next(value, bare, "}");
      if (got == Words::Got::end) break;
      if (got == Words::Got::unclosed) {
        return place.refuse(
            fmt::format("attribute \"{}\": a quoted value is not closed", out.name));
      }
      if (got == Words::Got::empty)
        return place.refuse(fmt::format("attribute \"{}\": an empty value in the list", out.name));
      if (!out.known.insert(value).second) {
        return place.refuse(fmt::format("attribute \"{}\" has the value \"{}\" twice", out.name,
                                        value.substr(0, 64)));
      }
      out.categories.push_back(value);
    }
    if (!words.rest().starts_with('}'))
      return place.refuse(
          fmt::format("attribute \"{}\": the list of values lacks its \"}}\"", out.name));
    if (out.categories.empty())
      return place.refuse(fmt::format("attribute \"{}\" has no values to choose from", out.name));
    return out;
  }
  std::string type;
  if (words.next(type, bare) != Words::Got::word) {
    return place.refuse(fmt::format(
        "attribute \"{}\" has no type; write numeric, string or {{value, value, ...}}", out.name));
  }
  type = lower(type);
  if (type == "numeric" || type == "real" || type == "integer") return out;
  if (type == "string") {
    out.kind = Attribute::Kind::string;
    return out;
  }
  return place.refuse(fmt::format("attribute \"{}\" is of type \"{}\", which is not supported; "
                                  "numeric, nominal and string are",
                                  out.name, type.substr(0, 32)),
                      ErrorCode::invalid_argument);
}

class ArffSource final : public SampleSource {
 public:
  ArffSource(LineReader reader, std::vector<Attribute> attributes, std::uint32_t features)
      : reader_(std::move(reader)), attributes_(std::move(attributes)), features_(features) {
    place_.path = reader_.path();
  }

  Result<Got> next(Row& out) override {
    std::string_view text;
    do {
      const auto more = reader_.next(line_);
      if (!more) return tl::unexpected(more.error());
      if (!*more) return Got::end;
      text = trim(line_);
    } while (text.empty() || text.front() == '%');
    out.line = place_.line = reader_.number();
    out.texts.clear();
    out.label.clear();
    out.labelled = false;
    out.x.assign(features_, 0.f);
    const auto ok = text.front() == '{' ? sparse(text.substr(1), out) : dense(text, out);
    if (!ok) return tl::unexpected(ok.error());
    return Got::row;
  }

  std::uint32_t features() const override { return features_; }
  std::vector<std::string> feature_names() const override {
    std::vector<std::string> out;
    for (const auto& attribute : attributes_) {
      if (attribute.column >= 0) out.push_back(attribute.name);
    }
    return out;
  }
  std::vector<std::vector<std::string>> declared_categories() const override {
    std::vector<std::vector<std::string>> out;
    for (const auto& attribute : attributes_) {
      if (attribute.column >= 0) out.push_back(attribute.categories);
    }
    return out;
  }
  std::vector<std::string> declared_classes() const override {
    for (const auto& attribute : attributes_) {
      if (attribute.label) return attribute.categories;
    }
    return {};
  }

 private:
  Result<void> dense(std::string_view text, Row& out) {
    Words words(text);
    bool bare = false;
    for (std::size_t i = 0; i < attributes_.size(); ++i) {
      const auto got = words.next(word_, bare);
      if (got == Words::Got::unclosed)
        return place_.refuse("a quoted value is not closed on its line");
      if (got == Words::Got::empty)
        return place_.refuse(fmt::format("value {} is empty; write ? for what is missing", i + 1));
      if (got == Words::Got::end) {
        return place_.refuse(
            fmt::format("{} values where there are {} attributes", i, attributes_.size()));
      }
      if (auto ok = put(attributes_[i], bare, out); !ok) return ok;
    }
    if (words.rest().starts_with('{'))
      return place_.refuse("weights of instances are not supported");
    if (!words.rest().empty())
      return place_.refuse(fmt::format("more values than the {} attributes", attributes_.size()));
    return {};
  }

  /// What is not named is 0, or the first value of a nominal attribute.
  Result<void> sparse(std::string_view text, Row& out) {
    given_.assign(attributes_.size(), false);
    Words words(text);
    bool bare = false;
    while (true) {
      auto got = words.next(word_, bare, "}");
      if (got == Words::Got::end) break;
      std::uint32_t index = 0;
      const auto [end, status] = std::from_chars(word_.data(), word_.data() + word_.size(), index);
      if (got != Words::Got::word || status != std::errc{} || end != word_.data() + word_.size()) {
        return place_.refuse("a sparse row must be {index value, index value, ...}");
      }
      if (index >= attributes_.size()) {
        return place_.refuse(fmt::format("index {} where the attributes are 0 to {}", index,
                                         attributes_.size() - 1));
      }
      if (given_[index]) return place_.refuse(fmt::format("index {} twice", index));
      given_[index] = true;
      got = words.next(word_, bare, "}");
      if (got != Words::Got::word)
        return place_.refuse(fmt::format("index {} has no value", index));
      if (auto ok = put(attributes_[index], bare, out); !ok) return ok;
    }
    if (words.rest() != "}")
      return place_.refuse("a sparse row must end in \"}\", and nothing may follow");
    for (std::size_t i = 0; i < attributes_.size(); ++i) {
      const auto& attribute = attributes_[i];
      if (given_[i]) continue;
      if (attribute.kind == Attribute::Kind::nominal) {
        word_ = attribute.categories.front();
      } else if (attribute.label) {
        word_.assign(1, '0');
      } else {
        continue;
      }
      if (auto ok = put(attribute, false, out); !ok) return ok;
    }
    std::sort(out.texts.begin(), out.texts.end(),
              [](const auto& a, const auto& b) { return a.column < b.column; });
    return {};
  }

  /// The value in word_.
  Result<void> put(const Attribute& attribute, bool bare, Row& out) {
    const bool missing = bare && word_ == "?";
    if (attribute.column < 0 && !attribute.label) return {};
    if (!missing && attribute.kind == Attribute::Kind::nominal &&
        !attribute.known.contains(word_)) {
      return place_.refuse(fmt::format("attribute \"{}\": \"{}\" is none of its declared values",
                                       attribute.name, word_.substr(0, 64)));
    }
    if (attribute.label) {
      out.labelled = !missing;
      if (!missing) out.label = word_;
      return {};
    }
    float& cell = out.x[static_cast<std::size_t>(attribute.column)];
    if (missing || attribute.kind != Attribute::Kind::numeric) {
      cell = std::numeric_limits<float>::quiet_NaN();
      if (!missing) out.texts.push_back({static_cast<std::uint32_t>(attribute.column), word_});
      return {};
    }
    double value = 0;
    bool too_large = false;
    if (!parse_number(word_, value, too_large)) {
      return place_.refuse(
          fmt::format("attribute \"{}\": \"{}\" is no number; write ? for what is missing",
                      attribute.name, word_.substr(0, 64)));
    }
    if (too_large || std::abs(value) > static_cast<double>(std::numeric_limits<float>::max())) {
      return place_.refuse(
          fmt::format("attribute \"{}\": \"{}\" is not finite; write ? for what is missing",
                      attribute.name, word_.substr(0, 64)));
    }
    cell = static_cast<float>(value);
    return {};
  }

  LineReader reader_;
  std::vector<Attribute> attributes_;
  std::uint32_t features_;
  Place place_;
  std::string line_, word_;
  std::vector<bool> given_;
};

/// All up to and with "@data".
Result<std::vector<Attribute>> read_header(LineReader& reader, Place& place) {
  std::vector<Attribute> out;
  std::size_t categories = 0;
  std::string line;
  while (true) {
    const auto more = reader.next(line);
    if (!more) return tl::unexpected(more.error());
    if (!*more) {
      return fail(ErrorCode::malformed,
                  fmt::format("{} has no line \"@data\"; is it an ARFF file?", place.path));
    }
    place.line = reader.number();
    if (line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);
    const auto text = trim(line);
    if (text.empty() || text.front() == '%') continue;
    const auto end = std::min(text.find_first_of(" \t"), text.size());
    const auto keyword = lower(text.substr(0, end));
    if (keyword == "@relation") continue;
    if (keyword == "@data") break;
    if (keyword != "@attribute") {
      return place.refuse(fmt::format("\"{}\" where @relation, @attribute or @data is expected",
                                      text.substr(0, 40)));
    }
    auto attribute = read_attribute(text.substr(end), place);
    if (!attribute) return tl::unexpected(attribute.error());
    categories += attribute->categories.size();
    out.push_back(std::move(*attribute));
    if (out.size() > kMaxAttributes || categories > kMaxCategories) {
      return place.refuse("more than 65536 attributes or nominal values in all",
                          ErrorCode::limit_exceeded);
    }
  }
  if (out.size() < 2)
    return place.refuse("less than two attributes; at least a feature and a class are needed");
  return out;
}

}  // namespace

Result<std::unique_ptr<SampleSource>> open_arff(const ArffOptions& options) {
  auto stream = ByteStream::open(options.path);
  if (!stream) return tl::unexpected(stream.error());
  LineReader reader(std::move(*stream));
  Place place{options.path};
  auto attributes = read_header(reader, place);
  if (!attributes) return tl::unexpected(attributes.error());
  const auto find = [&](const std::string& wanted, const char* what) -> Result<Attribute*> {
    const auto found = std::find_if(attributes->begin(), attributes->end(),
                                    [&](const auto& a) { return a.name == wanted; });
    if (found != attributes->end()) return &*found;
    std::string known;
    for (std::size_t i = 0; i < attributes->size() && i < 20; ++i) {
      known += fmt::format("{}{}", i == 0 ? "" : ", ", (*attributes)[i].name);
    }
    return fail(ErrorCode::invalid_argument,
                fmt::format("{} has no attribute \"{}\" {}; it has {}{}", options.path, wanted,
                            what, known, attributes->size() > 20 ? ", ..." : ""));
  };
  auto* label = &attributes->back();
  if (!options.label.empty()) {
    const auto found = find(options.label, "for the label");
    if (!found) return tl::unexpected(found.error());
    label = *found;
  }
  label->label = true;
  std::unordered_set<const Attribute*> ignored;
  for (const auto& wanted : options.ignore) {
    const auto found = find(wanted, "to ignore");
    if (!found) return tl::unexpected(found.error());
    ignored.insert(*found);
  }
  std::int32_t features = 0;
  for (auto& attribute : *attributes) {
    if (!attribute.label && !ignored.contains(&attribute)) attribute.column = features++;
  }
  if (features == 0) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{}: no attribute is left to learn from; ignore fewer", options.path));
  }
  return std::unique_ptr<SampleSource>(std::make_unique<ArffSource>(
      std::move(reader), std::move(*attributes), static_cast<std::uint32_t>(features)));
}

}  // namespace p2p::tools

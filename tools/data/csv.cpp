#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <set>

#include "tools/data/byte_stream.hpp"
#include "tools/data/numbers.hpp"
#include "tools/data/sample_source.hpp"

namespace p2p::tools {

namespace {

bool is_missing(std::string_view text) {
  static constexpr std::string_view kMissing[] = {"",    "NaN",  "nan",  "NAN", "NA",
                                                  "N/A", "null", "NULL", "?"};
  return std::find(std::begin(kMissing), std::end(kMissing), text) != std::end(kMissing);
}

/// The fields of a line, as views of it; quoted ones (RFC 4180) without their quotes.
class Fields {
 public:
  /// False: a quote is not closed.
  bool split(std::string_view line, char separator) {
    fields_.clear();
    unescaped_.clear();
    std::size_t at = 0;
    while (true) {
      std::size_t first = at;
      while (first < line.size() && line[first] == ' ' && separator != ' ') ++first;
      if (first < line.size() && line[first] == '"') {
        if (!quoted(line, first + 1, at)) return false;
        const auto next = line.find(separator, at);
        if (next == std::string_view::npos) return true;
        at = next + 1;
        continue;
      }
      const auto next = line.find(separator, at);
      const bool last = next == std::string_view::npos;
      fields_.push_back(trim(line.substr(at, last ? next : next - at)));
      if (last) return true;
      at = next + 1;
    }
  }
  std::size_t size() const { return fields_.size(); }
  std::string_view operator[](std::size_t i) const { return fields_[i]; }

 private:
  /// `from` is behind the opening quote; `at` comes to lie behind the closing one.
  bool quoted(std::string_view line, std::size_t from, std::size_t& at) {
    auto quote = line.find('"', from);
    if (quote == std::string_view::npos) return false;
    if (quote + 1 >= line.size() || line[quote + 1] != '"') {  // the usual case: nothing doubled
      fields_.push_back(line.substr(from, quote - from));
      at = quote + 1;
      return true;
    }
    std::string& text = unescaped_.emplace_back();  // a deque: what is in it stays in its place
    at = from;
    while (true) {
      quote = line.find('"', at);
      if (quote == std::string_view::npos) return false;
      text.append(line, at, quote - at);
      at = quote + 1;
      if (at >= line.size() || line[at] != '"') break;
      text.push_back('"');
      ++at;
    }
    fields_.push_back(text);
    return true;
  }

  std::vector<std::string_view> fields_;
  std::deque<std::string> unescaped_;
};

class CsvSource final : public SampleSource {
 public:
  enum class Role : std::uint8_t { feature, label, ignored };

  /// `first_row`: a line that was read already, but is data; or empty.
  CsvSource(LineReader reader, char separator, std::vector<std::string> names,
            std::vector<Role> roles, bool text, std::string first_row)
      : reader_(std::move(reader)),
        separator_(separator),
        names_(std::move(names)),
        roles_(std::move(roles)),
        text_(text),
        line_(std::move(first_row)) {}

  Result<Got> next(Row& out) override {
    const auto more = split_next();
    if (!more) return tl::unexpected(more.error());
    if (!*more) return Got::end;
    out.line = reader_.number();
    out.x.clear();
    out.texts.clear();
    out.label.clear();
    out.labelled = false;
    for (std::size_t i = 0; i < fields_.size(); ++i) {
      const std::string_view field = fields_[i];
      if (roles_[i] != Role::feature) {
        if (roles_[i] == Role::label) {
          out.labelled = !field.empty();
          out.label = field;
        }
        continue;
      }
      double value = 0;
      bool too_large = false;
      const bool number = parse_number(field, value, too_large);
      if (!number ? is_missing(field) : std::isnan(value)) {
        out.x.push_back(std::numeric_limits<float>::quiet_NaN());
        continue;
      }
      if (!number) {
        if (!text_) {
          return at_column(
              i, fmt::format("\"{}\" is no number; code categories as 0, 1, 2, ... and leave "
                             "missing values empty",
                             field.substr(0, 64)));
        }
        out.texts.push_back({static_cast<std::uint32_t>(out.x.size()), std::string(field)});
        out.x.push_back(std::numeric_limits<float>::quiet_NaN());
        continue;
      }
      if (too_large || std::abs(value) > static_cast<double>(std::numeric_limits<float>::max())) {
        return at_column(i,
                         fmt::format("\"{}\" is not finite; leave the field empty if it is missing",
                                     field.substr(0, 64)));
      }
      out.x.push_back(static_cast<float>(value));
    }
    return Got::row;
  }

  Result<std::uint64_t> skip(std::uint64_t rows) override {
    for (std::uint64_t done = 0; done < rows; ++done) {
      const auto more = split_next();
      if (!more) return tl::unexpected(more.error());
      if (!*more) return done;
    }
    return rows;
  }

  std::uint32_t features() const override {
    return static_cast<std::uint32_t>(std::count(roles_.begin(), roles_.end(), Role::feature));
  }
  std::vector<std::string> feature_names() const override {
    std::vector<std::string> out;
    for (std::size_t i = 0; i < names_.size(); ++i) {
      if (roles_[i] == Role::feature) out.push_back(names_[i]);
    }
    return out;
  }

 private:
  /// The fields of the next line that is not empty; false at the end.
  Result<bool> split_next() {
    while (started_ || trim(line_).empty()) {
      started_ = true;
      const auto more = reader_.next(line_);
      if (!more) return tl::unexpected(more.error());
      if (!*more) return false;
      if (!trim(line_).empty()) break;
    }
    started_ = true;
    if (!fields_.split(line_, separator_)) {
      return fail(
          ErrorCode::malformed,
          fmt::format(
              "{}, line {}: a quoted field is not closed on its line; fields with line breaks "
              "are not supported",
              reader_.path(), reader_.number()));
    }
    if (fields_.size() != names_.size()) {
      return fail(
          ErrorCode::malformed,
          fmt::format("{}, line {}: {} fields where the header has {}; mend or remove the line",
                      reader_.path(), reader_.number(), fields_.size(), names_.size()));
    }
    return true;
  }

  tl::unexpected<Error> at_column(std::size_t column, const std::string& what) const {
    return fail(ErrorCode::malformed,
                fmt::format("{}, line {}, column {} ({}): {}", reader_.path(), reader_.number(),
                            column + 1, names_[column], what));
  }

  LineReader reader_;
  char separator_;
  std::vector<std::string> names_;
  std::vector<Role> roles_;
  bool text_;
  bool started_ = false;
  std::string line_;
  Fields fields_;
};

/// Numbers like 0.25, or a number twice, are the first row of a file without a header.
bool looks_like_data(const std::vector<std::string>& names) {
  std::set<std::string_view> distinct;
  bool fraction = false, all_numbers = true, repeated = false;
  for (const auto& name : names) {
    double value = 0;
    bool too_large = false;
    const bool number = parse_number(name, value, too_large);
    all_numbers = all_numbers && number;
    fraction = fraction || (number && value != std::floor(value));
    repeated = repeated || (!distinct.insert(name).second && number);
  }
  return repeated || (fraction && all_numbers);
}

}  // namespace

Result<std::unique_ptr<SampleSource>> open_csv(const CsvOptions& options) {
  auto stream = ByteStream::open(options.path);
  if (!stream) return tl::unexpected(stream.error());
  LineReader reader(std::move(*stream));
  std::string header;
  while (true) {
    const auto more = reader.next(header);
    if (!more) return tl::unexpected(more.error());
    if (!*more) {
      return fail(ErrorCode::malformed,
                  fmt::format("{} is empty; the first line must name the columns", options.path));
    }
    if (header.starts_with("\xEF\xBB\xBF")) header.erase(0, 3);
    if (!trim(header).empty()) break;
  }
  if (header.find('\0') != std::string::npos) {
    return fail(ErrorCode::malformed,
                fmt::format("{}, line {}: the header has zero bytes; this is no CSV text",
                            options.path, reader.number()));
  }
  char separator = ',';
  for (const char candidate : {';', '\t'}) {
    if (std::count(header.begin(), header.end(), candidate) >
        std::count(header.begin(), header.end(), separator)) {
      separator = candidate;
    }
  }
  Fields fields;
  if (!fields.split(header, separator)) {
    return fail(ErrorCode::malformed,
                fmt::format("{}, line {}: a quoted name in the header is not closed", options.path,
                            reader.number()));
  }
  std::vector<std::string> names;
  for (std::size_t i = 0; i < fields.size(); ++i) names.emplace_back(fields[i]);
  if (!options.header) {
    for (std::size_t i = 0; i < names.size(); ++i) names[i] = fmt::format("x{}", i + 1);
  } else if (looks_like_data(names)) {
    return fail(
        ErrorCode::malformed,
        fmt::format(
            "{}, line {}: this is data where a header is needed; add a first line that names the "
            "columns, or use --no-header",
            options.path, reader.number()));
  }
  const auto find_column = [&](const std::string& wanted, const char* what) -> Result<std::size_t> {
    const auto found = std::find(names.begin(), names.end(), wanted);
    if (found != names.end()) return static_cast<std::size_t>(found - names.begin());
    std::string known;
    for (std::size_t i = 0; i < names.size() && i < 20; ++i)
      known += (i == 0 ? "" : ", ") + names[i];
    return fail(ErrorCode::invalid_argument,
                fmt::format("{} has no column \"{}\" {}; its columns are {}{}", options.path,
                            wanted, what, known, names.size() > 20 ? ", ..." : ""));
  };
  std::vector<CsvSource::Role> roles(names.size(), CsvSource::Role::feature);
  for (const auto& wanted : options.ignore) {
    const auto column = find_column(wanted, "to ignore");
    if (!column) return tl::unexpected(column.error());
    roles[*column] = CsvSource::Role::ignored;
  }
  if (!options.label.empty()) {
    const auto column = find_column(options.label, "for the label");
    if (!column) return tl::unexpected(column.error());
    roles[*column] = CsvSource::Role::label;
  } else if (!options.unlabelled) {
    roles.back() = CsvSource::Role::label;
  }
  if (names.size() < (options.unlabelled ? 1u : 2u)) {
    return fail(
        ErrorCode::malformed,
        fmt::format("{}, line {}: one column only; at least a feature and a label are needed",
                    options.path, reader.number()));
  }
  if (std::count(roles.begin(), roles.end(), CsvSource::Role::feature) == 0) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{}: no column is left to learn from; ignore fewer", options.path));
  }
  if (names.size() > (1u << 16)) {
    return fail(ErrorCode::limit_exceeded,
                fmt::format("{}, line {}: {} columns; at most 65536 are supported", options.path,
                            reader.number(), names.size()));
  }
  return std::unique_ptr<SampleSource>(std::make_unique<CsvSource>(
      std::move(reader), separator, std::move(names), std::move(roles), options.text,
      options.header ? std::string{} : std::move(header)));
}

}  // namespace p2p::tools

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <set>

#include "tools/data/byte_stream.hpp"
#include "tools/data/sample_source.hpp"

namespace p2p::tools {

namespace {

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool is_missing(std::string_view text) {
  static constexpr std::string_view kMissing[] = {"",    "NaN",  "nan",  "NAN", "NA",
                                                  "N/A", "null", "NULL", "?"};
  return std::find(std::begin(kMissing), std::end(kMissing), text) != std::end(kMissing);
}

/// Splits a line; quoted fields (RFC 4180) lose their quotes. False: a quote is not closed.
bool split(const std::string& line, char separator, std::vector<std::string>& fields,
           std::size_t& count) {
  count = 0;
  std::size_t at = 0;
  while (true) {
    if (count == fields.size()) fields.emplace_back();
    std::string& field = fields[count++];
    field.clear();
    std::size_t first = at;
    while (first < line.size() && line[first] == ' ' && separator != ' ') ++first;
    if (first < line.size() && line[first] == '"') {
      at = first + 1;
      while (true) {
        const auto quote = line.find('"', at);
        if (quote == std::string::npos) return false;
        field.append(line, at, quote - at);
        at = quote + 1;
        if (at < line.size() && line[at] == '"') {
          field.push_back('"');
          ++at;
          continue;
        }
        break;
      }
      const auto next = line.find(separator, at);
      if (next == std::string::npos) return true;
      at = next + 1;
    } else {
      const auto next = line.find(separator, at);
      field.append(
          trim(std::string_view(line).substr(at, next == std::string::npos ? next : next - at)));
      if (next == std::string::npos) return true;
      at = next + 1;
    }
  }
}

bool parse_number(std::string_view text, double& value, bool& too_large) {
  too_large = false;
  if (!text.empty() && text.front() == '+') text.remove_prefix(1);
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end != text.data() + text.size() || text.empty()) return false;
  if (status == std::errc::result_out_of_range) {
    // Too small is 0, near enough; too large is no number that a model could take.
    const auto e = text.find_first_of("eE");
    too_large = e == std::string_view::npos || text.substr(e + 1, 1) != "-";
    value = 0;
    return true;
  }
  return status == std::errc{};
}

class CsvSource final : public SampleSource {
 public:
  CsvSource(LineReader reader, char separator, std::vector<std::string> names,
            std::size_t label_column)
      : reader_(std::move(reader)),
        separator_(separator),
        names_(std::move(names)),
        label_column_(label_column) {}

  Result<Got> next(Row& out) override {
    const auto count = split_next();
    if (!count) return tl::unexpected(count.error());
    if (*count == 0) return Got::end;
    out.line = reader_.number();
    out.x.clear();
    out.label.clear();
    out.labelled = false;
    for (std::size_t i = 0; i < *count; ++i) {
      const std::string& field = fields_[i];
      if (i == label_column_) {
        out.labelled = !field.empty();
        out.label = field;
        continue;
      }
      if (is_missing(field)) {
        out.x.push_back(std::numeric_limits<float>::quiet_NaN());
        continue;
      }
      double value = 0;
      bool too_large = false;
      if (!parse_number(field, value, too_large)) {
        return at_column(
            i, fmt::format("\"{}\" is no number; code categories as 0, 1, 2, ... and leave "
                           "missing values empty",
                           field.substr(0, 64)));
      }
      if (std::isnan(value)) {
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
      const auto count = split_next();
      if (!count) return tl::unexpected(count.error());
      if (*count == 0) return done;
    }
    return rows;
  }

  std::uint32_t features() const override {
    return static_cast<std::uint32_t>(names_.size() - (label_column_ < names_.size() ? 1 : 0));
  }
  std::vector<std::string> feature_names() const override {
    std::vector<std::string> out;
    for (std::size_t i = 0; i < names_.size(); ++i) {
      if (i != label_column_) out.push_back(names_[i]);
    }
    return out;
  }

 private:
  /// Number of fields of the next line that is not empty; 0 at the end.
  Result<std::size_t> split_next() {
    while (true) {
      const auto more = reader_.next(line_);
      if (!more) return tl::unexpected(more.error());
      if (!*more) return std::size_t{0};
      if (!trim(line_).empty()) break;
    }
    std::size_t count = 0;
    if (!split(line_, separator_, fields_, count)) {
      return fail(
          ErrorCode::malformed,
          fmt::format(
              "{}, line {}: a quoted field is not closed on its line; fields with line breaks "
              "are not supported",
              reader_.path(), reader_.number()));
    }
    if (count != names_.size()) {
      return fail(
          ErrorCode::malformed,
          fmt::format("{}, line {}: {} fields where the header has {}; mend or remove the line",
                      reader_.path(), reader_.number(), count, names_.size()));
    }
    return count;
  }

  tl::unexpected<Error> at_column(std::size_t column, const std::string& what) const {
    return fail(ErrorCode::malformed,
                fmt::format("{}, line {}, column {} ({}): {}", reader_.path(), reader_.number(),
                            column + 1, names_[column], what));
  }

  LineReader reader_;
  char separator_;
  std::vector<std::string> names_;
  std::size_t label_column_;
  std::string line_;
  std::vector<std::string> fields_;
};

/// A header of numbers like 0.25 or with the same number twice is the first row of a file without a
/// header.
bool looks_like_data(const std::vector<std::string>& names) {
  std::set<std::string> distinct;
  bool fraction = false;
  for (const auto& name : names) {
    double value = 0;
    bool too_large = false;
    if (!parse_number(name, value, too_large)) return false;
    fraction = fraction || value != std::floor(value);
    distinct.insert(name);
  }
  return fraction || distinct.size() < names.size();
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
  std::vector<std::string> names;
  std::size_t count = 0;
  if (!split(header, separator, names, count)) {
    return fail(ErrorCode::malformed,
                fmt::format("{}, line {}: a quoted name in the header is not closed", options.path,
                            reader.number()));
  }
  names.resize(count);
  if (looks_like_data(names)) {
    return fail(
        ErrorCode::malformed,
        fmt::format(
            "{}, line {}: this is data where a header is needed; add a first line that names the "
            "columns",
            options.path, reader.number()));
  }
  std::size_t label_column = options.unlabelled ? names.size() : names.size() - 1;
  if (!options.label.empty()) {
    const auto found = std::find(names.begin(), names.end(), options.label);
    if (found == names.end()) {
      std::string known;
      for (std::size_t i = 0; i < names.size() && i < 20; ++i)
        known += (i == 0 ? "" : ", ") + names[i];
      return fail(
          ErrorCode::invalid_argument,
          fmt::format("{} has no column \"{}\" for the label; its columns are {}{}", options.path,
                      options.label, known, names.size() > 20 ? ", ..." : ""));
    }
    label_column = static_cast<std::size_t>(found - names.begin());
  }
  if (names.size() < (options.unlabelled ? 1u : 2u)) {
    return fail(
        ErrorCode::malformed,
        fmt::format("{}, line {}: one column only; at least a feature and a label are needed",
                    options.path, reader.number()));
  }
  if (names.size() > (1u << 16)) {
    return fail(ErrorCode::limit_exceeded,
                fmt::format("{}, line {}: {} columns; at most 65536 are supported", options.path,
                            reader.number(), names.size()));
  }
  return std::unique_ptr<SampleSource>(
      std::make_unique<CsvSource>(std::move(reader), separator, std::move(names), label_column));
}

}  // namespace p2p::tools

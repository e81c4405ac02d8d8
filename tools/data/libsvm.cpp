// Reference: Joachims' svmlight format as LIBSVM writes it: "label index:value index:value ... #
// comment", indices from 1, increasing; what is not named is 0.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "tools/data/byte_stream.hpp"
#include "tools/data/numbers.hpp"
#include "tools/data/sample_source.hpp"

namespace p2p::tools {

namespace {

constexpr std::uint32_t kMaxFeatures = 1u << 16;

/// The words of a line; a comment ends it.
class Words {
 public:
  explicit Words(std::string_view line) : rest_(line.substr(0, line.find('#'))) {}

  /// Empty at the end.
  std::string_view next() {
    const auto begin = rest_.find_first_not_of(" \t");
    if (begin == std::string_view::npos) return {};
    const auto end = std::min(rest_.find_first_of(" \t", begin), rest_.size());
    const auto word = rest_.substr(begin, end - begin);
    rest_.remove_prefix(end);
    return word;
  }

 private:
  std::string_view rest_;
};

bool is_whole(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// Numbers alone, three or more: the header "rows features classes first" that some online-forest
/// sets have.
bool is_header(std::string_view line) {
  Words words(line);
  std::size_t count = 0;
  for (auto word = words.next(); !word.empty(); word = words.next(), ++count) {
    if (!is_whole(word)) return false;
  }
  return count >= 3;
}

class LibsvmSource final : public SampleSource {
 public:
  LibsvmSource(LineReader reader, std::uint32_t features)
      : reader_(std::move(reader)), features_(features) {}

  Result<Got> next(Row& out) override {
    while (true) {
      const auto more = reader_.next(line_);
      if (!more) return tl::unexpected(more.error());
      if (!*more) return Got::end;
      Words words(line_);
      auto word = words.next();
      if (word.empty() || (reader_.number() == 1 && is_header(line_))) continue;
      out.line = reader_.number();
      out.texts.clear();
      out.x.assign(features_, 0.f);
      out.labelled = word.find(':') == std::string_view::npos;
      out.label = out.labelled ? word : std::string_view{};
      if (out.labelled) word = words.next();
      if (auto ok = values(words, word, out); !ok) return tl::unexpected(ok.error());
      return Got::row;
    }
  }
  std::uint32_t features() const override { return features_; }

 private:
  Result<void> values(Words& words, std::string_view word, Row& out) const {
    std::uint32_t before = 0;
    for (; !word.empty(); word = words.next()) {
      const auto colon = word.find(':');
      if (word.starts_with("qid:")) continue;  // groups of a ranking; they say nothing of a class
      std::uint32_t index = 0;
      double value = 0;
      bool too_large = false;
      const auto number = word.substr(0, colon);
      const auto [end, status] =
          std::from_chars(number.data(), number.data() + number.size(), index);
      if (colon == std::string_view::npos || status != std::errc{} ||
          end != number.data() + number.size() ||
          !parse_number(word.substr(colon + 1), value, too_large)) {
        return refuse(fmt::format("\"{}\" is not INDEX:VALUE", word.substr(0, 64)));
      }
      if (index == 0) return refuse("index 0; indices start at 1 in this format");
      if (index <= before)
        return refuse(fmt::format("index {} after {}; indices must increase", index, before));
      if (index > features_) {
        return refuse(
            fmt::format("index {} where {} features are expected; say how many with --features",
                        index, features_));
      }
      if (too_large || std::abs(value) > static_cast<double>(std::numeric_limits<float>::max())) {
        return refuse(fmt::format("the value of index {} is not finite", index));
      }
      before = index;
      out.x[index - 1] = static_cast<float>(value);
    }
    return {};
  }
  tl::unexpected<Error> refuse(const std::string& what) const {
    return fail(ErrorCode::malformed,
                fmt::format("{}, line {}: {}", reader_.path(), reader_.number(), what));
  }

  LineReader reader_;
  std::uint32_t features_;
  std::string line_;
};

/// The largest index in the file; indices increase, so the last of each line is enough.
Result<std::uint32_t> count_features(const std::string& path) {
  auto stream = ByteStream::open(path);
  if (!stream) return tl::unexpected(stream.error());
  LineReader reader(std::move(*stream));
  std::string line;
  std::uint32_t most = 0;
  while (true) {
    const auto more = reader.next(line);
    if (!more) return tl::unexpected(more.error());
    if (!*more) break;
    const auto text = std::string_view(line).substr(0, line.find('#'));
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) continue;
    const auto blank = text.find_last_of(" \t", colon);
    const auto begin = blank == std::string_view::npos ? 0 : blank + 1;
    std::uint64_t index = 0;
    const auto [end, status] = std::from_chars(text.data() + begin, text.data() + colon, index);
    if (status != std::errc{} || end != text.data() + colon)
      continue;  // the reading pass says what is wrong
    if (index > kMaxFeatures) {
      return fail(ErrorCode::limit_exceeded,
                  fmt::format("{}, line {}: index {}; at most {} features are supported", path,
                              reader.number(), index, kMaxFeatures));
    }
    most = std::max(most, static_cast<std::uint32_t>(index));
  }
  if (most == 0) {
    return fail(ErrorCode::malformed,
                fmt::format("{} has no INDEX:VALUE at all; is it a libsvm file?", path));
  }
  return most;
}

}  // namespace

Result<std::unique_ptr<SampleSource>> open_libsvm(const std::string& path, std::uint32_t features) {
  if (features > kMaxFeatures) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{} features; at most {} are supported", features, kMaxFeatures));
  }
  if (features == 0) {
    const auto found = count_features(path);
    if (!found) return tl::unexpected(found.error());
    features = *found;
  }
  auto stream = ByteStream::open(path);
  if (!stream) return tl::unexpected(stream.error());
  return std::unique_ptr<SampleSource>(
      std::make_unique<LibsvmSource>(LineReader(std::move(*stream)), features));
}

}  // namespace p2p::tools

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "tools/data/byte_stream.hpp"
#include "tools/data/sample_source.hpp"

namespace p2p::tools {

namespace {

using nlohmann::json;

/// Python's json module and others write missing numbers as bare NaN, which JSON does not have.
std::string without_bare_nan(const std::string& line) {
  std::string out;
  out.reserve(line.size() + 16);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted && c == '\\' && i + 1 < line.size()) {
      out.push_back(c);
      out.push_back(line[++i]);
      continue;
    }
    if (c == '"') quoted = !quoted;
    if (!quoted && line.compare(i, 3, "NaN") == 0) {
      out += "null";
      i += 2;
      continue;
    }
    out.push_back(c);
  }
  return out;
}

constexpr std::size_t kMaxTicket = 64;

/// `y`: what a line has under "y".
Result<void> decode_label(const json& y, Row& out) {
  if (y.is_string()) {
    out.label = y.get<std::string>();
  } else if (y.is_number_integer()) {
    out.label = y.dump();
  } else {
    return fail(ErrorCode::malformed, "\"y\" is neither a class name, nor an index, nor null (null: predict only)");
  }
  out.labelled = true;
  return {};
}

Result<void> decode_late(const json& parsed, Row& out) {
  const auto& ticket = parsed["ticket"];
  if (!ticket.is_string() || ticket.get_ref<const std::string&>().empty() ||
      ticket.get_ref<const std::string&>().size() > kMaxTicket) {
    return fail(ErrorCode::malformed, "\"ticket\" is not the text that the sample's prediction line gave as its ticket");
  }
  if (parsed.size() != 2 || !parsed.contains("y") || parsed["y"].is_null()) {
    return fail(ErrorCode::malformed,
                "a label that comes late has its sample's ticket and the class, and nothing else: "
                "{\"ticket\": \"...\", \"y\": \"class\"}");
  }
  out.ticket = ticket.get<std::string>();
  return decode_label(parsed["y"], out);
}

Result<void> decode(const std::string& line, bool text, Row& out) {
  json parsed = json::parse(line, nullptr, false);
  if (parsed.is_discarded() && line.find("NaN") != std::string::npos) {
    parsed = json::parse(without_bare_nan(line), nullptr, false);
  }
  if (parsed.is_discarded()) {
    return fail(
        ErrorCode::malformed,
        "this is not JSON; each line must be one object like {\"x\": [0.5, 1], \"y\": \"class\"}");
  }
  out.x.clear();
  out.texts.clear();
  out.label.clear();
  out.ticket.clear();
  out.labelled = false;
  if (parsed.is_object() && parsed.contains("ticket")) return decode_late(parsed, out);
  if (!parsed.is_object() || !parsed.contains("x") || !parsed["x"].is_array()) {
    return fail(ErrorCode::malformed,
                "there is no array \"x\"; each line must be one object like "
                "{\"x\": [0.5, 1], \"y\": \"class\"}");
  }
  for (const auto& [key, value] : parsed.items()) {
    if (key != "x" && key != "y") {
      return fail(
          ErrorCode::malformed,
          fmt::format("unknown member \"{}\"; only \"x\" and \"y\" are read", key.substr(0, 64)));
    }
  }
  for (const auto& value : parsed["x"]) {
    if (text && value.is_string()) {
      out.texts.push_back({static_cast<std::uint32_t>(out.x.size()), value.get<std::string>()});
      out.x.push_back(std::numeric_limits<float>::quiet_NaN());
      continue;
    }
    if (value.is_null()) {
      out.x.push_back(std::numeric_limits<float>::quiet_NaN());
      continue;
    }
    const double number =
        value.is_number() ? value.get<double>() : std::numeric_limits<double>::infinity();
    if (!(std::abs(number) <= static_cast<double>(std::numeric_limits<float>::max()))) {
      return fail(
          ErrorCode::malformed,
          fmt::format("element {} of \"x\" is no finite number; write null where one is missing",
                      out.x.size()));
    }
    out.x.push_back(static_cast<float>(number));
  }
  if (!parsed.contains("y") || parsed["y"].is_null()) return {};
  return decode_label(parsed["y"], out);
}

class JsonLineSource final : public SampleSource {
 public:
  JsonLineSource(int fd, bool text) : fd_(fd), text_(text) {}

  Result<Got> next(Row& out) override {
    while (true) {
      auto end = buffer_.find('\n', scanned_);
      if (end == std::string::npos) {
        scanned_ = buffer_.size();
        if (scanned_ - begin_ > LineReader::kMaxLineBytes) {
          begin_ = scanned_;  // forget it, and its rest as it comes
          if (!overlong_) {
            overlong_ = true;
            return fail(ErrorCode::limit_exceeded,
                        fmt::format("line {}: longer than {} bytes; it is skipped", line_ + 1,
                                    LineReader::kMaxLineBytes));
          }
        }
        if (ended_) {
          if (begin_ == buffer_.size() || overlong_) return Got::end;
          end = buffer_.size();  // a last line without an end
        } else {
          const auto more = fill();
          if (!more) return tl::unexpected(more.error());
          if (!*more) return Got::wait;
          continue;
        }
      }
      std::string line = buffer_.substr(begin_, end - begin_);
      begin_ = scanned_ = std::min(end + 1, buffer_.size());
      ++line_;
      if (overlong_) {
        overlong_ = false;
        continue;
      }
      if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
      out.line = line_;
      if (auto ok = decode(line, text_, out); !ok) {
        Error error = ok.error();
        error.message = fmt::format("line {}: {}", line_, error.message);
        return tl::unexpected(std::move(error));
      }
      return Got::row;
    }
  }

  int wait_fd() const override { return fd_; }
  bool goes_on_after_error() const override { return !broken_; }
  std::uint32_t features() const override { return 0; }

 private:
  /// False: nothing to read just now.
  Result<bool> fill() {
    buffer_.erase(0, begin_);
    scanned_ -= begin_;
    begin_ = 0;
    std::array<char, 64 * 1024> chunk;
    while (true) {
      const ssize_t n = ::read(fd_, chunk.data(), chunk.size());
      if (n > 0) {
        buffer_.append(chunk.data(), static_cast<std::size_t>(n));
        return true;
      }
      if (n == 0) {
        ended_ = true;
        return true;
      }
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
      broken_ = true;
      return fail(ErrorCode::io, "cannot read the input; is it open?", std::strerror(errno));
    }
  }

  int fd_;
  bool text_;
  std::string buffer_;
  std::size_t begin_ = 0, scanned_ = 0;
  std::uint64_t line_ = 0;
  bool ended_ = false, overlong_ = false, broken_ = false;
};

class JsonFileSource final : public SampleSource {
 public:
  explicit JsonFileSource(LineReader reader) : reader_(std::move(reader)) {}

  Result<Got> next(Row& out) override {
    do {
      const auto more = reader_.next(line_);
      if (!more) return tl::unexpected(more.error());
      if (!*more) return Got::end;
    } while (line_.find_first_not_of(" \t") == std::string::npos);
    out.line = reader_.number();
    if (auto ok = decode(line_, true, out); !ok) {
      return fail(ok.error().code,
                  fmt::format("{}, line {}: {}", reader_.path(), out.line, ok.error().message));
    }
    if (!out.ticket.empty()) {
      return fail(ErrorCode::malformed,
                  fmt::format("{}, line {}: a label that comes late, by \"ticket\", is for a running node alone, on its "
                              "standard input; in a file write \"y\" beside the sample's \"x\"",
                              reader_.path(), out.line));
    }
    return Got::row;
  }
  std::uint32_t features() const override { return 0; }

 private:
  LineReader reader_;
  std::string line_;
};

}  // namespace

Result<std::unique_ptr<SampleSource>> open_json(const std::string& path) {
  auto stream = ByteStream::open(path);
  if (!stream) return tl::unexpected(stream.error());
  return std::unique_ptr<SampleSource>(
      std::make_unique<JsonFileSource>(LineReader(std::move(*stream))));
}

std::unique_ptr<SampleSource> json_lines(int fd, bool text) {
  return std::make_unique<JsonLineSource>(fd, text);
}

}  // namespace p2p::tools

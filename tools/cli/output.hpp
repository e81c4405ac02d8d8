// The two ways out: JSON lines on stdout, words for people on stderr.
#pragma once

#include <atomic>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace p2p::tools {

/// Members keep the order in which they were written: that is how people read them.
using Json = nlohmann::ordered_json;

/// One line of text; bytes that are no UTF-8 are replaced, never thrown at.
std::string to_line(const Json& value);

/// Collects lines and writes them in large pieces; whole lines only.
///
/// Thread: its owner's. When the reader is slow, flush() waits: that is the back-pressure on the
/// stream.
class LineWriter {
 public:
  explicit LineWriter(int fd) : fd_(fd) {}
  void put(const Json& value);
  /// False once the reader has gone away; nothing is written any more.
  bool flush();
  bool closed() const { return closed_; }

 private:
  int fd_;
  bool closed_ = false;
  std::string pending_;
};

enum class LogLevel { error, warning, info, debug };
/// Messages above this level are dropped; the default is `info`.
void set_log_level(LogLevel level);
/// "p2p-learner: text" on stderr. Thread: any.
void log(LogLevel level, std::string_view text);

}  // namespace p2p::tools

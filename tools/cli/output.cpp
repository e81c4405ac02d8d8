#include "tools/cli/output.hpp"

#include <poll.h>
#include <unistd.h>

#include <cerrno>

namespace p2p::tools {

namespace {
constexpr std::size_t kFlushAt = 64 * 1024;
std::atomic<LogLevel> log_level{LogLevel::info};

/// False when the other end is closed or broken.
bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n >= 0) {
      text.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      pollfd ready{fd, POLLOUT, 0};
      ::poll(&ready, 1, -1);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}
}  // namespace

std::string to_line(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void LineWriter::put(const Json& value) {
  if (closed_) return;
  pending_ += to_line(value);
  pending_ += '\n';
  if (pending_.size() >= kFlushAt) flush();
}

bool LineWriter::flush() {
  if (!closed_ && !write_all(fd_, pending_)) closed_ = true;
  pending_.clear();
  return !closed_;
}

void set_log_level(LogLevel level) { log_level = level; }

void log(LogLevel level, std::string_view text) {
  if (level > log_level.load()) return;
  std::string line = "p2p-learner: ";
  if (level == LogLevel::warning) line += "warning: ";
  if (level == LogLevel::error) line += "error: ";
  line += text;
  line += '\n';
  write_all(STDERR_FILENO, line);
}

}  // namespace p2p::tools

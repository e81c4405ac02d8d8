// Child processes that cannot outlive their parent, read line by line.
#pragma once

#include <sys/types.h>

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "metadata/base/error.hpp"

namespace p2p::tools {

/// Cuts a byte stream into lines. A line of more than `kMaxLine` is cut there, so a child that
/// never ends its line cannot fill our memory.
class LineCutter {
 public:
  static constexpr std::size_t kMaxLine = 1u << 20;
  /// Calls `line` for each line that is complete now, without its end.
  void add(std::string_view bytes, const std::function<void(std::string_view)>& line);
  /// What came after the last line end; the cutter is empty then.
  std::string rest();

 private:
  std::string pending_;
};

/// One child with both its outputs on pipes.
///
/// It runs in a process group of its own, so Ctrl-C at the terminal reaches only us, and we end it
/// in order; it dies with us however we die (PR_SET_PDEATHSIG), so nothing is left running after a
/// kill -9 either. Thread: one. The destructor kills and reaps what still runs.
class ChildProcess {
 public:
  /// argv[0] is the file to run. The child's standard input is empty. `io` when it cannot be
  /// started.
  static Result<ChildProcess> start(const std::vector<std::string>& argv);
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ~ChildProcess();

  pid_t pid() const { return pid_; }
  /// Descriptors to poll; -1 once they have ended.
  int out_fd() const { return out_; }
  int err_fd() const { return err_; }

  /// Reads what is there, without waiting, and hands over the complete lines of its standard
  /// output.
  void read_out(const std::function<void(std::string_view)>& line);
  /// The same for its error output, of which the last lines are kept.
  void read_err();
  const std::deque<std::string>& last_errors() const { return errors_; }
  static constexpr std::size_t kErrorLines = 8;

  void signal(int number) const;
  /// True once it has ended; reaps it then.
  bool ended();
  /// "exit status 3", "killed by signal 9 (Killed)"; empty while it runs.
  std::string how_it_ended() const;
  /// Exit status; nothing while it runs or when a signal ended it.
  std::optional<int> exit_status() const;

 private:
  ChildProcess() = default;
  void take(ChildProcess& other) noexcept;
  void finish() noexcept;

  pid_t pid_ = -1;
  bool reaped_ = false;
  int status_ = 0;
  int out_ = -1, err_ = -1;
  LineCutter out_lines_, err_lines_;
  std::deque<std::string> errors_;
};

/// SIGINT and SIGTERM as a descriptor while it lives, and SIGPIPE ignored. One at a time.
class SignalWatch {
 public:
  SignalWatch();
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;
  int fd() const { return fd_; }
  /// Signals that came since the last call.
  int take();

 private:
  int fd_ = -1;
};

}  // namespace p2p::tools

#include "tools/demo_cmd/process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace p2p::tools {
namespace {

void close_fd(int& fd) {
  if (fd >= 0) ::close(fd);
  fd = -1;
}

/// Reads until nothing is there now; false once the other end is closed.
bool drain(int fd, const std::function<void(std::string_view)>& bytes) {
  char buffer[65536];
  for (;;) {
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n > 0) {
      bytes({buffer, static_cast<std::size_t>(n)});
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
  }
}

struct Pipe {
  int read = -1, write = -1;
  bool open() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) return false;
    read = fds[0];
    write = fds[1];
    return true;
  }
  ~Pipe() {
    close_fd(read);
    close_fd(write);
  }
};

/// Between fork and exec: only async-signal-safe calls.
[[noreturn]] void become(char* const* argv, pid_t parent, int out, int err) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);  // it died before the line above took effect
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  ::sigaction(SIGPIPE, &standard, nullptr);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int nothing = ::open("/dev/null", O_RDONLY);
  ::dup2(nothing, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  ::execv(argv[0], argv);
  const char* why = std::strerror(errno);
  (void)!::write(STDERR_FILENO, why, std::strlen(why));
  (void)!::write(STDERR_FILENO, "\n", 1);
  ::_exit(127);
}

}  // namespace

void LineCutter::add(std::string_view bytes, const std::function<void(std::string_view)>& line) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    pending_.append(bytes.substr(0, end));
    if (end == std::string_view::npos) {
      if (pending_.size() <= kMaxLine) return;
      bytes = {};
    } else {
      bytes.remove_prefix(end + 1);
    }
    std::string whole;
    std::swap(whole, pending_);
    line(whole);
  }
}

std::string LineCutter::rest() { return std::exchange(pending_, {}); }

Result<ChildProcess> ChildProcess::start(const std::vector<std::string>& argv) {
  Pipe out, err;
  if (!out.open() || !err.open()) {
    return fail(
        ErrorCode::io,
        "no pipe to a child process could be made: raise the limit of open files (ulimit -n)",
        std::strerror(errno));
  }
  std::vector<char*> arguments;
  for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) {
    return fail(ErrorCode::io,
                "a child process could not be started: see the limits on processes and memory",
                std::strerror(errno));
  }
  if (pid == 0) become(arguments.data(), parent, out.write, err.write);
  ChildProcess child;
  child.pid_ = pid;
  child.out_ = std::exchange(out.read, -1);
  child.err_ = std::exchange(err.read, -1);
  for (const int fd : {child.out_, child.err_})
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  return child;
}

void ChildProcess::take(ChildProcess& other) noexcept {
  pid_ = std::exchange(other.pid_, -1);
  reaped_ = other.reaped_;
  status_ = other.status_;
  out_ = std::exchange(other.out_, -1);
  err_ = std::exchange(other.err_, -1);
  out_lines_ = std::move(other.out_lines_);
  err_lines_ = std::move(other.err_lines_);
  errors_ = std::move(other.errors_);
}

void ChildProcess::finish() noexcept {
  if (pid_ > 0 && !reaped_) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, &status_, 0);
    reaped_ = true;
  }
  close_fd(out_);
  close_fd(err_);
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept { take(other); }

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this != &other) {
    finish();
    take(other);
  }
  return *this;
}

ChildProcess::~ChildProcess() { finish(); }

void ChildProcess::read_out(const std::function<void(std::string_view)>& line) {
  if (out_ < 0) return;
  if (!drain(out_, [&](std::string_view bytes) { out_lines_.add(bytes, line); })) {
    close_fd(out_);
    if (const std::string rest = out_lines_.rest(); !rest.empty()) line(rest);
  }
}

void ChildProcess::read_err() {
  if (err_ < 0) return;
  const auto keep = [&](std::string_view line) {
    errors_.emplace_back(line);
    if (errors_.size() > kErrorLines) errors_.pop_front();
  };
  if (!drain(err_, [&](std::string_view bytes) { err_lines_.add(bytes, keep); })) {
    close_fd(err_);
    if (const std::string rest = err_lines_.rest(); !rest.empty()) keep(rest);
  }
}

void ChildProcess::signal(int number) const {
  if (pid_ > 0 && !reaped_) ::kill(pid_, number);
}

bool ChildProcess::ended() {
  if (reaped_ || pid_ <= 0) return true;
  if (::waitpid(pid_, &status_, WNOHANG) == pid_) reaped_ = true;
  return reaped_;
}

std::optional<int> ChildProcess::exit_status() const {
  if (!reaped_ || !WIFEXITED(status_)) return std::nullopt;
  return WEXITSTATUS(status_);
}

std::string ChildProcess::how_it_ended() const {
  if (!reaped_) return {};
  if (WIFEXITED(status_)) return fmt::format("exit status {}", WEXITSTATUS(status_));
  return fmt::format("killed by signal {} ({})", WTERMSIG(status_), ::strsignal(WTERMSIG(status_)));
}

SignalWatch::SignalWatch() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGHUP);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  fd_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  ::signal(SIGPIPE, SIG_IGN);
}

SignalWatch::~SignalWatch() {
  take();
  close_fd(fd_);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGHUP);
  ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
}

int SignalWatch::take() {
  int count = 0;
  signalfd_siginfo info{};
  while (fd_ >= 0 && ::read(fd_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) ++count;
  return count;
}

}  // namespace p2p::tools

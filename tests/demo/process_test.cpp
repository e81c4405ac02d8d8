#include "tools/demo_cmd/process.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <functional>

using namespace p2p;
using namespace p2p::tools;

namespace {

/// Polls until `done` or ten seconds have passed.
bool eventually(const std::function<bool()>& done) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (std::chrono::steady_clock::now() < until) {
    if (done()) return true;
    ::poll(nullptr, 0, 5);
  }
  return done();
}

struct Reader {
  ChildProcess child;
  std::vector<std::string> lines;
  bool finished() {
    child.read_out([this](std::string_view line) { lines.emplace_back(line); });
    child.read_err();
    return child.out_fd() < 0 && child.err_fd() < 0 && child.ended();
  }
};

Reader shell(const std::string& script) { return {*ChildProcess::start({"/bin/sh", "-c", script}), {}}; }

}  // namespace

TEST_CASE("Lines come out whole however the bytes are cut") {
  const std::string text = "one\ntwo\n\nthree";
  for (std::size_t piece = 1; piece <= text.size(); ++piece) {
    LineCutter cutter;
    std::vector<std::string> lines;
    for (std::size_t at = 0; at < text.size(); at += piece) {
      cutter.add(std::string_view(text).substr(at, piece),
                 [&](std::string_view l) { lines.emplace_back(l); });
    }
    CHECK(lines == std::vector<std::string>{"one", "two", ""});
    CHECK(cutter.rest() == "three");
    CHECK(cutter.rest().empty());
  }
}

TEST_CASE("A line without an end is cut, so that it cannot fill the memory") {
  LineCutter cutter;
  std::size_t longest = 0, total = 0;
  const std::string piece(100'000, 'x');
  for (int i = 0; i < 50; ++i) {
    cutter.add(piece, [&](std::string_view l) {
      longest = std::max(longest, l.size());
      total += l.size();
    });
  }
  CHECK(longest <= LineCutter::kMaxLine + piece.size());
  CHECK(total + cutter.rest().size() == 50 * piece.size());
}

TEST_CASE("A child's output, last errors and exit status are told") {
  Reader reader =
      shell("echo out; for i in 1 2 3 4 5 6 7 8 9 10; do echo err $i >&2; done; printf tail; exit 3");
  REQUIRE(eventually([&] { return reader.finished(); }));
  CHECK(reader.lines == std::vector<std::string>{"out", "tail"});
  REQUIRE(reader.child.last_errors().size() == ChildProcess::kErrorLines);
  CHECK(reader.child.last_errors().back() == "err 10");
  CHECK(reader.child.how_it_ended() == "exit status 3");
  CHECK(reader.child.exit_status() == 3);
}

TEST_CASE("A child that was killed says by what") {
  Reader reader = shell("kill -9 $$");
  REQUIRE(eventually([&] { return reader.finished(); }));
  CHECK(reader.child.how_it_ended().find("signal 9") != std::string::npos);
  CHECK_FALSE(reader.child.exit_status());
}

TEST_CASE("A program that is not there ends as a child with a reason, not as an exception") {
  Reader reader{*ChildProcess::start({"/no/such/program"}), {}};
  REQUIRE(eventually([&] { return reader.finished(); }));
  CHECK(reader.child.exit_status() == 127);
  REQUIRE_FALSE(reader.child.last_errors().empty());
  CHECK(reader.child.last_errors().back().find("No such file") != std::string::npos);
}

TEST_CASE("The destructor kills and reaps what still runs, even what ignores SIGTERM") {
  pid_t pid = -1;
  {
    Reader reader = shell("trap '' TERM; echo up; while :; do sleep 1; done");
    REQUIRE(eventually([&] {
      reader.finished();
      return !reader.lines.empty();
    }));
    reader.child.signal(SIGTERM);
    pid = reader.child.pid();
    CHECK(::kill(pid, 0) == 0);
  }
  CHECK(::kill(pid, 0) == -1);  // neither running nor a zombie
}

TEST_CASE("No child outlives a parent that is killed without a chance to clean up") {
  int pipe_fds[2];
  REQUIRE(::pipe(pipe_fds) == 0);
  const pid_t parent = ::fork();
  REQUIRE(parent >= 0);
  if (parent == 0) {
    ::close(pipe_fds[0]);
    Reader reader = shell("echo up; exec sleep 60");
    // It speaks, so it is past the point where it bound its life to ours.
    const bool up = eventually([&] {
      reader.finished();
      return !reader.lines.empty();
    });
    const pid_t pid = up ? reader.child.pid() : -1;
    (void)!::write(pipe_fds[1], &pid, sizeof pid);
    ::pause();
    ::_exit(0);
  }
  // The orphan is adopted by us, so that its end can be seen.
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  ::close(pipe_fds[1]);
  pid_t grandchild = -1;
  REQUIRE(::read(pipe_fds[0], &grandchild, sizeof grandchild) == static_cast<ssize_t>(sizeof grandchild));
  ::close(pipe_fds[0]);
  REQUIRE(grandchild > 0);
  ::kill(parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  int status = 0;
  CHECK(eventually([&] { return ::waitpid(grandchild, &status, WNOHANG) == grandchild; }));
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGKILL);
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
}

TEST_CASE("Children are deaf to the terminal's Ctrl-C but hear SIGTERM") {
  SignalWatch watch;
  Reader reader = shell("echo up; exec sleep 60");
  REQUIRE(eventually([&] {
    reader.finished();
    return !reader.lines.empty();
  }));
  CHECK(::getpgid(reader.child.pid()) != ::getpgrp());
  ::kill(::getpid(), SIGINT);  // as the terminal would do; blocked and kept for the watch
  CHECK(eventually([&] { return watch.take() == 1; }));
  CHECK(watch.take() == 0);
  CHECK_FALSE(reader.child.ended());
  reader.child.signal(SIGTERM);
  CHECK(eventually([&] { return reader.finished(); }));
}

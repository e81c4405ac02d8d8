#include "overlay/net/control_socket.hpp"

#include <fstream>
#include <thread>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "support.hpp"

namespace p2p::net::test {
namespace {

/// A plain connection, for what the client function never does.
class RawClient {
 public:
  explicit RawClient(const std::string& path) : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    REQUIRE(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    const timeval limit{20, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  ~RawClient() { ::close(socket_); }
  void send(std::string_view text) { ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL); }
  /// The next line; empty when the server hung up.
  std::string line() {
    std::string out;
    for (char byte; ::recv(socket_, &byte, 1, 0) == 1 && byte != '\n';) out.push_back(byte);
    return out;
  }

 private:
  int socket_;
};

/// A server that echoes, in a loop of its own.
class Echo {
 public:
  explicit Echo(const std::string& path, ControlOptions options = {}) {
    server = loop.on([&] {
      return ControlServer::open(
          loop, path,
          [this](std::string line, ControlServer::Reply reply) {
            ++requests;
            if (line == "later") {
              timer = loop.after(20ms, [reply = std::move(reply)] { reply("now"); });
            } else if (line == "never") {
              held.push_back(std::move(reply));
            } else if (line == "large") {
              reply(std::string(5'000'000, 'x'));
            } else if (line != "drop") {
              reply("echo " + line);
            }
          },
          options);
    });
  }
  ~Echo() {
    if (!loop.running()) return;
    loop.on([&] {
      server.reset();
      timer.reset();
      held.clear();
    });
  }
  RunningLoop loop;
  std::unique_ptr<ControlServer> server;
  overlay::Executor::TimerHandle timer;
  std::vector<ControlServer::Reply> held;
  int requests = 0;
};

/// Nobody is turned out in his first moment.
std::string once_there_is_room(const std::string& path, const std::string& request) {
  for (int attempt = 0; attempt < 200; ++attempt) {
    if (const auto answer = control_request(path, request, 20s)) return *answer;
    std::this_thread::sleep_for(10ms);
  }
  return "turned away";
}

TEST_CASE("A request gets its answer, now or later, short or long") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("control");
  Echo echo(path);
  CHECK(control_request(path, "hello", 20s).value() == "echo hello");
  CHECK(control_request(path, "", 20s).value() == "echo ");
  CHECK(control_request(path, R"({"say":"ä"})", 20s).value() == R"(echo {"say":"ä"})");
  CHECK(control_request(path, "later", 20s).value() == "now");
  CHECK(control_request(path, "large", 20s).value() == std::string(5'000'000, 'x'));
  CHECK(control_request(path, "two\nlines", 20s).error().code == ErrorCode::invalid_argument);
}

TEST_CASE("Only the owner can open the control socket") {
  const TemporaryDirectory directory;
  Echo echo(directory.file("control"));
  struct stat about {};
  REQUIRE(::lstat(directory.file("control").c_str(), &about) == 0);
  CHECK(S_ISSOCK(about.st_mode));
  CHECK((about.st_mode & 0777) == 0600);
}

TEST_CASE("Requests on one connection are answered in order, one at a time, however they arrive") {
  const TemporaryDirectory directory;
  Echo echo(directory.file("control"));
  RawClient client(directory.file("control"));
  client.send("later\none\r\ntw");
  CHECK(client.line() == "now");
  CHECK(client.line() == "echo one");
  client.send("o\n");
  CHECK(client.line() == "echo two");
}

TEST_CASE("Many clients are served at once") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("control");
  Echo echo(path);
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&, i] {
      const std::string word = "client " + std::to_string(i);
      for (int round = 0; round < 20; ++round) {
        const auto answer = control_request(path, word, 20s);
        if (answer && *answer == "echo " + word) ++right;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(right == 16 * 20);
}

TEST_CASE("A line that is too long ends its connection and reaches nobody") {
  const TemporaryDirectory directory;
  Echo echo(directory.file("control"), {.line_bytes = 100});
  RawClient fits(directory.file("control"));
  fits.send(std::string(100, 'a') + "\n");
  CHECK(fits.line() == "echo " + std::string(100, 'a'));
  RawClient client(directory.file("control"));
  client.send(std::string(101, 'a') + "\nshort\n");
  CHECK(client.line().empty());
  RawClient endless(directory.file("control"));
  endless.send(std::string(50'000, 'a'));
  CHECK(endless.line().empty());
  echo.loop.on([&] { CHECK(echo.requests == 1); });
}

TEST_CASE("A client over the bound takes the place of the one that was silent for longest; silent ones go after a while") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("control");
  Echo echo(path, {.clients = 2, .idle_timeout = 1s});
  RawClient first(path), second(path);
  second.send("b\n");
  CHECK(second.line() == "echo b");
  first.send("a\n");
  CHECK(first.line() == "echo a");
  CHECK(once_there_is_room(path, "third") == "echo third");
  CHECK(second.line().empty());
  first.send("again\n");
  CHECK(first.line() == "echo again");
  CHECK(first.line().empty());  // the idle timeout
}

TEST_CASE("Clients that ask and never read lock nobody out, and those who wait for an answer are not ended for others") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("control");
  Echo echo(path, {.clients = 4});
  std::vector<std::unique_ptr<RawClient>> deaf;
  for (int i = 0; i < 4; ++i) {
    deaf.push_back(std::make_unique<RawClient>(path));
    deaf.back()->send("large\n");
  }
  echo.loop.await("their requests", [&] { return echo.requests == 4; });
  CHECK(once_there_is_room(path, "status") == "echo status");
  deaf.clear();
  std::vector<std::unique_ptr<RawClient>> waiting;
  for (int i = 0; i < 4; ++i) {
    waiting.push_back(std::make_unique<RawClient>(path));
    waiting.back()->send("never\n");
  }
  echo.loop.await("the requests", [&] { return echo.held.size() == 4; });
  CHECK(control_request(path, "status", 20s).error().code == ErrorCode::closed);
}

TEST_CASE("A request that the node drops, or never answers, is an error and not a wait without end") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("control");
  Echo echo(path);
  CHECK(control_request(path, "drop", 20s).error().code == ErrorCode::closed);
  const auto start = std::chrono::steady_clock::now();
  CHECK(control_request(path, "never", 100ms).error().code == ErrorCode::timeout);
  CHECK(std::chrono::steady_clock::now() - start < 10s);
  echo.loop.on([&] {
    for (const auto& reply : echo.held) reply("too late");  // nobody is there: harmless
  });
  CHECK(control_request(path, "still there", 20s).value() == "echo still there");
}

TEST_CASE("A live node's control socket is `in_use`; a dead one's is replaced") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("control");
  {
    Echo live(path);
    RunningLoop other;
    const auto second = other.call_and_wait([&] { return ControlServer::open(other, path, [](auto, auto) {}); });
    REQUIRE_FALSE(second);
    CHECK(second.error().code == ErrorCode::in_use);
    CHECK(control_request(path, "unharmed", 20s).value() == "echo unharmed");
  }
  CHECK_FALSE(std::filesystem::exists(path));  // orderly end

  // What a killed process leaves behind: a bound file without a listener.
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  const int dead = ::socket(AF_UNIX, SOCK_STREAM, 0);
  REQUIRE(::bind(dead, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  ::close(dead);
  REQUIRE(std::filesystem::exists(path));
  CHECK(control_request(path, "anyone?", 1s).error().code == ErrorCode::unavailable);
  Echo next(path);
  CHECK(control_request(path, "hello", 20s).value() == "echo hello");
}

TEST_CASE("A file in the place of the control socket is not removed") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("control");
  REQUIRE(std::ofstream(path) << "precious");
  RunningLoop loop;
  const auto opened = loop.call_and_wait([&] { return ControlServer::open(loop, path, [](auto, auto) {}); });
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == ErrorCode::io);
  CHECK(opened.error().message.find("is no socket") != std::string::npos);
  CHECK(std::filesystem::file_size(path) == 8);
}

TEST_CASE("A missing socket, a missing directory and a path that is too long are told apart") {
  const TemporaryDirectory directory;
  CHECK(control_request(directory.file("none"), "x", 1s).error().code == ErrorCode::not_found);
  const std::string long_path = directory.file(std::string(120, 'p'));
  CHECK(control_request(long_path, "x", 1s).error().code == ErrorCode::invalid_argument);
  RunningLoop loop;
  const auto open = [&](const std::string& path) {
    return loop.call_and_wait([&] { return ControlServer::open(loop, path, [](auto, auto) {}); });
  };
  CHECK(open(long_path).error().code == ErrorCode::invalid_argument);
  CHECK(open(directory.file("no/control")).error().code == ErrorCode::not_found);
}

TEST_CASE("A server that goes away hangs up on its clients, also from inside its own handler") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("control");
  RunningLoop loop;
  std::unique_ptr<ControlServer> server;
  loop.on([&] {
    server = std::move(ControlServer::open(loop, path, [&](std::string, ControlServer::Reply) { server.reset(); }).value());
  });
  RawClient bystander(path);
  CHECK(control_request(path, "stop", 20s).error().code == ErrorCode::closed);
  CHECK(bystander.line().empty());
  loop.on([&] { CHECK(server == nullptr); });
  CHECK_FALSE(std::filesystem::exists(path));

  Echo echo(path);
  RawClient waiting(path);
  waiting.send("never\n");
  echo.loop.await("the request", [&] { return echo.requests == 1; });
  CHECK(echo.loop.stop());  // the loop ends under an open server
  CHECK(waiting.line().empty());
}

}  // namespace
}  // namespace p2p::net::test

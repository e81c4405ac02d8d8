#include "overlay/net/files.hpp"

#include <csignal>
#include <fstream>
#include <thread>

#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.hpp"

namespace p2p::net::test {
namespace {

void put_file(const std::string& path, std::string_view text) { std::ofstream(path, std::ios::binary) << text; }
std::string text_of(const std::string& path) { return to_string(read_file(path, 1u << 20).value()); }
unsigned mode_of(const std::string& path) {
  struct stat about {};
  REQUIRE(::stat(path.c_str(), &about) == 0);
  return about.st_mode & 07777;
}
std::size_t entries_in(const std::string& path) {
  const std::filesystem::directory_iterator all(path);
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

/// Runs `body` in a child process; its exit code.
int in_child(const std::function<int()>& body) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) ::_exit(body());
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST_CASE("A file is read whole up to its bound and refused beyond it") {
  const TemporaryDirectory directory;
  put_file(directory.file("ten"), "0123456789");
  put_file(directory.file("none"), "");
  CHECK(to_string(read_file(directory.file("ten"), 10).value()) == "0123456789");
  CHECK(read_file(directory.file("ten"), 9).error().code == ErrorCode::limit_exceeded);
  CHECK(read_file(directory.file("none"), 0).value().empty());
  const Bytes large(300'000, 7);
  REQUIRE(write_atomically(directory.file("large"), large));
  CHECK(read_file(directory.file("large"), 1u << 20).value() == large);
  // A file that says nothing of its size, and never ends.
  CHECK(read_file("/dev/zero", 100'000).error().code == ErrorCode::limit_exceeded);
}

TEST_CASE("What cannot be read is an error that names the path") {
  const TemporaryDirectory directory;
  const auto missing = read_file(directory.file("missing"), 10);
  CHECK(missing.error().code == ErrorCode::not_found);
  CHECK(missing.error().message.find(directory.file("missing")) != std::string::npos);
  CHECK(missing.error().cause == "No such file or directory");
  CHECK(read_file(directory.path(), 10).error().code == ErrorCode::invalid_argument);
}

TEST_CASE("An atomic write replaces the file, sets its mode and leaves nothing beside it") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("state");
  REQUIRE(write_atomically(path, view("first"), 0600));
  CHECK(text_of(path) == "first");
  CHECK(mode_of(path) == 0600);
  put_file(path + ".new", "a crash's left-over that is longer");
  REQUIRE(write_atomically(path, view("second"), 0640));
  CHECK(text_of(path) == "second");
  CHECK(mode_of(path) == 0640);
  REQUIRE(write_atomically(path, {}));
  CHECK(text_of(path).empty());
  CHECK(entries_in(directory.path()) == 1);
  CHECK(write_atomically(directory.file("no/such/place"), view("x")).error().code == ErrorCode::not_found);
}

TEST_CASE("A reader sees the old bytes or the new ones, whenever it looks") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("state");
  REQUIRE(write_atomically(path, Bytes(50'000, 0)));
  std::atomic<bool> over{false};
  std::thread writer([&] {
    for (int i = 1; i <= 60; ++i) CHECK(write_atomically(path, Bytes(50'000, static_cast<std::uint8_t>(i))));
    over = true;
  });
  int looked = 0, torn = 0;
  while (!over) {
    const auto bytes = read_file(path, 1u << 20);
    ++looked;
    torn += !bytes || bytes->size() != 50'000 || bytes->front() != bytes->back() ? 1 : 0;
  }
  writer.join();
  CHECK(looked > 0);
  CHECK(torn == 0);
}

TEST_CASE("With no room left, an atomic write is `full` and the old file is intact") {
  const TemporaryDirectory directory;
  SECTION("a limit on the size of files") {
    const std::string path = directory.file("state");
    REQUIRE(write_atomically(path, view("old")));
    const int code = in_child([&] {
      std::signal(SIGXFSZ, SIG_IGN);
      const rlimit limit{4096, 4096};
      if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 2;
      const auto written = write_atomically(path, Bytes(10'000, 1));
      return !written && written.error().code == ErrorCode::full ? 0 : 1;
    });
    CHECK(code == 0);
    CHECK(text_of(path) == "old");
    CHECK(entries_in(directory.path()) == 1);
  }
  SECTION("a full disk") {
    if (::mount("none", directory.path().c_str(), "tmpfs", 0, "size=64k") != 0) {
      WARN("not run: mounting a tmpfs needs privileges");
      return;
    }
    const std::string path = directory.file("state");
    const auto first = write_atomically(path, Bytes(30'000, 1));
    const auto second = write_atomically(path, Bytes(60'000, 2));
    const auto kept = read_file(path, 1u << 20);
    const auto entries = entries_in(directory.path());
    const auto third = write_atomically(path, Bytes(20'000, 3));
    ::umount(directory.path().c_str());
    CHECK(first);
    REQUIRE_FALSE(second);
    CHECK(second.error().code == ErrorCode::full);
    CHECK(second.error().cause == "No space left on device");
    CHECK(kept.value() == Bytes(30'000, 1));
    CHECK(entries == 1);
    CHECK(third);  // and the room of the failed attempt is free again
  }
}

TEST_CASE("Directories are made with those above them, and a file in the way is named") {
  const TemporaryDirectory directory;
  REQUIRE(make_directories(directory.file("a/b/c")));
  REQUIRE(make_directories(directory.file("a/b/c")));
  CHECK(mode_of(directory.file("a/b/c")) == 0700);
  put_file(directory.file("a/file"), "");
  const auto blocked = make_directories(directory.file("a/file/d"));
  CHECK(blocked.error().code == ErrorCode::invalid_argument);
  CHECK(blocked.error().message.find(directory.file("a/file")) != std::string::npos);
}

TEST_CASE("A state directory has one holder; a second one learns its process id, and a dead one's lock is free") {
  const TemporaryDirectory directory;
  {
    const auto held = DirectoryLock::take(directory.path());
    REQUIRE(held);
    const auto second = DirectoryLock::take(directory.path());
    REQUIRE_FALSE(second);
    CHECK(second.error().code == ErrorCode::in_use);
    CHECK(second.error().message.find("process " + std::to_string(::getpid()) + ":") != std::string::npos);
    CHECK(in_child([&] { return DirectoryLock::take(directory.path()) ? 1 : 0; }) == 0);
  }
  CHECK(DirectoryLock::take(directory.path()));
  // A process that dies without a word.
  CHECK(in_child([&] {
          const auto held = DirectoryLock::take(directory.path());
          if (held) ::raise(SIGKILL);
          return 1;
        }) == 128 + SIGKILL);
  auto again = DirectoryLock::take(directory.path());
  REQUIRE(again);
  DirectoryLock moved = std::move(*again);
  CHECK_FALSE(DirectoryLock::take(directory.path()));
  CHECK(DirectoryLock::take(directory.file("missing")).error().code == ErrorCode::not_found);
}

TEST_CASE("A key is made once, readable by its owner only, and the same one is loaded ever after") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("node.key");
  CHECK(load_key(path).error().code == ErrorCode::not_found);
  const auto made = load_or_create_key(path);
  REQUIRE(made);
  CHECK(mode_of(path) == 0600);
  CHECK(entries_in(directory.path()) == 1);
  CHECK(load_or_create_key(path).value().id() == made->id());
  CHECK(load_key(path).value().id() == made->id());
}

TEST_CASE("A key that others can read, of another user, or that is none, is refused and stays as it is") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("node.key");
  REQUIRE(load_or_create_key(path));
  const std::string pem = text_of(path);
  REQUIRE(::chmod(path.c_str(), 0640) == 0);
  auto refused = load_or_create_key(path);
  CHECK(refused.error().code == ErrorCode::untrusted);
  CHECK(refused.error().message.find("chmod 600") != std::string::npos);
  REQUIRE(::chmod(path.c_str(), 0600) == 0);
  if (::geteuid() == 0) {
    REQUIRE(::chown(path.c_str(), 12345, 12345) == 0);
    refused = load_or_create_key(path);
    CHECK(refused.error().code == ErrorCode::untrusted);
    CHECK(refused.error().message.find("12345") != std::string::npos);
    REQUIRE(::chown(path.c_str(), 0, 0) == 0);
  }
  CHECK(text_of(path) == pem);
  REQUIRE(write_atomically(path, view(pem.substr(0, pem.size() / 2)), 0600));
  refused = load_or_create_key(path);
  CHECK(refused.error().code == ErrorCode::malformed);
  CHECK(text_of(path) == pem.substr(0, pem.size() / 2));
  REQUIRE(write_atomically(path, Bytes(100'000, 'k'), 0600));
  CHECK_FALSE(load_key(path));
}

TEST_CASE("A key file in which any bit has flipped is refused or holds the same key, never another one") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("node.key");
  const auto id = load_or_create_key(path).value().id();
  const std::string text = text_of(path);
  CHECK(text.starts_with("Node " + id.hex() + "\n"));
  int refused = 0;
  for (std::size_t bit = 0; bit < 8 * text.size(); ++bit) {
    if (bit / 8 < 5) continue;  // without its first word the line is no longer one of ours
    std::string flipped = text;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    REQUIRE(write_atomically(path, view(flipped), 0600));
    const auto loaded = load_key(path);
    INFO("bit " << bit);
    if (loaded) {
      CHECK(loaded->id() == id);
    } else {
      CHECK(loaded.error().code == ErrorCode::malformed);
      ++refused;
    }
  }
  CHECK(refused > 1000);
  // A key that somebody made by other means has no such line.
  const auto other = key_of(3);
  REQUIRE(write_atomically(path, view(other.to_pem()), 0600));
  CHECK(load_key(path).value().id() == other.id());
}

TEST_CASE("A directory or a link in the place of a file is named as what is in the way") {
  const TemporaryDirectory directory;
  std::filesystem::create_directory(directory.file("lock"));
  const auto locked = DirectoryLock::take(directory.path());
  REQUIRE_FALSE(locked);
  CHECK(locked.error().message.find("/lock") != std::string::npos);
  CHECK(locked.error().message.find("move it away") != std::string::npos);
  std::filesystem::create_symlink(directory.file("elsewhere"), directory.file("state.new"));
  const auto written = write_atomically(directory.file("state"), Bytes{1});
  REQUIRE_FALSE(written);
  CHECK(written.error().message.find("move it away") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(directory.file("elsewhere")));
}

TEST_CASE("Two processes that make the key at the same time end up with the same one") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("node.key");
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      const auto key = load_or_create_key(path);
      const auto again = load_key(path);
      ::_exit(key && again && key->id() == again->id() ? 0 : 1);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 1;
    ::waitpid(child, &status, 0);
    CHECK(status == 0);
  }
  CHECK(entries_in(directory.path()) == 1);
}

}  // namespace
}  // namespace p2p::net::test

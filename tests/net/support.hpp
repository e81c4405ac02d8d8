// What the tests of this room share: a running loop, waiting on conditions, temporary directories.
#pragma once

#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>

#include <catch2/catch.hpp>

#include "metadata/crypto.hpp"
#include "overlay/net/loop.hpp"

namespace p2p::net::test {

using namespace std::chrono_literals;

/// A loop that runs while the object lives.
struct RunningLoop : Loop {
  RunningLoop() { REQUIRE(start()); }
  /// Runs on the loop's thread and waits; the loop must run.
  ///
  /// Catch's assertions are not thread-safe. `function` and later callbacks may make some, for this thread only waits
  /// meanwhile: it asserts nothing itself unless it fails.
  template <typename Function>
  auto on(Function&& function) {
    auto out = call_and_wait(std::forward<Function>(function));
    if (!out) FAIL(out.error().text());
    if constexpr (!std::is_same_v<decltype(out), Result<void>>) return std::move(*out);
  }
  /// Waits until `condition` holds on the loop's thread; fails after `limit`.
  void await(const std::string& what, const std::function<bool()>& condition,
             std::chrono::milliseconds limit = 20s) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!on(condition)) {
      if (std::chrono::steady_clock::now() >= end) FAIL("waited in vain for: " << what);
      std::this_thread::sleep_for(1ms);
    }
  }
};

/// A count that one thread raises and another waits for.
class Counter {
 public:
  void add(int amount = 1) {
    const std::lock_guard lock(mutex_);
    value_ += amount;
    changed_.notify_all();
  }
  bool reaches(int value, std::chrono::milliseconds limit = 20s) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, limit, [&] { return value_ >= value; });
  }
  int value() {
    const std::lock_guard lock(mutex_);
    return value_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int value_ = 0;
};

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "p2p-net-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline metadata::KeyPair key_of(std::uint8_t number) {
  std::array<std::uint8_t, 32> seed{};
  seed[0] = number;
  return metadata::KeyPair::from_seed(seed);
}

}  // namespace p2p::net::test

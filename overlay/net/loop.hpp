// The executor of the real world: one libuv loop on a thread of its own.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <type_traits>
#include <utility>

#include "metadata/base/error.hpp"
#include "overlay/executor.hpp"
#include "overlay/net/gate.hpp"

struct uv_loop_s;
struct uv_handle_s;

namespace p2p::net {

/// Whoever owns a libuv handle on a Loop: the handle's `data` points to one of these, so that the loop can ask
/// for the handle back when it ends.
class HandleOwner {
 public:
  virtual ~HandleOwner() = default;
  /// The loop is ending: close the handle now (uv_close), without calling anybody.
  virtual void close_handle(uv_handle_s* handle) = 0;
};

/// One libuv loop on its own thread; all of a node's state lives on that thread.
///
/// Invariants: tasks run one at a time, in the order posted, never from inside post(); nothing that libuv calls
/// runs on another thread; after stop() has returned, nothing runs at all.
/// Thread: post(), now(), wall_ms(), call_and_wait(), running() from any; after(), compute(), processor_time() and timer handles on the loop's
/// own; start(), stop() and the destructor from one that is not the loop's.
/// Signals: the loop's thread, and threads made on it, take none: SIGPIPE does not end the process, and SIGINT goes to a
/// thread of the application.
/// Bounds: the queue of posted tasks is not bounded; those who post are (sockets by back-pressure, the DHT by its
/// own limits).
class Loop : public overlay::Executor {
 public:
  Loop();
  /// Stops, if that has not been done.
  ~Loop() override;
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// Makes the loop and its thread. `io` when the system has no file descriptors or threads left. Once only.
  Result<void> start();

  /// Closes the gate, goes on running until everybody has left it or `grace` has passed, runs what was posted
  /// before, closes every handle and ends the thread. Tasks posted later are dropped. True when the gate was empty.
  bool stop(overlay::Duration grace = overlay::Duration{0});

  /// Work that stop() has to wait for enters here.
  Gate& gate() { return gate_; }

  overlay::TimePoint now() const override;
  std::uint64_t wall_ms() const override;
  overlay::Duration processor_time() const override;
  void post(std::function<void()> task) override;
  [[nodiscard]] TimerHandle after(overlay::Duration delay, std::function<void()> task) override;

  /// On a thread of libuv's pool, which has four and makes them when they are first needed. stop() waits for `work`
  /// that is under way, and drops `done`.
  void compute(std::function<void()> work, std::function<void()> done) override;

  /// Between start() and the end of stop().
  bool running() const;
  bool on_loop_thread() const;

  /// Runs `function` on the loop's thread, waits, and returns what it returned; a Result is not wrapped twice.
  /// `closed` when the loop does not run (any more). From the loop's own thread it is a plain call.
  /// The function must not throw.
  template <typename Function>
  auto call_and_wait(Function&& function) {
    using Returned = std::invoke_result_t<Function&>;
    using Wrapped = typename Flat<Returned>::type;
    if (on_loop_thread()) return invoke<Wrapped, Returned>(function);
    auto promise = std::make_shared<Promise<Wrapped>>();
    std::future<Wrapped> future = promise->future();
    post([&function, promise = std::move(promise)] {
      promise->set(invoke<Wrapped, Returned>(function));
    });
    return future.get();
  }

  /// libuv's own loop, for the sockets of this room; on the loop's thread only.
  uv_loop_s* uv();

 private:
  struct State;
  template <typename T>
  struct Flat {
    using type = Result<T>;
  };
  template <typename T>
  struct Flat<Result<T>> {
    using type = Result<T>;
  };
  /// Answers `closed` when it is dropped unanswered.
  template <typename Wrapped>
  class Promise {
   public:
    ~Promise() {
      if (!answered_) promise_.set_value(loop_ended());
    }
    std::future<Wrapped> future() { return promise_.get_future(); }
    void set(Wrapped value) {
      answered_ = true;
      promise_.set_value(std::move(value));
    }

   private:
    std::promise<Wrapped> promise_;
    bool answered_ = false;
  };
  template <typename Wrapped, typename Returned, typename Function>
  static Wrapped invoke(Function& function) {
    if constexpr (std::is_void_v<Returned>) {
      function();
      return {};
    } else {
      return function();
    }
  }
  static tl::unexpected<Error> loop_ended();

  std::unique_ptr<State> state_;
  Gate gate_;
};

}  // namespace p2p::net

// Seam 1 of 3: time.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

namespace p2p::overlay {

using Duration = std::chrono::microseconds;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using std::chrono_literals::operator""us;

/// A point in the executor's own time; comparable only between points of one executor.
struct TimePoint {
  std::int64_t us = 0;
  auto operator<=>(const TimePoint&) const = default;
  Duration operator-(TimePoint other) const { return Duration(us - other.us); }
  TimePoint operator+(Duration d) const { return {us + d.count()}; }
};

/// One thread of control with a clock: a libuv loop, or a virtual clock that jumps to the next event.
///
/// All state of a node belongs to its executor's thread. `post` may be called from any thread; everything
/// else only from its own.
class Executor {
 public:
  /// A pending call; destroying it (or cancel()) prevents the call. Must not outlive the executor.
  class Timer {
   public:
    virtual ~Timer() = default;
  };
  using TimerHandle = std::unique_ptr<Timer>;

  virtual ~Executor() = default;
  /// Monotonic.
  virtual TimePoint now() const = 0;
  /// Milliseconds since 1970, as this machine's clock has it: may jump, may be wrong.
  virtual std::uint64_t wall_ms() const = 0;
  /// Processor time that this executor's thread has used; stands still where time is virtual, so that a run repeats.
  virtual Duration processor_time() const { return Duration(0); }
  /// Runs `task` soon, never from inside this call.
  virtual void post(std::function<void()> task) = 0;
  /// Runs `task` once after `delay`, unless the handle goes first.
  [[nodiscard]] virtual TimerHandle after(Duration delay, std::function<void()> task) = 0;
  /// Runs `work` where it holds up nothing else, then `done` here; `work` touches nothing that others touch meanwhile.
  /// Never from inside this call. Where time is virtual both are one task.
  virtual void compute(std::function<void()> work, std::function<void()> done) {
    post([work = std::move(work), done = std::move(done)] {
      work();
      done();
    });
  }
};

}  // namespace p2p::overlay

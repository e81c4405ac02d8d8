#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "support.hpp"

namespace p2p::net::test {
namespace {

TEST_CASE("What many threads post runs on the loop's thread, in each one's order, exactly once") {
  constexpr int kThreads = 8, kEach = 2000;
  RunningLoop loop;
  std::vector<std::vector<int>> seen(kThreads);  // touched by the loop's thread only
  bool elsewhere = false;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        loop.post([&, t, i] {
          elsewhere |= !loop.on_loop_thread();
          seen[t].push_back(i);
        });
      }
    });
  }
  for (auto& thread : threads) thread.join();
  loop.on([] {});
  CHECK_FALSE(elsewhere);
  for (const auto& order : seen) {
    REQUIRE(order.size() == kEach);
    CHECK(std::is_sorted(order.begin(), order.end()));
  }
}

TEST_CASE("A posted task never runs inside post(), not even on the loop's thread") {
  RunningLoop loop;
  bool inside = false, ran = false, ran_inside = false;
  loop.on([&] {
    inside = true;
    loop.post([&] {
      ran = true;
      ran_inside = inside;
    });
    inside = false;
  });
  loop.on([] {});
  CHECK(ran);
  CHECK_FALSE(ran_inside);
}

TEST_CASE("call_and_wait returns what the function returned, values, results, errors and nothing") {
  RunningLoop loop;
  CHECK(loop.call_and_wait([] { return 7; }).value() == 7);
  CHECK(loop.call_and_wait([]() -> Result<int> { return 8; }).value() == 8);
  CHECK(loop.call_and_wait([]() -> Result<int> { return fail(ErrorCode::full, "no"); }).error().code ==
        ErrorCode::full);
  CHECK(loop.call_and_wait([] {}).has_value());
  // From the loop's own thread it is a plain call and does not wait for itself.
  CHECK(loop.call_and_wait([&] { return loop.call_and_wait([] { return 9; }); }).value() == 9);
  const auto id = loop.call_and_wait([] { return std::this_thread::get_id(); });
  CHECK(id.value() != std::this_thread::get_id());
}

TEST_CASE("call_and_wait answers `closed` when the loop has stopped or was never started") {
  Loop never;
  CHECK(never.call_and_wait([] { return 1; }).error().code == ErrorCode::closed);
  RunningLoop stopped;
  stopped.stop();
  CHECK(stopped.call_and_wait([] { return 1; }).error().code == ErrorCode::closed);
}

TEST_CASE("Callers that race with stop() get their answer or `closed`, and none hangs") {
  for (int round = 0; round < 20; ++round) {
    RunningLoop loop;
    std::atomic<int> answered{0}, refused{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        while (loop.call_and_wait([] { return 1; })) ++answered;
        ++refused;
      });
    }
    std::this_thread::sleep_for(1ms);
    loop.stop();
    for (auto& thread : threads) thread.join();
    CHECK(refused == 4);
  }
}

TEST_CASE("stop() runs what was posted before it and drops what is posted after it") {
  RunningLoop loop;
  int before = 0, after = 0;
  for (int i = 0; i < 1000; ++i) loop.post([&] { ++before; });
  loop.stop();
  loop.post([&] { ++after; });
  CHECK(before == 1000);
  CHECK(after == 0);
}

TEST_CASE("stop() ends although a task posts itself for ever and timers are pending") {
  RunningLoop loop;
  std::function<void()> forever = [&] { loop.post(forever); };
  loop.post(forever);
  std::vector<overlay::Executor::TimerHandle> timers;
  bool fired = false;
  loop.on([&] {
    for (int i = 0; i < 100; ++i) timers.push_back(loop.after(1h, [&] { fired = true; }));
  });
  const auto start = std::chrono::steady_clock::now();
  CHECK(loop.stop());
  CHECK(std::chrono::steady_clock::now() - start < 5s);
  CHECK_FALSE(fired);
  timers.clear();  // after the loop's end; the sanitizers see whether that is safe
}

TEST_CASE("stop() waits for those who have entered the gate, up to the grace that it was given") {
  RunningLoop loop;
  auto pass = loop.gate().enter();
  REQUIRE(pass);
  std::thread worker([&] {
    std::this_thread::sleep_for(50ms);
    loop.call_and_wait([&] { pass.reset(); });
  });
  CHECK(loop.stop(20s));
  worker.join();
  CHECK_FALSE(loop.gate().enter());

  RunningLoop stuck;
  const auto never_back = stuck.gate().enter();
  CHECK_FALSE(stuck.stop(20ms));
  CHECK(stuck.gate().inside() == 1);
}

TEST_CASE("Timers fire once, in the order of their times, and never early") {
  RunningLoop loop;
  struct Fired {
    int delay_ms;
    overlay::Duration after;
  };
  std::vector<Fired> fired;
  std::vector<overlay::Executor::TimerHandle> timers;
  loop.on([&] {
    const auto start = loop.now();
    for (const int delay_ms : {40, 0, 10, 25, 1}) {
      timers.push_back(loop.after(std::chrono::milliseconds(delay_ms), [&, start, delay_ms] {
        fired.push_back({delay_ms, loop.now() - start});
      }));
    }
    // The loop is late before it first looks at them: that must not bring them forward.
    std::this_thread::sleep_for(5ms);
  });
  loop.await("five timers", [&] { return fired.size() == 5; });
  loop.on([&] {
    int last = -1;
    for (const Fired& timer : fired) {
      CHECK(timer.delay_ms > last);
      last = timer.delay_ms;
      CHECK(timer.after >= std::chrono::milliseconds(timer.delay_ms));
    }
    timers.clear();
  });
}

TEST_CASE("A timer whose handle is gone does not fire, whoever drops it and when") {
  RunningLoop loop;
  int fired = 0;
  overlay::Executor::TimerHandle self, other;
  loop.on([&] {
    { const auto dropped = loop.after(0ms, [&] { ++fired; }); }
    other = loop.after(5ms, [&] { fired += 100; });
    self = loop.after(0ms, [&] {
      ++fired;
      self.reset();   // from inside itself
      other.reset();  // before its time
    });
  });
  std::this_thread::sleep_for(30ms);
  loop.on([&] {
    CHECK(fired == 1);
    CHECK_FALSE(self);
  });
}

TEST_CASE("compute() works off the loop's thread and reports on it, never from inside the call") {
  RunningLoop loop;
  bool inside = true, worked_on_loop = true, done = false, done_on_loop = false, done_inside = false;
  loop.on([&] {
    loop.compute([&] { worked_on_loop = loop.on_loop_thread(); },
                 [&] {
                   done = true;
                   done_inside = inside;
                   done_on_loop = loop.on_loop_thread();
                 });
    inside = false;
  });
  loop.await("the report", [&] { return done; });
  loop.on([&] {
    CHECK_FALSE(worked_on_loop);
    CHECK(done_on_loop);
    CHECK_FALSE(done_inside);
  });
}

TEST_CASE("stop() waits for what compute() has begun, and reports nothing of it") {
  RunningLoop loop;
  std::atomic<bool> worked = false, reported = false, began = false;
  loop.on([&] {
    loop.compute(
        [&] {
          began = true;
          std::this_thread::sleep_for(50ms);
          worked = true;
        },
        [&] { reported = true; });
  });
  while (!began) std::this_thread::yield();
  loop.stop();
  CHECK(worked);
  CHECK_FALSE(reported);
}

}  // namespace
}  // namespace p2p::net::test

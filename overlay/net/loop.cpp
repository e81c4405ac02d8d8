#include "overlay/net/loop.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <uv.h>

namespace p2p::net {

using overlay::Duration;
using overlay::TimePoint;

struct Loop::State final : HandleOwner {
  uv_loop_t loop{};
  uv_async_t wake{};
  std::thread thread;
  std::thread::id thread_id;

  enum class Life { idle, running, ended };
  std::atomic<Life> life{Life::idle};

  std::mutex mutex;
  std::vector<std::function<void()>> posted;  // guarded by mutex
  bool accepting = false;                     // guarded by mutex
  bool stopping = false;                      // loop's thread: the next turn is the last
  bool ended = false;                         // loop's thread: every handle has been given back

  // One batch: what a task posts waits for the next turn, so that sockets and timers get theirs between.
  void run_posted() {
    run_batch();
    if (stopping && !ended) end();
    const std::lock_guard lock(mutex);
    if (accepting && !posted.empty()) uv_async_send(&wake);
  }

  void run_batch() {
    std::vector<std::function<void()>> batch;
    {
      const std::lock_guard lock(mutex);
      batch.swap(posted);
    }
    for (auto& task : batch) {
      task();
      task = nullptr;  // what it holds goes before the next one runs
    }
  }

  // Runs what the last tasks posted, for a bounded number of turns: a task that posts itself for ever does not
  // keep the loop alive. Then nobody can post any more, and every handle is given back.
  void end() {
    constexpr int kLastTurns = 16;
    for (int turn = 0; turn < kLastTurns; ++turn) run_batch();
    std::vector<std::function<void()>> dropped;
    {
      const std::lock_guard lock(mutex);
      accepting = false;
      dropped.swap(posted);
    }
    dropped.clear();
    ended = true;
    uv_walk(
        &loop,
        [](uv_handle_t* handle, void*) {
          if (!uv_is_closing(handle)) static_cast<HandleOwner*>(handle->data)->close_handle(handle);
        },
        nullptr);
  }

  void close_handle(uv_handle_s* handle) override { uv_close(handle, nullptr); }
};

namespace {

// While this lives, threads that are made handle no signals. They are the application's business: its threads take
// them, and writing to a peer that has gone is an error (EPIPE), not the end of the process. What a thread does
// wrong itself still ends it.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    for (const int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS, SIGPROF}) sigdelset(&all, own);
    pthread_sigmask(SIG_SETMASK, &all, &former_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &former_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t former_;
};

// A libuv timer and what it calls. The timer's memory belongs to libuv until its close callback has run, so the
// handle that the caller holds can go at any time, even after the loop.
class LoopTimer final : public HandleOwner, public std::enable_shared_from_this<LoopTimer> {
 public:
  void start(uv_loop_t* loop, Duration delay, std::function<void()> task) {
    task_ = std::move(task);
    P2P_ASSERT(uv_timer_init(loop, &timer_) == 0);
    timer_.data = static_cast<HandleOwner*>(this);
    keep_ = shared_from_this();
    // libuv counts whole milliseconds from one that may have begun almost a millisecond ago: round up twice, so
    // that no timer is early. And its idea of now may be a long task old.
    const std::int64_t us = delay.count();
    const std::int64_t ms = us <= 0 ? 0 : (us + 999 + 999) / 1000;
    uv_update_time(loop);
    const int started = uv_timer_start(
        &timer_, [](uv_timer_t* timer) { from(timer).fire(); }, static_cast<std::uint64_t>(ms), 0);
    P2P_ASSERT(started == 0);
  }
  void cancel() {
    task_ = nullptr;
    close();
  }
  void close_handle(uv_handle_s*) override { cancel(); }

 private:
  static LoopTimer& from(uv_timer_t* timer) {
    return *static_cast<LoopTimer*>(static_cast<HandleOwner*>(timer->data));
  }
  void fire() {
    const auto task = std::move(task_);
    close();
    if (task) task();
  }
  void close() {
    auto* handle = reinterpret_cast<uv_handle_t*>(&timer_);
    if (!keep_ || uv_is_closing(handle)) return;
    uv_close(handle, [](uv_handle_t* closed) {
      const auto keep = std::move(from(reinterpret_cast<uv_timer_t*>(closed)).keep_);
    });
  }

  uv_timer_t timer_{};
  std::function<void()> task_;
  std::shared_ptr<LoopTimer> keep_;
};

class LoopTimerHandle final : public overlay::Executor::Timer {
 public:
  explicit LoopTimerHandle(std::shared_ptr<LoopTimer> timer) : timer_(std::move(timer)) {}
  ~LoopTimerHandle() override { timer_->cancel(); }

 private:
  std::shared_ptr<LoopTimer> timer_;
};

}  // namespace

Loop::Loop() : state_(std::make_unique<State>()) {}
Loop::~Loop() { stop(); }

Result<void> Loop::start() {
  State& s = *state_;
  P2P_ASSERT(s.life == State::Life::idle);
  if (const int error = uv_loop_init(&s.loop); error != 0) {
    return fail(ErrorCode::io, "cannot make an event loop: raise the limit on open files (ulimit -n)",
                uv_strerror(error));
  }
  const int error = uv_async_init(&s.loop, &s.wake, [](uv_async_t* wake) {
    static_cast<State*>(static_cast<HandleOwner*>(wake->data))->run_posted();
  });
  if (error != 0) {
    uv_loop_close(&s.loop);
    return fail(ErrorCode::io, "cannot make an event loop: raise the limit on open files (ulimit -n)",
                uv_strerror(error));
  }
  s.wake.data = static_cast<HandleOwner*>(&s);
  try {
    const SignalsBlocked inherited_by_the_thread;
    s.thread = std::thread([&s] { uv_run(&s.loop, UV_RUN_DEFAULT); });
  } catch (const std::system_error& refused) {
    uv_close(reinterpret_cast<uv_handle_t*>(&s.wake), nullptr);
    uv_run(&s.loop, UV_RUN_DEFAULT);
    uv_loop_close(&s.loop);
    return fail(ErrorCode::io, "cannot start a thread: raise the limit on processes (ulimit -u)", refused.what());
  }
  s.thread_id = s.thread.get_id();
  s.life = State::Life::running;
  const std::lock_guard lock(s.mutex);
  s.accepting = true;  // nothing of ours has run on the thread before this
  return {};
}

bool Loop::stop(Duration grace) {
  State& s = *state_;
  if (s.life != State::Life::running) return true;
  P2P_ASSERT(!on_loop_thread());
  gate_.close();
  const bool empty = gate_.wait(grace);
  post([&s] { s.stopping = true; });
  s.thread.join();
  s.life = State::Life::ended;
  const int open = uv_loop_close(&s.loop);
  P2P_ASSERT(open == 0);
  return empty;
}

TimePoint Loop::now() const { return {static_cast<std::int64_t>(uv_hrtime() / 1000)}; }

std::uint64_t Loop::wall_ms() const {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                        std::chrono::system_clock::now().time_since_epoch())
                                        .count());
}

Duration Loop::processor_time() const {
  P2P_ASSERT(on_loop_thread());
  timespec used{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return std::chrono::duration_cast<Duration>(std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec));
}

void Loop::post(std::function<void()> task) {
  const std::lock_guard lock(state_->mutex);
  if (!state_->accepting) return;
  state_->posted.push_back(std::move(task));
  // Inside the lock: the async handle is closed only after `accepting` has become false.
  if (state_->posted.size() == 1) uv_async_send(&state_->wake);
}

overlay::Executor::TimerHandle Loop::after(Duration delay, std::function<void()> task) {
  P2P_ASSERT(on_loop_thread());
  auto timer = std::make_shared<LoopTimer>();
  if (!state_->ended) timer->start(&state_->loop, delay, std::move(task));
  return std::make_unique<LoopTimerHandle>(std::move(timer));
}

void Loop::compute(std::function<void()> work, std::function<void()> done) {
  P2P_ASSERT(on_loop_thread());
  if (state_->ended) return;
  struct Job {
    uv_work_t request{};
    State& state;
    std::function<void()> work, done;
  };
  auto* job = new Job{{}, *state_, std::move(work), std::move(done)};
  job->request.data = job;
  const int queued = uv_queue_work(
      &state_->loop, &job->request, [](uv_work_t* request) { static_cast<Job*>(request->data)->work(); },
      [](uv_work_t* request, int) {
        const std::unique_ptr<Job> over(static_cast<Job*>(request->data));
        if (!over->state.ended) over->done();
      });
  P2P_ASSERT(queued == 0);
}

bool Loop::running() const { return state_->life == State::Life::running; }

bool Loop::on_loop_thread() const {
  return running() && std::this_thread::get_id() == state_->thread_id;
}

uv_loop_s* Loop::uv() {
  P2P_ASSERT(on_loop_thread());
  return &state_->loop;
}

tl::unexpected<Error> Loop::loop_ended() {
  return fail(ErrorCode::closed, "the node has been stopped: start it again to use it");
}

}  // namespace p2p::net

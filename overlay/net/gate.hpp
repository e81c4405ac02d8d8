// What is still under way, counted, so that a shutdown can wait for it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>

namespace p2p::net {

/// Counts pending work. Whoever starts something that must not be cut off enters and keeps the pass until it is
/// done; whoever shuts down closes the gate and waits for the passes to come back.
///
/// Invariants: after close() nobody enters; wait() returns true only when no pass is out. A pass may outlive the
/// gate.
/// Thread: any.
/// Reference: seastar::gate, with passes instead of paired calls and with threads instead of futures.
class Gate {
  struct State {
    std::mutex mutex;
    std::condition_variable empty;
    std::size_t inside = 0;
    bool closed = false;
  };

 public:
  /// Proof of having entered; leaving is its destruction.
  class Pass {
   public:
    Pass(Pass&&) noexcept = default;
    Pass& operator=(Pass&& other) noexcept {
      if (this != &other) {
        leave();
        state_ = std::move(other.state_);
      }
      return *this;
    }
    ~Pass() { leave(); }

   private:
    friend class Gate;
    explicit Pass(std::shared_ptr<State> state) : state_(std::move(state)) {}
    void leave() {
      const std::shared_ptr<State> state = std::move(state_);
      if (!state) return;
      const std::lock_guard lock(state->mutex);
      if (--state->inside == 0) state->empty.notify_all();
    }
    std::shared_ptr<State> state_;
  };

  Gate() : state_(std::make_shared<State>()) {}

  /// Nothing once the gate is closed.
  std::optional<Pass> enter() {
    const std::lock_guard lock(state_->mutex);
    if (state_->closed) return std::nullopt;
    ++state_->inside;
    return Pass(state_);
  }
  void close() {
    const std::lock_guard lock(state_->mutex);
    state_->closed = true;
  }
  /// Waits until nobody is inside; false when `limit` passed before that.
  bool wait(std::chrono::microseconds limit) {
    std::unique_lock lock(state_->mutex);
    return state_->empty.wait_for(lock, limit, [this] { return state_->inside == 0; });
  }
  std::size_t inside() const {
    const std::lock_guard lock(state_->mutex);
    return state_->inside;
  }

 private:
  std::shared_ptr<State> state_;
};

}  // namespace p2p::net

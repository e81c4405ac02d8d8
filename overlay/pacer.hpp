// How fast this node sends, and who is next.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>

#include "overlay/executor.hpp"

namespace p2p::overlay {

/// A bucket of tokens for everything that this node sends on links, and a queue of those who wait for it.
///
/// Content waits until its bytes are there; small messages do not wait, they are taken from what content may use. Whoever
/// has waited sends one answer and stands at the end of the queue again: peers share the rate evenly, whatever they ask
/// for. Over any time t no more than rate * t + 2 * burst() bytes of answers leave.
/// A debt of more than a burst makes small answers wait as well.
/// Rejected: to refuse at once whoever comes when the bucket is empty. Peers would be served by who knocks most often.
///
/// How much may wait: what is sent within kPatience, so that who is told to wait is told early, and has time to ask
/// somebody else. A peer for whom nothing waits yet has twice that room.
/// Thread: the executor's.
class Pacer : public std::enable_shared_from_this<Pacer> {
 public:
  static constexpr Duration kPatience = 250ms;

  /// `rate` in bytes per second, 0: no limit. `largest`: of one answer.
  Pacer(Executor& executor, std::size_t rate, std::size_t largest);

  bool limited() const { return rate_ > 0; }
  std::size_t burst() const { return burst_; }
  /// Most that one answer should have: what is sent within kPatience.
  std::size_t chunk_bytes(std::size_t wanted) const;

  /// May `bytes` more wait, for a peer for whom `mine` are waiting?
  bool admits(std::size_t bytes, std::size_t mine) const;
  /// Content that waits for its turn, and that does so no more.
  void queue(std::size_t bytes) { queued_ += bytes; }
  void unqueue(std::size_t bytes) { queued_ -= bytes; }
  /// How long what waits now will take.
  Duration backlog() const;

  /// Can an answer of about `bytes` leave now? False when others wait. 0: a small one, which waits for nobody.
  bool ready(std::size_t bytes);
  /// Calls once, when an answer of about `bytes` can leave and it is this one's turn; never from inside this call.
  void wait(std::size_t bytes, std::function<void()> turn);
  /// So many bytes were sent, whatever they were.
  void spend(std::size_t bytes);

 private:
  struct Waiting {
    std::size_t bytes;
    std::function<void()> turn;
  };
  void refill();
  bool enough(std::size_t bytes) const;
  void arm();
  void serve();

  Executor& executor_;
  const double rate_;
  const std::size_t burst_;
  double tokens_;
  TimePoint refilled_;
  std::size_t queued_ = 0;
  std::deque<Waiting> waiting_;
  Executor::TimerHandle timer_;  // set while somebody waits
};

}  // namespace p2p::overlay

// Samples that were predicted and whose labels may still come.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "learner/model.hpp"
#include "metadata/base/error.hpp"

namespace p2p::node {

/// The latest samples without a label, by ticket. A ticket is a sample's number, from 1, counted over all samples of this
/// object's life; so it means nothing to another node, nor after a restart.
///
/// Bounds: `capacity` samples; when one more comes, the oldest is given up.
/// Thread: the node's.
class PendingLabels {
 public:
  static constexpr std::size_t kRemembered = 4096;
  struct Sample {
    std::vector<float> x;                                 ///< scaled
    learner::ClassIndex predicted = learner::kNoClass;    ///< when it came
  };
  explicit PendingLabels(std::size_t capacity) : capacity_(capacity) {}

  /// The ticket of a sample whose label came with it.
  std::uint64_t count() { return ++issued_; }
  /// The ticket of a sample that waits for its label.
  std::uint64_t keep(learner::Features x, learner::ClassIndex predicted);

  /// The sample, which waits no more. Errors: `not_found` for a ticket that was never given or whose sample was given up,
  /// `invalid_argument` for one whose label has come already.
  Result<Sample> take(std::uint64_t ticket);

  /// Whoever waits, waits in vain: their model is gone. Tickets go on from where they are.
  void give_up();

  std::size_t size() const { return waiting_.size(); }
  const std::map<std::uint64_t, Sample>& all() const { return waiting_; }
  /// How many with a later ticket than this one have no label: they wait, or are among the latest kRemembered given up.
  std::size_t unlabelled_after(std::uint64_t ticket) const;
  /// The latest ticket; 0: none yet.
  std::uint64_t latest() const { return issued_; }

 private:
  void lose(std::uint64_t ticket);
  std::size_t capacity_;
  std::uint64_t issued_ = 0;
  std::uint64_t given_up_ = 0;  // no ticket up to this one is waited for
  std::map<std::uint64_t, Sample> waiting_;
  std::deque<std::uint64_t> lost_;  // tickets that were given up, ascending
};

}  // namespace p2p::node

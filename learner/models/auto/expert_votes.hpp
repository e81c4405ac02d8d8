// What the votes of several classifiers are worth: learnt from the stream that they vote on.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "learner/model.hpp"
#include "metadata/base/bytes.hpp"

namespace p2p::learner {

/// A vote of expert e for class c is worth w_ec. score_c = sum of the worth of the votes for it,
/// P(c) = softmax(score)_c, loss -log P(y); per vote its gradient is P(c) - [c = y], and the step
/// AdaGrad's with sums that decay. So an expert is believed more on classes that it is right about,
/// and experts that err together are not counted twice.
///
/// Reference: stacked generalisation, Wolpert, Neural Networks 5, 1992, with the votes as inputs.
///
/// Deviation: a vote adds to the score of its own class only; weights for all pairs of said and
/// scored class (classes^2 of them) were measured to gain 0.1 points on average of eleven streams.
struct ExpertVotes {
  static constexpr float kRate = 0.5f, kDecay = 0.999f, kFloor = 0.1f;
  /// All votes together, before anything is known.
  static constexpr float kStart = 4;

  ExpertVotes(std::size_t experts_, std::uint32_t classes_);

  std::size_t experts;
  std::uint32_t classes;
  std::vector<float> worth, squares;  ///< (experts x classes)

  /// out: (classes x 1); said: per expert the class, or kNoClass when it has no vote.
  void scores(std::span<const ClassIndex> said, std::span<float> out) const;
  /// One step; `scores` are those of `said` and are used up.
  void learn(std::span<const ClassIndex> said, ClassIndex y, std::span<float> scores);
  double loss(std::span<const ClassIndex> said, ClassIndex y) const;

  void grow(std::uint32_t classes_);
};

}  // namespace p2p::learner

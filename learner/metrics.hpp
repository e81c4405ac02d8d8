// Prequential evaluation: every sample is tested before it trains (Gama, Sebastiao, Rodrigues, 2013).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "learner/model.hpp"

namespace p2p::learner {

/// Accuracy of one learner over its stream: in all, per class, and over the latest samples.
class Prequential {
 public:
  /// `window`: how many of the latest samples windowed_accuracy() covers.
  Prequential(std::uint32_t classes, std::size_t window);

  void add(ClassIndex label, ClassIndex predicted);

  std::uint64_t samples() const { return samples_; }
  /// Correct / samples since the start; 0 before the first.
  double accuracy() const;
  /// The same over the latest `window` samples.
  double windowed_accuracy() const;
  /// Correct / seen of one class since the start; 0 where it was never seen.
  double recall(ClassIndex label) const;
  std::uint64_t seen(ClassIndex label) const { return seen_[static_cast<std::size_t>(label)]; }
  /// Accuracy of always saying the previous label: the no-change classifier.
  double no_change_accuracy() const;
  /// Share of the commonest class so far.
  double majority_accuracy() const;
  /// Cohen's kappa against the learner's own marginal predictions.
  double kappa() const;

  Bytes encode() const;
  static Result<Prequential> decode(ByteView bytes);

 private:
  std::uint64_t samples_ = 0;
  std::uint64_t correct_ = 0;
  std::uint64_t repeated_ = 0;
  ClassIndex previous_ = kNoClass;
  std::vector<std::uint64_t> seen_, hit_, said_;
  std::vector<std::uint8_t> ring_;
  std::size_t ring_next_ = 0, ring_size_ = 0, ring_correct_ = 0;
};

}  // namespace p2p::learner

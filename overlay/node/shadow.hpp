// When a merge's watch is over: the former model goes on learning for a while yet, and comes back if it does better in the end.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "learner/transfer/trial.hpp"
#include "overlay/exchange.hpp"

namespace p2p::node {

/// A part of another concept can be far better than nothing for the first hundred samples and in the way after the first
/// five hundred; a watch, which asks about the former, keeps such a merge. So the model that has not taken it learns on.
///
/// The test is one that forgets what was: a CUSUM of the log-likelihood ratio of the samples on which only the former model
/// is right, and of those on which only the serving one is, at rate kWins against 1/2, S = max(0, S + log 2p) or
/// max(0, S + log 2(1 - p)). At log `patience` it comes back. `patience` is low, since between equals it does not matter
/// which one serves. Reference: Page, "Continuous Inspection Schemes", Biometrika 41, 1954.
///
/// Thread: the node's. Costs one more training step per sample while it lasts.
class Shadow {
 public:
  struct Options {
    std::size_t samples = 1000;  ///< after the watch; 0: none
    double patience = 8;        ///< > 1; samples that the two disagree on until an equal model comes back, on average and at least
  };
  /// What it stands for.
  struct Merge {
    std::uint64_t drift = 0;
    std::vector<std::uint64_t> before;  ///< drifts whose merges are in the former model
    std::optional<overlay::Exchange::Peer> helper;  ///< none: an own past concept
  };
  Shadow(const Options& options, Merge merge, std::unique_ptr<learner::Model> former);

  enum class Verdict { undecided, over, back };
  /// A labelled sample, before the former model has learned it, and what the serving one said of it.
  Verdict step(learner::Features x, learner::ClassIndex label, learner::ClassIndex predicted);

  /// Whether anything speaks for it just now.
  bool ahead() const { return sum_ > 0; }
  /// Of all samples since the watch. The former model is the challenger.
  const learner::Trial::Tally& tally() const { return tally_; }
  const Merge& merge() const { return merge_; }
  const learner::Model& model() const { return *model_; }
  std::unique_ptr<learner::Model> take() { return std::move(model_); }

  static constexpr double kWins = 0.6;

 private:
  Options options_;
  Merge merge_;
  std::unique_ptr<learner::Model> model_;
  learner::Trial::Tally tally_;
  double sum_ = 0;
};

}  // namespace p2p::node

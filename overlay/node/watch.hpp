// After a merge: the model that was replaced goes on in the shadow, and comes back if it would have done better.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>

#include "learner/transfer/trial.hpp"

namespace p2p::node {

/// The trial the other way round. The former model is the challenger now, so the test that protects against taking
/// a useless part is the one that protects against giving a good one up by chance; its level is stricter, for the
/// merge has won a trial already. Beside the test, a plain count at the end: a former model that was right clearly
/// more often comes back even if chance could explain it, since then nothing speaks for the merge any more.
///
/// Thread: the node's. Costs one more training step per sample while it lasts.
class Watch {
 public:
  struct Options {
    std::size_t samples = 200;       ///< length, at least 1
    double alpha = 0.02;             ///< chance to undo a merge that is no worse
    std::size_t minimum_samples = 10;
    double margin = 0.02;            ///< share of the samples by which the former one may lead at the end
  };
  enum class Verdict { undecided, keep, roll_back };

  Watch(std::unique_ptr<learner::Model> former, const Options& options)
      : options_(options),
        trial_({.alpha = options.alpha,
                .minimum_samples = std::min(options.minimum_samples, options.samples),
                .maximum_samples = options.samples}) {
    trial_.enter("former", std::move(former));
  }

  void step(learner::Features x, learner::ClassIndex label, learner::ClassIndex predicted) {
    trial_.step(x, label, predicted);
  }
  Verdict verdict() const {
    const auto& tally = trial_.tally(0);
    if (trial_.verdict() == learner::Trial::Verdict::accept) return Verdict::roll_back;
    return tally.samples >= options_.samples ? by_count() : Verdict::undecided;
  }
  /// The decision on what there is, for when no more can be waited for.
  Verdict by_count() const {
    const auto& tally = trial_.tally(0);
    const double lead = static_cast<double>(tally.challenger_correct) - static_cast<double>(tally.champion_correct);
    return lead > options_.margin * static_cast<double>(tally.samples) ? Verdict::roll_back : Verdict::keep;
  }
  const learner::Trial::Tally& tally() const { return trial_.tally(0); }
  std::unique_ptr<learner::Model> former() { return trial_.take(0); }

 private:
  Options options_;
  learner::Trial trial_;
};

}  // namespace p2p::node

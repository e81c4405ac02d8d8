// After a merge: the model that was replaced goes on in the shadow, and comes back if it would have done better.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>

#include "learner/transfer/trial.hpp"

namespace p2p::node {

/// The trial the other way round. The former model is the challenger now, so the test that protects against taking
/// a useless part is the one that protects against giving a good one up by chance; its level is stricter, for the
/// merge has won a trial already. Beside the test, plain counts: a former model that was right clearly more often by
/// the end, or at a quarter's end by more than one standard deviation over that, comes back even if chance could
/// explain it, since then nothing speaks for the merge any more. To go back to an equal model costs nothing.
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
  /// Trains the former model on a sample that it would have learned, and judges nothing.
  void teach(learner::Features x, learner::ClassIndex label) { trial_.teach(0, x, label); }
  Verdict verdict() const {
    const auto& tally = trial_.tally(0);
    if (trial_.verdict() == learner::Trial::Verdict::accept) return Verdict::roll_back;
    if (tally.samples >= options_.samples) return by_count();
    if (tally.samples < quarter() || tally.samples % quarter() != 0) return Verdict::undecided;
    return lead() > allowed() + chance() ? Verdict::roll_back : Verdict::undecided;
  }
  /// The decision on what there is, for when no more can be waited for. In the first quarter a sample or two say nothing.
  Verdict by_count() const {
    return lead() > allowed() + (trial_.tally(0).samples < quarter() ? chance() : 0) ? Verdict::roll_back : Verdict::keep;
  }
  const learner::Trial::Tally& tally() const { return trial_.tally(0); }
  double luck() const { return trial_.luck(0); }
  const learner::Model& shadow() const { return trial_.model(0); }
  std::unique_ptr<learner::Model> former() { return trial_.take(0); }

 private:
  double lead() const {  // of the former one, in samples
    const auto& tally = trial_.tally(0);
    return static_cast<double>(tally.challenger_correct) - static_cast<double>(tally.champion_correct);
  }
  std::size_t quarter() const { return std::max<std::size_t>(1, options_.samples / 4); }
  /// One standard deviation of the lead between equals.
  double chance() const {
    const auto& tally = trial_.tally(0);
    return std::sqrt(static_cast<double>(tally.wins + tally.losses));
  }
  double allowed() const { return options_.margin * static_cast<double>(trial_.tally(0).samples); }

  Options options_;
  learner::Trial trial_;
};

}  // namespace p2p::node

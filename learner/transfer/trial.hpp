// Is what came in better than carrying on alone? Asked of samples that neither side has trained on.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "learner/model.hpp"

namespace p2p::learner {

/// A paired, prequential contest between the serving model and challengers.
///
/// Every sample is first predicted by all, then trained on by all, so each side is judged only on what it had
/// not seen. Only samples on which the two disagree in correctness count (McNemar 1947): under the null a
/// challenger wins each with probability 1/2. The contest is sequential, so the level is spent by the
/// anytime-valid test below rather than by a fixed-size one.
///
/// The test: with w wins and l losses the mixture martingale M(w, l) = 2^(w+l) B(w+1, l+1) (uniform prior
/// over the win rate) has expectation 1 under the null; by Ville's inequality P(sup M >= 1/alpha) <= alpha,
/// however often one looks. One-sided by asking w > l as well.
/// Reference: Ville 1939; Robbins 1970; Howard et al., "Time-uniform Chernoff bounds", 2020.
class Trial {
 public:
  struct Options {
    double alpha = 0.1;             ///< chance to take any challenger, if none is better; shared between them
    std::size_t minimum_samples = 10;
    std::size_t maximum_samples = 200;  ///< undecided by then: the serving model stays
  };
  struct Tally {
    std::size_t samples = 0;
    std::size_t champion_correct = 0, challenger_correct = 0;
    std::size_t wins = 0, losses = 0;  ///< of the challenger, where exactly one was right
  };
  enum class Verdict { undecided, accept, reject };

  explicit Trial(const Options& options);

  /// A challenger enters, before the first step; `label` names it in reports ("peer 3f2a, classes 3 4").
  void enter(std::string label, std::unique_ptr<Model> model);
  std::size_t size() const { return challengers_.size(); }

  /// One sample that the champion predicted as `champion_predicted` before it was trained on it.
  void step(Features x, ClassIndex y, ClassIndex champion_predicted);

  /// accept once any challenger has passed the test, reject once none can or the samples are used up.
  Verdict verdict() const;
  /// The best challenger so far; none only when nobody entered.
  std::optional<std::size_t> best() const;
  const Tally& tally(std::size_t index) const { return challengers_[index].tally; }
  const std::string& label(std::size_t index) const { return challengers_[index].label; }
  /// Trains a challenger on a sample that is none of the contest's.
  void teach(std::size_t index, Features x, ClassIndex y) { challengers_[index].model->learn(x, y); }
  /// As it is by now.
  const Model& model(std::size_t index) const { return *challengers_[index].model; }
  /// Hands the model over; the trial is spent.
  std::unique_ptr<Model> take(std::size_t index);

  /// log M(w, l) of the class comment.
  static double log_martingale(std::size_t wins, std::size_t losses);
  /// An upper bound on the chance that any of the challengers would have come so far at any time, were none of them
  /// better: min(1, n / M(w, l)) of challenger `index`, an anytime-valid p-value (Howard et al. 2020).
  double luck(std::size_t index) const;

 private:
  struct Challenger {
    std::string label;
    std::unique_ptr<Model> model;
    Tally tally;
    bool passed = false;  ///< stays: Ville's bound is on the supremum
  };
  double threshold() const;

  Options options_;
  std::vector<Challenger> challengers_;
};

}  // namespace p2p::learner

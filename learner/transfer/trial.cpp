#include "learner/transfer/trial.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace p2p::learner {

Trial::Trial(const Options& options) : options_(options) {
  P2P_ASSERT(options.alpha > 0 && options.alpha < 1);
  P2P_ASSERT(options.maximum_samples >= 1 && options.minimum_samples <= options.maximum_samples);
}

void Trial::enter(std::string label, std::unique_ptr<Model> model) {
  P2P_ASSERT(model != nullptr);
  challengers_.push_back({std::move(label), std::move(model), {}, false});
}

double Trial::log_martingale(std::size_t wins, std::size_t losses) {
  const auto w = static_cast<double>(wins), l = static_cast<double>(losses);
  return (w + l) * std::numbers::ln2 + std::lgamma(w + 1) + std::lgamma(l + 1) -
         std::lgamma(w + l + 2);
}

double Trial::luck(std::size_t index) const {
  const Tally& t = challengers_[index].tally;
  if (t.wins <= t.losses) return 1;
  return std::min(1.0, static_cast<double>(challengers_.size()) * std::exp(-log_martingale(t.wins, t.losses)));
}

double Trial::threshold() const {
  // Union bound: each of n challengers may spend alpha / n.
  return std::log(static_cast<double>(challengers_.size()) / options_.alpha);
}

void Trial::step(Features x, ClassIndex y, ClassIndex champion_predicted) {
  const bool champion = champion_predicted == y;
  for (Challenger& challenger : challengers_) {
    if (challenger.model == nullptr) continue;
    const bool correct = challenger.model->predict_then_learn(x, y) == y;
    Tally& t = challenger.tally;
    ++t.samples;
    t.champion_correct += champion;
    t.challenger_correct += correct;
    t.wins += correct && !champion;
    t.losses += champion && !correct;
    if (t.samples >= options_.minimum_samples && t.samples <= options_.maximum_samples &&
        t.wins > t.losses && log_martingale(t.wins, t.losses) >= threshold()) {
      challenger.passed = true;
    }
  }
}

Trial::Verdict Trial::verdict() const {
  bool open = false;
  for (const Challenger& challenger : challengers_) {
    if (challenger.passed) return Verdict::accept;
    const Tally& t = challenger.tally;
    if (t.samples >= options_.maximum_samples) continue;
    // Even if it won every sample that is left?
    const std::size_t left = options_.maximum_samples - t.samples;
    const std::size_t most = t.wins + left;
    open = open || (most > t.losses && log_martingale(most, t.losses) >= threshold());
  }
  return open ? Verdict::undecided : Verdict::reject;
}

std::optional<std::size_t> Trial::best() const {
  std::optional<std::size_t> best;
  const auto margin = [&](std::size_t i) {
    const Tally& t = challengers_[i].tally;
    return static_cast<std::ptrdiff_t>(t.wins) - static_cast<std::ptrdiff_t>(t.losses);
  };
  for (std::size_t i = 0; i < challengers_.size(); ++i) {
    if (!best || (challengers_[i].passed && !challengers_[*best].passed) ||
        (challengers_[i].passed == challengers_[*best].passed && margin(i) > margin(*best))) {
      best = i;
    }
  }
  return best;
}

std::unique_ptr<Model> Trial::take(std::size_t index) {
  P2P_ASSERT(index < challengers_.size());
  return std::move(challengers_[index].model);
}

}  // namespace p2p::learner

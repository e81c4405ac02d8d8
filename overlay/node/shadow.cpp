#include "overlay/node/shadow.hpp"

#include <algorithm>
#include <cmath>

namespace p2p::node {

Shadow::Shadow(const Options& options, Merge merge, std::unique_ptr<learner::Model> former)
    : options_(options), merge_(std::move(merge)), model_(std::move(former)) {
  P2P_ASSERT(model_ != nullptr && options.samples > 0 && options.patience > 1);
}

Shadow::Verdict Shadow::step(learner::Features x, learner::ClassIndex label, learner::ClassIndex predicted) {
  static const double kWin = std::log(2 * kWins), kLoss = std::log(2 * (1 - kWins));
  const bool serving = predicted == label;
  const bool former = model_->predict_then_learn(x, label) == label;
  ++tally_.samples;
  tally_.champion_correct += serving;
  tally_.challenger_correct += former;
  tally_.wins += former && !serving;
  tally_.losses += serving && !former;
  if (former != serving) sum_ = std::max(0.0, sum_ + (former ? kWin : kLoss));
  if (sum_ >= std::log(options_.patience)) return Verdict::back;
  return tally_.samples >= options_.samples ? Verdict::over : Verdict::undecided;
}

}  // namespace p2p::node

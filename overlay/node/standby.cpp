#include "overlay/node/standby.hpp"

#include <algorithm>
#include <cmath>

namespace p2p::node {

void Standby::choose() {
  version_ = library_.version();
  std::vector<const Archived*> best;
  for (const auto& archived : library_.all()) best.push_back(&archived);
  // What came back before may do so again; of the others the latest.
  std::sort(best.begin(), best.end(), [](const Archived* a, const Archived* b) {
    return a->used_at != b->used_at ? a->used_at > b->used_at : a->id > b->id;
  });
  waiting_.clear();
  for (const auto* archived : best) {
    if (waiting_.size() == options_.models) break;
    auto model = learner::make_model(spec_);
    P2P_ASSERT(model.has_value());  // this spec has made a model before
    if (!(*model)->merge(archived->part, {})) continue;  // saved under another spec
    waiting_.push_back({.archived = archived->id, .model = std::move(*model)});
  }
}

std::optional<Standby::Report> Standby::on_sample(learner::Features x, learner::ClassIndex label,
                                                  learner::ClassIndex predicted) {
  if (options_.models == 0) return {};
  if (version_ != library_.version()) choose();
  static const double kWin = std::log(2 * kWins), kLoss = std::log(2 * (1 - kWins));
  const bool right = predicted == label;
  std::optional<Report> report;
  for (auto& waiting : waiting_) {
    if (waiting.sum > 0) ++waiting.since;
    if (right && waiting.sum == 0) continue;
    const bool knows = waiting.model->predict(x) == label;
    if (knows == right) continue;
    if (waiting.sum == 0) waiting.since = 1;
    waiting.sum = std::max(0.0, waiting.sum + (knows ? kWin : kLoss));
    if (waiting.sum < std::log(options_.patience)) continue;
    if (!report) report = Report{waiting.archived, waiting.since};
    waiting.sum = 0;
  }
  return report;
}

}  // namespace p2p::node

// The part of Healing that works while labels are missing.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "overlay/node/healing.hpp"

namespace p2p::node {

using learner::DriftCause;

bool Healing::few_labels() const {
  if (!story_ || !story_->inputs) return false;
  const auto& alarm = *story_->inputs;
  return context_.inputs.labelled_after(alarm.change) < alarm.labelled + kFewLabels;
}

void Healing::on_inputs(const std::optional<InputWatch::Alarm>& alarm) {
  if (alarm) {
    const learner::DriftSignal signal{learner::DriftLevel::drift, DriftCause::inputs, {}, alarm->since};
    if (provisional()) {
      // It was put in force for inputs that have gone again. Its former model costs nothing, and knew others.
      judge_watch(Watch::Verdict::roll_back, true);
    }
    if (!story_) return begin(signal, {.inputs = alarm});
    if (!story_->inputs || phase_ == Phase::watching) return;  // labels are at work
    const Story former = std::move(*story_);
    story_.reset();
    return begin(signal, {.superseded = &former, .inputs = alarm});
  }
  if (!story_ || !story_->inputs || phase_ == Phase::watching) return;
  const auto number = context_.inputs.latest();
  if (few_labels() && number > story_->inputs->change + context_.options.without_labels.give_up) {
    if (quest_) quest_->cancel();
    quest_.reset();
    contest_.reset();
    story_->report.reason = "no labels came that could decide; this node goes on as it was";
    return end();
  }
  if (number < story_->look_at) return;
  if (phase_ == Phase::trying && contest_ && contest_->caught_up()) ask_the_models();
  if (phase_ == Phase::learning && story_ && story_->retry_at) look_again();
}

void Healing::heal_by_inputs() {
  std::vector<Received> own;
  if (context_.options.without_labels.adopt != AgreementOptions::Adopt::nothing || !context_.directory) {
    const auto inputs = need().experience;
    const double away = marginal_ratio(inputs, context_.serving.fingerprint());
    for (auto& concept_back : own_concepts(kOwnTried)) {
      const auto* archived = context_.library.find(concept_back.archived);
      if (archived->fetched) continue;
      // Right after the alarm there are few samples to tell by; what is put in force in the end must lie well inside.
      if (marginal_ratio(inputs, archived->fingerprint) > std::min(away, context_.options.without_labels.outside)) continue;
      own.push_back(std::move(concept_back));
    }
  }
  own.empty() ? ask() : try_parts(std::move(own));
}

void Healing::ask_the_models() {
  auto& story = *story_;
  const auto& options = context_.options.without_labels;
  story.look_at = context_.inputs.latest() + options.after;
  if (options.adopt == AgreementOptions::Adopt::nothing) return;
  std::vector<Voter> voters;
  std::vector<std::size_t> challengers;
  for (std::size_t i = 0; i < story.parts.size(); ++i) {
    const auto& part = story.parts[i];
    const auto challenger = contest_->plain(i);
    if (!challenger) continue;
    const auto* archived = part.archived != 0 ? context_.library.find(part.archived) : nullptr;
    if (part.archived != 0 && (!archived || archived->fetched)) continue;
    voters.push_back({&contest_->model(*challenger), &part.helper.fingerprint, part.helper.peer.id, part.archived != 0});
    challengers.push_back(*challenger);
  }
  const auto samples = context_.inputs.waiting_after(story.inputs->change, options.window);
  const auto agreement =
      agree(voters, samples, context_.inputs.marginal(samples), context_.serving.fingerprint(), options);
  if (!agreement.chosen) {
    story.report.reason = agreement.reason;
    return journal_.put(story.report);
  }
  const auto winner = challengers[*agreement.chosen];
  const auto& tally = contest_->tally(winner);
  if (tally.losses > tally.wins) {  // the few labels there are speak against it
    story.report.reason = agreement.reason + "; but the labels that have come speak against them";
    return journal_.put(story.report);
  }
  const auto& part = story.parts[contest_->part_of(winner)];
  auto& report = story.report;
  report.tally = tally;
  report.trial = context_.executor.now() - story.trial_began;
  report.own_concept = part.archived;
  report.helper = part.archived != 0 ? "" : part.helper.peer.id.brief();
  report.helper_distance = part.helper.distance;
  merge(winner, agreement.reason);
}

bool Healing::teach_former(std::uint64_t ticket, learner::Features x, learner::ClassIndex label) {
  if (!provisional() || ticket > story_->inputs->change) return false;
  watch_->teach(x, label);
  return true;
}

void Healing::confirm() {
  const auto& tally = watch_->tally();
  if (story_->unconfirmed && tally.samples >= kConfirmed && tally.wins <= tally.losses) settle_provisional();
}

void Healing::settle_provisional() {
  auto& story = *story_;
  if (!std::exchange(story.unconfirmed, false)) return;
  context_.serving.forget_before(story.change_at, {}, {});
}

}  // namespace p2p::node

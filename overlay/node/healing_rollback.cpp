// Merges undone, and done again, by hand; and what a story leaves to the next process.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "metadata/base/words.hpp"
#include "overlay/node/healing.hpp"

namespace p2p::node {
namespace {

bool contains(const std::vector<std::uint64_t>& ids, std::uint64_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

constexpr std::string_view kByHand = "the operator put another model in force";

}  // namespace

std::vector<std::uint64_t> Healing::merges() const {
  std::vector<std::uint64_t> out;
  for (const auto& report : journal_.reports()) {
    if (report.accepted && !report.rolled_back) out.push_back(report.id);
  }
  return out;
}

std::vector<std::uint64_t> Healing::merges_before(std::uint64_t drift) const {
  auto before = merges();
  std::erase(before, drift);
  return before;
}

void Healing::keep_former(std::uint64_t drift, const learner::Model& model) {
  formers_.keep({drift, context_.serving.samples(), merges_before(drift), model.encode(), formers_.missed_in_force()});
}

void Healing::follow_shadow(learner::Features x, learner::ClassIndex label, learner::ClassIndex predicted) {
  const auto verdict = shadow_->step(x, label, predicted);
  if (verdict == Shadow::Verdict::undecided) return;
  if (verdict == Shadow::Verdict::over) return shadow_.reset();
  auto shadow = std::move(*shadow_);
  shadow_.reset();
  const auto& [drift, before, helper] = shadow.merge();
  const auto& tally = shadow.tally();
  leave_story("the former model did better in the long run, and serves again");
  if (helper) {
    const double lead = static_cast<double>(tally.challenger_correct) - static_cast<double>(tally.champion_correct);
    value(*helper, -std::max(0.0, lead) / static_cast<double>(tally.samples));
  }
  put_back(shadow.take(),
           {.drift = drift, .kind = Event::Kind::rolled_back, .merges = before, .samples = context_.serving.samples(),
            .missed = formers_.missed_in_force(), .by_hand = false});
}

Result<void> Healing::rollback(std::uint64_t drift) {
  const auto* report = journal_.find(drift);
  if (!report) return fail(ErrorCode::not_found, fmt::format("there is no drift {} in the journal", drift));
  if (!report->accepted) {
    return fail(ErrorCode::invalid_argument, fmt::format("drift {} ended without a merge: there is nothing to undo", drift));
  }
  if (report->rolled_back) {
    return fail(ErrorCode::invalid_argument, fmt::format("the merge of drift {} has been undone already", drift));
  }
  Return how{.drift = drift, .kind = Event::Kind::rolled_back, .merges = {}, .samples = context_.serving.samples(), .missed = formers_.missed_in_force()};
  if (watch_ && story_->report.id == drift) {
    how.merges = merges_before(drift);
    story_->report.watch = watch_->tally();
    auto shadow = watch_->former();
    watch_.reset();
    leave_story(kByHand);
    put_back(std::move(shadow), how);
    return {};
  }
  if (shadow_ && shadow_->merge().drift == drift) {
    how.merges = shadow_->merge().before;
    auto model = shadow_->take();
    shadow_.reset();
    leave_story(kByHand);
    put_back(std::move(model), how);
    return {};
  }
  const auto* former = formers_.find(drift);
  if (!former) {
    return fail(ErrorCode::not_found,
                fmt::format("the model from before the merge of drift {} is no longer kept: only those of the latest few merges "
                            "are, as far as they have room",
                            drift));
  }
  auto model = learner::decode_model(context_.serving.spec(), former->model);
  if (!model) return tl::unexpected(model.error());
  how.merges = former->merges;
  how.samples = former->samples;
  how.missed = former->missed;
  leave_story(kByHand);
  put_back(std::move(*model), how);
  return {};
}

Result<void> Healing::redo(std::uint64_t drift) {
  const auto* report = journal_.find(drift);
  if (!report) return fail(ErrorCode::not_found, fmt::format("there is no drift {} in the journal", drift));
  if (!report->accepted || !report->rolled_back) {
    return fail(ErrorCode::invalid_argument, fmt::format("drift {} has no merge that was undone", drift));
  }
  const auto* former = formers_.find(drift);
  if (!former || !contains(former->merges, drift)) {
    return fail(ErrorCode::not_found,
                fmt::format("the merge of drift {} cannot be done again: it is no longer kept, was undone by its own watch, or "
                            "went with another one's, which is the one to redo",
                            drift));
  }
  auto model = learner::decode_model(context_.serving.spec(), former->model);
  if (!model) return tl::unexpected(model.error());
  const Return how{.drift = drift, .kind = Event::Kind::redone, .merges = former->merges, .samples = former->samples, .missed = former->missed};
  leave_story(kByHand);
  put_back(std::move(*model), how);
  return {};
}

void Healing::leave_story(std::string_view why) {
  if (!story_) return;
  if (watch_) return judge_watch(Watch::Verdict::keep, true);
  if (quest_) quest_->cancel();
  quest_.reset();
  contest_.reset();
  auto& report = story_->report;
  if (phase_ != Phase::watching) {
    report.reason += fmt::format("{}ended: {}", report.reason.empty() ? "" : "; ", why);
  }
  end();
}

void Healing::put_back(std::unique_ptr<learner::Model> model, const Return& how) {
  auto& serving = context_.serving;
  const auto present = merges();
  shadow_.reset();  // of a model that serves no more
  const auto replaced = serving.replace(std::move(model));
  // All that it has not learned since the stream began, not only since it was set aside: it may have been before.
  const auto behind = how.missed + (serving.samples() - how.samples);
  formers_.keep({how.drift, serving.samples(), present, replaced->encode(), formers_.missed_in_force()});
  formers_.set_missed_in_force(behind);
  std::vector<DriftReport> changed;
  for (const auto& report : journal_.reports()) {
    if (report.accepted && report.rolled_back == contains(how.merges, report.id)) changed.push_back(report);
  }
  for (auto& report : changed) {
    report.rolled_back = !report.rolled_back;
    const bool itself = report.id == how.drift;
    const char* what = report.rolled_back ? "undone" : "done again";
    report.reason = itself ? fmt::format("merged, and {} {} after {}", what,
                                         how.by_hand ? "by hand" : "for its former model, which learned on, did better", counted(serving.samples(), "sample"))
                           : fmt::format("merged, and {} together with the merge of drift {}", what, how.drift);
    if (report.rolled_back) {
      ++counters_.rolled_back;
    } else if (counters_.rolled_back > 0) {
      --counters_.rolled_back;
    }
    tell(report, report.rolled_back ? Event::Kind::rolled_back : Event::Kind::redone,
         fmt::format("{}; the model in force is {} behind: it has not learned from them", report.reason, counted(behind, "sample")),
         {.subject = how.by_hand ? "operator" : "the former model", .figures = {{"samples_behind", static_cast<double>(behind)}}});
  }
  context_.on_settled();
}

FormerModels Healing::formers() const {
  auto out = formers_;
  const auto now = context_.serving.samples();
  if (shadow_) {
    const auto& [drift, before, helper] = shadow_->merge();
    out.keep({drift, now, before, shadow_->model().encode(), formers_.missed_in_force()});
  }
  if (watch_ && !provisional()) {
    out.keep({story_->report.id, now, merges_before(story_->report.id), watch_->shadow().encode(), formers_.missed_in_force()});
  }
  return out;
}

Journal Healing::journal_to_keep() const {
  auto out = journal_;
  if (provisional()) {
    auto report = story_->report;
    report.rolled_back = true;
    out.put(report);
  }
  return out;
}

void Healing::restore(const Counters& counters, Journal journal, FormerModels formers) {
  drop();
  counters_ = counters;
  journal_ = std::move(journal);
  formers_ = std::move(formers);
  journal_.interrupt(context_.serving.samples(), context_.executor.wall_ms());
  // Before there was a journal in the snapshot, the counter told how many ids had been given.
  next_id_ = 1 + std::max(counters_.drifts, journal_.reports().empty() ? 0 : journal_.reports().back().id);
}

}  // namespace p2p::node

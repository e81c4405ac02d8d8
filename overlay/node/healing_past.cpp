// What a story asks about, and of the node's own past before anybody else.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "overlay/node/diagnosis.hpp"
#include "overlay/node/healing.hpp"

namespace p2p::node {
namespace {

using learner::DriftCause;

constexpr std::size_t kFewestAsked = 8;  // latest samples that a question describes, if fewer came since the change

}  // namespace

void Healing::on_known_concept(const Standby::Report& report) {
  // A story that runs tries the past by itself, and a watch has the former model beside it.
  if (story_) return;
  begin({learner::DriftLevel::drift, DriftCause::known_concept, {}, report.since}, {.expected = report.archived});
}

void Healing::diagnose_change() {
  auto& report = story_->report;
  const auto& past = context_.serving.checkpoints().before(story_->change_at);
  if (!past.model) return;
  const auto after = static_cast<std::size_t>(context_.serving.samples() - story_->change_at);
  auto diagnosis = diagnose(past.experience, context_.serving.recent_fingerprint(after), report.cause);
  report.kind = diagnosis.kind;
  // The errors named classes; what they have in common may be more than that.
  if (diagnosis.kind == DriftKind::changed_inputs) report.classes.clear();
  if (diagnosis.kind == DriftKind::grown_classes && report.classes.empty()) report.classes = diagnosis.classes;
}

metadata::Need Healing::need() const {
  if (few_labels()) {
    const auto samples = context_.inputs.waiting_after(story_->inputs->change, context_.options.without_labels.window);
    return {.experience = context_.inputs.marginal(samples), .classes = {}, .by = metadata::By::marginal};
  }
  const auto since = static_cast<std::size_t>(context_.serving.samples() - story_->change_at);
  // After a change of concept what came before it would only blur the question, however few samples there are yet.
  const bool same_concept = story_->report.cause == DriftCause::new_class;
  const auto least = same_concept ? context_.options.query_samples : std::min(kFewestAsked, context_.options.query_samples);
  return {.experience = context_.serving.recent_fingerprint(std::max(since, least)),
          .classes = story_->report.classes};
}

void Healing::archive_past() {
  auto& story = *story_;
  if (story.report.cause == DriftCause::new_class || story.follow_up) return;  // what was known before still holds
  const auto& past = context_.serving.checkpoints().before(story.change_at);
  if (past.model && past.samples >= concept_began_ + kWorthKeeping) {
    story.report.archived = context_.library.archive(past.model->partition({}, context_.options.part_precision),
                                                     past.experience, context_.serving.samples());
  }
  concept_began_ = story.change_at;
}

std::vector<Received> Healing::own_concepts(std::size_t most) const {
  std::vector<Received> out;
  const auto need = this->need();
  for (const auto& near : context_.library.near(need, context_.library.all().size())) {
    const auto id = near.archived->id;
    if (id == story_->report.archived || (story_->expected != 0 ? id != story_->expected : out.size() == most)) continue;
    Received own;
    own.helper.fingerprint = near.archived->fingerprint;
    own.helper.distance = near.distance;
    own.helper.accuracy = needed_accuracy(need, near.archived->fingerprint);
    own.part = near.archived->part;
    own.archived = near.archived->id;
    out.push_back(std::move(own));
  }
  return out;
}

bool Healing::recall() {
  auto own = own_concepts(kOwnTried);
  if (own.empty()) return false;
  story_->recall_until = context_.serving.samples() + context_.options.recall_patience;
  tell(Event::Kind::recalled,
       fmt::format("{} own past concept{} enter{} a trial first", own.size(), own.size() == 1 ? "" : "s",
                   own.size() == 1 ? "s" : ""),
       {.subject = fmt::format("own concept {}", own.front().archived),
        .figures = {{"concepts", static_cast<double>(own.size())}, {"distance", own.front().helper.distance}}});
  try_parts(std::move(own));
  return true;
}

}  // namespace p2p::node

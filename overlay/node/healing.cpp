#include "overlay/node/healing.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace p2p::node {
namespace {

using learner::ClassIndex;
using learner::DriftCause;
using learner::Trial;

std::string classes_text(const std::vector<ClassIndex>& classes) {
  if (classes.empty()) return "all classes";
  return fmt::format("class{} {}", classes.size() == 1 ? "" : "es", fmt::join(classes, ", "));
}

std::string tally_text(const Trial::Tally& tally) {
  return fmt::format("right on {} of {} samples against {} ({} won, {} lost)", tally.challenger_correct,
                     tally.samples, tally.champion_correct, tally.wins, tally.losses);
}

void add_class(std::vector<ClassIndex>& classes, ClassIndex c) {
  const auto at = std::lower_bound(classes.begin(), classes.end(), c);
  if (at == classes.end() || *at != c) classes.insert(at, c);
}

double milliseconds(Duration duration) { return static_cast<double>(duration.count()) / 1000; }

double figure(std::size_t count) { return static_cast<double>(count); }

Step lookup_step(const Quest::Findings& findings) {
  Step step;
  step.figures = {{"gets", figure(findings.gets)},
                  {"questions", figure(findings.questions)},
                  {"candidates", figure(findings.candidates)},
                  {"ms", milliseconds(findings.lookup)}};
  return step;
}

double gain(const Trial::Tally& tally) {
  if (tally.samples == 0) return 0;
  return (static_cast<double>(tally.challenger_correct) - static_cast<double>(tally.champion_correct)) /
         static_cast<double>(tally.samples);
}

}  // namespace

void Healing::tell(Event::Kind kind, std::string text, Step more) {
  P2P_ASSERT(story_.has_value());
  tell(story_->report, kind, std::move(text), std::move(more));
}

void Healing::tell(DriftReport& report, Event::Kind kind, std::string text, Step more) {
  more.kind = kind;
  more.samples = context_.serving.samples();
  more.wall_ms = context_.executor.wall_ms();
  more.text = text;
  add_step(report, std::move(more));
  journal_.put(report);
  context_.tell(kind, fmt::format("drift {}: {}", report.id, text), report);
}

Step Healing::trial_step() const {
  Step step;
  step.subject = contest_->label(contest_->best());
  for (std::size_t i = 0; i < contest_->size(); ++i) {
    step.challengers.push_back({contest_->label(i), contest_->tally(i), contest_->luck(i)});
  }
  step.figures = {{"ms", milliseconds(context_.executor.now() - story_->trial_began)}};
  return step;
}

Step Healing::watch_step() const {
  Step step;
  step.challengers = {{"the former model", watch_->tally(), watch_->luck()}};
  return step;
}

void Healing::on_signal(const learner::DriftSignal& signal) {
  if (signal.level != learner::DriftLevel::drift) return;
  if (phase_ == Phase::watching) judge_watch(watch_->by_count(), true);
  if (!story_) return begin(signal, {});
  if (!story_->retry_at && covers(story_->report, signal)) {
    ++counters_.drifts;
    DriftReport report;
    report.id = next_id_++;
    report.detected_at = context_.serving.samples();
    report.since = signal.since;
    report.cause = signal.cause;
    report.classes = signal.classes;
    report.part_of = story_->report.id;
    report.finished = true;
    report.reason = fmt::format("left to drift {}, which is being healed", story_->report.id);
    return tell(report, Event::Kind::drift_detected,
                fmt::format("{} in {}, {}", learner::name(report.cause), classes_text(report.classes), report.reason),
                {.figures = {{"since", figure(report.since)}}});
  }
  const Story former = std::move(*story_);
  story_.reset();
  begin(signal, {.superseded = &former});
}

bool Healing::covers(const DriftReport& running, const learner::DriftSignal& signal) const {
  if (running.classes.empty()) return true;
  if (signal.classes.empty()) return false;
  return std::all_of(signal.classes.begin(), signal.classes.end(), [&](ClassIndex c) {
    return std::find(running.classes.begin(), running.classes.end(), c) != running.classes.end();
  });
}

void Healing::begin(const learner::DriftSignal& signal, const Origin& origin) {
  const auto* superseded = origin.superseded;
  ++counters_.drifts;
  Story story;
  story.report.id = next_id_++;
  story.report.detected_at = context_.serving.samples();
  story.report.since = std::max<std::size_t>(1, signal.since);
  story.report.cause = signal.cause;
  story.report.classes = signal.classes;
  std::sort(story.report.classes.begin(), story.report.classes.end());
  story.detected = context_.executor.now();
  story.change_at =
      story.report.detected_at - std::min<std::uint64_t>(story.report.since, story.report.detected_at);
  story.before = context_.serving.accuracy_before(story.change_at);
  if (origin.before) story.before = *origin.before;
  story.tried = origin.tried;
  story.follow_up = origin.follow_up;
  story.expected = origin.expected;
  if (origin.inputs) {
    story.inputs = origin.inputs;
    // Where the change lies is known to some tens of samples only, and labels from before it would speak for the past:
    // those of the later half are certain enough.
    const auto certain = context_.inputs.labelled_after(context_.inputs.latest() - origin.inputs->since / 2);
    story.change_at = story.report.detected_at - std::min<std::uint64_t>(certain, story.report.detected_at);
  }
  if (signal.cause == DriftCause::class_error || signal.cause == DriftCause::confusion) {
    // The alarm names the class that rang first. Where its concept changed, others often suffer from the same change
    // (two labels that were swapped); a merge of one alone would make the others' errors the new normal.
    for (const auto c : context_.serving.suffering({.since = story.change_at,
                        .least = context_.options.drift.minimum_class_count,
                        .loss = context_.options.drift.permitted_loss})) {
      add_class(story.report.classes, c);
    }
  }
  if (superseded) {
    if (quest_) quest_->cancel();
    quest_.reset();
    contest_.reset();
    auto ended = superseded->report;
    ended.finished = true;
    ended.reason = fmt::format("{}superseded by drift {}, which goes on for its classes too",
                               ended.reason.empty() ? "" : ended.reason + "; ", story.report.id);
    tell(ended, Event::Kind::settled, ended.reason);
    if (!story.report.classes.empty() && !ended.classes.empty()) {
      for (const auto c : ended.classes) add_class(story.report.classes, c);
      if (ended.cause != story.report.cause) story.report.cause = DriftCause::class_error;
    }
    if (!origin.inputs) story.change_at = std::min(story.change_at, superseded->change_at);
    story.before = superseded->before;
    story.follow_up = superseded->follow_up;
    story.tried = superseded->tried;
    story.report.archived = ended.archived;
  }
  story_ = std::move(story);
  phase_ = Phase::learning;
  diagnose_change();
  archive_past();
  tell(Event::Kind::drift_detected,
       fmt::format("{}, {}, in {}, about {} samples ago", learner::name(story_->report.cause), name(story_->report.kind),
                   classes_text(story_->report.classes), story_->report.since),
       {.figures = {{"since", figure(story_->report.since)},
                    {"accuracy_before", story_->before},
                    {"archived", figure(story_->report.archived)}}});
  if (story_->report.kind == DriftKind::changed_mix) {
    return wait("the mix of well-known classes changed, which asks for nothing new");
  }
  if (story_->inputs) return heal_by_inputs();
  if (!recall()) ask();
}

void Healing::ask() {
  auto& story = *story_;
  story.recall_until.reset();
  story.retry_at.reset();
  phase_ = Phase::learning;
  if (story.report.cause == DriftCause::known_concept) {
    story.report.reason = "a past concept seemed to be back, but its model did not win its trial";
    return end();
  }
  if (!context_.directory || !context_.exchange) {
    story.report.reason = "there is no overlay to ask; this node learns on alone";
    return end();
  }
  ++story.report.attempts;
  Quest::Request request;
  request.need = need();
  // Where no label has come nobody can say how well the model in force does.
  if (!few_labels()) request.own_accuracy = needed_accuracy(request.need, request.need.experience);
  request.skip = [this](const metadata::NodeId& peer) { return shunned(peer); };
  request.trust = [this](const metadata::NodeId& peer) { return trust_.worth(peer); };

  const auto& options = context_.options;
  Quest::Options quest{.lookup = options.lookup,
                       .ask = options.ask,
                       .pull_from = options.pull_from,
                       .ask_deadline = options.ask_deadline,
                       .pull_deadline = options.pull_deadline,
                       .pull_grace = options.pull_grace};
  if (story.inputs) quest.pull_from = std::max(quest.pull_from, options.without_labels.helpers);
  quest.lookup.want = std::max(quest.lookup.want, options.ask);
  Quest::Observer observer;
  observer.on_stage = [this](Quest::Stage stage, const Quest::Findings& findings) { on_stage(stage, findings); };
  observer.on_refused = [this](const metadata::NodeId& peer, const Error& error) { refuse(peer, error); };
  observer.on_part = [this](const Received& received) {
    story_->report.bytes_pulled += received.bytes;
    counters_.bytes_pulled += received.bytes;
    const double took = milliseconds(context_.executor.now() - story_->pull_began);
    tell(Event::Kind::part_pulled,
         fmt::format("{} block{}, {} bytes, from {} after {:.1f} ms", received.part.blocks.size(),
                     received.part.blocks.size() == 1 ? "" : "s", received.bytes, received.helper.peer.id.brief(), took),
         {.subject = received.helper.peer.id.brief(),
          .figures = {{"blocks", figure(received.part.blocks.size())},
                      {"bytes", figure(received.bytes)},
                      {"ms", took},
                      {"distance", received.helper.distance}}});
  };
  observer.on_done = [this](Quest::Findings findings) { on_found(std::move(findings)); };
  phase_ = Phase::looking_up;
  quest_ = std::make_shared<Quest>(Quest::Context{context_.executor, *context_.directory, *context_.exchange,
                                                  context_.task, context_.serving.spec().classes},
                                   quest, std::move(request), std::move(observer));
  quest_->start();
}

void Healing::on_stage(Quest::Stage stage, const Quest::Findings& findings) {
  auto& report = story_->report;
  if (stage == Quest::Stage::asking) {
    phase_ = Phase::asking;
    report.gets += findings.gets;
    report.candidates += findings.candidates;
    report.lookup = findings.lookup;
    tell(Event::Kind::lookup_done,
         fmt::format("{} candidate{} in {:.1f} ms", findings.candidates, findings.candidates == 1 ? "" : "s",
                     milliseconds(findings.lookup)),
         lookup_step(findings));
    return;
  }
  phase_ = Phase::pulling;
  report.ask = findings.ask;
  report.helper = findings.nearest_id;
  report.helper_distance = findings.nearest;
  story_->pull_began = context_.executor.now();
  tell(Event::Kind::described,
       fmt::format("{} peer{} described, in {:.1f} ms; the best is {} at distance {:.3f}", findings.described,
                   findings.described == 1 ? "" : "s", milliseconds(findings.ask), findings.nearest_id, findings.nearest),
       {.subject = findings.nearest_id,
        .figures = {{"described", figure(findings.described)},
                    {"distance", findings.nearest},
                    {"ms", milliseconds(findings.ask)}}});
}

void Healing::on_found(Quest::Findings findings) {
  // The quest is the caller: it lives until it returns.
  const auto keep = std::move(quest_);
  auto& report = story_->report;
  if (phase_ == Phase::looking_up) {  // it ended there
    report.gets += findings.gets;
    report.candidates += findings.candidates;
    report.lookup = findings.lookup;
    tell(Event::Kind::lookup_done, findings.nothing, lookup_step(findings));
  }
  report.ask = findings.ask;
  report.pull = findings.pull;
  report.parts += findings.parts.size();
  report.blocks += findings.blocks;
  for (auto& own : own_concepts(1)) findings.parts.push_back(std::move(own));
  if (findings.parts.empty()) return try_again_or_end(findings.nothing);
  try_parts(std::move(findings.parts));
}

void Healing::try_parts(std::vector<Received> parts) {
  auto& story = *story_;
  auto& serving = context_.serving;
  story.trial_began = context_.executor.now();
  // A change of everything is judged on what came after it. Where only some classes are concerned, the samples
  // shortly before count too: there the part must do no harm to the rest.
  const bool whole = story.report.classes.empty();
  const std::uint64_t lead = whole ? 0 : context_.options.trial_lead;
  const std::uint64_t judge_from = story.change_at - std::min(lead, story.change_at);
  const auto& base = serving.checkpoints().before(judge_from);
  auto stretch = serving.since(base.samples);
  const auto index = [&](std::uint64_t samples) {
    return static_cast<std::size_t>(std::max(samples, stretch.first) - stretch.first);
  };
  const std::size_t judge_index = std::min(index(judge_from), stretch.tape.size());
  const std::size_t change_index = std::min(index(story.change_at), stretch.tape.size());
  auto trial = context_.options.trial;
  if (story.report.cause == DriftCause::new_class || story.report.cause == DriftCause::confusion) {
    trial.alpha = context_.options.class_alpha;
  }
  contest_ =
      std::make_unique<Contest>(Contest::Setup{.base = base.model,
                                               .tape = std::move(stretch.tape),
                                               .judge_from = judge_index,
                                               .change_at = change_index,
                                               .classes = story.report.classes,
                                               .classes_changed = story.report.cause != DriftCause::new_class,
                                               .trial = trial});
  story.parts = std::move(parts);
  story.look_at = context_.inputs.latest() + context_.options.without_labels.after;
  phase_ = Phase::trying;
  journal_.put(story.report);  // without labels it may rest here for long
  for (const auto& refusal : contest_->enter(story.parts)) {
    if (story.parts[refusal.part].archived == 0) refuse(story.parts[refusal.part].helper.peer.id, refusal.error);
  }
  if (contest_->empty()) {
    contest_.reset();
    story.parts.clear();
    return story.recall_until ? ask() : try_again_or_end("no part that came in was sound");
  }
  work();
}

void Healing::work() {
  // In slices, so that a long replay does not hold up the samples that come in meanwhile.
  context_.executor.post([weak = weak_from_this(), id = story_->report.id] {
    const auto self = weak.lock();
    if (!self || !self->contest_ || !self->story_ || self->story_->report.id != id) return;
    self->contest_->advance(kSlice);
    if (!self->contest_->caught_up()) return self->work();
    self->judge();
  });
}

void Healing::on_sample(std::uint64_t ticket, learner::Features x, ClassIndex label, ClassIndex predicted) {
  if (shadow_) follow_shadow(x, label, predicted);
  if (!story_) return;
  if (story_->inputs && ticket <= story_->inputs->change) {  // a late label from before the change
    if (few_labels()) story_->change_at = context_.serving.samples();
    return;
  }
  if (phase_ == Phase::trying && contest_) {
    contest_->append(x, label, predicted);
    contest_->advance(2);  // gains on the stream even when the executor has no time for slices
    if (contest_->caught_up()) judge();
  } else if (phase_ == Phase::watching) {
    watch_->step(x, label, predicted);
    confirm();
    auto verdict = watch_->verdict();
    // Better than what it replaced, and yet far from what this node could do before: somebody may know more.
    if (verdict == Watch::Verdict::undecided && !story_->follow_up && watch_->tally().samples == kFarBelowAfter &&
        context_.serving.accuracy_of_latest(kFarBelowAfter) < story_->before - context_.options.drift.permitted_loss) {
      verdict = watch_->by_count();
    }
    judge_watch(verdict);
  } else if (phase_ == Phase::learning && story_->retry_at && context_.serving.samples() >= *story_->retry_at) {
    look_again();
  }
}

void Healing::judge() {
  const auto verdict = context_.options.untried ? Trial::Verdict::accept : contest_->verdict();
  const bool accepted = verdict == Trial::Verdict::accept;
  if (story_->recall_until && !accepted) {
    if (!contest_->caught_up()) return;
    const auto& ahead = contest_->tally(contest_->best());
    const bool hopeful = ahead.wins > ahead.losses + kAhead && context_.serving.samples() < *story_->recall_until;
    if (verdict == Trial::Verdict::undecided && hopeful) return;
    tell(Event::Kind::trial_done, fmt::format("no own past concept won: the best was {}", tally_text(ahead)), trial_step());
    contest_.reset();
    story_->parts.clear();
    return ask();
  }
  if (verdict == Trial::Verdict::undecided) return;
  const auto index = context_.options.untried ? 0 : contest_->best();
  auto& report = story_->report;
  report.tally = contest_->tally(index);
  report.luck = contest_->luck(index);
  report.trial = context_.executor.now() - story_->trial_began;
  const auto& best = story_->parts[contest_->part_of(index)];
  report.own_concept = best.archived;
  report.helper = best.archived != 0 ? "" : best.helper.peer.id.brief();
  report.helper_distance = best.helper.distance;
  tell(Event::Kind::trial_done,
       fmt::format("{} {}: {}", contest_->label(index), accepted ? "won" : "did not win", tally_text(report.tally)),
       trial_step());
  accepted ? merge(index) : rejected();
}

void Healing::merge(std::size_t winner, const std::string& provisionally) {
  auto& story = *story_;
  auto& report = story.report;
  auto& serving = context_.serving;
  const auto correct = contest_->correct(winner);
  const auto label = contest_->label(winner);
  const auto& part = story.parts[contest_->part_of(winner)];
  story.helper.reset();
  if (part.archived == 0) {
    story.helper = part.helper.peer;
  } else {
    context_.library.used(part.archived, serving.samples());
  }
  report.provisional = story.unconfirmed = !provisionally.empty();
  if (report.cause != DriftCause::new_class && !story.unconfirmed) {
    serving.forget_before(story.change_at, report.classes, correct);
  }
  watch_ =
      std::make_unique<Watch>(serving.replace(contest_->take(winner)),
                              Watch::Options{.samples = std::max<std::size_t>(1, context_.options.watch_samples),
                                             .alpha = context_.options.watch_alpha});
  contest_.reset();
  story.parts.clear();
  story.recall_until.reset();
  phase_ = Phase::watching;
  ++counters_.accepted;
  report.accepted = true;
  report.merged_at = serving.samples();
  report.detect_to_merge = context_.executor.now() - story.detected;
  report.reason = report.provisional ? fmt::format("{} is in force until labels decide: {}", label, provisionally)
                                     : fmt::format("{} won its trial: {}", label, tally_text(report.tally));
  tell(Event::Kind::merged, fmt::format("merged {}", label),
       {.subject = label, .figures = {{"ms", milliseconds(report.detect_to_merge)}}});
  context_.on_settled();
  if (context_.options.watch_samples == 0) judge_watch(Watch::Verdict::keep);
}

void Healing::rejected() {
  auto& story = *story_;
  const auto worth = gain(story.report.tally);
  const bool futile = contest_->futile();
  bool asked_others = false;
  for (const auto& part : story.parts) {
    if (part.archived != 0) continue;
    asked_others = true;
    story.tried.push_back(part.helper.peer.id);
    value(part.helper.peer, std::min(0.0, worth));
  }
  contest_.reset();
  story.parts.clear();
  // Those were no help at all, so somebody else may be: others are asked now, not when more samples have come.
  if (futile && asked_others && story.report.attempts < kQuickAttempts) return ask();
  try_again_or_end(fmt::format("nothing that came in did better: {}", tally_text(story.report.tally)));
}

void Healing::judge_watch(Watch::Verdict verdict, bool signalled) {
  if (verdict == Watch::Verdict::undecided) return;
  auto& story = *story_;
  auto& report = story.report;
  report.watch = watch_->tally();
  const bool back = verdict == Watch::Verdict::roll_back;
  auto step = watch_step();
  if (!back) {
    settle_provisional();
    keep_former(report.id, watch_->shadow());
    if (context_.options.shadow.samples > 0 && report.watch.samples > 0 && !(shadow_ && shadow_->ahead())) {
      shadow_.emplace(context_.options.shadow, Shadow::Merge{report.id, merges_before(report.id), story.helper}, watch_->former());
    }
  } else {
    context_.serving.replace(watch_->former());
    ++counters_.rolled_back;
    report.rolled_back = true;
    report.reason = fmt::format("merged, and undone: the former model was {}", tally_text(report.watch));
  }
  watch_.reset();
  if (story.helper) {
    value(*story.helper, back || report.provisional ? -gain(report.watch) : gain(report.tally));
  }
  if (back) {
    tell(Event::Kind::rolled_back, report.reason, std::move(step));
  } else if (report.watch.samples > 0) {
    tell(Event::Kind::watched, fmt::format("the merge stays: the former model was {}", tally_text(report.watch)),
         std::move(step));
  }
  const auto watched = report.watch;
  Origin origin{.follow_up = true, .before = story.before, .tried = std::move(story.tried)};
  if (story.helper) origin.tried.push_back(story.helper->id);
  const bool again = !story.follow_up && !signalled;
  end();
  const double now = static_cast<double>(back ? watched.challenger_correct : watched.champion_correct) /
                     static_cast<double>(std::max<std::size_t>(1, watched.samples));
  if (again && now < *origin.before - context_.options.drift.permitted_loss) {
    begin({learner::DriftLevel::drift, DriftCause::overall_error, {}, watched.samples}, origin);
  }
}

void Healing::value(const overlay::Exchange::Peer& peer, double worth) {
  trust_.record(peer.id, worth, context_.executor.now());
  context_.exchange->feedback(peer, context_.task, worth);
}

void Healing::try_again_or_end(std::string reason) {
  auto& story = *story_;
  phase_ = Phase::learning;
  if (story.report.attempts < kAttempts) return wait(std::move(reason));
  story.report.reason = std::move(reason) + "; this node learns on alone";
  if (story.report.tally.samples > 0) {
    ++counters_.rejected;
    tell(Event::Kind::rejected, story.report.reason);
  }
  end();
}

void Healing::wait(std::string reason) {
  auto& story = *story_;
  story.retry_at = context_.serving.samples() + context_.options.retry_after;
  story.look_at = context_.inputs.latest() + context_.options.retry_after;
  story.report.reason = std::move(reason) + "; will look again";
  tell(Event::Kind::waiting, story.report.reason,
       {.figures = {{"until", static_cast<double>(*story.retry_at)}}});
}

void Healing::look_again() {
  auto& story = *story_;
  story.retry_at.reset();
  const double now = context_.serving.accuracy_of_latest(context_.options.query_samples);
  if (few_labels()) return heal_by_inputs();
  if (now >= story.before - context_.options.drift.permitted_loss / 2) {
    story.report.reason += "; by then this node had learned it by itself";
    return end();
  }
  if (!recall()) ask();
}

void Healing::end() {
  auto& report = story_->report;
  report.finished = true;
  phase_ = Phase::learning;
  tell(Event::Kind::settled, report.reason);
  story_.reset();
  context_.on_settled();
}

void Healing::refuse(const metadata::NodeId& peer, const Error& error) {
  const auto now = context_.executor.now();
  trust_.bar(peer, now + context_.options.distrust_for, now);
  tell(Event::Kind::peer_refused, fmt::format("{} is not asked again for a while: {}", peer.brief(), error.text()),
       {.subject = peer.brief()});
}

bool Healing::shunned(const metadata::NodeId& peer) const {
  if (trust_.barred(peer, context_.executor.now())) return true;
  return std::find(story_->tried.begin(), story_->tried.end(), peer) != story_->tried.end();
}

void Healing::drop() {
  if (quest_) quest_->cancel();
  quest_.reset();
  contest_.reset();
  watch_.reset();
  shadow_.reset();
  story_.reset();
  phase_ = Phase::learning;
}

void Healing::stop() {
  drop();
  context_.tell = [](Event::Kind, std::string, const DriftReport&) {};
  context_.on_settled = [] {};
}

}  // namespace p2p::node

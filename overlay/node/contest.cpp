#include "overlay/node/contest.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace p2p::node {
namespace {

using learner::ClassIndex;
using learner::MergeOptions;
using learner::Trial;

constexpr float kKnownCount = 5;  // samples of a class that make a peer's rows for it worth having

/// Of a part: the needed classes, or every class that the helper says it knows.
std::vector<ClassIndex> worth_taking(const Received& received, const std::vector<ClassIndex>& needed) {
  if (!needed.empty()) return needed;
  std::vector<ClassIndex> known;
  const auto& fingerprint = received.helper.fingerprint;
  for (std::uint32_t c = 0; c < fingerprint.classes; ++c) {
    if (fingerprint.count[c] >= kKnownCount) known.push_back(static_cast<ClassIndex>(c));
  }
  return known;
}

bool knows(const Received& received, ClassIndex c) {
  const auto& count = received.helper.fingerprint.count;
  return static_cast<std::size_t>(c) < count.size() && count[static_cast<std::size_t>(c)] >= kKnownCount;
}

std::string origin(const Received& received) {
  if (received.archived != 0) return fmt::format("own concept {}", received.archived);
  const auto peer = received.helper.peer.id.brief();
  return received.helper.concept_id == 0 ? peer : fmt::format("{}, its concept {}", peer, received.helper.concept_id);
}

std::size_t count_last(const std::vector<bool>& bits, std::size_t last) {
  return static_cast<std::size_t>(std::count(bits.end() - static_cast<std::ptrdiff_t>(last), bits.end(), true));
}

}  // namespace

Contest::Contest(Setup setup) : setup_(std::move(setup)), trial_(setup_.trial) {
  P2P_ASSERT(setup_.base && setup_.judge_from <= setup_.tape.size());
}

std::vector<Contest::Refusal> Contest::enter(std::span<const Received> parts) {
  std::vector<Refusal> refusals;
  auto base = setup_.base->clone();
  for (; next_ < setup_.judge_from; ++next_) {
    const auto item = setup_.tape.at(next_);
    base->learn(item.x, item.label);
  }
  std::vector<std::size_t> sound;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto& received = parts[i];
    const auto brief = origin(received);
    const bool own = received.archived != 0;
    const auto classes = worth_taking(received, setup_.classes);
    auto merged = base->clone();
    if (auto done = merged->merge(received.part, {.classes = classes, .mode = MergeOptions::Mode::replace});
        !done) {
      refusals.push_back({i, done.error()});
      continue;
    }
    if (!own) sound.push_back(i);
    if (!own || !setup_.classes.empty()) {
      enter(setup_.classes.empty()
                ? fmt::format("{}, all that it knows", brief)
                : fmt::format("{}, class{} {}", brief, classes.size() == 1 ? "" : "es", fmt::join(classes, " ")),
            i, std::move(merged));
    }
    if (!setup_.classes.empty() && !own) continue;
    auto plain = learner::make_model(base->spec());
    P2P_ASSERT(plain.has_value());  // this spec has made a model before
    if (auto done = (*plain)->merge(received.part, {.classes = {}, .mode = MergeOptions::Mode::replace}); done) {
      enter(fmt::format("{}, {}", brief, own ? "as it was" : "its model as it is"), i, std::move(*plain), true);
    }
  }
  if (sound.size() >= 2) {
    const auto& first = parts[sound[0]];
    const auto& second = parts[sound[1]];
    auto both = base->clone();
    auto from_first = worth_taking(first, setup_.classes);
    std::vector<ClassIndex> alone, shared;
    for (const auto c : worth_taking(second, setup_.classes)) {
      if (knows(second, c)) (knows(first, c) ? shared : alone).push_back(c);
    }
    std::erase_if(from_first, [&](ClassIndex c) { return !knows(first, c); });
    bool whole = !from_first.empty() && (!alone.empty() || !shared.empty());
    const auto add = [&](const Received& received, std::vector<ClassIndex> classes, MergeOptions::Mode mode) {
      if (whole && !classes.empty()) whole = both->merge(received.part, {std::move(classes), mode}).has_value();
    };
    add(first, from_first, MergeOptions::Mode::replace);
    add(second, alone, MergeOptions::Mode::replace);
    add(second, shared, MergeOptions::Mode::blend);
    if (whole) {
      enter(fmt::format("{} and {} together", origin(first), origin(second)),
            sound[0], std::move(both));
    }
  }
  return refusals;
}

void Contest::enter(std::string label, std::size_t part, std::unique_ptr<learner::Model> model, bool plain) {
  trial_.enter(std::move(label), std::move(model));
  entrants_.push_back({part, plain});
}

void Contest::append(learner::Features x, ClassIndex label, ClassIndex predicted) {
  setup_.tape.append(x, label, predicted);
}

void Contest::advance(std::size_t budget) {
  for (; budget > 0 && next_ < setup_.tape.size(); --budget, ++next_) {
    const auto item = setup_.tape.at(next_);
    if (setup_.classes_changed && next_ < setup_.change_at &&
        std::find(setup_.classes.begin(), setup_.classes.end(), item.label) != setup_.classes.end()) {
      continue;
    }
    std::vector<std::size_t> before(entrants_.size());
    for (std::size_t i = 0; i < entrants_.size(); ++i) before[i] = trial_.tally(i).challenger_correct;
    trial_.step(item.x, item.label, item.predicted);
    champion_correct_.push_back(item.predicted == item.label);
    for (std::size_t i = 0; i < entrants_.size(); ++i) {
      entrants_[i].correct.push_back(trial_.tally(i).challenger_correct > before[i]);
    }
  }
}

bool Contest::holds_up(std::size_t index) const {
  const std::size_t last = std::min(kRecent, champion_correct_.size());
  const std::size_t lead = setup_.classes.empty() ? 0 : kWorthwhile;
  return count_last(entrants_[index].correct, last) >= count_last(champion_correct_, last) + lead;
}

std::optional<std::size_t> Contest::plain(std::size_t part) const {
  for (std::size_t i = 0; i < entrants_.size(); ++i) {
    if (entrants_[i].part == part && entrants_[i].plain) return i;
  }
  return {};
}

std::size_t Contest::best() const {
  const auto best = trial_.best();
  P2P_ASSERT(best.has_value());
  return *best;
}

bool Contest::futile() const {
  if (!caught_up() || champion_correct_.size() < kFutile) return false;
  for (std::size_t i = 0; i < entrants_.size(); ++i) {
    if (trial_.tally(i).wins > trial_.tally(i).losses) return false;
  }
  return true;
}

Trial::Verdict Contest::verdict() const {
  using Verdict = Trial::Verdict;
  if (entrants_.empty()) return Verdict::reject;
  const auto verdict = trial_.verdict();
  if (verdict == Verdict::reject) return verdict;
  if (!caught_up()) return Verdict::undecided;
  if (futile()) return Verdict::reject;
  if (verdict == Verdict::accept && holds_up(best())) return verdict;
  return champion_correct_.size() >= setup_.trial.maximum_samples ? Verdict::reject : Verdict::undecided;
}

}  // namespace p2p::node

#include "overlay/directory/walk.hpp"

#include <algorithm>
#include <cstring>

namespace p2p::directory {

namespace {

Brief brief_of(const std::uint8_t* bytes) {
  Brief out = 0;
  std::memcpy(&out, bytes, sizeof out);
  return out;
}

}  // namespace

Brief brief(const PresencePrefix& id) { return brief_of(id.data()); }
Brief brief(const Hint& hint) { return brief_of(hint.id.data()); }
Brief brief(const metadata::NodeId& presence) { return brief_of(presence.bytes.data()); }

Walk::Known* Walk::find(Brief node) {
  const auto found = std::find_if(known_.begin(), known_.end(), [&](const Known& k) { return brief(k.hint) == node; });
  return found == known_.end() ? nullptr : &*found;
}

Walk::Credit& Walk::credit(Brief source) {
  const auto found =
      std::find_if(credits_.begin(), credits_.end(), [&](const Credit& c) { return c.source == source; });
  if (found != credits_.end()) return *found;
  return credits_.emplace_back(Credit{source});
}

/// 0: somebody who gave this hint has not been wrong yet. Towards 1: all who did were.
double Walk::doubt(const Known& known) const {
  if (known.sources.empty() || known.state == State::answered) return 0;
  double least = 1;
  for (const auto source : known.sources) {
    const auto found =
        std::find_if(credits_.begin(), credits_.end(), [&](const Credit& c) { return c.source == source; });
    if (found == credits_.end()) return 0;
    least = std::min(least, found->bad / (found->good + found->bad + 1));
  }
  return least;
}

void Walk::settle(const Known& known, bool good) {
  for (const auto source : known.sources) {
    Credit& c = credit(source);
    (good ? c.good : c.bad) += 1;
  }
}

/// A node could make up any number of concepts, and be asked for nothing but those.
bool Walk::exhausted(const metadata::Endpoint& at) const {
  if (at.port == 0) return false;
  const auto answered = std::count_if(known_.begin(), known_.end(), [&](const Known& k) {
    return k.state == State::answered && k.hint.at == at;
  });
  return static_cast<std::size_t>(answered) >= kMostAtOne;
}

/// Nobody who gave this hint has been right yet, and one of his is being tried, or his own experience is on its way: that
/// will tell.
bool Walk::untried(const Known& known) const {
  if (known.sources.empty()) return false;
  return std::all_of(known.sources.begin(), known.sources.end(), [&](Brief source) {
    if (const Known* giver = this->known(source); giver && giver->unproven) return true;
    const auto found =
        std::find_if(credits_.begin(), credits_.end(), [&](const Credit& c) { return c.source == source; });
    return found != credits_.end() && found->good == 0 && found->pending > 0;
  });
}

void Walk::begin(const Known& known) {
  ++pending_;
  for (const auto source : known.sources) ++credit(source).pending;
}

void Walk::end(const Known& known) {
  --pending_;
  leave_sources(known);
}

void Walk::leave_sources(const Known& known) {
  for (const auto source : known.sources) {
    Credit& c = credit(source);
    c.pending -= c.pending > 0 ? 1 : 0;  // who named it after it was asked did not wait for it
  }
}

void Walk::shun(Brief node) {
  shunned_.push_back(node);
  std::erase_if(known_, [&](const Known& k) { return brief(k.hint) == node && k.state == State::heard; });
}

void Walk::met(const Hint& hint, bool proof_comes) {
  hear(hint, kOurselves);
  Known* known = find(brief(hint));
  if (!known || known->state != State::heard) return;
  known->state = State::answered;
  known->claimed = hint.remoteness;
  known->unproven = proof_comes;
}

void Walk::hear(const Hint& hint, Brief source) {
  const Brief node = brief(hint);
  if (std::find(shunned_.begin(), shunned_.end(), node) != shunned_.end()) return;
  if (Known* known = find(node)) {
    if (source == kOurselves || known->sources.empty()) return;
    if (known->sources.size() < kSources &&
        std::find(known->sources.begin(), known->sources.end(), source) == known->sources.end()) {
      known->sources.push_back(source);
    }
    return;
  }
  if (exhausted(hint.at)) return;
  Known fresh{.hint = hint, .sources = {}};
  if (source != kOurselves) fresh.sources.push_back(source);
  if (known_.size() < kMost) {
    known_.push_back(std::move(fresh));
    return;
  }
  const auto furthest = std::max_element(known_.begin(), known_.end(), [](const Known& a, const Known& b) {
    return std::pair(a.state == State::heard, a.hint.remoteness) < std::pair(b.state == State::heard, b.hint.remoteness);
  });
  if (furthest->state == State::heard && furthest->hint.remoteness > fresh.hint.remoteness) *furthest = std::move(fresh);
}

template <typename Place>
std::vector<const Walk::Known*> Walk::ranked(std::size_t count, Place place) const {
  std::vector<std::pair<double, const Known*>> all;
  all.reserve(known_.size());
  for (const auto& known : known_) {
    if (known.state != State::failed) all.emplace_back(place(known), &known);
  }
  count = std::min(count, all.size());
  std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count), all.end(),
                    [](const auto& a, const auto& b) {
                      if (a.first != b.first) return a.first < b.first;
                      return a.second->hint.id < b.second->hint.id;
                    });
  std::vector<const Known*> out;
  for (std::size_t i = 0; i < count; ++i) out.push_back(all[i].second);
  return out;
}

std::vector<const Walk::Known*> Walk::ranked(std::size_t count) const {
  return ranked(count, [this](const Known& known) { return standing(known); });
}

std::size_t Walk::width() const {
  const auto nearest = ranked(1);
  if (!options_.from_afar || nearest.empty() || nearest[0]->state == State::answered) return options_.around;
  const auto failed = std::count_if(known_.begin(), known_.end(), [](const Known& k) { return k.state == State::failed; });
  return std::min(options_.around, options_.approaching + static_cast<std::size_t>(failed));
}

std::optional<Hint> Walk::next() {
  if (asked_ >= options_.questions) return std::nullopt;
  for (const Known* known : ranked(options_.settled)) {
    if (known->state != State::heard || untried(*known)) continue;
    Known* chosen = find(brief(known->hint));
    chosen->state = State::asked;
    ++asked_;
    begin(*chosen);
    return chosen->hint;
  }
  return std::nullopt;
}

bool Walk::settled() const {
  if (asked_ >= options_.questions) return true;
  const auto top = ranked(options_.settled);
  return std::all_of(top.begin(), top.end(), [](const Known* k) { return k->state != State::heard; });
}

void Walk::answered(Brief node, const metadata::Sketch& sketch, metadata::ClassMask knows, bool proof_comes) {
  Known* known = find(node);
  if (!known || known->unproven) return;
  const bool was_asked = known->state == State::asked;
  const double claimed = metadata::remoteness(target_, sketch, knows);
  const bool true_so_far = as_said(known->hint.remoteness, claimed);
  known->claimed = claimed;
  if (was_asked) --pending_;
  if (proof_comes && was_asked && true_so_far) {
    known->unproven = true;
  } else {
    if (was_asked) leave_sources(*known);
    settle(*known, true_so_far);
  }
  const bool too_good = !known->sources.empty() && claimed < known->hint.remoteness * (1 - kNearer);
  if (!too_good) {
    known->hint.remoteness = static_cast<float>(claimed);
    known->hint.outline = metadata::outline_of(sketch);
  }
  known->state = State::answered;
  if (const auto at = known->hint.at; exhausted(at)) {
    std::erase_if(known_, [&](const Known& k) { return k.state == State::heard && k.hint.at == at; });
  }
}

bool Walk::shown(Brief node, const metadata::Sketch& sketch, metadata::ClassMask knows) {
  Known* known = find(node);
  if (!known || known->state != State::answered) return true;
  const double proven = metadata::remoteness(target_, sketch, knows);
  const bool honest = as_said(known->claimed, proven);
  if (known->unproven) {
    known->unproven = false;
    leave_sources(*known);
    settle(*known, as_said(known->hint.remoteness, proven));
  }
  if (!honest) credit(node).bad += kExposed;
  known->hint.remoteness = static_cast<float>(proven);
  known->hint.outline = metadata::outline_of(sketch);
  return honest;
}

void Walk::failed(Brief node) {
  Known* known = find(node);
  if (!known || known->state == State::failed) return;
  if (known->state == State::asked) end(*known);
  if (known->unproven) {
    leave_sources(*known);
    credit(node).bad += kExposed;  // it has spoken of others and does not show itself
  }
  if (known->state != State::answered || known->unproven) settle(*known, false);
  known->unproven = false;
  known->state = State::failed;
}

std::vector<const Walk::Known*> Walk::best(std::size_t count) const { return ranked(count); }

std::vector<const Walk::Known*> Walk::best(std::size_t count,
                                           const std::function<double(const metadata::Outline&)>& measure) const {
  return ranked(count, [&](const Known& known) { return measure(known.hint.outline) + kDoubt * doubt(known); });
}

}  // namespace p2p::directory

#include "overlay/directory/lookup.hpp"

#include <algorithm>
#include <utility>

namespace p2p::directory {

namespace {

constexpr std::size_t kCopies = 16;    // of each value, from its holders, that are taken before a bucket is given up
constexpr std::size_t kKnocks = 4;     // neighbours of the table that are asked if we know nobody
static_assert(kKnocks <= LookupOptions::kMoreQuestions);
constexpr Duration kNobody = 250ms;    // to wait for them: most round trips are shorter
constexpr Duration kSecondBucket = 600ms;  // when nobody has answered by then; a cold get's first value takes 340 ms
constexpr std::size_t kSpareFetches = 2;  // fingerprints fetched for each candidate wanted
constexpr std::size_t kNotByDistance = 6; // of so many one is for whoever covers the need

}  // namespace

Lookup::Lookup(Setting setting, metadata::Need need, const metadata::Target& target, const LookupOptions& options,
               Done done)
    : setting_(std::move(setting)),
      need_(std::move(need)),
      options_(options),
      done_(std::move(done)),
      walk_(target, {.settled = std::max<std::size_t>(8, options.want),
                     .questions = options.questions,
                     .from_afar = setting_.contacts.size() > 0 || setting_.neighbours}) {}

void Lookup::start() {
  started_ = setting_.executor.now();
  bytes_before_ = setting_.correspondence.counters().bytes;
  const std::weak_ptr<Lookup> weak = weak_from_this();
  deadline_ = setting_.executor.after(options_.deadline, [weak] {
    if (const auto self = weak.lock()) self->finish();
  });
  walk_.shun(brief(setting_.self));
  for (const auto& presence : setting_.own) walk_.shun(brief(presence));
  const auto contacts = setting_.contacts.best(walk_.target(), setting_.contacts.size());
  for (const auto* contact : contacts) walk_.hear(hint_of(contact->entry, walk_.target()), Walk::kOurselves);
  newcomer_ = contacts.empty();
  if (newcomer_) knock();
  if (knocking_ > 0) {
    // By then a node that has just joined has met more of its table.
    first_ = setting_.executor.after(kNobody, [weak] {
      const auto self = weak.lock();
      if (!self || !self->done_) return;
      self->knock();
      if (self->result_.answers == 0) self->read_next();
    });
  } else if (newcomer_ && !setting_.everybody_known) {
    read_next();
  }
  if (newcomer_) {
    // A second bucket at once would double what a lookup costs that reads any. One that was empty is followed by those
    // above it, which takes what gets there are.
    second_ = setting_.executor.after(knocking_ > 0 ? kNobody + kSecondBucket : kSecondBucket, [weak] {
      const auto self = weak.lock();
      if (self && self->done_ && !self->met_somebody() && self->gets_.size() <= 1) self->read_next();
    });
  }
  // Never from inside the call that asked.
  setting_.executor.post([weak] {
    if (const auto self = weak.lock()) self->pump();
  });
}

void Lookup::drop() {
  done_ = nullptr;
  on_over = nullptr;
  deadline_.reset();
  first_.reset();
  second_.reset();
}

/// A liar is nobody to go on with.
bool Lookup::met_somebody() const {
  return knocked_.empty() || !setting_.correspondence.always_shown() ? result_.answers > 0 : proven_ > 0;
}

void Lookup::knock() {
  if (!setting_.neighbours || options_.questions == 0) return;
  for (const auto& at : setting_.neighbours()) {
    const bool before = std::find(knocked_.begin(), knocked_.end(), at) != knocked_.end();
    if (!before && knocked_.size() < kKnocks) knock(at);
  }
}

/// Whoever is there: not known by any id yet.
void Lookup::knock(const Endpoint& at) {
  knocked_.push_back(at);
  ++knocking_;
  ++result_.questions;
  Hint whom;
  whom.at = at;
  // By what it goes the answer tells, and then its experience comes; of who is known already it is not waited for. One that
  // comes before the answer is nobody's yet.
  struct Who {
    std::optional<Brief> node;
    bool early = false;
  };
  const auto who = std::make_shared<Who>();
  const std::weak_ptr<Lookup> weak = weak_from_this();
  setting_.correspondence.ask(whom, {.target = walk_.target(),
                                     .as = setting_.as,
                                     .timeout = setting_.patience,
                                     .on_answer =
                                         [weak, who](Result<Heard> answer) {
                                           if (const auto self = weak.lock()) who->node = self->on_knock(std::move(answer), who->early);
                                         },
                                     .on_portrait =
                                         [weak, who](Result<Portrait> portrait) {
                                           const auto self = weak.lock();
                                           who->early = !who->node;
                                           if (self && who->node) self->on_portrait(*who->node, std::move(portrait));
                                         }});
}

std::optional<Brief> Lookup::on_knock(Result<Heard> answer, bool early) {
  if (!done_) return std::nullopt;
  --knocking_;
  if (!answer) {
    if (knocking_ == 0 && result_.answers == 0 && gets_.empty()) read_next();
    pump();
    return std::nullopt;
  }
  const Hint hint = hint_of(answer->entry, walk_.target());
  const Brief node = brief(hint);
  Known& known = known_[node];
  const bool waits = !known.entry && !known.fetching && answer->entry.node != setting_.self;
  if (waits) {
    walk_.met(hint, true);
    if (early) {
      fetch(node, hint);
    } else {
      known.fetching = true;
      ++fetching_;
    }
    take_answer(node, std::move(*answer));
  } else {
    pump();
  }
  return waits && !early ? std::optional(node) : std::nullopt;
}

void Lookup::read_next() {
  if (next_place_ < setting_.places.size() && gets_.size() < options_.gets) read(setting_.places[next_place_++]);
}

void Lookup::read(const Place& place) {
  if (newcomer_ && result_.answers == 0) walk_.begin_near();
  const std::size_t number = gets_.size();
  gets_.emplace_back();
  ++result_.gets;
  const std::weak_ptr<Lookup> weak = weak_from_this();
  setting_.dht.get(
      metadata::place_key(setting_.task, place),
      [weak, number, place](const overlay::DhtValue& value) {
        const auto self = weak.lock();
        return self && self->on_value(number, place, value);
      },
      [weak, number, place](bool) {
        if (const auto self = weak.lock()) self->on_read(number, place);
      });
}

bool Lookup::on_value(std::size_t number, const Place& place, const overlay::DhtValue& value) {
  if (!done_) return false;
  Get& get = gets_[number];
  if (get.seen.size() >= kMostValues || ++get.received > kCopies * kMostValues) return false;
  // Each holder sends the same record: it counts, and costs a signature check, once. No more of it is hashed than
  // tells that it is too long.
  const ByteView bytes(value.data.data(), std::min(value.data.size(), metadata::Listing::kMaxBytes + 1));
  if (get.nodes.used_up(value.data) || !get.seen.insert(metadata::sha256(bytes)).second) return true;
  ++result_.values;
  const auto entry = metadata::open_listed(value.data, setting_.task, place);
  if (!entry) {
    ++result_.refused;
    return true;
  }
  get.found = true;
  if (entry->node != setting_.self && get.nodes.take(entry->node)) {
    setting_.on_met(*entry);
    // The bucket answers for its entries: if these lead nowhere, the rest of it falls behind.
    walk_.hear(hint_of(*entry, walk_.target()), number + 1);
    pump();
  }
  return done_ && get.seen.size() < kMostValues;
}

void Lookup::on_read(std::size_t number, const Place& place) {
  if (!done_) return;
  gets_[number].done = true;
  // Junk does not make it a bucket with somebody in it.
  if (!gets_[number].found && gets_.size() < options_.gets) {
    if (place.depth > 0) {
      Place above = place;
      above.depth = static_cast<std::uint8_t>(above.depth - Place::kLevelBits);
      above.prefix &= (1u << above.depth) - 1;
      read(above);
    } else {
      read_next();
    }
  }
  pump();
}

void Lookup::pump() {
  if (!done_) return;
  while (walk_.pending() < walk_.width()) {
    const auto hint = walk_.next();
    if (!hint) break;
    ask(*hint);
  }
  if (walk_.settled()) {
    if (walk_.pending() == 0 && gets_.empty() && bucket_to_come()) {
      read_next();
      if (!gets_.empty()) walk_.grant(options_.questions > 0 ? LookupOptions::kMoreQuestions : 0);
    }
    fetch_best();
  }
  consider_end();
}

void Lookup::ask(const Hint& hint) {
  const Brief node = brief(hint);
  const std::weak_ptr<Lookup> weak = weak_from_this();
  Correspondence::Ask ask{.target = walk_.target(), .timeout = setting_.patience, .on_answer = {}, .on_portrait = {}};
  ask.as = setting_.as;
  for (const auto* known : walk_.best(Question::kMostKnown)) ask.known.push_back(known_mark(known->hint.id));
  ask.on_answer = [weak, node](Result<Heard> answer) {
    if (const auto self = weak.lock()) self->on_answer(node, std::move(answer));
  };
  // Who is near enough to be a candidate may as well describe itself at once. Somebody who knows nobody cannot tell who
  // is near, nor who lies: he wants to see the experience of all whom he asks.
  Known& known = known_[node];
  const bool near = hint.remoteness <= setting_.near_enough && may_fetch();
  if ((setting_.near_enough == 0 || near) && !known.fetching && !known.fetched) {
    known.fetching = true;
    known.along = near;
    ++fetching_;
    result_.fetches += near ? 1 : 0;
    ask.on_portrait = [weak, node](Result<Portrait> portrait) {
      if (const auto self = weak.lock()) self->on_portrait(node, std::move(portrait));
    };
  }
  ++result_.questions;
  setting_.correspondence.ask(hint, std::move(ask));
}

/// The walk has ended far away, and a bucket may tell more.
bool Lookup::bucket_to_come() const {
  return remote() && !setting_.everybody_known && options_.gets > 0 && (gets_.empty() || reading());
}

bool Lookup::remote() const {
  const auto best = walk_.best(1);
  return setting_.remote > 0 && !best.empty() && best[0]->hint.remoteness > setting_.remote;
}

bool Lookup::reading() const {
  return std::any_of(gets_.begin(), gets_.end(), [](const Get& g) { return !g.done; });
}

void Lookup::fetch_best() {
  std::size_t left = std::min(options_.fetches, options_.want * kSpareFetches);
  if (bucket_to_come()) left /= 2;  // the others are for whom it leads to
  std::size_t by_cover = setting_.cover ? left / kNotByDistance : 0;
  left -= by_cover;
  std::set<Brief> counted;
  fetch(walk_.best(walk_.known()), left, counted);
  by_cover += left;
  if (by_cover > 0 && setting_.cover) fetch(walk_.best(walk_.known(), setting_.cover), by_cover, counted);
}

void Lookup::fetch(const std::vector<const Walk::Known*>& order, std::size_t& left, std::set<Brief>& counted) {
  for (const auto* walked : order) {
    if (left == 0) return;
    const Brief node = brief(walked->hint);
    if (counted.contains(node)) continue;
    Known& known = known_[node];
    if (known.entry && skipped(known.entry->node)) continue;  // takes nobody's place
    if (known.exposed || (known.fetched && !known.fingerprint)) continue;  // nor does a liar, or one that shows nothing
    counted.insert(node);
    --left;
    if (!known.fetching && !known.fetched && may_fetch()) fetch(node, walked->hint);
  }
}

void Lookup::fetch(Brief node, const Hint& hint) {
  known_[node].fetching = true;
  ++fetching_;
  ++result_.fetches;
  setting_.correspondence.fetch(hint, setting_.patience, [weak = weak_from_this(), node](Result<Portrait> portrait) {
    if (const auto self = weak.lock()) self->on_portrait(node, std::move(portrait));
  });
}

void Lookup::on_answer(Brief node, Result<Heard> answer) {
  if (!done_) return;
  if (!answer) {
    if (answer.error().code != ErrorCode::timeout && answer.error().code != ErrorCode::not_found) ++result_.refused;
    walk_.failed(node);
    setting_.contacts.failed(node);
    return pump();
  }
  walk_.answered(node, answer->entry.sketch, answer->entry.knows(), known_[node].fetching);
  take_answer(node, std::move(*answer));
}

void Lookup::take_answer(Brief node, Heard answer) {
  ++result_.answers;
  for (const auto& hint : answer.hints) walk_.hear(hint, node);
  setting_.contacts.add(answer.entry, setting_.executor.now(), true, answer.round_trip);
  setting_.on_met(answer.entry);
  Known& known = known_[node];
  known.round_trip = answer.round_trip;
  known.entry = std::move(answer.entry);
  if (known.fetched) prove(node, known);
  tell(known);
  pump();
}

void Lookup::on_portrait(Brief node, Result<Portrait> portrait) {
  if (!done_) return;
  Known& known = known_[node];
  known.fetching = false;
  known.fetched = true;
  --fetching_;
  if (portrait && !portrait->fingerprint && setting_.correspondence.always_shown()) {
    portrait = fail(ErrorCode::timeout, "the node answers, and does not show its experience");
  }
  const bool along = std::exchange(known.along, false);
  if (!portrait && along) {
    --result_.fetches;  // it was asked for in the question, which is counted
  } else if ((!portrait || !portrait->fingerprint) && barren_ < options_.fetches) {
    ++barren_;
  }
  if (!portrait) {
    if (portrait.error().code == ErrorCode::timeout && known.entry && !known.again) {
      // It answered, so it is there: one of two datagrams was lost, or it lies. What it says of others hangs on that.
      known.again = true;
      known.fetched = false;
      if (const auto* walked = walk_.known(node); walked && may_fetch()) fetch(node, walked->hint);
      return pump();
    }
    if (portrait.error().code != ErrorCode::timeout && portrait.error().code != ErrorCode::not_found) ++result_.refused;
    walk_.failed(node);
    return pump();
  }
  if (portrait->entry) {
    setting_.on_met(*portrait->entry);
    if (!known.entry) walk_.answered(node, portrait->entry->sketch, portrait->entry->knows());
    known.entry = std::move(portrait->entry);
  }
  if (portrait->fingerprint) {
    ++result_.fingerprints;
    known.fingerprint = std::move(portrait->fingerprint);
  }
  prove(node, known);
  tell(known);
  pump();
}

void Lookup::prove(Brief node, Known& known) {
  if (!known.entry) return;
  // A fingerprint that no datagram can carry proves nothing, neither for nor against.
  auto sketch = known.entry->sketch;
  auto knows = known.entry->knows();
  if (known.fingerprint) {
    sketch = setting_.sketch(*known.fingerprint);
    knows = metadata::entry_of(*known.fingerprint, sketch).knows();
  }
  if (walk_.shown(node, sketch, knows)) {
    proven_ += known.fingerprint ? 1 : 0;
    return;
  }
  known.exposed = true;
  setting_.contacts.drop(known.entry->node);
  if (barren_ < options_.fetches) ++barren_;
}

Candidate Lookup::candidate(const Known& known) const {
  Candidate out;
  out.entry = *known.entry;
  out.fingerprint = known.fingerprint;
  out.round_trip = known.round_trip;
  out.needed_recall = listed_recall(out.entry, need_);
  const auto& target = walk_.target();
  out.distance = known.fingerprint && !target.blank && need_.by != metadata::By::classes
                     ? metadata::plain_distance(need_, *known.fingerprint)
                     : metadata::remoteness(target, out.entry.sketch, out.entry.knows());
  return out;
}

void Lookup::tell(Known& known) {
  if (known.told || known.exposed || !known.entry || !known.fingerprint || !options_.on_candidate || skipped(known.entry->node)) return;
  known.told = true;
  options_.on_candidate(candidate(known));
}

void Lookup::consider_end() {
  if (!done_ || fetching_ > 0 || knocking_ > 0 || walk_.pending() > 0 || !walk_.settled()) return;
  // What a bucket still brings is worth waiting for only as long as nobody near has been found; a newcomer, who cannot
  // tell what is near, takes whom the first one led to.
  if (reading() && (walk_.best(1).empty() || remote())) return;
  finish();
}

void Lookup::finish() {
  if (!done_) return;
  const auto self = shared_from_this();
  std::vector<std::pair<double, Candidate>> ranked;
  for (const auto& [node, known] : known_) {
    if (!known.entry || known.entry->node == setting_.self) continue;
    if (skipped(known.entry->node)) {
      ++result_.skipped;
      continue;
    }
    Candidate found = candidate(known);
    // One that has shown its experience goes before all that only claim one, and these before the liars.
    const double place = rank(found, need_) + (known.exposed ? 8 : found.fingerprint ? 0 : 4);
    ranked.emplace_back(place, std::move(found));
  }
  std::stable_sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  NodeQuota nodes;
  for (auto& [place, found] : ranked) {
    if (result_.candidates.size() == options_.want) break;
    if (nodes.take(found.entry.node)) result_.candidates.push_back(std::move(found));
  }
  result_.known = walk_.known();
  result_.datagram_bytes = setting_.correspondence.counters().bytes - bytes_before_;
  result_.took = setting_.executor.now() - started_;
  deadline_.reset();
  first_.reset();
  second_.reset();
  const auto done = std::exchange(done_, nullptr);
  if (on_over) on_over();
  done(std::move(result_));
}

}  // namespace p2p::directory

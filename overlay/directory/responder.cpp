#include "overlay/directory/responder.hpp"

#include <algorithm>

#include "overlay/directory/walk.hpp"

namespace p2p::directory {

namespace {

constexpr std::size_t kNearHints = 16;     // the rest of an answer's hints are anybody, so that samples mix
constexpr std::size_t kAnswerFrame = 32;   // an answer without entry and hints
constexpr std::size_t kDescribedFrame = 17;  // and a description's own datagram without both
constexpr std::size_t kMostTold = 256;     // newcomers that one watch has been told of

}  // namespace

bool Responder::take(Bucket& bucket, double rate) {
  const TimePoint now = context_.executor.now();
  const double elapsed_s = static_cast<double>((now - bucket.at).count()) / 1e6;
  bucket.left = std::min(rate, bucket.left + elapsed_s * rate);
  bucket.at = now;
  if (bucket.left < 1) return false;
  bucket.left -= 1;
  return true;
}

bool Responder::admitted(const Endpoint& from) {
  auto found = addresses_.find(from.host);
  if (found == addresses_.end()) {
    if (addresses_.size() >= kMostAddresses) {
      std::erase_if(addresses_, [&](const auto& a) { return context_.executor.now() - a.second.at > 1s; });
      if (addresses_.size() >= kMostAddresses) addresses_.clear();  // many at once: the bound of all holds
    }
    found = addresses_.emplace(from.host, Bucket{kPerAddress, context_.executor.now()}).first;
  }
  const bool ok = take(found->second, kPerAddress) && take(all_, kQuestionsPerSecond);
  if (!ok) ++counters_.refused;
  return ok;
}

void Responder::meet(const Endpoint& from, const Question& question) {
  if (question.entry.empty()) return;
  const auto claimed = metadata::peek_entry(question.entry);
  if (!claimed || claimed->task != context_.task || claimed->node == context_.self) return;
  if (claimed->table_endpoint() != from) return;  // anybody can show another's entry, of a dead one too
  const auto& known = context_.contacts.all();
  const auto contact = known.find(claimed->presence());
  const bool news = contact == known.end() ? context_.contacts.wanted(*claimed)
                                           : claimed->version > contact->second.entry.version;
  const bool watched = std::any_of(watches_.begin(), watches_.end(), [&](const Watch& w) {
    return metadata::remoteness(w.target, claimed->sketch, claimed->knows()) <= w.within;
  });
  if (!news && !watched) return;
  const auto entry = metadata::open_entry(question.entry);
  if (!entry) return;
  context_.contacts.add(*entry, context_.executor.now(), true);
  on_newcomer(*entry, question.entry);
}

void Responder::on_newcomer(const metadata::Entry& entry, const Bytes& sealed) {
  const TimePoint now = context_.executor.now();
  std::erase_if(watches_, [&](const Watch& w) { return w.until < now; });
  for (auto& watch : watches_) {
    if (metadata::remoteness(watch.target, entry.sketch, entry.knows()) > watch.within) continue;
    if (watch.told.size() >= kMostTold) continue;
    const Notice notice{watch.nonce, sealed};
    const std::size_t bytes = encode(notice).size();
    if (bytes > watch.left) continue;
    auto& told = watch.told[entry.presence()];
    if (told >= entry.version) continue;
    told = entry.version;
    watch.left -= bytes;
    context_.correspondence.send(watch.to, notice);
  }
}

std::size_t Responder::watches() const {
  const TimePoint now = context_.executor.now();
  return static_cast<std::size_t>(std::count_if(watches_.begin(), watches_.end(), [&](const Watch& w) { return w.until >= now; }));
}

void Responder::remember(const Endpoint& from, const Question& question, std::size_t left) {
  const TimePoint now = context_.executor.now();
  std::erase_if(watches_, [&](const Watch& w) { return w.until < now; });
  auto known = std::find_if(watches_.begin(), watches_.end(),
                            [&](const Watch& w) { return w.to == from && w.target == question.target; });
  if (known == watches_.end()) {
    if (watches_.size() >= kMostWatches) return;
    known = watches_.insert(known, Watch{.to = from, .target = question.target, .told = {}});
  }
  known->nonce = question.nonce;
  known->within = question.within_milli / 1000.0;
  known->left = left;
  known->until = now + kWatchTime;
}

/// The contacts and our other presences that are nearest to what is asked for, nearest first. The asker knows itself.
std::vector<Hint> Responder::near_hints(const Question& question, const std::optional<NodeId>& asker,
                                        std::size_t most) const {
  std::vector<Hint> out;
  for (const auto* contact : context_.contacts.best(question.target, most)) {
    if (contact->entry.node != asker) out.push_back(hint_of(contact->entry, question.target));
  }
  if (!context_.own) return out;
  for (const auto& own : context_.own(question.target)) {
    const bool asked = question.to == PresencePrefix{} ? !own.archived : own.id == question.to;
    if (asked) continue;
    const auto at = std::find_if(out.begin(), out.end(), [&](const Hint& h) { return own.remoteness < h.remoteness; });
    out.insert(at, own);
  }
  return out;
}

void Responder::on_question(const Endpoint& from, const Question& question, std::size_t bytes) {
  if (question.task != context_.task || !admitted(from)) return;
  ++counters_.questions;
  const std::size_t allowance = bytes * kAmplification;
  Answer answer;
  answer.nonce = question.nonce;
  answer.entry = context_.own_entry(question.to);
  const std::size_t second = question.description ? kDescribedFrame : 0;
  if (answer.entry.size() + kAnswerFrame + second > allowance) return;
  const std::size_t room =
      std::min(allowance - second, overlay::Dht::kMaxDatagramBytes) - answer.entry.size() - kAnswerFrame;
  const std::size_t most = std::min(Answer::kMaxHints, room / Hint::kBytes);
  const auto claimed = metadata::peek_entry(question.entry);
  const auto asker = claimed ? std::optional(claimed->node) : std::nullopt;
  const auto give = [&](const Hint& hint) {
    if (answer.hints.size() >= most) return;
    if (std::find(question.known.begin(), question.known.end(), known_mark(hint.id)) != question.known.end()) return;
    const bool given = std::any_of(answer.hints.begin(), answer.hints.end(), [&](const Hint& h) { return h.id == hint.id; });
    if (!given) answer.hints.push_back(hint);
  };
  for (const auto& hint : near_hints(question, asker, most + Question::kMostKnown)) {
    if (answer.hints.size() == kNearHints) break;
    give(hint);
  }
  for (std::size_t i = kNearHints; i < Answer::kMaxHints; ++i) {
    const auto* contact = context_.contacts.any(random_);
    if (contact && contact->entry.node != asker) give(hint_of(contact->entry, question.target));
  }
  std::size_t sent = encode(answer).size();
  context_.correspondence.send(from, answer);
  if (question.description) {
    Described described{question.nonce, {}, context_.own_description(question.to)};
    if (described.description.size() > kMaxDescriptionBytes ||
        sent + described.description.size() + kDescribedFrame > allowance) {
      described.description.clear();
    }
    if (!described.description.empty()) ++counters_.descriptions;
    sent += encode(described).size();
    context_.correspondence.send(from, described);
  }
  meet(from, question);
  if (question.within_milli > 0) remember(from, question, allowance - std::min(allowance, sent));
}

void Responder::on_fetch(const Endpoint& from, const Fetch& fetch, std::size_t bytes) {
  if (fetch.task != context_.task || !admitted(from)) return;
  Described answer{fetch.nonce, context_.own_entry(fetch.to), context_.own_description(fetch.to)};
  const std::size_t allowance = bytes * kAmplification;
  if (answer.description.size() > kMaxDescriptionBytes ||
      answer.entry.size() + answer.description.size() + kDescribedFrame > allowance) {
    answer.description.clear();
  } else if (!answer.description.empty()) {
    ++counters_.descriptions;
  }
  if (answer.entry.size() + kDescribedFrame > allowance) return;
  context_.correspondence.send(from, answer);
}

}  // namespace p2p::directory

#include "overlay/directory/responder.hpp"

#include <algorithm>

#include "overlay/directory/walk.hpp"

namespace p2p::directory {

namespace {

constexpr std::size_t kNearHints = 6;      // the rest of an answer's hints are anybody, so that samples mix
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

void Responder::meet(const Question& question) {
  if (question.entry.empty()) return;
  const auto claimed = metadata::peek_entry(question.entry);
  if (!claimed || claimed->task != context_.task || claimed->node == context_.self) return;
  const auto& known = context_.contacts.all();
  const auto contact = known.find(claimed->node);
  const bool news = contact == known.end() ? context_.contacts.wanted(hint_of(*claimed))
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
    auto& told = watch.told[entry.node];
    if (told >= entry.version) continue;
    told = entry.version;
    context_.correspondence.send(watch.to, Notice{watch.nonce, sealed});
  }
}

void Responder::remember(const Endpoint& from, const Question& question) {
  const TimePoint now = context_.executor.now();
  std::erase_if(watches_, [&](const Watch& w) { return w.until < now || (w.to == from && w.target == question.target); });
  if (watches_.size() >= kMostWatches) return;
  watches_.push_back({from, question.nonce, question.target, question.within_milli / 1000.0, now + kWatchTime, {}});
}

void Responder::on_question(const Endpoint& from, const Question& question, std::size_t bytes) {
  if (question.task != context_.task || !admitted(from)) return;
  ++counters_.questions;
  const std::size_t allowance = bytes * kAmplification;
  Answer answer;
  answer.nonce = question.nonce;
  answer.entry = context_.own_entry();
  const std::size_t second = question.description ? kDescribedFrame : 0;
  if (answer.entry.size() + kAnswerFrame + second > allowance) return;
  const std::size_t room =
      std::min(allowance - second, overlay::Dht::kMaxDatagramBytes) - answer.entry.size() - kAnswerFrame;
  const std::size_t most = std::min(Answer::kMaxHints, room / Hint::kBytes);
  // The asker knows itself.
  const auto asker = metadata::peek_entry(question.entry);
  const auto give = [&](const Contacts::Contact* contact) {
    if (!contact || answer.hints.size() >= most) return;
    if (asker && contact->entry.node == asker->node) return;
    const Hint hint = hint_of(contact->entry);
    if (std::find(question.known.begin(), question.known.end(), known_mark(hint.id)) != question.known.end()) return;
    const bool given = std::any_of(answer.hints.begin(), answer.hints.end(), [&](const Hint& h) { return h.id == hint.id; });
    if (!given) answer.hints.push_back(hint);
  };
  for (const auto* contact : context_.contacts.best(question.target, most + Question::kMostKnown)) {
    if (answer.hints.size() == kNearHints) break;
    give(contact);
  }
  for (std::size_t i = kNearHints; i < Answer::kMaxHints; ++i) give(context_.contacts.any(random_));
  const Bytes packed = encode(answer);
  context_.correspondence.send(from, answer);
  if (question.description) {
    const Bytes description = context_.own_description();
    if (!description.empty() && description.size() <= kMaxDescriptionBytes &&
        packed.size() + description.size() + kDescribedFrame <= allowance) {
      ++counters_.descriptions;
      context_.correspondence.send(from, Described{question.nonce, {}, description});
    } else {
      context_.correspondence.send(from, Described{question.nonce, {}, {}});
    }
  }
  meet(question);
  if (question.within_milli > 0) remember(from, question);
}

void Responder::on_fetch(const Endpoint& from, const Fetch& fetch, std::size_t bytes) {
  if (fetch.task != context_.task || !admitted(from)) return;
  Described answer{fetch.nonce, context_.own_entry(), context_.own_description()};
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

#include "overlay/directory/correspondence.hpp"

#include <algorithm>
#include <utility>

#include "overlay/directory/walk.hpp"

namespace p2p::directory {

namespace {

constexpr std::size_t kFullAnswer = metadata::Entry::kMaxBytes + 20 + Answer::kMaxHints * Hint::kBytes;
constexpr std::size_t kMostFilling = 1190;     // below a datagram's most
constexpr std::size_t kEntryFrame = metadata::Entry::kMaxBytes + 20;
constexpr std::size_t kDescriptionFrame = 195;  // of a description around its columns

}  // namespace

Correspondence::Correspondence(Context context) : context_(std::move(context)) {
  context_.dht.on_datagram([this](const Endpoint& from, ByteView datagram) { received(from, datagram); });
}

Correspondence::~Correspondence() { context_.dht.on_datagram({}); }

std::size_t Correspondence::question_bytes(bool description) const {
  if (!description) return kQuestionBytes;
  const std::size_t columns = std::size_t{context_.classes} * (context_.dimensions + 12);
  const std::size_t hoped = kFullAnswer + std::min(kMaxDescriptionBytes, columns + kDescriptionFrame);
  return std::min(kMostFilling, (hoped + kAmplification - 1) / kAmplification);
}

Nonce Correspondence::begin(const Hint& whom, Duration timeout, OnAnswer on_answer, OnPortrait on_portrait) {
  ByteWriter text;
  text.put(context_.secret);
  text.put(++next_);
  const auto digest = metadata::sha256(text.bytes());
  ByteReader reader(digest.view());
  const auto nonce = reader.get<Nonce>();
  Pending& pending = pending_[nonce];
  pending.whom = whom;
  pending.sent = context_.executor.now();
  pending.on_answer = std::move(on_answer);
  pending.on_portrait = std::move(on_portrait);
  pending.deadline = context_.executor.after(timeout, [this, nonce] { late(nonce); });
  return nonce;
}

Nonce Correspondence::ask(const Hint& whom, Ask ask) {
  const bool description = ask.on_portrait != nullptr;
  const Nonce nonce = begin(whom, ask.timeout, std::move(ask.on_answer), std::move(ask.on_portrait));
  const Question question{.nonce = nonce,
                          .task = context_.task,
                          .target = ask.target,
                          .description = description,
                          .within_milli = static_cast<std::uint32_t>(std::clamp(ask.within, 0.0, 1000.0) * 1000),
                          .entry = ask.as ? std::move(*ask.as) : context_.own_entry(),
                          .known = std::move(ask.known),
                          .to = whom.id};
  // A watch pays for its notices with its question.
  Bytes bytes = encode(question, ask.within > 0 ? kMostFilling : question_bytes(description));
  counters_.bytes += bytes.size();
  context_.dht.send(whom.at, std::move(bytes));
  return nonce;
}

void Correspondence::request(const Hint& whom, Duration timeout, OnPortrait done, std::size_t size) {
  const Nonce nonce = begin(whom, timeout, nullptr, std::move(done));
  Bytes bytes = encode(Fetch{nonce, context_.task, whom.id}, size);
  counters_.bytes += bytes.size();
  context_.dht.send(whom.at, std::move(bytes));
}

void Correspondence::fetch(const Hint& whom, Duration timeout, OnPortrait done) {
  const std::size_t columns = std::size_t{context_.classes} * (context_.dimensions + 12);
  const std::size_t hoped = kEntryFrame + std::min(kMaxDescriptionBytes, columns + kDescriptionFrame);
  request(whom, timeout, std::move(done), (hoped + kAmplification - 1) / kAmplification);
}

void Correspondence::ping(const Hint& whom, Duration timeout, OnPortrait done) {
  request(whom, timeout, std::move(done), (kEntryFrame + kAmplification - 1) / kAmplification);
}

bool Correspondence::always_shown() const {
  return std::size_t{context_.classes} * (context_.dimensions + 12) + kDescriptionFrame <= kMaxDescriptionBytes;
}

void Correspondence::send(const Endpoint& to, const Message& message) { context_.dht.send(to, encode(message)); }

void Correspondence::received(const Endpoint& from, ByteView datagram) {
  const auto message = decode(datagram);
  if (!message) {
    ++counters_.malformed;
    return;
  }
  if (const auto* answer = std::get_if<Answer>(&*message)) {
    counters_.bytes += datagram.size();
    answered(from, *answer);
  } else if (const auto* description = std::get_if<Described>(&*message)) {
    counters_.bytes += datagram.size();
    described(from, *description);
  } else {
    context_.on_request(from, *message, datagram.size());
  }
}

void Correspondence::answered(const Endpoint& from, const Answer& answer) {
  const auto found = pending_.find(answer.nonce);
  if (found == pending_.end() || !found->second.on_answer || from != found->second.whom.at) return;
  const auto report = std::exchange(found->second.on_answer, nullptr);
  const Hint whom = found->second.whom;
  const Duration took = context_.executor.now() - found->second.sent;
  if (!found->second.on_portrait) pending_.erase(found);
  auto entry = open(answer.entry, from, whom);
  if (!entry) return report(tl::unexpected<Error>(std::move(entry).error()));
  if (const auto described = pending_.find(answer.nonce); described != pending_.end()) described->second.whom.id = hint_of(*entry).id;
  report(Heard{std::move(*entry), answer.hints, took});
}

void Correspondence::described(const Endpoint& from, const Described& answer) {
  const auto found = pending_.find(answer.nonce);
  if (found == pending_.end() || !found->second.on_portrait || from != found->second.whom.at) return;
  const auto report = std::exchange(found->second.on_portrait, nullptr);
  const Hint whom = found->second.whom;
  if (!found->second.on_answer) pending_.erase(found);
  report(open(answer, from, whom));
}

Result<metadata::Entry> Correspondence::open(const Bytes& sealed, const Endpoint& from, const Hint& whom) const {
  if (sealed.empty()) return fail(ErrorCode::not_found, "the node shows no such presence of this task");
  auto entry = metadata::open_entry(sealed);
  if (!entry) return entry;
  const bool named = whom.id != PresencePrefix{};
  if (entry->task != context_.task || entry->table_endpoint() != from || (named && brief(entry->presence()) != brief(whom))) {
    return fail(ErrorCode::untrusted, "somebody else answered, or for another task");
  }
  return entry;
}

Result<Portrait> Correspondence::open(const Described& answer, const Endpoint& from, const Hint& whom) const {
  Portrait out;
  if (!answer.entry.empty()) {
    auto entry = open(answer.entry, from, whom);
    if (!entry) return tl::unexpected<Error>(std::move(entry).error());
    out.entry = std::move(*entry);
  }
  if (answer.description.empty()) return out;
  auto description = metadata::open_description(answer.description, context_.classes);
  if (!description) return tl::unexpected<Error>(std::move(description).error());
  if (metadata::tag(description->task) != context_.task || brief(description->presence()) != brief(whom) ||
      description->fingerprint.dimensions != context_.dimensions ||
      description->fingerprint.classes != context_.classes) {
    return fail(ErrorCode::untrusted, "the description is somebody else's, or of another concept or task");
  }
  out.fingerprint = std::move(description->fingerprint);
  return out;
}

void Correspondence::late(Nonce nonce) {
  const auto found = pending_.find(nonce);
  if (found == pending_.end()) return;
  const Pending gone = std::move(found->second);
  pending_.erase(found);
  const std::weak_ptr<int> alive = alive_;
  if (gone.on_answer) gone.on_answer(fail(ErrorCode::timeout, "the node did not answer in time"));
  if (alive.expired()) return;
  if (gone.on_portrait) gone.on_portrait(fail(ErrorCode::timeout, "the node did not describe itself in time"));
}

}  // namespace p2p::directory

#include "overlay/fetcher.hpp"

#include <algorithm>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace p2p::overlay {

namespace {

/// Memory that is about to be filled, in large pages where the system has them: to fault in small ones takes as long as
/// to decrypt what goes there.
void expect_large([[maybe_unused]] Bytes& bytes) {
#ifdef __linux__
  constexpr std::uintptr_t kLargePage = 2u << 20;
  const auto begin = (reinterpret_cast<std::uintptr_t>(bytes.data()) + kLargePage - 1) / kLargePage * kLargePage;
  const auto end = (reinterpret_cast<std::uintptr_t>(bytes.data()) + bytes.capacity()) / kLargePage * kLargePage;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);  // no more than a hint
#endif
}

}  // namespace

void Fetcher::fetch(std::vector<Wanted> wanted, std::size_t given) {
  items_.clear();
  left_ = 0;
  start_ = wanted.empty() ? 0 : random_.below(wanted.size());
  for (auto& [number, source] : sources_) {
    source.lacks.clear();
    source.asked.clear();
    source.under_way = source.bytes_under_way = 0;
  }
  for (auto& one : wanted) {
    Item item;
    item.wanted = std::move(one);
    *item.content = std::move(item.wanted.content);
    const std::uint64_t here = item.content->size();
    if (here > 0) {
      item.givers.insert(given);
      item.islands[0] = here;
    }
    item.next = here;
    item.missing = item.wanted.size - here;
    ++left_;
    items_.push_back(std::move(item));
  }
  // What is here whole is hashed as if it had just come; in a turn of its own, for it may end everything.
  executor_.post([weak = weak_from_this(), given, batch = ++batch_] {
    const auto self = weak.lock();
    if (!self || self->over_ || self->batch_ != batch) return;
    if (self->left_ == 0) return self->finish();
    for (std::size_t i = 0; i < self->items_.size() && !self->over_ && self->batch_ == batch; ++i) {
      Item& item = self->items_[i];
      if (item.missing > 0) continue;
      item.last_giver = given;
      self->hash_on(i);
    }
    self->fill();
  });
}

void Fetcher::restart(Item& item) {
  item.content = std::make_shared<Bytes>();  // a worker may be reading the former
  item.digest.reset();
  item.next = 0;
  item.again.clear();
  item.missing = item.wanted.size;
  item.islands.clear();
  item.hashed = 0;
  item.givers.clear();
  item.only.reset();
  ++item.attempt;  // answers that are under way belong to the past
}

void Fetcher::add(std::size_t number, std::shared_ptr<Session> session) {
  if (over_) return;
  Source source;
  // An answer must fit into both ends' bounds: what the peer sends at most, and the frames that this end takes.
  const auto frame = std::min<std::size_t>(limits_.frame_bytes, session->peer_hello().frame_bytes) - 512;
  source.chunk_bytes = static_cast<std::uint32_t>(
      std::min({limits_.chunk_bytes, std::size_t{session->peer_hello().chunk_bytes}, frame}));
  source.session = std::move(session);
  sources_[number] = std::move(source);
  fill();
}

void Fetcher::cancel() {
  over_ = true;  // the owner's functions stay: one of them may be calling
  sources_.clear();  // whose unanswered requests hold this fetcher
}

bool Fetcher::wants(std::size_t number, const Source& source, std::size_t i) const {
  const Item& item = items_[i];
  if (source.lacks.contains(i) || (item.doubted && item.only && *item.only != number)) return false;
  return !item.again.empty() || item.next < item.wanted.size;
}

bool Fetcher::next(std::size_t number, Source& source, Range& range) {
  for (std::size_t k = 0; k < items_.size(); ++k) {
    const std::size_t i = (start_ + k) % items_.size();
    if (!wants(number, source, i)) continue;
    Item& item = items_[i];
    if (item.doubted) item.only = number;
    if (!item.again.empty()) {
      range = item.again.front();
      item.again.pop_front();
      return true;  // as long as it was, though this holder may cut smaller
    }
    const std::uint64_t rest = item.wanted.size - item.next;
    const std::uint64_t room = source.budget > source.bytes_under_way ? source.budget - source.bytes_under_way : 1;
    const auto length = std::min({rest, std::uint64_t{source.chunk_bytes}, std::max<std::uint64_t>(room, kLeastBytes)});
    range = {i, item.next, static_cast<std::uint32_t>(length), item.attempt};
    item.next += length;
    return true;
  }
  return false;
}

/// It is asked for nothing, and has nothing of what is missing.
bool Fetcher::useless(const Source& source) const {
  if (source.under_way > 0 || source.pause) return false;
  bool missing = false;
  for (std::size_t i = 0; i < items_.size(); ++i) {
    if (items_[i].missing == 0) continue;
    if (!source.lacks.contains(i)) return false;
    missing = true;
  }
  return missing;
}

void Fetcher::fill() {
  if (over_ || left_ == 0) return;
  std::vector<std::size_t> idle;
  for (auto& [number, source] : sources_) {
    fill(number, source);
    if (useless(source)) idle.push_back(number);
  }
  for (const auto number : idle) {
    drop(number, {ErrorCode::unavailable, "the peer does not have the content (any more)", {}});
    if (over_) return;
  }
  // Is there work that nobody here can do now, or more than one holder should do alone?
  std::uint64_t unasked = 0;
  bool idle_work = false;
  for (std::size_t i = 0; i < items_.size(); ++i) {
    const Item& item = items_[i];
    const std::uint64_t rest = item.wanted.size - item.next;
    unasked += rest;
    idle_work = idle_work || rest > 0 || !item.again.empty();
  }
  const bool able = std::any_of(sources_.begin(), sources_.end(), [](const auto& entry) {
    return entry.second.under_way > 0 && !entry.second.pause;
  });
  if (idle_work && (!able || unasked > kWorthAnother) && owner_.more) owner_.more();
}

void Fetcher::fill(std::size_t number, Source& source) {
  // A holder that was busy is asked one thing at a time, with a gap.
  const auto most = source.gap.count() > 0 ? 1 : std::min(kMostQuestions, source.session->request_limit());
  while (!source.pause && source.under_way < most &&
         (source.under_way == 0 || source.bytes_under_way < source.budget)) {
    if (const auto since = executor_.now() - source.last_asked; since < source.gap) {
      return pause(number, source, source.gap - since);
    }
    Range range;
    if (!next(number, source, range)) return;
    ask(number, source, range);
  }
}

void Fetcher::pause(std::size_t number, Source& source, Duration time) {
  const std::weak_ptr<Fetcher> weak = weak_from_this();
  source.pause = executor_.after(time, [weak, number] {
    const auto self = weak.lock();
    if (!self) return;
    const auto found = self->sources_.find(number);
    if (found == self->sources_.end()) return;
    const auto timer = std::move(found->second.pause);
    self->fill();
  });
}

void Fetcher::ask(std::size_t number, Source& source, Range range) {
  ++source.under_way;
  source.bytes_under_way += range.length;
  source.last_asked = executor_.now();
  const auto question = next_question_++;
  source.asked[question] = range;
  const Wanted& wanted = items_[range.item].wanted;
  source.session->request(
      ChunkRequest{wanted.hash, range.offset, range.length,
                   wanted.base ? std::optional(wanted.base_hash) : std::nullopt},
      [self = shared_from_this(), number, question, asked = executor_.now()](Result<Message> answer) {
        self->on_answer(number, question, asked, std::move(answer));
      });
}

void Fetcher::put_back(const Range& range) {
  if (range.item < items_.size() && items_[range.item].attempt == range.attempt) {
    items_[range.item].again.push_back(range);
  }
}

void Fetcher::on_answer(std::size_t number, std::uint64_t question, TimePoint asked, Result<Message> answer) {
  const auto found = sources_.find(number);
  if (over_ || found == sources_.end()) return;
  Source& source = found->second;
  const auto known = source.asked.find(question);
  if (known == source.asked.end()) return;  // of a link that this holder had before, or of an earlier fetch()
  const Range range = known->second;
  if (!answer) return drop(number, answer.error());
  source.asked.erase(known);
  --source.under_way;
  source.bytes_under_way -= range.length;
  if (items_[range.item].attempt != range.attempt) return fill();
  if (const auto* refusal = std::get_if<Refusal>(&*answer)) return on_refusal(number, range, asked, *refusal);
  source.busy = source.later = 0;
  source.gap = source.gap < 2ms ? Duration(0) : source.gap * 19 / 20;
  const Duration took = executor_.now() - asked;
  if (took < limits_.request_timeout / 4) {
    source.budget = std::min<std::size_t>(source.budget + range.length, kMostUnderWay * std::size_t{source.chunk_bytes});
  } else if (took > limits_.request_timeout / 2) {
    source.budget = std::max(source.budget / 2, kLeastBytes);
  }
  on_chunk(number, range, std::move(std::get<ChunkAnswer>(*answer)));
}

void Fetcher::on_chunk(std::size_t number, const Range& range, ChunkAnswer answer) {
  Item& item = items_[range.item];
  received_ += answer.content().size();
  ByteView bytes = answer.content();
  Bytes plain;
  if (answer.coding != Coding::plain) {
    auto unpacked = coder_->unpack(answer, {range.offset, range.length},
                                   item.wanted.base ? ByteView(*item.wanted.base) : ByteView());
    if (!unpacked) {
      put_back(range);
      return cut_off(number, unpacked.error());
    }
    plain = std::move(*unpacked);
    bytes = plain;
  }
  store(item, range.offset, bytes);
  unpacked_ += bytes.size();
  givers_.insert(number);
  item.givers.insert(number);
  item.missing -= bytes.size();
  item.islands[range.offset] = range.offset + bytes.size();
  item.last_giver = number;
  owner_.progress(number);
  hash_on(range.item);
  fill();
}

void Fetcher::store(Item& item, std::uint64_t offset, ByteView bytes) {
  const auto end = offset + bytes.size();
  if (end > item.content->capacity()) {
    // Into new memory: a worker may be reading the former, and goes on with it.
    auto roomier = std::make_shared<Bytes>();
    roomier->reserve(std::min<std::uint64_t>(item.wanted.size, kGrowth * end));
    expect_large(*roomier);
    roomier->insert(roomier->end(), item.content->begin(), item.content->end());
    item.content = std::move(roomier);
  }
  Bytes& content = *item.content;
  if (content.size() == offset) {
    content.insert(content.end(), bytes.begin(), bytes.end());
  } else {
    if (content.size() < end) content.resize(end);
    std::copy(bytes.begin(), bytes.end(), content.begin() + static_cast<std::ptrdiff_t>(offset));
  }
}

/// Hashes what has come and follows on what is hashed; when that is all, the content is complete.
void Fetcher::hash_on(std::size_t i) {
  Item& item = items_[i];
  if (!item.digest) item.digest = std::make_shared<Digest>();
  if (item.digest->busy) return;
  const auto begin = item.hashed;
  for (auto it = item.islands.begin(); it != item.islands.end() && it->first == item.hashed; it = item.islands.erase(it)) {
    item.hashed = it->second;
  }
  const auto part = ByteView(*item.content).subspan(begin, item.hashed - begin);
  if (item.wanted.size < kWorthWorker) {
    item.digest->hash.add(part);
    if (item.missing == 0) complete(item.last_giver, i);
    return;
  }
  if (part.empty()) {
    if (item.missing == 0) complete(item.last_giver, i);
    return;
  }
  item.digest->busy = true;
  executor_.compute([digest = item.digest, content = item.content, part] { digest->hash.add(part); },
                    [weak = weak_from_this(), i, batch = batch_, digest = item.digest] {
                      digest->busy = false;
                      const auto self = weak.lock();
                      if (!self || self->over_ || self->batch_ != batch || self->items_[i].digest != digest) return;
                      self->hash_on(i);
                      self->fill();
                    });
}

void Fetcher::complete(std::size_t number, std::size_t i) {
  Item& item = items_[i];
  if (item.digest->hash.finish() == item.wanted.hash) {
    item.digest.reset();
    --left_;
    owner_.arrived(i, *item.content);
    if (left_ == 0 && !over_) finish();
    return;
  }
  const bool one_giver = item.givers.size() <= 1;
  item.doubted = true;
  restart(item);
  if (!one_giver) return;
  cut_off(number, {ErrorCode::untrusted, "the peer sent a block that does not have the hash it announced", {}});
}

/// Drops a holder that lied, and its link with it.
void Fetcher::cut_off(std::size_t number, const Error& why) {
  const auto found = sources_.find(number);
  const auto session = found == sources_.end() ? nullptr : found->second.session;
  drop(number, why);
  if (session) session->end(why);
}

void Fetcher::on_refusal(std::size_t number, const Range& range, TimePoint asked, const Refusal& refusal) {
  Source& source = sources_.at(number);
  Item& item = items_[range.item];
  put_back(range);
  if (!refusal.holders.empty()) owner_.named(refusal.holders);
  if (refusal.why == Refusal::Why::later) {
    if (++source.later > kLaterTries) {
      return drop(number, {ErrorCode::unavailable, "the peer stays busy; try later", refusal.text});
    }
    const auto wait = std::clamp<Duration>(std::chrono::milliseconds(refusal.retry_ms), 10ms, 1s);
    if (!source.pause) {
      pause(number, source, Duration(static_cast<std::int64_t>(static_cast<double>(wait.count()) * (0.75 + 0.5 * random_.uniform()))));
    }
    return fill();
  }
  if (refusal.why != Refusal::Why::busy) {
    source.lacks.insert(range.item);
    if (item.only == number) item.only.reset();
    return fill();
  }
  if (++source.busy > kBusyTries) {
    return drop(number, {ErrorCode::unavailable, "the peer stays busy; try later", refusal.text});
  }
  // Several refusals of one burst are one piece of news.
  if (asked >= source.slowed) {
    source.gap = std::clamp<Duration>(
        std::max<Duration>(source.gap * 3 / 2, std::chrono::milliseconds(refusal.retry_ms)), 2ms, 1s);
    source.slowed = executor_.now();
  }
  if (source.under_way == 0 && !source.pause) pause(number, source, source.gap);
  fill();
}

void Fetcher::drop(std::size_t number, const Error& why) {
  const auto found = sources_.find(number);
  if (found == sources_.end()) return;
  for (const auto& [question, range] : found->second.asked) put_back(range);
  for (auto& item : items_) {
    if (item.only == number) item.only.reset();
  }
  sources_.erase(found);
  const auto self = shared_from_this();
  owner_.lost(number, why);
  if (!over_) fill();
}

void Fetcher::finish() {
  std::vector<Wanted> out;
  for (auto& item : items_) {
    item.wanted.content = std::move(*item.content);
    out.push_back(std::move(item.wanted));
  }
  items_.clear();
  const auto done = owner_.done;
  done(std::move(out));
}

}  // namespace p2p::overlay

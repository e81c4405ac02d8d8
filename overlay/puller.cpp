#include "overlay/puller.hpp"

#include <algorithm>

namespace p2p::overlay {

namespace {

constexpr std::size_t kMaxListedClasses = 1u << 20;  // in one manifest, all lines together

Error lie(ErrorCode code, std::string what) { return {code, "the peer's manifest " + std::move(what), {}}; }

}  // namespace

// ---- Fetcher

Fetcher::Fetcher(Executor& executor, std::shared_ptr<Session> session, const ExchangeLimits& limits,
                 std::uint64_t snapshot, std::vector<Wanted> wanted, Done done)
    : executor_(executor),
      session_(std::move(session)),
      limits_(limits),
      snapshot_(snapshot),
      wanted_(std::move(wanted)),
      done_(std::move(done)) {
  // An answer must fit into both ends' bounds: what the peer sends at most, and the frames that this end takes.
  const auto frame = std::min<std::size_t>(limits_.frame_bytes, session_->peer_hello().frame_bytes) - 512;
  chunk_bytes_ = static_cast<std::uint32_t>(
      std::min({limits_.chunk_bytes, std::size_t{session_->peer_hello().chunk_bytes}, frame}));
}

void Fetcher::start() {
  for (const auto& item : wanted_) {
    missing_.push_back(item.size - item.content.size());
    if (missing_.back() > 0) ++items_left_;
  }
  if (!wanted_.empty()) next_offset_ = wanted_[0].content.size();
  if (items_left_ == 0) {
    return executor_.post([self = shared_from_this()] { self->finish(std::move(self->wanted_)); });
  }
  fill();
}

bool Fetcher::next(Range& range) {
  if (!again_.empty()) {
    range = again_.front();
    again_.pop_front();
    return true;
  }
  while (next_item_ < wanted_.size() && next_offset_ >= wanted_[next_item_].size) {
    ++next_item_;
    next_offset_ = next_item_ < wanted_.size() ? wanted_[next_item_].content.size() : 0;
  }
  if (next_item_ >= wanted_.size()) return false;
  const std::uint64_t rest = wanted_[next_item_].size - next_offset_;
  const std::uint64_t room = budget_ > bytes_under_way_ ? budget_ - bytes_under_way_ : 1;
  const auto length = std::min({rest, std::uint64_t{chunk_bytes_}, std::max<std::uint64_t>(room, kLeastBytes)});
  range = {next_item_, next_offset_, static_cast<std::uint32_t>(length)};
  next_offset_ += length;
  return true;
}

void Fetcher::pause(Duration time) {
  const std::weak_ptr<Fetcher> weak = weak_from_this();
  pause_ = executor_.after(time, [weak] {
    if (const auto self = weak.lock()) {
      const auto timer = std::move(self->pause_);
      self->fill();
    }
  });
}

void Fetcher::cancel() {
  done_ = nullptr;
  pause_.reset();
  session_.reset();  // whose unanswered requests hold this fetcher
}

void Fetcher::fill() {
  if (!done_) return;
  // A peer that was busy is asked one thing at a time, with a gap.
  const auto most = gap_.count() > 0 ? 1 : std::min(kMostUnderWay, session_->request_limit());
  while (!pause_ && under_way_ < most && (under_way_ == 0 || bytes_under_way_ < budget_)) {
    if (const auto since = executor_.now() - last_asked_; since < gap_) return pause(gap_ - since);
    Range range;
    if (!next(range)) return;
    ask(range);
  }
}

void Fetcher::ask(Range range) {
  ++under_way_;
  bytes_under_way_ += range.length;
  last_asked_ = executor_.now();
  session_->request(ChunkRequest{snapshot_, wanted_[range.item].block, range.offset, range.length},
                    [self = shared_from_this(), range, asked = executor_.now()](Result<Message> answer) {
                      self->on_answer(range, asked, std::move(answer));
                    });
}

void Fetcher::on_answer(const Range& range, TimePoint asked, Result<Message> answer) {
  if (!done_) return;
  --under_way_;
  bytes_under_way_ -= range.length;
  if (!answer) return finish(tl::unexpected(answer.error()));
  if (const auto* refusal = std::get_if<Refusal>(&*answer)) return on_refusal(range, asked, *refusal);
  busy_ = 0;
  gap_ = gap_ < 2ms ? Duration(0) : gap_ * 19 / 20;
  const Duration took = executor_.now() - asked;
  if (took < limits_.request_timeout / 4) {
    budget_ = std::min<std::size_t>(budget_ + range.length, kMostUnderWay * std::size_t{chunk_bytes_});
  } else if (took > limits_.request_timeout / 2) {
    budget_ = std::max(budget_ / 2, kLeastBytes);
  }
  on_chunk(range, std::get<ChunkAnswer>(*answer).bytes);
}

void Fetcher::on_chunk(const Range& range, const Bytes& bytes) {
  Wanted& item = wanted_[range.item];
  const auto end = range.offset + bytes.size();
  if (item.content.size() < end) item.content.resize(end);
  std::copy(bytes.begin(), bytes.end(), item.content.begin() + static_cast<std::ptrdiff_t>(range.offset));
  received_ += bytes.size();
  missing_[range.item] -= bytes.size();
  if (missing_[range.item] == 0) {
    --items_left_;
    if (item.hashed && metadata::sha256(item.content) != item.hash) {
      const Error wrong{ErrorCode::untrusted, "the peer sent a block that does not have the hash it announced", {}};
      const auto session = session_;
      finish(tl::unexpected(wrong));
      return session->end(wrong);
    }
  }
  if (items_left_ == 0) return finish(std::move(wanted_));
  fill();
}

void Fetcher::on_refusal(const Range& range, TimePoint asked, const Refusal& refusal) {
  if (refusal.why != Refusal::Why::busy) {
    return finish(tl::unexpected(Error{ErrorCode::unavailable, "the peer does not send the block", refusal.text}));
  }
  if (++busy_ > kBusyTries) {
    return finish(tl::unexpected(Error{ErrorCode::unavailable, "the peer stays busy; try later", refusal.text}));
  }
  again_.push_back(range);
  // Several refusals of one burst are one piece of news.
  if (asked >= slowed_) {
    gap_ = std::clamp<Duration>(std::max<Duration>(gap_ * 3 / 2, std::chrono::milliseconds(refusal.retry_ms)), 2ms, 1s);
    slowed_ = executor_.now();
  }
  if (under_way_ == 0 && !pause_) pause(gap_);
}

void Fetcher::finish(Result<std::vector<Wanted>> result) {
  if (!done_) return;
  const auto self = shared_from_this();
  const auto done = std::move(done_);
  cancel();
  done(std::move(result));
}

// ---- Errand

void Errand::begin(std::shared_ptr<Session> session, bool fresh) {
  if (over_) return;
  if (!begun_) {
    begun_ = true;
    link_took_ = executor_.now() - made_;
    const std::weak_ptr<Errand> weak = weak_from_this();
    deadline_ = executor_.after(limits_.pull_timeout, [weak] {
      if (const auto self = weak.lock()) {
        self->fail({ErrorCode::timeout, "the peer took too long to send everything", {}});
      }
    });
  }
  session_ = std::move(session);
  fresh_ = fresh;
  ask();
}

bool Errand::succeed() {
  if (over_) return false;
  over_ = true;
  deadline_.reset();
  pause_.reset();
  fetcher_.reset();
  session_.reset();
  if (on_over) on_over();
  return true;
}

void Errand::fail(const Error& error) {
  const auto self = shared_from_this();
  if (fetcher_) fetcher_->cancel();
  if (succeed()) report(error);
}

void Errand::drop() {
  const auto self = shared_from_this();
  on_over = nullptr;
  if (fetcher_) fetcher_->cancel();
  succeed();
}

void Errand::stumble(const Error& error) {
  if (over_) return;
  if (error.code == ErrorCode::closed && !progress_ && !fresh_ && !tried_again_ && again) {
    tried_again_ = true;
    session_.reset();
    return again();
  }
  fail(error);
}

Error Errand::refused(const Refusal& refusal) {
  switch (refusal.why) {
    case Refusal::Why::busy:
      return {ErrorCode::unavailable, "the peer stays busy; try later", refusal.text};
    case Refusal::Why::not_served:
      return {ErrorCode::not_found, "the peer does not serve this task", refusal.text};
    case Refusal::Why::gone:
      return {ErrorCode::unavailable, "the peer's snapshot is gone; ask again", refusal.text};
    case Refusal::Why::bad_request:
    case Refusal::Why::too_large:
      break;
  }
  return {ErrorCode::unavailable, "the peer cannot answer that", refusal.text};
}

bool Errand::ask_later(const Refusal& refusal) {
  if (++busy_ > Fetcher::kBusyTries) return false;
  const auto wait = std::clamp<Duration>(std::chrono::milliseconds(refusal.retry_ms) * busy_, 10ms, 1s);
  const std::weak_ptr<Errand> weak = weak_from_this();
  pause_ = executor_.after(wait, [weak] {
    if (const auto self = weak.lock(); self && !self->over_) self->ask();
  });
  return true;
}

// ---- DescribeErrand

void DescribeErrand::ask() {
  const auto self = std::static_pointer_cast<DescribeErrand>(shared_from_this());
  session_->request(DescribeRequest{task_}, [self](Result<Message> answer) {
    if (self->over()) return;
    if (!answer) return self->stumble(answer.error());
    if (const auto* refusal = std::get_if<Refusal>(&*answer)) {
      if (refusal->why == Refusal::Why::busy && self->ask_later(*refusal)) return;
      return self->fail(refused(*refusal));
    }
    self->progress_ = true;
    auto& part = std::get<DescriptionAnswer>(*answer);
    if (part.total > self->limits_.description_bytes) {
      return self->fail({ErrorCode::limit_exceeded, "the peer's description is too long", {}});
    }
    if (part.bytes.size() > part.total || (part.snapshot == 0 && part.bytes.size() != part.total)) {
      return self->fail({ErrorCode::malformed, "the peer's description has another size than it says", {}});
    }
    if (part.bytes.size() == part.total) return self->open(part.bytes);
    std::vector<Wanted> rest(1);
    rest[0].size = part.total;
    rest[0].hashed = false;
    rest[0].content = std::move(part.bytes);
    self->fetcher_ = std::make_shared<Fetcher>(
        self->executor_, self->session_, self->limits_, part.snapshot, std::move(rest),
        [self](Result<std::vector<Wanted>> fetched) {
          if (!fetched) return self->fail(fetched.error());
          self->open((*fetched)[0].content);
        });
    self->fetcher_->start();
  });
}

void DescribeErrand::open(const Bytes& sealed) {
  auto description = metadata::open_description(sealed, max_classes_);
  if (!description) return fail(description.error());
  if (description->node != session_->peer()) {
    return fail({ErrorCode::untrusted, "the peer answered with another node's description", {}});
  }
  if (description->task != task_) {
    return fail({ErrorCode::untrusted, "the peer answered with another task's description", {}});
  }
  const auto self = shared_from_this();
  if (succeed()) done_(std::move(*description));
}

void DescribeErrand::report(const Error& error) { done_(tl::unexpected(error)); }

// ---- PullErrand

void PullErrand::ask() {
  lines_.clear();
  names_.clear();
  part_bytes_ = listed_classes_ = 0;
  asked_ = executor_.now();
  const auto self = std::static_pointer_cast<PullErrand>(shared_from_this());
  session_->request(ManifestRequest{task_, classes_},
                    [self](Result<Message> answer) { self->on_page(std::move(answer)); });
}

void PullErrand::on_page(Result<Message> answer) {
  if (over()) return;
  if (!answer) return stumble(answer.error());
  if (const auto* refusal = std::get_if<Refusal>(&*answer)) {
    if (refusal->why == Refusal::Why::busy && ask_later(*refusal)) return;
    return fail(refused(*refusal));
  }
  progress_ = true;
  if (auto taken = take(std::move(std::get<ManifestAnswer>(*answer))); !taken) {
    const auto session = session_;
    const Error error = taken.error();
    fail(error);
    return session->end(error);
  }
  if (lines_.size() == total_) return fetch();
  const auto self = std::static_pointer_cast<PullErrand>(shared_from_this());
  session_->request(PageRequest{snapshot_, static_cast<std::uint32_t>(lines_.size())},
                    [self](Result<Message> more) { self->on_page(std::move(more)); });
}

Result<void> PullErrand::take(ManifestAnswer page) {
  const bool first = lines_.empty();
  if (first) {
    snapshot_ = page.snapshot;
    total_ = page.total;
    family_ = page.family;
  }
  if (page.total > limits_.blocks) {
    return tl::unexpected(lie(ErrorCode::limit_exceeded, "has too many blocks"));
  }
  if (page.snapshot != snapshot_ || page.total != total_ || page.family != family_ ||
      page.first != lines_.size() || page.lines.size() > total_ - lines_.size() ||
      (page.lines.empty() && total_ > 0)) {
    return tl::unexpected(lie(ErrorCode::malformed, "contradicts itself"));
  }
  for (auto& line : page.lines) {
    part_bytes_ += std::min<std::uint64_t>(line.size, limits_.part_bytes + 1);
    listed_classes_ += line.classes.size();
    if (line.size > limits_.block_bytes) {
      return tl::unexpected(lie(ErrorCode::limit_exceeded, "has a block that is too large"));
    }
    if (part_bytes_ > limits_.part_bytes || listed_classes_ > kMaxListedClasses) {
      return tl::unexpected(lie(ErrorCode::limit_exceeded, "stands for a part that is too large"));
    }
    if (!names_.insert(line.name).second) {
      return tl::unexpected(lie(ErrorCode::malformed, "names a block twice"));
    }
    lines_.push_back(std::move(line));
  }
  return {};
}

void PullErrand::fetch() {
  listed_ = executor_.now();
  std::vector<Wanted> wanted;
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    if (have_.contains(lines_[i].hash)) continue;
    Wanted item;
    item.block = static_cast<std::uint32_t>(i);
    item.size = lines_[i].size;
    item.hash = lines_[i].hash;
    if (item.size == 0 && metadata::sha256({}) != item.hash) {
      return fail({ErrorCode::untrusted, "the peer announced an empty block with a hash that is not of nothing", {}});
    }
    wanted.push_back(std::move(item));
  }
  const auto self = std::static_pointer_cast<PullErrand>(shared_from_this());
  fetcher_ = std::make_shared<Fetcher>(executor_, session_, limits_, snapshot_, std::move(wanted),
                                       [self](Result<std::vector<Wanted>> fetched) {
                                         if (!fetched) return self->fail(fetched.error());
                                         self->assemble(std::move(*fetched));
                                       });
  fetcher_->start();
}

void PullErrand::assemble(std::vector<Wanted> fetched) {
  PulledPart part;
  part.family = family_;
  part.bytes_received = fetcher_->bytes_received();
  part.blocks_reused = lines_.size() - fetched.size();
  part.link_took = link_took_;
  part.manifest_took = listed_ - asked_;
  part.chunks_took = executor_.now() - listed_;
  auto next = fetched.begin();
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    auto& line = lines_[i];
    part.hashes.push_back(line.hash);
    part.blocks.push_back({std::move(line.name), std::move(line.classes), line.evidence, {}});
    if (next != fetched.end() && next->block == i) part.blocks.back().content = std::move((next++)->content);
  }
  const auto self = shared_from_this();
  if (succeed()) done_(std::move(part));
}

void PullErrand::report(const Error& error) { done_(tl::unexpected(error)); }

}  // namespace p2p::overlay

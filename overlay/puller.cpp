#include "overlay/puller.hpp"

#include <algorithm>

namespace p2p::overlay {

// ---- Errand

Errand::Errand(Context context, const std::vector<Exchange::Peer>& holders)
    : executor_(context.executor),
      limits_(context.limits),
      store_(std::move(context.store)),
      lineage_(std::move(context.lineage)),
      coder_(std::move(context.coder)),
      link_(std::move(context.link)),
      random_(context.seed) {
  P2P_ASSERT(!holders.empty());
  for (const auto& peer : holders) {
    if (sources_.size() == kMostHolders) break;
    sources_.push_back({.peer = peer});
  }
}

void Errand::start() {
  const std::weak_ptr<Errand> weak = weak_from_this();
  deadline_ = executor_.after(limits_.pull_timeout, [weak] {
    if (const auto self = weak.lock()) {
      self->fail({ErrorCode::timeout, "the peer took too long to send everything", {}});
    }
  });
  make_fetcher();
  approach(0);
}

void Errand::make_fetcher() {
  const std::weak_ptr<Errand> weak = weak_from_this();
  fetcher_ = std::make_shared<Fetcher>(
      executor_, limits_, coder_, random_.next(),
      Fetcher::Owner{
          .more =
              [weak] {
                if (const auto self = weak.lock()) self->more();
              },
          .lost =
              [weak](std::size_t number, const Error& error) {
                if (const auto self = weak.lock()) self->trouble(number, error);
              },
          .named =
              [weak](const std::vector<Holder>& holders) {
                if (const auto self = weak.lock()) self->name(holders);
              },
          .progress =
              [weak](std::size_t number) {
                if (const auto self = weak.lock()) self->sources_[number].failures = 0;
              },
          .arrived =
              [weak](std::size_t item, const Bytes& content) {
                if (const auto self = weak.lock()) self->arrived(item, content);
              },
          .done =
              [weak](std::vector<Wanted> all) {
                if (const auto self = weak.lock()) self->fetched(std::move(all));
              }});
}

void Errand::approach(std::size_t number) {
  sources_[number].is = Source::Is::linking;
  const auto self = shared_from_this();
  link_(sources_[number].peer, answered_ ? Greeted::yes : Greeted::no, [self, number](Result<std::shared_ptr<Session>> session) {
    if (self->over_ || self->sources_[number].is != Source::Is::linking) return;
    if (session) return self->linked(number, std::move(*session));
    self->trouble(number, session.error());
  });
}

void Errand::linked(std::size_t number, std::shared_ptr<Session> session) {
  Source& source = sources_[number];
  if (answered_ && !session->ready()) return approach(number);  // its bounds are not known yet
  source.is = Source::Is::linked;
  source.session = session;
  if (!begun_) {
    begun_ = true;
    link_took_ = executor_.now() - made_;
  }
  if (answered_) return fetcher_->add(number, std::move(session));
  asked_ = number;
  ask();
}

void Errand::request(Message question, std::function<void(Message)> take) {
  // Weak: the session keeps this function, and would keep itself.
  const std::weak_ptr<Session> asked = sources_[asked_].session;
  session().request(std::move(question), [self = shared_from_this(), number = asked_, asked,
                                          take = std::move(take)](Result<Message> answer) {
    const auto link = asked.lock();
    if (self->over_ || !link || self->sources_[number].session != link) return;
    if (!answer) return self->trouble(number, answer.error());
    self->self_ = link->peer_hello().to;
    if (const auto* refusal = std::get_if<Refusal>(&*answer)) {
      if (refusal->why != Refusal::Why::busy || ++self->busy_ > Fetcher::kBusyTries) {
        return self->trouble(number, refused(*refusal));
      }
      const auto wait = std::clamp<Duration>(std::chrono::milliseconds(refusal->retry_ms) * self->busy_, 10ms, 1s);
      self->pause_ = self->executor_.after(wait, [weak = self->weak_from_this(), link, number] {
        const auto later = weak.lock();
        if (later && !later->over_ && later->sources_[number].session == link) later->ask();
      });
      return;
    }
    take(std::move(*answer));
  });
}

void Errand::fetch(std::vector<Wanted> wanted) {
  const bool first = !answered_;
  answered_ = true;
  fetcher_->fetch(std::move(wanted), asked_);
  for (std::size_t i = 0; first && i < sources_.size(); ++i) {
    if (sources_[i].is == Source::Is::linked) fetcher_->add(i, sources_[i].session);
  }
}

void Errand::ask_anew() {
  answered_ = false;
  fetcher_->cancel();
  make_fetcher();
}

void Errand::caught(const Error& error) {
  const auto session = sources_[asked_].session;
  ask_anew();
  trouble(asked_, error);
  if (session) session->end(error);
}

void Errand::trouble(std::size_t number, const Error& error) {
  if (over_) return;
  const auto self = shared_from_this();
  Source& source = sources_[number];
  const bool was_linked = source.is == Source::Is::linked;
  // Content is late, but the peer has said something since it was asked: it is slow, not dead.
  const bool slow = answered_ && error.code == ErrorCode::timeout && source.session &&
                    executor_.now() - source.session->last_received() < limits_.request_timeout;
  source.session.reset();
  // The caller's holders say best what went wrong; of those the one that was asked.
  if (!error_ || (number == asked_ && !source.named)) error_ = error;
  const bool broke = error.code == ErrorCode::closed || error.code == ErrorCode::io;
  const bool no_room = error.code == ErrorCode::in_use;
  const bool not_here = error.code == ErrorCode::unavailable && was_linked;
  if (number == asked_ && answered_ && not_here && !asked_again_) {
    // What it offered is gone. It may offer something else by now.
    asked_again_ = true;
    ask_anew();
    return approach(number);
  }
  const bool not_yet = source.named && not_here;
  const int tries = no_room || not_yet ? kRoomTries : broke || slow ? kTries : 0;
  if (source.failures++ < tries) {
    const double spread = 0.5 + random_.uniform();
    const auto pause = std::min<Duration>(100ms * (1 << std::min(source.failures - 1, 3)), 500ms);
    rest(number, source.failures == 1 && broke && was_linked
                     ? Duration(0)
                     : Duration(static_cast<std::int64_t>(static_cast<double>(pause.count()) * spread)));
  } else {
    source.is = Source::Is::out;
  }
  more();
  give_up_if_alone();
}

void Errand::rest(std::size_t number, Duration time) {
  sources_[number].is = Source::Is::resting;
  sources_[number].rest = executor_.after(time, [weak = weak_from_this(), number] {
    const auto self = weak.lock();
    if (!self || self->over_) return;
    self->sources_[number].is = Source::Is::known;
    self->more();
  });
}

/// Links to another holder, when one could be of use.
void Errand::more() {
  if (over_) return;
  const std::size_t most = answered_ ? kMostSources : 1;
  std::size_t used = 0;
  for (const auto& source : sources_) {
    used += source.is == Source::Is::linking || source.is == Source::Is::linked ? 1 : 0;
  }
  if (used >= most) return;
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    if (sources_[i].is == Source::Is::known) return approach(i);
  }
}

void Errand::give_up_if_alone() {
  const bool all_out = std::all_of(sources_.begin(), sources_.end(),
                                   [](const Source& source) { return source.is == Source::Is::out; });
  if (all_out) fail(*error_);
}

void Errand::name(const std::vector<Holder>& holders) {
  for (const auto& holder : holders) {
    if (sources_.size() >= kMostHolders) return;
    if (holder.id == self_) continue;
    const bool known = std::any_of(sources_.begin(), sources_.end(),
                                   [&](const Source& source) { return source.peer.id == holder.id; });
    if (known) continue;
    sources_.push_back({.peer = {holder.id, holder.endpoint}});
    sources_.back().named = true;
  }
}

bool Errand::succeed() {
  if (over_) return false;
  over_ = true;
  deadline_.reset();
  pause_.reset();
  if (fetcher_) fetcher_->cancel();
  for (auto& source : sources_) {
    source.session.reset();
    source.rest.reset();
  }
  if (on_over) on_over();
  return true;
}

void Errand::fail(const Error& error) {
  const auto self = shared_from_this();
  const Error why = error;
  if (succeed()) report(why);
}

void Errand::drop() {
  const auto self = shared_from_this();
  on_over = nullptr;
  succeed();
}

Error Errand::refused(const Refusal& refusal) {
  switch (refusal.why) {
    case Refusal::Why::busy:
      return {ErrorCode::unavailable, "the peer stays busy; try later", refusal.text};
    case Refusal::Why::not_served:
      return {ErrorCode::not_found, "the peer does not serve this task", refusal.text};
    case Refusal::Why::gone:
      return {ErrorCode::unavailable, "the peer does not have it any more; ask again", refusal.text};
    case Refusal::Why::later:
    case Refusal::Why::bad_request:
    case Refusal::Why::too_large:
      break;
  }
  return {ErrorCode::unavailable, "the peer cannot answer that", refusal.text};
}

// ---- DescribeErrand

void DescribeErrand::ask() {
  const auto self = std::static_pointer_cast<DescribeErrand>(shared_from_this());
  request(DescribeRequest{task_}, [self](Message answer) {
    auto& part = std::get<DescriptionAnswer>(answer);
    if (part.total > self->limits_.description_bytes) {
      return self->fail({ErrorCode::limit_exceeded, "the peer's description is too long", {}});
    }
    if (part.bytes.size() > part.total) {
      return self->fail({ErrorCode::malformed, "the peer's description has another size than it says", {}});
    }
    std::vector<Wanted> wanted(1);
    wanted[0].hash = part.hash;
    wanted[0].size = part.total;
    wanted[0].content = std::move(part.bytes);
    self->fetch(std::move(wanted));
  });
}

void DescribeErrand::fetched(std::vector<Wanted> all) {
  auto description = metadata::open_description(all[0].content, max_classes_);
  if (!description) return fail(description.error());
  if (description->node != sources_[asked_].peer.id) {
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

PullErrand::~PullErrand() {
  for (const auto& hash : expected_) store_->expect_no_more(hash);
}

void PullErrand::ask() {
  asked_at_ = executor_.now();
  listed_ = false;
  along_.clear();
  // Who has an older version asks for what has changed.
  const bool known = lineage_->any({sources_[asked_].peer.id, task_},
                                   [this](const metadata::Hash& hash) { return store_->find(hash) != nullptr; });
  const auto along = known ? 0 : static_cast<std::uint32_t>(limits_.chunk_bytes);
  const auto self = std::static_pointer_cast<PullErrand>(shared_from_this());
  request(ManifestRequest{task_, classes_, along}, [self](Message answer) {
    auto& head = std::get<ManifestAnswer>(answer);
    self->name(head.holders);
    if (head.total > self->limits_.manifest_bytes) {
      return self->caught({ErrorCode::limit_exceeded, "the peer's manifest is too long", {}});
    }
    if (head.bytes.size() > head.total) {
      return self->caught({ErrorCode::malformed, "the peer's manifest has another size than it says", {}});
    }
    self->root_ = head.hash;
    self->along_ = std::move(head.along);
    self->expect(head.hash);
    std::vector<Wanted> wanted(1);
    wanted[0].hash = head.hash;
    const auto here = self->store_->find(head.hash);
    wanted[0].size = here ? here->size() : head.total;
    wanted[0].content = here ? *here : std::move(head.bytes);
    self->fetch(std::move(wanted));
  });
}

void PullErrand::expect(const metadata::Hash& hash) {
  if (expected_.insert(hash).second) store_->expect(hash);
}

void PullErrand::keep(const metadata::Hash& hash, const Bytes& content) {
  if (content.size() <= limits_.store_bytes) store_->keep(hash, std::make_shared<const Bytes>(content));
  if (expected_.erase(hash) > 0) store_->expect_no_more(hash);
}

void PullErrand::arrived(std::size_t item, const Bytes& content) {
  keep(listed_ ? manifest_.lines[lines_[item]].hash : root_, content);
}

void PullErrand::open(ByteView bytes) {
  auto manifest = decode_manifest(bytes, limits_);
  if (!manifest) return caught(manifest.error());
  manifest_ = std::move(*manifest);
  listed_ = true;
  listed_at_ = executor_.now();
  manifest_bytes_ = fetcher_->bytes_received();
  manifest_unpacked_ = fetcher_->bytes_unpacked();
  here_.assign(manifest_.lines.size(), nullptr);
  lines_.clear();
  std::vector<Wanted> wanted;
  std::set<metadata::Hash> asked;
  auto along = std::move(along_);
  along_.clear();
  auto next = along.begin();
  for (std::size_t i = 0; i < manifest_.lines.size(); ++i) {
    const auto& line = manifest_.lines[i];
    here_[i] = store_->find(line.hash);
    if (!asked.insert(line.hash).second) continue;
    const auto came = next == along.end() ? along.end() : next++;
    if (here_[i]) continue;
    expect(line.hash);
    lines_.push_back(i);
    wanted.push_back({line.hash, line.size});
    if (came != along.end()) {
      auto content = coder_->unpack(*came, {0, line.size}, {});
      if (!content) return caught(content.error());
      along_bytes_ += came->bytes.size();
      along_unpacked_ += content->size();
      wanted.back().content = std::move(*content);
      continue;
    }
    if (const auto before = lineage_->before({sources_[asked_].peer.id, task_}, line.name)) {
      wanted.back().base = store_->find(*before);
      wanted.back().base_hash = *before;
    }
  }
  if (next != along.end()) {
    return caught({ErrorCode::malformed, "the peer sent more content than its manifest names", {}});
  }
  fetch(std::move(wanted));
}

void PullErrand::fetched(std::vector<Wanted> all) {
  if (!listed_) return open(all[0].content);
  PulledPart part;
  part.family = manifest_.family;
  part.from = sources_[asked_].peer.id;
  part.bytes_received = fetcher_->bytes_received() - manifest_bytes_ + along_bytes_;
  part.bytes_unpacked = fetcher_->bytes_unpacked() - manifest_unpacked_ + along_unpacked_;
  part.givers = std::max<std::size_t>(fetcher_->givers(), along_bytes_ > 0 ? 1 : 0);
  part.link_took = link_took_;
  part.manifest_took = listed_at_ - asked_at_;
  part.chunks_took = executor_.now() - listed_at_;
  std::map<metadata::Hash, Bytes> came;
  for (auto& one : all) came[one.hash] = std::move(one.content);
  std::map<metadata::Hash, std::size_t> uses;
  for (const auto& line : manifest_.lines) ++uses[line.hash];
  for (std::size_t i = 0; i < manifest_.lines.size(); ++i) {
    auto& line = manifest_.lines[i];
    Bytes content;
    if (here_[i]) {
      content = *here_[i];
      ++part.blocks_reused;
    } else if (--uses[line.hash] == 0) {
      content = std::move(came[line.hash]);
    } else {
      content = came[line.hash];
    }
    part.hashes.push_back(line.hash);
    part.blocks.push_back({std::move(line.name), std::move(line.classes), line.evidence, std::move(content)});
  }
  Lineage::Blocks blocks;
  for (std::size_t i = 0; i < part.blocks.size(); ++i) blocks[part.blocks[i].name] = part.hashes[i];
  lineage_->note({part.from, task_}, blocks);
  const auto self = shared_from_this();
  if (succeed()) done_(std::move(part));
}

void PullErrand::report(const Error& error) { done_(tl::unexpected(error)); }

}  // namespace p2p::overlay

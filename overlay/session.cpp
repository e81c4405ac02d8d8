#include "overlay/session.hpp"

#include <algorithm>

namespace p2p::overlay {

namespace {

constexpr Duration kRetiredIdle = 2s;
constexpr std::size_t kMinFrameBytes = 1024;
constexpr std::size_t kMaxGivenUp = 64;
constexpr std::size_t kMaxEarlyClasses = kMinFrameBytes / 5 - 20;
constexpr std::size_t kHandshakeBytes = 900;  // about what TLS sends to make a link
constexpr std::size_t kRecordOverhead = 22, kRecordBytes = 16 * 1024;
constexpr std::size_t kChunkOverhead = 16;    // of a chunk's frame

bool is_request(const Message& m) {
  return std::holds_alternative<DescribeRequest>(m) || std::holds_alternative<ManifestRequest>(m) ||
         std::holds_alternative<ChunkRequest>(m) || std::holds_alternative<Feedback>(m);
}

bool is_answer(const Message& m) {
  return std::holds_alternative<DescriptionAnswer>(m) || std::holds_alternative<ManifestAnswer>(m) ||
         std::holds_alternative<ChunkAnswer>(m) || std::holds_alternative<Refusal>(m);
}

bool answers(const Message& answer, const Message& request) {
  if (std::holds_alternative<Refusal>(answer)) return true;
  if (std::holds_alternative<DescribeRequest>(request)) {
    return std::holds_alternative<DescriptionAnswer>(answer);
  }
  if (const auto* chunk = std::get_if<ChunkRequest>(&request)) {
    const auto* content = std::get_if<ChunkAnswer>(&answer);
    if (content == nullptr) return false;
    const auto size = content->content().size();
    return content->coding == Coding::plain ? size == chunk->length : size < chunk->length;
  }
  const auto* head = std::get_if<ManifestAnswer>(&answer);
  return head != nullptr && (head->along.empty() || std::get<ManifestRequest>(request).along > 0);
}

Error error(ErrorCode code, std::string message, std::string cause = {}) {
  return {code, std::move(message), std::move(cause)};
}

}  // namespace

std::string_view traffic_kind(const Message& m) {
  if (std::holds_alternative<DescribeRequest>(m) || std::holds_alternative<DescriptionAnswer>(m)) {
    return "describe";
  }
  if (std::holds_alternative<ManifestRequest>(m) || std::holds_alternative<ManifestAnswer>(m)) {
    return "manifest";
  }
  if (std::holds_alternative<ChunkRequest>(m) || std::holds_alternative<ChunkAnswer>(m)) return "chunk";
  if (std::holds_alternative<Feedback>(m)) return "feedback";
  return "link";
}

Session::Session(Executor& executor, std::shared_ptr<Link> link, bool initiated,
                 const ExchangeLimits& limits, Endpoint accepts, std::shared_ptr<Pacer> pacer, Owner owner)
    : executor_(executor),
      link_(std::move(link)),
      initiated_(initiated),
      limits_(limits),
      accepts_(std::move(accepts)),
      pacer_(std::move(pacer)),
      owner_(std::move(owner)),
      reader_(limits.frame_bytes) {}

void Session::start() {
  made_ = last_active_ = last_received_ = executor_.now();
  const std::weak_ptr<Session> weak = weak_from_this();
  link_->start({
      .on_data =
          [weak](ByteView bytes) {
            if (const auto self = weak.lock()) self->on_data(bytes);
          },
      .on_drained =
          [weak] {
            if (const auto self = weak.lock()) self->serve();
          },
      .on_closed =
          [weak](const Error& why) {
            if (const auto self = weak.lock()) {
              self->finish(error(why.code, "the peer went away", why.text()));
            }
          },
  });
  hello_deadline_ = executor_.after(limits_.request_timeout, [weak] {
    if (const auto self = weak.lock()) {
      self->end(error(ErrorCode::timeout, "the peer did not greet in time"));
    }
  });
  pacer_->spend(kHandshakeBytes);
  Hello hello;
  hello.to = link_->peer();
  hello.frame_bytes = static_cast<std::uint32_t>(limits_.frame_bytes);
  hello.chunk_bytes = static_cast<std::uint32_t>(pacer_->chunk_bytes(limits_.chunk_bytes));
  hello.requests = static_cast<std::uint32_t>(limits_.requests_per_link);
  hello.accepts = accepts_;
  send_frame(0, hello, "link");
}

std::size_t Session::request_limit() const {
  return std::max<std::size_t>(1, std::min<std::size_t>(limits_.requests_per_link, peer_hello_.requests));
}

void Session::request(Message message, OnAnswer done) {
  const std::weak_ptr<Session> weak = weak_from_this();
  if (state_ == State::ended || (state_ == State::greeting && !initiated_)) {
    return executor_.post([done = std::move(done)] {
      done(fail(ErrorCode::closed, "the link to the peer has ended"));
    });
  }
  const auto id = next_id_++;
  Pending pending{std::move(message), std::move(done), executor_.now(), nullptr};
  pending.deadline = executor_.after(limits_.request_timeout, [weak, id] {
    if (const auto self = weak.lock()) self->on_deadline(id);
  });
  pending_.emplace(id, std::move(pending));
  waiting_.push_back(id);
  send_waiting();
}

void Session::send_waiting() {
  while (!waiting_.empty() && in_flight_ < request_limit() && may_leave(pending_.at(waiting_.front()).request)) {
    const auto id = waiting_.front();
    waiting_.pop_front();
    ++in_flight_;
    auto& pending = pending_.at(id);
    pending.asked = executor_.now();
    send_frame(id, pending.request, traffic_kind(pending.request));
  }
}

/// Every node takes one request of this length, whatever its greeting will say.
bool Session::may_leave(const Message& request) const {
  if (state_ == State::open) return true;
  const auto* manifest = std::get_if<ManifestRequest>(&request);
  return manifest == nullptr || manifest->classes.size() <= kMaxEarlyClasses;
}

void Session::tell(const Message& message) {
  if (state_ == State::open) send_frame(0, message, traffic_kind(message));
}

void Session::send_frame(std::uint64_t id, const Message& message, std::string_view kind) {
  const auto* chunk = std::get_if<ChunkAnswer>(&message);
  Bytes bytes = chunk != nullptr ? encode_head(id, *chunk) : encode(Frame{id, message});
  const ByteView content = chunk != nullptr ? chunk->content() : ByteView();
  const std::size_t size = bytes.size() + content.size();
  count(kind, message, size);
  pacer_->spend(size + kRecordOverhead * (size / kRecordBytes + 1));
  if (kind != "link") last_active_ = executor_.now();
  if (content.empty()) return link_->send(std::move(bytes));
  link_->send_with(std::move(bytes), content);
}

/// Content counts as such, whatever it came along with.
void Session::count(std::string_view kind, const Message& message, std::size_t bytes) {
  std::size_t content = 0;
  if (const auto* head = std::get_if<ManifestAnswer>(&message)) {
    for (const auto& one : head->along) content += one.content().size();
  }
  if (content > 0) owner_.on_traffic("chunk", content);
  owner_.on_traffic(kind, bytes - content);
}

void Session::on_data(ByteView bytes) {
  const auto self = shared_from_this();
  if (state_ == State::ended) return;
  last_received_ = executor_.now();
  const auto fed = reader_.feed(bytes, [this](ByteView body) { return on_frame(body); });
  if (!fed) end(fed.error());
}

bool Session::on_frame(ByteView body) {
  auto frame = decode_frame(body, Content::lent);
  if (!frame) {
    end(frame.error());
    return false;
  }
  auto& message = frame->message;
  const std::size_t bytes = body.size() + 4;
  if (const auto* goodbye = std::get_if<Goodbye>(&message)) {
    owner_.on_traffic("link", bytes);
    finish(goodbye->why == Goodbye::Why::no_room
               ? error(ErrorCode::in_use, "the peer has no room for this link; try again in a moment", goodbye->text)
               : error(ErrorCode::closed, "the peer ended the link", goodbye->text));
    return false;
  }
  if (const auto* hello = std::get_if<Hello>(&message)) {
    owner_.on_traffic("link", bytes);
    on_hello(*hello);
    return state_ != State::ended;
  }
  if (state_ != State::open) {
    end(error(ErrorCode::malformed, "the peer did not greet first"));
    return false;
  }
  if (is_answer(message)) {
    on_answer(frame->id, std::move(message), bytes);
    return state_ != State::ended;
  }
  P2P_ASSERT(is_request(message));
  owner_.on_traffic(traffic_kind(message), bytes);
  last_active_ = executor_.now();
  if (jobs_.size() >= limits_.requests_per_link) {
    end(error(ErrorCode::limit_exceeded, "the peer sent more than " + std::to_string(limits_.requests_per_link) +
                                             " requests without waiting for answers"));
    return false;
  }
  take_job(std::move(*frame));
  serve();
  return state_ != State::ended;
}

void Session::on_hello(const Hello& hello) {
  if (state_ == State::open) return end(error(ErrorCode::malformed, "the peer greeted twice"));
  if (hello.version != kProtocolVersion) {
    return end(error(ErrorCode::version, "the peer speaks protocol version " + std::to_string(hello.version) +
                                             ", this node " + std::to_string(kProtocolVersion) +
                                             "; update the older one"));
  }
  if (hello.frame_bytes < kMinFrameBytes || hello.chunk_bytes == 0 || hello.requests == 0) {
    return end(error(ErrorCode::malformed, "the peer's greeting has impossible bounds"));
  }
  peer_hello_ = hello;
  greeted_ = executor_.now();
  state_ = State::open;
  hello_deadline_.reset();
  watch_idle(limits_.idle_timeout);
  owner_.on_ready();
  send_waiting();
}

void Session::on_answer(std::uint64_t id, Message answer, std::size_t bytes) {
  const auto found = pending_.find(id);
  const bool sent =
      found != pending_.end() && std::find(waiting_.begin(), waiting_.end(), id) == waiting_.end();
  if (!sent) {
    owner_.on_traffic(traffic_kind(answer), bytes);
    if (given_up_.erase(id) == 0) {
      return end(error(ErrorCode::malformed, "the peer answered what was not asked"));
    }
    --in_flight_;
    return send_waiting();
  }
  count(traffic_kind(found->second.request), answer, bytes);
  if (!answers(answer, found->second.request)) {
    return end(error(ErrorCode::malformed, "the peer's answer does not fit the question"));
  }
  last_active_ = executor_.now();
  if (!std::holds_alternative<ChunkAnswer>(answer)) {
    const Duration took = executor_.now() - found->second.asked;
    round_trip_ = round_trip_.count() == 0 ? took : (round_trip_ * 7 + took) / 8;
  }
  const Pending pending = std::move(found->second);
  pending_.erase(found);
  --in_flight_;
  send_waiting();
  pending.done(std::move(answer));
}

void Session::on_deadline(std::uint64_t id) {
  const auto self = shared_from_this();
  const auto found = pending_.find(id);
  if (found == pending_.end()) return;
  const Pending pending = std::move(found->second);
  pending_.erase(found);
  const auto waits = std::find(waiting_.begin(), waiting_.end(), id);
  const bool sent = waits == waiting_.end();
  if (sent) {
    given_up_.insert(id);
  } else {
    waiting_.erase(waits);
  }
  const auto late = error(ErrorCode::timeout, "the peer did not answer in time");
  // Silence since the question, which may have been asked in the very instant of the greeting: the link is of no use
  // to anybody.
  const bool silent = sent && last_received_ <= std::max(pending.asked, greeted_);
  pending.done(tl::unexpected(late));
  if (silent || given_up_.size() > kMaxGivenUp) end(late);
}

void Session::take_job(Frame frame) {
  Job job{std::move(frame), 0, std::nullopt};
  if (const auto* chunk = std::get_if<ChunkRequest>(&job.frame.message)) {
    const auto bytes = std::min<std::size_t>(chunk->length, limits_.chunk_bytes) + kChunkOverhead;
    if (pacer_->admits(bytes, waiting_bytes_)) {
      job.bytes = bytes;
      waiting_bytes_ += bytes;
      pacer_->queue(bytes);
    } else {
      job.answer = owner_.on_no_room(*chunk);
    }
  }
  // Content comes along with a manifest when nobody has to wait for it.
  if (auto* manifest = std::get_if<ManifestRequest>(&job.frame.message)) {
    const auto bytes = std::min<std::size_t>(manifest->along, limits_.chunk_bytes);
    if (!jobs_.empty() || (bytes > 0 && !pacer_->ready(bytes + kChunkOverhead))) manifest->along = 0;
  }
  jobs_.push_back(std::move(job));
}

void Session::serve() {
  if (serving_) return;
  serving_ = true;
  const auto self = shared_from_this();
  while (state_ == State::open && !waiting_turn_ && !jobs_.empty() && link_->queued() < Link::kHighWater) {
    const auto bytes = jobs_.front().bytes;
    if (!pacer_->ready(bytes)) {
      waiting_turn_ = true;
      const std::weak_ptr<Session> weak = weak_from_this();
      pacer_->wait(bytes, [weak] {
        const auto waited = weak.lock();
        if (!waited) return;
        waited->waiting_turn_ = false;
        if (waited->state_ == State::open && !waited->jobs_.empty() && waited->link_->queued() < Link::kHighWater) {
          waited->answer_next();
        }
        waited->serve();
      });
      break;
    }
    answer_next();
  }
  serving_ = false;
}

void Session::answer_next() {
  const auto self = shared_from_this();
  Job job = std::move(jobs_.front());
  auto answer = job.answer ? std::move(job.answer) : owner_.on_request(job.frame.message);
  if (state_ != State::open) return;
  jobs_.pop_front();
  waiting_bytes_ -= job.bytes;
  pacer_->unqueue(job.bytes);
  if (answer) send_frame(job.frame.id, *answer, traffic_kind(job.frame.message));
}

void Session::retire() {
  if (retired_ || state_ == State::ended) return;
  retired_ = true;
  if (state_ == State::open) watch_idle(kRetiredIdle);
}

void Session::watch_idle(Duration time) {
  const std::weak_ptr<Session> weak = weak_from_this();
  idle_ = executor_.after(time, [weak] {
    const auto self = weak.lock();
    if (!self) return;
    const Duration allowed = self->retired_ ? std::min(kRetiredIdle, self->limits_.idle_timeout)
                                            : self->limits_.idle_timeout;
    const Duration idle = self->executor_.now() - self->last_active_;
    if (idle < allowed) return self->watch_idle(allowed - idle);
    // A retired link waits for what is under way; an idle one has nothing under way but a peer that stalls.
    if (self->retired_ && !self->quiet() && idle < self->limits_.idle_timeout) {
      return self->watch_idle(allowed);
    }
    self->end(error(ErrorCode::closed, self->retired_ ? "another link is in use" : "the link was idle"));
  });
}

void Session::end(Error why, Goodbye::Why reason) {
  if (state_ == State::ended) return;
  const auto self = shared_from_this();
  std::string text = why.message.substr(0, kMaxNameBytes);
  if (link_->queued() < Link::kHighWater) send_frame(0, Goodbye{std::move(text), reason}, "link");
  link_->close();
  finish(why);
}

void Session::finish(const Error& why) {
  if (state_ == State::ended) return;
  const auto self = shared_from_this();
  state_ = State::ended;
  hello_deadline_.reset();
  idle_.reset();
  jobs_.clear();
  pacer_->unqueue(waiting_bytes_);
  waiting_bytes_ = 0;
  waiting_.clear();
  auto pending = std::move(pending_);
  pending_.clear();
  for (auto& [id, request] : pending) request.done(tl::unexpected(why));
  const auto on_ended = std::move(owner_.on_ended);
  on_ended(why);
}

}  // namespace p2p::overlay

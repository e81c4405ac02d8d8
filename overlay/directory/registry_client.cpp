#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "metadata/base/random.hpp"
#include "overlay/directory/node_quota.hpp"
#include "overlay/directory/registry.hpp"
#include "overlay/directory/registry_table.hpp"

namespace p2p::directory {

namespace {

using overlay::Link;
using registry::Found;
using registry::Message;
using registry::Refused;

constexpr std::size_t kSpare = 4;         // asked for beyond what is wanted, where some may not be wanted
constexpr std::size_t kMaxQuestions = 8;  // of one lookup
constexpr std::size_t kMaxHeard = 1024;   // nodes that a watch remembers
constexpr Duration kLinger = 1s;          // for our own last words
constexpr Duration kEndpointRetry = 500ms;
constexpr Duration kRefusedRetry = 60s;
constexpr double kPushesPerSecond = 32;   // whose signatures are checked; more are dropped
constexpr std::uint64_t kReuseMs = 5 * 60 * 1000;  // how old a sealed entry may be when it is sent once more

Error error(ErrorCode code, std::string message, std::string cause = {}) {
  return {code, std::move(message), std::move(cause)};
}

metadata::Fingerprint blank(std::uint32_t dimensions, std::uint32_t classes) {
  return metadata::FingerprintBuilder({.dimensions = dimensions, .classes = classes}).build();
}

}  // namespace

class RegistryClient : public std::enable_shared_from_this<RegistryClient> {
 public:
  RegistryClient(const RegistryContext& context, const RegistryOptions& options)
      : executor_(context.executor),
        transport_(context.transport),
        key_(context.key),
        endpoint_(context.endpoint),
        options_(options),
        shape_{metadata::id(context.task), context.task.embedding_dimensions,
               static_cast<std::uint32_t>(context.task.classes.size())},
        sketcher_(context.task),
        backoff_(options.backoff_low),
        random_(hash_of(context.key.id())) {
    P2P_ASSERT(endpoint_ != nullptr);
  }

  void publish(const metadata::Fingerprint& fingerprint) {
    show(kLive, fingerprint);
    flush();
  }

  void remember(const std::vector<Archived>& archive) {
    P2P_ASSERT(archive.size() <= metadata::kMostArchived);
    std::set<std::uint32_t> kept;
    for (const auto& one : archive) P2P_ASSERT(one.concept_id != kLive && kept.insert(one.concept_id).second);
    std::erase_if(shown_, [&](const auto& shown) {
      const auto concept_id = shown.first;
      if (concept_id == kLive || kept.contains(concept_id)) return false;
      if (told_) to_forget_.insert(concept_id);
      return true;
    });
    for (const auto& [concept_id, fingerprint] : archive) {
      const auto found = shown_.find(concept_id);
      if (found == shown_.end() || found->second.fingerprint != fingerprint) show(concept_id, fingerprint);
    }
    flush();
  }

  void withdraw() {
    to_withdraw_ |= told_;
    shown_.clear();
    to_forget_.clear();
    flush();
  }

  void lookup(const metadata::Need& need, const LookupOptions& options, std::function<void(LookupResult)> done) {
    const auto number = next_number_++;
    Search& search = searches_[number];
    search.question = question_of(need);
    search.options = options;
    search.done = std::move(done);
    search.started = executor_.now();
    const bool nothing = options.want == 0;
    search.deadline = executor_.after(nothing ? Duration{0} : std::max(options.deadline, Duration{0}),
                                      [weak = weak_from_this(), number] {
                                        if (const auto self = weak.lock()) self->finish_search(number);
                                      });
    search.to_ask = !nothing;
    // Somebody waits: better now than at the end of a long pause, unless that has just been tried.
    if (executor_.now() - tried_ >= options_.backoff_low) reconnect_.reset();
    flush();
  }

  std::uint64_t watch(const metadata::Need& need, double within, std::function<void(const Candidate&)> on_candidate) {
    const auto number = next_number_++;
    watches_.emplace(number, Watching{question_of(need), within, std::move(on_candidate)});
    flush();
    return number;
  }

  void unwatch(std::uint64_t number) {
    const auto found = watches_.find(number);
    if (found == watches_.end()) return;
    const auto request = found->second.request;
    watches_.erase(found);
    if (link_ && request != 0) ask(registry::Unwatch{request}, [](Result<Message>, std::size_t) {});
  }

  void read(const Place&, std::function<void(Result<Bucket>)> done) {
    executor_.post([weak = weak_from_this(), done = std::move(done)] {
      if (weak.expired()) return;
      done(fail(ErrorCode::unavailable, "this node asks a registry, which has no buckets; `p2p-learner lookup` asks it"));
    });
  }

  Standing standing() const {
    Standing out;
    for (const auto& [concept_id, shown] : shown_) {
      if (concept_id != kLive) {
        ++out.archived;
      } else {
        out.published = shown.listed;
      }
    }
    out.estimated_nodes = static_cast<double>(known_);
    return out;
  }

  /// The owner is gone: nobody is told anything.
  void abandon() {
    down_ = true;
    ++life_;
    if (link_) link_->close();
    link_.reset();
    lingering_.reset();
    pending_.clear();
    searches_.clear();
    watches_.clear();
    reconnect_.reset();
    shown_.clear();
    ping_.reset();
    linger_.reset();
    options_.on_trouble = {};
  }

 private:
  using OnAnswer = std::function<void(Result<Message>, std::size_t bytes)>;
  struct Pending {
    OnAnswer done;
    Executor::TimerHandle deadline;
  };
  /// What this node makes known of itself, by concept.
  struct Shown {
    metadata::Fingerprint fingerprint;
    std::optional<registry::Row> sealed = {};
    Endpoint sealed_at = {};
    std::uint64_t version = 0;  ///< of what is sealed
    bool unsent = true, publishing = false;
    bool listed = false;        ///< the registry has said so, on this link
    Executor::TimerHandle report = {};
  };
  struct Search {
    registry::Question question;
    LookupOptions options;
    std::function<void(LookupResult)> done;
    TimePoint started;
    Executor::TimerHandle deadline, again;
    bool to_ask = false;
    std::vector<Candidate> found;
    std::set<NodeId> seen;  // presences
    LookupResult result;
  };
  struct Watching {
    registry::Question question;
    double within = 0;
    std::function<void(const Candidate&)> on_candidate;
    std::uint64_t request = 0;  ///< on the present link; 0: not asked there
    std::map<NodeId, std::uint64_t> heard = {};  ///< versions of presences
  };

  static std::uint64_t hash_of(const NodeId& id) {
    std::uint64_t out = 0;
    std::memcpy(&out, id.bytes.data(), sizeof out);
    return out;
  }

  registry::Question question_of(const metadata::Need& need) const {
    registry::Question out{shape_, options_.similarity, need};
    auto& experience = out.need.experience;
    if (!(experience.samples() > 0)) experience = blank(shape_.dimensions, shape_.classes);
    P2P_ASSERT(experience.dimensions == shape_.dimensions && experience.classes == shape_.classes);
    std::erase_if(out.need.classes,
                  [&](auto c) { return c < 0 || static_cast<std::uint32_t>(c) >= shape_.classes; });
    return out;
  }
  registry::Query query_of(const registry::Question& question) const {
    return {shape_.task, question.similarity, question.need.by, question.need.classes,
            metadata::encode(question.need.experience)};
  }

  // ---- The link.

  bool needed() const {
    return !shown_.empty() || to_withdraw_ || !to_forget_.empty() || !searches_.empty() ||
           !watches_.empty();
  }

  void connect() {
    if (down_ || link_ || connecting_ || reconnect_ || !needed()) return;
    connecting_ = true;
    tried_ = executor_.now();
    transport_.connect(options_.registry, options_.registry_key, options_.connect_timeout,
                       [weak = weak_from_this(), life = life_](Result<std::shared_ptr<Link>> link) {
                         const auto self = weak.lock();
                         if (self && self->life_ == life) self->connected(std::move(link));
                       });
  }

  void connected(Result<std::shared_ptr<Link>> link) {
    connecting_ = false;
    if (!link) {
      auto why = error(link.error().code, "the registry at " + options_.registry.text() + " cannot be reached; is it running?",
                       link.error().text());
      if (link.error().code == ErrorCode::untrusted) {
        why.message = "what answers at " + options_.registry.text() +
                      " does not hold the registry's key; compare registry_key with the line that the registry prints";
      }
      trouble(why);
      return reconnect_later();
    }
    link_ = std::move(*link);
    reader_ = overlay::FrameReader(registry::kFrameBytes);
    greeted_ = false;
    opened_ = executor_.now();
    const std::weak_ptr<RegistryClient> weak = weak_from_this();
    link_->start({.on_data =
                      [weak, life = life_](ByteView bytes) {
                        const auto self = weak.lock();
                        if (self && self->life_ == life) self->on_data(bytes);
                      },
                  .on_drained = [] {},
                  .on_closed =
                      [weak, life = life_](const Error& why) {
                        const auto self = weak.lock();
                        if (self && self->life_ == life) self->lose(error(why.code, "the link to the registry broke", why.text()));
                      }});
    send(0, registry::Greeting{});
    ping_later();
    flush();
  }

  /// The link is of no use any more. What was asked on it is asked again on the next one.
  void lose(const Error& why) {
    if (!link_) return;
    ++life_;
    if (executor_.now() - opened_ >= options_.backoff_high) backoff_ = options_.backoff_low;
    link_->close();
    lingering_ = std::move(link_);
    linger_ = executor_.after(kLinger, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->lingering_.reset();
    });
    link_ = nullptr;
    ping_.reset();
    for (auto& [concept_id, shown] : shown_) {
      shown.publishing = shown.listed = false;
      shown.unsent = true;
    }
    for (auto& [number, watching] : watches_) watching.request = 0;
    auto pending = std::exchange(pending_, {});
    for (auto& [id, request] : pending) request.done(tl::unexpected(why), 0);
    trouble(why);
    reconnect_later();
  }

  void end(Error why) {
    if (!link_) return;
    if (link_->queued() < Link::kHighWater) {
      send(0, overlay::Goodbye{why.message.substr(0, overlay::kMaxNameBytes)});
    }
    lose(why);
  }

  void reconnect_later() {
    const double jitter = 0.8 + 0.4 * random_.uniform();
    const Duration wait(static_cast<std::int64_t>(static_cast<double>(backoff_.count()) * jitter));
    backoff_ = std::min(backoff_ * 2, options_.backoff_high);
    reconnect_ = executor_.after(wait, [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (!self) return;
      self->reconnect_.reset();
      self->connect();
    });
  }

  void trouble(const Error& why) {
    if (!options_.on_trouble || last_trouble_ == why.message) return;
    last_trouble_ = why.message;
    // A copy: it may destroy the directory.
    const auto tell = options_.on_trouble;
    executor_.post([weak = weak_from_this(), tell, why] {
      const auto self = weak.lock();
      if (self && !self->down_) tell(why);
    });
  }

  std::size_t send(std::uint64_t id, Message message) {
    Bytes bytes = registry::encode({id, std::move(message)});
    const auto size = bytes.size();
    link_->send(std::move(bytes));
    return size;
  }

  /// Returns the frame's id and bytes.
  std::pair<std::uint64_t, std::size_t> ask(Message message, OnAnswer done) {
    const auto id = next_id_++;
    pending_[id] = {std::move(done), executor_.after(options_.request_timeout, [weak = weak_from_this(), life = life_] {
                      const auto self = weak.lock();
                      if (self && self->life_ == life) {
                        self->end(error(ErrorCode::timeout, "the registry does not answer"));
                      }
                    })};
    return {id, send(id, std::move(message))};
  }

  void on_data(ByteView bytes) {
    const auto self = shared_from_this();
    const auto life = life_;
    const auto fed = reader_.feed(bytes, [&](ByteView body) {
      on_frame(body);
      return life_ == life;
    });
    if (!fed && life_ == life) end(fed.error());
  }

  void on_frame(ByteView body) {
    auto frame = registry::decode_frame(body);
    const std::size_t bytes = body.size() + 4;
    if (frame && std::holds_alternative<overlay::Goodbye>(frame->message)) {
      return lose(error(ErrorCode::closed, "the registry ended the link: " +
                                               std::get<overlay::Goodbye>(frame->message).text));
    }
    if (!greeted_) {
      const auto* greeting = frame ? std::get_if<registry::Greeting>(&frame->message) : nullptr;
      if (greeting == nullptr) {
        return end(error(ErrorCode::malformed, "what listens at " + options_.registry.text() + " is no registry",
                         frame ? "" : frame.error().text()));
      }
      if (greeting->version != registry::kProtocolVersion) {
        return end(error(ErrorCode::version, "the registry speaks version " + std::to_string(greeting->version) +
                                                 " of its protocol, this node " +
                                                 std::to_string(registry::kProtocolVersion) + "; update the older one"));
      }
      greeted_ = true;
      return;
    }
    if (!frame) return end(frame.error());
    if (auto* appeared = std::get_if<registry::Appeared>(&frame->message)) return on_push(frame->id, appeared->row);
    const bool answer = std::holds_alternative<registry::Done>(frame->message) ||
                        std::holds_alternative<Found>(frame->message) ||
                        std::holds_alternative<Refused>(frame->message);
    const auto found = pending_.find(frame->id);
    if (!answer || found == pending_.end()) {
      return end(error(ErrorCode::malformed, "the registry answered what was not asked"));
    }
    const auto done = std::move(found->second.done);
    pending_.erase(found);
    done(std::move(frame->message), bytes);
  }

  void ping_later() {
    ping_ = executor_.after(options_.ping_every, [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (!self || !self->link_) return;
      if (self->pending_.empty()) self->ask(registry::Ping{}, [](Result<Message>, std::size_t) {});
      self->ping_later();
      self->flush();  // a watch that was refused
    });
  }

  /// Sends whatever waits for a link; makes one where there is none.
  void flush() {
    if (down_ || !needed()) return;
    if (!link_) return connect();
    if (to_withdraw_) {
      ask(registry::Withdraw{shape_.task, {}}, [](Result<Message>, std::size_t) {});
      to_withdraw_ = told_ = false;
    }
    for (const auto concept_id : std::exchange(to_forget_, {})) {
      ask(registry::Withdraw{shape_.task, concept_id}, [](Result<Message>, std::size_t) {});
    }
    for (auto& [concept_id, shown] : shown_) {
      if (shown.unsent && !shown.publishing) send_publication(concept_id, shown);
    }
    for (auto& [number, watching] : watches_) {
      if (watching.request == 0) send_watch(number, watching);
    }
    for (auto& [number, search] : searches_) {
      if (search.to_ask) send_question(number, search);
    }
  }

  // ---- Publishing.

  void show(std::uint32_t concept_id, const metadata::Fingerprint& fingerprint) {
    Shown& shown = shown_[concept_id];
    shown.fingerprint = fingerprint;
    shown.sealed.reset();
    shown.unsent = true;
    to_forget_.erase(concept_id);
  }

  void send_publication(std::uint32_t concept_id, Shown& shown) {
    const Endpoint at = endpoint_();
    if (!metadata::connectable(at)) return report_after(concept_id, shown, kEndpointRetry);
    const auto wall = executor_.wall_ms();
    if (!shown.sealed || shown.sealed_at != at || wall < shown.version || wall - shown.version > kReuseMs) {
      seal(concept_id, shown, at, wall);
    }
    shown.publishing = told_ = true;
    shown.unsent = false;
    ask(registry::Publish{shown.sealed->entry, shown.sealed->description},
        [weak = weak_from_this(), concept_id](const Result<Message>& answer, std::size_t) {
          if (const auto self = weak.lock()) self->published(concept_id, answer);
        });
  }

  void seal(std::uint32_t concept_id, Shown& shown, const Endpoint& at, std::uint64_t wall) {
    // Grows, unless this machine's clock was far ahead until now: then nobody would take what comes next.
    version_ = wall <= version_ && version_ - wall <= kReuseMs ? version_ + 1 : wall;
    metadata::Entry entry = metadata::entry_of(shown.fingerprint, sketcher_.sketch(shown.fingerprint));
    entry.task = metadata::tag(shape_.task);
    entry.node = key_.id();
    entry.concept_id = concept_id;
    entry.version = version_;
    entry.endpoint = at;
    entry.table_port = at.port;
    const metadata::Description description{.task = shape_.task,
                                            .node = key_.id(),
                                            .version = version_,
                                            .fingerprint = shown.fingerprint,
                                            .concept_id = concept_id};
    shown.sealed = registry::Row{metadata::seal(entry, key_), metadata::seal(description, key_)};
    shown.sealed_at = at;
    shown.version = version_;
  }

  void published(std::uint32_t concept_id, const Result<Message>& answer) {
    const auto found = shown_.find(concept_id);
    if (found == shown_.end()) return;
    Shown& shown = found->second;
    shown.publishing = false;
    if (!answer) return;  // the link is gone, and all is sent again on the next one
    if (const auto* refused = std::get_if<Refused>(&*answer)) {
      const bool busy = refused->why == Refused::Why::busy;
      shown.listed = false;
      if (!busy) trouble(error(ErrorCode::unavailable, "the registry does not list this node: " + refused->text));
      report_after(concept_id, shown, busy ? std::max<Duration>(std::chrono::milliseconds(refused->retry_ms), 1s) : kRefusedRetry);
    } else {
      shown.listed = true;
      backoff_ = options_.backoff_low;
      last_trouble_.clear();
      report_after(concept_id, shown,
                   Duration(static_cast<std::int64_t>(static_cast<double>(options_.report_every.count()) *
                                                      (0.8 + 0.2 * random_.uniform()))));
    }
    flush();
  }

  void report_after(std::uint32_t concept_id, Shown& shown, Duration wait) {
    shown.report = executor_.after(wait, [weak = weak_from_this(), concept_id] {
      const auto self = weak.lock();
      if (!self) return;
      const auto found = self->shown_.find(concept_id);
      if (found == self->shown_.end()) return;
      found->second.sealed.reset();
      found->second.unsent = true;
      self->flush();
    });
  }

  // ---- Looking up.

  void send_question(std::uint64_t number, Search& search) {
    search.to_ask = false;
    search.again.reset();
    const std::size_t missing = search.options.want - search.found.size();
    registry::Lookup question;
    question.query = query_of(search.question);
    question.want = static_cast<std::uint32_t>(
        std::min(registry::kMaxWant, missing + (search.options.skip ? kSpare : 0)));
    question.excluded.assign(search.seen.begin(), search.seen.end());
    ++search.result.questions;
    const auto [id, bytes] =
        ask(std::move(question), [weak = weak_from_this(), number](Result<Message> answer, std::size_t size) {
          if (const auto self = weak.lock()) self->answered(number, std::move(answer), size);
        });
    search.result.datagram_bytes += bytes;
  }

  void answered(std::uint64_t number, Result<Message> answer, std::size_t bytes) {
    const auto at = searches_.find(number);
    if (at == searches_.end()) return;
    Search& search = at->second;
    search.result.datagram_bytes += bytes;
    if (!answer) {  // asked again on the next link, if that comes in time
      search.to_ask = true;
      return;
    }
    if (const auto* refused = std::get_if<Refused>(&*answer)) {
      if (refused->why != Refused::Why::busy || search.result.questions >= kMaxQuestions) {
        trouble(error(ErrorCode::unavailable, "the registry refused a lookup: " + refused->text));
        return finish_search(number);
      }
      const Duration wait = std::max<Duration>(std::chrono::milliseconds(refused->retry_ms), 10ms);
      search.again = executor_.after(wait, [weak = weak_from_this(), number] {
        const auto self = weak.lock();
        if (!self) return;
        const auto found = self->searches_.find(number);
        if (found == self->searches_.end()) return;
        found->second.to_ask = true;
        self->flush();
      });
      return;
    }
    const auto* found = std::get_if<Found>(&*answer);
    if (found == nullptr) return end(error(ErrorCode::malformed, "the registry's answer does not fit the question"));
    ++search.result.answers;
    known_ = found->known;
    search.result.known = std::max<std::size_t>(search.result.known, found->known);
    bool fresh = false;
    for (const auto& row : found->rows) {
      ++search.result.values;
      auto candidate = open(row, search.question);
      if (!candidate || !search.seen.insert(candidate->entry.presence()).second) {
        ++search.result.refused;
        continue;
      }
      fresh = true;
      ++search.result.fingerprints;
      if (search.options.skip && search.options.skip(candidate->entry.node)) {
        ++search.result.skipped;
        continue;
      }
      search.found.push_back(std::move(*candidate));
      if (!search.options.on_candidate) continue;
      const auto tell = search.options.on_candidate;
      const Candidate told = search.found.back();
      tell(told);
      if (down_ || !searches_.contains(number)) return;
    }
    const bool again = found->more && fresh && search.found.size() < search.options.want &&
                       search.seen.size() <= registry::kMaxExcluded && search.result.questions < kMaxQuestions;
    if (!again) return finish_search(number);
    search.to_ask = true;
    flush();
  }

  void finish_search(std::uint64_t number) {
    const auto at = searches_.find(number);
    if (at == searches_.end()) return;
    Search search = std::move(at->second);
    searches_.erase(at);
    const auto& need = search.question.need;
    std::stable_sort(search.found.begin(), search.found.end(),
                     [&](const auto& a, const auto& b) { return rank(a, need) < rank(b, need); });
    NodeQuota nodes;
    std::erase_if(search.found, [&](const Candidate& candidate) { return !nodes.take(candidate.entry.node); });
    if (search.found.size() > search.options.want) search.found.resize(search.options.want);
    search.result.candidates = std::move(search.found);
    search.result.took = executor_.now() - search.started;
    search.done(std::move(search.result));
  }

  /// What a node says of itself, if it really does, and it is another node of this task.
  std::optional<Candidate> open(const registry::Row& row, const registry::Question& question) const {
    auto entry = metadata::open_entry(row.entry);
    if (!entry || entry->task != metadata::tag(shape_.task) || entry->node == key_.id()) return std::nullopt;
    auto description = metadata::open_description(row.description, shape_.classes);
    if (!description || description->task != shape_.task || description->node != entry->node || description->concept_id != entry->concept_id ||
        description->version != entry->version || description->fingerprint.dimensions != shape_.dimensions ||
        description->fingerprint.classes != shape_.classes) {
      return std::nullopt;
    }
    Candidate out;
    out.distance = registry::distance(question, description->fingerprint);
    out.needed_recall = listed_recall(*entry, question.need);
    out.entry = std::move(*entry);
    out.fingerprint = std::move(description->fingerprint);
    return out;
  }

  // ---- Watching.

  void send_watch(std::uint64_t number, Watching& watching) {
    const auto [id, bytes] =
        ask(registry::Watch{query_of(watching.question), watching.within},
            [weak = weak_from_this(), number](Result<Message> answer, std::size_t) {
              const auto self = weak.lock();
              if (!self || !answer || !std::holds_alternative<Refused>(*answer)) return;
              self->trouble(error(ErrorCode::unavailable, "the registry refused a watch: " + std::get<Refused>(*answer).text));
              if (const auto found = self->watches_.find(number); found != self->watches_.end()) found->second.request = 0;
            });
    watching.request = id;
  }

  void on_push(std::uint64_t request, const registry::Row& row) {
    const auto at = std::find_if(watches_.begin(), watches_.end(),
                                 [&](const auto& watch) { return watch.second.request == request; });
    if (request == 0 || at == watches_.end()) return;  // given up meanwhile
    const auto now = executor_.now();
    pushes_ = std::max(0.0, pushes_ - static_cast<double>((now - pushed_).count()) * 1e-6 * kPushesPerSecond);
    pushed_ = now;
    if (pushes_ >= kPushesPerSecond) return;
    pushes_ += 1;
    Watching& watching = at->second;
    const auto candidate = open(row, watching.question);
    if (!candidate ||
        !registry::near(watching.question, watching.within, candidate->entry, *candidate->fingerprint)) {
      return;
    }
    const auto presence = candidate->entry.presence();
    const auto heard = watching.heard.find(presence);
    if (heard != watching.heard.end() && heard->second >= candidate->entry.version) return;
    if (heard == watching.heard.end() && watching.heard.size() >= kMaxHeard) watching.heard.erase(watching.heard.begin());
    watching.heard[presence] = candidate->entry.version;
    const auto tell = watching.on_candidate;  // a copy: it may end the watch
    if (tell) tell(*candidate);
  }

  Executor& executor_;
  overlay::Transport& transport_;
  const metadata::KeyPair key_;
  const std::function<Endpoint()> endpoint_;
  RegistryOptions options_;
  const registry::Shape shape_;
  const metadata::Sketcher sketcher_;

  std::shared_ptr<Link> link_, lingering_;
  overlay::FrameReader reader_{registry::kFrameBytes};
  bool connecting_ = false, greeted_ = false, down_ = false;
  std::uint64_t life_ = 0;  // of links: late calls of earlier ones are not for us
  std::uint64_t next_id_ = 1, next_number_ = 1;
  std::map<std::uint64_t, Pending> pending_;
  TimePoint opened_, tried_;
  Duration backoff_;
  Executor::TimerHandle reconnect_, ping_, linger_;
  std::string last_trouble_;

  static constexpr std::uint32_t kLive = 0;  // Entry::concept_id
  std::map<std::uint32_t, Shown> shown_;
  std::uint64_t version_ = 0;
  bool told_ = false;    // it may have listed us
  bool to_withdraw_ = false;
  std::set<std::uint32_t> to_forget_;

  std::map<std::uint64_t, Search> searches_;
  std::map<std::uint64_t, Watching> watches_;
  std::uint64_t known_ = 0;
  double pushes_ = 0;
  TimePoint pushed_;
  Random random_;
};

namespace {

class RegistryDirectory final : public Directory {
 public:
  RegistryDirectory(const RegistryContext& context, const RegistryOptions& options)
      : client_(std::make_shared<RegistryClient>(context, options)) {}
  ~RegistryDirectory() override { client_->abandon(); }

  void publish(const metadata::Fingerprint& fingerprint) override { client_->publish(fingerprint); }
  void remember(const std::vector<Archived>& archive) override { client_->remember(archive); }
  void withdraw() override { client_->withdraw(); }
  void lookup(const metadata::Need& need, const LookupOptions& options,
              std::function<void(LookupResult)> done) override {
    client_->lookup(need, options, std::move(done));
  }
  std::uint64_t watch(const metadata::Need& need, double within,
                      std::function<void(const Candidate&)> on_candidate) override {
    return client_->watch(need, within, std::move(on_candidate));
  }
  void unwatch(std::uint64_t number) override { client_->unwatch(number); }
  void read(const Place& place, std::function<void(Result<Bucket>)> done) override { client_->read(place, std::move(done)); }
  Standing standing() const override { return client_->standing(); }

 private:
  std::shared_ptr<RegistryClient> client_;
};

}  // namespace

std::unique_ptr<Directory> make_registry_directory(const RegistryContext& context, const RegistryOptions& options) {
  return std::make_unique<RegistryDirectory>(context, options);
}

}  // namespace p2p::directory

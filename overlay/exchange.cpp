#include "overlay/exchange.hpp"

#include <algorithm>
#include <cstring>
#include <deque>
#include <utility>

#include "overlay/puller.hpp"
#include "overlay/server.hpp"
#include "overlay/session.hpp"

namespace p2p::overlay {

namespace {

constexpr Duration kLinger = 1s;            // for what is queued, after a link was ended here
constexpr Duration kLeastStay = 250ms;      // then a link makes room for a newcomer's, when nothing is unanswered on it
constexpr std::size_t kMostLeaving = 16;    // links that were turned away and are told so
constexpr std::size_t kMaxPeers = 1024;     // remembered, linked or not

/// Nodes of one crowd must not all choose alike, and a simulation must repeat.
std::uint64_t seed_of(const Endpoint& local) {
  const auto hash = metadata::sha256(view(local.text()));
  std::uint64_t seed;
  std::memcpy(&seed, hash.bytes.data(), sizeof seed);
  return seed;
}

}  // namespace

/// Which peers there are, which links lead to them, and what is under way.
class Exchange::State : public std::enable_shared_from_this<State> {
 public:
  State(Executor& executor, Transport& transport, ExchangeHost host, const ExchangeLimits& limits)
      : executor_(executor),
        transport_(transport),
        host_(std::move(host)),
        limits_(limits),
        seed_(seed_of(transport.local())),
        store_(std::make_shared<ContentStore>(executor, limits.store_bytes, limits.store_life)),
        coder_(std::make_shared<ChunkCoder>()),
        pacer_(std::make_shared<Pacer>(executor, limits.send_bytes_per_second, limits.chunk_bytes)),
        server_(executor_, host_, limits_, {store_, coder_, pacer_}, seed_) {
    P2P_ASSERT(limits.frame_bytes >= 4096 && limits.chunk_bytes > 0 && limits.requests_per_link > 0);
  }

  void listen() {
    // Stays set when this exchange is gone: links are dropped then.
    transport_.on_accept([weak = weak_from_this()](std::shared_ptr<Link> link) {
      if (const auto self = weak.lock()) self->accept(std::move(link));
    });
  }

  Errand::Context context() {
    return {executor_, limits_, store_, coder_, lineage_, seed_ + next_errand_,
            [weak = weak_from_this()](const Peer& peer, Errand::Greeted greeted, OnSession done) {
              if (const auto self = weak.lock()) self->with_session(peer, std::move(done), greeted);
            }};
  }

  void start(std::shared_ptr<Errand> errand) {
    if (down_) {
      return executor_.post([errand = std::move(errand)] {
        errand->fail({ErrorCode::cancelled, "this node is shutting down", {}});
      });
    }
    const auto number = next_errand_++;
    errands_[number] = errand;
    errand->on_over = [weak = weak_from_this(), number] {
      if (const auto self = weak.lock()) self->errands_.erase(number);
    };
    errand->start();
  }

  void feedback(const Peer& peer, const metadata::TaskId& task, double gain) {
    if (down_) return;
    if (!(gain >= -1)) gain = -1;  // and NaN
    if (gain > 1) gain = 1;
    const Feedback message{task, gain};
    with_session(peer, [message](Result<std::shared_ptr<Session>> session) {
      if (session) (*session)->tell(message);
    });
  }

  TrafficByKind traffic() const {
    TrafficByKind out;
    std::uint64_t wire = gone_wire_, framed = 0;
    for (const auto& [kind, bytes] : framed_) {
      framed += bytes;
      if (kind != "link") out.bytes[kind] = bytes;
    }
    for (const auto& [number, open] : sessions_) wire += open.session->sent() + open.session->received();
    std::uint64_t named = framed;
    if (const auto link = framed_.find("link"); link != framed_.end()) named -= link->second;
    // What is queued counts as framed and is not on the wire yet.
    out.bytes["link"] = wire > named ? wire - named : 0;
    return out;
  }

  std::vector<PeerStats> peers() const {
    std::vector<PeerStats> out;
    for (const auto& [id, peer] : peers_) {
      PeerStats stats{id, peer.endpoint, peer.sent, peer.received, peer.round_trip, false};
      for (const auto& [number, open] : sessions_) {
        if (open.session->peer() != id) continue;
        stats.sent += open.session->sent();
        stats.received += open.session->received();
        if (!open.session->ready()) continue;
        stats.connected = true;
        stats.remote = open.session->remote();
        if (open.session->round_trip().count() > 0) stats.round_trip = open.session->round_trip();
      }
      out.push_back(std::move(stats));
    }
    return out;
  }

  std::uint64_t served() const { return server_.served(); }

  void shutdown() {
    if (down_) return;
    down_ = true;
    const auto self = shared_from_this();
    const Error error{ErrorCode::cancelled, "this node is shutting down", {}};
    const auto errands = std::move(errands_);
    errands_.clear();
    for (const auto& [number, errand] : errands) errand->fail(error);
    for (auto& [id, peer] : peers_) peer.waiting.clear(), peer.first.clear();
    std::vector<std::shared_ptr<Session>> open;
    for (const auto& [number, entry] : sessions_) open.push_back(entry.session);
    for (const auto& session : open) session->end(error);
  }

  /// The owner is gone: nobody is told anything.
  void abandon() {
    down_ = true;
    for (const auto& [number, errand] : errands_) errand->drop();
    errands_.clear();
    peers_.clear();
    sessions_.clear();
    leaving_.clear();
    host_ = {};
  }

 private:
  using OnSession = Errand::OnSession;
  struct PeerState {
    Endpoint endpoint;
    bool connecting = false;
    std::vector<OnSession> waiting;    // for a link that has been greeted
    std::vector<OnSession> first = {};  // for any that was begun here
    std::uint64_t sent = 0, received = 0;  // of links that are gone
    Duration round_trip{0};
    TimePoint seen;
  };
  struct Open {
    std::shared_ptr<Session> session;
    Executor::TimerHandle linger;  // set once it has ended
  };

  PeerState& remember(const NodeId& id) {
    PeerState& peer = peers_[id];
    peer.seen = executor_.now();
    if (peers_.size() <= kMaxPeers) return peer;
    auto oldest = peers_.end();
    for (auto it = peers_.begin(); it != peers_.end(); ++it) {
      if (it->first == id || it->second.connecting || in_use(it->first) != nullptr) continue;
      if (oldest == peers_.end() || it->second.seen < oldest->second.seen) oldest = it;
    }
    if (oldest != peers_.end()) peers_.erase(oldest);
    return peer;
  }

  /// The link to use for new work; null: none.
  std::shared_ptr<Session> in_use(const NodeId& id) const {
    for (auto it = sessions_.rbegin(); it != sessions_.rend(); ++it) {
      const auto& session = it->second.session;
      if (session->peer() == id && session->ready() && !session->retired()) return session;
    }
    return nullptr;
  }

  std::size_t open_links() const {
    return static_cast<std::size_t>(std::count_if(
        sessions_.begin(), sessions_.end(), [](const auto& entry) { return !entry.second.session->ended(); }));
  }

  void with_session(const Peer& to, OnSession done, Errand::Greeted greeted = Errand::Greeted::yes) {
    PeerState& peer = remember(to.id);
    peer.endpoint = to.endpoint;
    if (auto session = in_use(to.id)) return done(std::move(session));
    (greeted == Errand::Greeted::no ? peer.first : peer.waiting).push_back(std::move(done));
    if (peer.connecting || greeting(to.id)) return;
    peer.connecting = true;
    if (!make_room()) {
      return executor_.post([weak = weak_from_this(), id = to.id] {
        if (const auto self = weak.lock()) {
          self->connected(id, fail(ErrorCode::full, "all links are in use; raise the number of links or wait"));
        }
      });
    }
    transport_.connect(to.endpoint, to.id, limits_.connect_timeout,
                       [weak = weak_from_this(), id = to.id](Result<std::shared_ptr<Link>> link) {
                         if (const auto self = weak.lock()) self->connected(id, std::move(link));
                       });
  }

  /// Under the bound on links, if need be by ending the quiet one that was unused for longest.
  bool make_room() {
    std::size_t connecting = 0;
    for (const auto& [id, peer] : peers_) connecting += peer.connecting ? 1 : 0;
    if (open_links() + connecting <= limits_.links) return true;
    return end_quietest(Duration(0));
  }

  /// Of the links that have stood for `least` and are quiet, ends the one that was unused for longest. False: there is none.
  bool end_quietest(Duration least) {
    std::shared_ptr<Session> oldest;
    for (const auto& [number, open] : sessions_) {
      const auto& session = open.session;
      if (!session->ready() || !session->quiet() || executor_.now() - session->made() < least) continue;
      if (!oldest || session->last_active() < oldest->last_active()) oldest = session;
    }
    if (!oldest) return false;
    oldest->end({ErrorCode::closed, "room is needed for another link", {}}, Goodbye::Why::no_room);
    return true;
  }

  void connected(const NodeId& id, Result<std::shared_ptr<Link>> link) {
    const auto found = peers_.find(id);
    if (found == peers_.end() || down_) return;
    found->second.connecting = false;
    if (link) {
      const auto session = add(std::move(*link), true);
      if (in_use(id) != nullptr || session->ended()) return;
      for (auto& done : std::exchange(found->second.first, {})) done(session);
      return;
    }
    // The peer's own link may have come meanwhile, or be about to greet.
    if (const auto session = in_use(id)) return give(id, session);
    if (greeting(id)) return;
    refuse(id, link.error());
  }

  bool greeting(const NodeId& id) const {
    return std::any_of(sessions_.begin(), sessions_.end(), [&](const auto& entry) {
      return entry.second.session->peer() == id && !entry.second.session->ready() && !entry.second.session->ended();
    });
  }

  void accept(std::shared_ptr<Link> link) {
    // Dropping the last reference ends the link.
    if (down_) return;
    // One greeting per peer at a time: the newest, so that a peer that came back need not wait for its former self.
    std::shared_ptr<Session> former;
    for (const auto& [number, open] : sessions_) {
      const auto& session = open.session;
      if (session->peer() == link->peer() && !session->initiated() && !session->ready() && !session->ended()) {
        former = session;
      }
    }
    if (former) former->end({ErrorCode::closed, "the peer has begun another link", {}});
    if (open_links() >= limits_.links && !end_quietest(kLeastStay)) {
      const Bytes goodbye = encode(Frame{0, Goodbye{"all links are in use", Goodbye::Why::no_room}});
      pacer_->spend(goodbye.size());
      link->send(goodbye);
      link->close();
      leaving_.push_back(std::move(link));
      if (leaving_.size() > kMostLeaving) leaving_.pop_front();
      return;
    }
    remember(link->peer());
    add(std::move(link), false);
  }

  std::shared_ptr<Session> add(std::shared_ptr<Link> link, bool initiated) {
    const auto number = next_session_++;
    const std::weak_ptr<State> weak = weak_from_this();
    auto session = std::make_shared<Session>(
        executor_, std::move(link), initiated, limits_, transport_.local(), pacer_,
        Session::Owner{
            .on_ready =
                [weak, number] {
                  if (const auto self = weak.lock()) self->ready(number);
                },
            .on_request = [weak, number](const Message& request) -> std::optional<Message> {
              const auto self = weak.lock();
              return self ? self->serve(number, request) : std::nullopt;
            },
            .on_no_room = [weak, number](const ChunkRequest& request) -> Message {
              const auto self = weak.lock();
              if (!self) return Refusal{};
              const auto asking = self->sessions_.at(number).session;
              return self->server_.no_room(asking->peer(), asking->peer_hello(), request);
            },
            .on_ended =
                [weak, number](const Error& why) {
                  if (const auto self = weak.lock()) self->ended(number, why);
                },
            .on_traffic =
                [weak](std::string_view kind, std::size_t bytes) {
                  if (const auto self = weak.lock()) self->framed_[std::string(kind)] += bytes;
                }});
    sessions_[number].session = session;
    session->start();
    return session;
  }

  /// A link has been greeted. One per pair stays in use.
  void ready(std::uint64_t number) {
    const auto session = sessions_.at(number).session;
    const NodeId id = session->peer();
    remember(id);
    std::vector<std::shared_ptr<Session>> others;
    for (const auto& [other_number, open] : sessions_) {
      if (other_number != number && open.session->peer() == id && open.session->ready()) {
        others.push_back(open.session);
      }
    }
    for (const auto& other : others) {
      if (other->initiated() == session->initiated()) {
        // Whoever connects again has lost the link from before, whether this end has noticed or not.
        other->end({ErrorCode::closed, "the peer has begun another link", {}});
        continue;
      }
      // Both ends decide alike: `to` is this node's key as the peer has seen it proven.
      const bool ours = session->peer_hello().to < id;
      (session->initiated() == ours ? other : session)->retire();
    }
    if (const auto chosen = in_use(id)) give(id, chosen);
  }

  void give(const NodeId& id, const std::shared_ptr<Session>& session) {
    for (auto& done : take_waiting(id)) done(session);
  }

  void refuse(const NodeId& id, const Error& error) {
    for (auto& done : take_waiting(id)) done(tl::unexpected(error));
  }

  std::vector<OnSession> take_waiting(const NodeId& id) {
    auto& peer = peers_.at(id);
    auto out = std::exchange(peer.first, {});
    for (auto& done : std::exchange(peer.waiting, {})) out.push_back(std::move(done));
    return out;
  }

  std::optional<Message> serve(std::uint64_t number, const Message& request) {
    const auto session = sessions_.at(number).session;
    auto answer = server_.answer(session->peer(), session->peer_hello(), request);
    if (answer.abusive) {
      session->end({ErrorCode::limit_exceeded, "the peer goes on asking although it is told to wait", {}});
      return std::nullopt;
    }
    return std::move(answer.message);
  }

  void ended(std::uint64_t number, const Error& why) {
    const auto entry = sessions_.find(number);
    if (entry == sessions_.end()) return;
    const auto session = entry->second.session;
    const NodeId id = session->peer();
    // Our own last words are still queued: the link stays for a moment.
    entry->second.linger = executor_.after(kLinger, [weak = weak_from_this(), number] {
      if (const auto self = weak.lock()) self->forget(number);
    });
    const auto peer = peers_.find(id);
    if (peer == peers_.end() || peer->second.connecting) return;
    if (in_use(id) == nullptr && !greeting(id)) refuse(id, why);
  }

  void forget(std::uint64_t number) {
    const auto entry = sessions_.find(number);
    if (entry == sessions_.end()) return;
    const auto open = std::move(entry->second);
    sessions_.erase(entry);
    gone_wire_ += open.session->sent() + open.session->received();
    const auto peer = peers_.find(open.session->peer());
    if (peer == peers_.end()) return;
    peer->second.sent += open.session->sent();
    peer->second.received += open.session->received();
    if (open.session->round_trip().count() > 0) peer->second.round_trip = open.session->round_trip();
  }

  Executor& executor_;
  Transport& transport_;
  ExchangeHost host_;
  const ExchangeLimits limits_;
  const std::uint64_t seed_;
  std::shared_ptr<ContentStore> store_;
  std::shared_ptr<ChunkCoder> coder_;
  std::shared_ptr<Pacer> pacer_;
  std::shared_ptr<Lineage> lineage_ = std::make_shared<Lineage>();
  Server server_;
  std::map<NodeId, PeerState> peers_;
  std::map<std::uint64_t, Open> sessions_;   // in the order in which their links came
  std::deque<std::shared_ptr<Link>> leaving_;  // that were turned away; dropped when others come
  std::map<std::uint64_t, std::shared_ptr<Errand>> errands_;
  std::map<std::string, std::uint64_t> framed_;
  std::uint64_t gone_wire_ = 0;              // bytes of links that are forgotten
  std::uint64_t next_session_ = 1, next_errand_ = 1;
  bool down_ = false;
};

Exchange::Exchange(Executor& executor, Transport& transport, ExchangeHost host, ExchangeLimits limits)
    : state_(std::make_shared<State>(executor, transport, std::move(host), limits)) {
  state_->listen();
}

Exchange::~Exchange() { state_->abandon(); }

void Exchange::describe(const Peer& peer, const metadata::TaskId& task, std::uint32_t max_classes,
                        std::function<void(Result<metadata::Description>)> done) {
  state_->start(std::make_shared<DescribeErrand>(state_->context(), peer, task, max_classes, std::move(done)));
}

void Exchange::pull(const std::vector<Peer>& holders, const metadata::TaskId& task,
                    const std::vector<std::int32_t>& classes, std::function<void(Result<PulledPart>)> done) {
  state_->start(std::make_shared<PullErrand>(state_->context(), holders, task, classes, std::move(done)));
}

void Exchange::feedback(const Peer& peer, const metadata::TaskId& task, double gain) {
  state_->feedback(peer, task, gain);
}

TrafficByKind Exchange::traffic() const { return state_->traffic(); }
std::vector<PeerStats> Exchange::peers() const { return state_->peers(); }
std::uint64_t Exchange::served() const { return state_->served(); }
void Exchange::shutdown() { state_->shutdown(); }

}  // namespace p2p::overlay

#include "overlay/directory/registry_server.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace p2p::directory {

namespace {

using overlay::Link;
using overlay::Transport;
using registry::Appeared;
using registry::Done;
using registry::Found;
using registry::Frame;
using registry::Message;
using registry::Refused;
using registry::Shape;

constexpr Duration kLinger = 1s;     // for what is queued, after a link was ended here
constexpr Duration kSweep = 10s;
constexpr Duration kForgetPeer = 60s;
constexpr Duration kQuiet = 2s;      // before a link may have to make room for another
constexpr std::size_t kMinFrameBytes = 4096;
constexpr std::size_t kFrameMargin = 256;  // of an answer around its rows
constexpr std::size_t kRowMargin = 16;

Refused refuse(Refused::Why why, std::string_view text, std::uint32_t retry_ms = 0) {
  return {why, retry_ms, std::string(text.substr(0, overlay::kMaxNameBytes))};
}

/// So much in a second, and one second's worth at once.
class Allowance {
 public:
  bool take(TimePoint now, double amount, double per_second) {
    refill(now, per_second);
    if (left_ < std::min(amount, per_second)) return false;
    left_ -= amount;  // into debt for what is more than a second's worth
    return true;
  }
  void charge(TimePoint now, double amount, double per_second) {
    refill(now, per_second);
    left_ -= amount;
  }

 private:
  void refill(TimePoint now, double per_second) {
    left_ = fresh_ ? per_second
                   : std::min(per_second, left_ + static_cast<double>((now - refilled_).count()) * 1e-6 * per_second);
    fresh_ = false;
    refilled_ = now;
  }
  bool fresh_ = true;
  double left_ = 0;
  TimePoint refilled_;
};

}  // namespace

class RegistryServer::State : public std::enable_shared_from_this<State> {
 public:
  State(Executor& executor, Transport& transport, const RegistryServerOptions& options)
      : executor_(executor), transport_(transport), options_(options), table_(options.table) {}

  void listen() {
    transport_.on_accept([weak = weak_from_this()](std::shared_ptr<Link> link) {
      if (const auto self = weak.lock()) self->accept(std::move(link));
    });
    sweep_later();
  }

  RegistryStats stats() const {
    RegistryStats out = counters_;
    out.nodes = table_.nodes();
    out.tasks = table_.tasks();
    out.bytes = table_.bytes();
    out.links = open_;
    for (const auto& [shape, watchers] : watchers_) out.watches += watchers.size();
    return out;
  }

  void shutdown() {
    down_ = true;
    sweep_.reset();
    std::vector<std::uint64_t> open;
    for (const auto& [number, peer] : connections_) open.push_back(number);
    for (const auto number : open) end(number, "the registry is shutting down");
  }

  void abandon() {
    down_ = true;
    sweep_.reset();
    connections_.clear();
  }

 private:
  struct Watching {
    registry::Question question;
    double within = 0;
    std::size_t bytes = 0;
  };
  struct Connection {
    std::shared_ptr<Link> link;
    overlay::FrameReader reader{registry::kFrameBytes};
    bool greeted = false, ended = false, serving = false, paused = false;
    std::size_t frame_bytes = 0;
    TimePoint heard;
    std::deque<Frame> jobs;
    std::map<std::uint64_t, Watching> watches;
    Executor::TimerHandle timer;  // to greet, then to go
  };
  struct Peer {
    std::uint64_t connection = 0;  ///< 0: none
    Allowance requests, refusals;
    TimePoint seen;
  };

  void accept(std::shared_ptr<Link> link) {
    if (down_) return;  // dropping the last reference ends the link
    const auto now = executor_.now();
    auto& peer = peers_[link->peer()];
    peer.seen = now;
    // Whoever connects again has lost the link from before, whether this end has noticed or not.
    if (peer.connection != 0) end(peer.connection, "this node has begun another link");
    const bool room = open_ < options_.links || make_room();
    // Those who are told that there is no room wait for their words to leave; too many of them are dropped without.
    if (!room && connections_.size() >= options_.links + 256) return;

    const auto number = next_connection_++;
    peer.connection = number;
    auto& connection = connections_[number];
    ++open_;
    connection.link = std::move(link);
    connection.heard = now;
    const std::weak_ptr<State> weak = weak_from_this();
    connection.timer = executor_.after(options_.greet_timeout, [weak, number] {
      if (const auto self = weak.lock()) self->end(number, "the node did not greet in time");
    });
    connection.link->start({.on_data =
                                [weak, number](ByteView bytes) {
                                  if (const auto self = weak.lock()) self->on_data(number, bytes);
                                },
                            .on_drained =
                                [weak, number] {
                                  if (const auto self = weak.lock()) self->serve(number);
                                },
                            .on_closed =
                                [weak, number](const Error&) {
                                  if (const auto self = weak.lock()) self->finish(number);
                                }});
    if (!room) return end(number, "the registry has no room for another link; its operator can raise --links");
    send(connection, 0, registry::Greeting{});
  }

  /// Ends the link that was unused for longest and waits for nothing. Its node stays listed.
  bool make_room() {
    const auto now = executor_.now();
    std::uint64_t oldest = 0;
    for (const auto& [number, connection] : connections_) {
      if (connection.ended || !connection.watches.empty() || now - connection.heard < kQuiet) continue;
      if (oldest == 0 || connection.heard < connections_.at(oldest).heard) oldest = number;
    }
    if (oldest == 0) return false;
    end(oldest, "room is needed for another link");
    return true;
  }

  Connection* find(std::uint64_t number) {
    const auto found = connections_.find(number);
    return found == connections_.end() || found->second.ended ? nullptr : &found->second;
  }

  static void send(Connection& connection, std::uint64_t id, Message message) {
    connection.link->send(registry::encode({id, std::move(message)}));
  }

  void on_data(std::uint64_t number, ByteView bytes) {
    const auto self = shared_from_this();
    auto* connection = find(number);
    if (connection == nullptr) return;
    connection->heard = executor_.now();
    const auto fed = connection->reader.feed(bytes, [&](ByteView body) { return on_frame(number, body); });
    if (!fed) end(number, fed.error().message);
  }

  bool on_frame(std::uint64_t number, ByteView body) {
    auto frame = registry::decode_frame(body);
    if (!frame) return end(number, frame.error().message), false;
    auto* connection = find(number);
    if (connection == nullptr) return false;
    if (std::holds_alternative<overlay::Goodbye>(frame->message)) return finish(number), false;
    if (const auto* greeting = std::get_if<registry::Greeting>(&frame->message)) {
      if (connection->greeted) return end(number, "the node greeted twice"), false;
      if (greeting->version != registry::kProtocolVersion) {
        return end(number, "the node speaks version " + std::to_string(greeting->version) + " of the registry's protocol, "
                           "the registry " + std::to_string(registry::kProtocolVersion) + "; update the older one"),
               false;
      }
      if (greeting->frame_bytes < kMinFrameBytes) return end(number, "the node's greeting has impossible bounds"), false;
      connection->greeted = true;
      connection->frame_bytes = std::min<std::size_t>(greeting->frame_bytes, registry::kFrameBytes);
      connection->timer.reset();
      return true;
    }
    if (!connection->greeted) return end(number, "the node did not greet first"), false;
    if (!registry::is_request(frame->message) || frame->id == 0) {
      return end(number, "the node sent something that is no request"), false;
    }
    if (connection->jobs.size() >= options_.requests_per_link) {
      return end(number, "the node sent more than " + std::to_string(options_.requests_per_link) +
                             " requests without waiting for answers"),
             false;
    }
    connection->jobs.push_back(std::move(*frame));
    serve(number);
    return find(number) != nullptr;
  }

  /// Answers while the peer takes the answers; otherwise reads no more of its questions.
  void serve(std::uint64_t number) {
    auto* connection = find(number);
    if (connection == nullptr || connection->serving) return;
    connection->serving = true;
    while (!connection->jobs.empty() && connection->link->queued() < Link::kHighWater) {
      const Frame job = std::move(connection->jobs.front());
      connection->jobs.pop_front();
      auto answer = this->answer(number, *connection, job);
      connection = find(number);
      if (connection == nullptr) return;
      if (std::holds_alternative<Refused>(answer)) ++counters_.refused;
      send(*connection, job.id, std::move(answer));
    }
    connection->serving = false;
    const bool pause = !connection->jobs.empty();
    if (pause == connection->paused) return;
    connection->paused = pause;
    pause ? connection->link->pause_reading() : connection->link->resume_reading();
  }

  Message answer(std::uint64_t number, Connection& connection, const Frame& request) {
    const auto now = executor_.now();
    auto& peer = peers_[connection.link->peer()];
    peer.seen = now;
    const auto rate = static_cast<double>(options_.requests_per_second);
    if (!peer.requests.take(now, 1, rate)) {
      if (!peer.refusals.take(now, 1, rate)) end(number, "the node goes on asking although it is told to wait");
      return refuse(Refused::Why::busy, "too many requests of this node", static_cast<std::uint32_t>(1000 / rate) + 1);
    }
    return std::visit(
        [&](const auto& asked) -> Message {
          using Asked = std::decay_t<decltype(asked)>;
          if constexpr (std::is_same_v<Asked, registry::Publish>) return publish(number, connection, asked);
          if constexpr (std::is_same_v<Asked, registry::Lookup>) return lookup(connection, asked);
          if constexpr (std::is_same_v<Asked, registry::Watch>) return watch(number, connection, request.id, asked);
          if constexpr (std::is_same_v<Asked, registry::Withdraw>) {
            table_.withdraw(connection.link->peer(), asked.task, asked.concept_id);
          }
          if constexpr (std::is_same_v<Asked, registry::Unwatch>) unwatch(number, connection, asked.watch);
          return Done{};
        },
        request.message);
  }

  bool afford(std::size_t comparisons) {
    return work_.take(executor_.now(), static_cast<double>(comparisons),
                      static_cast<double>(options_.comparisons_per_second));
  }
  static Refused overloaded() { return refuse(Refused::Why::busy, "the registry has too much to do", 200); }

  Message publish(std::uint64_t number, const Connection& connection, const registry::Publish& message) {
    if (!afford(RegistryServerOptions::kCost)) return overloaded();
    const auto listed =
        table_.publish(connection.link->peer(), message, {.now = executor_.now(), .wall_ms = executor_.wall_ms()});
    if (!listed) {
      const auto& error = listed.error();
      const auto why = error.code == ErrorCode::full        ? Refused::Why::full
                       : error.code == ErrorCode::untrusted ? Refused::Why::untrusted
                                                            : Refused::Why::bad_request;
      return refuse(why, error.text());
    }
    ++counters_.publications;
    tell_watchers(number, **listed);
    return Done{};
  }

  void tell_watchers(std::uint64_t publisher, const registry::Listed& listed) {
    const auto found = watchers_.find(listed.shape);
    if (found == watchers_.end()) return;
    work_.charge(executor_.now(), static_cast<double>(found->second.size()),
                 static_cast<double>(options_.comparisons_per_second));
    for (const auto& [number, id] : found->second) {
      auto* connection = find(number);
      if (connection == nullptr || number == publisher || connection->link->queued() >= Link::kHighWater) continue;
      const auto& watching = connection->watches.at(id);
      if (!registry::near(watching.question, watching.within, listed.entry, listed.fingerprint)) continue;
      const auto& row = listed.sealed;
      if (row.entry.size() + row.description.size() + kFrameMargin > connection->frame_bytes) continue;
      ++counters_.pushes;
      send(*connection, id, Appeared{row});
    }
  }

  Message lookup(const Connection& connection, const registry::Lookup& message) {
    const auto question = registry::read_question(message.query);
    if (!question) return refuse(Refused::Why::bad_request, question.error().text());
    const std::size_t each =
        question->similarity == registry::Similarity::priors ? 1 + question->shape.classes / 3 : 1;
    if (!afford(std::max(RegistryServerOptions::kCost, table_.nodes_of(question->shape) * each))) return overloaded();
    ++counters_.lookups;
    std::set<metadata::NodeId> excluded(message.excluded.begin(), message.excluded.end());
    excluded.merge(table_.presences(connection.link->peer(), question->shape));
    const auto ranking = table_.rank(*question, message.want, excluded, executor_.now());
    Found out;
    out.known = ranking.known;
    out.more = ranking.more;
    std::size_t room = connection.frame_bytes - kFrameMargin;
    for (const auto* listed : ranking.best) {
      const std::size_t size = listed->sealed.entry.size() + listed->sealed.description.size() + kRowMargin;
      if (size > room) {
        out.more = true;
        break;
      }
      room -= size;
      out.rows.push_back(listed->sealed);
    }
    return out;
  }

  Message watch(std::uint64_t number, Connection& connection, std::uint64_t id, const registry::Watch& message) {
    auto question = registry::read_question(message.query);
    if (!question) return refuse(Refused::Why::bad_request, question.error().text());
    if (connection.watches.contains(id)) return refuse(Refused::Why::bad_request, "that watch is there already");
    const std::size_t bytes = sizeof(Watching) + 256 + question->need.experience.joint.size() +
                              question->need.experience.scale.size() * 12 + question->need.classes.size() * 4;
    if (connection.watches.size() >= options_.watches_per_peer || watch_bytes_ + bytes > options_.watch_bytes) {
      return refuse(Refused::Why::full, "the registry has no room for another watch");
    }
    watch_bytes_ += bytes;
    watchers_[question->shape].emplace(number, id);
    connection.watches.emplace(id, Watching{std::move(*question), message.within, bytes});
    return Done{};
  }

  void unwatch(std::uint64_t number, Connection& connection, std::uint64_t id) {
    const auto found = connection.watches.find(id);
    if (found == connection.watches.end()) return;
    const auto watchers = watchers_.find(found->second.question.shape);
    watchers->second.erase({number, id});
    if (watchers->second.empty()) watchers_.erase(watchers);
    watch_bytes_ -= found->second.bytes;
    connection.watches.erase(found);
  }

  /// Says why, and goes once that has left.
  void end(std::uint64_t number, std::string_view why) {
    auto* connection = find(number);
    if (connection == nullptr) return;
    if (connection->link->queued() < Link::kHighWater) {
      send(*connection, 0, overlay::Goodbye{std::string(why.substr(0, overlay::kMaxNameBytes))});
    }
    connection->link->close();
    finish(number);
  }

  void finish(std::uint64_t number) {
    auto* connection = find(number);
    if (connection == nullptr) return;
    while (!connection->watches.empty()) unwatch(number, *connection, connection->watches.begin()->first);
    connection->ended = true;
    connection->jobs.clear();
    --open_;
    if (auto& peer = peers_[connection->link->peer()]; peer.connection == number) peer.connection = 0;
    connection->timer = executor_.after(kLinger, [weak = weak_from_this(), number] {
      if (const auto self = weak.lock()) self->connections_.erase(number);
    });
  }

  void sweep_later() {
    sweep_ = executor_.after(kSweep, [weak = weak_from_this()] {
      const auto self = weak.lock();
      if (!self) return;
      self->sweep();
      self->sweep_later();
    });
  }

  void sweep() {
    const auto now = executor_.now();
    table_.expire(now);
    std::erase_if(peers_, [&](const auto& peer) {
      return peer.second.connection == 0 && now - peer.second.seen >= kForgetPeer;
    });
    std::vector<std::uint64_t> idle;
    for (const auto& [number, connection] : connections_) {
      if (!connection.ended && now - connection.heard >= options_.idle_timeout) idle.push_back(number);
    }
    for (const auto number : idle) end(number, "the node was silent");
  }

  Executor& executor_;
  Transport& transport_;
  const RegistryServerOptions options_;
  registry::Table table_;
  std::map<std::uint64_t, Connection> connections_;
  std::map<metadata::NodeId, Peer> peers_;
  std::map<Shape, std::set<std::pair<std::uint64_t, std::uint64_t>>> watchers_;  // connection, watch
  std::size_t watch_bytes_ = 0, open_ = 0;
  std::uint64_t next_connection_ = 1;
  Allowance work_;
  RegistryStats counters_;
  Executor::TimerHandle sweep_;
  bool down_ = false;
};

RegistryServer::RegistryServer(Executor& executor, Transport& transport, const RegistryServerOptions& options)
    : state_(std::make_shared<State>(executor, transport, options)) {}

RegistryServer::~RegistryServer() { state_->abandon(); }

void RegistryServer::listen() { state_->listen(); }
RegistryStats RegistryServer::stats() const { return state_->stats(); }
void RegistryServer::shutdown() { state_->shutdown(); }

}  // namespace p2p::directory

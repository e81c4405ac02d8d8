// Simulated links: ordered, reliable, with latency, a shared uplink, a window, and the faults of the dials.
#include <algorithm>

#include "overlay/sim/world.hpp"

namespace p2p::sim {

namespace {
constexpr std::uint64_t kHandshakeBytes = 900;  // a TLS 1.3 handshake with raw keys, each way, about
constexpr std::uint64_t kSegmentOverhead = 22;  // a TLS record around each segment
}  // namespace

/// One connection: two pipes. A pipe cuts what is sent into segments, puts one at a time on its host's uplink and
/// keeps at most a window of bytes between the sender and the reading peer.
struct Connection : std::enable_shared_from_this<Connection> {
  struct Segment {
    Bytes bytes;
    bool last = false;  ///< the end of the stream, in order
  };
  struct Travelling {
    Segment segment;
    TimePoint due;  ///< first try to deliver
  };
  struct Side {
    Run* run = nullptr;
    NodeId peer;
    std::shared_ptr<overlay::Link::Handlers> handlers;
    bool open = true;          // handlers may still be called
    bool paused = false;
    bool reading = false;      // inside on_data
    std::deque<Segment> out;   // not on the wire yet
    std::size_t queued = 0;
    bool sending = false, above_low = false, ended = false;
    std::size_t in_flight = 0;     // left this side, not yet read by the peer
    std::deque<Travelling> wire;   // on the way, in order
    TimePoint last_arrival;        // at the peer; keeps the order
    std::deque<Segment> in;        // arrived, not read yet
    std::uint64_t sent = kHandshakeBytes, received = kHandshakeBytes;
  };

  Connection(World& the_world, std::uint64_t the_number) : world(the_world), number(the_number) {}
  World& world;
  std::uint64_t number;
  Side sides[2];
  bool broken = false;

  HostState& host(int side) { return sides[side].run->host; }
  bool dead(int side) const { return !sides[side].run->alive; }

  void send(int side, Bytes bytes) {
    Side& me = sides[side];
    if (!me.open || me.ended || broken || dead(side)) return;
    const std::size_t piece = std::max<std::size_t>(1, world.network.segment_bytes);
    me.queued += bytes.size();
    if (bytes.size() <= piece) {
      if (!bytes.empty()) me.out.push_back({std::move(bytes), false});
    } else {
      for (std::size_t at = 0; at < bytes.size(); at += piece) {
        const auto first = bytes.begin() + static_cast<std::ptrdiff_t>(at);
        const auto count = static_cast<std::ptrdiff_t>(std::min(piece, bytes.size() - at));
        me.out.push_back({Bytes(first, first + count), false});
      }
    }
    if (me.queued >= overlay::Link::kLowWater) me.above_low = true;
    pump(side);
  }

  void close(int side) {
    Side& me = sides[side];
    if (me.ended || broken || dead(side)) return;
    me.ended = true;
    me.out.push_back({{}, true});
    silence(side);
    pump(side);
  }

  /// The last reference went without close(): nothing more is sent, the peer learns of it.
  void drop(int side) {
    Side& me = sides[side];
    silence(side);
    if (me.ended || broken || dead(side)) return;
    me.ended = true;
    me.out.clear();
    tell_closed(1 - side, {ErrorCode::closed, "the peer dropped the link", {}},
                world.latency(host(side), host(1 - side)));
  }

  /// Both ends learn that the link is no more.
  void break_off(ErrorCode code, const std::string& message) {
    if (broken) return;
    broken = true;
    world.log.add(world.queue.now(), host(0).name, "link to " + host(1).name + " broke: " + message);
    for (const int side : {0, 1}) {
      sides[side].out.clear();
      sides[side].wire.clear();
      tell_closed(side, {code, message, {}}, Duration{0});
    }
  }

  void tell_closed(int side, Error error, Duration after) {
    if (dead(side)) return;
    world.queue.at(world.queue.now() + after, sides[side].run->owner,
                   [self = shared_from_this(), side, error = std::move(error)] {
                     self->closed(side, error);
                   });
  }

  void closed(int side, const Error& error) {
    Side& me = sides[side];
    if (!me.open) return;
    const auto handlers = me.handlers;
    silence(side);
    me.ended = true;
    me.out.clear();
    if (handlers && handlers->on_closed) handlers->on_closed(error);
  }

  void silence(int side) {
    sides[side].open = false;
    sides[side].handlers.reset();
    sides[side].in.clear();
  }

  /// Puts the next segment on the uplink, if the wire, the window and the dials let it.
  void pump(int side) {
    Side& me = sides[side];
    if (me.sending || me.out.empty() || broken || dead(side) || host(side).stalled) return;
    if (me.in_flight >= world.network.window_bytes && !me.out.front().last) return;
    me.sending = true;
    Segment segment = std::move(me.out.front());
    me.out.pop_front();
    const std::uint64_t size = segment.bytes.size() + kSegmentOverhead;
    TimePoint left_at = std::max(world.queue.now(), me.run->uplink_free);
    if (world.network.bandwidth > 0) {
      left_at = left_at + Duration(static_cast<std::int64_t>(size * 1'000'000 / world.network.bandwidth));
    }
    me.run->uplink_free = left_at;
    me.sent += size;
    me.in_flight += segment.bytes.size();
    // Once on the uplink a segment is the kernel's: it leaves even when its process dies.
    auto leaving = std::make_shared<Segment>(std::move(segment));
    world.queue.at(left_at, EventQueue::kNobody, [self = shared_from_this(), side, leaving] {
      self->left(side, std::move(*leaving));
    });
  }

  void left(int side, Segment segment) {
    Side& me = sides[side];
    me.sending = false;
    me.queued -= std::min(me.queued, segment.bytes.size());
    if (broken) return;
    auto delay = world.latency(host(side), host(1 - side));
    if (world.chance(world.network.loss)) delay += world.network.retransmit;
    if (world.chance(world.network.link_break)) {
      return break_off(ErrorCode::io, "the connection was reset");
    }
    if (world.chance(world.network.corruption) && !segment.bytes.empty()) {
      const auto bit = world.random.below(segment.bytes.size() * 8);
      segment.bytes[bit / 8] ^= static_cast<std::uint8_t>(1u << (bit % 8));
    }
    me.last_arrival = std::max(me.last_arrival, world.queue.now() + delay);
    me.wire.push_back({std::move(segment), me.last_arrival});
    arrive_at(side, me.last_arrival);
    if (me.open && me.above_low && me.queued < overlay::Link::kLowWater) {
      me.above_low = false;
      const auto handlers = me.handlers;
      if (handlers && handlers->on_drained && !dead(side)) handlers->on_drained();
    }
    pump(side);
  }

  void arrive_at(int side, TimePoint when) {
    world.queue.at(when, EventQueue::kNobody,
                   [self = shared_from_this(), side] { self->arrive(side); });
  }

  /// Delivers the segment that is first on the wire: as many of these events are under way as segments, so that
  /// a later segment never overtakes one that had to be sent again.
  void arrive(int side) {
    if (broken || sides[side].wire.empty()) return;
    const bool restarted = dead(1 - side) && host(1 - side).up();
    if (restarted) return break_off(ErrorCode::io, "the peer does not know this connection");
    if (dead(1 - side) || (world.partitioned && host(0).group != host(1).group)) {
      if (world.queue.now() - sides[side].wire.front().due >= world.network.dead_after) {
        return break_off(ErrorCode::timeout, "the peer does not answer any more");
      }
      return arrive_at(side, world.queue.now() + world.network.retransmit);
    }
    Segment segment = std::move(sides[side].wire.front().segment);
    sides[side].wire.pop_front();
    Side& there = sides[1 - side];
    there.received += segment.bytes.size() + kSegmentOverhead;
    if (!there.open) return;
    there.in.push_back(std::move(segment));
    read(1 - side);
  }

  /// Hands arrived segments to the reader and gives the sender its window back.
  void read(int side) {
    Side& me = sides[side];
    if (me.reading) return;
    me.reading = true;
    while (me.open && me.handlers && !me.paused && !me.in.empty()) {
      const Segment segment = std::move(me.in.front());
      me.in.pop_front();
      if (segment.last) {
        world.note(host(side), "link to " + host(1 - side).name + " ended");
        closed(side, {ErrorCode::closed, "the peer ended the link", {}});
        break;
      }
      const auto size = segment.bytes.size();
      world.queue.at(world.queue.now() + world.latency(host(side), host(1 - side)), EventQueue::kNobody,
                     [self = shared_from_this(), other = 1 - side, size] {
                       self->sides[other].in_flight -= size;
                       self->pump(other);
                     });
      const auto handlers = me.handlers;
      if (handlers->on_data) handlers->on_data(segment.bytes);
    }
    me.reading = false;
  }
};

namespace {

class SimLink final : public overlay::Link {
 public:
  SimLink(std::shared_ptr<Connection> connection, int side)
      : connection_(std::move(connection)), side_(side) {}
  ~SimLink() override { connection_->drop(side_); }

  const NodeId& peer() const override { return me().peer; }
  void start(Handlers handlers) override {
    if (!me().open) return;
    me().handlers = std::make_shared<Handlers>(std::move(handlers));
    read_later();
  }
  void send(Bytes bytes) override { connection_->send(side_, std::move(bytes)); }
  std::size_t queued() const override { return me().queued; }
  void pause_reading() override { me().paused = true; }
  void resume_reading() override {
    me().paused = false;
    read_later();
  }
  void close() override { connection_->close(side_); }
  std::uint64_t bytes_sent() const override { return me().sent; }
  std::uint64_t bytes_received() const override { return me().received; }

 private:
  Connection::Side& me() const { return connection_->sides[side_]; }
  void read_later() {
    if (me().in.empty()) return;
    connection_->world.queue.at(connection_->world.queue.now(), me().run->owner,
                                [connection = connection_, side = side_] { connection->read(side); });
  }
  std::shared_ptr<Connection> connection_;
  int side_;
};

}  // namespace

void HostTransport::connect(const Endpoint& to, const NodeId& expected, Duration timeout, OnLink done) {
  World& world = run_.world;
  if (!run_.alive) return;
  struct Attempt {
    OnLink done;
    bool over = false;
  };
  auto attempt = std::make_shared<Attempt>();
  attempt->done = std::move(done);
  const auto finish = [this, attempt](Result<std::shared_ptr<overlay::Link>> result) {
    if (attempt->over) return;
    attempt->over = true;
    if (!result) run_.world.note(run_.host, "connect failed: " + result.error().text());
    const auto call = std::move(attempt->done);
    call(std::move(result));
  };
  world.queue.at(world.queue.now() + timeout, run_.owner, [attempt, finish, to] {
    if (!attempt->over) finish(fail(ErrorCode::timeout, "no answer from " + to.text() + " in time"));
  });

  const auto found = world.by_endpoint.find(to.text());
  if (found == world.by_endpoint.end()) return;  // nobody has that address: silence
  HostState& other = *found->second;
  Run* there = &other.run();
  const auto there_and_back = [this, &world, &other] {
    return world.latency(run_.host, other) + world.latency(other, run_.host);
  };
  const auto cut = [this, &world, &other] { return world.partitioned && run_.host.group != other.group; };
  if (cut()) return;
  // TCP, then TLS: one round trip each until this end knows whom it talks to.
  world.queue.at(world.queue.now() + there_and_back(), run_.owner,
                 [this, &world, &other, there, finish, attempt, to, expected, there_and_back, cut] {
    if (attempt->over || cut()) return;
    if (!there->alive || &other.run() != there || !there->transport.accept) {
      return finish(fail(ErrorCode::unavailable, "nobody accepts links at " + to.text()));
    }
    world.queue.at(world.queue.now() + there_and_back(), run_.owner,
                   [this, &world, &other, there, finish, attempt, to, expected, cut] {
      if (attempt->over || cut() || !there->alive || run_.host.stalled || other.stalled) return;
      if (other.key.id() != expected) {
        return finish(fail(ErrorCode::untrusted, to.text() + " is not the node that was asked for"));
      }
      auto connection = std::make_shared<Connection>(world, world.next_connection++);
      connection->sides[0].run = &run_;
      connection->sides[0].peer = other.key.id();
      connection->sides[1].run = there;
      connection->sides[1].peer = run_.host.key.id();
      run_.connections[connection->number] = connection;
      there->connections[connection->number] = connection;
      world.connections[connection->number] = connection;
      std::erase_if(world.connections, [](const auto& entry) { return entry.second.expired(); });
      std::erase_if(run_.connections, [](const auto& entry) { return entry.second.expired(); });
      std::erase_if(there->connections, [](const auto& entry) { return entry.second.expired(); });
      world.note(run_.host, "linked to " + other.name);
      const TimePoint accepted = world.queue.now() + world.latency(run_.host, other);
      connection->sides[0].last_arrival = accepted;
      auto far_end = std::make_shared<SimLink>(connection, 1);
      world.queue.at(accepted, there->owner, [there, far_end] {
        if (there->transport.accept) there->transport.accept(far_end);
      });
      finish(std::shared_ptr<overlay::Link>(std::make_shared<SimLink>(connection, 0)));
    });
  });
}

void HostTransport::on_accept(std::function<void(std::shared_ptr<overlay::Link>)> handler) {
  if (run_.alive) accept = std::move(handler);
}

Endpoint HostTransport::local() const { return run_.host.endpoint; }

void drop_connections(Run& run, bool silently) {
  for (const auto& [number, weak] : run.connections) {
    const auto connection = weak.lock();
    if (!connection) continue;
    const int side = connection->sides[0].run == &run ? 0 : 1;
    connection->silence(side);
    connection->sides[side].out.clear();
    if (silently || connection->sides[side].ended) continue;
    connection->sides[side].ended = true;
    connection->tell_closed(1 - side, {ErrorCode::closed, "the peer's process ended", {}},
                            connection->world.latency(run.host, connection->host(1 - side)));
  }
  run.connections.clear();
}

void pump_connections(Run& run) {
  for (const auto& [number, weak] : run.connections) {
    if (const auto connection = weak.lock()) {
      connection->pump(connection->sides[0].run == &run ? 0 : 1);
    }
  }
}

void forget_connections(World& world) {
  std::vector<std::shared_ptr<Connection>> all;
  for (const auto& [number, weak] : world.connections) {
    if (auto connection = weak.lock()) all.push_back(std::move(connection));
  }
  for (const auto& connection : all) {
    connection->broken = true;
    for (const int side : {0, 1}) connection->silence(side);
  }
}

}  // namespace p2p::sim

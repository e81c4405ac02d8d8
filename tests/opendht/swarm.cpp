#include "swarm.hpp"

#include <algorithm>

#include "metadata/base/error.hpp"

namespace p2p::swarm {

namespace {

constexpr std::uint64_t kHeaders = 28;  // of IPv4 and UDP
constexpr sim::EventQueue::Owner kSwarm = 0;

class NoTimer final : public overlay::Executor::Timer {};

class QueueTimer final : public overlay::Executor::Timer {
 public:
  QueueTimer(sim::EventQueue& queue, sim::EventQueue::Ticket ticket) : queue_(queue), ticket_(ticket) {}
  ~QueueTimer() override { queue_.cancel(ticket_); }

 private:
  sim::EventQueue& queue_;
  sim::EventQueue::Ticket ticket_;
};

// OpenDHT packs the fields "y" (q: a question, r: an answer, e: an error) and "q" (which question) as these bytes. To
// parse each packet would cost more than the rest of its way; a value that holds such bytes is counted wrongly.
Kind kind_of(ByteView packet) {
  if (!packet.empty() && packet[0] == 0xc1) return Kind::datagram;
  const std::string_view text(reinterpret_cast<const char*>(packet.data()), packet.size());
  const auto has = [&](std::string_view field) { return text.find(field) != std::string_view::npos; };
  if (has("\xa1y\xa1r")) return Kind::reply;
  if (has("\xa1y\xa1" "e")) return Kind::error;
  if (has("\xa1q\xa3get")) return Kind::get;
  if (has("\xa1q\xa4" "find")) return Kind::find;
  if (has("\xa1q\xa4ping")) return Kind::ping;
  if (has("\xa1q\xa3put")) return Kind::put;
  if (has("\xa1q\xa7refresh")) return Kind::refresh;
  if (has("\xa1q\xa6listen")) return Kind::listen;
  return Kind::other;
}

}  // namespace

std::string_view name(Kind kind) {
  static constexpr std::array<std::string_view, kKinds> kNames{"ping",   "find",  "get",   "put",   "refresh",
                                                               "listen", "reply", "error", "other", "datagram"};
  return kNames[static_cast<std::size_t>(kind)];
}

Traffic& Traffic::operator+=(const Traffic& other) {
  sent_packets += other.sent_packets;
  sent_bytes += other.sent_bytes;
  received_packets += other.received_packets;
  received_bytes += other.received_bytes;
  return *this;
}

Traffic Traffic::operator-(const Traffic& earlier) const {
  return {sent_packets - earlier.sent_packets, sent_bytes - earlier.sent_bytes,
          received_packets - earlier.received_packets, received_bytes - earlier.received_bytes};
}

// ---- Node

class Node::Clockwork final : public overlay::Executor {
 public:
  Clockwork(Swarm& swarm, Node& node) : swarm_(swarm), node_(node) {}
  TimePoint now() const override { return swarm_.now(); }
  std::uint64_t wall_ms() const override { return swarm_.wall_ms(); }
  void post(std::function<void()> task) override { (void)schedule(Duration{0}, std::move(task)); }
  TimerHandle after(Duration delay, std::function<void()> task) override {
    if (!node_.alive_) return std::make_unique<NoTimer>();
    return std::make_unique<QueueTimer>(swarm_.queue_, schedule(delay, std::move(task)));
  }

 private:
  sim::EventQueue::Ticket schedule(Duration delay, std::function<void()> task) {
    return swarm_.queue_.at(now() + delay, node_.index_ + 1, [&node = node_, task = std::move(task)] {
      if (node.alive_) task();
    });
  }
  Swarm& swarm_;
  Node& node_;
};

class Node::Port final : public net::DatagramPort {
 public:
  Port(Swarm& swarm, Node& node) : swarm_(swarm), node_(node) {}
  ~Port() override { stop(); }
  int send(const net::UdpAddress& to, ByteView bytes) noexcept override {
    swarm_.send(node_, to, bytes);
    return 0;
  }
  net::UdpAddress local() const override { return node_.address_; }
  void start(OnPackets handler) override {
    handler_ = std::move(handler);
    node_.port_ = this;
  }
  void stop() override {
    if (node_.port_ == this) node_.port_ = nullptr;
  }
  void deliver(const net::Packet& packet) { handler_({&packet, 1}); }

 private:
  Swarm& swarm_;
  Node& node_;
  OnPackets handler_;
};

Traffic Node::traffic() const {
  Traffic sum;
  for (const Traffic& kind : traffic_) sum += kind;
  return sum;
}

// ---- Swarm

Swarm::Swarm(SwarmOptions options) : options_(std::move(options)), random_(options_.seed) {
  options_.dht.threaded = false;
  follow(&queue_, options_.seed);
}

Swarm::~Swarm() {
  for (const auto& node : nodes_) node->alive_ = false;
  queue_.clear();
  for (const auto& node : nodes_) node->dht_.reset();
  queue_.clear();
  nodes_.clear();
  follow(nullptr, 0);
}

Node& Swarm::add() {
  auto node = std::make_unique<Node>();
  node->index_ = nodes_.size();
  P2P_ASSERT(node->index_ < 1u << 24);
  node->address_ = {0x0a000000u + static_cast<std::uint32_t>(node->index_), 4222};
  node->endpoint_ = net::endpoint(node->address_);
  node->executor_ = std::make_unique<Node::Clockwork>(*this, *node);
  node->dht_ = std::make_unique<net::OpenDht>(*node->executor_, options_.dht, std::make_unique<Node::Port>(*this, *node));
  by_address_[node->address_] = node.get();
  nodes_.push_back(std::move(node));
  const auto started = nodes_.back()->dht_->start();
  P2P_ASSERT(started.has_value());
  return *nodes_.back();
}

void Swarm::kill(Node& node) { node.alive_ = false; }

void Swarm::send(Node& from, const net::UdpAddress& to, ByteView bytes) {
  if (!from.alive_) return;
  const Kind kind = kind_of(bytes);
  Traffic& sent = from.traffic_[static_cast<std::size_t>(kind)];
  sent.sent_packets += 1;
  sent.sent_bytes += bytes.size() + kHeaders;
  log_.mix(from.index_ << 32 | bytes.size());
  const auto there = by_address_.find(to);
  if (there == by_address_.end()) return;
  if (options_.loss > 0 && random_.uniform() < options_.loss) return;
  queue_.at(now() + latency(from.index_, there->second->index_), kSwarm,
            [&from, &node = *there->second, kind, content = Bytes(bytes.begin(), bytes.end())] {
              if (!node.alive_ || node.port_ == nullptr) return;
              Traffic& received = node.traffic_[static_cast<std::size_t>(kind)];
              received.received_packets += 1;
              received.received_bytes += content.size() + kHeaders;
              node.port_->deliver({.from = from.address_, .bytes = content});
            });
}

Duration Swarm::latency(std::size_t a, std::size_t b) const {
  const auto range = (options_.latency_high - options_.latency_low).count();
  if (range <= 0) return options_.latency_low;
  const auto pair = static_cast<std::uint64_t>(std::min(a, b)) << 32 | std::max(a, b);
  return options_.latency_low +
         Duration(static_cast<std::int64_t>(Random(options_.seed).fork(pair).below(static_cast<std::uint64_t>(range))));
}

void Swarm::at(TimePoint when, std::function<void()> call) { queue_.at(when, kSwarm, std::move(call)); }

void Swarm::run_for(Duration time) {
  const TimePoint limit = now() + time;
  while (queue_.run_next(limit)) {
  }
}

bool Swarm::run_until(const std::function<bool()>& condition, Duration limit) {
  const TimePoint end = now() + limit;
  while (!condition()) {
    if (!queue_.run_next(end)) return condition();
  }
  return true;
}

Traffic Swarm::traffic() const {
  Traffic sum;
  for (const auto& node : nodes_) sum += node->traffic();
  return sum;
}

Traffic Swarm::traffic(Kind kind) const {
  Traffic sum;
  for (const auto& node : nodes_) sum += node->traffic(kind);
  return sum;
}

void grow(Swarm& swarm, std::size_t count, Duration over) {
  const TimePoint start = swarm.now();
  for (std::size_t i = 0; i < count; ++i) {
    const auto share = static_cast<double>(i) / static_cast<double>(count);
    const TimePoint when = start + Duration(static_cast<std::int64_t>(share * static_cast<double>(over.count())));
    swarm.at(when, [&swarm] {
      Node& node = swarm.add();
      if (node.index() > 0) node.dht().join({swarm.node(0).seed()});
    });
  }
  swarm.run_for(over);
}

}  // namespace p2p::swarm

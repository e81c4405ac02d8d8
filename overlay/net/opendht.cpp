#include "overlay/net/opendht.hpp"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstring>
#include <optional>
#include <thread>
#include <unordered_map>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <opendht.h>
#include <opendht/node.h>

#include <fmt/core.h>

#include "metadata/crypto.hpp"
#include "overlay/net/key_quota.hpp"
#include "overlay/net/datagram_switch.hpp"
#include "overlay/net/network_size.hpp"
#include "overlay/net/udp_port.hpp"

namespace p2p::net {

using metadata::Endpoint;
using overlay::DhtKey;
using overlay::DhtStats;
using overlay::DhtValue;
using overlay::Duration;
using overlay::Executor;
using overlay::TimePoint;

namespace {

constexpr std::uint16_t kTextType = 0;
constexpr std::chrono::minutes kLifeTime{20};

dht::SockAddr socket_address(const UdpAddress& address) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(address.port);
  out.sin_addr.s_addr = htonl(address.address);
  return {reinterpret_cast<const sockaddr*>(&out), static_cast<socklen_t>(sizeof out)};
}

// OpenDHT's side of the switch: the packets that passed, in its own types.
class TableSocket final : public dht::net::DatagramSocket {
 public:
  explicit TableSocket(std::shared_ptr<DatagramSwitch> packets)
      : packets_(std::move(packets)), bound_(socket_address(packets_->local())) {}
  ~TableSocket() override { stop(); }

  /// What has come before waits in the port: nothing is read until OpenDHT knows our types. `received` is called
  /// after packets have been handed over.
  void start(std::function<void()> received) {
    packets_->start([this, received = std::move(received)](std::span<const Packet> packets) {
      hand_over(packets);
      if (received) received();
    });
  }
  void stop() override { packets_->stop(); }

  bool hasIPv4() const override { return true; }
  bool hasIPv6() const override { return false; }
  const dht::SockAddr& getBoundRef(sa_family_t family) const override {
    return family == AF_INET6 ? nowhere_ : bound_;
  }

  int sendTo(const dht::SockAddr& to, const std::uint8_t* data, std::size_t size, bool) override {
    if (to.getFamily() != AF_INET) return EAFNOSUPPORT;
    const auto& address = to.getIPv4();
    return packets_->send_packet({ntohl(address.sin_addr.s_addr), ntohs(address.sin_port)}, {data, size});
  }

 private:
  void hand_over(std::span<const Packet> packets) {
    dht::net::PacketList accepted;
    for (const Packet& packet : packets) {
      auto fresh = getNewPacket();
      auto& slot = fresh.front();
      slot.data.assign(packet.bytes.begin(), packet.bytes.end());
      slot.from = socket_address(packet.from);
      slot.received = dht::clock::now();
      accepted.splice(accepted.end(), fresh);
    }
    onReceived(std::move(accepted));
  }

  std::shared_ptr<DatagramSwitch> packets_;
  dht::SockAddr bound_, nowhere_;
};

dht::InfoHash info_hash(const DhtKey& key) { return {key.data(), key.size()}; }

DhtKey dht_key(const dht::InfoHash& hash) {
  DhtKey key;
  std::copy_n(hash.data(), key.size(), key.begin());
  return key;
}

std::uint64_t wall_ms() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                        std::chrono::system_clock::now().time_since_epoch())
                                        .count());
}

bool is_plain(const dht::Value& value) {
  return !value.owner && value.signature.empty() && !value.isEncrypted();
}

bool is_text(const dht::Value& value, std::size_t limit) {
  return value.type == kTextType && is_plain(value) && value.user_type == "text/plain" && value.data.size() <= limit;
}

bool may_store(const dht::InfoHash& key, const dht::Value& fresh, std::optional<ByteView> old) {
  if (fresh.type != OpenDht::kValueType || !is_plain(fresh)) return false;
  return metadata::may_store({.key = dht_key(key), .bytes = fresh.data, .old_bytes = old, .now_ms = wall_ms()})
      .has_value();
}

using ValuePtr = std::shared_ptr<dht::Value>;

// What this node stores for others: records that their nodes have signed, in the bucket that they name.
// No more than the quota of a key, though. All policies run on OpenDHT's one thread.
struct Holding {
  KeyQuota records, texts{KeyQuota::Options{.per_key = 8}};
};
std::uint32_t ipv4_of(const dht::SockAddr& from) {
  return from.getFamily() == AF_INET ? ntohl(from.getIPv4().sin_addr.s_addr) : 0;
}

dht::ValueType record_type(const std::shared_ptr<Holding>& holding) {
  return dht::ValueType(
      OpenDht::kValueType, "p2p-learner record", kLifeTime,
      [holding](dht::InfoHash key, ValuePtr& value, const dht::InfoHash&, const dht::SockAddr& from) {
        return may_store(key, *value, std::nullopt) &&
               holding->records.admit(dht_key(key), value->id, ipv4_of(from), dht::clock::now());
      },
      [](dht::InfoHash key, const ValuePtr& old, ValuePtr& value, const dht::InfoHash&, const dht::SockAddr&) {
        return may_store(key, *value, ByteView(old->data));
      });
}

// Readable twins. Nobody signs them and no node reads them, so anyone may replace one; but a text that sits where a
// record belongs gives way to the record.
dht::ValueType text_type(std::size_t limit, const std::shared_ptr<Holding>& holding) {
  return dht::ValueType(
      kTextType, "readable twin", kLifeTime,
      [limit, holding](dht::InfoHash key, ValuePtr& value, const dht::InfoHash&, const dht::SockAddr& from) {
        return is_text(*value, limit) &&
               holding->texts.admit(dht_key(key), value->id, ipv4_of(from), dht::clock::now());
      },
      [limit](dht::InfoHash key, const ValuePtr&, ValuePtr& value, const dht::InfoHash&, const dht::SockAddr&) {
        return is_text(*value, limit) || may_store(key, *value, std::nullopt);
      });
}

// OpenDHT's threads may still call when nobody waits any more; what they call must not throw, ever.
template <typename Function>
void guarded(Function&& function) noexcept {
  try {
    function();
  } catch (...) {
    // Out of memory while copying: the operation's own deadline answers.
  }
}

// Those that answered, nearest first, of the nodes that an operation ended with.
std::vector<DhtKey> answering(const std::vector<std::shared_ptr<dht::Node>>& nodes) {
  std::vector<DhtKey> out;
  for (const auto& node : nodes) {
    if (out.size() == NetworkSize::kNearest) break;
    if (!node->isExpired() && node->getReplyTime() != dht::time_point::min()) out.push_back(dht_key(node->id));
  }
  return out;
}

// A UTF-8 text of at most `limit` bytes that ends where a character ends.
std::string cut(std::string text, std::size_t limit) {
  if (text.size() <= limit) return text;
  while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xC0) == 0x80) --limit;
  text.resize(limit);
  return text;
}

}  // namespace

std::uint32_t network_id(const std::string& name) {
  const auto hash = metadata::sha256(view(name));
  std::uint32_t id = 0;
  std::memcpy(&id, hash.bytes.data(), sizeof id);
  return id == 0 ? 1 : id;  // 0 is OpenDHT's public network
}

Result<Seed> parse_seed(std::string_view text) {
  const auto refuse = [&] {
    return fail(ErrorCode::invalid_argument,
                fmt::format("\"{}\" is no seed: write host:port, for example 192.0.2.7:4222", text));
  };
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return refuse();
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  if (host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return refuse();
  }
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (host.empty() || error != std::errc() || end != digits.data() + digits.size() || port == 0) return refuse();
  return Seed{std::string(host), port};
}

// Lives on the executor's thread; OpenDHT's callbacks hold it weakly and reach it by post() only.
class OpenDht::State : public std::enable_shared_from_this<State> {
 public:
  State(Executor& on, OpenDhtOptions with, std::unique_ptr<DatagramPort> through)
      : executor(on), options(std::move(with)), port(std::move(through)) {}

  ~State() {
    if (joiner.joinable()) joiner.join();
    if (runner) guarded([this] { runner->join(); });
  }

  Executor& executor;
  const OpenDhtOptions options;
  std::unique_ptr<DatagramPort> port;       ///< until start()
  std::shared_ptr<DatagramSwitch> packets;  ///< null before start()
  std::unique_ptr<dht::DhtRunner> runner;   ///< null before start() and once we have left
  Endpoint local;
  DatagramSwitch::OnDatagram on_datagram;
  NetworkSize size;

  // Without threads: when OpenDHT runs next.
  std::atomic<bool> drive_posted{false};
  bool drive_again = false;
  TimePoint drive_at;
  Executor::TimerHandle drive_timer;

  // One put or get. `stopped` is the one thing that OpenDHT's thread shares with ours.
  struct Operation {
    std::function<bool(const DhtValue&)> on_value;
    std::function<void(bool)> done;
    Executor::TimerHandle deadline;
    std::shared_ptr<std::atomic<bool>> stopped = std::make_shared<std::atomic<bool>>(false);
  };
  std::unordered_map<std::uint64_t, Operation> operations;
  std::uint64_t next_operation = 1;

  std::vector<Seed> seeds;
  bool connected = false, warmed = false;
  Duration retry_delay{};
  Executor::TimerHandle retry;

  std::function<void()> on_left;
  Executor::TimerHandle leave_deadline;
  std::thread joiner;
  bool leaving = false;

  Result<void> start() {
    P2P_ASSERT(!runner && !leaving);
    if (!port) {
      auto opened = UdpPort::open(
          {.bind = options.bind, .port = options.port, .receive_buffer_bytes = options.receive_buffer_bytes});
      if (!opened) return tl::unexpected(opened.error());
      port = std::move(*opened);
    }
    const std::uint32_t network = network_id(options.network);
    packets = std::make_shared<DatagramSwitch>(executor, std::move(port), network, options.ingress);
    packets->on_datagram(on_datagram);
    auto socket = std::make_unique<TableSocket>(packets);
    TableSocket* const reader = socket.get();
    dht::DhtRunner::Config config;
    auto& node = config.dht_config.node_config;
    node.network = network;
    node.max_req_per_sec = static_cast<ssize_t>(options.requests_per_second);
    node.max_peer_req_per_sec = static_cast<ssize_t>(options.requests_per_second_and_address);
    config.bind4 = socket_address(packets->local());
    config.threaded = options.threaded;
    dht::DhtRunner::Context context;
    context.sock = std::move(socket);
    context.statusChangedCallback = [this, weak = weak_from_this(), &on = executor](dht::NodeStatus v4, dht::NodeStatus) {
      // Operations wait for a status; without threads, this is called from inside drive().
      if (!options.threaded) drive_again = true;
      guarded([&] {
        on.post([weak, up = v4 == dht::NodeStatus::Connected] {
          if (const auto self = weak.lock()) self->on_status(up);
        });
      });
    };
    try {
      runner = std::make_unique<dht::DhtRunner>();
      runner->run(config, std::move(context));
      const auto holding = std::make_shared<Holding>();
      runner->registerType(record_type(holding));
      runner->registerType(text_type(options.ingress.text_bytes, holding));
      reader->start(options.threaded ? std::function<void()>() : [this] { wake(); });
    } catch (const std::exception& refused) {
      guarded([this] {
        if (runner) runner->join();
      });
      runner.reset();
      packets.reset();
      return fail(ErrorCode::io, "OpenDHT does not start", refused.what());
    }
    local = endpoint(packets->local());
    wake();
    return {};
  }

  // Without threads: there is something to do. From any thread.
  void wake() {
    if (options.threaded || drive_posted.exchange(true)) return;
    guarded([this] {
      executor.post([weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->drive();
      });
    });
  }

  // Without threads: does what is due, and comes back when OpenDHT wants to.
  void drive() {
    drive_posted = false;
    if (!runner) return;
    dht::time_point due{};
    // One call runs either urgent operations or all others, and none before the status is known.
    bool again = true;
    for (int calls = 0; again && calls < 4; ++calls) {
      again = std::exchange(drive_again, false);
      guarded([&] { due = runner->loop(); });
      again = again || drive_again;
    }
    if (again) wake();
    if (due == dht::time_point::max()) return;
    const auto delay = std::max(std::chrono::ceil<Duration>(due - dht::clock::now()), Duration(1));
    // A timer that is early costs less than a new one for every packet.
    if (drive_timer && drive_at <= executor.now() + delay) return;
    drive_at = executor.now() + delay;
    drive_timer = executor.after(delay, [this] {
      drive_timer.reset();
      drive();
    });
  }

  void join(const std::vector<std::string>& at) {
    if (!runner || leaving) return;
    for (const std::string& text : at) {
      auto seed = parse_seed(text);
      if (!seed) continue;
      // OpenDHT resolves the name on its own thread and comes back to it whenever it is disconnected.
      guarded([&] { runner->bootstrap(seed->host, std::to_string(seed->port)); });
      seeds.push_back(std::move(*seed));
    }
    drive_again = true;
    wake();
    retry_delay = std::chrono::milliseconds(250);
    schedule_retry();
  }

  std::vector<sockaddr_in> numeric_seeds() const {
    std::vector<sockaddr_in> out;
    for (const Seed& seed : seeds) {
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_port = htons(seed.port);
      if (inet_pton(AF_INET, seed.host.c_str(), &address.sin_addr) == 1) out.push_back(address);
    }
    return out;
  }

  // OpenDHT waits 10 s before it tries a silent seed again, which is long for nodes that start together. Numeric
  // seeds are asked again sooner; names are left to OpenDHT, because resolving them here would block.
  void schedule_retry() {
    if (connected || leaving || seeds.empty()) {
      retry.reset();
      return;
    }
    retry = executor.after(retry_delay, [this] {
      constexpr Duration kLongest = std::chrono::seconds(15);
      retry_delay = std::min(retry_delay * 2, kLongest);
      std::vector<dht::SockAddr> numeric;
      for (const auto& address : numeric_seeds()) {
        numeric.emplace_back(reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(sizeof address));
      }
      guarded([&] {
        if (!numeric.empty()) runner->bootstrap(std::move(numeric), [](bool) {});
      });
      drive_again = true;
      wake();
      schedule_retry();
    });
  }

  void on_status(bool up) {
    if (leaving) return;
    connected = up;
    if (!up) {
      retry_delay = std::chrono::milliseconds(250);
      schedule_retry();
      return;
    }
    retry.reset();
    if (warmed) return;
    warmed = true;
    // Nodes that came in through one seed know only its neighbourhood; one walk to anywhere fills the table.
    guarded([this] {
      runner->get(
          dht::InfoHash::getRandom(), [](const std::vector<ValuePtr>&) { return false; },
          dht::DoneCallbackSimple([](bool) {}));
    });
    wake();
  }

  std::uint64_t begin(std::function<bool(const DhtValue&)> on_value, std::function<void(bool)> done) {
    const std::uint64_t id = next_operation++;
    Operation& operation = operations[id];
    operation.on_value = std::move(on_value);
    operation.done = std::move(done);
    operation.deadline = executor.after(options.operation_timeout, [this, id] { finish(id, false); });
    return id;
  }

  void finish(std::uint64_t id, bool ok) {
    const auto found = operations.find(id);
    if (found == operations.end()) return;
    const Operation operation = std::move(found->second);
    operations.erase(found);
    operation.stopped->store(true, std::memory_order_relaxed);
    if (operation.done) operation.done(ok);
  }

  void refuse(std::function<void(bool)> done) {
    executor.post([done = std::move(done)] {
      if (done) done(false);
    });
  }

  // Called by OpenDHT when it is done with operation `id`.
  dht::DoneCallback done_callback(std::uint64_t id, const DhtKey& key) {
    return [weak = weak_from_this(), &on = executor, id, key](bool ok,
                                                              const std::vector<std::shared_ptr<dht::Node>>& nodes) {
      guarded([&] {
        on.post([weak, id, ok, key, near = answering(nodes)] {
          const auto self = weak.lock();
          if (!self) return;
          self->size.add(key, near);
          self->finish(id, ok);
        });
      });
    };
  }

  void put(const DhtKey& key, DhtValue value, std::function<void(bool)> done) {
    if (!runner || leaving || value.data.size() > kMaxRecordBytes) return refuse(std::move(done));
    const std::uint64_t id = begin(nullptr, std::move(done));
    try {
      auto record = std::make_shared<dht::Value>(kValueType, std::move(value.data), value.id);
      runner->put(info_hash(key), std::move(record), done_callback(id, key));
    } catch (const std::exception&) {
      executor.post([weak = weak_from_this(), id] {
        if (const auto self = weak.lock()) self->finish(id, false);
      });
    }
    wake();
  }

  void put_text(const DhtKey& key, std::uint64_t id, std::string text) {
    if (!runner || leaving) return;
    const std::string shown = cut(std::move(text), kMaxTextBytes);
    guarded([&] {
      auto twin = std::make_shared<dht::Value>(kTextType, dht::Blob(shown.begin(), shown.end()), id);
      twin->user_type = "text/plain";
      runner->put(info_hash(key), std::move(twin), dht::DoneCallbackSimple([](bool) {}));
    });
    wake();
  }

  void send(const Endpoint& to, ByteView datagram) {
    if (runner && !leaving) packets->send(to, datagram);
  }

  void take_datagrams(DatagramSwitch::OnDatagram handler) {
    on_datagram = std::move(handler);
    if (packets) packets->on_datagram(leaving ? nullptr : on_datagram);
  }

  void get(const DhtKey& key, std::function<bool(const DhtValue&)> on_value, std::function<void(bool)> done) {
    if (!runner || leaving) return refuse(std::move(done));
    const std::uint64_t id = begin(std::move(on_value), std::move(done));
    const auto stopped = operations[id].stopped;
    dht::GetCallback on_values = [weak = weak_from_this(), &on = executor, id,
                                  stopped](const std::vector<ValuePtr>& values) {
      if (stopped->load(std::memory_order_relaxed)) return false;
      guarded([&] {
        std::vector<DhtValue> copies;
        copies.reserve(values.size());
        for (const ValuePtr& value : values) copies.push_back({value->id, value->data});
        on.post([weak, id, copies = std::move(copies)] {
          if (const auto self = weak.lock()) self->deliver(id, copies);
        });
      });
      return true;
    };
    const dht::Value::Filter ours = [](const dht::Value& value) {
      return value.type == kValueType && is_plain(value);
    };
    try {
      runner->get(info_hash(key), std::move(on_values), done_callback(id, key), ours, dht::Where().valueType(kValueType));
    } catch (const std::exception&) {
      executor.post([weak = weak_from_this(), id] {
        if (const auto self = weak.lock()) self->finish(id, false);
      });
    }
    wake();
  }

  void deliver(std::uint64_t id, const std::vector<DhtValue>& values) {
    for (const DhtValue& value : values) {
      const auto found = operations.find(id);
      if (found == operations.end()) return;
      // A copy: the handler may start and finish operations, and the table may move.
      const auto on_value = found->second.on_value;
      if (on_value && on_value(value)) continue;
      finish(id, true);
      return;
    }
  }

  /// In OpenDHT's order: of our own bucket first, then of one after the other. Seeds that are names are left out.
  std::vector<Endpoint> neighbours(std::size_t most) const {
    std::vector<Endpoint> out;
    if (!runner || leaving) return out;
    const auto add = [&](const sockaddr_in& address) {
      const Endpoint at = endpoint({ntohl(address.sin_addr.s_addr), ntohs(address.sin_port)});
      if (out.size() < most && std::find(out.begin(), out.end(), at) == out.end()) out.push_back(at);
    };
    guarded([&] {
      for (const auto& node : runner->exportNodes()) {
        sockaddr_in address{};
        if (node.sslen < sizeof address || node.ss.ss_family != AF_INET) continue;
        std::memcpy(&address, &node.ss, sizeof address);
        add(address);
      }
    });
    for (const auto& address : numeric_seeds()) add(address);
    return out;
  }

  DhtStats stats() const {
    DhtStats out;
    if (packets) packets->count(out);
    out.estimated_nodes = size.estimate();
    if (!runner || leaving) return out;
    guarded([&] {
      const dht::NodeStats nodes = runner->getNodesStats(AF_INET);
      const auto [bytes, values] = runner->getStoreSize();
      out.good_nodes = nodes.good_nodes;
      out.known_nodes = nodes.getKnownNodes();
      out.stored_values = values;
      out.stored_bytes = bytes;
    });
    return out;
  }

  void leave(std::function<void()> done) {
    P2P_ASSERT(!leaving);
    leaving = true;
    on_left = std::move(done);
    retry.reset();
    if (packets) packets->on_datagram(nullptr);
    while (!operations.empty()) {
      const std::uint64_t id = operations.begin()->first;
      Operation operation = std::move(operations.begin()->second);
      operations.erase(id);
      operation.stopped->store(true, std::memory_order_relaxed);
      refuse(std::move(operation.done));
    }
    if (!runner) {
      executor.post([weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->left();
      });
      return;
    }
    leave_deadline = executor.after(options.leave_timeout, [this] { stop_runner(); });
    auto handed_over = [weak = weak_from_this(), &on = executor] {
      guarded([&] {
        on.post([weak] {
          if (const auto self = weak.lock()) self->stop_runner();
        });
      });
    };
    try {
      runner->shutdown(std::move(handed_over));
    } catch (const std::exception&) {
      executor.post([weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->stop_runner();
      });
    }
    wake();
  }

  // Joining takes as long as OpenDHT's threads need, so a helper thread waits for them, not the executor; and never
  // one of OpenDHT's own, which would wait for itself.
  void stop_runner() {
    leave_deadline.reset();
    if (!runner || joiner.joinable()) return;
    if (!options.threaded) {
      drive_timer.reset();
      guarded([this] { runner->join(); });
      runner.reset();
      executor.post([weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->left();
      });
      return;
    }
    joiner = std::thread([weak = weak_from_this(), &on = executor, ending = std::shared_ptr(std::move(runner))]() mutable {
      guarded([&] { ending->join(); });
      guarded([&] { ending.reset(); });
      guarded([&] {
        on.post([weak] {
          if (const auto self = weak.lock()) self->left();
        });
      });
    });
  }

  void left() {
    if (joiner.joinable()) joiner.join();
    if (const auto done = std::move(on_left)) done();
  }
};

OpenDht::OpenDht(Executor& executor, OpenDhtOptions options, std::unique_ptr<DatagramPort> port)
    : state_(std::make_shared<State>(executor, std::move(options), std::move(port))) {}
OpenDht::~OpenDht() {
  state_->operations.clear();
  state_->take_datagrams(nullptr);
}

Result<void> OpenDht::start() { return state_->start(); }
void OpenDht::join(const std::vector<std::string>& seeds) { state_->join(seeds); }
void OpenDht::put(const DhtKey& key, DhtValue value, std::function<void(bool)> done) {
  state_->put(key, std::move(value), std::move(done));
}
void OpenDht::get(const DhtKey& key, std::function<bool(const DhtValue&)> on_value, std::function<void(bool)> done) {
  state_->get(key, std::move(on_value), std::move(done));
}
void OpenDht::put_text(const DhtKey& key, std::uint64_t id, std::string text) {
  state_->put_text(key, id, std::move(text));
}
void OpenDht::send(const Endpoint& to, Bytes datagram) { state_->send(to, datagram); }
void OpenDht::on_datagram(std::function<void(const Endpoint&, ByteView)> handler) {
  state_->take_datagrams(std::move(handler));
}
Endpoint OpenDht::local() const { return state_->local; }
std::vector<Endpoint> OpenDht::neighbours(std::size_t most) const { return state_->neighbours(most); }
DhtStats OpenDht::stats() const { return state_->stats(); }
void OpenDht::leave(std::function<void()> done) { state_->leave(std::move(done)); }

}  // namespace p2p::net

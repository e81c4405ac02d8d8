#include "overlay/net/opendht.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <opendht.h>
#include <opendht/node.h>

#include <fmt/core.h>

#include "metadata/crypto.hpp"

namespace p2p::net {

using metadata::Endpoint;
using overlay::DhtKey;
using overlay::DhtStats;
using overlay::DhtValue;
using overlay::Duration;
using overlay::Executor;

namespace {

constexpr std::uint16_t kTextType = 0;
constexpr std::chrono::minutes kLifeTime{20};

struct Counters {
  std::atomic<std::uint64_t> sent_packets{0}, sent_bytes{0}, received_packets{0}, received_bytes{0}, refused{0};
};

class Descriptor {
 public:
  explicit Descriptor(int value = -1) : value_(value) {}
  Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  int get() const { return value_; }

 private:
  int value_;
};

// The node's datagram socket: reads in batches into a large kernel buffer, and shows OpenDHT nothing that the ingress
// filter refuses. Poll, not OpenDHT's select, which ends a process with more than 1024 open files.
class GuardedSocket final : public dht::net::DatagramSocket {
 public:
  GuardedSocket(Descriptor socket, Descriptor wake, dht::SockAddr bound, const IngressLimits& limits,
                std::shared_ptr<Counters> counters)
      : socket_(std::move(socket)), wake_(std::move(wake)), bound_(std::move(bound)), limits_(limits),
        counters_(std::move(counters)) {}

  ~GuardedSocket() override {
    stop();
    if (receiver_.joinable()) receiver_.join();
  }

  /// What has come before waits in the kernel: nothing is read until OpenDHT knows our types.
  void start() {
    receiver_ = std::thread([this] { receive(); });
  }
  void stop() override {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
  }

  bool hasIPv4() const override { return true; }
  bool hasIPv6() const override { return false; }
  const dht::SockAddr& getBoundRef(sa_family_t family) const override {
    return family == AF_INET6 ? nowhere_ : bound_;
  }

  int sendTo(const dht::SockAddr& to, const std::uint8_t* data, std::size_t size, bool) override {
    if (to.getFamily() != AF_INET) return EAFNOSUPPORT;
    if (::sendto(socket_.get(), data, size, MSG_NOSIGNAL, to.get(), to.getLength()) < 0) return errno;
    counters_->sent_packets.fetch_add(1, std::memory_order_relaxed);
    counters_->sent_bytes.fetch_add(size, std::memory_order_relaxed);
    return 0;
  }

 private:
  static constexpr std::size_t kBatch = 32;
  static constexpr std::size_t kPacketBytes = 64 * 1024;

  void receive() {
    // Untouched pages of these 2 MB cost nothing; most packets need one.
    const auto buffers = std::make_unique_for_overwrite<std::array<std::array<std::uint8_t, kPacketBytes>, kBatch>>();
    std::array<mmsghdr, kBatch> messages;
    std::array<iovec, kBatch> pieces;
    std::array<sockaddr_storage, kBatch> senders;
    std::array<pollfd, 2> waited{pollfd{socket_.get(), POLLIN, 0}, pollfd{wake_.get(), POLLIN, 0}};
    for (;;) {
      if (::poll(waited.data(), waited.size(), -1) < 0) {
        if (errno == EINTR) continue;
        return;
      }
      if (waited[1].revents != 0) return;
      for (std::size_t i = 0; i < kBatch; ++i) {
        pieces[i] = {(*buffers)[i].data(), kPacketBytes};
        messages[i] = {};
        messages[i].msg_hdr.msg_iov = &pieces[i];
        messages[i].msg_hdr.msg_iovlen = 1;
        messages[i].msg_hdr.msg_name = &senders[i];
        messages[i].msg_hdr.msg_namelen = sizeof senders[i];
      }
      const int count = ::recvmmsg(socket_.get(), messages.data(), kBatch, MSG_DONTWAIT, nullptr);
      if (count <= 0) continue;  // an ICMP error of some earlier packet, or nothing after all
      try {
        hand_over(*buffers, messages, senders, static_cast<std::size_t>(count));
      } catch (const std::exception&) {
        // No memory for these packets: the network may lose packets, and so may we.
      }
    }
  }

  void hand_over(const std::array<std::array<std::uint8_t, kPacketBytes>, kBatch>& buffers,
                 const std::array<mmsghdr, kBatch>& messages, const std::array<sockaddr_storage, kBatch>& senders,
                 std::size_t count) {
    dht::net::PacketList accepted;
    std::uint64_t bytes = 0, refused = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const ByteView packet(buffers[i].data(), messages[i].msg_len);
      bytes += packet.size();
      if ((messages[i].msg_hdr.msg_flags & MSG_TRUNC) != 0 || check_packet(packet, limits_) != Refusal::none) {
        ++refused;
        continue;
      }
      auto fresh = getNewPacket();
      auto& slot = fresh.front();
      slot.data.assign(packet.begin(), packet.end());
      slot.from = dht::SockAddr(reinterpret_cast<const sockaddr*>(&senders[i]), messages[i].msg_hdr.msg_namelen);
      slot.received = dht::clock::now();
      accepted.splice(accepted.end(), fresh);
    }
    counters_->received_packets.fetch_add(count, std::memory_order_relaxed);
    counters_->received_bytes.fetch_add(bytes, std::memory_order_relaxed);
    counters_->refused.fetch_add(refused, std::memory_order_relaxed);
    if (!accepted.empty()) onReceived(std::move(accepted));
  }

  Descriptor socket_, wake_;
  dht::SockAddr bound_, nowhere_;
  const IngressLimits limits_;
  std::shared_ptr<Counters> counters_;
  std::thread receiver_;
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
dht::ValueType record_type() {
  return dht::ValueType(
      OpenDht::kValueType, "p2p-learner record", kLifeTime,
      [](dht::InfoHash key, ValuePtr& value, const dht::InfoHash&, const dht::SockAddr&) {
        return may_store(key, *value, std::nullopt);
      },
      [](dht::InfoHash key, const ValuePtr& old, ValuePtr& value, const dht::InfoHash&, const dht::SockAddr&) {
        return may_store(key, *value, ByteView(old->data));
      });
}

// Readable twins. Nobody signs them and no node reads them, so anyone may replace one; but a text that sits where a
// record belongs gives way to the record.
dht::ValueType text_type(std::size_t limit) {
  return dht::ValueType(
      kTextType, "readable twin", kLifeTime,
      [limit](dht::InfoHash, ValuePtr& value, const dht::InfoHash&, const dht::SockAddr&) {
        return is_text(*value, limit);
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

Result<std::unique_ptr<GuardedSocket>> open_socket(const OpenDhtOptions& options, std::shared_ptr<Counters> counters,
                                                   Endpoint& local) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(options.port);
  if (inet_pton(AF_INET, options.bind.c_str(), &address.sin_addr) != 1) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("\"{}\" is no numeric IPv4 address to bind to, such as 127.0.0.1", options.bind));
  }
  Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  Descriptor wake(::eventfd(0, EFD_CLOEXEC));
  if (socket.get() < 0 || wake.get() < 0) {
    return fail(ErrorCode::io, "cannot open a socket: raise the limit on open files (ulimit -n)",
                std::strerror(errno));
  }
  // A get of many values answers in one burst. FORCE needs a privilege; without it the system's maximum is what we get.
  const int wanted = options.receive_buffer_bytes;
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &wanted, sizeof wanted) != 0) {
    ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &wanted, sizeof wanted);
  }
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    switch (error) {
      case EADDRINUSE:
        return fail(ErrorCode::in_use,
                    fmt::format("UDP port {} of {} is taken: stop the program that uses it, or choose another DHT port "
                                "(0 takes a free one)",
                                options.port, options.bind),
                    std::strerror(error));
      case EADDRNOTAVAIL:
        return fail(ErrorCode::invalid_argument,
                    fmt::format("{} is no address of this machine: bind to one of `ip address`", options.bind),
                    std::strerror(error));
      default:
        return fail(ErrorCode::io, fmt::format("cannot bind to {}:{}", options.bind, options.port),
                    std::strerror(error));
    }
  }
  socklen_t size = sizeof address;
  ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size);
  local = {options.bind, ntohs(address.sin_port)};
  dht::SockAddr bound(reinterpret_cast<const sockaddr*>(&address), size);
  return std::make_unique<GuardedSocket>(std::move(socket), std::move(wake), std::move(bound), options.ingress,
                                         std::move(counters));
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
  State(Executor& on, OpenDhtOptions with) : executor(on), options(std::move(with)) {}

  ~State() {
    if (joiner.joinable()) joiner.join();
    if (runner) guarded([this] { runner->join(); });
  }

  Executor& executor;
  const OpenDhtOptions options;
  std::shared_ptr<Counters> counters = std::make_shared<Counters>();
  std::unique_ptr<dht::DhtRunner> runner;  ///< null before start() and once we have left
  Endpoint local;

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
    auto socket = open_socket(options, counters, local);
    if (!socket) return tl::unexpected(socket.error());
    GuardedSocket* const reader = socket->get();
    dht::DhtRunner::Config config;
    auto& node = config.dht_config.node_config;
    node.network = network_id(options.network);
    node.max_req_per_sec = static_cast<ssize_t>(options.requests_per_second);
    node.max_peer_req_per_sec = static_cast<ssize_t>(options.requests_per_second_and_address);
    config.bind4 = reader->getBoundRef(AF_INET);
    config.threaded = true;
    dht::DhtRunner::Context context;
    context.sock = std::move(*socket);
    context.statusChangedCallback = [weak = weak_from_this(), &on = executor](dht::NodeStatus v4, dht::NodeStatus) {
      guarded([&] {
        on.post([weak, up = v4 == dht::NodeStatus::Connected] {
          if (const auto self = weak.lock()) self->on_status(up);
        });
      });
    };
    try {
      runner = std::make_unique<dht::DhtRunner>();
      runner->run(config, std::move(context));
      runner->registerType(record_type());
      runner->registerType(text_type(options.ingress.text_bytes));
      reader->start();
    } catch (const std::exception& refused) {
      guarded([this] {
        if (runner) runner->join();
      });
      runner.reset();
      local.port = 0;
      return fail(ErrorCode::io, "OpenDHT does not start", refused.what());
    }
    return {};
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
    retry_delay = std::chrono::milliseconds(250);
    schedule_retry();
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
      for (const Seed& seed : seeds) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(seed.port);
        if (inet_pton(AF_INET, seed.host.c_str(), &address.sin_addr) != 1) continue;
        numeric.emplace_back(reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(sizeof address));
      }
      guarded([&] {
        if (!numeric.empty()) runner->bootstrap(std::move(numeric), [](bool) {});
      });
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
  dht::DoneCallback done_callback(std::uint64_t id) {
    return [weak = weak_from_this(), &on = executor, id](bool ok, const std::vector<std::shared_ptr<dht::Node>>&) {
      guarded([&] {
        on.post([weak, id, ok] {
          if (const auto self = weak.lock()) self->finish(id, ok);
        });
      });
    };
  }

  void put(const DhtKey& key, DhtValue value, std::function<void(bool)> done) {
    if (!runner || leaving || value.data.size() > kMaxRecordBytes) return refuse(std::move(done));
    const std::uint64_t id = begin(nullptr, std::move(done));
    try {
      auto record = std::make_shared<dht::Value>(kValueType, std::move(value.data), value.id);
      runner->put(info_hash(key), std::move(record), done_callback(id));
    } catch (const std::exception&) {
      executor.post([weak = weak_from_this(), id] {
        if (const auto self = weak.lock()) self->finish(id, false);
      });
    }
  }

  void put_text(const DhtKey& key, std::uint64_t id, std::string text) {
    if (!runner || leaving) return;
    const std::string shown = cut(std::move(text), kMaxTextBytes);
    guarded([&] {
      auto twin = std::make_shared<dht::Value>(kTextType, dht::Blob(shown.begin(), shown.end()), id);
      twin->user_type = "text/plain";
      runner->put(info_hash(key), std::move(twin), dht::DoneCallbackSimple([](bool) {}));
    });
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
      runner->get(info_hash(key), std::move(on_values), done_callback(id), ours, dht::Where().valueType(kValueType));
    } catch (const std::exception&) {
      executor.post([weak = weak_from_this(), id] {
        if (const auto self = weak.lock()) self->finish(id, false);
      });
    }
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

  DhtStats stats() const {
    DhtStats out;
    out.sent_packets = counters->sent_packets;
    out.sent_bytes = counters->sent_bytes;
    out.received_packets = counters->received_packets;
    out.received_bytes = counters->received_bytes;
    out.refused_packets = counters->refused;
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
  }

  // Joining takes as long as OpenDHT's threads need, so a helper thread waits for them, not the executor; and never
  // one of OpenDHT's own, which would wait for itself.
  void stop_runner() {
    leave_deadline.reset();
    if (!runner || joiner.joinable()) return;
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

OpenDht::OpenDht(Executor& executor, OpenDhtOptions options)
    : state_(std::make_shared<State>(executor, std::move(options))) {}
OpenDht::~OpenDht() { state_->operations.clear(); }

Result<void> OpenDht::start() { return state_->start(); }
Endpoint OpenDht::local() const { return state_->local; }
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
DhtStats OpenDht::stats() const { return state_->stats(); }
void OpenDht::leave(std::function<void()> done) { state_->leave(std::move(done)); }

}  // namespace p2p::net

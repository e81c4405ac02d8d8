// Figures of this room: `bench_net tls`, `bench_net dht`, `bench_net idle`. Not a test: it measures, and checks nothing.
#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>
#include <thread>
#include <vector>

#include <sys/resource.h>

#include "metadata/base/random.hpp"
#include "overlay/net/opendht.hpp"
#include "overlay/net/tls_transport.hpp"
#include "tests/metadata/storable.hpp"
#include "tests/net/plain_stream.hpp"

namespace p2p::net {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}
double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}
std::string of_process(const char* field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(field, 0) == 0) return line.substr(std::strlen(field));
  }
  return "?";
}
metadata::KeyPair key_of(std::uint8_t number) {
  std::array<std::uint8_t, 32> seed{};
  seed[0] = number;
  return metadata::KeyPair::from_seed(seed);
}

void print(const char* what, std::vector<double> ms) {
  std::sort(ms.begin(), ms.end());
  const auto at = [&](double q) { return ms[std::min(ms.size() - 1, static_cast<std::size_t>(q * static_cast<double>(ms.size())))]; };
  std::printf("%-34s n=%zu  median %.2f ms  p95 %.2f ms  max %.2f ms\n", what, ms.size(), at(0.5), at(0.95), ms.back());
}

class Signal {
 public:
  void set() {
    const std::lock_guard lock(mutex_);
    set_ = true;
    changed_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return set_; });
    set_ = false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool set_ = false;
};

void print_throughput(const char* what, std::size_t bytes, double ms, double cpu) {
  const double mb = static_cast<double>(bytes) / 1e6;
  std::printf("%-34s %.0f MB/s, %.0f MB per CPU second\n", what, mb / (ms / 1e3), mb / cpu);
}

constexpr std::size_t kVolume = 1u << 30, kPiece = 64u << 10;

// One link, sender and receiver on `from` and `to`.
void link_throughput(const char* what, Loop& from, Loop& to) {
  std::unique_ptr<TlsTransport> server, client;
  std::shared_ptr<overlay::Link> in, out;
  std::size_t sent = 0, received = 0;
  Signal connected, done;
  metadata::Endpoint address;
  (void)to.call_and_wait([&] {
    server = std::move(TlsTransport::make(to, key_of(1)).value());
    (void)server->listen({"127.0.0.1", 0});
    address = server->local();
    server->on_accept([&](std::shared_ptr<overlay::Link> link) {
      in = std::move(link);
      in->start({.on_data =
                     [&](ByteView data) {
                       received += data.size();
                       if (received == kVolume) done.set();
                     },
                 .on_drained = {},
                 .on_closed = {}});
    });
  });
  const Bytes piece(kPiece, 0x5a);
  std::function<void()> fill = [&] {
    while (sent < kVolume && out->queued() < overlay::Link::kHighWater) {
      out->send(piece);
      sent += piece.size();
    }
  };
  (void)from.call_and_wait([&] {
    client = std::move(TlsTransport::make(from, key_of(2)).value());
    client->connect(address, key_of(1).id(), 10s, [&](Result<std::shared_ptr<overlay::Link>> link) {
      out = std::move(link.value());
      connected.set();
    });
  });
  connected.wait();
  const double cpu = cpu_seconds();
  const auto start = Clock::now();
  (void)from.call_and_wait([&] {
    out->start({.on_data = {}, .on_drained = fill, .on_closed = {}});
    fill();
  });
  done.wait();
  print_throughput(what, kVolume, ms_since(start), cpu_seconds() - cpu);
  (void)from.call_and_wait([&] {
    out.reset();
    client.reset();
  });
  (void)to.call_and_wait([&] {
    in.reset();
    server.reset();
  });
}

void plain_throughput() {
  const auto plain = testing::plain_stream(kVolume, testing::Load::passing);
  std::printf("%-34s %s\n", "plain GnuTLS speaks", plain.cipher.c_str());
  print_throughput("plain GnuTLS, blocking, 2 threads", kVolume, plain.seconds * 1e3, plain.sender_cpu + plain.receiver_cpu);
}

/// 500 links, one after the other, between two transports on one loop.
void connects(Loop& loop, const char* what, const TlsOptions& options) {
  constexpr int kLinks = 500;
  std::unique_ptr<TlsTransport> server, client;
  std::shared_ptr<overlay::Link> accepted, connected;
  (void)loop.call_and_wait([&] {
    server = std::move(TlsTransport::make(loop, key_of(1), options).value());
    client = std::move(TlsTransport::make(loop, key_of(2), options).value());
    (void)server->listen({"127.0.0.1", 0});
  });
  std::vector<double> took;
  std::uint64_t bytes = 0;
  double cpu = 0;
  for (int i = -1; i < kLinks; ++i) {  // the first is not counted: it has nothing to resume
    Signal here, there;
    if (i == 0) cpu = cpu_seconds();
    const auto start = Clock::now();
    loop.post([&] {
      server->on_accept([&](std::shared_ptr<overlay::Link> link) {
        accepted = std::move(link);
        there.set();
      });
      client->connect(server->local(), key_of(1).id(), 10s, [&](Result<std::shared_ptr<overlay::Link>> link) {
        if (i >= 0) took.push_back(ms_since(start));
        connected = std::move(link.value());
        here.set();
      });
    });
    here.wait();
    there.wait();
    (void)loop.call_and_wait([&] {
      if (i >= 0) bytes += connected->bytes_sent() + accepted->bytes_sent();
      connected.reset();
      accepted.reset();
    });
  }
  cpu = cpu_seconds() - cpu;
  print(what, took);
  (void)loop.call_and_wait([&] {
    std::printf("%-34s %.2f ms of CPU, %llu bytes; %llu of %d resumed\n", "  per link, both ends", cpu / kLinks * 1e3,
                static_cast<unsigned long long>(bytes / kLinks),
                static_cast<unsigned long long>(client->stats().connected_resumed), kLinks);
    client.reset();
    server.reset();
  });
}

void tls() {
  Loop one, other;
  if (!one.start() || !other.start()) std::abort();
  TlsOptions full;
  full.resumptions = 0;
  connects(one, "connect, in full, on one loop", full);
  connects(one, "connect, resumed, on one loop", {});
  link_throughput("one link, both ends on one loop", one, one);
  link_throughput("one link, a loop at each end", one, other);
  plain_throughput();
  one.stop();
  other.stop();
}

void dht() {
  constexpr int kNodes = 8, kOperations = 200;
  Loop loop;
  if (!loop.start()) std::abort();
  std::vector<std::unique_ptr<OpenDht>> nodes;
  (void)loop.call_and_wait([&] {
    for (int i = 0; i < kNodes; ++i) {
      nodes.push_back(std::make_unique<OpenDht>(loop, OpenDhtOptions{.network = "bench"}));
      if (!nodes.back()->start()) std::abort();
      if (i > 0) nodes[static_cast<std::size_t>(i)]->join({nodes[0]->local().text()});
    }
  });
  std::this_thread::sleep_for(5s);
  const auto task = metadata::tag(metadata::sha256(view("bench")));
  std::vector<double> puts, firsts, dones;
  int found = 0;
  Random random(1);
  for (std::uint32_t i = 0; i < kOperations; ++i) {
    const auto key = key_of(static_cast<std::uint8_t>(i));
    const auto made = metadata::testing::storable(key, task, i, loop.wall_ms());
    Signal done;
    const auto start = Clock::now();
    loop.post([&] {
      nodes[random.below(kNodes)]->put(made.key, {i + 1, made.record},
                                       [&](bool) {
                                         puts.push_back(ms_since(start));
                                         done.set();
                                       });
    });
    done.wait();
  }
  for (std::uint32_t i = 0; i < kOperations; ++i) {
    Signal done;
    bool any = false;
    const auto start = Clock::now();
    loop.post([&] {
      nodes[random.below(kNodes)]->get(
          metadata::place_key(task, metadata::testing::numbered_place(i)),
          [&](const overlay::DhtValue&) {
            if (!any) firsts.push_back(ms_since(start));
            any = true;
            return true;
          },
          [&](bool) {
            dones.push_back(ms_since(start));
            done.set();
          });
    });
    done.wait();
    found += any ? 1 : 0;
  }
  print("put, 8 nodes", puts);
  if (!firsts.empty()) print("get, first value", firsts);
  print("get, done", dones);
  std::printf("%-34s %d of %d\n", "found", found, kOperations);
  (void)loop.call_and_wait([&] {
    std::uint64_t packets = 0, refused = 0;
    for (const auto& node : nodes) {
      packets += node->stats().received_packets;
      refused += node->stats().refused_packets;
    }
    std::printf("%-34s %llu of %llu\n", "packets refused", static_cast<unsigned long long>(refused),
                static_cast<unsigned long long>(packets));
    nodes.clear();
  });
  loop.stop();
}

// One node of this room alone: loop, table and transport; a second process would be its seed.
void idle(int seconds, const char* seed) {
  std::printf("%-34s %s\n", "resident before", of_process("VmRSS:").c_str());
  Loop loop;
  if (!loop.start()) std::abort();
  std::unique_ptr<OpenDht> node;
  std::unique_ptr<TlsTransport> transport;
  (void)loop.call_and_wait([&] {
    node = std::make_unique<OpenDht>(loop, OpenDhtOptions{.network = "bench"});
    if (!node->start()) std::abort();
    std::printf("seed for others: %s\n", node->local().text().c_str());
    std::fflush(stdout);
    if (seed != nullptr) node->join({seed});
    transport = std::move(TlsTransport::make(loop, key_of(1)).value());
    (void)transport->listen({"127.0.0.1", 0});
  });
  std::this_thread::sleep_for(5s);
  const double cpu = cpu_seconds();
  overlay::DhtStats before, after;
  (void)loop.call_and_wait([&] { before = node->stats(); });
  std::this_thread::sleep_for(std::chrono::seconds(seconds));
  (void)loop.call_and_wait([&] { after = node->stats(); });
  const double used = cpu_seconds() - cpu;
  std::printf("%-34s %s\n", "resident", of_process("VmRSS:").c_str());
  std::printf("%-34s %s\n", "of it not shared with files", of_process("RssAnon:").c_str());
  std::printf("%-34s %s\n", "threads", of_process("Threads:").c_str());
  std::printf("%-34s %.3f %% of a core over %d s\n", "CPU", used / seconds * 100, seconds);
  std::printf("%-34s %.1f sent, %.1f received (good nodes: %zu)\n", "bytes per second",
              static_cast<double>(after.sent_bytes - before.sent_bytes) / seconds,
              static_cast<double>(after.received_bytes - before.received_bytes) / seconds, after.good_nodes);
  (void)loop.call_and_wait([&] {
    node.reset();
    transport.reset();
  });
  loop.stop();
}

}  // namespace
}  // namespace p2p::net

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "tls") {
    p2p::net::tls();
  } else if (what == "dht") {
    p2p::net::dht();
  } else if (what == "idle") {
    p2p::net::idle(argc > 2 ? std::atoi(argv[2]) : 60, argc > 3 ? argv[3] : nullptr);
  } else {
    std::puts("usage: bench_net tls | dht | idle [seconds [host:port of a seed]]");
    return 2;
  }
}

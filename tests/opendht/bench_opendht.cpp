// Figures of the table, not a test: it measures, and checks nothing.
//
//     bench_opendht_sim [nodes] [loss]      real nodes in virtual time; 1000 and 0 by default
//     bench_opendht_sim loopback [nodes]    real nodes on real sockets; 1024 by default
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include <sys/resource.h>

#include "bench.hpp"
#include "storable.hpp"
#include "swarm.hpp"

namespace p2p::swarm {

long resident_kb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmRSS:", 0) == 0) return std::strtol(line.c_str() + 6, nullptr, 10);
  }
  return 0;
}

double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

void print(const char* what, std::vector<double> ms) {
  if (ms.empty()) {
    std::printf("%-46s none\n", what);
    return;
  }
  std::sort(ms.begin(), ms.end());
  const auto at = [&](double q) {
    return ms[std::min(ms.size() - 1, static_cast<std::size_t>(q * static_cast<double>(ms.size())))];
  };
  const double mean = std::accumulate(ms.begin(), ms.end(), 0.0) / static_cast<double>(ms.size());
  std::printf("%-46s n=%zu mean %.1f median %.1f p95 %.1f max %.1f ms\n", what, ms.size(), mean, at(0.5), at(0.95),
              ms.back());
  std::fflush(stdout);
}

namespace {

constexpr std::uint32_t kOperations = 200;

double ms(Duration time) { return static_cast<double>(time.count()) / 1e3; }

struct Gets {
  std::size_t found = 0;
  std::vector<double> first, done;
};

/// What askers sent and received during their operations.
struct Cost {
  std::uint64_t packets = 0, bytes = 0;
  std::array<std::uint64_t, kKinds> of_kind{};
  void add(const Node& asker, int sign) {
    for (std::size_t k = 0; k < kKinds; ++k) {
      const Traffic& traffic = asker.traffic(static_cast<Kind>(k));
      const auto count = static_cast<std::uint64_t>(sign) * (traffic.sent_packets + traffic.received_packets);
      of_kind[k] += count;
      packets += count;
      bytes += static_cast<std::uint64_t>(sign) * (traffic.sent_bytes + traffic.received_bytes);
    }
  }
};

class Bench {
 public:
  Bench(std::size_t nodes, double loss) : nodes_(nodes), resident_(resident_kb()), swarm_({.loss = loss}) {
    swarm_.set_loss(loss);
  }

  void run() {
    join();
    checks();
    recall("5 s after the flash join", 5s);
    recall("30 s after the flash join", 25s);
    idle();
    cold();
    operations();
    deaths();
    const double cpu = cpu_seconds() - cpu_began_;
    std::printf("in all: %.0f s of virtual time in %.1f s, of which %.1f s of processor; %.2f M events, %.0fk per second of "
                "processor; resident %.1f KB per node\n",
                ms(swarm_.now() - TimePoint{}) / 1e3, real_seconds() - began_, cpu,
                static_cast<double>(swarm_.events()) / 1e6, static_cast<double>(swarm_.events()) / cpu / 1e3,
                per_node_kb());
    std::printf("digest %016llx\n", static_cast<unsigned long long>(swarm_.digest()));
  }

 private:
  double per_node_kb() const { return static_cast<double>(resident_kb() - resident_) / static_cast<double>(swarm_.size()); }
  Node& any() {
    for (;;) {
      Node& node = swarm_.node(swarm_.random().below(swarm_.size()));
      if (node.alive()) return node;
    }
  }
  std::size_t connected() {
    std::size_t count = 0;
    for (std::size_t i = 0; i < swarm_.size(); ++i) count += swarm_.node(i).dht().stats().good_nodes > 0 ? 1 : 0;
    return count;
  }

  std::optional<Duration> put(Node& node, const Storable& what) {
    const TimePoint start = swarm_.now();
    std::optional<bool> outcome;
    cost_.add(node, -1);
    node.dht().put(what.key, what.value, [&](bool ok) { outcome = ok; });
    swarm_.run_until([&] { return outcome.has_value(); }, 60s);
    cost_.add(node, 1);
    if (!outcome.value_or(false)) return std::nullopt;
    return swarm_.now() - start;
  }
  void get(Node& node, const overlay::DhtKey& key, Gets& gets) {
    const TimePoint start = swarm_.now();
    bool found = false, done = false;
    cost_.add(node, -1);
    node.dht().get(
        key,
        [&](const overlay::DhtValue&) {
          if (!found) gets.first.push_back(ms(swarm_.now() - start));
          found = true;
          return true;
        },
        [&](bool) { done = true; });
    swarm_.run_until([&] { return done; }, 60s);
    cost_.add(node, 1);
    gets.found += found ? 1 : 0;
    gets.done.push_back(ms(swarm_.now() - start));
  }
  Storable record(Node& publisher) {
    return storable(next_++, publisher.index(), publisher.endpoint(), swarm_.wall_ms());
  }
  std::vector<Storable> put_many(std::size_t* stored = nullptr, std::vector<double>* times = nullptr) {
    std::vector<Storable> out;
    for (std::uint32_t i = 0; i < kOperations; ++i) {
      Node& publisher = any();
      out.push_back(record(publisher));
      const auto time = put(publisher, out.back());
      if (time && stored) ++*stored;
      if (time && times) times->push_back(ms(*time));
    }
    return out;
  }

  void join() {
    const double start = real_seconds();
    grow(swarm_, nodes_, 2s);
    const bool all = swarm_.run_until(
        [&, next = std::uint64_t{0}]() mutable {
          if (swarm_.events() < next) return false;
          next = swarm_.events() + nodes_ * 4;  // asking every node after every event would take longer than the rest
          return connected() == nodes_;
        },
        std::chrono::minutes(2));
    std::printf("%zu nodes, flash join of 2 s through one seed: %zu connected%s %.1f s after the first, in %.1f s; "
                "%.1f KB per node\n",
                nodes_, connected(), all ? "" : " (not all)", ms(swarm_.now() - TimePoint{}) / 1e3,
                real_seconds() - start, per_node_kb());
    std::fflush(stdout);
  }

  // What the holders of one record do before they store it, most of it Ed25519.
  void checks() {
    const auto it = storable(1, 1, swarm_.node(0).endpoint(), swarm_.wall_ms());
    const double start = cpu_seconds();
    for (int i = 0; i < 1000; ++i) {
      (void)metadata::may_store({.key = it.key, .bytes = it.value.data, .old_bytes = std::nullopt, .now_ms = swarm_.wall_ms()});
    }
    std::printf("a holder's check of a record: %.3f ms of processor\n", cpu_seconds() - start);
  }

  void recall(const char* when, Duration wait) {
    swarm_.run_for(wait);
    const auto records = put_many();
    Gets gets;
    for (const auto& it : records) get(any(), it.key, gets);
    std::printf("%s: %zu of %u records found\n", when, gets.found, kOperations);
    std::fflush(stdout);
  }

  void idle() {
    swarm_.run_for(std::chrono::minutes(15));
    const Traffic before = swarm_.traffic();
    constexpr int kSeconds = 300;
    const double start = real_seconds();
    swarm_.run_for(std::chrono::seconds(kSeconds));
    const Traffic spent = swarm_.traffic() - before;
    const double node_seconds = static_cast<double>(nodes_) * kSeconds;
    std::printf("idle, a quarter of an hour later: %.2f packets and %.1f bytes sent per second and node; %d s took %.1f s\n",
                static_cast<double>(spent.sent_packets) / node_seconds,
                static_cast<double>(spent.sent_bytes) / node_seconds, kSeconds, real_seconds() - start);
    std::fflush(stdout);
  }

  // A node that has just been started asks at once.
  void cold() {
    const auto records = put_many();
    Gets gets;
    for (std::uint32_t i = 0; i < 50; ++i) {
      Node& node = swarm_.add();
      node.dht().join({swarm_.node(0).seed()});
      get(node, records[i].key, gets);
    }
    std::printf("fully cold nodes, through one seed: %zu of 50 found\n", gets.found);
    print("  from start() to the first value", gets.first);
    print("  from start() to done", gets.done);
  }

  // What the askers sent and received while they asked: all of an operation passes them. A difference of the whole
  // network's traffic would be mostly other nodes' pings.
  void report_cost(const char* what, const Cost& cost) {
    std::printf("  %-44s %.1f packets, %.1f KB, sent and received by the asker:", what,
                static_cast<double>(cost.packets) / kOperations, static_cast<double>(cost.bytes) / kOperations / 1e3);
    for (std::size_t k = 0; k < kKinds; ++k) {
      if (cost.of_kind[k] == 0) continue;
      std::printf(" %s %.1f", std::string(name(static_cast<Kind>(k))).c_str(),
                  static_cast<double>(cost.of_kind[k]) / kOperations);
    }
    std::printf("\n");
    std::fflush(stdout);
  }

  void operations() {
    swarm_.run_for(60s);
    std::size_t stored = 0;
    std::vector<double> times;
    cost_ = {};
    const auto records = put_many(&stored, &times);
    std::printf("puts: %zu of %u done\n", stored, kOperations);
    print("  put", times);
    report_cost("a put", cost_);
    Gets gets;
    cost_ = {};
    for (const auto& it : records) get(any(), it.key, gets);
    std::printf("gets: %zu of %u found\n", gets.found, kOperations);
    print("  get, first value", gets.first);
    print("  get, done", gets.done);
    report_cost("a get", cost_);
    std::vector<double> estimates;
    for (int i = 0; i < 20; ++i) {
      Node& node = any();
      Gets ignored;
      for (std::uint32_t k = 0; k < 16; ++k) get(node, record(node).key, ignored);  // other keys for each node
      estimates.push_back(node.dht().stats().estimated_nodes / static_cast<double>(swarm_.size()));
    }
    std::sort(estimates.begin(), estimates.end());
    std::printf("estimate of the size by 20 nodes after 16 gets, relative: %.2f .. median %.2f .. %.2f\n", estimates[0],
                estimates[10], estimates[19]);
    std::fflush(stdout);
  }

  void deaths() {
    std::vector<Storable> records;
    for (std::uint32_t i = 0; i < kOperations; ++i) {
      Node& publisher = any();
      records.push_back(record(publisher));
      (void)put(publisher, records.back());
    }
    const std::size_t dead = swarm_.size() * 3 / 10;
    for (std::size_t i = 0; i < dead;) {
      Node& node = any();
      if (node.index() == 0) continue;
      swarm_.kill(node);
      ++i;
    }
    const TimePoint killed = swarm_.now();
    for (const Duration wait : {Duration(0s), Duration(std::chrono::minutes(5))}) {
      swarm_.run_for(wait);
      Gets gets;
      const TimePoint start = swarm_.now();  // one get after the other: the last ones come minutes later
      for (const auto& it : records) get(any(), it.key, gets);
      std::printf("%zu of %zu killed, publishers among them; %.0f to %.0f s later: %zu of %u found\n", dead,
                  swarm_.size(), ms(start - killed) / 1e3, ms(swarm_.now() - killed) / 1e3, gets.found, kOperations);
      print("  get, first value", gets.first);
      print("  get, done", gets.done);
    }
  }

  const std::size_t nodes_;
  const long resident_;
  const double began_ = real_seconds(), cpu_began_ = cpu_seconds();
  Swarm swarm_;
  std::uint32_t next_ = 0;
  Cost cost_;
};

}  // namespace
}  // namespace p2p::swarm

int main(int count, char** words) {
  if (count > 1 && std::strcmp(words[1], "loopback") == 0) {
    p2p::swarm::bench_loopback(count > 2 ? std::strtoul(words[2], nullptr, 10) : 1024);
    return 0;
  }
  const std::size_t nodes = count > 1 ? std::strtoul(words[1], nullptr, 10) : 1000;
  if (nodes < 2) {
    std::fprintf(stderr, "usage: %s [nodes] [loss] | %s loopback [nodes]\n", words[0], words[0]);
    return 2;
  }
  const auto bench = std::make_unique<p2p::swarm::Bench>(nodes, count > 2 ? std::strtod(words[2], nullptr) : 0);
  bench->run();
  return 0;
}

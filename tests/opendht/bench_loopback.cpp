// Real sockets and real time: more than a thousand OpenDHT nodes on one thread, driven by epoll.
//
// Two threads for each node, as a single node has them, would measure the scheduler of the operating system; and
// OpenDHT's own socket ends a process at its 1024th file. Here each node has a UdpPort that is read by the one thread, and
// its OpenDHT runs on an executor of that thread.
#include <algorithm>
#include <cstdio>
#include <deque>
#include <map>
#include <memory>
#include <optional>

#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bench.hpp"
#include "metadata/base/error.hpp"
#include "metadata/base/random.hpp"
#include "overlay/net/opendht.hpp"
#include "overlay/net/udp_port.hpp"
#include "storable.hpp"
#include "virtual_clock.hpp"

namespace p2p::swarm {
namespace {

using overlay::Duration;
using overlay::TimePoint;
using overlay::operator""ms;
using overlay::operator""s;

/// One thread, many ports: epoll, timers, posts.
class Poller final : public overlay::Executor {
 public:
  Poller() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) { P2P_ASSERT(epoll_ >= 0); }
  ~Poller() override { ::close(epoll_); }

  TimePoint now() const override { return {static_cast<std::int64_t>(real_seconds() * 1e6)}; }
  std::uint64_t wall_ms() const override {
    timespec time{};
    clock_gettime(CLOCK_REALTIME, &time);
    return static_cast<std::uint64_t>(time.tv_sec) * 1000 + static_cast<std::uint64_t>(time.tv_nsec) / 1'000'000;
  }
  void post(std::function<void()> task) override { posts_.push_back(std::move(task)); }
  TimerHandle after(Duration delay, std::function<void()> task) override {
    const Ticket ticket{(now() + delay).us, next_++};
    timers_.emplace(ticket, std::move(task));
    return std::make_unique<Entry>(*this, ticket);
  }
  void watch(net::UdpPort& port) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = &port;
    P2P_ASSERT(::epoll_ctl(epoll_, EPOLL_CTL_ADD, port.descriptor(), &event) == 0);
  }

  bool run_until(const std::function<bool()>& condition, Duration limit) {
    const TimePoint end = now() + limit;
    while (!condition()) {
      if (now() >= end) return false;
      step(end);
    }
    return true;
  }

 private:
  using Ticket = std::pair<std::int64_t, std::uint64_t>;
  struct Entry final : Timer {
    Entry(Poller& the_poller, Ticket the_ticket) : poller(the_poller), ticket(the_ticket) {}
    ~Entry() override { const auto gone = poller.timers_.extract(ticket); }
    Poller& poller;
    Ticket ticket;
  };

  void step(TimePoint end) {
    for (std::size_t n = posts_.size(); n > 0; --n) {
      const auto task = std::move(posts_.front());
      posts_.pop_front();
      task();
    }
    while (!timers_.empty() && timers_.begin()->first.first <= now().us) {
      const auto due = timers_.extract(timers_.begin());
      due.mapped()();
    }
    const std::int64_t next = timers_.empty() ? end.us : std::min(end.us, timers_.begin()->first.first);
    const std::int64_t wait = posts_.empty() ? std::max<std::int64_t>(0, next - now().us) : 0;
    const timespec timeout{wait / 1'000'000, wait % 1'000'000 * 1000};
    epoll_event events[64];
    const int ready = ::epoll_pwait2(epoll_, events, 64, &timeout, nullptr);
    for (int i = 0; i < ready; ++i) static_cast<net::UdpPort*>(events[i].data.ptr)->read();
  }

  int epoll_;
  std::deque<std::function<void()>> posts_;
  std::uint64_t next_ = 0;
  std::map<Ticket, std::function<void()>> timers_;
};

class Loopback {
 public:
  explicit Loopback(std::size_t nodes) : random_(1), resident_(resident_kb()) {
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = std::min<rlim_t>(files.rlim_max, nodes + 100);
    ::setrlimit(RLIMIT_NOFILE, &files);
    const double start = real_seconds();
    for (std::size_t i = 0; i < nodes; ++i) add(i == 0 ? 0 : random_.below(i));
    const bool all = poller_.run_until([this] { return connected() == nodes_.size(); }, 60s);
    std::printf("%zu nodes with real sockets, one thread: %s after %.2f s, %.1f KB per node\n", nodes,
                all ? "connected" : "not all connected", real_seconds() - start,
                static_cast<double>(resident_kb() - resident_) / static_cast<double>(nodes));
    // Until the walks that nodes begin with are over.
    poller_.run_until([] { return false; }, 10s);
  }

  void measure(std::uint32_t operations) {
    std::vector<Storable> records;
    std::vector<double> puts, first, done;
    std::size_t stored = 0, found = 0;
    for (std::uint32_t i = 0; i < operations; ++i) {
      const std::size_t publisher = random_.below(nodes_.size());
      records.push_back(storable(i, publisher, nodes_[publisher]->local(), poller_.wall_ms()));
      std::optional<bool> outcome;
      const double start = real_seconds();
      nodes_[publisher]->put(records.back().key, records.back().value, [&](bool ok) { outcome = ok; });
      poller_.run_until([&] { return outcome.has_value(); }, 30s);
      puts.push_back((real_seconds() - start) * 1e3);
      stored += outcome.value_or(false) ? 1 : 0;
    }
    for (const Storable& record : records) {
      bool ended = false, any = false;
      const double start = real_seconds();
      nodes_[random_.below(nodes_.size())]->get(
          record.key,
          [&](const overlay::DhtValue& value) {
            if (!any) first.push_back((real_seconds() - start) * 1e3);
            any = any || value.data == record.value.data;
            return true;
          },
          [&](bool) { ended = true; });
      poller_.run_until([&] { return ended; }, 30s);
      done.push_back((real_seconds() - start) * 1e3);
      found += any ? 1 : 0;
    }
    std::printf("stored %zu, found %zu of %u\n", stored, found, operations);
    print("store (put done, at 8 holders)", puts);
    print("get, first value", first);
    print("get, done", done);
  }

 private:
  void add(std::size_t seed) {
    auto port = net::UdpPort::open({.receive_buffer_bytes = 1 << 18, .threaded = false});
    if (!port) {
      std::fprintf(stderr, "%s\n", port.error().text().c_str());
      std::exit(1);
    }
    poller_.watch(**port);
    // All nodes have one address here, so that limits by address would limit them all together.
    nodes_.push_back(std::make_unique<net::OpenDht>(
        poller_, net::OpenDhtOptions{.network = "loopback", .requests_per_second = -1,
                                     .requests_per_second_and_address = -1, .threaded = false},
        std::move(*port)));
    P2P_ASSERT(nodes_.back()->start().has_value());
    if (nodes_.size() > 1) nodes_.back()->join({nodes_[seed]->local().text()});
    poller_.run_until([] { return false; }, 1ms);
  }
  std::size_t connected() const {
    return static_cast<std::size_t>(std::count_if(nodes_.begin(), nodes_.end(), [](const auto& node) {
      return node->stats().good_nodes > 0;
    }));
  }

  Random random_;
  const long resident_;
  Poller poller_;
  std::vector<std::unique_ptr<net::OpenDht>> nodes_;
};

}  // namespace

void bench_loopback(std::size_t nodes) {
  Loopback loopback(std::max<std::size_t>(nodes, 2));
  loopback.measure(1000);
}

}  // namespace p2p::swarm

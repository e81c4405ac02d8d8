#include "tools/cli/check_network.hpp"

#include <atomic>
#include <future>
#include <memory>
#include <thread>

#include "metadata/record.hpp"
#include "overlay/net/loop.hpp"
#include "overlay/net/opendht.hpp"

namespace p2p::tools {

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kLook = std::chrono::milliseconds(20);
constexpr auto kStoreWithin = std::chrono::seconds(8);
constexpr int kReadAttempts = 3;

/// One short-lived node of the table.
class Probe {
 public:
  static Result<std::unique_ptr<Probe>> start(net::Loop& loop, const OverlayCheckOptions& options,
                                              const std::string& seed) {
    auto probe = std::unique_ptr<Probe>(new Probe(loop));
    auto started = loop.call_and_wait([&]() -> Result<void> {
      net::OpenDhtOptions dht;
      dht.bind = options.bind;
      dht.network = options.network;
      probe->dht_ = std::make_unique<net::OpenDht>(loop, dht);
      if (auto ok = probe->dht_->start(); !ok) return ok;
      probe->dht_->join({seed});
      return {};
    });
    if (!started) return tl::unexpected(started.error());
    return probe;
  }
  ~Probe() {
    auto gone = std::make_shared<std::promise<void>>();
    auto done = gone->get_future();
    std::ignore = loop_.call_and_wait([&] {
      if (dht_) dht_->leave([gone] { gone->set_value(); });
    });
    done.wait_for(std::chrono::seconds(3));
    std::ignore = loop_.call_and_wait([&] { dht_.reset(); });
  }

  overlay::DhtStats stats() const {
    return loop_.call_and_wait([&] { return dht_->stats(); }).value_or(overlay::DhtStats{});
  }
  bool put(const metadata::DhtKey& key, const overlay::DhtValue& value) {
    auto promise = std::make_shared<std::promise<bool>>();
    auto stored = promise->get_future();
    std::ignore = loop_.call_and_wait(
        [&] { dht_->put(key, value, [promise](bool ok) { promise->set_value(ok); }); });
    return stored.wait_for(kStoreWithin) == std::future_status::ready && stored.get();
  }
  bool can_read(const metadata::DhtKey& key, const Bytes& data) {
    auto found = std::make_shared<std::atomic<bool>>(false);
    auto promise = std::make_shared<std::promise<void>>();
    auto done = promise->get_future();
    std::ignore = loop_.call_and_wait([&] {
      dht_->get(
          key,
          [found, data](const overlay::DhtValue& value) {
            if (value.data == data) *found = true;
            return !*found;
          },
          [promise](bool) { promise->set_value(); });
    });
    const auto until = Clock::now() + kStoreWithin;
    while (!*found && Clock::now() < until && done.wait_for(kLook) != std::future_status::ready) {
    }
    return *found;
  }

 private:
  explicit Probe(net::Loop& loop) : loop_(loop) {}
  net::Loop& loop_;
  std::unique_ptr<net::OpenDht> dht_;
};

/// A valid record in a bucket that nobody else uses: its task is the hash of a fresh key.
struct Token {
  metadata::DhtKey key{};
  overlay::DhtValue value;
};
Token make_token(std::uint64_t now_ms) {
  const auto secret = metadata::KeyPair::generate();
  metadata::Entry entry;
  entry.task = metadata::tag(metadata::sha256(secret.id().view()));
  entry.node = secret.id();
  entry.version = now_ms;
  entry.endpoint = {"127.0.0.1", 1};  // nobody will be sent there: nobody shares the task
  entry.table_port = 1;
  Token token;
  const metadata::Place place;  // the root of the first table, where every entry belongs
  token.key = metadata::place_key(entry.task, place);
  std::memcpy(&token.value.id, secret.id().bytes.data(), sizeof token.value.id);
  token.value.data = metadata::pack({place, metadata::seal(entry, secret)});
  return token;
}

}  // namespace

Result<OverlayReport> check_overlay(const OverlayCheckOptions& options) {
  net::Loop loop;
  if (auto ok = loop.start(); !ok) return tl::unexpected(ok.error());
  OverlayReport out;
  std::vector<std::unique_ptr<Probe>> probes;
  const auto begun = Clock::now();
  for (const auto& seed : options.seeds) {
    auto probe = Probe::start(loop, options, seed);
    if (!probe) return tl::unexpected(probe.error());
    probes.push_back(std::move(*probe));
    out.seeds.push_back({.seed = seed});
  }
  const auto ms_since = [](Clock::time_point since) {
    return std::chrono::duration<double, std::milli>(Clock::now() - since).count();
  };
  // All at once: a dead seed costs the deadline once.
  bool missing = true;
  while (missing && Clock::now() - begun < options.answer_within) {
    missing = false;
    for (std::size_t i = 0; i < probes.size(); ++i) {
      auto& report = out.seeds[i];
      if (report.reachable) continue;
      report.reachable = probes[i]->stats().good_nodes > 0;
      report.took_ms = ms_since(begun);
      missing = missing || !report.reachable;
    }
    if (missing) std::this_thread::sleep_for(kLook);
  }
  std::this_thread::sleep_for(options.settle);
  Probe* first = nullptr;
  Token token;
  for (std::size_t i = 0; i < probes.size(); ++i) {
    out.seeds[i].good_nodes = probes[i]->stats().good_nodes;
    if (!out.seeds[i].reachable) continue;
    if (first == nullptr) {
      first = probes[i].get();
      continue;
    }
    if (!out.compared) {
      out.compared = true;
      token = make_token(loop.wall_ms());
      std::ignore = first->put(token.key, token.value);
    }
    bool read = false;
    for (int attempt = 0; attempt < kReadAttempts && !read; ++attempt) {
      read = probes[i]->can_read(token.key, token.value.data);
    }
    if (!read) out.split_from_first.push_back(options.seeds[i]);
  }
  probes.clear();
  loop.stop();
  return out;
}

}  // namespace p2p::tools

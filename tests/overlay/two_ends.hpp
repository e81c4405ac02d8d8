// Two exchanges over real links on loopback, a loop's thread each: for what is measured rather than tested.
#pragma once

#include <time.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "metadata/base/random.hpp"
#include "overlay/exchange.hpp"
#include "overlay/net/tls_transport.hpp"

namespace p2p::net::testing {

using Clock = std::chrono::steady_clock;

inline double cpu_of(clockid_t clock) {
  timespec used{};
  clock_gettime(clock, &used);
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
}

inline metadata::KeyPair key_of(std::uint8_t number) {
  std::array<std::uint8_t, 32> seed{};
  seed[0] = number;
  return metadata::KeyPair::from_seed(seed);
}

/// A part that does not compress, in blocks of `block_bytes`.
inline std::shared_ptr<const overlay::Offer> offer_of(std::size_t bytes, std::size_t block_bytes, std::uint64_t seed) {
  auto out = std::make_shared<overlay::Offer>();
  out->family = "bench";
  Random random(seed);
  for (std::size_t at = 0; at < bytes; at += block_bytes) {
    Bytes content(std::min(block_bytes, bytes - at) / 8 * 8);
    for (std::size_t i = 0; i < content.size(); i += 8) {
      const auto value = random.next();
      std::memcpy(content.data() + i, &value, 8);
    }
    out->blocks.push_back({"block/" + std::to_string(at), {}, 1, std::move(content)});
  }
  return out;
}

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// Seconds of processor: the holder's thread, the asker's, and those beside them.
struct Processor {
  double holder = 0, asker = 0, beside = 0;
  double all() const { return holder + asker + beside; }
};

class TwoEnds {
 public:
  explicit TwoEnds(const overlay::ExchangeLimits& limits) : limits_(limits) {
    if (!one_.start() || !other_.start()) std::abort();
    (void)one_.call_and_wait([&] {
      server_ = std::move(TlsTransport::make(one_, key_of(1)).value());
      (void)server_->listen({"127.0.0.1", 0});
      overlay::ExchangeHost host;
      host.offer = [this](const metadata::TaskId&, const std::vector<std::int32_t>&) { return offer; };
      holder_ = std::make_unique<overlay::Exchange>(one_, *server_, host, limits);
      peer = {key_of(1).id(), server_->local()};
    });
    (void)other_.call_and_wait([&] {
      client_ = std::move(TlsTransport::make(other_, key_of(2)).value());
      asker_ = std::make_unique<overlay::Exchange>(other_, *client_, overlay::ExchangeHost{}, limits);
    });
  }
  ~TwoEnds() {
    (void)other_.call_and_wait([&] { asker_.reset(), client_.reset(); });
    (void)one_.call_and_wait([&] { holder_.reset(), server_.reset(); });
    one_.stop();
    other_.stop();
  }
  /// Seconds; ends the program when the part does not come.
  double pull(overlay::PulledPart* part = nullptr) {
    bool done = false;
    const auto start = Clock::now();
    other_.post([&] {
      asker_->pull({peer}, {}, {}, [&](Result<overlay::PulledPart> pulled) {
        if (!pulled) std::printf("failed: %s\n", pulled.error().text().c_str()), std::abort();
        const std::lock_guard lock(mutex_);
        if (part != nullptr) *part = std::move(*pulled);
        done = true;
        changed_.notify_all();
      });
    });
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return done; });
    return std::chrono::duration<double>(Clock::now() - start).count();
  }
  /// Ends the link; what the transports keep to resume it by stays.
  void unlink() {
    (void)other_.call_and_wait(
        [&] { asker_ = std::make_unique<overlay::Exchange>(other_, *client_, overlay::ExchangeHost{}, limits_); });
    while (one_.call_and_wait([&] { return server_->stats().links; }).value() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  std::uint64_t resumed_links() {
    return other_.call_and_wait([&] { return client_->stats().connected_resumed; }).value();
  }
  Processor processor() {
    Processor out;
    (void)one_.call_and_wait([&] { out.holder = cpu_of(CLOCK_THREAD_CPUTIME_ID); });
    (void)other_.call_and_wait([&] { out.asker = cpu_of(CLOCK_THREAD_CPUTIME_ID); });
    out.beside = cpu_of(CLOCK_PROCESS_CPUTIME_ID) - out.holder - out.asker;
    return out;
  }

  std::shared_ptr<const overlay::Offer> offer;
  overlay::Exchange::Peer peer;  ///< where the asker finds the holder

 private:
  overlay::ExchangeLimits limits_;
  Loop one_, other_;
  std::unique_ptr<TlsTransport> server_, client_;
  std::unique_ptr<overlay::Exchange> holder_, asker_;
  std::mutex mutex_;
  std::condition_variable changed_;
};

}  // namespace p2p::net::testing

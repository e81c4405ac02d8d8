// A large part over real links on loopback: bench_exchange [megabytes=256] [chunk=1048576] [runs=5]
// Two loops in one process, a thread each; the part has blocks of 8 MB that do not compress. Each run pulls it over a
// link that stands already, with another part, so that all of it travels. Printed: what arrived per second from the question to the last checked
// byte, processor time of both ends, and the first 64 kB part on a fresh and on a kept link. `bench_net tls` has a plain
// GnuTLS stream to compare with.
#include <sys/resource.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "metadata/base/random.hpp"
#include "overlay/exchange.hpp"
#include "overlay/net/tls_transport.hpp"

namespace p2p::net {
namespace {

using Clock = std::chrono::steady_clock;

double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

metadata::KeyPair key_of(std::uint8_t number) {
  std::array<std::uint8_t, 32> seed{};
  seed[0] = number;
  return metadata::KeyPair::from_seed(seed);
}

std::shared_ptr<const overlay::Offer> offer_of(std::size_t bytes, std::uint64_t seed) {
  auto out = std::make_shared<overlay::Offer>();
  out->family = "bench";
  Random random(seed);
  for (std::size_t at = 0; at < bytes; at += 8u << 20) {
    Bytes content(std::min<std::size_t>(8u << 20, bytes - at) / 8 * 8);
    for (std::size_t i = 0; i < content.size(); i += 8) {
      const auto value = random.next();
      std::memcpy(content.data() + i, &value, 8);
    }
    out->blocks.push_back({"block/" + std::to_string(at), {}, 1, std::move(content)});
  }
  return out;
}

class Ends {
 public:
  explicit Ends(std::size_t chunk_bytes) {
    limits_.chunk_bytes = chunk_bytes;
    limits_.frame_bytes = chunk_bytes + 4096;
    limits_.part_bytes = std::size_t{1} << 30;
    limits_.block_bytes = 16u << 20;
    limits_.requests_per_second = 1'000'000;
    limits_.send_bytes_per_second = 0;
    limits_.store_bytes = 0;
    if (!one_.start() || !other_.start()) std::abort();
    (void)one_.call_and_wait([&] {
      server_ = std::move(TlsTransport::make(one_, key_of(1)).value());
      (void)server_->listen({"127.0.0.1", 0});
      overlay::ExchangeHost host;
      host.offer = [this](const metadata::TaskId&, const std::vector<std::int32_t>&) { return offer; };
      helper_ = std::make_unique<overlay::Exchange>(one_, *server_, host, limits_);
      peer_ = {key_of(1).id(), server_->local()};
    });
    (void)other_.call_and_wait([&] {
      client_ = std::move(TlsTransport::make(other_, key_of(2)).value());
      asker_ = std::make_unique<overlay::Exchange>(other_, *client_, overlay::ExchangeHost{}, limits_);
    });
  }
  ~Ends() {
    (void)other_.call_and_wait([&] { asker_.reset(), client_.reset(); });
    (void)one_.call_and_wait([&] { helper_.reset(), server_.reset(); });
    one_.stop();
    other_.stop();
  }
  /// Seconds; aborts when the part does not come.
  double pull(overlay::PulledPart* part = nullptr) {
    bool done = false;
    const auto start = Clock::now();
    other_.post([&] {
      asker_->pull({peer_}, {}, {}, [&](Result<overlay::PulledPart> pulled) {
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
  std::shared_ptr<const overlay::Offer> offer;

 private:
  overlay::ExchangeLimits limits_;
  Loop one_, other_;
  std::unique_ptr<TlsTransport> server_, client_;
  std::unique_ptr<overlay::Exchange> helper_, asker_;
  overlay::Exchange::Peer peer_;
  std::mutex mutex_;
  std::condition_variable changed_;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void run(std::size_t megabytes, std::size_t chunk_bytes, int runs) {
  std::vector<double> rates, cpu;
  for (int i = 0; i < runs; ++i) {
    Ends ends(chunk_bytes);
    ends.offer = offer_of(64 << 10, 1000 + static_cast<std::uint64_t>(i));
    (void)ends.pull();
    std::this_thread::sleep_for(std::chrono::milliseconds(600));  // the helper answers alike for half a second
    ends.offer = offer_of(megabytes * 1'000'000, static_cast<std::uint64_t>(i));
    const double used = cpu_seconds();
    overlay::PulledPart part;
    const double seconds = ends.pull(&part);
    cpu.push_back((cpu_seconds() - used) / static_cast<double>(megabytes) * 1e3);
    rates.push_back(static_cast<double>(megabytes) / seconds);
  }
  std::printf("%zu MB part, chunks of %zu bytes: %.0f MB/s (median of %d, %.0f to %.0f), %.2f ms of processor per MB at both ends\n",
              megabytes, chunk_bytes, median(rates), runs, *std::min_element(rates.begin(), rates.end()),
              *std::max_element(rates.begin(), rates.end()), median(cpu));
  std::vector<double> fresh, kept;
  for (int i = 0; i < 30; ++i) {
    Ends ends(64 << 10);
    ends.offer = offer_of(64 << 10, 5000 + static_cast<std::uint64_t>(i));
    fresh.push_back(ends.pull() * 1e3);
    kept.push_back(ends.pull() * 1e3);  // nothing is kept, so it travels again
  }
  std::printf("64 kB part on loopback: fresh link %.2f ms, kept link %.2f ms (medians of 30)\n", median(fresh), median(kept));
}

}  // namespace
}  // namespace p2p::net

int main(int argc, char** argv) {
  std::size_t megabytes = 256, chunk = 1 << 20;
  int runs = 5;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word.starts_with("megabytes=")) megabytes = std::strtoul(argv[i] + 10, nullptr, 10);
    if (word.starts_with("chunk=")) chunk = std::strtoul(argv[i] + 6, nullptr, 10);
    if (word.starts_with("runs=")) runs = std::atoi(argv[i] + 5);
  }
  p2p::net::run(megabytes, chunk, runs);
}

#include "virtual_clock.hpp"

#include <chrono>
#include <ctime>
#include <random>

#include <dlfcn.h>
#include <sys/random.h>

#include "metadata/base/error.hpp"
#include "metadata/base/random.hpp"

namespace p2p::swarm {
namespace {

const sim::EventQueue* followed = nullptr;
Random randomness(0);

/// A steady clock that begins at 0 would make "ten minutes ago" negative.
constexpr std::int64_t kSteadyStartUs = 1'000'000'000;

std::int64_t real_ns(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

void follow(const sim::EventQueue* queue, std::uint64_t seed) {
  P2P_ASSERT(queue == nullptr || followed == nullptr);
  followed = queue;
  randomness = Random(seed).fork(0x72616e64);
  // Whoever looks the names up must find the definitions below.
  void* const found = dlsym(RTLD_DEFAULT, "_ZNSt6chrono3_V212steady_clock3nowEv");
  const auto here = &std::chrono::steady_clock::now;
  P2P_ASSERT(found == reinterpret_cast<void*>(here));
}

double real_seconds() { return static_cast<double>(real_ns(CLOCK_MONOTONIC)) / 1e9; }

std::int64_t steady_ns() {
  return followed == nullptr ? real_ns(CLOCK_MONOTONIC) : (kSteadyStartUs + followed->now().us) * 1000;
}
std::int64_t system_ns() {
  return followed == nullptr ? real_ns(CLOCK_REALTIME)
                             : static_cast<std::int64_t>(kEpochMs) * 1'000'000 + followed->now().us * 1000;
}
unsigned random_number() {
  if (followed != nullptr) return static_cast<unsigned>(randomness.next());
  unsigned number = 0;
  P2P_ASSERT(getrandom(&number, sizeof number, 0) == static_cast<ssize_t>(sizeof number));
  return number;
}

}  // namespace p2p::swarm

namespace std {

chrono::steady_clock::time_point chrono::steady_clock::now() noexcept {
  return time_point(duration(p2p::swarm::steady_ns()));
}
chrono::system_clock::time_point chrono::system_clock::now() noexcept {
  return time_point(duration(p2p::swarm::system_ns()));
}
unsigned random_device::_M_getval() { return p2p::swarm::random_number(); }

}  // namespace std

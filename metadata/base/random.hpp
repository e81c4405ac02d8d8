// One seeded generator for everything that must come out the same on every machine: bases, streams,
// simulations. The standard library's distributions differ between implementations; these do not.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

namespace p2p {

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): small state, passes BigCrush, cheap to fork by key.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }
  /// Uniform in [0, 1).
  double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
  /// Uniform in [0, bound); bound > 0. The bias is below bound / 2^64.
  std::uint64_t below(std::uint64_t bound) {
    return static_cast<std::uint64_t>(
        (static_cast<unsigned __int128>(next()) * bound) >> 64);
  }
  /// Standard normal (Box-Muller, one of the pair).
  double normal() {
    const double u = 1.0 - uniform();
    return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * uniform());
  }
  /// Poisson by inversion; meant for small means (online bagging uses 1).
  unsigned poisson(double mean) {
    const double limit = std::exp(-mean);
    unsigned k = 0;
    for (double p = uniform(); p > limit; p *= uniform()) ++k;
    return k;
  }
  /// An independent generator for a named purpose.
  Random fork(std::uint64_t key) const {
    Random child(state_ ^ (key * 0xD1B54A32D192ED03ull));
    child.next();
    return child;
  }
  /// The whole state: a generator made from it goes on where this one stands.
  std::uint64_t state() const { return state_; }

 private:
  std::uint64_t state_;
};

}  // namespace p2p

// Four floats at a time: what the trees' statistics are computed with.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace p2p::learner::lanes {

/// GCC and Clang vector types: the same operations in the same order whatever the machine has, so the
/// same bits everywhere; SSE2 and NEON have them in one register.
using F4 = float __attribute__((vector_size(16)));
using I4 = std::int32_t __attribute__((vector_size(16)));
using U4 = std::uint32_t __attribute__((vector_size(16)));
inline constexpr std::size_t kWidth = 4;

/// `count` rounded up to whole groups of four.
constexpr std::size_t padded(std::size_t count) { return (count + kWidth - 1) / kWidth * kWidth; }

inline F4 load(const float* from) {
  F4 v;
  std::memcpy(&v, from, sizeof v);
  return v;
}
inline void store(float* to, F4 v) { std::memcpy(to, &v, sizeof v); }
inline F4 all(float v) { return F4{v, v, v, v}; }
inline F4 min(F4 a, F4 b) { return a < b ? a : b; }
inline F4 max(F4 a, F4 b) { return a > b ? a : b; }
inline float sum(F4 v) { return (v[0] + v[2]) + (v[1] + v[3]); }

/// log2 of positive normal numbers; absolute error below 5e-7 plus the rounding of the result. Of others it is
/// some finite number.
/// v = 2^e m with m in [sqrt 1/2, sqrt 2); log2 m from the series of atanh((m - 1) / (m + 1)).
inline F4 log2(F4 v) {
  const U4 bits = reinterpret_cast<U4>(v);  // unsigned: the bits of -0 and of NaN may wrap around
  const I4 e = reinterpret_cast<I4>(bits - 0x3F3504F3u) >> 23;
  const F4 m = reinterpret_cast<F4>(bits - (reinterpret_cast<U4>(e) << 23));
  const F4 s = (m - 1.0f) / (m + 1.0f);
  const F4 q = s * s;
  const F4 p = s * (2.8853900818f + q * (0.9617966939f + q * (0.5770780164f + q * 0.4121985831f)));
  return __builtin_convertvector(e, F4) + p;
}

/// Distribution function of the standard normal; absolute error below 1e-6.
/// Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.28.
inline F4 normal_below(F4 z) {
  // Further out the tail is a number so small that every operation on it is slow.
  const F4 x = min(max(z, -z) * 0.70710678f, all(10));
  F4 p = 1.0f + x * (0.0705230784f +
                     x * (0.0422820123f +
                          x * (0.0092705272f +
                               x * (0.0001520143f + x * (0.0002765672f + x * 0.0000430638f)))));
  p *= p;
  p *= p;
  p *= p;
  p *= p;
  const F4 tail = 0.5f / p;
  return z < 0.0f ? tail : 1.0f - tail;
}

}  // namespace p2p::learner::lanes

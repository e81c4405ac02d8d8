// The search of split_search.hpp for vectors of P2P_SPLIT_WIDTH floats. Included by one .cpp per instruction
// set, each compiled with its own flags; so everything here is local to its .cpp, and nothing of the
// standard library that a linker could share between them is used.
#include "learner/models/trees/split_search.hpp"

namespace p2p::learner {
namespace {

constexpr int kThresholds = 10;
constexpr float kLeastShare = 0.01f;
constexpr std::size_t kWidth = P2P_SPLIT_WIDTH;

typedef float Floats __attribute__((vector_size(4 * P2P_SPLIT_WIDTH)));
typedef std::int32_t Ints __attribute__((vector_size(4 * P2P_SPLIT_WIDTH)));

inline Floats load(const float* from) {
  Floats v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}
inline Floats all(float v) { return v - Floats{}; }

/// As lanes::log2.
inline Floats log2_of(Floats v) {
  const Ints bits = (Ints)v;
  const Ints e = (bits - 0x3F3504F3) >> 23;
  const Floats m = (Floats)(bits - (e << 23));
  const Floats s = (m - 1.0f) / (m + 1.0f);
  const Floats q = s * s;
  const Floats p =
      s * (2.8853900818f + q * (0.9617966939f + q * (0.5770780164f + q * 0.4121985831f)));
  return __builtin_convertvector(e, Floats) + p;
}

/// n log2 n; 0 for 0.
inline Floats nlogn(Floats n) { return n * log2_of(n > 1e-30f ? n : all(1e-30f)); }

/// As lanes::normal_below.
inline Floats normal_below(Floats z) {
  const Floats far = (z > -z ? z : -z) * 0.70710678f;
  const Floats x = far < 10.0f ? far : all(10);
  Floats p =
      1.0f + x * (0.0705230784f +
                  x * (0.0422820123f +
                       x * (0.0092705272f +
                            x * (0.0001520143f + x * (0.0002765672f + x * 0.0000430638f)))));
  p *= p;
  p *= p;
  p *= p;
  p *= p;
  const Floats tail = 0.5f / p;
  return z < 0.0f ? tail : 1.0f - tail;
}

void search(const SplitInput& in, SplitChoice& choice) {
  const std::size_t stride = in.stride;
  const float least = kLeastShare * in.weight, one_over = 1 / in.weight;
  for (std::size_t i = 0; i < in.features; i += kWidth) {
    Floats low{}, high{};
    for (std::size_t c = 0; c < in.count; ++c) {
      const float* m = in.rows + in.classes[c].row * 5 * stride + i;
      const Floats lo = load(m + 3 * stride), hi = load(m + 4 * stride);
      low = c == 0 || lo < low ? lo : low;
      high = c == 0 || hi > high ? hi : high;
      for (std::size_t j = 0; j < kWidth; ++j)
        in.roots[c * kWidth + j] = __builtin_sqrtf(2 * m[2 * stride + j]);
    }
    // Constants (pixels of a border, categories that are not met here) are no split.
    bool varies = false;
    for (std::size_t j = 0; j < kWidth && i + j < in.features; ++j) varies |= low[j] < high[j];
    if (!varies) continue;
    const Floats step = (high - low) * (1.0f / (kThresholds + 1));
    Floats best = all(-1), where = low;
    for (int k = 1; k <= kThresholds; ++k) {
      const Floats t = low + step * static_cast<float>(k);
      Floats left{}, left_n{}, right_n{};
      for (std::size_t c = 0; c < in.count; ++c) {
        const float weight = in.classes[c].weight;
        const float* m = in.rows + in.classes[c].row * 5 * stride + i;
        Floats below = normal_below((t - load(m)) * load(in.roots + c * kWidth));
        below = t < load(m + 3 * stride) ? all(0) : below;
        below = t >= load(m + 4 * stride) ? all(1) : below;
        const Floats n = below * weight;
        left += n;
        left_n += nlogn(n);
        right_n += nlogn(weight - n);
      }
      const Floats right = in.weight - left;
      const Floats bits = nlogn(left) - left_n + nlogn(right) - right_n;
      Floats gain = in.entropy - bits * one_over;
      gain = left > least ? gain : all(-1);
      gain = right > least ? gain : all(-1);
      where = gain > best ? t : where;
      best = gain > best ? gain : best;
    }
    for (std::size_t j = 0; j < kWidth && i + j < in.features; ++j) {
      if (!(best[j] > choice.second)) continue;
      if (best[j] > choice.best) {
        choice.second = choice.best;
        choice.best = best[j];
        choice.lane = static_cast<std::uint32_t>(i + j);
        choice.threshold = where[j];
      } else {
        choice.second = best[j];
      }
    }
  }
}

}  // namespace

extern const SplitSearch P2P_SPLIT_NAME;
const SplitSearch P2P_SPLIT_NAME = {P2P_SPLIT_TEXT, kWidth, search};

}  // namespace p2p::learner

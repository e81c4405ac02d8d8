// The loops of kernels.hpp, for vectors of P2P_KERNELS_WIDTH floats. Included by one .cpp per
// instruction set, each compiled with its own flags; so everything here is local to its .cpp, and
// nothing of the standard library that a linker could share between them is used.
#include <cstddef>
#include <cstdint>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "learner/kernels/kernels.hpp"

namespace p2p::learner {
namespace {

/// W floats side by side, through the vector extension that GCC and clang share.
template <int W>
struct Vec {
  typedef float Float __attribute__((vector_size(4 * W)));
  typedef std::int32_t Int __attribute__((vector_size(4 * W)));

  static Float load(const float* from) {
    Float v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
  }
  static void store(float* to, Float v) { __builtin_memcpy(to, &v, sizeof v); }
  static Float all(float v) { return v - Float{}; }
  static Float keep(Int mask, Float v) { return (Float)((Int)v & mask); }
  static Float magnitude(Float v) { return (Float)((Int)v & 0x7FFFFFFF); }

  /// 1 / sqrt(x) of a positive x: the well-known first guess from the bits, then two steps of
  /// Newton.
  static Float reciprocal_root(Float x) {
    Float y = (Float)(0x5F375A86 - ((Int)x >> 1));
    const Float half = x * 0.5f;
    y = y * (1.5f - half * y * y);
    return y * (1.5f - half * y * y);
  }
  /// The same with one step, whose constants (J. Kadlec, 2010) make the most of it: within a
  /// relative 7e-4.
  static Float rough_reciprocal_root(Float x) {
    const Float y = (Float)(0x5F1FFFF9 - ((Int)x >> 1));
    return y * (1.68191391f - 0.703952253f * (x * y * y));
  }
  /// 1 / x of a positive x, alike; three steps.
  static Float reciprocal(Float x) {
    Float y = (Float)(0x7EF311C3 - (Int)x);
    y = y * (2.0f - x * y);
    y = y * (2.0f - x * y);
    return y * (2.0f - x * y);
  }
};

/// Calls work<W, N>(first lane) for the lanes of a group: N vectors of W floats at a time, no more
/// of them than the fewest registers of an instruction set hold, no wider than the group.
template <template <int, int> class Work, typename... Args>
void over_lanes(std::size_t lanes, const Args&... args) {
  constexpr int kWidth = P2P_KERNELS_WIDTH;
  if (lanes == 4) {
    Work<4, 1>::run(0, 4, args...);
  } else if (lanes == 8) {
    constexpr int kW = kWidth < 8 ? kWidth : 8;
    Work<kW, 8 / kW>::run(0, 8, args...);
  } else {
    constexpr int kN = kWidth < 8 ? 2 : 16 / kWidth;
    for (std::size_t lane = 0; lane < 16; lane += kWidth * kN)
      Work<kWidth, kN>::run(lane, 16, args...);
  }
}

#if defined(__AVX2__) && !defined(__AVX512F__)
/// For every set of 8 bits the places of its bits, lowest first.
struct FirstBits {
  std::uint8_t order[256][8] = {};
  constexpr FirstBits() {
    for (int set = 0; set < 256; ++set) {
      for (int bit = 0, count = 0; bit < 8; ++bit) {
        if ((set >> bit & 1) != 0) order[set][count++] = static_cast<std::uint8_t>(bit);
      }
    }
  }
};
constexpr FirstBits kFirstBits;
#endif

std::size_t gather(const float* x, std::size_t size, std::uint32_t* index, float* value) {
  std::size_t count = 0, i = 0;
#if defined(__AVX512F__)
  __m512i where = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  for (; i + 16 <= size; i += 16) {
    const __m512 v = _mm512_loadu_ps(x + i);
    const __mmask16 some = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_NEQ_UQ);
    _mm512_storeu_ps(value + count, _mm512_maskz_compress_ps(some, v));
    _mm512_storeu_si512(index + count, _mm512_maskz_compress_epi32(some, where));
    count += static_cast<std::size_t>(__builtin_popcount(some));
    where = _mm512_add_epi32(where, _mm512_set1_epi32(16));
  }
#elif defined(__AVX2__)
  for (; i + 8 <= size; i += 8) {
    const __m256 v = _mm256_loadu_ps(x + i);
    const auto some = static_cast<unsigned>(
        _mm256_movemask_ps(_mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_NEQ_UQ)));
    const __m256i order = _mm256_cvtepu8_epi32(
        _mm_loadl_epi64(reinterpret_cast<const __m128i*>(kFirstBits.order[some])));
    _mm256_storeu_ps(value + count, _mm256_permutevar8x32_ps(v, order));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(index + count),
                        _mm256_add_epi32(order, _mm256_set1_epi32(static_cast<int>(i))));
    count += static_cast<std::size_t>(__builtin_popcount(some));
  }
#endif
  // Writes every time and counts without a branch: which features are zero is hard to guess.
  for (; i < size; ++i) {
    index[count] = static_cast<std::uint32_t>(i);
    value[count] = x[i];
    count += !(x[i] == 0.0f);
  }
  std::int32_t wild = 0;
  for (i = 0; i < count; ++i) {
    const float v = value[i];
    std::int32_t bits;
    __builtin_memcpy(&bits, &v, sizeof bits);
    wild |= (bits & 0x7FFFFFFF) >= 0x7F800000 ? 1 : 0;
    const float low = v < -kMaxInput ? -kMaxInput : v;
    value[i] = low > kMaxInput ? kMaxInput : low;
  }
  return wild != 0 ? Kernels::kNotFinite : count;
}

template <int W, int N>
struct Scores {
  using V = Vec<W>;
  static void run(std::size_t lane, std::size_t lanes, const float* w, const Sparse& z,
                  float* out) {
    // Four sums, so that an addition need not wait for the one before.
    typename V::Float sums[4][N] = {};
    const auto gain = [&](typename V::Float(&sum)[N], std::size_t i) {
      const float* row = w + z.index[i] * lanes + lane;
      for (int n = 0; n < N; ++n) sum[n] += V::load(row + n * W) * z.value[i];
    };
    std::size_t i = 0;
    for (; i + 4 <= z.count; i += 4) {
      gain(sums[0], i);
      gain(sums[1], i + 1);
      gain(sums[2], i + 2);
      gain(sums[3], i + 3);
    }
    for (; i < z.count; ++i) gain(sums[0], i);
    for (int n = 0; n < N; ++n)
      V::store(out + lane + n * W, (sums[0][n] + sums[1][n]) + (sums[2][n] + sums[3][n]));
  }
};

template <int W, int N>
struct Add {
  using V = Vec<W>;
  static void run(std::size_t lane, std::size_t lanes, float* w, const Sparse& z,
                  const float* step) {
    typename V::Float s[N];
    for (int n = 0; n < N; ++n) s[n] = V::load(step + lane + n * W);
    for (std::size_t i = 0; i < z.count; ++i) {
      float* row = w + z.index[i] * lanes + lane;
      for (int n = 0; n < N; ++n) V::store(row + n * W, V::load(row + n * W) + s[n] * z.value[i]);
    }
  }
};

template <int W, int N>
struct Adagrad {
  using V = Vec<W>;
  static void run(std::size_t lane, std::size_t lanes, float* w, float* g, const Sparse& z,
                  const float* r, float rate, float scale, float floor) {
    // With G = scale g: r z / sqrt(scale g + floor) = (r / sqrt(scale)) z / sqrt(g + floor /
    // scale).
    const float root = 1.0f / __builtin_sqrtf(scale), least = floor / scale;
    typename V::Float gain[N], step[N];
    for (int n = 0; n < N; ++n) {
      gain[n] = V::load(r + lane + n * W) * root;
      step[n] = gain[n] * rate;
    }
    for (std::size_t i = 0; i < z.count; ++i) {
      const std::size_t at = z.index[i] * lanes + lane;
      const float v = z.value[i];
      for (int n = 0; n < N; ++n) {
        const typename V::Float part = gain[n] * v;
        const typename V::Float sum = V::load(g + at + n * W) + part * part;
        V::store(g + at + n * W, sum);
        V::store(w + at + n * W,
                 V::load(w + at + n * W) - step[n] * v * V::rough_reciprocal_root(sum + least));
      }
    }
  }
};

template <int W, int N>
struct Variance {
  using V = Vec<W>;
  static void run(std::size_t lane, std::size_t lanes, const float* p, const Sparse& z, float scale,
                  float* out) {
    typename V::Float sums[N] = {};
    for (std::size_t i = 0; i < z.count; ++i) {
      const float* row = p + z.index[i] * lanes + lane;
      const float square = z.value[i] * z.value[i];
      for (int n = 0; n < N; ++n)
        sums[n] += V::reciprocal(V::load(row + n * W) * scale + 1.0f) * square;
    }
    for (int n = 0; n < N; ++n) V::store(out + lane + n * W, sums[n]);
  }
};

template <int W, int N>
struct Arow {
  using V = Vec<W>;
  static void run(std::size_t lane, std::size_t lanes, float* w, float* p, const Sparse& z,
                  const float* step, const float* gain, float scale) {
    typename V::Float s[N], g[N];
    for (int n = 0; n < N; ++n) {
      s[n] = V::load(step + lane + n * W);
      g[n] = V::load(gain + lane + n * W);
    }
    for (std::size_t i = 0; i < z.count; ++i) {
      const std::size_t at = z.index[i] * lanes + lane;
      const float v = z.value[i];
      for (int n = 0; n < N; ++n) {
        const typename V::Float precision = V::load(p + at + n * W);
        V::store(w + at + n * W,
                 V::load(w + at + n * W) + s[n] * v * V::reciprocal(precision * scale + 1.0f));
        V::store(p + at + n * W, precision + g[n] * (v * v));
      }
    }
  }
};

template <int W, int N>
struct FtrlStep {
  using V = Vec<W>;
  static void run(std::size_t lane, std::size_t lanes, float* w, float* s, float* n_,
                  const Sparse& z, const float* r, const Kernels::Ftrl& how) {
    const float slope = 1.0f / how.alpha, rest = how.beta / how.alpha + how.l2;
    typename V::Float slopes[N];
    for (int n = 0; n < N; ++n) slopes[n] = V::load(r + lane + n * W);
    for (std::size_t i = 0; i < z.count; ++i) {
      const std::size_t at = z.index[i] * lanes + lane;
      const float v = z.value[i];
      for (int n = 0; n < N; ++n) {
        const typename V::Float g = slopes[n] * v;
        const typename V::Float before = V::load(n_ + at + n * W), after = before + g * g;
        const typename V::Float root = after * V::reciprocal_root(after);
        const typename V::Float sigma = (root - before * V::reciprocal_root(before)) * slope;
        const typename V::Float sum = V::load(s + at + n * W) + g - sigma * V::load(w + at + n * W);
        const typename V::Float over = V::magnitude(sum) - how.l1;
        const typename V::Float weight = over * V::reciprocal(root * slope + rest);
        // The sign of -sum.
        const auto sign = ((typename V::Int)sum & static_cast<std::int32_t>(0x80000000)) ^
                          static_cast<std::int32_t>(0x80000000);
        V::store(n_ + at + n * W, after);
        V::store(s + at + n * W, sum);
        V::store(w + at + n * W,
                 V::keep(over > 0.0f, (typename V::Float)((typename V::Int)weight | sign)));
      }
    }
  }
};

void project(const float* tile, const Sparse& z, float* sums) {
  constexpr int kW = P2P_KERNELS_WIDTH, kN = kW < 16 ? 8 : 4;
  using V = Vec<kW>;
  for (std::size_t first = 0; first < Kernels::kTile; first += kW * kN) {
    typename V::Float sum[kN];
    for (int n = 0; n < kN; ++n) sum[n] = V::load(sums + first + n * kW);
    for (std::size_t i = 0; i < z.count; ++i) {
      const float* column = tile + z.index[i] * Kernels::kTile + first;
      for (int n = 0; n < kN; ++n) sum[n] += V::load(column + n * kW) * z.value[i];
    }
    for (int n = 0; n < kN; ++n) V::store(sums + first + n * kW, sum[n]);
  }
}

template <int W>
typename Vec<W>::Float cosine_of_turns(typename Vec<W>::Float turns, float factor) {
  using V = Vec<W>;
  // Adding and subtracting 1.5 2^23 rounds to a whole number, where |turns| < 2^22; further out a
  // float has no fraction worth the name, and the mask makes its cosine that of a quarter turn: 0.
  typename V::Float rest = turns - ((turns + 12582912.0f) - 12582912.0f);
  // cos(2 pi t) = sin(2 pi (1/4 - |t|)), odd in its argument, which lies within +-1/4.
  const typename V::Float q = V::keep(V::magnitude(turns) < 4194304.0f, 0.25f - V::magnitude(rest));
  const typename V::Float s = q * q;
  typename V::Float p = s * 39.759827f - 76.581173f;
  p = p * s + 81.602476f;
  p = p * s - 41.341681f;
  p = p * s + 6.2831853f;
  return p * q * factor;
}

void cosine(float* values, std::size_t size, float factor) {
  constexpr int kW = P2P_KERNELS_WIDTH;
  std::size_t i = 0;
  for (; i + kW <= size; i += kW)
    Vec<kW>::store(values + i, cosine_of_turns<kW>(Vec<kW>::load(values + i), factor));
  if (i == size) return;
  float rest[kW] = {};
  for (std::size_t k = i; k < size; ++k) rest[k - i] = values[k];
  Vec<kW>::store(rest, cosine_of_turns<kW>(Vec<kW>::load(rest), factor));
  for (std::size_t k = i; k < size; ++k) values[k] = rest[k - i];
}

}  // namespace

extern const Kernels P2P_KERNELS_TABLE;
const Kernels P2P_KERNELS_TABLE = {
    P2P_KERNELS_NAME,
    gather,
    [](const float* w, std::size_t lanes, const Sparse& z, float* out) {
      over_lanes<Scores>(lanes, w, z, out);
    },
    [](float* w, std::size_t lanes, const Sparse& z, const float* step) {
      over_lanes<Add>(lanes, w, z, step);
    },
    [](float* w, float* g, std::size_t lanes, const Sparse& z, const float* r, float rate,
       float scale, float floor) { over_lanes<Adagrad>(lanes, w, g, z, r, rate, scale, floor); },
    [](const float* p, std::size_t lanes, const Sparse& z, float scale, float* out) {
      over_lanes<Variance>(lanes, p, z, scale, out);
    },
    [](float* w, float* p, std::size_t lanes, const Sparse& z, const float* step, const float* gain,
       float scale) { over_lanes<Arow>(lanes, w, p, z, step, gain, scale); },
    [](float* w, float* s, float* n, std::size_t lanes, const Sparse& z, const float* r,
       const Kernels::Ftrl& how) { over_lanes<FtrlStep>(lanes, w, s, n, z, r, how); },
    project,
    cosine,
};

}  // namespace p2p::learner

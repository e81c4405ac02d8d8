// The inner loops of the linear families, compiled for several widths of vector and chosen at run
// time.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace p2p::learner {

/// The coordinates of an input that are not zero, in the order they are worked on.
struct Sparse {
  const std::uint32_t* index;
  const float* value;
  std::size_t count;
};

/// What gather() cuts features to. Tasks scale features to about 1; without a limit one sample of
/// 1e30 would leave rows that overflow for ever.
inline constexpr float kMaxInput = 1e6f;

/// The loops for one instruction set.
///
/// Rows lie in groups of `lanes` classes (4, 8 or 16), coordinate by coordinate: weight of class c
/// at coordinate j is w[j * lanes + c]. So one vector operation serves a coordinate of all classes,
/// and a coordinate that is zero in a sample is never touched. Every loop works on one group.
///
/// Each lane's arithmetic is the same sequence of single operations whatever the width of the
/// vectors (fused multiply-add is off): all of them give the same bits, and so does a model on
/// every x86-64 processor.
struct Kernels {
  const char* name;

  /// Lists the coordinates of x (size) that are not zero, cut to +-kMaxInput; `index` and `value`
  /// have room for size + 16. The number of them, or kNotFinite when one is no number or infinite.
  std::size_t (*gather)(const float* x, std::size_t size, std::uint32_t* index, float* value);
  static constexpr std::size_t kNotFinite = ~std::size_t{0};

  /// out_c = sum_j w_cj z_j.
  void (*scores)(const float* w, std::size_t lanes, const Sparse& z, float* out);

  /// w_cj += step_c z_j.
  void (*add)(float* w, std::size_t lanes, const Sparse& z, const float* step);

  /// AdaGrad with decayed sums, the true sum being scale * g: g_cj += (r_c z_j)^2 / scale;
  /// w_cj -= rate r_c z_j / sqrt(scale g_cj + floor), the root within a relative 7e-4 (of a step's
  /// length).
  void (*adagrad)(float* w, float* g, std::size_t lanes, const Sparse& z, const float* r,
                  float rate, float scale, float floor);

  /// out_c = sum_j z_j^2 / (1 + scale p_cj): the variance of a score, p being precision above the
  /// prior's 1.
  void (*variance)(const float* p, std::size_t lanes, const Sparse& z, float scale, float* out);

  /// w_cj += step_c z_j / (1 + scale p_cj), then p_cj += gain_c z_j^2.
  void (*arow)(float* w, float* p, std::size_t lanes, const Sparse& z, const float* step,
               const float* gain, float scale);

  /// FTRL-Proximal: with g = r_c z_j and D(n) = (beta + sqrt n) / alpha + l2,
  /// s_cj += g - (D(n + g^2) - D(n)) w_cj; n_cj += g^2; w_cj = -(s_cj - sign(s_cj) l1) / D(n_cj),
  /// or 0 where |s_cj| <= l1. Roots and quotients within a relative 5e-6.
  struct Ftrl {
    float alpha, beta, l1, l2;
  };
  void (*ftrl)(float* w, float* s, float* n, std::size_t lanes, const Sparse& z, const float* r,
               const Ftrl& how);

  /// sums_d += sum_j tile[j * kTile + d] z_j, for the kTile directions of a tile.
  static constexpr std::size_t kTile = 64;
  void (*project)(const float* tile, const Sparse& z, float* sums);

  /// values_i = factor cos(2 pi values_i), within factor * 2e-6 for |values_i| below 4 (a float has
  /// no more: its spacing at 4 is 4.8e-7 turns); never above factor (1 + 1e-6) in magnitude.
  void (*cosine)(float* values, std::size_t size, float factor);
};

/// The fastest set that this processor runs.
const Kernels& kernels();
/// All sets that it runs, slowest first; for tests and benchmarks.
std::span<const Kernels* const> all_kernels();

/// exp(x) for x <= 0, within a relative 3e-7; below -87 as at -87, 2e-38. Plain arithmetic, so that
/// loops over it vectorise and every processor gives the same bits.
inline float exp_of_negative(float x) {
  const float cut = x < -87.0f ? -87.0f : x;
  // Adding and subtracting 1.5 2^23 rounds to a whole number.
  const float whole = (cut * 1.44269504f + 12582912.0f) - 12582912.0f;
  const float rest = (cut - whole * 0.693359375f) + whole * 2.12194440e-4f;  // ln 2 in two pieces
  float p = 1.9875691500e-4f;
  p = p * rest + 1.3981999507e-3f;
  p = p * rest + 8.3334519073e-3f;
  p = p * rest + 4.1665795894e-2f;
  p = p * rest + 1.6666665459e-1f;
  p = p * rest + 5.0000001201e-1f;
  const float power = std::bit_cast<float>((static_cast<std::int32_t>(whole) + 127) << 23);
  return (p * rest * rest + rest + 1.0f) * power;
}

}  // namespace p2p::learner

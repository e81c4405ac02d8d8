// Softmax regression, one row per class, trained by AdaGrad whose accumulators forget.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "learner/model.hpp"

namespace p2p::learner {

/// The rows and their optimiser state.
///
/// P(c | z) = exp(w_c . z) / sum_k exp(w_k . z), loss -log P(y | z); its gradient by w_c is r_c z
/// with the residual r_c = P(c | z) - [c = y]. The step, per coordinate j of row c:
///
///     G_cj <- decay G_cj + (r_c z_j)^2        w_cj <- w_cj - rate r_c z_j / sqrt(G_cj + floor)
///
/// Reference: Duchi, Hazan, Singer, "Adaptive Subgradient Methods", JMLR 12, 2011.
///
/// Deviations: the accumulator decays (with decay 1 the learner freezes and does not follow a
/// drift), which gives up the regret bound; and it has a floor, or a row that rested would make its
/// next step at full rate in every coordinate. Rows whose residual is below kResidual are left
/// alone (their decay is caught up later): they are most rows of a trained model and change nothing
/// that can be measured.
struct SoftmaxRows {
  static constexpr float kResidual = 1e-3f;

  SoftmaxRows(std::uint32_t classes_, std::size_t length_);

  struct Step {
    float rate;
    float decay;
    float floor;
  };

  /// out: (classes x 1), w_c . z.
  void scores(std::span<const float> z, std::span<float> out) const;
  /// scores -> probabilities, in place. False (and unusable) when a score is not finite.
  static bool softmax(std::span<float> scores);
  /// One step for label y; `probabilities` are those of z.
  void step(std::span<const float> z, ClassIndex y, std::span<const float> probabilities,
            const Step& how);

  /// -log P(y | z).
  double loss(std::span<const float> z, ClassIndex y) const;
  /// d loss / d w, (classes x length).
  void gradient(std::span<const float> z, ClassIndex y, std::span<float> out) const;

  std::span<float> row(std::size_t c) { return {weights.data() + c * length, length}; }
  std::span<const float> row(std::size_t c) const { return {weights.data() + c * length, length}; }
  std::span<float> square_row(std::size_t c) { return {squares.data() + c * length, length}; }
  std::span<const float> square_row(std::size_t c) const {
    return {squares.data() + c * length, length};
  }

  std::uint32_t classes;
  std::size_t length;
  std::vector<float> weights;    ///< (classes x length), row-major
  std::vector<float> squares;    ///< G, the same shape
  std::vector<float> owed;       ///< per class: decay that its G row has not had yet
  std::vector<double> evidence;  ///< per class: samples seen, decayed alike
};

}  // namespace p2p::learner

// Rules that leave a row alone when it is right, or right by a margin: perceptron,
// passive-aggressive, AROW.
#pragma once

#include "learner/models/linear/rule.hpp"
#include "learner/models/params.hpp"

namespace p2p::learner {

/// Family "perceptron": loss max(0, s_k - s_y), k the best other class; on a mistake w_y += z, w_k
/// -= z.
///
/// Reference: Crammer, Singer, "Ultraconservative online algorithms for multiclass problems", JMLR
/// 3, 2003 (the variant that shares the correction with one other class only).
///
/// Deviations: none; a tie counts as a mistake.
class PerceptronRule final : public Rule {
 public:
  static constexpr std::string_view kFamily = "perceptron";
  static constexpr bool kScaled = false;  ///< features come as they are: no rate has to fit them
  explicit PerceptronRule(Params& params);
  std::size_t arrays() const override { return 1; }
  double loss(std::span<const float> scores, ClassIndex y) const override;
  void slope(std::span<const float> scores, ClassIndex y, std::span<float> out) const override;
  void step(Rows& rows, const Sparse& z, ClassIndex y, std::span<const float> scores,
            std::span<float> slope) const override;
  double decay() const override { return decay_; }
  bool fits_scale() const override { return true; }

 private:
  double decay_;
};

/// Family "pa": loss l = max(0, 1 - s_y + s_k), k the best other class; w_y += t z, w_k -= t z with
/// t = min(C, l / (2 |z|^2)).
///
/// Reference: Crammer, Dekel, Keshet, Shalev-Shwartz, Singer, "Online Passive-Aggressive
/// Algorithms", JMLR 7, 2006: PA-I (figure 1) with the multiclass prediction-based update of
/// section 8.
///
/// Deviations: the rival is the best other class, also when the prediction is right but by less
/// than the margin ("max-loss" with unit costs).
class PassiveAggressiveRule final : public Rule {
 public:
  static constexpr std::string_view kFamily = "pa";
  static constexpr bool kScaled = true;
  explicit PassiveAggressiveRule(Params& params);
  std::size_t arrays() const override { return 1; }
  double loss(std::span<const float> scores, ClassIndex y) const override;
  void slope(std::span<const float> scores, ClassIndex y, std::span<float> out) const override;
  void step(Rows& rows, const Sparse& z, ClassIndex y, std::span<const float> scores,
            std::span<float> slope) const override;
  double decay() const override { return decay_; }
  bool fits_scale() const override { return true; }

 private:
  double aggressiveness_, decay_;
};

/// Family "arow": each weight has a Gaussian belief N(w_cj, v_cj), v_cj = 1 / (1 + P_cj), at first
/// N(0, 1). With the margin m = s_y - s_k to the best other class k, below 1: V = sum_j (v_yj +
/// v_kj) z_j^2, a = (1 - m) / (V + r); w_y += a v_y z, w_k -= a v_k z; P_yj and P_kj += z_j^2 / r.
///
/// Reference: Crammer, Kulesza, Dredze, "Adaptive Regularization of Weight Vectors", NIPS 2009,
/// equations 7 to 10, for several classes as in Crammer, Dredze, Kulesza, "Multi-class confidence
/// weighted algorithms", EMNLP 2009.
///
/// Deviations: the covariance is diagonal (the diagonal of the inverse, equation 10, is kept); the
/// precision above the prior's decays, or the rows would freeze under drift. Two rows blend as the
/// product of their Gaussians, the prior counted once.
class ArowRule final : public Rule {
 public:
  static constexpr std::string_view kFamily = "arow";
  static constexpr bool kScaled = true;
  explicit ArowRule(Params& params);
  std::size_t arrays() const override { return 2; }
  double loss(std::span<const float> scores, ClassIndex y) const override;
  void slope(std::span<const float> scores, ClassIndex y, std::span<float> out) const override;
  void step(Rows& rows, const Sparse& z, ClassIndex y, std::span<const float> scores,
            std::span<float> slope) const override;
  double decay() const override { return decay_; }
  void blend(const Row& own, const Row& other) const override;
  bool fits_scale() const override { return false; }

 private:
  double r_, decay_;
};

}  // namespace p2p::learner

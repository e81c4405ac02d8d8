// Rules that follow a gradient with rates per coordinate: AdaGrad and FTRL-Proximal.
#pragma once

#include "learner/models/linear/rule.hpp"
#include "learner/models/params.hpp"

namespace p2p::learner {

/// Families "softmax", "rff" and "svm": AdaGrad on one of three losses, with slopes r_c = d loss /
/// d s_c; t_c is 1 for c = y, else -1:
///
///     softmax    -log P(y), P(c) = exp(s_c) / sum_k exp(s_k)    r_c = P(c) - [c = y]
///     logistic   sum_c log(1 + exp(-t_c s_c))                   r_c = 1/(1 + exp(-s_c)) - [c = y]
///     hinge      sum_c max(0, 1 - t_c s_c)                      r_c = -t_c where t_c s_c < 1
///
/// The last two are one against the rest: each class is a problem of its own. The step, per
/// coordinate j of row c:
///
///     G_cj <- decay G_cj + (r_c z_j)^2        w_cj <- w_cj - rate r_c z_j / sqrt(G_cj + floor)
///
/// References: Duchi, Hazan, Singer, "Adaptive Subgradient Methods", JMLR 12, 2011; for the linear
/// support vector machine by stochastic gradients Bottou, "Large-Scale Machine Learning with
/// Stochastic Gradient Descent", COMPSTAT 2010, table 1, and Cartel's online SVM (Daga et al., SoCC
/// 2019).
///
/// Deviations: the accumulator decays (with decay 1 the learner freezes and does not follow a
/// drift), which gives up the regret bound; and it has a floor, or a row that rested would make its
/// next step at full rate in every coordinate. Rows whose |r_c| is below kResidual are left alone:
/// they are most rows of a trained model and change nothing that can be measured. The support
/// vector machine has no penalty |w|^2, and rates per coordinate: on MNIST the best constant rate
/// reached .894 prequential or .900 on the test set, not both, and penalties of 1e-5 to 1e-3 gained
/// less than .001; this reaches .904 and .911.
class AdagradRule final : public Rule {
 public:
  enum class Loss { softmax, logistic, hinge };
  static constexpr float kResidual = 1e-3f;
  /// Reads learning_rate, decay and floor; the numbers given are the defaults.
  AdagradRule(Params& params, Loss loss, double rate, double decay);

  std::size_t arrays() const override { return 2; }
  double loss(std::span<const float> scores, ClassIndex y) const override;
  void slope(std::span<const float> scores, ClassIndex y, std::span<float> out) const override;
  void step(Rows& rows, const Sparse& z, ClassIndex y, std::span<const float> scores,
            std::span<float> slope) const override;
  double decay() const override { return decay_; }
  bool fits_scale() const override { return false; }

 private:
  Loss loss_;
  double rate_, floor_, decay_;
};

/// Family "ftrl": one against the rest, a logistic loss per class, each coordinate by FTRL-Proximal
/// with learning rate alpha / (beta + sqrt n) and the penalties l1 |w| + l2/2 w^2; the formulas are
/// at Kernels::ftrl.
///
/// Reference: McMahan et al., "Ad Click Prediction: a View from the Trenches", KDD 2013, algorithm
/// 1; the features hashed as in Weinberger et al., "Feature Hashing for Large Scale Multitask
/// Learning", ICML 2009.
///
/// Deviations: several classes, as one problem each. A part carries w and n; the receiver restores
/// the per-coordinate sums from them, which is exact where w is not 0, and begins at 0 where l1
/// held it at 0. Nothing decays: under drift softmax is the better choice.
class FtrlRule final : public Rule {
 public:
  static constexpr std::string_view kFamily = "ftrl";
  explicit FtrlRule(Params& params);
  std::size_t arrays() const override { return 3; }
  double loss(std::span<const float> scores, ClassIndex y) const override;
  void slope(std::span<const float> scores, ClassIndex y, std::span<float> out) const override;
  void step(Rows& rows, const Sparse& z, ClassIndex y, std::span<const float> scores,
            std::span<float> slope) const override;
  double decay() const override { return 1; }
  void settle(Rows& rows, std::uint32_t c) const override;
  bool fits_scale() const override { return false; }

 private:
  Kernels::Ftrl how_;
};

}  // namespace p2p::learner

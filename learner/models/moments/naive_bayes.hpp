// Family "nb": Gaussian naive Bayes.
#pragma once

#include <memory>
#include <vector>

#include "learner/models/moments/moments_model.hpp"

namespace p2p::learner {

/// score_c(x) = log p_c - 1/2 sum_j [ log v_cj + (x_j - m_cj)^2 / v_cj ], the log-density of
/// independent Gaussians, with v_cj the variance of feature j in class c, smoothed: (n_c C_cj +
/// spread) / (n_c + 1)
/// + floor, as if one sample had been seen `spread` away from the mean; p_c counts one sample more
/// than there were.
///
/// Reference: John, Langley, "Estimating Continuous Distributions in Bayesian Classifiers", UAI
/// 1995; updates and sums: ClassMoments.
///
/// Deviations: variances have a floor (a feature that is constant in a class would veto it for
/// ever), by default 1.3e-5 features between 1e-5 and 1e-2; moments forget with `decay`, by default
/// over about 330 samples of a class with at most 128 features and 10,000 with more.
///
/// Block: MomentsModel's with means and variances: 29 + 8 features bytes; 784 features: 6301 (1209
/// at 4 bits, variances at 8). Cost per sample: classes x features x 3 flops, and features
/// divisions. Bounds: 16 classes x features bytes.
class NaiveBayes final : public MomentsModel {
 public:
  static constexpr std::string_view kFamily = "nb";
  static Result<std::unique_ptr<NaiveBayes>> make(const ModelSpec& spec);

  std::unique_ptr<Model> clone() const override;

 private:
  struct Config {
    float floor, spread;
  };
  NaiveBayes(const ModelSpec& spec, std::uint64_t fingerprint, ClassMoments moments,
             const Config& config);
  NaiveBayes(const NaiveBayes&) = default;

  std::span<const float> embed(Features x) const override { return x; }
  void judge(std::span<const float> z, std::span<float> out) const override;
  void learnt(std::size_t c) override;
  void rebuilt() override;
  std::size_t extra_bytes() const override { return 4 * (inverse_.size() + norms_.size()); }

  Config config_;
  std::vector<float> inverse_;  ///< (classes x features), 1 / (2 v_cj); follows from the moments
  std::vector<float> norms_;    ///< 1/2 sum_j log v_cj
};

}  // namespace p2p::learner

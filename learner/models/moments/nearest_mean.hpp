// Family "ncm": the class whose mean is nearest.
#pragma once

#include <memory>
#include <vector>

#include "learner/models/moments/moments_model.hpp"

namespace p2p::learner {

/// score_c(x) = m_c . x - |m_c|^2 / 2, which orders the classes as -|x - m_c| does.
///
/// Reference: Mensink, Verbeek, Perronnin, Csurka, "Distance-Based Image Classification:
/// Generalizing to New Classes at Near-Zero Cost", TPAMI 35(11), 2013, section 3 (without the
/// learned metric).
///
/// Deviation: a mean forgets with `decay`, by the samples of its class.
///
/// Block: MomentsModel's with means only: 29 + 4 features bytes; 784 features: 3165 (425 at 4
/// bits). Cost per sample: features x (classes + 2) multiplications. Bounds: 4 classes x features
/// bytes.
class NearestMean final : public MomentsModel {
 public:
  static constexpr std::string_view kFamily = "ncm";
  static Result<std::unique_ptr<NearestMean>> make(const ModelSpec& spec);

  std::unique_ptr<Model> clone() const override;

 private:
  using MomentsModel::MomentsModel;
  NearestMean(const NearestMean&) = default;

  std::span<const float> embed(Features x) const override { return x; }
  void judge(std::span<const float> z, std::span<float> out) const override;
  void learnt(std::size_t c) override;
  void rebuilt() override;
  std::size_t extra_bytes() const override { return 4 * half_norms_.size(); }

  std::vector<float> half_norms_;  ///< |m_c|^2 / 2; follows from the moments
};

}  // namespace p2p::learner

#include "learner/models/moments/nearest_mean.hpp"

#include <Eigen/Core>

#include "learner/models/params.hpp"

namespace p2p::learner {
namespace {

using Vector = Eigen::Map<const Eigen::VectorXf>;

Vector vector(std::span<const float> values) {
  return {values.data(), static_cast<Eigen::Index>(values.size())};
}

}  // namespace

Result<std::unique_ptr<NearestMean>> NearestMean::make(const ModelSpec& spec) {
  Params params(spec);
  const double decay = params.number("decay", spec.features <= 128 ? 0.999 : 0.9999, 0.5, 1);
  if (auto ok = params.check(); !ok) return tl::unexpected(ok.error());
  constexpr auto kKind = ClassMoments::Second::none;
  std::unique_ptr<NearestMean> made(new NearestMean(
      spec, params.fingerprint(), ClassMoments(spec.classes, spec.features, kKind, decay)));
  made->rebuilt();
  return made;
}

void NearestMean::judge(std::span<const float> z, std::span<float> out) const {
  for (std::size_t c = 0; c < out.size(); ++c) {
    const float score = vector(moments().mean(c)).dot(vector(z)) - half_norms_[c];
    // Written so that NaN becomes the lowest score.
    out[c] = moments().seen[c] > 0 && score > kUnknown ? score : kUnknown;
  }
}

void NearestMean::learnt(std::size_t c) {
  half_norms_[c] = 0.5f * vector(moments().mean(c)).squaredNorm();
}

void NearestMean::rebuilt() {
  half_norms_.resize(moments().classes);
  for (std::size_t c = 0; c < half_norms_.size(); ++c) learnt(c);
}

std::unique_ptr<Model> NearestMean::clone() const {
  return std::unique_ptr<Model>(new NearestMean(*this));
}

}  // namespace p2p::learner

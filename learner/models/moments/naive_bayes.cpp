#include "learner/models/moments/naive_bayes.hpp"

#include <algorithm>
#include <cmath>

#include <Eigen/Core>

#include "learner/models/params.hpp"

namespace p2p::learner {
namespace {

using Array = Eigen::Map<const Eigen::ArrayXf>;

}  // namespace

Result<std::unique_ptr<NaiveBayes>> NaiveBayes::make(const ModelSpec& spec) {
  Params params(spec);
  const double decay = params.number("decay", spec.features <= 128 ? 0.997 : 0.9999, 0.5, 1);
  Config config;
  // The more features there are the more of them depend on each other, and the less a narrow one
  // should say.
  const double usual = std::clamp(1.3e-5 * spec.features, 1e-5, 1e-2);
  config.floor = static_cast<float>(params.number("floor", usual, 1e-6, 10));
  config.spread = static_cast<float>(params.number("spread", 0.03, 0, 10));
  if (auto ok = params.check(); !ok) return tl::unexpected(ok.error());
  constexpr auto kKind = ClassMoments::Second::diagonal;
  if (auto ok = check_moments(spec, spec.features, kKind); !ok) return tl::unexpected(ok.error());
  return std::unique_ptr<NaiveBayes>(new NaiveBayes(
      spec, params.fingerprint(), ClassMoments(spec.classes, spec.features, kKind, decay), config));
}

NaiveBayes::NaiveBayes(const ModelSpec& spec, std::uint64_t fingerprint, ClassMoments moments,
                       const Config& config)
    : MomentsModel(spec, fingerprint, std::move(moments)), config_(config) {
  rebuilt();
}

void NaiveBayes::judge(std::span<const float> z, std::span<float> out) const {
  const auto d = static_cast<Eigen::Index>(z.size());
  const Array x(z.data(), d);
  const double total = moments().total_weight() + static_cast<double>(out.size());
  for (std::size_t c = 0; c < out.size(); ++c) {
    const Array mean(moments().mean(c).data(), d), inverse(inverse_.data() + c * z.size(), d);
    const float distance = ((x - mean).square() * inverse).sum();
    const auto prior = static_cast<float>(std::log((moments().weight[c] + 1) / total));
    const float score = prior - norms_[c] - distance;
    // Written so that NaN becomes the lowest score.
    out[c] = moments().seen[c] > 0 && score > kUnknown ? score : kUnknown;
  }
}

void NaiveBayes::learnt(std::size_t c) {
  const std::size_t d = moments().length;
  const auto n = static_cast<float>(moments().seen[c]);
  const float share = n / (n + 1), least = config_.spread / (n + 1) + config_.floor;
  const Array variance(moments().second(c).data(), static_cast<Eigen::Index>(d));
  Eigen::Map<Eigen::ArrayXf> inverse(inverse_.data() + c * d, static_cast<Eigen::Index>(d));
  inverse = 0.5f / (variance * share + least);
  norms_[c] = -0.5f * (2.0f * inverse).log().sum();
}

void NaiveBayes::rebuilt() {
  inverse_.resize(moments().means.size());
  norms_.resize(moments().classes);
  for (std::size_t c = 0; c < norms_.size(); ++c) learnt(c);
}

std::unique_ptr<Model> NaiveBayes::clone() const {
  return std::unique_ptr<Model>(new NaiveBayes(*this));
}

}  // namespace p2p::learner

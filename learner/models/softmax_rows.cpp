#include "learner/models/softmax_rows.hpp"

#include <algorithm>
#include <cmath>

#include <Eigen/Core>

namespace p2p::learner {
namespace {

using Vector = Eigen::Map<const Eigen::VectorXf>;
using Array = Eigen::Map<const Eigen::ArrayXf>;

Eigen::Index length_of(std::span<const float> values) {
  return static_cast<Eigen::Index>(values.size());
}

}  // namespace

SoftmaxRows::SoftmaxRows(std::uint32_t classes_, std::size_t length_)
    : classes(classes_),
      length(length_),
      weights(classes_ * length_),
      squares(classes_ * length_),
      owed(classes_, 1.0f),
      evidence(classes_) {}

void SoftmaxRows::scores(std::span<const float> z, std::span<float> out) const {
  const Vector v(z.data(), length_of(z));
  for (std::size_t c = 0; c < classes; ++c) out[c] = Vector(row(c).data(), length_of(z)).dot(v);
}

bool SoftmaxRows::softmax(std::span<float> scores) {
  const float top = *std::max_element(scores.begin(), scores.end());
  float sum = 0;
  for (float& s : scores) sum += s = std::exp(s - top);
  for (float& s : scores) s /= sum;
  return std::isfinite(sum);
}

void SoftmaxRows::step(std::span<const float> z, ClassIndex y, std::span<const float> probabilities,
                       const Step& how) {
  const Array a(z.data(), length_of(z));
  for (std::size_t c = 0; c < classes; ++c) {
    const bool target = static_cast<ClassIndex>(c) == y;
    owed[c] *= how.decay;
    evidence[c] = evidence[c] * static_cast<double>(how.decay) + (target ? 1.0 : 0.0);
    const float residual = probabilities[c] - (target ? 1.0f : 0.0f);
    if (std::abs(residual) < kResidual) continue;
    Eigen::Map<Eigen::ArrayXf> w(row(c).data(), length_of(z)),
        g(square_row(c).data(), length_of(z));
    g = g * owed[c] + a.square() * (residual * residual);
    w -= a * (how.rate * residual) / (g + how.floor).sqrt();
    owed[c] = 1.0f;
  }
}

double SoftmaxRows::loss(std::span<const float> z, ClassIndex y) const {
  std::vector<float> s(classes);
  scores(z, s);
  const float top = *std::max_element(s.begin(), s.end());
  double sum = 0;
  for (const float v : s) sum += std::exp(static_cast<double>(v - top));
  return std::log(sum) - static_cast<double>(s[static_cast<std::size_t>(y)] - top);
}

void SoftmaxRows::gradient(std::span<const float> z, ClassIndex y, std::span<float> out) const {
  std::vector<float> p(classes);
  scores(z, p);
  softmax(p);
  for (std::size_t c = 0; c < classes; ++c) {
    const float residual = p[c] - (static_cast<ClassIndex>(c) == y ? 1.0f : 0.0f);
    for (std::size_t j = 0; j < length; ++j) out[c * length + j] = residual * z[j];
  }
}

}  // namespace p2p::learner

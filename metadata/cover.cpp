#include "metadata/cover.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace p2p::metadata {

namespace {

constexpr double kHalf = 0.1;   // a share of a class that makes half a cover
constexpr double kRidge = 1e-3; // beside squared lengths of about 1: two classes may look alike

/// The needed classes that the need has seen, and how often.
std::vector<std::pair<double, std::size_t>> seen(const Need& need) {
  const auto& count = need.experience.count;
  std::vector<std::pair<double, std::size_t>> out;
  for (std::size_t c = 0; c < count.size(); ++c) {
    const bool wanted = need.classes.empty() || std::find(need.classes.begin(), need.classes.end(),
                                                          static_cast<std::int32_t>(c)) != need.classes.end();
    if (wanted && count[c] > 0) out.emplace_back(count[c], c);
  }
  std::sort(out.begin(), out.end(), std::greater<>());
  return out;
}

/// The inverse of a symmetric positive definite matrix (n x n), by Gauss and Jordan; no pivots are needed.
std::vector<double> inverse(std::vector<double> a, std::size_t n) {
  std::vector<double> out(n * n, 0);
  for (std::size_t i = 0; i < n; ++i) out[i * n + i] = 1;
  for (std::size_t i = 0; i < n; ++i) {
    const double pivot = a[i * n + i];
    for (std::size_t j = 0; j < n; ++j) {
      a[i * n + j] /= pivot;
      out[i * n + j] /= pivot;
    }
    for (std::size_t k = 0; k < n; ++k) {
      if (k == i) continue;
      const double factor = a[k * n + i];
      for (std::size_t j = 0; j < n; ++j) {
        a[k * n + j] -= factor * a[i * n + j];
        out[k * n + j] -= factor * out[i * n + j];
      }
    }
  }
  return out;
}

}  // namespace

Cover::Cover(const Sketcher& sketcher, const Need& need) {
  auto classes = seen(need);
  if (classes.size() > kMostClasses) classes.resize(kMostClasses);
  double total = 0;
  for (const auto& [count, c] : classes) total += count;
  for (const auto& [count, c] : classes) {
    Fingerprint one = need.experience;
    const auto share = static_cast<float>(need.experience.prior(c));
    for (std::size_t k = 0; k < one.classes; ++k) one.scale[k] = k == c ? one.scale[k] / share : 0.f;
    weight_.push_back(count / total);
    class_.push_back(outline_coordinates(sketcher.sketch(one)));
  }
  const std::size_t n = class_.size();
  std::vector<double> gram(n * n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      gram[i * n + j] = std::inner_product(class_[i].begin(), class_[i].end(), class_[j].begin(), i == j ? kRidge : 0.0);
    }
  }
  const auto inverted = inverse(std::move(gram), n);
  solver_.assign(n, {});
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      const auto factor = static_cast<float>(inverted[i * n + j]);
      for (std::size_t k = 0; k < Outline::kJoint; ++k) solver_[i][k] += factor * class_[j][k];
    }
  }
}

double Cover::operator()(const Outline& outline) const {
  if (class_.empty()) return 0;
  const auto s = outline_coordinates(outline);
  auto rest = s;
  double covered = 0;
  for (std::size_t i = 0; i < class_.size(); ++i) {
    const float share = std::max(0.f, std::inner_product(s.begin(), s.end(), solver_[i].begin(), 0.f));
    covered += weight_[i] * share / (share + kHalf);
    for (std::size_t k = 0; k < rest.size(); ++k) rest[k] -= share * class_[i][k];
  }
  return std::sqrt(std::inner_product(rest.begin(), rest.end(), rest.begin(), 0.0)) - covered;
}

}  // namespace p2p::metadata

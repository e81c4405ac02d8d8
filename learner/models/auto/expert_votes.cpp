#include "learner/models/auto/expert_votes.hpp"

#include <algorithm>
#include <cmath>

namespace p2p::learner {

ExpertVotes::ExpertVotes(std::size_t experts_, std::uint32_t classes_)
    : experts(experts_),
      classes(classes_),
      worth(experts_ * classes_, kStart / static_cast<float>(experts_)),
      squares(experts_ * classes_) {}

void ExpertVotes::scores(std::span<const ClassIndex> said, std::span<float> out) const {
  std::fill(out.begin(), out.end(), 0.0f);
  for (std::size_t e = 0; e < experts; ++e) {
    if (said[e] == kNoClass) continue;
    const auto c = static_cast<std::size_t>(said[e]);
    out[c] += worth[e * classes + c];
  }
}

void ExpertVotes::learn(std::span<const ClassIndex> said, ClassIndex y, std::span<float> scores) {
  const float top = *std::max_element(scores.begin(), scores.end());
  float sum = 0;
  for (float& s : scores) sum += s = std::exp(s - top);
  for (std::size_t e = 0; e < experts; ++e) {
    if (said[e] == kNoClass) continue;
    const auto c = static_cast<std::size_t>(said[e]);
    const float slope = scores[c] / sum - (said[e] == y ? 1.0f : 0.0f);
    float& square = squares[e * classes + c];
    square = square * kDecay + slope * slope;
    worth[e * classes + c] -= kRate * slope / std::sqrt(square + kFloor);
  }
}

double ExpertVotes::loss(std::span<const ClassIndex> said, ClassIndex y) const {
  std::vector<float> s(classes);
  scores(said, s);
  double sum = 0;
  for (const float v : s) sum += std::exp(static_cast<double>(v));
  return std::log(sum) - static_cast<double>(s[static_cast<std::size_t>(y)]);
}

void ExpertVotes::grow(std::uint32_t classes_) {
  std::vector<float> wider(experts * classes_, kStart / static_cast<float>(experts));
  std::vector<float> sums(experts * classes_);
  for (std::size_t e = 0; e < experts; ++e) {
    std::copy_n(worth.begin() + static_cast<std::ptrdiff_t>(e * classes), classes,
                wider.begin() + static_cast<std::ptrdiff_t>(e * classes_));
    std::copy_n(squares.begin() + static_cast<std::ptrdiff_t>(e * classes), classes,
                sums.begin() + static_cast<std::ptrdiff_t>(e * classes_));
  }
  worth = std::move(wider);
  squares = std::move(sums);
  classes = classes_;
}

}  // namespace p2p::learner

#include "learner/models/mlp/dense_layer.hpp"

#include <algorithm>

#include "metadata/base/error.hpp"

namespace p2p::learner {
namespace {

/// The scale of the sums below which they are multiplied out.
constexpr float kLeastScale = 1e-3f;

std::uint32_t lanes_for(std::uint32_t units) { return units <= 4 ? 4 : units <= 8 ? 8 : 16; }

}  // namespace

DenseLayer::DenseLayer(std::uint32_t inputs_, std::uint32_t units_)
    : inputs(inputs_),
      units(units_),
      lanes(lanes_for(units_)),
      groups((units_ + lanes - 1) / lanes),
      weights(coordinates() * padded()),
      squares(weights.size()) {}

void DenseLayer::forward(const Sparse& z, std::span<float> out) const {
  const std::size_t size = coordinates() * lanes;
  for (std::uint32_t group = 0; group < groups; ++group)
    kernels().scores(weights.data() + group * size, lanes, z, out.data() + group * lanes);
}

void DenseLayer::forget(float decay) {
  scale *= decay;
  if (scale >= kLeastScale) return;
  for (float& g : squares) g *= scale;
  scale = 1;
}

void DenseLayer::step(const Sparse& z, std::span<const float> r, const Step& how) {
  forget(how.decay);
  const std::size_t size = coordinates() * lanes;
  for (std::uint32_t group = 0; group < groups; ++group) {
    const auto own = r.subspan(group * lanes, lanes);
    if (std::all_of(own.begin(), own.end(), [](float v) { return v == 0.0f; })) continue;
    kernels().adagrad(weights.data() + group * size, squares.data() + group * size, lanes, z,
                      own.data(), how.rate, scale, how.floor);
  }
}

void DenseLayer::accumulate(const Sparse& z, std::span<const float> r,
                            std::span<float> gradient) const {
  const std::size_t size = coordinates() * lanes;
  for (std::uint32_t group = 0; group < groups; ++group)
    kernels().add(gradient.data() + group * size, lanes, z, r.data() + group * lanes);
}

void DenseLayer::step(std::span<float> gradient, std::span<std::uint8_t> marked, float share,
                      const Step& how) {
  forget(how.decay);
  const std::uint32_t zero = 0;
  const Sparse one{&zero, &share, 1};
  for (std::size_t j = 0; j < coordinates(); ++j) {
    if (marked[j] == 0) continue;
    marked[j] = 0;
    for (std::uint32_t group = 0; group < groups; ++group) {
      const std::size_t from = (group * coordinates() + j) * lanes;
      kernels().adagrad(weights.data() + from, squares.data() + from, lanes, one,
                        gradient.data() + from, how.rate, scale, how.floor);
      std::fill_n(gradient.data() + from, lanes, 0.0f);
    }
  }
}

void DenseLayer::grow(std::uint32_t units_) {
  P2P_ASSERT(units_ >= units);
  DenseLayer wider(inputs, units_);
  wider.scale = scale;
  for (std::size_t j = 0; j < coordinates(); ++j) {
    for (std::size_t u = 0; u < units; ++u) {
      wider.weights[wider.at(j, u)] = weights[at(j, u)];
      wider.squares[wider.at(j, u)] = squares[at(j, u)];
    }
  }
  *this = std::move(wider);
}

std::vector<float> DenseLayer::plain_weights() const {
  std::vector<float> out;
  out.reserve(coordinates() * units);
  for (std::size_t u = 0; u < units; ++u) {
    for (std::size_t j = 0; j < coordinates(); ++j) out.push_back(weights[at(j, u)]);
  }
  return out;
}

std::vector<float> DenseLayer::plain_squares() const {
  std::vector<float> out;
  out.reserve(coordinates() * units);
  for (std::size_t j = 0; j < coordinates(); ++j) {
    for (std::size_t u = 0; u < units; ++u) out.push_back(squares[at(j, u)] * scale);
  }
  return out;
}

}  // namespace p2p::learner

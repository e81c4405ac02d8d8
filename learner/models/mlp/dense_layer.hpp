// One layer of a perceptron: weights, and the AdaGrad sums that they are trained with.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "learner/kernels/kernels.hpp"
#include "learner/models/linear/rows.hpp"

namespace p2p::learner {

/// units = W' [input; 1], trained by AdaGrad whose sums decay:
///
///     G_ju <- decay G_ju + D_ju^2        W_ju <- W_ju - rate D_ju / sqrt(G_ju + floor)
///
/// with D the gradient of a batch's mean loss. Inputs that are zero cost nothing, in training
/// either.
///
/// Weights lie as the kernels want them: groups of `lanes` units, coordinate by coordinate.
struct DenseLayer {
  DenseLayer(std::uint32_t inputs_, std::uint32_t units_);

  std::uint32_t inputs, units;
  std::uint32_t lanes, groups;
  Aligned weights, squares;  ///< true sums: scale * squares
  float scale = 1;

  struct Step {
    float rate, decay, floor;
  };

  std::size_t coordinates() const { return std::size_t{inputs} + 1; }
  std::uint32_t padded() const { return lanes * groups; }
  std::size_t at(std::size_t coordinate, std::size_t unit) const {
    return (unit / lanes * coordinates() + coordinate) * lanes + unit % lanes;
  }

  /// out: (padded() x 1). z ends with the coordinate `inputs`, value 1.
  void forward(const Sparse& z, std::span<float> out) const;
  /// A step by the gradient z r' of one sample; r: (padded() x 1), zero where there is no unit.
  void step(const Sparse& z, std::span<const float> r, const Step& how);

  /// D += z r', (the layout of weights).
  void accumulate(const Sparse& z, std::span<const float> r, std::span<float> gradient) const;
  /// A step by `share` times the coordinates of the gradient that are marked; clears both.
  void step(std::span<float> gradient, std::span<std::uint8_t> marked, float share,
            const Step& how);

  /// Room for more units; those there are keep their weights, new ones have zero.
  void grow(std::uint32_t units_);

  /// As it travels: the weights (units x coordinates), the true sums (coordinates x units).
  std::vector<float> plain_weights() const;
  std::vector<float> plain_squares() const;

 private:
  void forget(float decay);
};

}  // namespace p2p::learner

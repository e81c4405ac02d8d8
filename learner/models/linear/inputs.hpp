// What a row is multiplied with: the features, hashed features, or random Fourier features beside
// them.
#pragma once

#include <memory>
#include <vector>

#include "learner/fourier_basis.hpp"
#include "learner/kernels/kernels.hpp"

namespace p2p::learner {

/// Turns features x into the input z of linear rows, without the coordinates that are zero. The
/// last coordinate is always 1, the bias. With a = sqrt(gamma), gamma being the task's bandwidth (2
/// / median |x-y|^2):
///
///   raw:      z = [a x; 1]
///   hashed:   z_h(j) += +-a x_j, h(j) one of 2^bits places and the sign from a hash of j and the
///             seed; where all features fit, each has a place and a sign + of its own. No table is
///             larger than needed.
///   fourier:  z = [phi(x); a x; 1], phi being the basis that all nodes of the task share; a x can
///             be left out.
///
/// So two samples' z differ by about 1 in every task, whatever number and unit of features it has,
/// and a rate or a margin means the same everywhere. A task without a bandwidth has a = 1.
class Inputs {
 public:
  static Inputs raw(std::uint32_t features, double bandwidth);
  static Inputs hashed(std::uint32_t features, double bandwidth, std::uint32_t bits,
                       std::uint64_t seed);
  /// The basis has a bandwidth of its own; basis.dimensions may be 0 when raw features are in.
  static Inputs fourier(const FourierBasis::Options& basis, bool with_raw, double bandwidth);

  /// Length of z.
  std::size_t length() const { return length_; }

  /// Room for one z.
  struct Buffer {
    std::vector<std::uint32_t> index;
    std::vector<float> value;
  };
  Buffer make_buffer() const;
  /// z of x; it lies in `buffer`, and takes nothing from the heap. When a feature is not finite,
  /// `finite` is false and z is the bias alone.
  struct Filled {
    Sparse z;
    bool finite;
  };
  Filled fill(Features x, Buffer& buffer) const;

 private:
  Inputs(std::uint32_t features, std::size_t length, double bandwidth);

  std::uint32_t features_;
  std::size_t length_;
  std::shared_ptr<const FourierBasis> basis_;
  bool with_raw_ = true;
  float scale_;
  std::vector<std::uint32_t>
      places_;  ///< hashed: where a feature lies, the sign in the highest bit
};

}  // namespace p2p::learner

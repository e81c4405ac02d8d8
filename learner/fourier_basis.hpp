// Random Fourier features, shared by all nodes of a task through a seed.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "learner/kernels/kernels.hpp"
#include "learner/model.hpp"

namespace p2p::learner {

/// The map phi(x) = sqrt(2/D) cos(W x + b) with W ~ N(0, gamma I), b ~ U[0, 2 pi): E[phi(x).phi(y)]
/// = exp(-gamma |x-y|^2 / 2).
///
/// One object is one basis; it is immutable, so models and their copies share it by pointer. Rows
/// are drawn one after the other from the seed: a basis with fewer dimensions is a prefix of a
/// larger one of the same bandwidth, up to the factor sqrt(D/d).
///
/// Cost: dimensions x (features that are not zero) multiplications. Angles are kept in turns (W and
/// b divided by 2 pi when they are drawn), so that reducing one to a turn is exact; a cosine is
/// within 2e-6 of the true one for angles up to four turns, and its error grows as a float's
/// spacing does. Features are cut to +-1e6.
///
/// Reference: Rahimi, Recht, "Random Features for Large-Scale Kernel Machines", NIPS 2007,
/// section 3.
class FourierBasis {
 public:
  struct Options {
    std::uint64_t seed = 0;
    std::uint32_t features = 0;    ///< length of x
    std::uint32_t dimensions = 0;  ///< D
    double bandwidth = 0;          ///< gamma > 0
  };
  explicit FourierBasis(const Options& options);
  ~FourierBasis();

  const Options& options() const;
  /// out: (dimensions x 1); zeros when a feature is not finite.
  void map(Features x, std::span<float> out) const;
  /// The same, of features listed without those that are zero.
  void map(const Sparse& x, std::span<float> out) const;

  /// The basis of these options, made once per process and shared while somebody holds it.
  static std::shared_ptr<const FourierBasis> shared(const Options& options);

 private:
  struct State;
  void project(const Sparse& x, std::span<float> sums) const;
  std::unique_ptr<State> state_;
};

/// gamma = 2 / median squared distance over pairs of `samples` (rows x features, row-major); the
/// rule that held on the streams it was tried on. 0 when all samples are equal.
double median_bandwidth(std::span<const float> samples, std::size_t features);

}  // namespace p2p::learner

// Family "ridge": least squares on class indicators, solved from sufficient statistics.
#pragma once

#include <memory>
#include <vector>

#include "learner/fourier_basis.hpp"
#include "learner/models/moments/moments_model.hpp"

namespace p2p::learner {

/// The rows w_k and offsets o_k that minimise sum_i p_i sum_k (w_k . z_i + o_k - [y_i = k])^2 +
/// ridge sum_k |w_k|^2 over all samples so far, z = [sqrt(D) phi(x); x], phi being the task's
/// random Fourier basis of D `dimensions`; the raw features are there when there are at most
/// kMostRaw. score_k = w_k . z + o_k.
///
/// With P = sum p_c, m = sum p_c m_c / P and S = sum p_c (C_c + (m_c - m)(m_c - m)') / P the
/// solution is
///
///     w_k = (S + ridge / P I)^-1 (m_k - m) p_k / P,     o_k = p_k / P - w_k . m
///
/// so the moments of the classes are all that must be kept. They are solved by a Cholesky
/// factorisation every `refresh` samples (sooner at first, and after a merge), not by recursive
/// least squares, which with forgetting diverged in single precision on five of nine streams.
///
/// The second moments are kept per class and not as one sum A: a block then holds all that its
/// class's samples say, can stand in the place of ours without disturbing the other classes, and
/// the sum of two nodes is exactly what one node would have learnt. A shared A would be smaller by
/// the number of classes, but rows b_k that come with another node's A cannot be told from ours
/// afterwards.
///
/// Reference: Hoerl, Kennard, "Ridge Regression", Technometrics 12(1), 1970; the sums over nodes as
/// in Liang et al., "A Fast and Accurate Online Sequential Learning Algorithm for Feedforward
/// Networks", IEEE TNN 17(6), 2006, without its recursion.
///
/// Deviations: classes forget as in ClassMoments; the ridge is no less than kLeastRidge of the mean
/// variance, so that single precision moments can be inverted.
///
/// Block: MomentsModel's with means and covariances, L = dimensions + raw features: 29 + 4 L + 2 L
/// (L + 1) bytes at 32 bits; L = 128: 33,565 (16 bits: 17,069, 8: 8,557, 4: 4,365). Cost per
/// sample: the basis, L^2 / 2 for the moments, classes L for the scores, and L^3 / (6 refresh) +
/// classes L^2 / (2 refresh) for the solution. Bounds: 2 classes L^2 bytes.
class Ridge final : public MomentsModel {
 public:
  static constexpr std::string_view kFamily = "ridge";
  static constexpr std::uint32_t kMostRaw = 64;
  static constexpr double kLeastRidge = 1e-6;
  static Result<std::unique_ptr<Ridge>> make(const ModelSpec& spec);

  std::unique_ptr<Model> clone() const override;

  /// Solves for the rows now.
  void solve();

 private:
  struct Config {
    std::uint32_t dimensions, refresh;
    bool raw;
    double ridge;
    std::size_t length() const;
    std::uint32_t features;
  };
  Ridge(const ModelSpec& spec, std::uint64_t fingerprint, ClassMoments moments,
        const Config& config);
  Ridge(const Ridge&) = default;

  std::span<const float> embed(Features x) const override;
  void judge(std::span<const float> z, std::span<float> out) const override;
  void learnt(std::size_t c) override;
  void rebuilt() override;
  void write_extra(ByteWriter& out) const override;
  Result<void> read_extra(ByteReader& in) override;
  std::size_t extra_bytes() const override;
  bool factorise(double extra);

  Config config_;
  std::shared_ptr<const FourierBasis> basis_;
  std::uint64_t samples_ = 0;
  std::uint32_t since_ = 0;  ///< samples since the rows were solved for
  std::vector<float> rows_, offsets_;
  mutable std::vector<float> features_;  ///< scratch: no allocation per sample
  std::vector<double> matrix_, factor_, mean_, right_;
};

}  // namespace p2p::learner

// Family "rff": random Fourier features, raw features and a bias under softmax rows.
#pragma once

#include <memory>
#include <vector>

#include "learner/fourier_basis.hpp"
#include "learner/model.hpp"
#include "learner/models/softmax_rows.hpp"

namespace p2p::learner {

/// Linear rows over z = [phi(x); sqrt(gamma) x; 1], phi being the basis that all nodes of the task
/// share.
///
/// The raw features are scaled by sqrt(gamma), so that they weigh about as much as phi (|phi| = 1)
/// in every task, whatever unit its features have.
///
/// Block: "class/<c>" = one row with its AdaGrad accumulator. Exactly partitionable: a row scores
/// its class and nothing else. A multilayer perceptron has no such rows and lost that comparison.
///
/// Cost per sample: dimensions x (features that are not zero) + classes x length multiplications.
///
/// Bounds: 8 classes (dimensions + features + 1) bytes.
///
/// A sample with a feature that is not finite trains nothing.
class RffSoftmax final : public Model {
 public:
  static constexpr std::string_view kFamily = "rff";
  static Result<std::unique_ptr<RffSoftmax>> make(const ModelSpec& spec);

  const ModelSpec& spec() const override { return spec_; }
  void scores(Features x, std::span<float> out) const override;
  ClassIndex predict(Features x) const override;
  void learn(Features x, ClassIndex y) override;
  ClassIndex predict_then_learn(Features x, ClassIndex y) override;
  std::unique_ptr<Model> clone() const override;
  using Model::partition;
  Part partition(std::span<const ClassIndex> classes, Precision precision) const override;
  Result<void> merge(const Part& part, const MergeOptions& options) override;
  void grow(std::uint32_t classes) override;
  Bytes encode() const override;
  std::size_t bytes() const override;

  /// encode()'s inverse, into a fresh model; on an error it must be thrown away.
  Result<void> decode(ByteView bytes);

 private:
  struct Config {
    std::uint32_t dimensions;
    bool raw;
    SoftmaxRows::Step step;
    std::uint64_t fingerprint;
  };
  RffSoftmax(const ModelSpec& spec, const Config& config);
  RffSoftmax(const RffSoftmax&) = default;
  /// z(x) into features_ and w . z into scores_.
  void evaluate(Features x) const;
  /// The limit of a decayed count: 1 / (1 - decay).
  double most_evidence() const;

  ModelSpec spec_;
  Config config_;
  std::shared_ptr<const FourierBasis> basis_;
  SoftmaxRows rows_;
  mutable std::vector<float> features_, scores_;  ///< scratch: no allocation per sample
};

}  // namespace p2p::learner

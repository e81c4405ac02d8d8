// What the families on sufficient statistics share: nb, ncm, ridge.
#pragma once

#include <string_view>
#include <vector>

#include "learner/model.hpp"
#include "learner/models/moments/class_moments.hpp"

namespace p2p::learner {

/// A model whose knowledge is ClassMoments, whole: learning adds to them, blending adds two of them
/// up.
///
/// Block: "class/<c>" = the moments of one class: 29 bytes, and per number of the embedding a mean
/// (and what the family keeps of the second moments) at the precision asked for. A class that was
/// never seen has none. merge, replace: the moments stand in place of ours. merge, blend: the exact
/// sum; with decay 1 it is what training on both streams would have given, up to float rounding.
///
/// A sample with a feature that is not finite, or beyond kLargestFeature, trains nothing.
class MomentsModel : public Model {
 public:
  static constexpr float kLargestFeature = 1e6f;

  const ModelSpec& spec() const final { return spec_; }
  void scores(Features x, std::span<float> out) const final;
  ClassIndex predict(Features x) const final;
  void learn(Features x, ClassIndex y) final;
  ClassIndex predict_then_learn(Features x, ClassIndex y) final;
  using Model::partition;
  Part partition(std::span<const ClassIndex> classes, Precision precision) const final;
  Result<void> merge(const Part& part, const MergeOptions& options) final;
  void grow(std::uint32_t classes) final;
  Bytes encode() const final;
  std::size_t bytes() const final;

  /// encode()'s inverse, into a fresh model; on an error it must be thrown away.
  Result<void> decode(ByteView bytes);

  const ClassMoments& moments() const { return moments_; }

 protected:
  MomentsModel(const ModelSpec& spec, std::uint64_t fingerprint, ClassMoments moments);
  MomentsModel(const MomentsModel&) = default;

  /// z(x), (moments().length x 1); may lie in a scratch of the family's.
  virtual std::span<const float> embed(Features x) const = 0;
  /// Finite scores of z for every class.
  virtual void judge(std::span<const float> z, std::span<float> out) const = 0;
  /// A sample was added to class c; or moments changed by other means.
  virtual void learnt(std::size_t c) = 0;
  virtual void rebuilt() = 0;
  /// What the family keeps beside the moments and cannot compute from them.
  virtual void write_extra(ByteWriter&) const {}
  virtual Result<void> read_extra(ByteReader&) { return {}; }
  virtual std::size_t extra_bytes() const = 0;

  /// What a class scores that nothing is known of.
  static constexpr float kUnknown = -1e30f;

 private:
  bool usable(Features x) const;

  ModelSpec spec_;
  std::uint64_t fingerprint_;
  ClassMoments moments_;
  mutable std::vector<float> scores_, difference_;  ///< scratch: no allocation per sample
};

/// `limit_exceeded` when the moments of all classes would take more than 1 GiB.
Result<void> check_moments(const ModelSpec& spec, std::size_t length, ClassMoments::Second kind);

}  // namespace p2p::learner

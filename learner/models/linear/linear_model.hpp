// The model of all linear families: rows, an input and an update rule.
#pragma once

#include <memory>
#include <vector>

#include "learner/models/linear/inputs.hpp"
#include "learner/models/linear/rows.hpp"
#include "learner/models/linear/rule.hpp"

namespace p2p::learner {

/// One row per class over an input z(x); a sample's class is the row with the largest w_c . z among
/// the classes that were seen, here or by whom a row came from. A class that was not scores below
/// all that were.
///
/// Block: "class/<c>", one per class that was seen: the row and, where the rule has it, its
/// optimiser state. A row scores its class and nothing else, so the model comes apart exactly.
/// Content, at b bits: u64 fingerprint of the spec, u32 class, u8 b, f32 root mean square length of
/// the sender's rows, the weights (put_numbers), the sums (put_levels).
///
/// Merge: "replace" puts the row in place of ours; "blend" is the rule's, the mean weighed by
/// evidence unless it says otherwise. A class without evidence takes what comes either way. Rows of
/// a rule whose steps have no size of their own (fits_scale: perceptron, pa) grow longer with every
/// mistake, and a short row that comes in among long ones is hardly ever said; so when only some
/// classes are replaced, such rows are multiplied by what the sender's rows would need to be as
/// long as ours, by 1 at least and 4 at most. Measured on MNIST's new classes, accuracy over the
/// first 1000 samples: with a helper trained on 1000 samples and a receiver on 20,000, .748 instead
/// of .740 (perceptron) and .801 instead of .794 (pa), and within .002 of each other for svm,
/// softmax and rff. Shortening longer rows too was tried with a helper trained on 20,000 and a
/// receiver on 5000: .787 instead of .824 (perceptron), .859 instead of .881 (pa), no gain above
/// .001 for svm, softmax, ftrl and rff.
///
/// Bounds: a peer's evidence counts for at most 1 / (1 - decay), what the decay lets anybody have;
/// weights beyond 1e6 and sums beyond 1e12 are refused.
///
/// A sample with a feature that is not finite trains nothing and is answered by the biases.
class LinearModel final : public Model {
 public:
  LinearModel(const ModelSpec& spec, std::uint64_t fingerprint, Inputs inputs,
              std::shared_ptr<const Rule> rule);

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
  /// A row that came in, checked.
  struct Incoming {
    std::uint32_t c;
    double evidence;
    float length;  ///< root mean square length of the sender's rows
    std::vector<float> weights, sums;
  };
  LinearModel(const LinearModel&) = default;
  /// z(x), and the score of every class into scores_.
  Inputs::Filled evaluate(Features x) const;
  /// The best class of scores_ that was seen; 0 when none was.
  ClassIndex largest() const;
  bool has_sums() const { return rule_->arrays() > 1; }
  double most_evidence() const;
  Result<Incoming> read(const Block& block) const;
  void take(const Incoming& row, MergeOptions::Mode mode, float factor);

  ModelSpec spec_;
  std::uint64_t fingerprint_;
  Inputs inputs_;
  std::shared_ptr<const Rule> rule_;  ///< immutable, shared by copies
  Rows rows_;
  mutable Inputs::Buffer buffer_;  ///< scratch, as the next two: no allocation per sample
  mutable std::vector<float> scores_;
  std::vector<float> slope_;
};

}  // namespace p2p::learner

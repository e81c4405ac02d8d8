// Family "orf": trees that grow from a stream, each on its own Poisson bootstrap.
#pragma once

#include <memory>
#include <vector>

#include "learner/model.hpp"
#include "learner/models/trees/random_tree.hpp"
#include "metadata/base/random.hpp"

namespace p2p::learner {

struct ForestView;

/// For every tree and sample k ~ Poisson(1): the tree trains on the sample k times, or, when k = 0,
/// is judged by it (out-of-bag). A leaf splits when it has seen `min_samples` and the best of its
/// `tests` random tests gains at least `min_gain` bits.
///
/// score_c(x) = sum_t p_t(c | x) / n_c, with p_t the class shares in the leaf of tree t, and n_c
/// the number of trees that know class c. A tree knows a class by mass / (mass + 200) of the
/// samples it was trained on, relative to the tree that knows it best. Where all trees have seen
/// the same stream this is the paper's plain mean; after a merge it keeps the trees that never met
/// a class from outvoting those that did.
///
/// Block: "tree/<i>" = its record per class, nodes and leaf counts. partition(classes) ranks the
/// trees by out-of-bag accuracy on these classes and gives the best `share` of them; merge puts
/// what comes in where the trees are that do worst on these classes. The number of trees never
/// changes.
///
/// Reference: Saffari, Leistner, Santner, Godec, Bischof, "On-line Random Forests", OLCV 2009; the
/// rule for partition and merge: Daga et al., "Cartel", SoCC 2019.
///
/// Deviations: k equal updates are one of weight k; a split is considered every min_samples / 10
/// samples, not after each; a tree is discarded when its out-of-bag error rose well above what it
/// was (the paper discards with the error itself as probability, which on a problem with ten
/// classes discards good trees for ever); a leaf's counts are halved when they pass `memory`, so
/// that a leaf follows a change.
///
/// Cost per sample: trees x (depth + tests). Bounds: trees x max_leaves leaves of
/// TreeShape::leaf_bytes().
class OnlineRandomForest final : public Model {
 public:
  static constexpr std::string_view kFamily = "orf";
  static Result<std::unique_ptr<OnlineRandomForest>> make(const ModelSpec& spec);

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

  /// How the trees are; for tests and reports.
  struct TreeReport {
    std::uint32_t leaves, depth;
    double trained;    ///< samples since it was planted
    double oob_error;  ///< over the latest out-of-bag samples
  };
  std::vector<TreeReport> report() const;
  std::uint64_t discarded() const { return discarded_; }

 private:
  struct Config {
    std::uint32_t trees;
    double share;
    double discard_margin;
    TreeShape shape;
    std::uint64_t fingerprint;
  };
  struct Member {
    RandomTree tree;
    double trained = 0;
    /// Averages over about 30 and 1000 judgements, and how many there were.
    float fast_error = 0, slow_error = 0, judged = 0;
    std::vector<ClassRecord> classes;  ///< out-of-bag; mass: samples trained on
  };
  OnlineRandomForest(const ModelSpec& spec, const Config& config);
  OnlineRandomForest(const OnlineRandomForest&) = default;

  ForestView view() const;
  void judge(Member& member, std::uint32_t leaf, ClassIndex y);
  void plant(Member& member);
  void weigh(std::size_t c);
  void vote(std::span<const std::uint32_t> leaves, std::span<float> out) const;
  void find_leaves(Features x) const;

  ModelSpec spec_;
  Config config_;
  Random random_;
  bool personal_ = false;  ///< whether random_ has been mixed with the first sample
  std::uint64_t discarded_ = 0;
  FeatureRanges ranges_;
  std::vector<Member> members_;
  /// Per class: 1 / number of trees that know it; follows from members_.
  std::vector<float> weight_;
  mutable std::vector<std::uint32_t> leaves_;  ///< scratch: no allocation per sample
  mutable std::vector<float> scores_;
};

}  // namespace p2p::learner

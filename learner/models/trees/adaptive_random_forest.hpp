// Family "arf": Hoeffding trees that are replaced, one by one, when the stream drifts away from
// them.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "learner/drift/adwin.hpp"
#include "learner/model.hpp"
#include "learner/models/trees/hoeffding_tree.hpp"
#include "metadata/base/random.hpp"

namespace p2p::learner {

struct ForestView;

/// Every tree trains k ~ Poisson(lambda) times on each sample, and ADWIN watches its own error
/// twice: at `delta_warning` a background tree starts to grow beside it, at `delta_drift` it gives
/// its place to that one, or to an empty tree.
///
/// score_c(x) = sum_t a_t^4 p_t(c | x) / n_c, with p_t the answer of tree t, a_t its accuracy over
/// about the latest 33 samples, and n_c the number of trees that know class c. A tree knows a class
/// by mass / (mass + 1200) of the weight it was trained on, relative to the tree that knows it
/// best: where all trees have seen the same stream this is the paper's vote; after a merge it keeps
/// the trees that never met a class from outvoting those that did.
///
/// Block: "tree/<i>" = a tree's nodes, and of its leaves the class weights and Gaussians.
/// partition(classes) ranks the trees by recall on these classes and gives the best `share` of
/// them.
///
/// merge throws no tree away that votes (one that only grew in the background gives way). With mode
/// blend, what comes in starts in the background of the trees that do worst on the classes, and
/// takes the place of its tree once it has been right often enough where that one was wrong
/// (McNemar's test on the same samples). With mode replace it takes the place at once, half of the
/// places at most when classes are named, and the tree that gave way stays in the background under
/// the same rule: it returns if the newcomer was worse.
///
/// References: Gomes et al., "Adaptive random forests for evolving data stream classification",
/// Machine Learning 106, 2017; partition after Daga et al., "Cartel", SoCC 2019.
///
/// Deviations: see HoeffdingTree and Adwin; the class weights n_c; a_t^4 (the paper: the accuracy
/// since the tree was planted, not raised), because what a tree was worth before a change says
/// little; tie 0.08, delta_drift 0.005, delta_warning 0.02 (MOA: 0.05, 0.001, 0.01), better on the
/// mean of 8 streams.
///
/// Cost per sample: trees x (depth + features of a leaf x classes in it). Bounds: 2 trees x
/// max_leaves leaves; `memory` MiB of Gaussians and as much of leaves' features (fewer leaves where
/// these are many), but never less than 8 of each per tree. Part, at 32 bits: about 24 bytes per
/// leaf, 6 per class in it, and 4 + 16 features for each Gaussian; see HoeffdingTree for what the
/// other precisions leave out.
class AdaptiveRandomForest final : public Model {
 public:
  static constexpr std::string_view kFamily = "arf";
  static Result<std::unique_ptr<AdaptiveRandomForest>> make(const ModelSpec& spec);

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
    std::uint32_t leaves, depth, observing;
    double trained;   ///< samples since it was planted
    double accuracy;  ///< of late
    bool background;  ///< whether another tree grows beside it
  };
  std::vector<TreeReport> report() const;
  /// What has happened so far.
  struct Events {
    std::uint64_t warnings = 0, drifts = 0, promoted = 0, dismissed = 0;
  };
  const Events& events() const { return events_; }

 private:
  struct Config {
    std::uint32_t trees;
    double lambda, delta_warning, delta_drift, share;
    HoeffdingShape shape;
    std::uint64_t fingerprint;
  };
  /// A tree with its record.
  struct Grown {
    HoeffdingTree tree;
    double trained = 0;
    float seen = 0;                    ///< samples that it answered, up to kRecent
    float accuracy = 0;                ///< over about the latest kRecent of them
    std::vector<ClassRecord> classes;  ///< mass: the weight it was trained on
    float say() const { return accuracy * accuracy * accuracy * accuracy + 1e-6f; }
  };
  struct Member {
    Grown front;
    Adwin warning, drift;
    std::unique_ptr<Grown> back;
    /// What is in the back grew up elsewhere, or gave way to what did: the two are compared.
    bool guest = false;
    std::uint32_t only_front = 0, only_back = 0;  ///< samples that only the one got right
    std::uint32_t together = 0;                   ///< samples since it came

    Member(Grown planted, const Config& config);
    Member(const Member& other);
    Member(Member&&) = default;
    Member& operator=(Member&&) = default;
  };
  AdaptiveRandomForest(const ModelSpec& spec, const Config& config);
  AdaptiveRandomForest(const AdaptiveRandomForest&) = default;

  static Adwin detector(double delta);
  /// x, or a copy cut to what trees take where a feature is larger.
  Features cut(Features x) const;
  Grown seedling();
  unsigned draw_weight();
  void judge(Grown& grown, bool hit, ClassIndex y, unsigned weight) const;
  /// The back takes the place of the front, or an empty tree does.
  void promote(Member& member);
  /// Whether the back took the place of the front.
  bool compare(Member& member, bool front_hit, bool back_hit);
  void weigh(std::size_t c);
  void weigh_all();
  void write(ByteWriter& out, const Grown& grown) const;
  Result<void> read(ByteReader& in, Grown& grown) const;
  ForestView view() const;

  ModelSpec spec_;
  Config config_;
  Random random_;
  bool personal_ = false;  ///< whether random_ has been mixed with the first sample
  Events events_;
  std::vector<Member> members_;
  std::vector<float>
      weight_;  ///< per class: 1 / number of trees that know it; follows from members_
  std::array<std::uint32_t, 64> poisson_{};  ///< distribution function of the weights, times 2^32
  mutable HoeffdingTree::Scratch scratch_;
  mutable std::vector<float> scores_, cut_;
};

}  // namespace p2p::learner

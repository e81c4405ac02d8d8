// One tree of the adaptive random forest, in flat arrays.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "learner/model.hpp"
#include "learner/models/trees/gaussian_rows.hpp"
#include "learner/models/trees/tree_nodes.hpp"
#include "metadata/base/random.hpp"

namespace p2p::learner {

/// What all trees of a forest agree on.
struct HoeffdingShape {
  std::uint32_t features = 0;
  std::uint32_t classes = 0;
  std::uint32_t subset = 0;  ///< features that a leaf looks at
  std::uint32_t max_depth = 0;
  std::uint32_t max_leaves = 0;
  std::uint32_t max_rows = 0;  ///< of all leaves together
  float grace = 0;             ///< weight in a leaf between two looks for a split
  float log_inverse_delta = 0; ///< ln(1 / delta) of the Hoeffding bound
  float tie = 0;               ///< a bound below this decides whatever the second best is
  float persistence = 0;       ///< weight by which the latest class must have been right more often

  std::size_t stride() const { return lanes::padded(subset); }
};

/// A decision tree that splits a leaf once the best feature beats the second best for sure: with n the
/// weight in the leaf and R = log2 of the number of its classes, when
///
///     gain1 - gain2 > sqrt(R^2 ln(1/delta) / 2n),   or the right side is below `tie`.
///
/// A leaf looks at `subset` features, drawn when it is made. It answers with its class shares or with
/// naive Bayes over its Gaussians, whichever has been right for more weight so far; or with the class
/// that it saw last, where that has been right for `persistence` more than either (streams whose
/// labels come in runs).
///
/// When the forest has no row left for a leaf, the leaf with the least to gain (weight outside its
/// commonest class) gives up its rows; it goes on counting classes.
///
/// References: Domingos, Hulten, "Mining High-Speed Data Streams", KDD 2000; Gama, Rocha, Medas,
/// "Accurate Decision Trees for Mining High-speed Data Streams", KDD 2003; Pfahringer, Holmes,
/// Kirkby, "Handling Numeric Attributes in Hoeffding Trees", PAKDD 2008.
///
/// Deviations: the latest class as an answer; a split puts a class into a child only with at least the
/// weight of one; a feature that never varied has density 1 at its value and 0 elsewhere.
///
/// Copying is deep. Allocates when a leaf splits or meets a class that is new to it, and nothing otherwise.
class HoeffdingTree {
 public:
  explicit HoeffdingTree(const HoeffdingShape& shape, Random& random);

  /// What a leaf makes of a sample.
  struct Guess {
    std::uint32_t leaf = 0;
    ClassIndex said = kNoClass;      ///< the tree's answer; kNoClass where nothing was learned
    ClassIndex common = kNoClass;    ///< by class shares
    ClassIndex bayes = kNoClass;     ///< by naive Bayes
    ClassIndex latest = kNoClass;    ///< the class that the leaf saw last
  };
  /// Room that a forest lends its trees for one call: (stride x 1) and (classes x 1).
  struct Scratch {
    std::vector<float> x, score;
  };

  /// No feature of x may pass GaussianRows::kLimit. Answers, adding weight * share of each class to
  /// `out` (classes x 1), unless it is empty. What the leaf looked at stays in scratch.x for train().
  Guess guess(Features x, float weight, std::span<float> out, Scratch& scratch) const;
  /// Takes the sample of the latest guess() `weight` times.
  void train(const Guess& guess, ClassIndex y, float weight, const Scratch& scratch, Random& random);
  /// One empty leaf again.
  void clear(Random& random);
  void grow(std::uint32_t classes) { shape_.classes = classes; }

  std::uint32_t leaves() const { return static_cast<std::uint32_t>(leaves_.size()); }
  std::uint32_t depth() const;
  /// Leaves that observe their features.
  std::uint32_t active() const;
  /// Weight per class over all leaves, added to out.
  void class_mass(std::span<double> out) const;
  std::size_t bytes() const;

  /// Structure and statistics for a peer. 32 bits: exact. 16, 8: thresholds at 16 bits (error at most
  /// 1/65534 of the largest), class weights by level (a relative error of 2^(1/1600), 2^(1/6)), means
  /// at 16 or 8 bits, variances by level, extremes as mean -+ 3 sigma. 4: structure, thresholds at 16
  /// bits and class weights by levels of 8; the leaves observe anew.
  void write_part(ByteWriter& out, Precision precision) const;
  /// The inverse, checked: `malformed` or `limit_exceeded` says what is wrong, and *this is then unusable.
  Result<void> read_part(ByteReader& in, Precision precision, Random& random);
  /// Everything, for going on bit-identically.
  void write_state(ByteWriter& out) const;
  Result<void> read_state(ByteReader& in);

 private:
  static constexpr std::uint32_t kNone = GaussianRows::kNone;
  struct Leaf {
    std::uint32_t node = 0, depth = 0;
    std::uint32_t seed = 0;       ///< of its features
    std::uint32_t first = kNone;  ///< of its classes, in the order they came
    float total = 0;              ///< weight of all classes
    float next = 0;               ///< total at which a split is looked for
    float common_right = 0, bayes_right = 0, latest_right = 0;
    ClassIndex latest = kNoClass;
    bool observes = true;
  };
  /// A class in a leaf.
  struct Entry {
    std::uint32_t cls = 0;
    std::uint32_t next = kNone;
    std::uint32_t row = kNone;
    float count = 0;      ///< weight, with what was inherited from a split
    float log_count = 0;
    float observed = 0;   ///< weight that the row has seen
    float log_sigma = 0;  ///< sum of ln(sigma sqrt(2 pi))
  };

  std::uint32_t leaf_of(Features x) const;
  void draw_features(std::uint32_t leaf);
  std::uint32_t new_leaf(std::uint32_t node, std::uint32_t depth, std::uint32_t seed);
  Entry& entry_of(std::uint32_t leaf, std::uint32_t cls);
  std::uint32_t append_entry(std::uint32_t leaf, std::uint32_t cls);
  void add_count(Entry& entry, float weight);
  /// Weight outside of the commonest class.
  float promise(const Leaf& leaf) const;
  /// Takes the rows of the least promising leaf; false when that is `leaf` itself.
  bool make_room(std::uint32_t leaf);
  void stop_observing(Leaf& leaf);
  void consider_split(std::uint32_t leaf, Random& random);
  void split(std::uint32_t leaf, const SplitChoice& choice, Random& random);

  HoeffdingShape shape_;
  std::vector<TreeNode> nodes_;  ///< x[feature] <= threshold goes to the first child
  std::vector<Leaf> leaves_;
  std::vector<std::uint16_t> leaf_features_;  ///< (leaves x subset), rising
  std::vector<Entry> entries_;
  std::uint32_t free_entry_ = kNone;  ///< freed ones, linked by `next`
  GaussianRows rows_;
};

}  // namespace p2p::learner

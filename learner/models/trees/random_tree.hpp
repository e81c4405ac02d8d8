// One tree of the online random forest, in flat arrays.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "learner/model.hpp"
#include "learner/models/trees/lanes.hpp"
#include "learner/models/trees/tree_nodes.hpp"
#include "metadata/base/random.hpp"

namespace p2p::learner {

/// What all trees of a forest agree on.
struct TreeShape {
  std::uint32_t features = 0;
  std::uint32_t classes = 0;
  std::uint32_t tests = 0;  ///< random tests a leaf chooses its split from
  std::uint32_t max_depth = 0;
  std::uint32_t max_leaves = 0;
  float min_samples = 0;  ///< alpha: samples in a leaf before it may split
  float min_gain = 0;     ///< beta: information gain of a split, in bits
  float memory = 0;       ///< counts in a leaf; when they pass it, they are halved

  /// Tests of a slot, in whole groups of four; those beyond `tests` send nothing to the left.
  std::size_t stride() const { return lanes::padded(tests); }
  /// Memory of one leaf at its largest.
  std::size_t leaf_bytes() const;
};

/// Where each feature has been seen to lie; thresholds are drawn from there.
struct FeatureRanges {
  std::vector<float> low, high;
};

/// A classification tree that grows from a stream.
///
/// A leaf has its class counts; a leaf
/// that has been trained also has a slot with its candidate tests and, for each, the counts of what
/// fell to the left. Slots are what a tree's memory goes to (tests x classes counts each); they
/// stay at home when a tree travels, since fresh ones are as good after `min_samples` more samples.
///
/// Bounds: max_leaves, max_depth. train() allocates when a leaf splits or is trained for the first time,
/// and nothing otherwise.
class RandomTree {
 public:
  explicit RandomTree(const TreeShape& shape);

  /// The leaf that x falls into.
  std::uint32_t leaf_of(Features x) const;
  /// Counts of the classes in a leaf: (classes x 1), and their sum.
  std::span<const float> counts(std::uint32_t leaf) const;
  float total(std::uint32_t leaf) const { return totals_[leaf]; }
  /// The commonest class in a leaf; kNoClass in an empty one.
  ClassIndex vote(std::uint32_t leaf) const;

  /// Takes a sample `weight` times into the leaf it falls into, and splits that leaf when it is
  /// time.
  void train(std::uint32_t leaf, Features x, ClassIndex y, float weight,
             const FeatureRanges& ranges, Random& random);
  /// One empty leaf again.
  void clear();

  std::uint32_t leaves() const { return static_cast<std::uint32_t>(totals_.size()); }
  std::uint32_t depth() const;
  /// Sum over leaves, per class.
  void class_mass(std::span<double> out) const;
  std::size_t bytes() const;

  /// More classes than before; the counts of the new ones are zero.
  void grow(std::uint32_t classes);

  /// Nodes (tree_nodes.hpp) and leaf counts, for a peer. Counts are exact at 32 bits, else levels of 16 or,
  /// at 8 and 4 bits, of 8 (quantise.hpp: a relative error of 2^(1/1600), 2^(1/6)).
  void write_structure(ByteWriter& out, Precision precision) const;
  /// The inverse, checked: `malformed` or `limit_exceeded` says what is wrong, and *this is then unusable.
  Result<void> read_structure(ByteReader& in, Precision precision);
  /// Everything, for going on bit-identically.
  void write_state(ByteWriter& out) const;
  Result<void> read_state(ByteReader& in);

 private:
  static constexpr std::uint32_t kNoSlot = 0xFFFFFFFF;

  /// Gives the leaf a slot with fresh tests; false when no feature varies yet.
  bool open_slot(std::uint32_t leaf, const FeatureRanges& ranges, Random& random);
  /// Halves what the leaf has counted, so that what comes counts for more than what was.
  void fade(std::uint32_t leaf);
  void consider_split(std::uint32_t leaf);
  void split(std::uint32_t leaf, std::uint32_t test);
  std::uint32_t take_slot();
  /// What fell to the left of each test, of class c.
  float* left_counts(std::uint32_t slot, std::size_t c) {
    return slot_left_.data() + (slot * shape_.classes + c) * shape_.stride();
  }
  float* seen(std::uint32_t slot) { return slot_seen_.data() + std::size_t{slot} * shape_.classes; }

  TreeShape shape_;
  std::vector<TreeNode> nodes_;  ///< x[feature] < threshold goes to the first child
  // Per leaf.
  std::vector<float> counts_;  ///< (leaves x classes)
  std::vector<float> totals_;
  std::vector<std::uint32_t> leaf_node_;  ///< the node that is this leaf
  std::vector<std::uint32_t> leaf_depth_;
  std::vector<std::uint32_t> leaf_slot_;
  // Per slot.
  std::vector<std::uint32_t> slot_feature_;  ///< (slots x stride)
  std::vector<float> slot_threshold_;        ///< (slots x stride)
  std::vector<float> slot_left_;             ///< (slots x classes x stride)
  std::vector<float> slot_seen_;             ///< (slots x classes), since the tests were drawn
  std::vector<float> slot_total_;
  std::vector<float> slot_next_;  ///< total at which a split is considered again
  std::vector<std::uint32_t> free_slots_;
};

}  // namespace p2p::learner

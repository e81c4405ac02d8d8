// One tree of the online random forest, in flat arrays.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "learner/model.hpp"
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

  /// Memory of one leaf at its largest.
  std::size_t leaf_bytes() const;
};

/// Where a feature has been seen to lie; thresholds are drawn from there.
struct FeatureRange {
  float low, high;
  bool varies() const { return low < high; }
};

/// A classification tree that grows from a stream.
///
/// Nodes lie in one array; the children of a node are neighbours and come after it, so that a tree
/// from outside is checked for cycles by comparing indices. A leaf has its class counts; a leaf
/// that has been trained also has a slot with its candidate tests and, for each, the counts of what
/// fell to the left. Slots are what a tree's memory goes to (tests x classes counts each); they
/// stay at home when a tree travels, since fresh ones are as good after `min_samples` more samples.
///
/// Invariants: nodes = 2 leaves - 1; every node but the root has one parent, with a smaller index.
///
/// Bounds: max_leaves, max_depth. All memory is reserved at construction, so train() allocates
/// nothing; what is reserved and not used is address space only.
class RandomTree {
 public:
  explicit RandomTree(const TreeShape& shape);
  RandomTree(const RandomTree& other);
  RandomTree& operator=(const RandomTree& other);
  RandomTree(RandomTree&&) noexcept = default;
  RandomTree& operator=(RandomTree&&) noexcept = default;

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
             std::span<const FeatureRange> ranges, Random& random);
  /// One empty leaf again.
  void clear();

  std::uint32_t leaves() const { return static_cast<std::uint32_t>(totals_.size()); }
  std::uint32_t depth() const;
  /// Sum over leaves, per class.
  void class_mass(std::span<double> out) const;
  std::size_t bytes() const;

  /// Structure and leaf counts, for a peer.
  void write_structure(ByteWriter& out) const;
  /// The inverse, checked: `malformed` says what is wrong, and *this is then unusable.
  Result<void> read_structure(ByteReader& in);
  /// Everything, for going on bit-identically.
  void write_state(ByteWriter& out) const;
  Result<void> read_state(ByteReader& in);

 private:
  struct Node {
    std::uint32_t feature;  ///< kLeaf: `next` is a leaf; else x[feature] < threshold goes to
                            ///< `next`, or next + 1
    float threshold;
    std::uint32_t next;
  };
  static constexpr std::uint32_t kLeaf = 0xFFFFFFFF;
  static constexpr std::uint32_t kNoSlot = 0xFFFFFFFF;

  void reserve();
  void copy(const RandomTree& other);
  /// Gives the leaf a slot with fresh tests; false when no feature varies yet.
  bool open_slot(std::uint32_t leaf, std::span<const FeatureRange> ranges, Random& random);
  /// Halves what the leaf has counted, so that what comes counts for more than what was.
  void fade(std::uint32_t leaf);
  void consider_split(std::uint32_t leaf);
  void split(std::uint32_t leaf, std::uint32_t test);
  std::span<float> left_counts(std::uint32_t slot, std::size_t c) {
    return {slot_left_.data() + (slot * shape_.classes + c) * shape_.tests, shape_.tests};
  }

  TreeShape shape_;
  std::vector<Node> nodes_;
  // Per leaf.
  std::vector<float> counts_;  ///< (leaves x classes)
  std::vector<float> totals_;
  std::vector<std::uint32_t> leaf_node_;  ///< the node that is this leaf
  std::vector<std::uint32_t> leaf_depth_;
  std::vector<std::uint32_t> leaf_slot_;
  // Per slot.
  std::vector<std::uint32_t> slot_feature_;  ///< (slots x tests)
  std::vector<float> slot_threshold_;        ///< (slots x tests)
  std::vector<float> slot_left_;             ///< (slots x classes x tests)
  std::vector<float> slot_seen_;             ///< (slots x classes), since the tests were drawn
  std::vector<float> slot_total_;
  std::vector<float> slot_next_;  ///< total at which a split is considered again
  std::vector<std::uint32_t> free_slots_;
};

}  // namespace p2p::learner

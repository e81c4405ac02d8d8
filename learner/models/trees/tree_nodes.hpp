// The nodes of a binary tree in one array, and how they are written.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "learner/model.hpp"
#include "metadata/base/bytes.hpp"

namespace p2p::learner {

/// Children are neighbours and come after their parent. The family says which way equality goes.
struct TreeNode {
  static constexpr std::uint32_t kLeaf = 0xFFFFFFFF;
  std::uint32_t feature;  ///< kLeaf: `next` is a leaf; else the children are `next` and next + 1
  float threshold;
  std::uint32_t next;
};

/// What a tree must keep to.
struct TreeBounds {
  std::uint32_t features, max_depth, max_leaves;
};

/// The leaves from left to right.
std::vector<std::uint32_t> leaves_in_order(std::span<const TreeNode> nodes);

/// u32 leaves; in preorder one bit per node (1: a split), from the lowest bit of a byte; u16 feature of each
/// split; thresholds, exact at 32 bits, else at 16 (quantise.hpp: off by at most 1/65534 of the largest). No
/// index is written, so whatever is read is a tree: no cycle, nothing shared, nothing left over.
void write_nodes(ByteWriter& out, std::span<const TreeNode> nodes, Precision precision);

/// A node that is a leaf, and how deep it is.
struct LeafPlace {
  std::uint32_t node, depth;
};
struct TreeNodes {
  std::vector<TreeNode> nodes;
  std::vector<LeafPlace> leaves;  ///< from left to right; leaf i of the nodes is the i-th
};
/// The inverse, checked: `malformed`, or `limit_exceeded` for a tree that is too large or too deep. Takes no
/// memory before it knows that the bytes for it are there.
Result<TreeNodes> read_nodes(ByteReader& in, const TreeBounds& bounds, Precision precision);

/// One bit per value, padded to bytes.
void put_bits(ByteWriter& out, const std::vector<bool>& bits);
std::vector<bool> get_bits(ByteReader& in, std::size_t count);

/// Precision of class weights: at 4 bits they would be lost in an average of neighbours.
inline Precision precision_of_counts(Precision p) {
  return p == Precision::bits4 ? Precision::bits8 : p;
}

/// How a tree did on one class when it was asked: decayed counts.
struct ClassRecord {
  float seen = 0, hit = 0, mass = 0;
};
/// Mean recall over the classes (empty: all), each with two throws of a coin added: a tree that was never
/// asked has 1/2.
double mean_recall(std::span<const ClassRecord> records, std::span<const ClassIndex> classes);
/// u16 classes; 16 bits each for how much was seen (a level) and the share that was right. The record only
/// orders trees that are offered together, so it is not exact at any precision, and mass stays at home.
void write_records(ByteWriter& out, std::span<const ClassRecord> records);
/// Into one record per class of the receiver, who may know more classes than the sender.
Result<std::vector<ClassRecord>> read_records(ByteReader& in, std::uint32_t classes);

}  // namespace p2p::learner

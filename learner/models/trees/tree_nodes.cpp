#include "learner/models/trees/tree_nodes.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/core.h>

#include "learner/transfer/quantise.hpp"

namespace p2p::learner {
namespace {

tl::unexpected<Error> refuse(std::string_view what) {
  return fail(ErrorCode::malformed, fmt::format("the tree was refused: {}", what));
}

Precision of_thresholds(Precision p) {
  return p == Precision::bits32 ? p : Precision::bits16;
}

/// Calls `each` with every node in preorder.
template <typename Each>
void preorder(std::span<const TreeNode> nodes, const Each& each) {
  std::vector<std::uint32_t> open = {0};
  while (!open.empty()) {
    const TreeNode& node = nodes[open.back()];
    open.pop_back();
    each(node);
    if (node.feature == TreeNode::kLeaf) continue;
    open.push_back(node.next + 1);
    open.push_back(node.next);
  }
}

}  // namespace

std::vector<std::uint32_t> leaves_in_order(std::span<const TreeNode> nodes) {
  std::vector<std::uint32_t> order;
  preorder(nodes, [&](const TreeNode& node) {
    if (node.feature == TreeNode::kLeaf) order.push_back(node.next);
  });
  return order;
}

void put_bits(ByteWriter& out, const std::vector<bool>& bits) {
  for (std::size_t i = 0; i < bits.size(); i += 8) {
    unsigned byte = 0;
    for (std::size_t k = i; k < std::min(i + 8, bits.size()); ++k)
      byte |= static_cast<unsigned>(bits[k]) << (k - i);
    out.put(static_cast<std::uint8_t>(byte));
  }
}

std::vector<bool> get_bits(ByteReader& in, std::size_t count) {
  std::vector<bool> bits(count);
  unsigned byte = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (i % 8 == 0) byte = in.get<std::uint8_t>();
    bits[i] = (byte >> (i % 8) & 1) != 0;
  }
  return bits;
}

void write_nodes(ByteWriter& out, std::span<const TreeNode> nodes, Precision precision) {
  std::vector<bool> splits;
  std::vector<std::uint16_t> feature;
  std::vector<float> threshold;
  preorder(nodes, [&](const TreeNode& node) {
    splits.push_back(node.feature != TreeNode::kLeaf);
    if (!splits.back()) return;
    feature.push_back(static_cast<std::uint16_t>(node.feature));
    threshold.push_back(node.threshold);
  });
  out.put(static_cast<std::uint32_t>(feature.size() + 1));
  put_bits(out, splits);
  out.put_array(std::span<const std::uint16_t>(feature));
  put_numbers(out, threshold, of_thresholds(precision));
}

Result<TreeNodes> read_nodes(ByteReader& in, const TreeBounds& bounds, Precision precision) {
  const auto count = in.get<std::uint32_t>();
  if (!in.ok()) return refuse("it ends early");
  if (count < 1 || count > bounds.max_leaves) {
    return fail(ErrorCode::limit_exceeded,
                fmt::format("the tree was refused: it has {} leaves, at most {} are allowed",
                            count, bounds.max_leaves));
  }
  if (in.remaining() < (2ull * count + 6) / 8 + 4ull * (count - 1)) return refuse("it ends early");
  const std::vector<bool> splits = get_bits(in, 2 * std::size_t{count} - 1);
  std::vector<std::uint16_t> feature(count - 1);
  in.get_array(std::span<std::uint16_t>(feature));
  std::vector<float> threshold(count - 1);
  if (auto ok = get_numbers(in, threshold, of_thresholds(precision),
                            std::numeric_limits<float>::max());
      !ok) {
    return tl::unexpected(ok.error());
  }
  TreeNodes tree;
  tree.nodes.reserve(splits.size());
  tree.leaves.reserve(count);
  tree.nodes.push_back({TreeNode::kLeaf, 0, 0});
  std::vector<LeafPlace> open = {{0, 0}};  // places that wait for their node
  std::size_t inner = 0;
  for (const bool is_split : splits) {
    if (open.empty()) return refuse("nodes follow the last leaf");
    const LeafPlace place = open.back();
    open.pop_back();
    if (!is_split) {
      if (tree.leaves.size() == count) return refuse("it has more leaves than it says");
      tree.nodes[place.node].next = static_cast<std::uint32_t>(tree.leaves.size());
      tree.leaves.push_back(place);
      continue;
    }
    if (inner == feature.size()) return refuse("it has more splits than its leaves allow");
    if (feature[inner] >= bounds.features)
      return refuse("a test is on a feature that the task does not have");
    if (place.depth >= bounds.max_depth) {
      return fail(ErrorCode::limit_exceeded,
                  fmt::format("the tree was refused: it is deeper than {}", bounds.max_depth));
    }
    const auto children = static_cast<std::uint32_t>(tree.nodes.size());
    tree.nodes[place.node] = {feature[inner], threshold[inner], children};
    ++inner;
    tree.nodes.push_back({TreeNode::kLeaf, 0, 0});
    tree.nodes.push_back({TreeNode::kLeaf, 0, 0});
    open.push_back({children + 1, place.depth + 1});
    open.push_back({children, place.depth + 1});
  }
  if (!open.empty()) return refuse("a node has no leaf below it");
  return tree;
}

double mean_recall(std::span<const ClassRecord> records, std::span<const ClassIndex> classes) {
  double sum = 0;
  const auto recall = [](const ClassRecord& r) {
    return (static_cast<double>(r.hit) + 1.0) / (static_cast<double>(r.seen) + 2.0);
  };
  if (classes.empty()) {
    for (const ClassRecord& record : records) sum += recall(record);
    return sum / static_cast<double>(records.size());
  }
  for (const ClassIndex c : classes) sum += recall(records[static_cast<std::size_t>(c)]);
  return sum / static_cast<double>(classes.size());
}

void write_records(ByteWriter& out, std::span<const ClassRecord> records) {
  out.put(static_cast<std::uint16_t>(records.size()));
  std::vector<float> seen;
  for (const ClassRecord& record : records) seen.push_back(record.seen);
  put_levels(out, seen, Precision::bits16);
  for (const ClassRecord& record : records) {
    const float rate = record.seen > 0 ? std::min(1.0f, record.hit / record.seen) : 0.0f;
    out.put(static_cast<std::uint16_t>(std::lround(rate * 65535)));
  }
}

Result<std::vector<ClassRecord>> read_records(ByteReader& in, std::uint32_t classes) {
  const auto known = in.get<std::uint16_t>();
  if (!in.ok() || known < 2 || known > classes)
    return refuse("it is of a task with more classes than this one");
  std::vector<ClassRecord> records(classes);
  std::vector<float> seen(known);
  if (auto ok = get_levels(in, seen, Precision::bits16, 1e6f); !ok)
    return tl::unexpected(ok.error());
  for (std::size_t c = 0; c < known; ++c) {
    records[c].seen = seen[c];
    records[c].hit = seen[c] * static_cast<float>(in.get<std::uint16_t>()) / 65535;
  }
  if (!in.ok()) return refuse("it ends early");
  return records;
}

}  // namespace p2p::learner

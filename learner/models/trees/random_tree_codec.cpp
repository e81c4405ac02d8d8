// How a tree of the online random forest is written, for a peer and for going on later: the nodes
// (tree_nodes.hpp), then what the leaves know, from left to right.
#include <algorithm>
#include <cmath>

#include <fmt/core.h>

#include "learner/models/trees/random_tree.hpp"
#include "learner/transfer/quantise.hpp"

namespace p2p::learner {
namespace {

/// A count that nobody reaches by training; keeps a stranger's leaf from being immovable.
constexpr float kMaxCount = 1e9f;

tl::unexpected<Error> refuse(std::string_view what) {
  return fail(ErrorCode::malformed, fmt::format("the tree was refused: {}", what));
}

}  // namespace

void RandomTree::write_structure(ByteWriter& out, Precision precision) const {
  write_nodes(out, nodes_, precision);
  std::vector<std::uint16_t> known, classes;
  std::vector<float> weights;
  for (const std::uint32_t leaf : leaves_in_order(nodes_)) {
    const auto n = counts(leaf);
    known.push_back(0);
    for (std::size_t c = 0; c < n.size(); ++c) {
      if (!(n[c] > 0)) continue;
      ++known.back();
      classes.push_back(static_cast<std::uint16_t>(c));
      weights.push_back(n[c]);
    }
  }
  out.put_array(std::span<const std::uint16_t>(known));
  out.put_array(std::span<const std::uint16_t>(classes));
  put_levels(out, weights, precision_of_counts(precision));
}

Result<void> RandomTree::read_structure(ByteReader& in, Precision precision) {
  auto read = read_nodes(in, {shape_.features, shape_.max_depth, shape_.max_leaves}, precision);
  if (!read) return tl::unexpected(read.error());
  const std::size_t leaves = read->leaves.size();
  if (in.remaining() < 2 * leaves) return refuse("it ends early");
  std::vector<std::uint16_t> known(leaves);
  in.get_array(std::span<std::uint16_t>(known));
  std::size_t total = 0;
  for (const std::uint16_t k : known) total += k;
  if (in.remaining() < 2 * total) return refuse("it ends early");
  std::vector<std::uint16_t> classes(total);
  in.get_array(std::span<std::uint16_t>(classes));
  std::vector<float> weights(total);
  if (auto ok = get_levels(in, weights, precision_of_counts(precision), kMaxCount); !ok) return ok;
  clear();
  nodes_ = std::move(read->nodes);
  counts_.assign(leaves * shape_.classes, 0);
  totals_.assign(leaves, 0);
  leaf_slot_.assign(leaves, kNoSlot);
  leaf_node_.clear();
  leaf_depth_.clear();
  std::size_t at = 0;
  for (std::size_t leaf = 0; leaf < leaves; ++leaf) {
    leaf_node_.push_back(read->leaves[leaf].node);
    leaf_depth_.push_back(read->leaves[leaf].depth);
    int previous = -1;
    for (const std::size_t end = at + known[leaf]; at < end; ++at) {
      const int c = classes[at];
      if (c <= previous || c >= static_cast<int>(shape_.classes))
        return refuse("a leaf's classes are out of order or range");
      if (!(weights[at] > 0)) return refuse("a leaf has a class without weight");
      previous = c;
      counts_[leaf * shape_.classes + static_cast<std::size_t>(c)] = weights[at];
      totals_[leaf] += weights[at];
    }
  }
  return {};
}

void RandomTree::write_state(ByteWriter& out) const {
  write_structure(out, Precision::bits32);
  const std::size_t stride = shape_.stride();
  for (const std::uint32_t leaf : leaves_in_order(nodes_)) {
    // The sum of a leaf's counts depends on the order in which they came; it is written as it is.
    out.put(totals_[leaf]);
    const std::uint32_t slot = leaf_slot_[leaf];
    out.put(static_cast<std::uint8_t>(slot != kNoSlot));
    if (slot == kNoSlot) continue;
    out.put(slot_total_[slot]);
    out.put(slot_next_[slot]);
    out.put_array(std::span<const std::uint32_t>(slot_feature_).subspan(slot * stride, stride));
    out.put_array(std::span<const float>(slot_threshold_).subspan(slot * stride, stride));
    out.put_array(std::span<const float>(slot_seen_)
                      .subspan(std::size_t{slot} * shape_.classes, shape_.classes));
    out.put_array(std::span<const float>(slot_left_)
                      .subspan(slot * stride * shape_.classes, stride * shape_.classes));
  }
}

Result<void> RandomTree::read_state(ByteReader& in) {
  if (auto read = read_structure(in, Precision::bits32); !read) return read;
  const std::size_t stride = shape_.stride();
  const std::size_t per_slot = 4 * (stride * (2 + shape_.classes) + shape_.classes + 2);
  const auto finite = [](std::span<const float> values) {
    return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
  };
  for (std::size_t leaf = 0; leaf < totals_.size(); ++leaf) {
    totals_[leaf] = in.get<float>();
    const bool has_slot = in.get<std::uint8_t>() != 0;
    if (!in.ok() || (has_slot && in.remaining() < per_slot))
      return refuse("the state of its leaves ends early");
    if (!(totals_[leaf] >= 0 && std::isfinite(totals_[leaf])))
      return refuse("the total of a leaf is out of range");
    if (!has_slot) continue;
    const std::uint32_t slot = take_slot();
    leaf_slot_[leaf] = slot;
    slot_total_[slot] = in.get<float>();
    slot_next_[slot] = in.get<float>();
    const auto feature = std::span(slot_feature_).subspan(slot * stride, stride);
    const auto threshold = std::span(slot_threshold_).subspan(slot * stride, stride);
    const auto all_seen = std::span(seen(slot), shape_.classes);
    const auto left = std::span(left_counts(slot, 0), stride * shape_.classes);
    in.get_array(feature);
    in.get_array(threshold);
    in.get_array(all_seen);
    in.get_array(left);
    if (!finite(threshold) || !finite(all_seen) || !finite(left) ||
        !std::isfinite(slot_total_[slot]) || !std::isfinite(slot_next_[slot])) {
      return refuse("a number in the state of its leaves is not finite");
    }
    for (const std::uint32_t f : feature) {
      if (f >= shape_.features)
        return refuse("a test is on a feature that the task does not have");
    }
  }
  return {};
}

}  // namespace p2p::learner

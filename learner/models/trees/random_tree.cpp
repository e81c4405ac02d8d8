#include "learner/models/trees/random_tree.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace p2p::learner {
namespace {

using lanes::all;
using lanes::F4;
using lanes::load;
using lanes::store;

/// n log2 n; 0 for 0.
F4 nlogn(F4 n) { return n * lanes::log2(lanes::max(n, all(1e-30f))); }

void halve(float* values, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) values[i] *= 0.5f;
}

}  // namespace

std::size_t TreeShape::leaf_bytes() const {
  const std::size_t leaf = 4 * (std::size_t{classes} + 4) + 2 * sizeof(TreeNode);
  const std::size_t slot = 4 * (stride() * classes + 2 * stride() + classes + 3);
  return leaf + slot;
}

RandomTree::RandomTree(const TreeShape& shape) : shape_(shape) { clear(); }

void RandomTree::clear() {
  for (auto* v : {&slot_threshold_, &slot_left_, &slot_seen_, &slot_total_, &slot_next_})
    v->clear();
  slot_feature_.clear();
  free_slots_.clear();
  nodes_.assign(1, TreeNode{TreeNode::kLeaf, 0, 0});
  counts_.assign(shape_.classes, 0);
  totals_.assign(1, 0);
  leaf_node_.assign(1, 0);
  leaf_depth_.assign(1, 0);
  leaf_slot_.assign(1, kNoSlot);
}

std::uint32_t RandomTree::leaf_of(Features x) const {
  const TreeNode* node = nodes_.data();
  while (node->feature != TreeNode::kLeaf) {
    node = nodes_.data() + node->next + (x[node->feature] < node->threshold ? 0 : 1);
  }
  return node->next;
}

std::span<const float> RandomTree::counts(std::uint32_t leaf) const {
  return {counts_.data() + std::size_t{leaf} * shape_.classes, shape_.classes};
}

ClassIndex RandomTree::vote(std::uint32_t leaf) const {
  if (totals_[leaf] <= 0) return kNoClass;
  const auto n = counts(leaf);
  return static_cast<ClassIndex>(std::max_element(n.begin(), n.end()) - n.begin());
}

void RandomTree::train(std::uint32_t leaf, Features x, ClassIndex y, float weight,
                       const FeatureRanges& ranges, Random& random) {
  const auto c = static_cast<std::size_t>(y);
  counts_[leaf * shape_.classes + c] += weight;
  totals_[leaf] += weight;
  if (totals_[leaf] > shape_.memory) fade(leaf);
  if (leaf_slot_[leaf] == kNoSlot) {
    if (leaf_depth_[leaf] >= shape_.max_depth || leaves() >= shape_.max_leaves) return;
    if (!open_slot(leaf, ranges, random)) return;
  }
  const std::uint32_t slot = leaf_slot_[leaf];
  const std::size_t stride = shape_.stride();
  const std::uint32_t* feature = slot_feature_.data() + slot * stride;
  const float* threshold = slot_threshold_.data() + slot * stride;
  float* left = left_counts(slot, c);
  for (std::size_t t = 0; t < stride; t += lanes::kWidth) {
    const F4 value = {x[feature[t]], x[feature[t + 1]], x[feature[t + 2]], x[feature[t + 3]]};
    store(left + t, load(left + t) + (value < load(threshold + t) ? all(weight) : all(0)));
  }
  seen(slot)[c] += weight;
  slot_total_[slot] += weight;
  if (slot_total_[slot] >= slot_next_[slot]) consider_split(leaf);
}

void RandomTree::fade(std::uint32_t leaf) {
  halve(counts_.data() + std::size_t{leaf} * shape_.classes, shape_.classes);
  totals_[leaf] *= 0.5f;
  const std::uint32_t slot = leaf_slot_[leaf];
  // A slot needs min_samples to decide at all.
  if (slot == kNoSlot || slot_total_[slot] <= std::max(shape_.memory, 4 * shape_.min_samples))
    return;
  halve(left_counts(slot, 0), shape_.stride() * shape_.classes);
  halve(seen(slot), shape_.classes);
  slot_total_[slot] *= 0.5f;
  slot_next_[slot] = slot_total_[slot] + std::max(1.0f, 0.1f * shape_.min_samples);
}

std::uint32_t RandomTree::take_slot() {
  if (!free_slots_.empty()) {
    const std::uint32_t slot = free_slots_.back();
    free_slots_.pop_back();
    return slot;
  }
  const auto slot = static_cast<std::uint32_t>(slot_total_.size());
  const std::size_t slots = std::size_t{slot} + 1;
  slot_feature_.resize(slots * shape_.stride());
  slot_threshold_.resize(slots * shape_.stride());
  slot_left_.resize(slots * shape_.stride() * shape_.classes);
  slot_seen_.resize(slots * shape_.classes);
  slot_total_.resize(slots);
  slot_next_.resize(slots);
  return slot;
}

bool RandomTree::open_slot(std::uint32_t leaf, const FeatureRanges& ranges, Random& random) {
  // Constant features (the border of an image) make tests that decide nothing: some tries to avoid
  // them.
  constexpr int kTries = 16;
  const auto draw = [&](std::uint32_t& feature, float& threshold) {
    for (int i = 0; i < kTries; ++i) {
      feature = static_cast<std::uint32_t>(random.below(shape_.features));
      // In double: high - low may pass the largest float.
      const double low = ranges.low[feature], high = ranges.high[feature];
      if (!(low < high)) continue;
      threshold = static_cast<float>(low + (high - low) * random.uniform());
      return true;
    }
    return false;
  };
  std::uint32_t feature = 0;
  float threshold = 0;
  if (!draw(feature, threshold)) return false;
  const std::uint32_t slot = take_slot();
  const std::size_t stride = shape_.stride();
  for (std::size_t t = 0; t < stride; ++t) {
    // A failed draw repeats the test before it, which is harmless.
    if (t > 0 && t < shape_.tests) draw(feature, threshold);
    slot_feature_[slot * stride + t] = feature;
    slot_threshold_[slot * stride + t] =
        t < shape_.tests ? threshold : std::numeric_limits<float>::lowest();
  }
  std::fill_n(left_counts(slot, 0), stride * shape_.classes, 0.0f);
  std::fill_n(seen(slot), shape_.classes, 0.0f);
  slot_total_[slot] = 0;
  slot_next_[slot] = shape_.min_samples;
  leaf_slot_[leaf] = slot;
  return true;
}

void RandomTree::consider_split(std::uint32_t leaf) {
  const std::uint32_t slot = leaf_slot_[leaf];
  const float* all_seen = seen(slot);
  float total = 0, sum = 0;
  for (std::size_t c = 0; c < shape_.classes; ++c) {
    total += all_seen[c];
    sum += nlogn(all(all_seen[c]))[0];
  }
  const float before = nlogn(all(total))[0] - sum;  // total times the entropy
  float best_gain = 0;
  std::uint32_t best = 0;
  for (std::size_t t = 0; t < shape_.tests && before > 0; t += lanes::kWidth) {
    F4 left = all(0), bits = all(0);
    for (std::size_t c = 0; c < shape_.classes; ++c) {
      if (all_seen[c] == 0) continue;
      const F4 n = load(left_counts(slot, c) + t);
      left += n;
      bits -= nlogn(n) + nlogn(all_seen[c] - n);
    }
    const F4 right = total - left;
    bits += nlogn(left) + nlogn(right);
    F4 gain = (before - bits) * (1 / total);
    gain = left > 0.0f ? gain : all(0);
    gain = right > 0.0f ? gain : all(0);
    for (std::size_t j = 0; j < lanes::kWidth; ++j) {
      if (!(gain[j] > best_gain)) continue;
      best_gain = gain[j];
      best = static_cast<std::uint32_t>(t + j);
    }
  }
  if (best_gain >= shape_.min_gain && best_gain > 0 && leaves() < shape_.max_leaves) {
    split(leaf, best);
  } else {
    // The paper looks after every sample; the answer seldom changes within a tenth of alpha.
    slot_next_[slot] = slot_total_[slot] + std::max(1.0f, 0.1f * shape_.min_samples);
  }
}

void RandomTree::split(std::uint32_t leaf, std::uint32_t test) {
  const std::uint32_t slot = leaf_slot_[leaf];
  const std::uint32_t right = leaves();
  const auto children = static_cast<std::uint32_t>(nodes_.size());
  const std::size_t at = slot * shape_.stride() + test;
  nodes_[leaf_node_[leaf]] = {slot_feature_[at], slot_threshold_[at], children};
  nodes_.push_back({TreeNode::kLeaf, 0, leaf});
  nodes_.push_back({TreeNode::kLeaf, 0, right});
  // Each child begins with what its side of the chosen test has seen (the paper's p_jls and p_jrs).
  counts_.resize(counts_.size() + shape_.classes);
  float* left_n = counts_.data() + std::size_t{leaf} * shape_.classes;
  float* right_n = counts_.data() + std::size_t{right} * shape_.classes;
  float left_total = 0, right_total = 0;
  for (std::size_t c = 0; c < shape_.classes; ++c) {
    left_n[c] = left_counts(slot, c)[test];
    right_n[c] = seen(slot)[c] - left_n[c];
    left_total += left_n[c];
    right_total += right_n[c];
  }
  totals_[leaf] = left_total;
  totals_.push_back(right_total);
  leaf_node_[leaf] = children;
  leaf_node_.push_back(children + 1);
  const std::uint32_t depth = leaf_depth_[leaf] + 1;
  leaf_depth_[leaf] = depth;
  leaf_depth_.push_back(depth);
  leaf_slot_[leaf] = kNoSlot;
  leaf_slot_.push_back(kNoSlot);
  free_slots_.push_back(slot);
}

void RandomTree::grow(std::uint32_t classes) {
  const auto widen = [&](std::vector<float>& values, std::size_t width) {
    const std::size_t before = shape_.classes * width, after = classes * width;
    std::vector<float> wide(values.size() / before * after);
    for (std::size_t i = 0; i < values.size(); ++i)
      wide[i / before * after + i % before] = values[i];
    values = std::move(wide);
  };
  widen(counts_, 1);
  widen(slot_seen_, 1);
  widen(slot_left_, shape_.stride());
  shape_.classes = classes;
}

std::uint32_t RandomTree::depth() const {
  return *std::max_element(leaf_depth_.begin(), leaf_depth_.end());
}

void RandomTree::class_mass(std::span<double> out) const {
  for (std::size_t i = 0; i < counts_.size(); ++i)
    out[i % shape_.classes] += static_cast<double>(counts_[i]);
}

std::size_t RandomTree::bytes() const {
  return nodes_.size() * sizeof(TreeNode) +
         4 * (counts_.size() + totals_.size() + leaf_node_.size() + leaf_depth_.size() +
              leaf_slot_.size() + slot_feature_.size() + slot_threshold_.size() +
              slot_left_.size() + slot_seen_.size() + slot_total_.size() + slot_next_.size() +
              free_slots_.size());
}

}  // namespace p2p::learner

#include "learner/models/random_tree.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/core.h>

namespace p2p::learner {
namespace {

/// A count that nobody reaches by training; keeps a stranger's leaf from being immovable.
constexpr float kMaxCount = 1e9f;

auto refuse(std::string_view what) {
  return fail(ErrorCode::malformed, fmt::format("the tree was refused: {}", what));
}

/// sum of -n_c log2 n_c and n, from which an entropy follows.
struct Mass {
  float total = 0;
  float sum = 0;
  void add(float n) {
    total += n;
    if (n > 0) sum += n * std::log2(n);
  }
  /// n H = n log2 n - sum n_c log2 n_c.
  float bits() const { return total > 0 ? total * std::log2(total) - sum : 0.0f; }
};

}  // namespace

std::size_t TreeShape::leaf_bytes() const {
  const std::size_t leaf = 4 * (std::size_t{classes} + 4) + 2 * 12;
  const std::size_t slot =
      4 * (std::size_t{tests} * classes + 2 * std::size_t{tests} + classes + 3);
  return leaf + slot;
}

RandomTree::RandomTree(const TreeShape& shape) : shape_(shape) {
  reserve();
  clear();
}

RandomTree::RandomTree(const RandomTree& other) : shape_(other.shape_) {
  reserve();
  copy(other);
}

RandomTree& RandomTree::operator=(const RandomTree& other) {
  if (this == &other) return *this;
  shape_ = other.shape_;
  reserve();
  copy(other);
  return *this;
}

void RandomTree::reserve() {
  const std::size_t leaves = shape_.max_leaves;
  nodes_.reserve(2 * leaves - 1);
  counts_.reserve(leaves * shape_.classes);
  for (auto* v : {&totals_, &slot_total_, &slot_next_}) v->reserve(leaves);
  for (auto* v : {&leaf_node_, &leaf_depth_, &leaf_slot_, &free_slots_}) v->reserve(leaves);
  slot_feature_.reserve(leaves * shape_.tests);
  slot_threshold_.reserve(leaves * shape_.tests);
  slot_left_.reserve(leaves * shape_.tests * shape_.classes);
  slot_seen_.reserve(leaves * shape_.classes);
}

void RandomTree::copy(const RandomTree& other) {
  // assign() keeps what was reserved.
  const auto take = [](auto& to, const auto& from) { to.assign(from.begin(), from.end()); };
  take(nodes_, other.nodes_);
  take(counts_, other.counts_);
  take(totals_, other.totals_);
  take(leaf_node_, other.leaf_node_);
  take(leaf_depth_, other.leaf_depth_);
  take(leaf_slot_, other.leaf_slot_);
  take(slot_feature_, other.slot_feature_);
  take(slot_threshold_, other.slot_threshold_);
  take(slot_left_, other.slot_left_);
  take(slot_seen_, other.slot_seen_);
  take(slot_total_, other.slot_total_);
  take(slot_next_, other.slot_next_);
  take(free_slots_, other.free_slots_);
}

void RandomTree::clear() {
  for (auto* v : {&slot_threshold_, &slot_left_, &slot_seen_, &slot_total_, &slot_next_})
    v->clear();
  slot_feature_.clear();
  free_slots_.clear();
  nodes_.assign(1, Node{kLeaf, 0, 0});
  counts_.assign(shape_.classes, 0);
  totals_.assign(1, 0);
  leaf_node_.assign(1, 0);
  leaf_depth_.assign(1, 0);
  leaf_slot_.assign(1, kNoSlot);
}

std::uint32_t RandomTree::leaf_of(Features x) const {
  const Node* node = nodes_.data();
  while (node->feature != kLeaf) {
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
                       std::span<const FeatureRange> ranges, Random& random) {
  const auto c = static_cast<std::size_t>(y);
  counts_[leaf * shape_.classes + c] += weight;
  totals_[leaf] += weight;
  if (totals_[leaf] > shape_.memory) fade(leaf);
  if (leaf_slot_[leaf] == kNoSlot) {
    if (leaf_depth_[leaf] >= shape_.max_depth || leaves() >= shape_.max_leaves) return;
    if (!open_slot(leaf, ranges, random)) return;
  }
  const std::uint32_t slot = leaf_slot_[leaf];
  const std::uint32_t* feature = slot_feature_.data() + std::size_t{slot} * shape_.tests;
  const float* threshold = slot_threshold_.data() + std::size_t{slot} * shape_.tests;
  float* left = left_counts(slot, c).data();
  for (std::uint32_t t = 0; t < shape_.tests; ++t)
    left[t] += x[feature[t]] < threshold[t] ? weight : 0.0f;
  slot_seen_[std::size_t{slot} * shape_.classes + c] += weight;
  slot_total_[slot] += weight;
  if (slot_total_[slot] >= slot_next_[slot]) consider_split(leaf);
}

void RandomTree::fade(std::uint32_t leaf) {
  const auto halve = [](std::span<float> values) {
    for (float& v : values) v *= 0.5f;
  };
  halve({counts_.data() + std::size_t{leaf} * shape_.classes, shape_.classes});
  totals_[leaf] *= 0.5f;
  const std::uint32_t slot = leaf_slot_[leaf];
  // A slot needs min_samples to decide at all.
  if (slot == kNoSlot || slot_total_[slot] <= std::max(shape_.memory, 4 * shape_.min_samples))
    return;
  const std::size_t tests = shape_.tests;
  halve({slot_left_.data() + slot * tests * shape_.classes, tests * shape_.classes});
  halve({slot_seen_.data() + std::size_t{slot} * shape_.classes, shape_.classes});
  slot_total_[slot] *= 0.5f;
  slot_next_[slot] = slot_total_[slot] + std::max(1.0f, 0.1f * shape_.min_samples);
}

bool RandomTree::open_slot(std::uint32_t leaf, std::span<const FeatureRange> ranges,
                           Random& random) {
  // Constant features (the border of an image) make tests that decide nothing: some tries to avoid
  // them.
  constexpr int kTries = 16;
  const auto draw = [&](std::uint32_t& feature, float& threshold) {
    for (int i = 0; i < kTries; ++i) {
      feature = static_cast<std::uint32_t>(random.below(shape_.features));
      const FeatureRange& range = ranges[feature];
      if (!range.varies()) continue;
      // In double: high - low may pass the largest float.
      const double low = range.low, high = range.high;
      threshold = static_cast<float>(low + (high - low) * random.uniform());
      return true;
    }
    return false;
  };
  std::uint32_t feature = 0;
  float threshold = 0;
  if (!draw(feature, threshold)) return false;
  std::uint32_t slot;
  if (!free_slots_.empty()) {
    slot = free_slots_.back();
    free_slots_.pop_back();
  } else {
    slot = static_cast<std::uint32_t>(slot_total_.size());
    const std::size_t slots = std::size_t{slot} + 1;
    slot_feature_.resize(slots * shape_.tests);
    slot_threshold_.resize(slots * shape_.tests);
    slot_left_.resize(slots * shape_.tests * shape_.classes);
    slot_seen_.resize(slots * shape_.classes);
    slot_total_.resize(slots);
    slot_next_.resize(slots);
  }
  for (std::uint32_t t = 0; t < shape_.tests; ++t) {
    // A failed draw repeats the test before it, which is harmless.
    if (t > 0) draw(feature, threshold);
    slot_feature_[std::size_t{slot} * shape_.tests + t] = feature;
    slot_threshold_[std::size_t{slot} * shape_.tests + t] = threshold;
  }
  std::fill_n(slot_left_.begin() + std::ptrdiff_t{slot} * shape_.tests * shape_.classes,
              std::size_t{shape_.tests} * shape_.classes, 0.0f);
  std::fill_n(slot_seen_.begin() + std::ptrdiff_t{slot} * shape_.classes, shape_.classes, 0.0f);
  slot_total_[slot] = 0;
  slot_next_[slot] = shape_.min_samples;
  leaf_slot_[leaf] = slot;
  return true;
}

void RandomTree::consider_split(std::uint32_t leaf) {
  const std::uint32_t slot = leaf_slot_[leaf];
  const float* seen = slot_seen_.data() + std::size_t{slot} * shape_.classes;
  Mass all;
  for (std::size_t c = 0; c < shape_.classes; ++c) all.add(seen[c]);
  float best_gain = 0;
  std::uint32_t best = 0;
  if (all.bits() > 0) {
    for (std::uint32_t t = 0; t < shape_.tests; ++t) {
      Mass left, right;
      for (std::size_t c = 0; c < shape_.classes; ++c) {
        if (seen[c] == 0) continue;
        const float n = left_counts(slot, c)[t];
        left.add(n);
        right.add(seen[c] - n);
      }
      if (left.total <= 0 || right.total <= 0) continue;
      const float gain = (all.bits() - left.bits() - right.bits()) / all.total;
      if (gain > best_gain) {
        best_gain = gain;
        best = t;
      }
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
  nodes_[leaf_node_[leaf]] = {slot_feature_[std::size_t{slot} * shape_.tests + test],
                              slot_threshold_[std::size_t{slot} * shape_.tests + test], children};
  nodes_.push_back({kLeaf, 0, leaf});
  nodes_.push_back({kLeaf, 0, right});
  // Each child begins with what its side of the chosen test has seen (the paper's p_jls and p_jrs).
  counts_.resize(counts_.size() + shape_.classes);
  float* left_n = counts_.data() + std::size_t{leaf} * shape_.classes;
  float* right_n = counts_.data() + std::size_t{right} * shape_.classes;
  float left_total = 0, right_total = 0;
  for (std::size_t c = 0; c < shape_.classes; ++c) {
    left_n[c] = left_counts(slot, c)[test];
    right_n[c] = slot_seen_[std::size_t{slot} * shape_.classes + c] - left_n[c];
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

std::uint32_t RandomTree::depth() const {
  return *std::max_element(leaf_depth_.begin(), leaf_depth_.end());
}

void RandomTree::class_mass(std::span<double> out) const {
  for (std::size_t i = 0; i < counts_.size(); ++i)
    out[i % shape_.classes] += static_cast<double>(counts_[i]);
}

std::size_t RandomTree::bytes() const {
  return nodes_.size() * sizeof(Node) +
         4 * (counts_.size() + totals_.size() + leaf_node_.size() + leaf_depth_.size() +
              leaf_slot_.size() + slot_feature_.size() + slot_threshold_.size() +
              slot_left_.size() + slot_seen_.size() + slot_total_.size() + slot_next_.size() +
              free_slots_.size());
}

void RandomTree::write_structure(ByteWriter& out) const {
  out.put(leaves());
  for (const Node& node : nodes_) {
    out.put(node.feature);
    out.put(node.threshold);
    out.put(node.next);
  }
  for (std::uint32_t leaf = 0; leaf < leaves(); ++leaf) {
    const auto n = counts(leaf);
    out.put(static_cast<std::uint16_t>(
        std::count_if(n.begin(), n.end(), [](float v) { return v > 0; })));
    for (std::size_t c = 0; c < n.size(); ++c) {
      if (!(n[c] > 0)) continue;
      out.put(static_cast<std::uint16_t>(c));
      out.put(n[c]);
    }
  }
}

Result<void> RandomTree::read_structure(ByteReader& in) {
  const auto leaves = in.get<std::uint32_t>();
  if (!in.ok()) return refuse("it ends early");
  if (leaves < 1 || leaves > shape_.max_leaves) {
    return fail(ErrorCode::limit_exceeded,
                fmt::format("the tree was refused: it has {} leaves, at most {} are allowed",
                            leaves, shape_.max_leaves));
  }
  const std::uint32_t count = 2 * leaves - 1;
  if (in.remaining() < 12ull * count + 2ull * leaves) return refuse("it ends early");
  clear();
  nodes_.assign(count, Node{kLeaf, 0, 0});
  for (Node& node : nodes_) {
    node.feature = in.get<std::uint32_t>();
    node.threshold = in.get<float>();
    node.next = in.get<std::uint32_t>();
  }
  // Children come after their parent, and each has only one: no cycle, nothing shared, nothing left
  // over.
  counts_.assign(std::size_t{leaves} * shape_.classes, 0);
  totals_.assign(leaves, 0);
  leaf_node_.assign(leaves, kLeaf);
  leaf_depth_.assign(leaves, 0);
  leaf_slot_.assign(leaves, kNoSlot);
  std::vector<std::uint32_t> depth(count, 0);
  std::vector<bool> reached(count, false);
  reached[0] = true;
  for (std::uint32_t i = 0; i < count; ++i) {
    const Node& node = nodes_[i];
    if (!reached[i]) return refuse("a node has no parent before it");
    if (node.feature == kLeaf) {
      if (node.next >= leaves || leaf_node_[node.next] != kLeaf)
        return refuse("a leaf is shared or out of range");
      leaf_node_[node.next] = i;
      leaf_depth_[node.next] = depth[i];
      continue;
    }
    if (node.feature >= shape_.features)
      return refuse("a test is on a feature that the task does not have");
    if (!std::isfinite(node.threshold)) return refuse("a threshold is not finite");
    // The first half is implied by `reached`; it is said once more because the promise rests on it.
    if (node.next <= i || node.next >= count - 1)
      return refuse("a child does not come after its parent");
    if (depth[i] >= shape_.max_depth) {
      return fail(ErrorCode::limit_exceeded,
                  fmt::format("the tree was refused: it is deeper than {}", shape_.max_depth));
    }
    for (const std::uint32_t child : {node.next, node.next + 1}) {
      if (reached[child]) return refuse("a node has two parents");
      reached[child] = true;
      depth[child] = depth[i] + 1;
    }
  }
  for (std::uint32_t leaf = 0; leaf < leaves; ++leaf) {
    const auto known = in.get<std::uint16_t>();
    if (!in.ok()) return refuse("it ends early");
    int previous = -1;
    for (std::uint16_t i = 0; i < known; ++i) {
      const int c = in.get<std::uint16_t>();
      const auto n = in.get<float>();
      if (!in.ok()) return refuse("it ends early");
      if (c <= previous || c >= static_cast<int>(shape_.classes))
        return refuse("a leaf's classes are out of order or range");
      if (!(n > 0 && n <= kMaxCount)) return refuse("a count is not finite or out of range");
      previous = c;
      counts_[std::size_t{leaf} * shape_.classes + static_cast<std::size_t>(c)] = n;
      totals_[leaf] += n;
    }
  }
  return {};
}

void RandomTree::write_state(ByteWriter& out) const {
  write_structure(out);
  // The sum of a leaf's counts depends on the order in which they came; write it as it is.
  out.put_array(std::span<const float>(totals_));
  out.put_array(std::span<const std::uint32_t>(leaf_slot_));
  out.put(static_cast<std::uint32_t>(slot_total_.size()));
  out.put(static_cast<std::uint32_t>(free_slots_.size()));
  out.put_array(std::span<const std::uint32_t>(free_slots_));
  out.put_array(std::span<const std::uint32_t>(slot_feature_));
  for (const auto* v : {&slot_threshold_, &slot_left_, &slot_seen_, &slot_total_, &slot_next_}) {
    out.put_array(std::span<const float>(*v));
  }
}

Result<void> RandomTree::read_state(ByteReader& in) {
  if (auto read = read_structure(in); !read) return read;
  in.get_array(std::span<float>(totals_));
  in.get_array(std::span<std::uint32_t>(leaf_slot_));
  const auto slots = in.get<std::uint32_t>();
  const auto free = in.get<std::uint32_t>();
  const std::size_t per_slot =
      4 * (std::size_t{shape_.tests} * (2 + shape_.classes) + shape_.classes + 2);
  if (!in.ok() || slots > shape_.max_leaves || free > slots ||
      in.remaining() < slots * per_slot + 4 * free) {
    return refuse("the state of its leaves ends early");
  }
  free_slots_.resize(free);
  in.get_array(std::span<std::uint32_t>(free_slots_));
  slot_feature_.resize(std::size_t{slots} * shape_.tests);
  in.get_array(std::span<std::uint32_t>(slot_feature_));
  slot_threshold_.resize(slot_feature_.size());
  slot_left_.resize(slot_feature_.size() * shape_.classes);
  slot_seen_.resize(std::size_t{slots} * shape_.classes);
  slot_total_.resize(slots);
  slot_next_.resize(slots);
  for (auto* v : {&slot_threshold_, &slot_left_, &slot_seen_, &slot_total_, &slot_next_}) {
    in.get_array(std::span<float>(*v));
    for (const float f : *v) {
      if (!std::isfinite(f)) return refuse("a number in the state of its leaves is not finite");
    }
  }
  for (const float f : totals_) {
    if (!(f >= 0 && std::isfinite(f))) return refuse("the total of a leaf is out of range");
  }
  for (const std::uint32_t f : slot_feature_) {
    if (f >= shape_.features) return refuse("a test is on a feature that the task does not have");
  }
  // Every slot belongs to one leaf or is free.
  std::vector<bool> used(slots, false);
  std::uint32_t owned = free;
  const auto claim = [&](std::uint32_t slot) {
    if (slot >= slots || used[slot]) return false;
    used[slot] = true;
    return true;
  };
  for (const std::uint32_t slot : free_slots_) {
    if (!claim(slot)) return refuse("the state of a leaf is shared or out of range");
  }
  for (const std::uint32_t slot : leaf_slot_) {
    if (slot == kNoSlot) continue;
    if (!claim(slot)) return refuse("the state of a leaf is shared or out of range");
    ++owned;
  }
  if (owned != slots) return refuse("the state of a leaf belongs to nobody");
  return {};
}

}  // namespace p2p::learner

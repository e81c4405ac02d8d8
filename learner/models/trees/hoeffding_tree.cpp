#include "learner/models/trees/hoeffding_tree.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace p2p::learner {
namespace {

/// A class that a split leaves with less than this in a child is not put there.
constexpr float kLeastInherited = 1;

}  // namespace

HoeffdingTree::HoeffdingTree(const HoeffdingShape& shape, Random& random)
    : shape_(shape), rows_(shape.stride(), shape.max_rows) {
  clear(random);
}

void HoeffdingTree::clear(Random& random) {
  nodes_.assign(1, TreeNode{TreeNode::kLeaf, 0, 0});
  leaves_.clear();
  leaf_features_.clear();
  entries_.clear();
  free_entry_ = kNone;
  rows_.clear();
  new_leaf(0, 0, static_cast<std::uint32_t>(random.next()));
}

std::uint32_t HoeffdingTree::leaf_of(Features x) const {
  const TreeNode* node = nodes_.data();
  while (node->feature != TreeNode::kLeaf) {
    node = nodes_.data() + node->next + (x[node->feature] <= node->threshold ? 0 : 1);
  }
  return node->next;
}

void HoeffdingTree::draw_features(std::uint32_t leaf) {
  std::uint16_t* out = leaf_features_.data() + std::size_t{leaf} * shape_.subset;
  std::uint32_t wanted = shape_.subset;
  Random random(leaves_[leaf].seed);
  for (std::uint32_t f = 0; wanted > 0; ++f) {
    if (random.below(shape_.features - f) >= wanted) continue;
    *out++ = static_cast<std::uint16_t>(f);
    --wanted;
  }
}

std::uint32_t HoeffdingTree::new_leaf(std::uint32_t node, std::uint32_t depth, std::uint32_t seed) {
  const std::uint32_t leaf = leaves();
  leaves_.push_back({});
  leaves_[leaf].node = node;
  leaves_[leaf].depth = depth;
  leaves_[leaf].seed = seed;
  leaves_[leaf].next = shape_.grace;
  leaf_features_.resize(leaves_.size() * shape_.subset);
  draw_features(leaf);
  return leaf;
}

HoeffdingTree::Guess HoeffdingTree::guess(Features x, float weight, std::span<float> out,
                                          Scratch& scratch) const {
  Guess guess;
  guess.leaf = leaf_of(x);
  const Leaf& leaf = leaves_[guess.leaf];
  if (leaf.observes) {
    const std::uint16_t* feature = leaf_features_.data() + std::size_t{guess.leaf} * shape_.subset;
    float* const out_x = scratch.x.data();
    for (std::uint32_t i = 0; i < shape_.subset; ++i) out_x[i] = x[feature[i]];
  }
  float most = 0, best = 0;
  std::size_t k = 0;
  for (std::uint32_t i = leaf.first; i != kNone; i = entries_[i].next, ++k) {
    const Entry& entry = entries_[i];
    if (entry.count > most) {
      most = entry.count;
      guess.common = static_cast<ClassIndex>(entry.cls);
    }
    if (!(entry.observed > 0)) {
      scratch.score[k] = -std::numeric_limits<float>::infinity();
      continue;
    }
    const float score =
        entry.log_count - entry.log_sigma - rows_.distance(entry.row, scratch.x.data());
    scratch.score[k] = score;
    if (guess.bayes == kNoClass || score > best) {
      best = score;
      guess.bayes = static_cast<ClassIndex>(entry.cls);
    }
  }
  if (guess.common == kNoClass) return guess;
  guess.latest = leaf.latest;
  const float shares_right = std::max(leaf.common_right, leaf.bayes_right);
  if (guess.latest != kNoClass && leaf.latest_right > shares_right + shape_.persistence) {
    guess.said = guess.latest;
    if (!out.empty()) out[static_cast<std::size_t>(guess.latest)] += weight;
    return guess;
  }
  const bool by_bayes = guess.bayes != kNoClass && leaf.bayes_right > leaf.common_right;
  guess.said = by_bayes ? guess.bayes : guess.common;
  if (out.empty()) return guess;
  if (!by_bayes) {
    const float share = weight / leaf.total;
    for (std::uint32_t i = leaf.first; i != kNone; i = entries_[i].next)
      out[entries_[i].cls] += entries_[i].count * share;
    return guess;
  }
  float sum = 0;
  for (std::size_t i = 0; i < k; ++i) {
    const float d = scratch.score[i] - best;
    const float p = d == 0 ? 1.0f : d > -20 ? std::exp(d) : 0.0f;
    scratch.score[i] = p;
    sum += p;
  }
  const float share = weight / sum;
  k = 0;
  for (std::uint32_t i = leaf.first; i != kNone; i = entries_[i].next, ++k)
    out[entries_[i].cls] += scratch.score[k] * share;
  return guess;
}

std::uint32_t HoeffdingTree::append_entry(std::uint32_t leaf, std::uint32_t cls) {
  std::uint32_t made = free_entry_;
  if (made != kNone) {
    free_entry_ = entries_[made].next;
    entries_[made] = {};
  } else {
    made = static_cast<std::uint32_t>(entries_.size());
    entries_.push_back({});
  }
  entries_[made].cls = cls;
  std::uint32_t* link = &leaves_[leaf].first;
  while (*link != kNone) link = &entries_[*link].next;
  *link = made;
  return made;
}

HoeffdingTree::Entry& HoeffdingTree::entry_of(std::uint32_t leaf, std::uint32_t cls) {
  for (std::uint32_t i = leaves_[leaf].first; i != kNone; i = entries_[i].next) {
    if (entries_[i].cls == cls) return entries_[i];
  }
  return entries_[append_entry(leaf, cls)];
}

void HoeffdingTree::add_count(Entry& entry, float weight) {
  entry.count += weight;
  entry.log_count = std::log(entry.count);
}

void HoeffdingTree::train(const Guess& guess, ClassIndex y, float weight, const Scratch& scratch,
                          Random& random) {
  Leaf& leaf = leaves_[guess.leaf];
  if (guess.common == y) leaf.common_right += weight;
  if (guess.bayes == y) leaf.bayes_right += weight;
  if (guess.latest == y) leaf.latest_right += weight;
  leaf.latest = y;
  Entry& entry = entry_of(guess.leaf, static_cast<std::uint32_t>(y));
  add_count(entry, weight);
  leaf.total += weight;
  if (!leaf.observes) {
    // Rows have become free: it may look again, from the next sample on.
    leaf.observes = rows_.available() > shape_.max_rows / 4;
    leaf.next = leaf.total + shape_.grace;
    return;
  }
  if (entry.row == kNone) {
    entry.row = rows_.take();
    if (entry.row == kNone && make_room(guess.leaf)) entry.row = rows_.take();
    if (entry.row == kNone) return;
  }
  entry.log_sigma = rows_.add(entry.row, scratch.x.data(), entry.observed, weight);
  entry.observed += weight;
  if (leaf.total >= leaf.next) consider_split(guess.leaf, random);
}

float HoeffdingTree::promise(const Leaf& leaf) const {
  float most = 0;
  for (std::uint32_t i = leaf.first; i != kNone; i = entries_[i].next)
    most = std::max(most, entries_[i].count);
  return leaf.total - most;
}

void HoeffdingTree::stop_observing(Leaf& leaf) {
  leaf.observes = false;
  leaf.common_right = leaf.bayes_right = 0;
  for (std::uint32_t i = leaf.first; i != kNone; i = entries_[i].next) {
    Entry& entry = entries_[i];
    if (entry.row != kNone) rows_.give_back(entry.row);
    entry.row = kNone;
    entry.observed = entry.log_sigma = 0;
  }
}

bool HoeffdingTree::make_room(std::uint32_t leaf) {
  // Ties by seed: positions differ between a tree and what was decoded from its bytes.
  std::uint32_t victim = leaf;
  std::pair<float, std::uint32_t> least(promise(leaves_[leaf]), leaves_[leaf].seed);
  for (std::uint32_t i = 0; i < leaves(); ++i) {
    if (!leaves_[i].observes || i == leaf) continue;
    bool has_rows = false;
    for (std::uint32_t e = leaves_[i].first; e != kNone && !has_rows; e = entries_[e].next)
      has_rows = entries_[e].row != kNone;
    if (!has_rows) continue;
    const std::pair candidate(promise(leaves_[i]), leaves_[i].seed);
    if (candidate < least) {
      least = candidate;
      victim = i;
    }
  }
  stop_observing(leaves_[victim]);
  return victim != leaf;
}

void HoeffdingTree::consider_split(std::uint32_t at, Random& random) {
  Leaf& leaf = leaves_[at];
  leaf.next = leaf.total + shape_.grace;
  if (leaf.depth >= shape_.max_depth || leaves() >= shape_.max_leaves) return;
  SplitRow classes[kMaxClasses];
  std::size_t seen = 0, present = 0;
  for (std::uint32_t i = leaf.first; i != kNone; i = entries_[i].next) {
    ++present;
    if (entries_[i].observed > 0) classes[seen++] = {entries_[i].row, entries_[i].observed};
  }
  if (present < 2) return;
  const SplitChoice choice = choose_split(rows_, {classes, seen}, shape_.subset);
  if (choice.best <= 0) return;
  const float range = std::log2(static_cast<float>(present));
  const float bound = std::sqrt(range * range * shape_.log_inverse_delta / (2 * leaf.total));
  const float gap = choice.best - std::max(0.0f, choice.second);
  if (gap > bound || bound < shape_.tie) split(at, choice, random);
}

void HoeffdingTree::split(std::uint32_t at, const SplitChoice& choice, Random& random) {
  const std::uint32_t feature =
      leaf_features_[std::size_t{at} * shape_.subset + choice.lane];
  const auto children = static_cast<std::uint32_t>(nodes_.size());
  const std::uint32_t depth = leaves_[at].depth + 1;
  // The right child is a new leaf, the left one takes the place of its parent.
  const std::uint32_t right =
      new_leaf(children + 1, depth, static_cast<std::uint32_t>(random.next()));
  nodes_[leaves_[at].node] = {feature, choice.threshold, children};
  nodes_.push_back({TreeNode::kLeaf, 0, at});
  nodes_.push_back({TreeNode::kLeaf, 0, right});
  const std::uint32_t old = leaves_[at].first;
  Leaf& left = leaves_[at];
  left = {};
  left.node = children;
  left.depth = depth;
  left.seed = static_cast<std::uint32_t>(random.next());
  draw_features(at);
  for (std::uint32_t i = old; i != kNone;) {
    const Entry entry = entries_[i];
    if (entry.row != kNone) {
      const float low =
          entry.observed * share_below(rows_, entry.row, choice.lane, choice.threshold);
      for (const auto& [child, mass] : {std::pair(at, low), std::pair(right, entry.observed - low)}) {
        if (mass < kLeastInherited) continue;
        add_count(entries_[append_entry(child, entry.cls)], mass);
        leaves_[child].total += mass;
      }
      rows_.give_back(entry.row);
    }
    entries_[i].next = free_entry_;
    free_entry_ = i;
    i = entry.next;
  }
  for (const std::uint32_t child : {at, right})
    leaves_[child].next = leaves_[child].total + shape_.grace;
}

std::uint32_t HoeffdingTree::depth() const {
  std::uint32_t most = 0;
  for (const Leaf& leaf : leaves_) most = std::max(most, leaf.depth);
  return most;
}

std::uint32_t HoeffdingTree::active() const {
  return static_cast<std::uint32_t>(
      std::count_if(leaves_.begin(), leaves_.end(), [](const Leaf& leaf) { return leaf.observes; }));
}

void HoeffdingTree::class_mass(std::span<double> out) const {
  for (const Leaf& leaf : leaves_) {
    for (std::uint32_t i = leaf.first; i != kNone; i = entries_[i].next)
      out[entries_[i].cls] += static_cast<double>(entries_[i].count);
  }
}

std::size_t HoeffdingTree::bytes() const {
  return nodes_.size() * sizeof(TreeNode) + leaves_.size() * sizeof(Leaf) +
         leaf_features_.size() * sizeof(std::uint16_t) + entries_.size() * sizeof(Entry) +
         rows_.bytes();
}

}  // namespace p2p::learner

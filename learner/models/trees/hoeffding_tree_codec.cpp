// How a Hoeffding tree is written, for a peer and for going on later.
// The nodes (tree_nodes.hpp), then what the leaves know, from left to right.
#include <algorithm>
#include <cmath>

#include <fmt/core.h>

#include "learner/models/trees/hoeffding_tree.hpp"
#include "learner/transfer/quantise.hpp"

namespace p2p::learner {
namespace {

/// Weight that nobody reaches by training; keeps a stranger's leaf from being immovable.
constexpr float kMaxCount = 1e9f;
constexpr float kMaxSpread = 4e21f;  // kMaxCount (2 kLimit)^2
/// Beyond the mean, in sigmas: where a class is taken to end whose extremes did not travel.
constexpr float kReach = 3;

tl::unexpected<Error> refuse(std::string_view what) {
  return fail(ErrorCode::malformed, fmt::format("the tree was refused: {}", what));
}

}  // namespace

void HoeffdingTree::write_part(ByteWriter& out, Precision precision) const {
  write_nodes(out, nodes_, precision);
  std::vector<std::uint16_t> known, classes;
  std::vector<float> counts, right, observed;
  std::vector<std::uint32_t> seeds;
  std::vector<const Entry*> rows;
  std::vector<bool> has_row;
  for (const std::uint32_t at : leaves_in_order(nodes_)) {
    const Leaf& leaf = leaves_[at];
    seeds.push_back(leaf.seed);
    right.push_back(leaf.common_right);
    right.push_back(leaf.bayes_right);
    right.push_back(leaf.latest_right);
    known.push_back(0);
    for (std::uint32_t i = leaf.first; i != kNone; i = entries_[i].next) {
      const Entry& entry = entries_[i];
      ++known.back();
      classes.push_back(static_cast<std::uint16_t>(entry.cls));
      counts.push_back(entry.count);
      has_row.push_back(entry.row != kNone);
      if (entry.row == kNone) continue;
      rows.push_back(&entry);
      observed.push_back(entry.observed);
    }
  }
  out.put_array(std::span<const std::uint16_t>(known));
  out.put_array(std::span<const std::uint16_t>(classes));
  put_levels(out, counts, precision_of_counts(precision));
  if (precision == Precision::bits4) return;
  out.put_array(std::span<const std::uint32_t>(seeds));
  put_levels(out, right, precision);
  put_bits(out, has_row);
  put_levels(out, observed, precision);
  const auto column = [&](std::size_t array, auto&& each) {
    std::vector<float> values;
    values.reserve(rows.size() * shape_.subset);
    for (const Entry* entry : rows) {
      const float* from = rows_.mean(entry->row) + array * shape_.stride();
      for (std::uint32_t f = 0; f < shape_.subset; ++f)
        values.push_back(each(from[f], entry->observed));
    }
    return values;
  };
  const auto as_is = [](float v, float) { return v; };
  put_numbers(out, column(0, as_is), precision);
  if (precision == Precision::bits32) {
    for (const std::size_t array : {1, 3, 4})
      out.put_array(std::span<const float>(column(array, as_is)));
  } else {
    put_levels(out, column(1, [](float v, float n) { return n > 1 ? v / (n - 1) : 0.0f; }),
               precision);
  }
}

Result<void> HoeffdingTree::read_part(ByteReader& in, Precision precision, Random& random) {
  auto read = read_nodes(in, {shape_.features, shape_.max_depth, shape_.max_leaves}, precision);
  if (!read) return tl::unexpected(read.error());
  const auto count = static_cast<std::uint32_t>(read->leaves.size());
  if (in.remaining() < 2ull * count) return refuse("it ends early");
  clear(random);
  leaves_.clear();
  leaf_features_.clear();
  nodes_ = std::move(read->nodes);
  for (const LeafPlace& place : read->leaves)
    new_leaf(place.node, place.depth, static_cast<std::uint32_t>(random.next()));

  std::vector<std::uint16_t> known(count);
  in.get_array(std::span<std::uint16_t>(known));
  std::size_t total = 0;
  for (const std::uint16_t k : known) {
    if (k > shape_.classes) return refuse("a leaf has more classes than there are");
    total += k;
  }
  if (!in.ok() || in.remaining() < 2 * total) return refuse("it ends early");
  std::vector<std::uint16_t> classes(total);
  in.get_array(std::span<std::uint16_t>(classes));
  std::vector<float> counts(total);
  if (auto ok = get_levels(in, counts, precision_of_counts(precision), kMaxCount); !ok) return ok;
  std::vector<bool> seen(shape_.classes);
  for (std::uint32_t leaf = 0, at = 0; leaf < count; ++leaf) {
    const std::uint32_t begin = at;
    for (; at < begin + known[leaf]; ++at) {
      if (classes[at] >= shape_.classes || seen[classes[at]])
        return refuse("a leaf's class is out of range or there twice");
      if (!(counts[at] > 0)) return refuse("a leaf has a class without weight");
      seen[classes[at]] = true;
      add_count(entries_[append_entry(leaf, classes[at])], counts[at]);
      leaves_[leaf].total += counts[at];
    }
    for (std::uint32_t i = begin; i < at; ++i) seen[classes[i]] = false;
    leaves_[leaf].next = leaves_[leaf].total + shape_.grace;
  }
  if (precision == Precision::bits4) return {};

  for (std::uint32_t leaf = 0; leaf < count; ++leaf) {
    leaves_[leaf].seed = in.get<std::uint32_t>();
    draw_features(leaf);
  }
  std::vector<float> right(3 * std::size_t{count});
  if (auto ok = get_levels(in, right, precision, kMaxCount); !ok) return ok;
  for (std::uint32_t leaf = 0; leaf < count; ++leaf) {
    leaves_[leaf].common_right = right[3 * leaf];
    leaves_[leaf].bayes_right = right[3 * leaf + 1];
    leaves_[leaf].latest_right = right[3 * leaf + 2];
  }
  if (in.remaining() < (total + 7) / 8) return refuse("it ends early");
  const std::vector<bool> has_row = get_bits(in, total);
  std::vector<Entry*> rows;
  for (const Leaf& leaf : leaves_) {
    for (std::uint32_t i = leaf.first; i != kNone; i = entries_[i].next) {
      // Entries were appended in this order into an empty array.
      if (has_row[i]) rows.push_back(&entries_[i]);
    }
  }
  if (rows.size() > shape_.max_rows) {
    return fail(ErrorCode::limit_exceeded,
                fmt::format("the tree was refused: it has {} Gaussians, at most {} are allowed",
                            rows.size(), shape_.max_rows));
  }
  const std::size_t numbers = rows.size() * shape_.subset;
  std::vector<float> observed(rows.size()), mean;
  if (auto ok = get_levels(in, observed, precision, kMaxCount); !ok) return ok;
  if (in.remaining() < numbers_bytes(numbers, precision)) return refuse("it ends early");
  mean.resize(numbers);
  if (auto ok = get_numbers(in, mean, precision, GaussianRows::kLimit); !ok) return ok;
  std::vector<float> spread(numbers), low, high;
  if (precision == Precision::bits32) {
    low.resize(numbers);
    high.resize(numbers);
    if (auto ok = get_levels(in, spread, precision, kMaxSpread); !ok) return ok;
    for (auto* extremes : {&low, &high}) {
      if (auto ok = get_numbers(in, *extremes, precision, GaussianRows::kLimit); !ok) return ok;
    }
  } else {
    if (auto ok = get_levels(in, spread, precision, 4e12f); !ok) return ok;
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    Entry& entry = *rows[i];
    if (!(observed[i] > 0)) return refuse("a Gaussian has no weight");
    entry.observed = observed[i];
    entry.row = rows_.take();
    for (std::size_t f = 0; f < shape_.subset; ++f) {
      const std::size_t at = i * shape_.subset + f;
      rows_.mean(entry.row)[f] = mean[at];
      if (precision == Precision::bits32) {
        if (!(low[at] <= high[at])) return refuse("a feature's least value is above its greatest");
        rows_.spread(entry.row)[f] = spread[at];
        rows_.low(entry.row)[f] = low[at];
        rows_.high(entry.row)[f] = high[at];
      } else {
        const float reach = kReach * std::sqrt(spread[at]);
        rows_.spread(entry.row)[f] = spread[at] * std::max(0.0f, entry.observed - 1);
        rows_.low(entry.row)[f] = std::max(-GaussianRows::kLimit, mean[at] - reach);
        rows_.high(entry.row)[f] = std::min(GaussianRows::kLimit, mean[at] + reach);
      }
    }
    entry.log_sigma = rows_.refresh(entry.row, entry.observed);
  }
  return {};
}

void HoeffdingTree::write_state(ByteWriter& out) const {
  write_part(out, Precision::bits32);
  for (const std::uint32_t at : leaves_in_order(nodes_)) {
    // The sum of a leaf's weights depends on the order in which they came; it is written as it is.
    const Leaf& leaf = leaves_[at];
    out.put(leaf.total);
    out.put(leaf.next);
    out.put(leaf.latest);
    out.put(static_cast<std::uint8_t>(leaf.observes));
  }
}

Result<void> HoeffdingTree::read_state(ByteReader& in) {
  Random unused(0);  // all that it draws is written over
  if (auto read = read_part(in, Precision::bits32, unused); !read) return read;
  for (Leaf& leaf : leaves_) {
    leaf.total = in.get<float>();
    leaf.next = in.get<float>();
    leaf.latest = in.get<ClassIndex>();
    leaf.observes = in.get<std::uint8_t>() != 0;
    const bool empty = leaf.first == kNone;
    if (!in.ok() || !(leaf.total >= 0 && leaf.total <= kMaxCount * 2) || !std::isfinite(leaf.next) ||
        (leaf.total > 0) == empty || leaf.latest < kNoClass ||
        leaf.latest >= static_cast<ClassIndex>(shape_.classes)) {
      return refuse("the state of a leaf is out of range");
    }
    for (std::uint32_t i = leaf.first; i != kNone; i = entries_[i].next) {
      if (!leaf.observes && entries_[i].row != kNone)
        return refuse("a leaf that does not look has Gaussians");
    }
  }
  return {};
}

}  // namespace p2p::learner

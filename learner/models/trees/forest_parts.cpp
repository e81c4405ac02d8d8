#include "learner/models/trees/forest_parts.hpp"

#include <cmath>

#include <fmt/core.h>

namespace p2p::learner {
namespace {

/// Indices of the trees that `among` admits, by `sign` times their recall, the smallest first.
template <typename Among>
std::vector<std::uint32_t> ordered(const ForestView& forest, std::span<const ClassIndex> classes,
                                   double sign, Among among) {
  std::vector<std::pair<double, std::uint32_t>> order;
  for (std::uint32_t i = 0; i < forest.trees.size(); ++i) {
    const TreeStanding& tree = forest.trees[i];
    if (among(tree)) order.emplace_back(sign * mean_recall(tree.classes, classes), i);
  }
  std::sort(order.begin(), order.end());
  std::vector<std::uint32_t> out;
  for (const auto& [rank, i] : order) out.push_back(i);
  return out;
}

}  // namespace

Part give_trees(const ForestView& forest, std::span<const ClassIndex> classes, Precision precision,
                const WriteTree& write) {
  std::vector<ClassIndex> wanted;
  for (const ClassIndex c : classes) {
    if (c >= 0 && static_cast<std::uint32_t>(c) < forest.spec.classes) wanted.push_back(c);
  }
  Part part{forest.spec.family, {}};
  if (wanted.empty() && !classes.empty()) return part;
  auto order =
      ordered(forest, wanted, -1, [](const TreeStanding& tree) { return tree.trained > 0; });
  if (!wanted.empty()) {
    const auto best = static_cast<std::size_t>(
        std::ceil(forest.share * static_cast<double>(forest.trees.size())));
    order.resize(std::min(order.size(), best));
  }
  std::vector<double> mass(forest.spec.classes);
  for (const std::uint32_t i : order) {
    const TreeStanding& tree = forest.trees[i];
    Block block{fmt::format("tree/{}", i), {}, tree.trained, {}};
    std::fill(mass.begin(), mass.end(), 0.0);
    ByteWriter out;
    write_head(out, forest.fingerprint, precision);
    write_records(out, tree.classes);
    write(i, out, mass);
    for (std::uint32_t c = 0; c < forest.spec.classes; ++c) {
      if (mass[c] > 0) block.classes.push_back(static_cast<ClassIndex>(c));
    }
    block.content = out.take();
    part.blocks.push_back(std::move(block));
  }
  return part;
}

std::vector<std::uint32_t> worst_trees(const ForestView& forest,
                                       std::span<const ClassIndex> classes) {
  return ordered(forest, classes, 1, [](const TreeStanding&) { return true; });
}

Result<TreeHead> read_tree_head(const ForestView& forest, const Block& block, ByteReader& in) {
  if (!block_index(block.name, "tree/", kMaxTrees))
    return refused(block, "its name is not that of a tree");
  if (auto ok = check_block(block, forest.spec.classes); !ok) return tl::unexpected(ok.error());
  const auto precision = read_head(block, in, forest.fingerprint);
  if (!precision) return tl::unexpected(precision.error());
  auto records = read_records(in, forest.spec.classes);
  if (!records) return refused(block, records.error().message);
  return TreeHead{*precision, std::move(*records)};
}

void write_record_state(ByteWriter& out, std::span<const ClassRecord> records) {
  for (const ClassRecord& record : records) {
    out.put(record.seen);
    out.put(record.hit);
    out.put(record.mass);
  }
}

bool read_record_state(ByteReader& in, std::span<ClassRecord> records) {
  const auto count = [](float v) { return v >= 0 && std::isfinite(v); };
  for (ClassRecord& record : records) {
    record.seen = in.get<float>();
    record.hit = in.get<float>();
    record.mass = in.get<float>();
    if (!count(record.seen) || !count(record.hit) || record.hit > record.seen ||
        !count(record.mass)) {
      return false;
    }
  }
  return in.ok();
}

}  // namespace p2p::learner

// What the forests' parts have in common: which trees are given, how a block of one begins, and
// which trees make room for those that come in.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "learner/model.hpp"
#include "learner/models/params.hpp"
#include "learner/models/part_checks.hpp"
#include "learner/models/trees/tree_nodes.hpp"

namespace p2p::learner {

inline constexpr std::uint32_t kMaxTrees = 512;

/// How a tree of a forest stands: 0 samples since it was planted means that it knows nothing.
struct TreeStanding {
  double trained;
  std::span<const ClassRecord> classes;
};

/// A forest as its parts see it; valid as long as the forest is not changed.
struct ForestView {
  const ModelSpec& spec;
  std::uint64_t fingerprint;
  double share;  ///< of the trees that is given when classes are named
  std::vector<TreeStanding> trees;
};

/// Writes tree i into `out`, and adds the weight of each class that it knows to `mass`.
using WriteTree = std::function<void(std::uint32_t i, ByteWriter& out, std::span<double> mass)>;

/// The trees that do best on the classes (empty: all trees), best first, untrained ones left out.
/// Block "tree/<i>": the head, the records, the tree.
Part give_trees(const ForestView& forest, std::span<const ClassIndex> classes, Precision precision,
                const WriteTree& write);

/// The forest's trees, those that do worst on the classes (empty: all) first.
std::vector<std::uint32_t> worst_trees(const ForestView& forest,
                                       std::span<const ClassIndex> classes);

/// What comes before the tree in a block.
struct TreeHead {
  Precision precision;
  std::vector<ClassRecord> records;
};
Result<TreeHead> read_tree_head(const ForestView& forest, const Block& block, ByteReader& in);

/// A tree that came in.
template <typename Tree>
struct OfferedTree {
  /// What the sender says of its accuracy; it orders the offered trees, and afterwards the tree is
  /// judged here.
  double merit;
  double evidence;
  Tree tree;
  std::vector<ClassRecord> records;  ///< mass only
};

/// All trees of a part, best first, or the first error. `read`(in, precision) gives a Result<Tree>.
template <typename Tree, typename Read>
Result<std::vector<OfferedTree<Tree>>> read_trees(const ForestView& forest, const Part& part,
                                                  const MergeOptions& options, Read read) {
  if (auto ok = check_part(part, options, forest.spec, forest.trees.size()); !ok)
    return tl::unexpected(ok.error());
  std::vector<OfferedTree<Tree>> out;
  for (const Block& block : part.blocks) {
    ByteReader in(block.content);
    auto head = read_tree_head(forest, block, in);
    if (!head) return tl::unexpected(head.error());
    Result<Tree> tree = read(in, head->precision);
    if (!tree) return tl::unexpected(tree.error());
    if (!in.ok() || !in.at_end()) return refused(block, "it does not end where the tree does");
    const double merit = mean_recall(head->records, options.classes);
    std::vector<double> mass(forest.spec.classes);
    tree->class_mass(mass);
    for (std::size_t c = 0; c < mass.size(); ++c)
      head->records[c] = {0, 0, static_cast<float>(mass[c])};
    out.push_back({merit, block.evidence, std::move(*tree), std::move(head->records)});
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const auto& a, const auto& b) { return a.merit > b.merit; });
  return out;
}

/// Records in a model's own state: exact, mass and all.
void write_record_state(ByteWriter& out, std::span<const ClassRecord> records);
/// Whether they were there and within bounds.
bool read_record_state(ByteReader& in, std::span<ClassRecord> records);

}  // namespace p2p::learner

// Which version of a holder's block came before.
#pragma once

#include <algorithm>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "metadata/crypto.hpp"
#include "metadata/task.hpp"

namespace p2p::overlay {

/// Remembers, of the parts that were pulled last, which content each block had: the next version from the same holder
/// may travel as what has changed since.
/// Bounds: kMostParts, each as long as its manifest; the one noted longest ago goes first.
class Lineage {
 public:
  static constexpr std::size_t kMostParts = 64;
  using Part = std::pair<metadata::NodeId, metadata::TaskId>;
  using Blocks = std::map<std::string, metadata::Hash>;

  /// The blocks that were pulled of this part; those of other classes stay known.
  void note(const Part& part, const Blocks& blocks) {
    const auto known = find(part);
    Entry entry{part, known == entries_.end() ? Blocks{} : std::move(known->blocks)};
    if (known != entries_.end()) entries_.erase(known);
    if (entry.blocks.size() > kMostBlocks) entry.blocks.clear();
    for (const auto& [name, hash] : blocks) entry.blocks[name] = hash;
    entries_.push_front(std::move(entry));
    if (entries_.size() > kMostParts) entries_.pop_back();
  }
  /// Is `there` true of any of the blocks that were pulled of this part?
  template <typename Predicate>
  bool any(const Part& part, Predicate there) const {
    for (const auto& entry : entries_) {
      if (entry.part != part) continue;
      return std::any_of(entry.blocks.begin(), entry.blocks.end(), [&](const auto& block) { return there(block.second); });
    }
    return false;
  }
  std::optional<metadata::Hash> before(const Part& part, const std::string& block) const {
    for (const auto& entry : entries_) {
      if (entry.part != part) continue;
      const auto found = entry.blocks.find(block);
      return found == entry.blocks.end() ? std::nullopt : std::optional(found->second);
    }
    return std::nullopt;
  }

 private:
  static constexpr std::size_t kMostBlocks = 4096;
  struct Entry {
    Part part;
    Blocks blocks;
  };
  std::list<Entry>::iterator find(const Part& part) {
    auto it = entries_.begin();
    while (it != entries_.end() && it->part != part) ++it;
    return it;
  }
  std::list<Entry> entries_;  // the latest first
};

}  // namespace p2p::overlay

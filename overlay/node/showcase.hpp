// What a node shows of itself to peers who ask: a signed description, and blocks of its model.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "metadata/record.hpp"
#include "overlay/exchange.hpp"
#include "overlay/executor.hpp"
#include "overlay/node/library.hpp"
#include "overlay/node/serving.hpp"

namespace p2p::node {

/// Copies of a moment, kept a little while: a crowd that asks after the same drift costs one signature and one
/// partition, and what is being served does not change under the hand of learning.
///
/// Bounds: at most kOffers offers; they may hold a model each.
/// Thread: the node's.
class Showcase {
 public:
  Showcase(overlay::Executor& executor, const Serving& serving, const Library& library, metadata::TaskId task,
           metadata::KeyPair key, learner::Precision precision);

  /// Empty for another task, or before the first sample.
  Bytes describe(const metadata::TaskId& task);
  /// Null for another task, impossible classes, or when nothing is known of them. An own archived concept is asked for by
  /// metadata::concept_task.
  std::shared_ptr<const overlay::Offer> offer(const metadata::TaskId& task, std::vector<learner::ClassIndex> classes);

  static constexpr std::size_t kOffers = 4;
  static constexpr overlay::Duration kLife = std::chrono::seconds(1);

 private:
  struct Kept {
    std::vector<learner::ClassIndex> classes;
    std::uint64_t generation = 0;
    overlay::TimePoint made;
    std::shared_ptr<const overlay::Offer> offer;
  };
  std::shared_ptr<const overlay::Offer> archived(const metadata::TaskId& task,
                                                 const std::vector<learner::ClassIndex>& classes) const;
  bool fresh(overlay::TimePoint made, std::uint64_t generation) const;

  overlay::Executor& executor_;
  const Serving& serving_;
  const Library& library_;
  metadata::TaskId task_;
  metadata::KeyPair key_;
  learner::Precision precision_;  ///< of the blocks that it gives away
  std::vector<Kept> offers_;
  Bytes description_;
  overlay::TimePoint described_;
  std::uint64_t described_generation_ = 0;
  std::uint64_t version_ = 0;
};

}  // namespace p2p::node

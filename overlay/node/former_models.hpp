// The models from before the latest merges: what a merge can still be undone with.
#pragma once

#include <cstdint>
#include <vector>

#include "learner/model.hpp"

namespace p2p::node {

/// The model that undoes (or, after that, restores) one merge.
struct FormerModel {
  std::uint64_t drift = 0;
  std::uint64_t samples = 0;           ///< seen when it was set aside; it has not learned since
  std::vector<std::uint64_t> merges;   ///< drifts whose merges are in it
  Bytes model;                         ///< learner::Model::encode(): exact, so it can go on learning
  std::uint64_t missed = 0;            ///< of those samples, learned by other models while it was set aside before
};

/// A few former models, the latest merges' ones.
///
/// Kept is the model as its watch left it. It learned in the shadow until then, so it lacks only what came after; a copy
/// from the moment of the merge would lack the watch as well, and to let it learn on for ever would double the price of
/// every sample. Not in the Library, whose models are rounded for travel and answer to concepts, not to merges.
///
/// Bounds: Options; the one set aside first goes first. Thread: the node's.
class FormerModels {
 public:
  struct Options {
    std::size_t models = 3;        ///< 0: a merge can be undone only while it is watched
    std::size_t bytes = 4u << 20;  ///< together; one that alone is larger is not kept
  };
  explicit FormerModels(const Options& options) : options_(options) {}

  /// In place of what was kept for the same drift.
  void keep(FormerModel former);
  const FormerModel* find(std::uint64_t drift) const;
  const std::vector<FormerModel>& all() const { return formers_; }
  std::size_t bytes() const;
  /// What FormerModel::missed is for the model in force: how many samples of this node it has never learned from.
  std::uint64_t missed_in_force() const { return missed_in_force_; }
  void set_missed_in_force(std::uint64_t samples) { missed_in_force_ = samples; }

  Bytes encode() const;
  /// Replaces everything by what encode() gave. `malformed` (also when a model does not decode under `spec`), `version`;
  /// then nothing changes. What passes the bounds goes.
  Result<void> decode(ByteView bytes, const learner::ModelSpec& spec);

 private:
  void trim();
  Options options_;
  std::uint64_t missed_in_force_ = 0;
  std::vector<FormerModel> formers_;  // in the order in which they were set aside
};

}  // namespace p2p::node

// Have the inputs changed, while no labels come that could tell?
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "learner/drift/embedding_test.hpp"
#include "overlay/node/pending_labels.hpp"
#include "overlay/node/serving.hpp"

namespace p2p::node {

/// Runs the embedding test over all samples, labelled or not, and describes the latest ones without labels.
///
/// An alarm counts only where labels are missing for most of the samples since the change: where they come, the errors
/// tell more (not every change of the inputs does harm), and what they say is the drift monitor's.
///
/// Not in a snapshot: after a restart the test gathers its reference anew (200 samples).
/// Thread: the node's. Cost: the test's, O(dimensions) a sample.
class InputWatch {
 public:
  struct Options {
    double run_length = 1e6;  ///< samples between two false alarms; 0: no watch
  };
  InputWatch(const Options& options, const Serving& serving, const PendingLabels& pending);

  struct Alarm {
    std::uint64_t change = 0;   ///< the latest sample from before the change, by number
    std::size_t since = 0;      ///< samples since
    std::size_t labelled = 0;   ///< of these, with a label
  };
  /// phi: the sample's embedding. After its ticket was given.
  std::optional<Alarm> on_sample(std::span<const float> phi);

  /// Of the samples after number `change` that wait for a label, the latest `most`, oldest first; they hold until the
  /// next sample.
  std::vector<learner::Features> waiting_after(std::uint64_t change, std::size_t most) const;
  /// Their marginal: all are in the first class's column, so only marginal distances mean anything.
  metadata::Fingerprint marginal(std::span<const learner::Features> samples) const;
  /// Samples after `change` whose label has come.
  std::size_t labelled_after(std::uint64_t change) const;
  /// The latest sample's number.
  std::uint64_t latest() const { return pending_.latest(); }

 private:
  const Serving& serving_;
  const PendingLabels& pending_;
  std::optional<learner::EmbeddingTest> test_;
};

}  // namespace p2p::node

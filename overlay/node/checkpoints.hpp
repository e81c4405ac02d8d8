// Copies of the model from a little while ago, so that a trial can start before the samples it is judged on.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "learner/model.hpp"
#include "metadata/fingerprint.hpp"

namespace p2p::node {

/// A model as it was after `samples` samples, and what it had lived through.
struct Checkpoint {
  std::uint64_t samples = 0;
  std::shared_ptr<const learner::Model> model;
  metadata::Fingerprint experience;
};

/// The two latest checkpoints of one model, `every` samples apart.
///
/// Two suffice: the older one is between `every` and 2 * `every` samples old, so a trial always finds that many
/// samples that its starting point has not trained on, and a change that is noticed within `every` samples lies
/// after it. More would only cost memory, which for forests is what counts.
class Checkpoints {
 public:
  explicit Checkpoints(std::size_t every) : every_(every) {}

  /// Starts anew from a model that has just come into force.
  void restart(const learner::Model& model, const metadata::FingerprintBuilder& lived, std::uint64_t samples) {
    older_ = {};
    newer_ = {samples, model.clone(), lived.build()};
  }
  /// After every sample; copies the model when it is time.
  void after_sample(const learner::Model& model, const metadata::FingerprintBuilder& lived, std::uint64_t samples) {
    if (samples < newer_.samples + every_) return;
    older_ = std::exchange(newer_, {samples, model.clone(), lived.build()});
  }
  /// The latest one that is not after `samples`; the oldest there is when all are.
  const Checkpoint& before(std::uint64_t samples) const {
    if (newer_.samples <= samples || !older_.model) return newer_;
    return older_;
  }

 private:
  std::size_t every_;
  Checkpoint older_, newer_;
};

}  // namespace p2p::node

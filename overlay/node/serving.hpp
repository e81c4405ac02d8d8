// The learning half of a node: the model in force, and everything that is kept about its stream.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "learner/drift/drift_monitor.hpp"
#include "learner/fourier_basis.hpp"
#include "learner/metrics.hpp"
#include "learner/model.hpp"
#include "learner/snapshot.hpp"
#include "learner/window.hpp"
#include "metadata/fingerprint.hpp"
#include "metadata/task.hpp"
#include "overlay/node/checkpoints.hpp"
#include "overlay/node/node.hpp"
#include "overlay/node/tape.hpp"

namespace p2p::node {

/// The life of a sample, without any network: test, train, metrics, window, fingerprint, drift monitor.
///
/// Invariant: the model changes by learn(), replace() and load() only.
/// Thread: the node's.
class Serving {
 public:
  struct Options {
    std::size_t window = 200;
    std::size_t checkpoint_every = 100;  ///< 0: no checkpoints, for a node that will never hold a trial
    double fingerprint_half_life = 300;
    learner::DriftMonitor::Options drift;
  };
  /// `invalid_argument` when the task names no known family or impossible parameters.
  static Result<std::unique_ptr<Serving>> make(const metadata::Task& task, const Options& options);

  /// Scaled features of a raw sample; the view holds until the next call.
  Result<learner::Features> scale(std::span<const float> raw) const;

  struct Step {
    learner::ClassIndex predicted = learner::kNoClass;
    learner::DriftSignal signal;
    std::span<const float> phi;  ///< the sample's embedding, until the next call
  };
  /// `earlier`: what was said of this sample when it came, if its label is late. It counts in the metrics; everything
  /// else goes by what the model in force says just before it learns.
  Step learn(learner::Features x, learner::ClassIndex label, std::optional<learner::ClassIndex> earlier = {});

  /// A late label of a sample that the model in force is not to learn: it counts in the metrics alone.
  void count(learner::ClassIndex label, learner::ClassIndex earlier) { metrics_.add(label, earlier); }

  /// The task's embedding of a scaled sample, (embedding_dimensions() x 1); the view holds until the next call.
  std::span<const float> embed(learner::Features x) const;
  std::uint32_t embedding_dimensions() const { return task_.embedding_dimensions; }

  /// Puts another model in force and hands back the former. Checkpoints and monitor start anew: their past says
  /// nothing about this model.
  std::unique_ptr<learner::Model> replace(std::unique_ptr<learner::Model> next);

  const learner::Model& model() const { return *model_; }
  const learner::ModelSpec& spec() const { return model_->spec(); }
  const learner::Prequential& metrics() const { return metrics_; }
  const Checkpoints& checkpoints() const { return checkpoints_; }
  std::uint64_t samples() const { return samples_; }
  /// Counts the models that have been in force: whoever caches something of the model asks for this.
  std::uint64_t generation() const { return generation_; }

  /// What this node has lived through, decayed.
  metadata::Fingerprint fingerprint() const { return fingerprint_.build(); }
  double fingerprint_samples() const { return fingerprint_.samples(); }
  /// The same over the latest `count` samples alone (as far as the window reaches), none decayed.
  metadata::Fingerprint recent_fingerprint(std::size_t count) const;

  /// Classes of which, of the samples seen after `since`, at least `least` came and clearly more (by `loss`) were
  /// mispredicted than of those before, as far as the window reaches.
  struct Suffering {
    std::uint64_t since = 0;
    std::size_t least = 3;
    double loss = 0.2;
  };
  std::vector<learner::ClassIndex> suffering(const Suffering& asked) const;

  /// Accuracy over what the window holds of the time before `samples` were seen; over the whole stream where it holds
  /// nothing of it.
  double accuracy_before(std::uint64_t samples) const;

  /// Over the latest `count` samples, as far as the window reaches.
  double accuracy_of_latest(std::size_t count) const;

  /// Forgets what the fingerprint holds of the time before `since` samples were seen: of `classes`, or of all if
  /// empty. Rebuilt from the window. `correct`: of its latest samples, oldest first, whether the model in force
  /// now had them right; for those before, what was recorded counts.
  void forget_before(std::uint64_t since, std::span<const learner::ClassIndex> classes,
                     const std::vector<bool>& correct);

  /// The window's samples from the `from`-th of the stream on, as far as it reaches back.
  struct Stretch {
    std::uint64_t first = 0;  ///< samples seen before the tape's first one
    Tape tape;
  };
  Stretch since(std::uint64_t from) const;

  /// Into and out of a snapshot's sections; `instead` of the model in force, if not null. `load` changes nothing on error.
  void save(learner::Snapshot& snapshot, const learner::Model* instead = nullptr) const;
  Result<void> load(const learner::Snapshot& snapshot);

 private:
  Serving(const metadata::Task& task, const Options& options, std::unique_ptr<learner::Model> model);

  const metadata::Task& task_;
  Options options_;
  std::unique_ptr<learner::Model> model_;
  learner::Prequential metrics_;
  learner::SampleWindow window_;
  metadata::FingerprintBuilder fingerprint_;
  learner::DriftMonitor monitor_;
  Checkpoints checkpoints_;
  std::shared_ptr<const learner::FourierBasis> basis_;
  std::uint64_t samples_ = 0;
  std::uint64_t generation_ = 0;
  mutable std::vector<float> scaled_;
  mutable std::vector<float> phi_;
};

}  // namespace p2p::node

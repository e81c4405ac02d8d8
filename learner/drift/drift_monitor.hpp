// Puts the tests together: when did this node's stream change, and in which classes?
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "learner/drift/detector.hpp"
#include "learner/model.hpp"

namespace p2p::learner {

/// Why the monitor spoke. The numbers are in saved journals: new ones go to the end.
enum class DriftCause {
  new_class,      ///< a label that the reference window does not have
  class_error,    ///< Cartel's threshold test on one or more classes
  overall_error,  ///< one of the tests on all samples
  known_concept,  ///< a model of an earlier concept does better; said by whoever keeps such models, not by the monitor
  inputs,         ///< the inputs changed while labels were missing; said by whoever watches those, not by the monitor
  confusion,      ///< two classes that are suddenly taken for each other; see ConfusionTest
};
std::string_view name(DriftCause cause);

struct DriftSignal {
  DriftLevel level = DriftLevel::stable;
  DriftCause cause = DriftCause::overall_error;
  /// The classes responsible; empty: all.
  std::vector<ClassIndex> classes;
  /// How many of the latest samples are thought to come after the change (at least 1).
  std::size_t since = 0;
};

/// Watches one labelled stream for four things: labels that were not there before; a rise of the
/// error in all (Shiryaev-Roberts for abrupt changes, ADWIN for slow ones, and the threshold test on
/// the latest `batch` samples); a rise in one class (the threshold test on its latest 12); two classes
/// that are suddenly taken for each other (ConfusionTest).
///
/// A warning is the same tests at a looser level: about once in 20,000 stable samples, and before
/// most drifts that are not abrupt, early enough to fetch something. It changes nothing here.
///
/// What makes a class new is said in NewClasses; a class that went away and comes back is new
/// again, and so is one that was hardly known and becomes frequent. One change is reported once:
/// after a report the tests of the error start anew, and in the cooldown only new classes are
/// reported.
///
/// Reference: Daga et al., "Cartel", SoCC 2019 (threshold test over a window of batches with a
/// permitted loss L); those of Adwin and ShiryaevRoberts.
///
/// Bounds: about 12 KB and 850 bytes a class; saved, 4 KB and 700 bytes a class. Allocates only for
/// a report.
class DriftMonitor {
 public:
  struct Options {
    std::uint32_t classes = 0;
    std::size_t batch = 35;              ///< samples per batch of the threshold test
    std::size_t reference_batches = 10;  ///< W: batches that a new one is compared with
    std::size_t minimum_batches = 3;     ///< W_min: none is tested before so many
    double permitted_loss = 0.2;         ///< L in [0, 1]
    double chance = 1e-6;  ///< of a false alarm in one threshold test; see ThresholdTest
    std::size_t minimum_class_count = 3;  ///< n_min: of a class, before anything is said of it
    double class_chance = 0.002;          ///< of calling a class new that is only rare
    std::size_t cooldown = 70;            ///< samples after a drift in which no other is reported
    double adwin_delta = 0.002;
    double run_length = 1e7;  ///< samples to a false alarm of Shiryaev-Roberts, and of ConfusionTest, on average and at least
    std::size_t warmup = 200;  ///< samples in which everything is new
  };
  explicit DriftMonitor(const Options& options);
  ~DriftMonitor();
  DriftMonitor(DriftMonitor&&) noexcept;
  DriftMonitor& operator=(DriftMonitor&&) noexcept;

  /// Takes one tested sample: what it was, and what the model took it for (kNoClass: something else, it is not known what).
  DriftSignal update(ClassIndex label, ClassIndex predicted);
  /// A new model serves from here on: the past errors are no reference for it.
  void model_replaced();
  /// Makes room for classes that the task did not have; at least as many as now, at most
  /// kMaxClasses.
  void grow(std::uint32_t classes);

  /// The whole state; a monitor decoded with the same options goes on bit-identically.
  Bytes encode() const;
  /// Takes no memory beyond what `options` asks for. `options.classes` may have grown since.
  /// `invalid_argument` when other options were in force, `malformed` when the bytes are damaged.
  static Result<DriftMonitor> decode(const Options& options, ByteView bytes);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace p2p::learner

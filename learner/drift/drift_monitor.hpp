// Puts the tests together: when did this node's stream change, and in which classes?
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "learner/drift/detector.hpp"
#include "learner/model.hpp"

namespace p2p::learner {

/// Why the monitor spoke.
enum class DriftCause {
  new_class,        ///< a label that the reference window does not have
  class_error,      ///< Cartel's threshold test on one or more classes
  overall_error,    ///< ADWIN or the threshold test on all samples
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

/// Watches one labelled stream: ADWIN on the total loss, Cartel's threshold test on batches (overall and
/// per class), and an immediate test for labels that were not there before.
///
/// Reference: Daga et al., "Cartel", SoCC 2019, section on drift detection (threshold test over a window of
/// batches with a permitted loss L); Bifet, Gavalda, "Learning from Time-Changing Data with Adaptive
/// Windowing", SDM 2007.
class DriftMonitor {
 public:
  struct Options {
    std::uint32_t classes = 0;
    std::size_t batch = 35;             ///< samples per batch of the threshold test
    std::size_t reference_batches = 10; ///< W: batches that a new one is compared with
    std::size_t minimum_batches = 3;    ///< W_min: none is tested before so many
    double permitted_loss = 0.2;        ///< L in [0, 1]
    double chance = 1e-5;               ///< of a false alarm in one threshold test; see ThresholdTest
    std::size_t minimum_class_count = 3;///< n_min: of a class, before anything is said of it
    std::size_t class_span = 100;       ///< a new class must have appeared n_min times in so many samples
    std::size_t cooldown = 70;          ///< samples after a drift in which no other is reported
    double adwin_delta = 0.002;
    std::size_t warmup = 200;           ///< samples in which everything is new
  };
  explicit DriftMonitor(const Options& options);
  ~DriftMonitor();
  DriftMonitor(DriftMonitor&&) noexcept;
  DriftMonitor& operator=(DriftMonitor&&) noexcept;

  /// Takes one tested sample: what it was, and whether the model had it right.
  DriftSignal update(ClassIndex label, bool correct);
  /// A new model serves from here on: the past errors are no reference for it.
  void model_replaced();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace p2p::learner

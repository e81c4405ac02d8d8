// Prequential evaluation of one model on one data set: every sample is tested before it trains.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "learner/metrics.hpp"
#include "learner/model.hpp"
#include "metadata/task.hpp"
#include "tools/cli/drift_watch.hpp"
#include "tools/data/open_data.hpp"

namespace p2p::tools {

/// Scaled rows with their classes; (rows x width), row-major.
struct SampleBlock {
  std::size_t width = 0;
  std::vector<float> x;
  std::vector<learner::ClassIndex> labels;

  std::size_t rows() const { return labels.size(); }
  learner::Features row(std::size_t i) const { return {x.data() + i * width, width}; }
};

/// What was passed over or filled in while reading.
struct ReadCounts {
  std::uint64_t unlabelled = 0;  ///< rows without label; nothing can be measured on them
  std::uint64_t missing = 0;     ///< values
  std::uint64_t unknown = 0;     ///< categories that the task does not have
};

/// The samples of a file for one task, a block at a time.
///
/// Memory: one block of at most kBlockValues numbers (one row at least); shuffled, all rows at
/// once, refused beyond kMaxShuffledBytes.
class SampleBlocks {
 public:
  static constexpr std::size_t kBlockValues = 128 * 1024;
  static constexpr std::size_t kBlockRows = 1024;
  static constexpr std::size_t kMaxShuffledBytes = std::size_t{1} << 30;

  /// `samples`: stop after so many; 0: all.
  SampleBlocks(DataFile file, const metadata::Task& task, std::uint64_t samples);
  ~SampleBlocks();
  SampleBlocks(SampleBlocks&&) noexcept;

  /// Reads all that is left and puts it into a random order.
  Result<void> shuffle(std::uint64_t seed);
  /// The next rows; none at the end.
  Result<void> next(SampleBlock& block);
  const ReadCounts& counts() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct EvaluateOptions {
  std::size_t window = 1000;  ///< of the windowed accuracy
  /// Asked after each block; true ends the run there.
  std::function<bool()> stop = {};
};

/// A point of the windowed curve.
struct CurvePoint {
  std::uint64_t sample = 0;
  double accuracy = 0;  ///< over the latest `window` samples before it
};

/// What has been measured so far.
struct Measured {
  learner::Prequential metrics;
  std::vector<CurvePoint> curve{};  ///< at most kCurvePoints, evenly spaced
  std::uint64_t curve_step = 1;
  std::vector<DriftAlarm> alarms{};
  std::uint64_t more_alarms = 0;  ///< beyond kMaxAlarms
  std::uint64_t warnings = 0;
  // Times of the processor, but for the one that says otherwise: another program's work is not
  // measured.
  double learn_s = 0;  ///< predict and learn alone
  double learn_wall_s = 0;
  double detect_s = 0;  ///< the drift detector alone
  double read_s = 0;    ///< reading, inflating, parsing, scaling
  bool stopped = false;

  double samples_per_s() const;
  /// 1 - (1 - accuracy) / (1 - no_change): above 0 is better than repeating the last label.
  double kappa_temporal() const;
};
inline constexpr std::size_t kCurvePoints = 512;
inline constexpr std::size_t kMaxAlarms = 10'000;

/// One pass. `progress` is called after each block. Time is taken with one pair of clock readings
/// per block around predicting and learning, so that neither reading nor the clock itself is
/// measured: time of the processor, not of the wall, or whatever else runs on the machine would be
/// in it.
Result<Measured> evaluate(SampleBlocks& blocks, learner::Model& model, DriftWatch* watch,
                          const EvaluateOptions& options,
                          const std::function<void(const Measured&)>& progress);

struct HeldOut {
  std::uint64_t samples = 0, correct = 0;
  double predict_s = 0;
};
/// Predicts only.
Result<HeldOut> held_out(SampleBlocks& blocks, const learner::Model& model,
                         const std::function<bool()>& stop);

}  // namespace p2p::tools

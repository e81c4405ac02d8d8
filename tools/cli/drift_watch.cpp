#include "tools/cli/drift_watch.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "learner/drift/adwin.hpp"
#include "learner/drift/drift_monitor.hpp"
#include "learner/drift/threshold_test.hpp"

namespace p2p::tools {

namespace {

using learner::DriftLevel;

/// Any detector of one series of losses.
class LossWatch final : public DriftWatch {
 public:
  explicit LossWatch(std::unique_ptr<learner::DriftDetector> detector) : detector_(std::move(detector)) {}

  DriftLevel update(learner::ClassIndex, bool correct, std::string& kind) override {
    const auto level = detector_->update(correct ? 0.0 : 1.0);
    if (level == DriftLevel::drift) kind = "drift";
    return level;
  }

 private:
  std::unique_ptr<learner::DriftDetector> detector_;
};

class MonitorWatch final : public DriftWatch {
 public:
  explicit MonitorWatch(const std::vector<std::string>& classes)
      : classes_(classes), monitor_({.classes = static_cast<std::uint32_t>(classes.size())}) {}

  DriftLevel update(learner::ClassIndex label, bool correct, std::string& kind) override {
    const auto signal = monitor_.update(label, correct);
    if (signal.level == DriftLevel::drift) {
      kind = learner::name(signal.cause);
      for (std::size_t i = 0; i < signal.classes.size(); ++i) {
        kind += (i == 0 ? ": " : ", ") + classes_[static_cast<std::size_t>(signal.classes[i])];
      }
    }
    return signal.level;
  }

 private:
  std::vector<std::string> classes_;
  learner::DriftMonitor monitor_;
};

}  // namespace

std::vector<std::string> drift_watches() { return {"adwin", "threshold", "monitor"}; }

Result<std::unique_ptr<DriftWatch>> make_drift_watch(const std::string& name,
                                                     const std::vector<std::string>& classes) {
  if (name == "monitor") return std::make_unique<MonitorWatch>(classes);
  if (name == "adwin") return std::make_unique<LossWatch>(std::make_unique<learner::Adwin>());
  if (name == "threshold") {
    return std::make_unique<LossWatch>(
        std::make_unique<learner::ThresholdTest>(learner::ThresholdTest::Options{}));
  }
  return fail(ErrorCode::invalid_argument,
              fmt::format("detector \"{}\" is not known; there are {}, none", name.substr(0, 64),
                          fmt::join(drift_watches(), ", ")));
}

}  // namespace p2p::tools

#include "tools/cli/drift_watch.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "learner/drift/drift_monitor.hpp"
#include "learner/fourier_basis.hpp"
#include "overlay/node/node.hpp"

namespace p2p::tools {

namespace {

using learner::DriftLevel;

/// One of learner's detectors with what it watches: losses, labels, or the task's embedding of the
/// samples.
class DetectorWatch final : public DriftWatch {
 public:
  enum class Input { losses, labels, embedding };

  DetectorWatch(std::unique_ptr<learner::DriftDetector> detector, Input input,
                std::shared_ptr<const learner::FourierBasis> basis)
      : detector_(std::move(detector)),
        input_(input),
        basis_(std::move(basis)),
        phi_(basis_ ? basis_->options().dimensions : 0) {}

  DriftLevel update(learner::Features x, learner::ClassIndex label, learner::ClassIndex predicted,
                    std::string& kind) override {
    const auto level = take(x, label, predicted == label);
    if (level == DriftLevel::drift) kind = "drift";
    return level;
  }

 private:
  DriftLevel take(learner::Features x, learner::ClassIndex label, bool correct) {
    switch (input_) {
      case Input::losses:
        return detector_->update(correct ? 0.0 : 1.0);
      case Input::labels:
        return detector_->update(label);
      case Input::embedding:
        basis_->map(x, phi_);
        return detector_->update_vector(phi_);
    }
    return DriftLevel::stable;
  }

  std::unique_ptr<learner::DriftDetector> detector_;
  Input input_;
  std::shared_ptr<const learner::FourierBasis> basis_;
  std::vector<float> phi_;
};

/// What a node watches with.
class MonitorWatch final : public DriftWatch {
 public:
  explicit MonitorWatch(const std::vector<std::string>& classes)
      : classes_(classes), monitor_({.classes = static_cast<std::uint32_t>(classes.size())}) {}

  DriftLevel update(learner::Features, learner::ClassIndex label, learner::ClassIndex predicted,
                    std::string& kind) override {
    const auto signal = monitor_.update(label, predicted);
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

std::vector<std::string> drift_watches() {
  const auto known = learner::detectors();
  std::vector<std::string> out(known.begin(), known.end());
  out.emplace_back("monitor");
  return out;
}

Result<std::unique_ptr<DriftWatch>> make_drift_watch(const std::string& name,
                                                     const metadata::Task& task) {
  if (name == "monitor") return std::make_unique<MonitorWatch>(task.classes);
  const auto known = drift_watches();
  if (std::find(known.begin(), known.end(), name) == known.end()) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("detector \"{}\" is not known; there are {}, none", name.substr(0, 64),
                            fmt::join(known, ", ")));
  }
  using Input = DetectorWatch::Input;
  const auto input = name == "labels"      ? Input::labels
                     : name == "embedding" ? Input::embedding
                                           : Input::losses;
  std::map<std::string, double> params;
  std::shared_ptr<const learner::FourierBasis> basis;
  if (input == Input::labels) params["classes"] = static_cast<double>(task.classes.size());
  if (input == Input::embedding) {
    params["dimensions"] = task.embedding_dimensions;
    basis = learner::FourierBasis::shared(node::embedding_options(task));
  }
  auto detector = learner::make_detector(name, params);
  if (!detector) return tl::unexpected(detector.error());
  return std::make_unique<DetectorWatch>(std::move(*detector), input, std::move(basis));
}

}  // namespace p2p::tools

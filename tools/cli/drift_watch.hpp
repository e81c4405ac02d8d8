// The drift detectors, by name, each with what it watches of one learner's stream.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "learner/drift/detector.hpp"
#include "learner/model.hpp"
#include "metadata/task.hpp"

namespace p2p::tools {

struct DriftAlarm {
  std::uint64_t sample = 0;  ///< how many had been seen; the first is 1
  std::string kind;  ///< "drift"; of the monitor: what it says the cause is, and the classes
};

/// A detector with what it said.
class DriftWatch {
 public:
  virtual ~DriftWatch() = default;
  /// The level after this sample; on drift `kind` says more.
  virtual learner::DriftLevel update(learner::Features x, learner::ClassIndex label, learner::ClassIndex predicted,
                                     std::string& kind) = 0;
};

/// Names that make_drift_watch takes: learner's detectors, and "monitor", the node's own
/// combination.
std::vector<std::string> drift_watches();
Result<std::unique_ptr<DriftWatch>> make_drift_watch(const std::string& name,
                                                     const metadata::Task& task);

}  // namespace p2p::tools

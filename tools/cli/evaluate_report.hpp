// What an evaluation found, as words, as JSON and as a picture.
#pragma once

#include <optional>
#include <string>

#include "tools/cli/evaluate.hpp"
#include "tools/cli/output.hpp"

namespace p2p::tools {

/// Everything that the three forms show.
struct EvaluationReport {
  std::string data;
  metadata::Task task;
  std::string detector;  ///< empty: none
  bool task_inferred = false;
  std::size_t window = 0;
  Measured measured;
  ReadCounts counts;
  std::string test_data = {};  ///< empty: none
  std::optional<HeldOut> test = {};
  std::size_t model_bytes = 0;    ///< memory that the model says it holds
  std::size_t encoded_bytes = 0;  ///< saved
  struct ClassBytes {
    int bits = 32;
    double bytes = 0;  ///< mean over classes of the part that travels for one
  };
  std::vector<ClassBytes> class_bytes = {};
  std::uint64_t peak_memory_bytes = 0;  ///< of the whole process
  double total_s = 0;
};

/// The part of a model that travels for one class, mean over at most 16 of the classes that were
/// seen.
std::vector<EvaluationReport::ClassBytes> class_bytes(const learner::Model& model,
                                                      const learner::Prequential& metrics);

Json to_json(const EvaluationReport& report);
std::string to_text(const EvaluationReport& report);
/// A picture that stands alone: the windowed accuracy, the two trivial classifiers, the alarms.
std::string to_svg(const EvaluationReport& report);

}  // namespace p2p::tools

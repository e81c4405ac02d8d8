// The script of a demonstration: who sees what, and when that changes. A pure function of its
// options.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "metadata/base/error.hpp"

namespace p2p::tools {

/// The two workloads of the Cartel paper, and a change of what the classes themselves look like.
enum class Workload { introduction, fluctuation, real_concept };
std::string_view name(Workload workload);
inline constexpr Workload kWorkloads[] = {Workload::introduction, Workload::fluctuation,
                                          Workload::real_concept};

/// What happens to every sample on its way to a node. Rotation is by 90 degrees, clockwise.
enum class Transform { none, rotated, inverted };
std::string_view name(Transform transform);

/// One change that the script makes, and that the node is expected to notice.
struct Scripted {
  std::size_t node = 0;  ///< index into Scenario::plans
  Workload workload{};
  std::uint64_t at_sample = 0;  ///< samples that the node saw before it
  std::uint64_t until = 0;      ///< the next change of this node's data, or the end of its stream
  std::vector<int> classes{};   ///< that arrive; empty: all stay, their looks change
  Transform transform{};        ///< in force from here on
  bool returning = false;       ///< the classes had been here before
};

/// What a node sees from `from` on.
struct Phase {
  std::uint64_t from = 0;
  std::vector<double> mix;  ///< (classes x 1), sums to 1
  Transform transform{};
};

struct NodePlan {
  std::string name;           ///< "n1" ...
  std::string role;           ///< for people: "introduction", "helper, rotated", ...
  std::vector<Phase> phases;  ///< the first starts at 0
};

struct ScenarioOptions {
  std::uint64_t seed = 1;
  std::size_t nodes = 8;         ///< 4 .. 64
  std::uint64_t samples = 7000;  ///< per node, at least 2800: a phase must leave room to measure
  std::size_t classes = 10;      ///< at least 4
};

/// Roles go round in eights: introduction, fluctuation, real-concept, helper, and the same again;
/// the first helper lives in rotated data, the second in inverted. Every concept that a node
/// changes to is lived in by a helper from the start, and every class is known at several nodes:
/// the script favours nodes that talk, as the papers' settings do ("trends propagate from one
/// location to another").
///
/// - introduction: the node knows half of the classes; at one point the others join, never seen
/// there;
/// - fluctuation: six classes in ten come for three short visits and go again, long absences
/// between;
/// - real_concept: from one point on all images are transformed, labels unchanged.
///
/// Why so large and so short: this learner learns a class or two of Fashion-MNIST within some 50
/// samples, before any help could arrive, and hardly forgets in an absence; a script of single
/// classes that stay measures nothing.
struct Scenario {
  ScenarioOptions options;
  std::vector<NodePlan> plans;
  std::vector<Scripted> script;  ///< ordered by node, then by sample

  /// The phase that a sample of a node belongs to.
  const Phase& phase_at(std::size_t node, std::uint64_t sample) const;
};

/// `invalid_argument` for fewer nodes, samples or classes than the script needs.
Result<Scenario> make_scenario(const ScenarioOptions& options);

/// Which examples each node sees, in order.
struct Draw {
  std::vector<std::vector<std::uint32_t>> examples;  ///< per node: indices into the data set
  std::uint64_t reused = 0;  ///< draws that repeat an example, here or elsewhere
};

/// Draws without replacement over all nodes together, so no node has trained on what another one is
/// tested on; a class that runs out is dealt again from its beginning, and that is counted.
/// `labels`: class of every example of the data set. `invalid_argument` when a class has none.
Result<Draw> draw_streams(const Scenario& scenario, const std::vector<std::uint16_t>& labels);

}  // namespace p2p::tools

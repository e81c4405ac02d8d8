// One run of one kind of drift on real data, and what came of it.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "overlay/node/node.hpp"
#include "tests/simulation/real_streams.hpp"

namespace p2p::testing {

enum class Drift {
  introduction,   ///< a class never seen here
  introductions,  ///< three classes at once
  fluctuation,    ///< rare classes become frequent, frequent ones rare
  mix,            ///< the same, among classes that are all known well
  turned,         ///< inputs turned
  swapped,        ///< two labels swapped
  relabelled,     ///< all labels moved on by one
  recurring,      ///< turned, and back again; nobody else knows either
  recurring_labels,  ///< relabelled, and back again
  staggered,      ///< turned, as two neighbours were before
  strange,        ///< a concept that nobody knows
  misled,         ///< turned; whoever says that he knows it has something else
  poisoned,       ///< turned; 3 of 10 peers have noise
};
std::span<const Drift> drifts();
std::string_view name(Drift drift);

/// What one place came to, and its isolated twin. Samples are counted from the change.
struct Outcome {
  double node = 0, twin = 0;                ///< M3 in samples, delta 0.05; never: the length of what was watched
  bool node_censored = false, twin_censored = false;
  double node_excess = 0, twin_excess = 0;  ///< M4 in samples, over kAfter
  double before = 0;                        ///< accuracy before the change
  double detected = -1, merged_at = -1;     ///< first alarm, first merge in force; -1: none
  std::size_t merges = 0, rolled_back = 0;
  std::size_t held = 0, negative = 0;       ///< merges in force 200 samples later; of these, more errors than the twin
  double final_gain = 0;                    ///< accuracy over the twin's, second half of what was watched
  double whole_gain = 0;                    ///< and over all of it
  std::map<std::string, std::uint64_t> bytes;  ///< on links since the change, by kind; "directory": datagrams and table
  std::uint64_t pulled = 0;                 ///< content of parts
  std::size_t model_bytes = 0;              ///< of a whole model as it would travel
  std::string reason;                       ///< of the first story after the change
};

struct Run {
  Drift drift{};
  std::uint64_t seed = 1;
  node::NodeOptions options;
  overlay::Duration interval = std::chrono::milliseconds(50);  ///< between two samples of a place
};
Outcome run(const DataSet& data, const Run& run);

inline constexpr std::size_t kBefore = 1500, kAfter = 800;

}  // namespace p2p::testing

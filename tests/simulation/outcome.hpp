// What one change at a place came to: the figures of bench_drifts.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/simulation/edge.hpp"

namespace p2p::testing {

/// All times in samples since the change; -1: it did not happen.
struct Outcome {
  std::uint64_t seed = 0;
  std::size_t change = 0;
  double node = 0, twin = 0;                  ///< M3, delta 0.05
  bool node_censored = false, twin_censored = false;
  /// Of the classes concerned alone, where the drift names some, else -1: samples until their recall, over the latest
  /// 10 of them, is within 0.1 of what node or twin, whoever is better, reaches in the last 300 samples.
  double node_class = -1, twin_class = -1;
  double node_class_errors = -1, twin_class_errors = -1;  ///< on these classes, in the first 50 batches
  double node_excess = 0, twin_excess = 0;    ///< M4, H = 50 batches: errors
  double node_net = 0, twin_net = 0;          ///< the same without max(0, .): batches that do better count against it
  double alarm = -1, found = -1, parts = -1, merged = -1;  ///< the first of each; `merged` the last but rolled back
  std::size_t merges = 0, rolled_back = 0, own = 0;  ///< own: merges of an archived concept
  std::size_t in_force = 0;  ///< merges still in force after 200 samples
  std::size_t worse = 0;     ///< of these: the error over these 200 samples is above that of the 50 before the merge, or since the change (M10)
  std::size_t negative = 0;  ///< of these: more errors than the twin over these 200 samples
  std::size_t clearly_negative = 0;  ///< by more than 2 (0.01)
  double final_gap = 0;      ///< accuracy less the twin's over the last 300 samples of the stretch
  std::map<std::string, std::uint64_t> bytes;  ///< of this node's links and lookups, both ways, in the stretch
  std::uint64_t model_bytes = 0, raw_bytes = 0;  ///< raw: samples from the change to the merge (without one: to the twin's recovery)
  double stable_alarms = 0;  ///< alarms per 1000 samples before the first change, the first 300 left out
  std::string story;         ///< for people: what happened, in order
};

struct Setting {
  std::string drift;
  Lengths lengths;
  std::size_t lead = 500;  ///< samples that the others have taken when the measured place begins
  overlay::Duration interval{};
  node::NodeOptions node;
  Choice choice = Choice::by_node;
};

/// One overlay, one seed; an Outcome for each change that the drift's plan measures.
std::vector<Outcome> measure(const RealData& data, const metadata::Task& task, const Setting& setting,
                                std::uint64_t seed);

}  // namespace p2p::testing

// What a demonstration came to: the script held against what the nodes said. Pure functions of
// both.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tools/demo_cmd/node_log.hpp"
#include "tools/demo_cmd/scenario.hpp"

namespace p2p::tools {

/// One scripted change and what became of it. Detected: the node's first alarm between this change
/// and its next.
struct DriftResult {
  Scripted scripted;
  bool reached = false;  ///< the stream got so far
  bool detected = false;
  std::uint64_t delay = 0;     ///< samples from the change to the alarm
  std::vector<Story> stories;  ///< every alarm of the phase, the first is the detection
  Story told;                  ///< the one that helped, else the last followed up
  std::string helper;          ///< its name in this demonstration, or brief id
  std::uint64_t parts = 0, blocks = 0, bytes_pulled = 0;  ///< over all stories of the phase
  std::optional<std::uint64_t> samples_to_merge;  ///< from the change, whatever alarms it took
  std::optional<double> level;  ///< recovery level; nothing: the phase was too short to say
  RecoveryPair recovery;
  std::optional<Censored> ratio;  ///< speed_up; nothing without a level
};

struct NodeResult {
  std::string name, role, id;
  std::uint64_t samples = 0;
  double accuracy = 0, twin_accuracy = 0;
  /// Once there are kRecoveryWindow samples of it.
  std::optional<double> second_half, twin_second_half;

  /// Node minus twin over the second half.
  std::optional<double> gain() const;
  std::uint64_t alarms = 0;
  std::uint64_t false_alarms = 0;  ///< in no scripted phase: nothing in the script explains them
  std::uint64_t repeats = 0;       ///< further alarms within one phase
  Cost cost;
  bool summed_up = false;                ///< the node lived to tell its costs
  std::string death;                     ///< how it died before its time; empty: it did not
  std::vector<std::string> last_errors;  ///< of a dead one: its last lines
  Hits hits, twin_hits;
};

/// Bytes, each counted once although two nodes saw it.
struct ByteCount {
  std::map<std::string, std::uint64_t> by_kind;  ///< "dht", and the links' kinds
  std::uint64_t total = 0;
  std::uint64_t raw = 0;           ///< every sample that was streamed, sent once to one place
  std::uint64_t raw_deflated = 0;  ///< the same after zlib, estimated on a sample
};

struct Medians {
  std::size_t drifts = 0, detected = 0, accepted = 0;
  std::optional<Censored> ratio, node, twin;  ///< of speed-up, and of samples to recover
  std::optional<double> delay;                ///< samples, of the detected
};

/// Medians in milliseconds over accepted stories: what the way from alarm to merged part is made
/// of.
struct StageTimes {
  std::optional<double> lookup, ask, pull, trial, detect_to_merge;
};

struct DemoResult {
  ScenarioOptions options;
  std::string data;  ///< name of the data set
  double rate = 0;
  bool interrupted = false;
  double elapsed_s = 0, stream_s = 0;
  std::vector<std::string> classes;
  std::vector<DriftResult> drifts;
  std::vector<NodeResult> nodes;
  ByteCount bytes;
  std::array<Medians, 3> workloads;  ///< in the order of kWorkloads
  StageTimes stages;
  std::uint64_t images_reused = 0;
};

/// What the result needs beside the logs.
struct ResultInput {
  const Scenario& scenario;
  const std::vector<NodeLog>& logs;  ///< one per plan
  std::vector<std::string> deaths;   ///< one per plan, empty where none
  std::vector<std::vector<std::string>> last_errors;
  std::string data;
  std::vector<std::string> classes;
  std::uint64_t sample_bytes = 0;  ///< one sample on its way to a centre, label included
  double deflate_ratio = 1;        ///< deflated / plain
};
DemoResult make_result(const ResultInput& input);

/// Of several demonstrations together (--seeds): the drifts of all.
Medians medians_of(const std::vector<DriftResult>& drifts, Workload workload);
StageTimes stages_of(const std::vector<DriftResult>& drifts);

/// Nodes by the names that they have here instead of their brief ids.
std::string with_names(std::string text, const std::vector<NodeLog>& logs,
                       const Scenario& scenario);

/// What a kind of traffic is, for people.
std::string_view explain_kind(std::string_view kind);

}  // namespace p2p::tools

// What one node said of itself: the JSON lines of `p2p-learner run`, gathered.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "metadata/base/error.hpp"
#include "tools/demo_cmd/recovery.hpp"

namespace p2p::tools {

/// One drift as its node tells it (node::DriftReport over JSON). Times in milliseconds since
/// detection.
struct Story {
  std::uint64_t id = 0, detected_at = 0, since = 0;
  std::uint64_t part_of = 0;  ///< the drift that this one was left to; 0: it was followed up
  std::string cause;
  std::vector<std::string> classes;
  std::uint64_t gets = 0, candidates = 0;
  std::string helper;  ///< brief id
  double helper_distance = -1;
  std::uint64_t parts = 0, blocks = 0, bytes_pulled = 0;
  bool accepted = false, rolled_back = false;
  bool open = true;  ///< no verdict yet
  std::string reason;
  std::uint64_t merged_at = 0;
  double lookup_ms = 0, ask_ms = 0, pull_ms = 0, trial_ms = 0, detect_to_merge_ms = 0;
};

/// One event line, as the live view tells it.
struct EventNote {
  std::string event;  ///< "drift_detected", "merged", ...
  std::uint64_t samples = 0;
  std::string text;
  std::uint64_t drift = 0;  ///< id of its Story; 0: none
};

/// What a node's process cost, told when it ends.
struct Cost {
  std::map<std::string, std::uint64_t> traffic;  ///< bytes on links by kind, both directions
  std::uint64_t dht_sent = 0, dht_received = 0;
  std::uint64_t rss_bytes = 0, threads = 0;
  double cpu_s = 0;
};

/// Reads lines and remembers. Bounded by the length of the stream that the node was given.
class NodeLog {
 public:
  /// `malformed` when the line is not one that `run` prints; the log is unchanged then.
  Result<void> add(std::string_view line);
  /// The events since the last call.
  std::vector<EventNote> take_news();

  // From "ready".
  bool ready = false;
  std::string id, dht, control;
  // From "progress", the latest.
  std::uint64_t samples = 0;
  double accuracy = 0, windowed = 0, twin_accuracy = 0, twin_windowed = 0;
  std::string phase;
  std::uint64_t bytes_pulled = 0, peers = 0;
  // From "end" and "summary".
  bool at_end = false;
  bool summed_up = false;
  Cost cost;

  Hits node, twin;             ///< one entry per sample
  std::vector<Story> stories;  ///< by detection
  std::uint64_t refused_peers = 0, published = 0;

 private:
  std::vector<EventNote> news_;
};

}  // namespace p2p::tools

// Are the seeds there, and do they belong to one overlay? Asked by short-lived nodes of the
// directory.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "metadata/base/error.hpp"
#include "overlay/executor.hpp"

namespace p2p::tools {

struct SeedReport {
  std::string seed;
  bool reachable = false;
  double took_ms = 0;          ///< until it answered
  std::size_t good_nodes = 0;  ///< that answered within the settling time
};

struct OverlayReport {
  std::vector<SeedReport> seeds;
  /// Pairs of reachable seeds (the first one with each other) where a record put through the first
  /// could not be read through the second.
  std::vector<std::string> split_from_first;
  bool compared = false;  ///< at least two seeds were reachable
};

struct OverlayCheckOptions {
  std::string bind;
  std::string network;
  std::vector<std::string> seeds;
  overlay::Duration answer_within = std::chrono::seconds(5);
  overlay::Duration settle = std::chrono::milliseconds(500);
};

/// Joins through each seed alone, and then passes a record of a task that exists for this moment
/// only from the first seed's side to every other's. The record is signed by a key that is
/// forgotten, and expires by itself. `io` or `in_use` when no socket can be had here.
Result<OverlayReport> check_overlay(const OverlayCheckOptions& options);

}  // namespace p2p::tools

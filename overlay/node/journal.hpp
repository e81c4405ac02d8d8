// What has happened to this node: the stories of its drifts.
#pragma once

#include <vector>

#include "overlay/node/node.hpp"

namespace p2p::node {

/// Adds to a story, within its bounds: a text is cut at kMaxText bytes.
void add_step(DriftReport& report, Step step);

/// Finished and running reports, oldest first; the oldest go. Outlives the process, in the node's snapshot.
class Journal {
 public:
  static constexpr std::size_t kMax = 256;
  static constexpr std::size_t kMaxText = 1024;
  void put(const DriftReport& report);  ///< new, or in place of the one with its id
  const std::vector<DriftReport>& reports() const { return reports_; }
  const DriftReport* find(std::uint64_t id) const;
  /// Ends what was running when the node stopped, at that moment's sample number.
  void interrupt(std::uint64_t samples, std::uint64_t wall_ms);
  /// Grows with every change.
  std::uint64_t version() const { return version_; }

  Bytes encode() const;
  /// Also of the former format. `malformed` for damaged bytes, `version` for a newer format; never a partial result.
  static Result<Journal> decode(ByteView bytes);

 private:
  std::vector<DriftReport> reports_;
  std::uint64_t version_ = 0;
};

}  // namespace p2p::node

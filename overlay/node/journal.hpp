// What has happened to this node: the stories of its drifts.
#pragma once

#include <vector>

#include "overlay/node/node.hpp"

namespace p2p::node {

/// Finished and running reports, oldest first; the oldest go.
class Journal {
 public:
  static constexpr std::size_t kMax = 256;
  void put(const DriftReport& report);  ///< new, or in place of the one with its id
  const std::vector<DriftReport>& reports() const { return reports_; }

 private:
  std::vector<DriftReport> reports_;
};

}  // namespace p2p::node

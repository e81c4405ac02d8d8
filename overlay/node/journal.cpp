#include "overlay/node/journal.hpp"

namespace p2p::node {

void Journal::put(const DriftReport& report) {
  for (auto it = reports_.rbegin(); it != reports_.rend(); ++it) {
    if (it->id == report.id) {
      *it = report;
      return;
    }
  }
  if (reports_.size() == kMax) reports_.erase(reports_.begin());
  reports_.push_back(report);
}

}  // namespace p2p::node

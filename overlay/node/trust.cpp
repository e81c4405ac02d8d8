#include "overlay/node/trust.hpp"

#include <algorithm>

namespace p2p::node {

Trust::Known& Trust::known(const metadata::NodeId& peer, overlay::TimePoint now) {
  if (known_.size() >= kMost && !known_.contains(peer)) {
    known_.erase(std::min_element(known_.begin(), known_.end(), [](const auto& a, const auto& b) {
      return a.second.heard < b.second.heard;
    }));
  }
  auto& known = known_[peer];
  known.heard = now;
  return known;
}

void Trust::record(const metadata::NodeId& peer, double worth, overlay::TimePoint now) {
  auto& mean = known(peer, now).worth;
  mean += kFresh * (std::clamp(worth, -1.0, 1.0) - mean);
}

void Trust::bar(const metadata::NodeId& peer, overlay::TimePoint until, overlay::TimePoint now) {
  known(peer, now).barred_until = until;
}

double Trust::worth(const metadata::NodeId& peer) const {
  const auto it = known_.find(peer);
  return it == known_.end() ? kUnknown : it->second.worth;
}

bool Trust::barred(const metadata::NodeId& peer, overlay::TimePoint now) const {
  const auto it = known_.find(peer);
  return it != known_.end() && it->second.barred_until > now;
}

std::size_t Trust::barred(overlay::TimePoint now) const {
  return static_cast<std::size_t>(std::count_if(known_.begin(), known_.end(), [now](const auto& entry) {
    return entry.second.barred_until > now;
  }));
}

}  // namespace p2p::node

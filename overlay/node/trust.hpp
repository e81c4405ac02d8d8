// What was it worth to have believed this peer before?
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

#include "metadata/crypto.hpp"
#include "overlay/executor.hpp"

namespace p2p::node {

/// This node's own experience with the keys that it pulled from, and nobody else's: hearsay could be forged.
///
/// Worth is the accuracy that a part gained or lost here, -1 .. 1: over its trial, and over the watch if it was undone. Each pull
/// counts kFresh of the mean, so a peer that was good once and now misleads is found out after a few. Bytes that did not
/// decode, verify or merge bar the key for a while.
///
/// Bounds: kMost keys; the one heard of longest ago goes. Thread: the node's.
class Trust {
 public:
  static constexpr std::size_t kMost = 1024;
  static constexpr double kFresh = 0.4;
  /// A key of which nothing is known counts as this, and the mean starts there.
  static constexpr double kUnknown = 0;

  void record(const metadata::NodeId& peer, double worth, overlay::TimePoint now);
  /// Sent what does not verify: not asked until then.
  void bar(const metadata::NodeId& peer, overlay::TimePoint until, overlay::TimePoint now);

  double worth(const metadata::NodeId& peer) const;
  bool barred(const metadata::NodeId& peer, overlay::TimePoint now) const;
  std::size_t barred(overlay::TimePoint now) const;
  std::size_t size() const { return known_.size(); }

 private:
  struct Known {
    double worth = kUnknown;
    overlay::TimePoint barred_until{}, heard{};
  };
  Known& known(const metadata::NodeId& peer, overlay::TimePoint now);
  std::map<metadata::NodeId, Known> known_;
};

}  // namespace p2p::node

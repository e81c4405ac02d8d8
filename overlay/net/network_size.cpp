#include "overlay/net/network_size.hpp"

#include <algorithm>
#include <cmath>

namespace p2p::net {

using metadata::DhtKey;

namespace {

// The distance by exclusive or as a fraction of the key space, in (0, 1]: 64 leading bits are more than a double holds.
double fraction_between(const DhtKey& a, const DhtKey& b) {
  double fraction = 0;
  for (std::size_t i = 8; i-- > 0;) fraction = (fraction + (a[i] ^ b[i])) / 256;
  return fraction + std::ldexp(1.0, -64);
}

}  // namespace

void NetworkSize::add(const DhtKey& key, std::span<const DhtKey> nodes) {
  if (nodes.empty()) return;
  const auto used = nodes.first(std::min(nodes.size(), kNearest));
  std::erase_if(samples_, [&](const Sample& sample) { return sample.key == key; });
  samples_.push_back({key, used.size(), fraction_between(key, used.back())});
  if (samples_.size() > kOperations) samples_.pop_front();
}

double NetworkSize::estimate() const {
  double full = 0, all = 0, nodes = 0, fractions = 0, few = 0;
  for (const Sample& sample : samples_) {
    all += 1;
    if (sample.nodes < kNearest) {
      few += static_cast<double>(sample.nodes + 1);
      continue;
    }
    full += 1;
    nodes += static_cast<double>(sample.nodes);
    fractions += sample.fraction;
  }
  if (all == 0) return 0;
  // A node that has just come finds few nodes of many: where most operations found enough, those that did not are
  // not believed.
  if (2 * full < all) return few / (all - full);
  return std::max((nodes - 1) / fractions, static_cast<double>(kNearest + 1));
}

}  // namespace p2p::net

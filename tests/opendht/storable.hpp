// What a swarm's nodes store.
#pragma once

#include <array>

#include "overlay/dht.hpp"
#include "tests/metadata/storable.hpp"

namespace p2p::swarm {

struct Storable {
  overlay::DhtKey key;
  overlay::DhtValue value;
};

/// Number `number` (below 2^24) of publisher `publisher`: another key for each number.
inline Storable storable(std::uint32_t number, std::size_t publisher, const metadata::Endpoint& endpoint,
                         std::uint64_t wall_ms) {
  std::array<std::uint8_t, 32> seed{};
  for (std::size_t i = 0; i < 8; ++i) seed[i] = static_cast<std::uint8_t>(publisher >> 8 * i);
  const auto key = metadata::KeyPair::from_seed(seed);
  auto made = metadata::testing::storable(key, metadata::tag(metadata::sha256(view("storable"))), number, wall_ms, endpoint);
  return {made.key, {number + 1, std::move(made.record)}};
}

}  // namespace p2p::swarm

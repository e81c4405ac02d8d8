// What the table stores, in one place: a record that every holder's policy accepts.
#pragma once

#include <algorithm>
#include <array>

#include "metadata/record.hpp"
#include "overlay/dht.hpp"

namespace p2p::swarm {

struct Storable {
  overlay::DhtKey key;
  overlay::DhtValue value;
};

/// Number `number` (below 2^24) of publisher `publisher`: another key for each number. `wall_ms` is its stamp, which must
/// be within ten minutes of the holders' clocks.
inline Storable storable(std::uint32_t number, std::size_t publisher, const metadata::Endpoint& endpoint,
                         std::uint64_t wall_ms) {
  std::array<std::uint8_t, 32> seed{};
  for (std::size_t i = 0; i < 8; ++i) seed[i] = static_cast<std::uint8_t>(publisher >> 8 * i);
  const auto key = metadata::KeyPair::from_seed(seed);
  metadata::Entry entry;
  entry.task = metadata::sha256(view("storable"));
  entry.node = key.id();
  entry.place = {.table = 1, .depth = 24, .prefix = number};
  entry.version = wall_ms;
  entry.endpoint = endpoint;
  entry.samples = 1000;
  entry.recall.assign(10, 200);
  return {metadata::place_key(entry.task, entry.place), {number + 1, metadata::seal(entry, key)}};
}

}  // namespace p2p::swarm

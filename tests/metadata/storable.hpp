// What the table stores, in one place: a record that every holder's policy accepts, under a key of the test's choice.
#pragma once

#include "metadata/record.hpp"

namespace p2p::metadata::testing {

struct Storable {
  Place place;
  DhtKey key{};
  Bytes record;
};

/// The bucket with the given 24 bits of prefix in joint table 1.
inline Place numbered_place(std::uint32_t number) { return {Place::Kind::joint, 1, Place::kMaxDepth, number}; }

/// A node's record there: its sketch lies on the sides of the planes that the prefix says. `wall_ms` is its stamp, which
/// must be within ten minutes of the holders' clocks.
inline Storable storable(const KeyPair& key, const TaskTag& task, std::uint32_t number, std::uint64_t wall_ms,
                         const Endpoint& endpoint = {"127.0.0.1", 4000}, std::size_t classes = 10) {
  Entry entry;
  entry.task = task;
  entry.node = key.id();
  entry.version = wall_ms;
  entry.endpoint = endpoint;
  entry.table_port = endpoint.port;
  entry.samples = 1000;
  entry.recall.assign(classes, 14);
  for (std::size_t j = 0; j < Place::kMaxDepth; ++j) {
    const std::size_t coordinate = Sketch::kMarginal + Place::kMaxDepth + j;
    entry.sketch.bytes[2 + coordinate] = static_cast<std::uint8_t>(number >> j & 1 ? 10 : -10);
  }
  const Place place = numbered_place(number);
  return {place, place_key(task, place), pack({place, seal(entry, key)})};
}

}  // namespace p2p::metadata::testing

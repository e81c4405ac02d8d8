// What a part is made of, as its holder lists it: content like any other, known by its own hash.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "overlay/exchange.hpp"

namespace p2p::overlay {

struct BlockLine {
  std::string name;
  std::vector<std::int32_t> classes;
  double evidence = 0;
  std::uint64_t size = 0;
  metadata::Hash hash;
  bool operator==(const BlockLine&) const = default;
};

/// The lines of a part. Two holders that list the same have the same hash, whoever made it.
struct Manifest {
  std::string family;
  std::vector<BlockLine> lines;
  bool operator==(const Manifest&) const = default;
};

/// msgpack: [family, [[name, classes, evidence, size, hash], ...]].
Bytes encode(const Manifest& manifest);

/// What a holder sent. `malformed`: damaged, a name twice, evidence below 0; `limit_exceeded`: more or larger blocks
/// than `limits` allow; `untrusted`: an empty block with a hash that is not of nothing. Memory stays in proportion to
/// `bytes`.
Result<Manifest> decode_manifest(ByteView bytes, const ExchangeLimits& limits);

}  // namespace p2p::overlay

// The learner's state as bytes that can be trusted after a crash: magic, version, length, checksum.
#pragma once

#include "learner/model.hpp"

namespace p2p::learner {

/// Named sections, each opaque to the container.
struct Snapshot {
  static constexpr std::uint32_t kVersion = 1;
  static constexpr std::size_t kMaxBytes = std::size_t{1} << 30;

  struct Section {
    std::string name;
    Bytes content;
  };
  std::vector<Section> sections;

  const Bytes* find(std::string_view name) const;
};

/// "P2PL" u32 version u32 count, then per section u32 name length, name, u32 length, content; CRC-32 last.
Bytes encode(const Snapshot& snapshot);

/// `malformed` for torn or damaged bytes, `version` for a newer format; never a partial result.
Result<Snapshot> decode_snapshot(ByteView bytes);

}  // namespace p2p::learner

// A chunk in fewer bytes: compressed, or as what has changed since a version that both ends have.
#pragma once

#include <cstdint>
#include <memory>

#include "metadata/base/bytes.hpp"
#include "metadata/base/error.hpp"
#include "overlay/messages.hpp"

namespace p2p::overlay {

/// Packs and unpacks chunks with zstd (RFC 8878), level 1. Lossless: what comes out has the content's own hash.
///
/// The parts of a model are numbers at 4, 8 or 32 bits. Of one version alone zstd takes off 5 to 40 %. Of the next
/// version of the same block it is better to pack the differences of its bytes (Coding::difference): numbers that moved
/// by a step or two of their precision become a few small values. Blocks that grow (trees) are better packed with the
/// older version as the beginning of the text (Coding::patch). Both are tried, the shorter one travels. Figures:
/// README.md, printed by bench_parts.
/// Rejected: a dictionary made from other models' blocks (gains a few per cent for small trees and nothing for dense
/// blocks, and would have to be agreed upon); rounding the differences themselves (at 4 bits a number they are longer
/// than the exact differences of 8-bit numbers, and less exact).
/// Bounds: unpacking writes `length` bytes and no more, whatever the frame claims, and needs the memory of one zstd
/// context besides. Packing looks at the first kSample bytes: what they do not save is not tried on the rest.
/// Thread: any, one at a time.
class ChunkCoder {
 public:
  static constexpr std::size_t kSample = 4096;
  static constexpr std::size_t kReach = 128 * 1024;  ///< so far before and after its place an older version is used

  ChunkCoder();
  ~ChunkCoder();
  ChunkCoder(const ChunkCoder&) = delete;
  ChunkCoder& operator=(const ChunkCoder&) = delete;

  struct Piece {
    std::uint64_t offset = 0;  ///< of the chunk in its content
    std::size_t length = 0;
  };
  /// The chunk at `piece` of `content`, which has it; what does not become shorter is lent from there. `base`: an older
  /// version that the receiver has too; may be empty.
  ChunkAnswer pack(ByteView content, Piece piece, ByteView base);
  /// `malformed` when `packed` does not stand for exactly `piece.length` bytes, or needs a base and there is none.
  Result<Bytes> unpack(const ChunkAnswer& packed, Piece piece, ByteView base);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace p2p::overlay

// A packed chunk from a hostile peer: refused, or exactly as long as was asked for. First byte: the coding; the next two:
// the length; the fourth: where in its content it lies.
#include "overlay/chunk_coder.hpp"

using namespace p2p;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 4) return 0;
  static overlay::ChunkCoder coder;
  static const Bytes base = [] {
    Bytes out(3000);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::uint8_t>(i * i / 7);
    return out;
  }();
  const overlay::ChunkCoder::Piece piece{std::uint64_t{data[3]} * 16, static_cast<std::size_t>(data[1] | data[2] << 8)};
  const overlay::ChunkAnswer packed{static_cast<overlay::Coding>(data[0] % 4), Bytes(data + 4, data + size)};
  for (const ByteView older : {ByteView(), ByteView(base)}) {
    const auto back = coder.unpack(packed, piece, older);
    P2P_ASSERT(!back || back->size() == piece.length);
  }
  return 0;
}

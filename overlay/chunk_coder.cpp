#include "overlay/chunk_coder.hpp"

#include <zstd.h>

#include <algorithm>
#include <optional>

namespace p2p::overlay {

namespace {

constexpr int kLevel = 1;

/// Is it worth the receiver's time? Less than a twentieth is not.
bool pays(std::size_t packed, std::size_t plain) { return packed + plain / 20 < plain; }

/// The part of an older version that lies around the chunk's place.
ByteView around(ByteView base, ChunkCoder::Piece piece) {
  const auto begin = std::min<std::uint64_t>(base.size(), piece.offset - std::min<std::uint64_t>(piece.offset, ChunkCoder::kReach));
  const auto end = std::min<std::uint64_t>(base.size(), piece.offset + piece.length + ChunkCoder::kReach);
  return base.subspan(begin, end - begin);
}

/// The older version at the chunk's place; what it lacks counts as 0.
ByteView opposite(ByteView base, ChunkCoder::Piece piece) {
  const auto begin = std::min<std::uint64_t>(base.size(), piece.offset);
  return base.subspan(begin, std::min<std::uint64_t>(base.size() - begin, piece.length));
}

}  // namespace

struct ChunkCoder::State {
  ZSTD_CCtx* packer = nullptr;
  ZSTD_DCtx* unpacker = nullptr;
  ~State() {
    ZSTD_freeCCtx(packer);
    ZSTD_freeDCtx(unpacker);
  }

  std::optional<Bytes> pack(ByteView plain, ByteView prefix) {
    if (packer == nullptr) packer = ZSTD_createCCtx();
    if (packer == nullptr) return std::nullopt;  // no memory: it travels as it is
    ZSTD_CCtx_reset(packer, ZSTD_reset_session_and_parameters);
    ZSTD_CCtx_setParameter(packer, ZSTD_c_compressionLevel, kLevel);
    ZSTD_CCtx_setParameter(packer, ZSTD_c_contentSizeFlag, 0);  // the asker knows how long it is
    if (!prefix.empty()) ZSTD_CCtx_refPrefix(packer, prefix.data(), prefix.size());
    Bytes out(ZSTD_compressBound(plain.size()));
    const auto size = ZSTD_compress2(packer, out.data(), out.size(), plain.data(), plain.size());
    if (ZSTD_isError(size)) return std::nullopt;
    out.resize(size);
    return out;
  }

  std::optional<Bytes> unpack(ByteView packed, std::size_t length, ByteView prefix) {
    if (unpacker == nullptr) unpacker = ZSTD_createDCtx();
    if (unpacker == nullptr) return std::nullopt;
    ZSTD_DCtx_reset(unpacker, ZSTD_reset_session_and_parameters);
    if (!prefix.empty()) ZSTD_DCtx_refPrefix(unpacker, prefix.data(), prefix.size());
    Bytes out(length);
    const auto size = ZSTD_decompressDCtx(unpacker, out.data(), out.size(), packed.data(), packed.size());
    if (ZSTD_isError(size) || size != length) return std::nullopt;
    return out;
  }
};

ChunkCoder::ChunkCoder() : state_(std::make_unique<State>()) {}
ChunkCoder::~ChunkCoder() = default;

ChunkAnswer ChunkCoder::pack(ByteView content, Piece piece, ByteView base) {
  const ByteView plain = content.subspan(piece.offset, piece.length);
  ChunkAnswer best{Coding::plain, {}};
  std::size_t shortest = plain.size();
  const auto consider = [&](Coding coding, std::optional<Bytes> packed) {
    if (!packed || packed->size() >= shortest || !pays(packed->size(), plain.size())) return;
    shortest = packed->size();
    best = {coding, std::move(*packed)};
  };
  if (base.empty()) {
    const auto sample = plain.size() > 2 * kSample ? state_->pack(plain.first(kSample), {}) : std::nullopt;
    if (!sample || pays(sample->size(), kSample)) consider(Coding::packed, state_->pack(plain, {}));
  } else {
    const ByteView old = opposite(base, piece);
    Bytes differences(plain.begin(), plain.end());
    for (std::size_t i = 0; i < old.size(); ++i) differences[i] = static_cast<std::uint8_t>(plain[i] - old[i]);
    consider(Coding::difference, state_->pack(differences, {}));
    consider(Coding::patch, state_->pack(plain, around(base, piece)));
  }
  if (best.coding == Coding::plain) best.lent = plain;
  return best;
}

Result<Bytes> ChunkCoder::unpack(const ChunkAnswer& packed, Piece piece, ByteView base) {
  const auto bad = [] { return fail(ErrorCode::malformed, "the peer sent a chunk that does not unpack to what was asked for"); };
  const bool of_base = packed.coding == Coding::patch || packed.coding == Coding::difference;
  if (of_base && base.empty()) return bad();
  if (packed.coding == Coding::plain) {
    if (packed.content().size() != piece.length) return bad();
    return Bytes(packed.content().begin(), packed.content().end());
  }
  auto out = state_->unpack(packed.content(), piece.length, packed.coding == Coding::patch ? around(base, piece) : ByteView());
  if (!out) return bad();
  if (packed.coding == Coding::difference) {
    const ByteView old = opposite(base, piece);
    for (std::size_t i = 0; i < old.size(); ++i) (*out)[i] = static_cast<std::uint8_t>((*out)[i] + old[i]);
  }
  return std::move(*out);
}

}  // namespace p2p::overlay

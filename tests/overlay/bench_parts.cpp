// What a model part costs on the wire: bench_parts DIR [warm=5000]      DIR has Fashion-MNIST or MNIST as idx .gz
// Each family learns `warm` samples (the forests a fifth of them), then 20 and 180 more. Its whole part is packed block
// by block as links do it: alone, and as what has changed since the version before these 20 and 200 samples. Beside
// it what was rejected: a dictionary trained on the blocks of a model with other samples, the older version as a prefix
// only, and differences rounded to 4 bits a number. All figures are bytes, a share of `bytes`.
#include <zdict.h>
#include <zstd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "learner/model.hpp"
#include "learner/transfer/quantise.hpp"
#include "overlay/chunk_coder.hpp"
#include "tests/learner/idx.hpp"

namespace p2p {
namespace {

using Clock = std::chrono::steady_clock;
using learner::Part;
using learner::Precision;

constexpr Precision kPrecisions[] = {Precision::bits4, Precision::bits8, Precision::bits32};
constexpr std::size_t kChunk = 65536;
constexpr std::size_t kDictionary = 16384;

struct Packed {
  std::size_t bytes = 0;
  double seconds = 0, unpack_seconds = 0;
};

const Bytes* find(const Part& part, const std::string& name) {
  for (const auto& block : part.blocks) {
    if (block.name == name) return &block.content;
  }
  return nullptr;
}

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// As links pack it; what is unchanged does not travel.
Packed pack(const Part& part, const Part* before) {
  overlay::ChunkCoder coder;
  Packed out;
  for (const auto& block : part.blocks) {
    const Bytes* base = before == nullptr ? nullptr : find(*before, block.name);
    if (base != nullptr && *base == block.content) continue;
    const ByteView older = base == nullptr ? ByteView() : ByteView(*base);
    for (std::size_t at = 0; at < block.content.size(); at += kChunk) {
      const overlay::ChunkCoder::Piece piece{at, std::min(kChunk, block.content.size() - at)};
      const auto start = Clock::now();
      const auto chunk = coder.pack(block.content, piece, older);
      out.seconds += since(start);
      const auto middle = Clock::now();
      if (!coder.unpack(chunk, piece, older)) std::abort();
      out.unpack_seconds += since(middle);
      out.bytes += chunk.bytes.size();
    }
  }
  return out;
}

std::size_t zstd(ByteView plain, ByteView prefix, const ZSTD_CDict* dictionary) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, 1);
  ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
  ZSTD_CCtx_setParameter(context, ZSTD_c_dictIDFlag, 0);
  if (!prefix.empty()) ZSTD_CCtx_refPrefix(context, prefix.data(), prefix.size());
  if (dictionary != nullptr) ZSTD_CCtx_refCDict(context, dictionary);
  Bytes out(ZSTD_compressBound(plain.size()));
  const auto size = ZSTD_compress2(context, out.data(), out.size(), plain.data(), plain.size());
  ZSTD_freeCCtx(context);
  return std::min(size, plain.size());
}

std::size_t with_dictionary(const Part& part, const Part& other) {
  Bytes samples, dictionary(kDictionary);
  std::vector<std::size_t> sizes;
  for (const auto& block : other.blocks) {
    samples.insert(samples.end(), block.content.begin(), block.content.end());
    sizes.push_back(block.content.size());
  }
  const auto size = ZDICT_trainFromBuffer(dictionary.data(), dictionary.size(), samples.data(), sizes.data(),
                                          static_cast<unsigned>(sizes.size()));
  if (ZDICT_isError(size)) return 0;
  ZSTD_CDict* made = ZSTD_createCDict(dictionary.data(), size, 1);
  std::size_t bytes = 0;
  for (const auto& block : part.blocks) bytes += zstd(block.content, {}, made);
  ZSTD_freeCDict(made);
  return bytes;
}

std::size_t with_prefix(const Part& part, const Part& before) {
  std::size_t bytes = 0;
  for (const auto& block : part.blocks) {
    const Bytes* base = find(before, block.name);
    if (base != nullptr && *base == block.content) continue;
    bytes += zstd(block.content, base == nullptr ? ByteView() : ByteView(*base), nullptr);
  }
  return bytes;
}

void measure(std::string_view family, const learner::bench::DataSet& data, std::size_t warm, Packed (&sum)[2],
             std::size_t& sum_bytes) {
  const learner::ModelSpec spec{std::string(family), data.features, data.classes, 1, 0.02, {}};
  auto made = learner::make_model(spec);
  auto stranger = learner::make_model(spec);
  if (!made || !stranger) return;
  learner::Model& model = **made;
  if (family == "arf" || family == "orf") warm /= 5;
  const auto learn = [&data](learner::Model& who, std::size_t from, std::size_t count) {
    for (std::size_t i = from; i < from + count; ++i) who.predict_then_learn(data.row(i % data.rows()), data.y[i % data.rows()]);
  };
  learn(model, 0, warm);
  learn(**stranger, 30000, warm);
  Part at[3][3];  // when, precision
  for (std::size_t when = 0; when < 3; ++when) {
    if (when > 0) learn(model, warm + (when == 1 ? 0 : 20), when == 1 ? 20 : 180);
    for (std::size_t p = 0; p < 3; ++p) at[when][p] = model.partition({}, kPrecisions[p]);
  }
  for (std::size_t p = 0; p < 3; ++p) {
    const Part& now = at[2][p];
    const auto raw = static_cast<double>(now.bytes());
    const auto alone = pack(now, nullptr), soon = pack(at[1][p], &at[0][p]), later = pack(now, &at[0][p]);
    const auto dictionary = with_dictionary(now, (*stranger)->partition({}, kPrecisions[p]));
    const auto rounded = learner::numbers_bytes(at[2][2].bytes() / 4, Precision::bits4);
    std::printf("%-10s %2d bits %8zu bytes  alone %.2f  next version: after 20 samples %.2f, after 200 %.2f"
                "  | dictionary ",
                spec.family.c_str(), static_cast<int>(kPrecisions[p]), now.bytes(), static_cast<double>(alone.bytes) / raw,
                static_cast<double>(soon.bytes) / static_cast<double>(at[1][p].bytes()), static_cast<double>(later.bytes) / raw);
    if (dictionary == 0) {
      std::printf("none");
    } else {
      std::printf("%.2f", static_cast<double>(dictionary) / raw);
    }
    std::printf("  prefix only %.2f  rounded to 4 bits %.2f\n", static_cast<double>(with_prefix(now, at[0][p])) / raw,
                static_cast<double>(rounded) / raw);
    if (p != 1) continue;
    sum[0].seconds += alone.seconds, sum[0].unpack_seconds += alone.unpack_seconds;
    sum[1].seconds += later.seconds, sum[1].unpack_seconds += later.unpack_seconds;
    sum_bytes += now.bytes();
  }
}

}  // namespace
}  // namespace p2p

int main(int argc, char** argv) {
  using namespace p2p;
  if (argc < 2) {
    std::puts("usage: bench_parts DIR [warm=5000]");
    return 2;
  }
  const std::size_t warm = argc > 2 && std::strncmp(argv[2], "warm=", 5) == 0 ? std::strtoul(argv[2] + 5, nullptr, 10) : 5000;
  const auto data = learner::bench::read_idx(argv[1], "train");
  Packed sum[2];
  std::size_t bytes = 0;
  for (const auto family : learner::families()) measure(family, data, warm, sum, bytes);
  const double mb = static_cast<double>(bytes) / 1e6;
  std::printf("processor time at 8 bits, ms per MB: alone pack %.1f, unpack %.1f; next version pack %.1f, unpack %.1f\n",
              sum[0].seconds / mb * 1e3, sum[0].unpack_seconds / mb * 1e3, sum[1].seconds / mb * 1e3,
              sum[1].unpack_seconds / mb * 1e3);
}

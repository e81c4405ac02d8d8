// metadata::Document: any bytes either parse within the limits or are refused; every value can be walked.
#include "metadata/codec.hpp"

using namespace p2p;

namespace {
std::size_t walk(metadata::Value value, std::size_t depth) {
  P2P_ASSERT(depth <= 16);
  std::size_t seen = 1;
  const bool is_map = value.kind() == metadata::Value::Kind::map;
  if (!is_map && value.kind() != metadata::Value::Kind::array) return seen;
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (is_map) {
      const auto [key, item] = value.entry(i);
      seen += walk(key, depth + 1) + walk(item, depth + 1);
    } else {
      seen += walk(value[i], depth + 1);
    }
  }
  return seen;
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto document = metadata::Document::parse({data, size}, {.bytes = 4096, .depth = 16, .elements = 1024});
  if (document) P2P_ASSERT(walk(document->root(), 0) <= 2 * 1024 + 2);
  return 0;
}

// Tasks, as TOML from an operator and as canonical bytes from a peer. What decodes encodes to the same bytes.
#include "metadata/task.hpp"

using namespace p2p;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes{data, size};
  if (const auto task = metadata::decode_task(bytes)) {
    const auto again = metadata::decode_task(metadata::canonical(*task));
    P2P_ASSERT(again && *again == *task);
  }
  if (const auto task = metadata::parse_task(to_string(bytes), "fuzz")) {
    const auto again = metadata::parse_task(metadata::to_toml(*task), "fuzz");
    P2P_ASSERT(again && metadata::id(*again) == metadata::id(*task));
  }
  return 0;
}

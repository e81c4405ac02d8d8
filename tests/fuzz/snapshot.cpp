// The snapshot container and the metrics in it.
#include "learner/metrics.hpp"
#include "learner/snapshot.hpp"

using namespace p2p;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes{data, size};
  if (const auto snapshot = learner::decode_snapshot(bytes)) {
    const auto again = learner::encode(*snapshot);
    P2P_ASSERT(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()));
  }
  (void)learner::Prequential::decode(bytes);
  return 0;
}

// The node's journal and its former models, out of a snapshot whose checksum an attacker has put right.
#include "overlay/node/former_models.hpp"
#include "overlay/node/journal.hpp"
#include "tests/fuzz/models.hpp"

using namespace p2p;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes{data, size};
  if (auto journal = node::Journal::decode(bytes)) {
    const auto again = journal->encode();
    const bool older = bytes[0] != again[0];  // is written anew in the present format
    P2P_ASSERT(older || std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()));
    P2P_ASSERT(node::Journal::decode(again)->encode() == again);
    journal->interrupt(1, 1);
    for (const auto& report : journal->reports()) P2P_ASSERT(report.finished);
    P2P_ASSERT(node::Journal::decode(journal->encode()).has_value());
  }
  static const auto spec = fuzz::trained("softmax", 30, 1)->spec();
  node::FormerModels formers({.models = 64, .bytes = 1u << 30});
  if (formers.decode(bytes, spec)) P2P_ASSERT(formers.all().size() <= 64);
  return 0;
}

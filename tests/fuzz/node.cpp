// A node's whole snapshot, with a checksum that fits: refused, and the node is as it was, or one that learns on, undoes
// its merges, and saves what it would load again. The input is the snapshot without its checksum.
#include <cmath>

#include "overlay/node/node.hpp"
#include "overlay/sim/simulation.hpp"
#include "tests/fuzz/nodes.hpp"

using namespace p2p;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ByteWriter whole;
  whole.put_array(std::span(data, size));
  whole.put(crc32({data, size}));
  sim::Simulation simulation(1);
  simulation.add_host();
  const auto node = fuzz::make_node(simulation.host(0));
  if (!node->restore(whole.bytes())) {
    P2P_ASSERT(node->status().samples == 0 && node->drifts().empty() && node->library().all().empty());
  }
  P2P_ASSERT(node->restore(node->snapshot()).has_value());
  fuzz::feed(*node, 40);
  const auto late = node->process(fuzz::kInput, std::nullopt);
  P2P_ASSERT(late.has_value() && node->label(late->ticket, 1).has_value());
  const auto drifts = node->drifts();
  for (const auto& report : drifts) {
    if (node->rollback(report.id)) (void)node->redo(report.id);
  }
  const auto status = node->status();
  P2P_ASSERT(std::isfinite(status.accuracy) && std::isfinite(status.windowed_accuracy));
  const auto saved = node->snapshot();
  P2P_ASSERT(node->restore(saved).has_value());
  P2P_ASSERT(node::drifts_in(saved).has_value());
  return 0;
}

// A small node without a network, for the target that damages its snapshot and for the seed of that.
#pragma once

#include <memory>
#include <utility>

#include "overlay/node/node.hpp"
#include "overlay/sim/simulation.hpp"
#include "tests/fuzz/models.hpp"

namespace p2p::fuzz {

inline metadata::Task node_task() {
  metadata::Task task;
  task.name = "fuzz";
  task.features = {{.name = "a", .count = kFeatures}};
  task.classes = {"x", "y", "z"};
  task.family = "softmax";
  task.embedding_dimensions = 8;
  task.bandwidth = 1;
  return task;
}

/// One whose windows are so short that a few hundred samples fill everything that is saved.
inline std::unique_ptr<node::Node> make_node(sim::Host& host) {
  node::NodeOptions options;
  options.window = 40;
  options.checkpoint_every = 20;
  options.fingerprint_half_life = 0;
  options.library.bytes = 1u << 20;
  auto made = node::Node::make(node_task(), options,
                               {.executor = host.executor(), .transport = nullptr, .directory = nullptr, .key = host.key(), .on_event = nullptr});
  P2P_ASSERT(made.has_value());
  return std::move(*made);
}

/// `shift`: which class is meant by which inputs.
inline void feed(node::Node& node, int samples, int shift = 0) {
  Random random(5);
  for (int i = 0; i < samples; ++i) {
    const int y = i % 3;
    std::array<float, kFeatures> x{};
    for (auto& value : x) value = static_cast<float>(random.uniform() * 0.3 + 0.3 * y);
    P2P_ASSERT(node.process(x, (y + shift) % 3).has_value());
  }
}

}  // namespace p2p::fuzz

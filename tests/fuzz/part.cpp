// A block from a hostile peer: refused without a trace, or merged into a model that still works.
#include <array>

#include "learner/model.hpp"

using namespace p2p;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const bool forest = data[0] % 2 != 0;
  const learner::ModelSpec spec{.family = forest ? "orf" : "rff",
                                .features = 4,
                                .classes = 3,
                                .seed = 1,
                                .bandwidth = 1,
                                .params = forest ? std::map<std::string, double>{{"trees", 3}}
                                                 : std::map<std::string, double>{{"dimensions", 8}}};
  auto model = learner::make_model(spec);
  P2P_ASSERT(model.has_value());
  std::array<float, 4> x{0.1f, 0.9f, -1.0f, 0.5f};
  for (int i = 0; i < 8; ++i) (*model)->learn(x, i % 3);
  const auto before = (*model)->encode();
  learner::Part part{.family = spec.family, .blocks = {}};
  part.blocks.push_back({.name = forest ? "tree/1" : "class/1", .classes = {1}, .evidence = 50, .content = {data + 1, data + size}});
  const auto mode = data[0] & 2 ? learner::MergeOptions::Mode::blend : learner::MergeOptions::Mode::replace;
  if (!(*model)->merge(part, {.classes = {1}, .mode = mode})) {
    P2P_ASSERT((*model)->encode() == before);
  } else {
    const auto predicted = (*model)->predict_then_learn(x, 1);
    P2P_ASSERT(predicted >= 0 && predicted < 3);
  }
  return 0;
}

// A block from a hostile peer among sound ones: refused without a trace, or merged into a model that still works.
// First byte: which family; second: lowest bit the mode of the merge, the others which block is replaced.
#include "tests/fuzz/models.hpp"

using namespace p2p;

namespace {

struct Pair {
  std::unique_ptr<learner::Model> target;
  learner::Part sound;
};

const Pair& pair_of(std::size_t index) {
  static std::vector<Pair> pairs = [] {
    std::vector<Pair> out;
    for (const auto family : learner::families()) {
      out.push_back({fuzz::trained(family, 30, 1), fuzz::trained(family, 60, 2)->partition({})});
    }
    return out;
  }();
  return pairs[index % pairs.size()];
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const Pair& pair = pair_of(data[0]);
  learner::Part part = pair.sound;
  part.blocks[(data[1] >> 1) % part.blocks.size()].content = {data + 2, data + size};
  auto model = pair.target->clone();
  const auto mode = data[1] & 1 ? learner::MergeOptions::Mode::blend : learner::MergeOptions::Mode::replace;
  if (!model->merge(part, {.classes = {1}, .mode = mode})) {
    P2P_ASSERT(model->encode() == pair.target->encode());
  } else {
    fuzz::exercise(*model);
  }
  return 0;
}

// Model state from a damaged or hostile snapshot: refused, or a model that predicts, learns and shares.
#include <array>

#include "learner/model.hpp"

using namespace p2p;

namespace {
void exercise(const learner::ModelSpec& spec, ByteView bytes) {
  auto model = learner::decode_model(spec, bytes);
  if (!model) return;
  std::array<float, 4> x{0.1f, 0.9f, -1.0f, 0.5f};
  const auto predicted = (*model)->predict_then_learn(x, 1);
  P2P_ASSERT(predicted >= 0 && predicted < static_cast<learner::ClassIndex>(spec.classes));
  (void)(*model)->partition({});
  (void)(*model)->encode();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteView rest{data + 1, size - 1};
  if (data[0] % 2 == 0) {
    exercise({.family = "rff", .features = 4, .classes = 3, .seed = 1, .bandwidth = 1, .params = {{"dimensions", 8}}}, rest);
  } else {
    exercise({.family = "orf", .features = 4, .classes = 3, .seed = 1, .bandwidth = 1, .params = {{"trees", 3}}}, rest);
  }
  return 0;
}

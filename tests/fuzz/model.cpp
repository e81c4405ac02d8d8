// Model state from a damaged or hostile snapshot: refused, or a model that predicts, learns and shares.
// First byte: which family.
#include "tests/fuzz/models.hpp"

using namespace p2p;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto family = learner::families()[data[0] % learner::families().size()];
  if (auto model = learner::decode_model(fuzz::spec_of(family), {data + 1, size - 1})) fuzz::exercise(**model);
  return 0;
}

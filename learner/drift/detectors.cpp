#include "learner/drift/detector.hpp"

namespace p2p::learner {

DriftLevel DriftDetector::update_vector(std::span<const float> values) {
  P2P_ASSERT(values.size() == arity() && arity() == 1);
  return update(static_cast<double>(values[0]));
}

}  // namespace p2p::learner

#include "learner/drift/state.hpp"

#include <fmt/core.h>

namespace p2p::learner {

Result<void> StateReader::result(std::string_view what) const {
  if (ok()) return {};
  return fail(ErrorCode::malformed,
              fmt::format("the state of {} is {}; start it anew", what,
                          in_.ok() ? "damaged: its numbers contradict each other" : "cut short"));
}

}  // namespace p2p::learner

// The one place where a model's blocks become blocks that travel, and back.
#pragma once

#include "learner/model.hpp"
#include "overlay/exchange.hpp"

namespace p2p::node {

/// Blocks that have seen nothing are left out: they have nothing to teach.
overlay::Offer to_offer(learner::Part part);

/// What came over a link, as a part that a model can check. Claims (classes, evidence) are taken as they are:
/// Model::merge is the judge.
learner::Part to_part(overlay::PulledPart pulled);

}  // namespace p2p::node

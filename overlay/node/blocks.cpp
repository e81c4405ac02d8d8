#include "overlay/node/blocks.hpp"

#include <utility>

namespace p2p::node {

overlay::Offer to_offer(learner::Part part) {
  overlay::Offer offer;
  offer.family = std::move(part.family);
  offer.blocks.reserve(part.blocks.size());
  for (auto& block : part.blocks) {
    if (!(block.evidence > 0)) continue;
    offer.blocks.push_back(
        {std::move(block.name), std::move(block.classes), block.evidence, std::move(block.content)});
  }
  return offer;
}

learner::Part to_part(overlay::PulledPart pulled) {
  learner::Part part;
  part.family = std::move(pulled.family);
  part.blocks.reserve(pulled.blocks.size());
  for (auto& block : pulled.blocks) {
    part.blocks.push_back(
        {std::move(block.name), std::move(block.classes), block.evidence, std::move(block.content)});
  }
  return part;
}

}  // namespace p2p::node

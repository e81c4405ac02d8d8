#include "overlay/node/showcase.hpp"

#include <algorithm>
#include <utility>

#include "overlay/node/blocks.hpp"

namespace p2p::node {

Showcase::Showcase(overlay::Executor& executor, const Serving& serving, const Library& library, metadata::TaskId task,
                   metadata::KeyPair key, learner::Precision precision)
    : executor_(executor),
      serving_(serving),
      library_(library),
      task_(task),
      key_(std::move(key)),
      precision_(precision) {}

bool Showcase::fresh(overlay::TimePoint made, std::uint64_t generation) const {
  return generation == serving_.generation() && executor_.now() - made < kLife;
}

Bytes Showcase::describe(const metadata::TaskId& task) {
  if (task != task_ || serving_.samples() == 0) return {};
  if (description_.empty() || !fresh(described_, described_generation_)) {
    version_ = std::max(version_ + 1, executor_.wall_ms());  // grows even when the clock is set back
    description_ = metadata::seal(
        metadata::Description{
            .task = task_, .node = key_.id(), .version = version_, .fingerprint = serving_.fingerprint()},
        key_);
    described_ = executor_.now();
    described_generation_ = serving_.generation();
  }
  return description_;
}

std::shared_ptr<const overlay::Offer> Showcase::offer(const metadata::TaskId& task,
                                                      std::vector<learner::ClassIndex> classes) {
  std::sort(classes.begin(), classes.end());
  classes.erase(std::unique(classes.begin(), classes.end()), classes.end());
  if (!classes.empty() &&
      (classes.front() < 0 || static_cast<std::uint32_t>(classes.back()) >= serving_.spec().classes)) {
    return nullptr;
  }
  if (task != task_) return archived(task, classes);
  std::erase_if(offers_, [this](const Kept& kept) { return !fresh(kept.made, kept.generation); });
  for (const auto& kept : offers_) {
    if (kept.classes == classes) return kept.offer;
  }
  auto offer = std::make_shared<const overlay::Offer>(to_offer(serving_.model().partition(classes, precision_)));
  if (offer->blocks.empty()) return nullptr;
  if (offers_.size() == kOffers) offers_.erase(offers_.begin());
  offers_.push_back({std::move(classes), serving_.generation(), executor_.now(), offer});
  return offer;
}

std::shared_ptr<const overlay::Offer> Showcase::archived(const metadata::TaskId& task,
                                                         const std::vector<learner::ClassIndex>& classes) const {
  for (const auto& archived : library_.all()) {
    if (archived.fetched || metadata::concept_task(task_, archived.id) != task) continue;
    learner::Part part{archived.part.family, {}};
    for (const auto& block : archived.part.blocks) {
      const bool wanted = classes.empty() || block.classes.empty() ||
                          std::any_of(block.classes.begin(), block.classes.end(), [&](learner::ClassIndex c) {
                            return std::binary_search(classes.begin(), classes.end(), c);
                          });
      if (wanted) part.blocks.push_back(block);
    }
    auto offer = std::make_shared<const overlay::Offer>(to_offer(std::move(part)));
    return offer->blocks.empty() ? nullptr : offer;
  }
  return nullptr;
}

}  // namespace p2p::node

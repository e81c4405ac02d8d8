#include "overlay/node/scout.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "metadata/record.hpp"
#include "metadata/similarity.hpp"
#include "overlay/node/blocks.hpp"

namespace p2p::node {
namespace {

constexpr overlay::Duration kHour = std::chrono::hours(1);
constexpr double kMastered = 0.1;  // that an accuracy may be below the former one, for a concept to count as learned

bool far_apart(const metadata::Fingerprint& a, const metadata::Fingerprint& b) {
  return metadata::joint_distance(a, b) > Library::kSame * metadata::same_distance(a, b);
}

}  // namespace

void Scout::start() {
  if (options_.neighbours == 0 || stopped_) return;
  hour_began_ = context_.executor.now();
  arm();
}

void Scout::stop() {
  stopped_ = true;
  timer_.reset();
}

void Scout::arm() {
  timer_ = context_.executor.after(options_.interval, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self || self->stopped_) return;
    self->look();
    self->arm();
  });
}

void Scout::look() {
  if (context_.unsettled() || context_.serving.samples() == 0) return;
  const auto weak = weak_from_this();
  if (rounds_++ % std::max<std::size_t>(1, options_.renew) == 0 || neighbours_.empty()) {
    directory::LookupOptions lookup;
    lookup.want = options_.neighbours;
    metadata::Need need;
    need.experience = context_.serving.fingerprint();
    context_.directory.lookup(need, lookup, [weak](directory::LookupResult result) {
      if (const auto self = weak.lock(); self && !self->stopped_) self->met(std::move(result));
    });
    return;
  }
  for (std::size_t i = 0; i < neighbours_.size(); ++i) {
    const auto peer = neighbours_[i].peer;
    context_.exchange.describe(peer, context_.task, context_.serving.spec().classes,
                               [weak, i, peer](Result<metadata::Description> answer) {
                                 if (const auto self = weak.lock(); self && !self->stopped_) {
                                   self->described(i, peer, std::move(answer));
                                 }
                               });
  }
}

void Scout::met(directory::LookupResult result) {
  std::vector<Neighbour> next;
  for (auto& candidate : result.candidates) {
    if (!candidate.fingerprint || next.size() == options_.neighbours) continue;
    if (context_.trust.barred(candidate.entry.node, context_.executor.now())) continue;
    // An old acquaintance is compared with what it was, or a renewal would hide its news.
    const auto known = std::find_if(neighbours_.begin(), neighbours_.end(), [&](const Neighbour& neighbour) {
      return neighbour.peer.id == candidate.entry.node;
    });
    next.push_back({{candidate.entry.node, candidate.entry.endpoint},
                    known != neighbours_.end() ? known->known : std::move(*candidate.fingerprint)});
  }
  // Whoever has moved away from here is no longer among the nearest, but it is just its news that count.
  for (auto& neighbour : neighbours_) {
    const bool again = std::any_of(next.begin(), next.end(),
                                   [&](const Neighbour& other) { return other.peer.id == neighbour.peer.id; });
    if (!again && next.size() < 2 * options_.neighbours) next.push_back(std::move(neighbour));
  }
  neighbours_ = std::move(next);
}

void Scout::described(std::size_t index, const overlay::Exchange::Peer& peer, Result<metadata::Description> answer) {
  if (index >= neighbours_.size() || neighbours_[index].peer.id != peer.id) return;  // renewed meanwhile
  if (!answer) return;
  auto& now = answer->fingerprint;
  auto& before = neighbours_[index].known;
  if (now.dimensions != before.dimensions || now.classes != before.classes || !news(before, now) || fetching_) return;
  fetch(peer, now);
  before = std::move(now);
}

bool Scout::news(const metadata::Fingerprint& before, const metadata::Fingerprint& now) const {
  const auto own = context_.serving.fingerprint();
  for (std::size_t c = 0; c < now.classes; ++c) {
    if (metadata::known_well(now, c) && !metadata::known_well(before, c) && own.count[c] < 1) return true;
  }
  return far_apart(now, before) && far_apart(now, own) &&
         now.overall_accuracy() > before.overall_accuracy() - kMastered;
}

void Scout::fetch(const overlay::Exchange::Peer& peer, metadata::Fingerprint fingerprint) {
  const auto now = context_.executor.now();
  if (now - hour_began_ >= kHour) {
    hour_began_ = now;
    bytes_this_hour_ = 0;
  }
  if (bytes_this_hour_ >= options_.bytes_per_hour) return;
  fetching_ = true;
  context_.exchange.pull({peer}, context_.task, {},
                         [weak = weak_from_this(), peer, fingerprint = std::move(fingerprint)](
                             Result<overlay::PulledPart> pulled) mutable {
                           const auto self = weak.lock();
                           if (!self || self->stopped_) return;
                           self->fetching_ = false;
                           if (!pulled) return;
                           self->bytes_this_hour_ += pulled->bytes_received;
                           self->bytes_fetched_ += pulled->bytes_received;
                           const auto bytes = pulled->bytes_received;
                           const auto id = self->context_.library.archive(to_part(std::move(*pulled)),
                                                                          std::move(fingerprint),
                                                                          self->context_.serving.samples(), true);
                           if (id == 0) return;
                           self->context_.on_fetched(
                               fmt::format("fetched {} bytes from {}, which has learned something new, as concept {}",
                                           bytes, peer.id.brief(), id));
                         });
}

}  // namespace p2p::node

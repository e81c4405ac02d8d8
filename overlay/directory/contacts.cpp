#include "overlay/directory/contacts.hpp"

#include <algorithm>
#include <limits>

#include "overlay/directory/walk.hpp"

namespace p2p::directory {

namespace {

constexpr unsigned kMostFailures = 2;
constexpr double kNowhere = std::numeric_limits<double>::infinity();

template <typename T>
std::optional<T> median(std::vector<T>& values) {
  if (values.empty()) return std::nullopt;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

std::uint64_t Contacts::hash_of(std::uint64_t node) const { return Random(node ^ options_.secret).next(); }

double Contacts::distance_to(const metadata::Sketch& sketch) const {
  return centre_ ? metadata::joint_distance(*centre_, sketch) : kNowhere;
}

void Contacts::centre(const std::optional<metadata::Sketch>& sketch) {
  centre_ = sketch;
  for (auto& [id, contact] : contacts_) contact.distance = distance_to(contact.entry.sketch);
  trim();
}

void Contacts::add(const metadata::Entry& entry, overlay::TimePoint now, bool answered,
                   overlay::Duration round_trip) {
  const auto found = contacts_.find(entry.node);
  if (found == contacts_.end()) {
    if (!wanted(hint_of(entry))) return;
    Contact fresh{entry, now, round_trip, 0, distance_to(entry.sketch), hash_of(brief(entry.node)), false};
    contacts_.emplace(entry.node, std::move(fresh));
    return trim();
  }
  Contact& known = found->second;
  if (entry.version >= known.entry.version) {
    const bool moved = known.entry.sketch != entry.sketch;
    known.entry = entry;
    known.distance = distance_to(entry.sketch);
    if (moved) trim();
  }
  if (!answered) return;
  const auto again = contacts_.find(entry.node);
  if (again == contacts_.end()) return;
  again->second.heard = now;
  again->second.failures = 0;
  if (round_trip.count() > 0) again->second.round_trip = round_trip;
}

bool Contacts::wanted(const Hint& hint) const {
  const Brief id = brief(hint);
  double worst_near = -1;
  std::uint64_t worst_far = 0;
  std::size_t near = 0, far = 0;
  for (const auto& [node, contact] : contacts_) {
    if (brief(node) == id) return false;
    if (contact.near) {
      ++near;
      worst_near = std::max(worst_near, contact.distance);
    } else {
      ++far;
      worst_far = std::max(worst_far, contact.hash);
    }
  }
  if (centre_ && (near < options_.near || distance_to(hint.sketch) < worst_near)) return true;
  return far < options_.far || hash_of(id) < worst_far;
}

void Contacts::trim() {
  std::vector<Contact*> order;
  for (auto& [id, contact] : contacts_) order.push_back(&contact);
  std::sort(order.begin(), order.end(), [](const Contact* a, const Contact* b) {
    // Of many with one sketch every node prefers others, or all would ask the same few.
    if (a->distance != b->distance) return a->distance < b->distance;
    return a->hash < b->hash;
  });
  const std::size_t near = centre_ ? std::min(options_.near, order.size()) : 0;
  for (std::size_t i = 0; i < order.size(); ++i) order[i]->near = i < near;
  if (order.size() <= near + options_.far) return;
  const auto far = std::span(order).subspan(near);
  std::sort(far.begin(), far.end(), [](const Contact* a, const Contact* b) { return a->hash < b->hash; });
  std::vector<metadata::NodeId> gone;
  for (const Contact* contact : far.subspan(options_.far)) gone.push_back(contact->entry.node);
  for (const auto& id : gone) contacts_.erase(id);
}

void Contacts::failed(std::uint64_t node) {
  const auto found =
      std::find_if(contacts_.begin(), contacts_.end(), [&](const auto& c) { return brief(c.first) == node; });
  if (found != contacts_.end() && ++found->second.failures >= kMostFailures) drop(metadata::NodeId(found->first));
}

void Contacts::drop(const metadata::NodeId& node) {
  if (contacts_.erase(node) > 0) trim();
}

void Contacts::expire(overlay::TimePoint now) {
  if (std::erase_if(contacts_, [&](const auto& c) { return now - c.second.heard > options_.forget; }) > 0) trim();
}

std::vector<const Contacts::Contact*> Contacts::best(const metadata::Target& target, std::size_t count) const {
  std::vector<std::pair<double, const Contact*>> all;
  for (const auto& [id, contact] : contacts_) {
    if (contact.failures > 0) continue;
    all.emplace_back(metadata::remoteness(target, contact.entry.sketch, contact.entry.knows()), &contact);
  }
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<const Contact*> out;
  for (std::size_t i = 0; i < std::min(count, all.size()); ++i) out.push_back(all[i].second);
  return out;
}

const Contacts::Contact* Contacts::stalest() const {
  const Contact* out = nullptr;
  for (const auto& [id, contact] : contacts_) {
    // One that failed is asked again before all others: either it comes back or it goes.
    if (!out || std::pair(contact.failures == 0, contact.heard) < std::pair(out->failures == 0, out->heard)) {
      out = &contact;
    }
  }
  return out;
}

const Contacts::Contact* Contacts::any(Random& random) const {
  if (contacts_.empty()) return nullptr;
  return &std::next(contacts_.begin(), static_cast<std::ptrdiff_t>(random.below(contacts_.size())))->second;
}

double Contacts::usual_distance(metadata::By by) const {
  std::vector<double> distances;
  for (const auto& [id, contact] : contacts_) {
    if (!contact.near) continue;
    distances.push_back(by == metadata::By::marginal ? metadata::marginal_distance(*centre_, contact.entry.sketch)
                                                     : contact.distance);
  }
  return median(distances).value_or(kNowhere);
}

overlay::Duration Contacts::usual_round_trip() const {
  std::vector<overlay::Duration> trips;
  for (const auto& [id, contact] : contacts_) {
    if (contact.round_trip.count() > 0) trips.push_back(contact.round_trip);
  }
  return median(trips).value_or(overlay::Duration{0});
}

std::pair<double, std::size_t> Contacts::share_knowing(std::int32_t c) const {
  std::size_t far = 0, knowing = 0;
  for (const auto& [id, contact] : contacts_) {
    if (contact.near) continue;
    ++far;
    if (contact.entry.listed_recall(c) >= metadata::Entry::kKnownRecall) ++knowing;
  }
  return {far > 0 ? static_cast<double>(knowing) / static_cast<double>(far) : 0.0, far};
}

}  // namespace p2p::directory

#include "overlay/directory/contacts.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "overlay/directory/walk.hpp"

namespace p2p::directory {

namespace {

constexpr unsigned kMostFailures = 2;
constexpr double kNowhere = std::numeric_limits<double>::infinity();
constexpr double kAnywhere = std::numeric_limits<double>::max();

std::size_t level_of(std::uint64_t hash) { return static_cast<std::size_t>(std::countl_zero(hash)); }

template <typename T>
std::optional<T> median(std::vector<T>& values) {
  if (values.empty()) return std::nullopt;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

std::vector<Role> roles(std::span<const Acquaintance> all, const RoleOptions& options) {
  std::vector<Role> out(all.size());
  std::vector<std::size_t> order(all.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  // Of many with one sketch every node prefers others, or all would ask the same few.
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::pair(all[a].distance, all[a].hash) < std::pair(all[b].distance, all[b].hash);
  });
  std::array<std::size_t, 65> on_level{};
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::size_t who = order[i];
    out[who].near = i < options.near && std::isfinite(all[who].distance);
    if (!out[who].near && on_level[level_of(all[who].hash)]++ < options.per_level) out[who].ladder = true;
  }
  const std::size_t far = std::min(options.far, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(far), order.end(),
                    [&](std::size_t a, std::size_t b) { return all[a].hash < all[b].hash; });
  for (std::size_t i = 0; i < far; ++i) out[order[i]].far = true;
  return out;
}

std::uint64_t Contacts::hash_of(std::uint64_t node) const { return Random(node ^ options_.secret).next(); }

double Contacts::distance_to(const metadata::Sketch& sketch) const {
  return centre_ ? metadata::joint_distance(*centre_, sketch) : kNowhere;
}

void Contacts::centre(const std::optional<metadata::Sketch>& sketch) {
  centre_ = sketch;
  for (auto& [id, contact] : contacts_) contact.distance = distance_to(contact.entry.sketch);
  trim();
}

void Contacts::archive(std::vector<metadata::Sketch> sketches) {
  archive_ = std::move(sketches);
  trim();
}

/// For one more archived presence of a node.
bool Contacts::make_room(const metadata::Entry& entry) {
  if (entry.concept_id == 0) return true;
  std::size_t count = 0;
  auto oldest = contacts_.end();
  for (auto it = contacts_.begin(); it != contacts_.end(); ++it) {
    if (it->second.entry.node != entry.node || !it->second.archived()) continue;
    ++count;
    if (oldest == contacts_.end() || it->second.entry.version < oldest->second.entry.version) oldest = it;
  }
  if (count < metadata::kMostArchived) return true;
  if (oldest->second.entry.version >= entry.version) return false;
  contacts_.erase(oldest);
  return true;
}

void Contacts::add(const metadata::Entry& entry, overlay::TimePoint now, bool answered,
                   overlay::Duration round_trip) {
  const auto presence = entry.presence();
  const auto found = contacts_.find(presence);
  if (found == contacts_.end()) {
    if (!wanted(entry) || !make_room(entry)) return;
    Contact fresh{entry, now, round_trip, 0, distance_to(entry.sketch), hash_of(brief(presence)), {}};
    contacts_.emplace(presence, std::move(fresh));
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
  const auto again = contacts_.find(presence);
  if (again == contacts_.end()) return;  // it moved away from here
  again->second.heard = now;
  again->second.failures = 0;
  if (round_trip.count() > 0) again->second.round_trip = round_trip;
}

bool Contacts::known(Brief id) const {
  return std::any_of(contacts_.begin(), contacts_.end(), [&](const auto& c) { return brief(c.first) == id; });
}

bool Contacts::wanted_by_us(std::uint64_t hash, bool archived, double distance) const {
  if (archived) return distance < worst_archive_[0];
  return distance < worst_near_ || hash < worst_far_ || distance < worst_of_level_[level_of(hash)];
}

bool Contacts::wanted(const metadata::Entry& entry) const {
  const Brief id = brief(entry.presence());
  bool kept = wanted_by_us(hash_of(id), entry.concept_id != 0, distance_to(entry.sketch));
  for (std::size_t i = 0; i < archive_.size() && !kept; ++i) {
    kept = metadata::joint_distance(archive_[i], entry.sketch) < worst_archive_[i + 1];
  }
  return kept && !known(id);
}

bool Contacts::wanted(const Hint& hint, std::size_t near) const {
  const Brief id = brief(hint);
  // How far it is from us only those know who were asked for our like.
  const double distance = near == 0 && centre_ ? hint.remoteness : kNowhere;
  const bool kept = wanted_by_us(hash_of(id), hint.archived, distance) ||
                    (near > 0 && near <= archive_.size() && hint.remoteness < worst_archive_[near]);
  return kept && !known(id);
}

/// Who is kept, in the order of contacts_, for what we or they have archived.
std::vector<bool> Contacts::archive_roles() {
  std::vector<bool> out(contacts_.size());
  worst_archive_.assign(archive_.size() + 1, kNowhere);
  std::vector<std::pair<double, std::size_t>> near;
  for (std::size_t centre = 0; centre < worst_archive_.size(); ++centre) {
    near.clear();
    std::size_t i = 0;
    for (const auto& [id, contact] : contacts_) {
      const double distance = centre == 0 ? contact.distance : metadata::joint_distance(archive_[centre - 1], contact.entry.sketch);
      if ((centre > 0 || contact.archived()) && std::isfinite(distance)) near.emplace_back(distance, i);
      ++i;
    }
    const std::size_t most = std::min(options_.roles.archive, near.size());
    std::partial_sort(near.begin(), near.begin() + static_cast<std::ptrdiff_t>(most), near.end());
    for (std::size_t k = 0; k < most; ++k) out[near[k].second] = true;
    if (most == options_.roles.archive) worst_archive_[centre] = most > 0 ? near[most - 1].first : -1;
  }
  return out;
}

void Contacts::trim() {
  std::vector<Contact*> order;
  std::vector<Acquaintance> live;
  for (auto& [id, contact] : contacts_) {
    order.push_back(&contact);
    if (!contact.archived()) live.push_back({contact.distance, contact.hash});
  }
  const auto archive = archive_roles();
  std::vector<Role> kept(order.size());
  const auto of_live = roles(live, options_.roles);
  for (std::size_t i = 0, next = 0; i < order.size(); ++i) {
    if (!order[i]->archived()) kept[i] = of_live[next++];
    kept[i].archive = archive[i];
  }
  std::size_t near = 0, far = 0;
  std::array<std::size_t, 65> on_level{};
  worst_near_ = -1;
  worst_far_ = 0;
  worst_of_level_.fill(-1);
  std::vector<metadata::NodeId> gone;
  for (std::size_t i = 0; i < order.size(); ++i) {
    Contact& contact = *order[i];
    contact.role = kept[i];
    if (!kept[i].any()) {
      gone.push_back(contact.entry.presence());
      continue;
    }
    const std::size_t level = level_of(contact.hash);
    if (kept[i].near) {
      ++near;
      worst_near_ = std::max(worst_near_, contact.distance);
    } else if (kept[i].ladder) {
      ++on_level[level];
      worst_of_level_[level] = std::max(worst_of_level_[level], contact.distance);
    }
    if (kept[i].far) {
      ++far;
      worst_far_ = std::max(worst_far_, contact.hash);
    }
  }
  for (const auto& id : gone) contacts_.erase(id);
  if (near < options_.roles.near && centre_) worst_near_ = kNowhere;
  if (far < options_.roles.far) worst_far_ = ~std::uint64_t{0};
  for (std::size_t level = 0; level < on_level.size(); ++level) {
    if (on_level[level] < options_.roles.per_level) worst_of_level_[level] = kAnywhere;
  }
}

void Contacts::failed(std::uint64_t node) {
  const auto found =
      std::find_if(contacts_.begin(), contacts_.end(), [&](const auto& c) { return brief(c.first) == node; });
  if (found != contacts_.end() && ++found->second.failures >= kMostFailures) drop(metadata::NodeId(found->first));
}

void Contacts::drop(const metadata::NodeId& presence) {
  if (contacts_.erase(presence) > 0) trim();
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
  auto at = std::next(contacts_.begin(), static_cast<std::ptrdiff_t>(random.below(contacts_.size())));
  for (std::size_t i = 0; i < contacts_.size(); ++i) {
    if (!at->second.archived()) return &at->second;
    if (++at == contacts_.end()) at = contacts_.begin();
  }
  return nullptr;
}

std::size_t Contacts::nodes() const {
  return static_cast<std::size_t>(
      std::count_if(contacts_.begin(), contacts_.end(), [](const auto& c) { return !c.second.archived(); }));
}

double Contacts::usual_distance(metadata::By by) const {
  std::vector<double> distances;
  for (const auto& [id, contact] : contacts_) {
    if (!contact.role.near) continue;
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
    if (!contact.role.far) continue;
    ++far;
    if (contact.entry.listed_recall(c) >= metadata::Entry::kKnownRecall) ++knowing;
  }
  return {far > 0 ? static_cast<double>(knowing) / static_cast<double>(far) : 0.0, far};
}

}  // namespace p2p::directory

#include "overlay/net/resumption.hpp"

#include <algorithm>
#include <iterator>

#include <string.h>

namespace p2p::net {

using metadata::NodeId;
using overlay::TimePoint;

ResumptionSecret::~ResumptionSecret() {
  ::explicit_bzero(id.data(), id.size());
  ::explicit_bzero(key.data(), key.size());
}

void ResumptionTable::drop_old(TimePoint now) {
  secrets_.remove_if([&](const Resumption& one) { return now - one.proven >= options_.life; });
}

void ResumptionTable::keep(const Resumption& fresh, TimePoint now) {
  secrets_.push_back(fresh);
  drop_old(now);
  const auto of_peer = [&](const Resumption& one) { return one.peer == fresh.peer; };
  if (static_cast<std::size_t>(std::count_if(secrets_.begin(), secrets_.end(), of_peer)) > kPerPeer) {
    secrets_.erase(std::find_if(secrets_.begin(), secrets_.end(), of_peer));
  }
  if (secrets_.size() > options_.most) secrets_.pop_front();
}

std::optional<Resumption> ResumptionTable::take(const NodeId& peer, TimePoint now) {
  drop_old(now);
  const auto found =
      std::find_if(secrets_.rbegin(), secrets_.rend(), [&](const Resumption& one) { return one.peer == peer; });
  return take(found == secrets_.rend() ? secrets_.end() : std::prev(found.base()));
}

std::optional<Resumption> ResumptionTable::take(const ResumptionId& id, TimePoint now) {
  drop_old(now);
  return take(std::find_if(secrets_.begin(), secrets_.end(), [&](const Resumption& one) { return one.secret.id == id; }));
}

std::optional<Resumption> ResumptionTable::take(std::list<Resumption>::iterator found) {
  if (found == secrets_.end()) return std::nullopt;
  Resumption out = *found;
  secrets_.erase(found);
  return out;
}

std::optional<ResumptionId> offered_resumption(ByteView extension) {
  // Identities: length of all, length of the first, the identity, its age. Binders: length of all, length of the first, the binder.
  constexpr std::size_t kIdentity = std::tuple_size_v<ResumptionId>, kAge = 4, kBinder = 32;
  constexpr std::size_t kIdentities = 2 + kIdentity + kAge, kBinders = 1 + kBinder;
  if (extension.size() != 2 + kIdentities + 2 + kBinders) return std::nullopt;
  const auto number = [&](std::size_t at) { return std::size_t{extension[at]} << 8 | extension[at + 1]; };
  const ByteView age = extension.subspan(4 + kIdentity, kAge);
  if (number(0) != kIdentities || number(2) != kIdentity || number(2 + kIdentities) != kBinders ||
      extension[4 + kIdentities] != kBinder || std::any_of(age.begin(), age.end(), [](auto byte) { return byte != 0; })) {
    return std::nullopt;
  }
  ResumptionId out;
  std::copy_n(extension.begin() + 4, out.size(), out.begin());
  return out;
}

}  // namespace p2p::net

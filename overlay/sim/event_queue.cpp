#include "overlay/sim/event_queue.hpp"

#include <algorithm>

namespace p2p::sim {

void EventLog::mix(std::uint64_t value) {
  for (int i = 0; i < 8; ++i, value >>= 8) {
    hash_ = (hash_ ^ (value & 0xff)) * 0x100000001b3ull;
  }
}

void EventLog::mix_bytes(std::string_view text) {
  for (const char c : text) {
    hash_ = (hash_ ^ static_cast<std::uint8_t>(c)) * 0x100000001b3ull;
  }
}

void EventLog::add(TimePoint at, std::string_view who, std::string_view what) {
  mix(static_cast<std::uint64_t>(at.us));
  mix_bytes(who);
  mix_bytes(what);
  if (lines_.size() >= kept_) return;
  std::string line = std::to_string(at.us);
  line.append(" ").append(who).append(" ").append(what);
  lines_.push_back(std::move(line));
}

EventQueue::Ticket EventQueue::at(TimePoint when, Owner owner, std::function<void()> call) {
  const Ticket ticket{std::max(when.us, now_.us), next_++};
  events_.emplace(ticket, Event{owner, std::move(call)});
  return ticket;
}

// What an event holds may cancel other events when it goes: it is taken out first, and destroyed when the map is
// whole again.
void EventQueue::cancel(Ticket ticket) { const auto gone = events_.extract(ticket); }

void EventQueue::drop(Owner owner) {
  std::vector<Event> gone;
  for (auto it = events_.begin(); it != events_.end();) {
    if (it->second.owner == owner) {
      gone.push_back(std::move(it->second));
      it = events_.erase(it);
    } else {
      ++it;
    }
  }
}

bool EventQueue::run_next(TimePoint limit) {
  if (events_.empty() || events_.begin()->first.first > limit.us) {
    now_ = std::max(now_, limit);
    return false;
  }
  auto node = events_.extract(events_.begin());
  now_ = TimePoint{node.key().first};
  log_.mix(static_cast<std::uint64_t>(node.key().first));
  log_.mix(node.mapped().owner);
  ++ran_;
  node.mapped().call();
  return true;
}

void EventQueue::clear() {
  while (!events_.empty()) {
    const auto gone = events_.extract(events_.begin());
  }
}

}  // namespace p2p::sim

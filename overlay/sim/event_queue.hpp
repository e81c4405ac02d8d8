// Virtual time: the one queue that everything in a simulation comes from, and the record of what came.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "overlay/executor.hpp"

namespace p2p::sim {

using overlay::Duration;
using overlay::TimePoint;
using overlay::operator""ms;
using overlay::operator""s;
using overlay::operator""us;

/// What happened, as readable lines and as one hash over every event. Two runs are the same when their hashes are.
class EventLog {
 public:
  /// Lines over `kept` go into the hash only.
  explicit EventLog(std::size_t kept = 100'000) : kept_(kept) {}
  void add(TimePoint at, std::string_view who, std::string_view what);
  /// Counts into the hash, makes no line.
  void mix(std::uint64_t value);
  std::uint64_t hash() const { return hash_; }
  const std::vector<std::string>& lines() const { return lines_; }

 private:
  void mix_bytes(std::string_view text);
  std::size_t kept_;
  std::uint64_t hash_ = 0xcbf29ce484222325ull;  // FNV-1a
  std::vector<std::string> lines_;
};

/// Calls in the order of their times; equal times in the order in which they were asked for. The clock stands
/// still during a call and jumps between calls.
///
/// Every call has an owner, so that a crash can take all that a host still had in mind.
class EventQueue {
 public:
  using Owner = std::uint64_t;
  using Ticket = std::pair<std::int64_t, std::uint64_t>;  ///< time, order
  static constexpr Owner kNobody = 0;

  explicit EventQueue(EventLog& log) : log_(log) {}
  ~EventQueue() { clear(); }
  TimePoint now() const { return now_; }
  Ticket at(TimePoint when, Owner owner, std::function<void()> call);
  void cancel(Ticket ticket);
  /// Forgets all calls of `owner`.
  void drop(Owner owner);
  /// Runs the next call that is due by `limit`; false when there is none (the clock is then at `limit`).
  bool run_next(TimePoint limit);
  bool empty() const { return events_.empty(); }
  std::uint64_t ran() const { return ran_; }
  void clear();

 private:
  struct Event {
    Owner owner = kNobody;
    std::function<void()> call;
  };
  EventLog& log_;
  TimePoint now_;
  std::uint64_t next_ = 1, ran_ = 0;
  std::map<Ticket, Event> events_;
};

}  // namespace p2p::sim

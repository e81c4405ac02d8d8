// What a running node answers to `p2p-learner overlay`: the requests that the control socket passes on.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "overlay/host/edge_node.hpp"
#include "tools/cli/output.hpp"

namespace p2p::tools {

/// Answers one request at a time, and holds what was asked and is not over: lookups and watches, which the asker polls.
/// The socket knows one answer to one line, so what comes later waits in a mailbox here.
///
/// Invariants: no lock is held while the node's thread is waited for, because that thread takes a mailbox's lock to put
/// something in. A mailbox outlives its inquiry as long as the node may still write to it.
/// Bounds: kMost inquiries, kMostLetters in each mailbox (what comes then is counted and dropped); one that is not polled for
/// kForgottenAfter ends.
/// Thread: any.
class OverlayDesk {
 public:
  using Clock = std::chrono::steady_clock;

  OverlayDesk(const host::EdgeNode& node, const metadata::Task& task) : node_(node), task_(task) {}
  OverlayDesk(const OverlayDesk&) = delete;

  /// `command` is "task" or one of overlay_nodes, _keys, _get, _lookup, _watch, _poll, _end; `invalid_argument` for others.
  Result<Json> answer(std::string_view command, const Json& request);
  /// Ends what nobody asks for any more. Called now and then.
  void drop_forgotten(Clock::time_point now);
  std::size_t open() const;

  static constexpr std::size_t kMost = 16;
  static constexpr std::size_t kMostLetters = 256;
  static constexpr auto kForgottenAfter = std::chrono::seconds(15);
  static constexpr std::size_t kMostWanted = 64;
  static constexpr auto kLongestLookup = std::chrono::seconds(60);

 private:
  struct Mailbox {
    std::mutex mutex;
    std::deque<directory::Candidate> arrived;
    std::uint64_t dropped = 0;
    std::optional<directory::LookupResult> result;  // of a lookup that is over
    void put(const directory::Candidate& candidate);
  };
  struct Inquiry {
    metadata::Need need;
    std::shared_ptr<Mailbox> mailbox;
    std::uint64_t watch = 0;  // the node's number; 0: a lookup
    Clock::time_point asked;
    std::uint64_t heard_before = 0;  // packets that the table had received
    Clock::time_point begun = asked;
  };
  /// Why nobody at all has answered since; null if somebody has, or too little time has passed to say so.
  Json silence(const Inquiry& inquiry, bool over) const;
  Result<Json> nodes() const;
  Result<Json> get(const Json& request) const;
  Result<Json> lookup(const Json& request);
  Result<Json> watch(const Json& request);
  Result<Json> poll(const Json& request);
  Result<Json> end(const Json& request);
  Result<metadata::Need> need_of(const Json& request) const;
  Result<Json> keep(Inquiry inquiry);

  const host::EdgeNode& node_;
  const metadata::Task& task_;
  mutable std::mutex mutex_;  // of what follows
  std::map<std::uint64_t, Inquiry> inquiries_;
  std::uint64_t next_ = 1;
};

}  // namespace p2p::tools

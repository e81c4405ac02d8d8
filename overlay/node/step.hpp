// What happened at one moment of a drift's story, with its numbers.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "learner/transfer/trial.hpp"

namespace p2p::node {

/// What can happen to a node. The numbers are in saved journals: new ones go to the end.
enum class EventKind : std::uint8_t {
  drift_detected, lookup_done, part_pulled, trial_done, merged, rejected, rolled_back, settled,
  published, peer_refused, fetched_ahead,
  recalled,     ///< own past concepts enter a trial
  described,    ///< the peers found have said what they know, and the best of them are asked for parts
  waiting,      ///< for more samples, to look once more
  watched,      ///< the former model did not do better: the merge stays
  redone,       ///< a merge that had been undone is in force again
  interrupted,  ///< the node stopped
};

/// One dated step; an Event of the same kind told the owner of it at the time.
struct Step {
  using Figure = std::pair<std::string, double>;  ///< "candidates", "bytes", "ms" and the like
  struct Challenger {
    std::string label;
    learner::Trial::Tally tally;
    double luck = 1;  ///< learner::Trial::luck()
  };
  EventKind kind{};
  std::uint64_t samples = 0;  ///< seen by then
  std::uint64_t wall_ms = 0;  ///< since 1970, as the machine's clock had it
  std::string subject = {};        ///< whom it was about: a peer's brief id, the winner's label; may be empty
  std::string text = {};           ///< one sentence for people
  std::vector<Figure> figures = {};
  std::vector<Challenger> challengers = {};  ///< of a trial all, of a watch the former model
};

}  // namespace p2p::node

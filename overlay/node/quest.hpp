// One journey through the overlay: who is like me, what do they say of themselves, may I have these parts?
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "learner/model.hpp"
#include "metadata/similarity.hpp"
#include "overlay/directory/directory.hpp"
#include "overlay/exchange.hpp"
#include "overlay/executor.hpp"
#include "overlay/node/node.hpp"

namespace p2p::node {

/// A peer that described itself and may be able to help.
struct Helper {
  overlay::Exchange::Peer peer;
  std::uint32_t concept_id = 0;  ///< 0: what it serves now; else one of its archived concepts
  metadata::Fingerprint fingerprint;
  double distance = 0;  ///< metadata::need_distance
  double accuracy = 0;  ///< its own, over the needed classes, as it claims
  double expected = 0;  ///< metadata::expected_accuracy: by both of these, and by how much it has seen
  double trust = 0;     ///< what earlier pulls from this key were worth here (Trust)
  /// Best first, by the sum of what is expected of it and what came of its claims so far: both are accuracy, so the sum
  /// is one too. Equal ones by id: deterministic. Of those pulled from, the second is whoever is nearest of the rest.
  bool better_than(const Helper& other) const;
};

/// A part that arrived, not yet looked into.
struct Received {
  Helper helper;
  learner::Part part;
  std::uint64_t bytes = 0;  ///< content that travelled for it
  std::uint32_t archived = 0;  ///< its number in this node's own Library; 0: it came from the peer
};

/// Mean recall of `fingerprint` over the needed classes (all that the need has seen, when none is named), weighed
/// by the need's counts; classes that it has not seen count 0. By marginal, of which no class is known: over all.
double needed_accuracy(const metadata::Need& need, const metadata::Fingerprint& fingerprint);

/// Looks up, asks, pulls; reports once.
///
/// The candidates' signed entries are only a hint: what counts is the full fingerprint, which the directory brought or
/// up to `ask` candidates are asked for by a link. Ranked by distance and accuracy, the best `pull_from` are pulled from
/// in parallel. If none of these delivers, the next
/// ones are tried. A peer that answers with anything that does not decode or verify is reported as refused.
///
/// Invariants: on_done is called exactly once, never from inside start(), and never after cancel().
/// Every stage has a deadline of its own, so a silent directory or peer costs time and nothing else.
/// Thread: the node's.
class Quest : public std::enable_shared_from_this<Quest> {
 public:
  struct Context {
    overlay::Executor& executor;
    directory::Directory& directory;
    overlay::Exchange& exchange;
    metadata::TaskId task;
    std::uint32_t classes = 0;
  };
  struct Options {
    directory::LookupOptions lookup;
    std::size_t ask = 4;
    std::size_t pull_from = 2;
    Duration ask_deadline{};    ///< whoever has not answered by then is left out
    Duration pull_deadline{};   ///< of all parts
    Duration pull_grace{};      ///< once one part is here, the others have this long
  };
  struct Request {
    metadata::Need need;
    double own_accuracy = 0;  ///< on the needed classes: who claims no more cannot help
    std::function<bool(const metadata::NodeId&)> skip;
    std::function<double(const metadata::NodeId&)> trust = {};  ///< -1 .. 1; may be empty
  };
  struct Findings {
    std::vector<Received> parts;
    std::string nothing;  ///< a sentence: why there are no parts; empty when there are
    std::size_t gets = 0, questions = 0, candidates = 0, described = 0;
    double nearest = -1;       ///< distance of the best helper, -1: none
    std::string nearest_id;    ///< brief
    std::size_t blocks = 0;
    Duration lookup{}, ask{}, pull{};
  };
  enum class Stage { looking_up, asking, pulling };
  struct Observer {
    std::function<void(Stage, const Findings&)> on_stage;  ///< a stage begins; looking_up is not told
    std::function<void(const metadata::NodeId&, const Error&)> on_refused;
    std::function<void(const Received&)> on_part;
    std::function<void(Findings)> on_done;
  };

  Quest(const Context& context, const Options& options, Request request, Observer observer);
  void start();
  /// Nothing is reported any more; what is under way ends by itself.
  void cancel();

 private:
  void asked(directory::LookupResult result);
  void described(const overlay::Exchange::Peer& peer, Result<metadata::Description> result);
  void consider(const overlay::Exchange::Peer& peer, std::uint32_t concept_id, metadata::Fingerprint fingerprint);
  void rank();
  void pull_next();
  void pulled(const Helper& helper, Result<overlay::PulledPart> result);
  void finish(std::string nothing = {});
  void arm(Duration deadline, void (Quest::*then)());
  void lookup_late();
  void ask_late();
  void pull_late();

  Context context_;
  Options options_;
  Request request_;
  Observer observer_;
  Findings findings_;
  Stage stage_ = Stage::looking_up;
  bool done_ = false;
  overlay::TimePoint stage_began_;
  overlay::Executor::TimerHandle timer_;
  std::size_t awaited_ = 0;          // answers that the present stage still waits for
  std::vector<Helper> helpers_;      // ranked once asking is over
  std::size_t next_helper_ = 0;
};

}  // namespace p2p::node

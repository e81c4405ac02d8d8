// Many simulated nodes with their twins: what the simulation tests are written in.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "overlay/node/node.hpp"
#include "overlay/sim/simulation.hpp"
#include "tests/simulation/stream.hpp"

namespace p2p::testing {

/// The seed of this run: P2P_SEED if that is set, else `otherwise`.
std::uint64_t seed_or(std::uint64_t otherwise);
/// The seeds of a test that runs over several: only P2P_SEED if that is set.
std::vector<std::uint64_t> seeds_or(std::uint64_t first, std::size_t count);
/// The command that runs a test again with a seed.
std::string replay(std::uint64_t seed, const std::string& test);

/// Which of a learner's samples it had right.
using Record = std::vector<bool>;
/// The first sample at which the two differ; -1: they are equal.
long first_difference(const Record& a, const Record& b);
double accuracy(const Record& record, std::size_t from, std::size_t to);

/// PAPERS.md M3 in samples: how many after `change` until the error, over 3 batches of 20, is within `delta` of what
/// it was over the 200 samples before, and stays there for 3 batches; record.size() - change when it never does.
std::size_t samples_to_recover(const Record& record, std::size_t change, double delta = 0.05);

/// How many samples after sample `index` its label comes; none: never.
using LabelDelay = std::function<std::optional<std::size_t>(std::size_t index)>;

/// Labels of one place that come to its node and twin after their samples.
class LateLabels {
 public:
  struct Due {
    std::int32_t label = 0;
    std::uint64_t node_ticket = 0, twin_ticket = 0;
  };
  /// `at`: the sample before which it is given.
  void owe(std::size_t at, const Due& due) { due_.emplace(at, due); }
  /// Gives what is due before sample `now`; `twin`: may be null.
  void give(std::size_t now, node::Node& node, node::Node* twin);

 private:
  std::multimap<std::size_t, Due> due_;
};

/// One place: a host, a node on it, an isolated twin that sees the same samples, and their stream.
class Place {
 public:
  Place(sim::Simulation& sim, const metadata::Task& task, std::uint64_t world, const node::NodeOptions& options,
        sim::HostOptions host = {});
  ~Place();

  sim::Host& host() { return host_; }
  node::Node& node() { return *node_; }
  node::Node& twin() { return *twin_; }
  Stream& stream() { return stream_; }
  const std::vector<node::Event>& events() const { return events_; }
  std::size_t count(node::Event::Kind kind) const;
  const Record& record() const { return record_; }
  const Record& twin_record() const { return twin_record_; }
  std::size_t samples() const { return record_.size(); }

  /// Joins and takes a sample every `interval` of virtual time from now on.
  void start(const std::vector<std::string>& seeds, overlay::Duration interval);
  void rest() { timer_.reset(); }
  /// One sample to node and twin.
  void feed();
  /// At the given sample of this place, `change` happens.
  void at_sample(std::size_t sample, std::function<void()> change) { changes_.emplace_back(sample, std::move(change)); }
  /// To node and twin. Unset: all come at once.
  void labels_come(LabelDelay delay) { delay_ = std::move(delay); }
  /// The machine stops; its node goes with it.
  void crash(sim::Crash how = sim::Crash::process);

 private:
  void tick();
  sim::Simulation& sim_;
  sim::Host& host_;
  const metadata::Task& task_;
  Stream stream_;
  std::unique_ptr<directory::Directory> directory_;
  std::unique_ptr<node::Node> node_, twin_;
  std::vector<node::Event> events_;
  Record record_, twin_record_;
  std::vector<std::pair<std::size_t, std::function<void()>>> changes_;
  LabelDelay delay_;
  LateLabels late_labels_;
  overlay::Duration interval_{};
  overlay::Executor::TimerHandle timer_;
};

/// A peer that is not what it says: its description is that of an honest node of the concept it pretends to know, and
/// its blocks are of another model.
class Liar {
 public:
  struct Options {
    Concept pretends = {};           ///< its description tells of this, with full accuracy
    Concept learned = {};           ///< its model was trained on this
    Mix mix = kAll;
    std::size_t trained = 1500;   ///< samples
    std::function<void(overlay::SharedBlock&)> damage = {};  ///< done to each block that it sends; may be empty
  };
  Liar(sim::Simulation& sim, const metadata::Task& task, std::uint64_t world, Options options);
  ~Liar();
  void start(const std::vector<std::string>& seeds);
  std::uint64_t served() const { return exchange_->served(); }
  sim::Host& host() { return host_; }

 private:
  sim::Host& host_;
  const metadata::Task& task_;
  Options options_;
  std::unique_ptr<learner::Model> model_;
  metadata::Fingerprint fingerprint_;
  std::unique_ptr<overlay::Exchange> exchange_;
  std::unique_ptr<directory::Directory> directory_;
};

/// A change at a place, and what all of its would-be helpers say and have.
struct Misled {
  const char* what;
  Concept pretends, learned;
  Concept to;
  Mix before;
};
std::vector<Misled> misleading();

/// A whole overlay of places.
class Village {
 public:
  explicit Village(std::uint64_t seed, std::size_t places, const node::NodeOptions& options = {});
  /// All places with models of another family, at its default parameters.
  Village(std::uint64_t seed, std::size_t places, const std::string& family);

  sim::Simulation& sim() { return sim_; }
  const metadata::Task& task() const { return task_; }
  std::uint64_t seed() const { return seed_; }
  Place& operator[](std::size_t index) { return *places_[index]; }
  std::size_t size() const { return places_.size(); }
  Place& add(const node::NodeOptions& options = {}, sim::HostOptions host = {});
  Liar& add_liar(Liar::Options options);
  std::vector<std::string> seeds() { return {places_.front()->host().seed()}; }
  /// All places, and liars, from now on.
  void start(overlay::Duration interval = std::chrono::milliseconds(10));
  /// Until place `index` has taken so many samples.
  void run_to(std::size_t index, std::size_t samples);

 private:
  std::uint64_t seed_;
  sim::Simulation sim_;
  metadata::Task task_;
  std::vector<std::unique_ptr<Place>> places_;
  std::vector<std::unique_ptr<Liar>> liars_;
};

}  // namespace p2p::testing

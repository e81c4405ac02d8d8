// A simulated place on a real stream, with what a measurement of its adaptation needs.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "overlay/node/node.hpp"
#include "overlay/sim/simulation.hpp"
#include "tests/simulation/drifts.hpp"
#include "tests/simulation/village.hpp"

namespace p2p::testing {

/// How helpers are chosen out of those that the directory finds.
enum class Choice {
  by_node,   ///< as the node does it
  random,    ///< two of them, drawn
  priors,    ///< the two with the nearest shares of classes (Cartel's measure)
  marginal,  ///< the two with the nearest inputs, whatever their labels
  joint,     ///< the two with the nearest joint embedding
};

/// Passes lookups on, counts what they cost, and chooses among the answers if it is told to.
class Chooser final : public directory::Directory {
 public:
  Chooser(std::unique_ptr<directory::Directory> inner, Choice choice, std::uint64_t seed)
      : inner_(std::move(inner)), choice_(choice), random_(seed) {}
  void publish(const metadata::Fingerprint& fingerprint) override { inner_->publish(fingerprint); }
  void remember(const std::vector<directory::Archived>& archive) override { inner_->remember(archive); }
  void withdraw() override { inner_->withdraw(); }
  void lookup(const metadata::Need& need, const directory::LookupOptions& options,
              std::function<void(directory::LookupResult)> done) override;
  std::uint64_t watch(const metadata::Need& need, double within,
                      std::function<void(const directory::Candidate&)> on_candidate) override {
    return inner_->watch(need, within, std::move(on_candidate));
  }
  void unwatch(std::uint64_t number) override { inner_->unwatch(number); }
  void read(const directory::Place& place, std::function<void(Result<directory::Bucket>)> done) override {
    inner_->read(place, std::move(done));
  }
  directory::Standing standing() const override { return inner_->standing(); }

  std::uint64_t datagram_bytes() const { return datagram_bytes_; }
  std::uint64_t lookups() const { return lookups_; }

 private:
  std::unique_ptr<directory::Directory> inner_;
  Choice choice_;
  Random random_;
  std::uint64_t datagram_bytes_ = 0, lookups_ = 0;
};

/// A host, a node on it and, where it is measured, an isolated twin; Place (village.hpp) for real streams.
class Edge {
 public:
  struct Options {
    Life life;
    LabelDelay labels = {};  ///< empty: all come at once
    bool measured = false;
    Choice choice = Choice::by_node;
  };
  /// What happened, and how many samples this place had taken by then.
  struct Mark {
    node::Event::Kind kind{};
    std::size_t at = 0;
    std::uint64_t drift = 0;
    std::string text;
  };
  Edge(sim::Simulation& sim, const metadata::Task& task, const RealData& data, std::uint64_t seed,
       const node::NodeOptions& node, Options options);
  ~Edge();
  void start(const std::vector<std::string>& seeds, overlay::Duration interval);

  sim::Host& host() { return host_; }
  node::Node& node() { return *node_; }
  const Chooser& chooser() const { return *directory_; }
  const Record& record() const { return record_; }
  const Record& twin_record() const { return twin_record_; }
  const std::vector<std::int32_t>& labels() const { return labels_; }  ///< true ones
  const std::vector<Mark>& marks() const { return marks_; }
  std::size_t samples() const { return record_.size(); }
  /// Called before sample `at` is taken.
  void at_sample(std::size_t at, std::function<void()> call) { calls_.emplace_back(at, std::move(call)); }

 private:
  void tick();
  void feed();
  sim::Host& host_;
  Options options_;
  RealStream stream_;
  std::unique_ptr<Chooser> directory_;
  std::unique_ptr<node::Node> node_, twin_;
  Record record_, twin_record_;
  std::vector<std::int32_t> labels_;
  std::vector<Mark> marks_;
  std::vector<std::pair<std::size_t, std::function<void()>>> calls_;
  LateLabels late_labels_;
  overlay::Duration interval_{};
  overlay::Executor::TimerHandle timer_;
};

/// A peer whose description tells of one concept and whose model is of another; Liar (village.hpp) for real streams.
class Impostor {
 public:
  Impostor(sim::Simulation& sim, const metadata::Task& task, const RealData& data, std::uint64_t seed, Pretender what);
  ~Impostor();
  void start(const std::vector<std::string>& seeds);
  std::uint64_t served() const { return exchange_->served(); }

 private:
  static constexpr std::size_t kTrained = 1500;  // samples
  sim::Host& host_;
  const metadata::Task& task_;
  std::unique_ptr<learner::Model> model_;
  metadata::Fingerprint fingerprint_;
  std::unique_ptr<overlay::Exchange> exchange_;
  std::unique_ptr<directory::Directory> directory_;
};

}  // namespace p2p::testing

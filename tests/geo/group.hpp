// A group of sites in a simulation, each with a worker that reads, computes for a while, updates and clocks.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "metadata/base/random.hpp"
#include "overlay/geo/site.hpp"
#include "overlay/sim/simulation.hpp"

namespace p2p::geo::testing {

/// What a worker does between a granted read and clock().
struct Work {
  std::function<std::vector<std::uint32_t>(std::size_t site)> indices;  ///< to read; empty: all
  std::function<void(std::size_t site, std::span<const float> read, Site& to)> train;
  std::function<Duration(std::size_t site)> compute_time;
  std::uint64_t clocks = 0;  ///< a worker stops when its site has reached this clock
};

class Group {
 public:
  Group(std::uint64_t seed, std::size_t sites, SiteOptions options, Work work)
      : simulation(seed), options_(std::move(options)), work_(std::move(work)), lives_(sites) {
    for (std::size_t i = 0; i < sites; ++i) simulation.add_host();
  }
  ~Group() {
    for (auto& life : lives_) life.reset();
  }

  void start() {
    for (std::size_t i = 0; i < lives_.size(); ++i) start(i);
  }
  void start(std::size_t i) {
    auto& host = simulation.host(i);
    lives_[i] = std::make_unique<Life>();
    std::vector<SitePeer> peers;
    for (std::size_t k = 0; k < lives_.size(); ++k) {
      if (k != i) peers.push_back({id(k), simulation.host(k).endpoint()});
    }
    SiteHandlers handlers;
    handlers.on_changed = [this, i] { work(i); };
    handlers.on_event = [this, i](const SiteEvent& event) {
      simulation.log().add(simulation.now(), simulation.host(i).name(), event.text);
      events.push_back({i, event});
    };
    lives_[i]->site = Site::make({host.executor(), host.transport(), host.id()}, peers, options_, handlers).value();
    host.transport().on_accept([this, i, site = lives_[i]->site.get()](auto link) {
      if (!unreachable || !unreachable(i, link->peer())) return site->accept(std::move(link));
      simulation.host(i).executor().post([link] {});
    });
    lives_[i]->site->start();
  }
  void crash(std::size_t i, sim::Crash how) {
    simulation.host(i).crash(how);
    lives_[i].reset();
  }
  void restart(std::size_t i) {
    simulation.host(i).restart();
    start(i);
  }

  Site& site(std::size_t i) { return *lives_[i]->site; }
  const NodeId& id(std::size_t i) { return simulation.host(i).id(); }
  std::uint64_t clock_of(std::size_t i) { return site(i).stats().clock; }
  bool lives(std::size_t i) const { return lives_[i] != nullptr; }
  void train_until(std::uint64_t clocks) {
    work_.clocks = clocks;
    for (std::size_t i = 0; i < lives_.size(); ++i) {
      if (lives(i)) work(i);
    }
  }
  bool all_at(std::uint64_t clock) {
    for (std::size_t i = 0; i < lives_.size(); ++i) {
      if (lives(i) && clock_of(i) < clock) return false;
    }
    return true;
  }
  bool heard(std::size_t at, SiteEvent::Kind kind, std::size_t about) {
    for (const auto& [where, event] : events) {
      if (where == at && event.kind == kind && event.site == id(about)) return true;
    }
    return false;
  }
  /// No site has found fault with another.
  bool peaceful() {
    for (const auto& [where, event] : events) {
      if (event.kind == SiteEvent::Kind::refused) return false;
    }
    return true;
  }
  /// Every living site has the same of everybody, to the last bit.
  bool agree() {
    std::size_t first = 0;
    while (!lives(first)) ++first;
    for (std::size_t i = first + 1; i < lives_.size(); ++i) {
      if (!lives(i)) continue;
      for (std::size_t of = 0; of < lives_.size(); ++of) {
        const auto a = site(first).sum_of(id(of)), b = site(i).sum_of(id(of));
        if (site(first).version_of(id(of)) != site(i).version_of(id(of))) return false;
        if (!std::equal(a.begin(), a.end(), b.begin())) return false;
      }
    }
    return true;
  }

  sim::Simulation simulation;
  /// Pairs between which links come to nothing: (who accepts, who connects).
  std::function<bool(std::size_t, const NodeId&)> unreachable;
  std::vector<std::pair<std::size_t, SiteEvent>> events;
  /// Called for each granted read and after each clock().
  std::function<void(std::size_t site, std::span<const std::uint32_t> indices)> on_read;
  std::function<void(std::size_t site)> on_clock;

 private:
  struct Life {
    bool computing = false;
    overlay::Executor::TimerHandle timer;
    std::unique_ptr<Site> site;
  };

  void work(std::size_t i) {
    auto& life = *lives_[i];
    if (life.computing || life.site->stats().clock >= work_.clocks) return;
    auto indices = work_.indices ? work_.indices(i) : std::vector<std::uint32_t>();
    std::vector<float> read(indices.empty() ? life.site->values().size() : indices.size());
    if (!(indices.empty() ? life.site->read_all(read) : life.site->read(indices, read))) return;
    if (indices.empty()) {
      for (std::uint32_t k = 0; k < read.size(); ++k) indices.push_back(k);
    }
    if (on_read) on_read(i, indices);
    life.computing = true;
    life.timer = simulation.host(i).executor().after(work_.compute_time(i), [this, i, read] {
      auto& now = *lives_[i];
      now.computing = false;
      work_.train(i, read, *now.site);
      P2P_ASSERT(now.site->clock().has_value());
      if (on_clock) on_clock(i);
      work(i);
    });
  }

  SiteOptions options_;
  Work work_;
  std::vector<std::unique_ptr<Life>> lives_;
};

}  // namespace p2p::geo::testing

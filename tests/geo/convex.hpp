// A convex problem, the theorem's case: L2-regularised logistic regression, its samples spread over the sites.
#pragma once

#include <cmath>
#include <vector>

#include "tests/geo/group.hpp"

namespace p2p::geo::testing {

struct Logistic {
  static constexpr std::size_t kSamples = 1500;  ///< at each site
  static constexpr double kRegularisation = 1e-3;

  /// Sparse features with the frequencies of words: feature k is in a sample with probability about 1 / (1 + k / 8).
  Logistic(std::uint64_t seed, std::size_t sites, std::uint32_t the_dimension) : dimension(the_dimension) {
    Random random(seed);
    std::vector<double> truth(dimension);
    for (auto& w : truth) w = random.normal();
    for (std::size_t s = 0; s < sites; ++s) {
      auto& samples = at.emplace_back();
      for (std::size_t n = 0; n < kSamples; ++n) {
        Sample sample;
        double score = 0;
        for (std::uint32_t k = 0; k < dimension; ++k) {
          if (random.uniform() * (1 + k / 8.0) > 1) continue;
          sample.features.emplace_back(k, static_cast<float>(random.normal()));
          score += truth[k] * sample.features.back().second;
        }
        sample.label = random.uniform() < 1 / (1 + std::exp(-score)) ? 1.0 : -1.0;
        samples.push_back(std::move(sample));
      }
    }
  }
  struct Sample {
    std::vector<std::pair<std::uint32_t, float>> features;
    double label = 0;
    double margin(std::span<const float> w) const {
      double score = 0;
      for (const auto& [k, x] : features) score += w[k] * x;
      return label * score;
    }
  };
  double objective(std::span<const float> w) const {
    double loss = 0, squares = 0;
    std::size_t count = 0;
    for (const auto& samples : at) {
      for (const auto& sample : samples) loss += std::log1p(std::exp(-sample.margin(w)));
      count += samples.size();
    }
    for (const float v : w) squares += static_cast<double>(v) * v;
    return loss / static_cast<double>(count) + kRegularisation / 2 * squares;
  }
  std::uint32_t dimension;
  std::vector<std::vector<Sample>> at;
};

struct Policy {
  SignificanceOptions significance;
  Precision precision;
  std::uint64_t staleness;
};
inline Policy bulk_synchronous() { return {{.threshold = 0}, Precision::fp32, 0}; }
inline Policy approximate(double threshold = 0.01, std::uint64_t staleness = 2) {
  return {{.threshold = threshold}, Precision::fp16, staleness};
}

inline sim::NetworkOptions slow_network() {
  sim::NetworkOptions network;
  network.latency_low = 80ms;  // one way
  network.latency_high = 120ms;
  network.bandwidth = 125'000;  // 1 Mb/s
  return network;
}

struct Trained {
  double objective = 0;            ///< at the worst site, in the end
  double seconds = 0;              ///< virtual, until all were through
  std::uint64_t wire_bytes = 0;    ///< index, value, state and control bytes of all sites
  std::uint64_t authors_bytes = 0; ///< what the authors' code would take for the same updates
  SiteStats first;
  std::vector<std::pair<double, double>> course;  ///< seconds, objective at site 0
};

/// `clocks` mini-batch steps of eta / sqrt(t) at each site, 20 ms of computing each.
inline Trained train(const Logistic& problem, const Policy& policy, const sim::NetworkOptions& network,
                     std::uint64_t clocks, std::uint64_t seed = 1) {
  constexpr std::size_t kBatch = 50;
  const std::size_t sites = problem.at.size();
  std::vector<Random> randoms;
  for (std::size_t i = 0; i < sites; ++i) randoms.push_back(Random(seed).fork(i));
  Work work;
  work.compute_time = [](std::size_t) { return Duration(20ms); };
  work.train = [&](std::size_t i, std::span<const float> w, Site& site) {
    std::vector<double> gradient(problem.dimension);
    for (std::uint32_t k = 0; k < problem.dimension; ++k) gradient[k] = Logistic::kRegularisation * w[k];
    for (std::size_t n = 0; n < kBatch; ++n) {
      const auto& sample = problem.at[i][randoms[i].below(problem.at[i].size())];
      const double pull = -sample.label / (1 + std::exp(sample.margin(w))) / kBatch;
      for (const auto& [k, x] : sample.features) gradient[k] += pull * x;
    }
    const double eta = 1.0 / std::sqrt(static_cast<double>(site.stats().clock + 1));
    for (std::uint32_t k = 0; k < problem.dimension; ++k) {
      P2P_ASSERT(site.update(k, static_cast<float>(-eta * gradient[k])).has_value());
    }
  };
  SiteOptions options;
  options.initial.assign(problem.dimension, 0.0f);
  options.significance = policy.significance;
  options.precision = policy.precision;
  options.staleness = policy.staleness;
  Group group(seed, sites, options, work);
  group.simulation.network() = network;
  Trained out;
  std::vector<std::uint64_t> emitted(sites);
  group.on_clock = [&](std::size_t i) {
    // 12 bytes for a value with its index, or everything at 4, whichever is less; to each peer.
    const auto now = group.site(i).stats().updates;
    const auto fresh = now - std::exchange(emitted[i], now);
    out.authors_bytes += std::min(fresh * 12, std::uint64_t{4} * problem.dimension) * (sites - 1);
    if (i == 0 && group.clock_of(0) % 10 == 0) {
      out.course.emplace_back(static_cast<double>(group.simulation.now().us) / 1e6,
                              problem.objective(group.site(0).values()));
    }
  };
  group.start();
  group.train_until(clocks);
  P2P_ASSERT(group.simulation.run_until([&] { return group.all_at(clocks); }, Duration(10'000s)));
  out.seconds = static_cast<double>(group.simulation.now().us) / 1e6;
  group.simulation.run_for(10s);  // what is on its way arrives
  for (std::size_t i = 0; i < sites; ++i) {
    out.objective = std::max(out.objective, problem.objective(group.site(i).values()));
    const auto stats = group.site(i).stats();
    out.wire_bytes += stats.index_bytes + stats.value_bytes + stats.state_bytes + stats.control_bytes;
  }
  out.first = group.site(0).stats();
  return out;
}

}  // namespace p2p::geo::testing

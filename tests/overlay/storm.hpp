// Many nodes want at once what one node knows.
#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <vector>

#include "tests/overlay/support.hpp"

namespace p2p::test {

struct StormOptions {
  std::size_t nodes = 64;
  std::uint64_t seed = 1;
  std::size_t rate = 1'000'000;            ///< bytes that each node sends per second at most
  std::vector<std::size_t> blocks = std::vector<std::size_t>(10, 24'000);
  Duration spread = 500ms;                 ///< within which all of them ask
  bool serve_on = true;
  double deaths = 0;                       ///< share of the nodes that die while they pull
};

struct StormResult {
  std::size_t arrived = 0;                 ///< nodes that have the part, right to the last byte
  Duration ninety{}, last{};               ///< from the beginning until so many per cent of the living have it
  std::uint64_t most_in_a_second = 0;      ///< bytes sent by any node in any second, handshakes and framing included
  double source_copies = 0;                ///< of the part, sent by the one who had it first
  double most_copies = 0;                  ///< by any other
  std::vector<std::string> failures;       ///< of nodes that live, what they were told
  double overhead = 0;                     ///< bytes on links, over the content that had to move
};

inline StormResult run_storm(const StormOptions& options) {
  sim::Simulation simulation(options.seed);
  overlay::ExchangeLimits limits;
  limits.send_bytes_per_second = options.rate;
  limits.pull_timeout = 600s;
  if (!options.serve_on) limits.store_bytes = 0;
  std::vector<std::unique_ptr<Party>> parties;
  for (std::size_t i = 0; i <= options.nodes; ++i) {
    parties.push_back(std::make_unique<Party>(simulation, simulation.add_host(), limits));
  }
  const auto offer = offer_of(options.blocks, options.seed);
  parties[0]->offer = offer;
  std::size_t part_bytes = 0;
  for (const auto& block : offer->blocks) part_bytes += block.content.size();

  StormResult out;
  std::vector<Duration> took;
  Random random(options.seed * 77 + 5);
  const auto began = simulation.now();
  std::size_t living = options.nodes;
  for (std::size_t i = 1; i <= options.nodes; ++i) {
    const auto at = Duration(static_cast<std::int64_t>(random.uniform() * static_cast<double>(options.spread.count())));
    const bool dies = random.uniform() < options.deaths;
    if (dies) {
      --living;
      const auto later = Duration(static_cast<std::int64_t>(random.uniform() * 3e6));
      simulation.at(began + at + later, [&parties, i] { parties[i]->host.crash(sim::Crash::power); });
    }
    simulation.at(began + at, [&, i, dies] {
      parties[i]->exchange->pull({parties[0]->peer()}, parties[i]->served_task, {},
                                 [&, dies](Result<overlay::PulledPart> part) {
                                   if (dies) return;
                                   if (!part) return out.failures.push_back(part.error().text());
                                   bool same = part->blocks.size() == offer->blocks.size();
                                   for (std::size_t b = 0; same && b < offer->blocks.size(); ++b) {
                                     same = part->blocks[b].content == offer->blocks[b].content;
                                   }
                                   if (same) took.push_back(simulation.now() - began);
                                 });
    });
  }
  // Sent bytes of each node, ten times a second; the largest difference over eleven of these is a second's.
  std::vector<std::deque<std::uint64_t>> sent(parties.size());
  const auto sent_by = [&](std::size_t i) {
    std::uint64_t total = 0;
    for (const auto& peer : parties[i]->exchange->peers()) total += peer.sent;
    return total;
  };
  while (took.size() + out.failures.size() < living && simulation.now() - began < 590s) {
    simulation.run_for(100ms);
    for (std::size_t i = 0; i < parties.size(); ++i) {
      sent[i].push_back(sent_by(i));
      if (sent[i].size() > 11) sent[i].pop_front();
      out.most_in_a_second = std::max(out.most_in_a_second, sent[i].back() - sent[i].front());
    }
  }
  std::sort(took.begin(), took.end());
  out.arrived = took.size();
  const auto wanted = (living * 9 + 9) / 10;
  if (took.size() >= wanted && wanted > 0) out.ninety = took[wanted - 1];
  if (!took.empty()) out.last = took.back();
  std::uint64_t all = 0;
  for (std::size_t i = 0; i < parties.size(); ++i) {
    const auto total = sent_by(i);
    all += total;
    const auto copies = static_cast<double>(total) / static_cast<double>(part_bytes);
    (i == 0 ? out.source_copies : out.most_copies) = i == 0 ? copies : std::max(out.most_copies, copies);
  }
  out.overhead = static_cast<double>(all) / static_cast<double>(part_bytes * std::max<std::size_t>(1, took.size()));
  return out;
}

}  // namespace p2p::test

// What a central registry's ranking costs: nodes compared in a second, by sketches and by class shares, and how many of the
// ten that are truly best its shortlist holds.   build/release/bench_registry
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <vector>

#include "overlay/directory/registry_table.hpp"
#include "tests/overlay/support.hpp"

using namespace p2p;
using namespace p2p::directory;

int main() {
  metadata::Task task;
  task.name = "bench";
  task.features = {{.name = "x", .count = 64}};
  for (int c = 0; c < 10; ++c) task.classes.push_back("c" + std::to_string(c));
  task.family = "linear";
  task.bandwidth = 1;
  task.embedding_dimensions = 32;
  const registry::Shape shape{metadata::id(task), 32, 10};
  const metadata::Sketcher sketcher(task);
  std::printf("%8s %14s %14s %14s %12s\n", "nodes", "publish us", "lookup us", "priors us", "of best 10");
  for (const std::size_t nodes : {1000, 10'000}) {
    registry::Table table(registry::Table::Limits{});
    std::vector<std::pair<metadata::Entry, metadata::Fingerprint>> all;
    double publish_us = 0;
    for (std::size_t i = 0; i < nodes; ++i) {
      std::array<std::uint8_t, 32> seed{};
      std::memcpy(seed.data(), &i, sizeof i);
      const auto key = metadata::KeyPair::from_seed(seed);
      const auto fingerprint = test::fingerprint_of(32, 10, 1 + i);
      auto entry = metadata::entry_of(fingerprint, sketcher.sketch(fingerprint));
      entry.task = metadata::tag(shape.task);
      entry.node = key.id();
      entry.version = 1'000'000;
      entry.endpoint = {"10.0.0.1", 1000};
      entry.table_port = 1000;
      const registry::Publish message{metadata::seal(entry, key),
                                      metadata::seal(metadata::Description{shape.task, key.id(), 1'000'000, fingerprint}, key)};
      const auto begin = std::chrono::steady_clock::now();
      P2P_ASSERT(table.publish(key.id(), message, {.now = {0}, .wall_ms = 1'000'000}).has_value());
      publish_us += std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count();
      all.emplace_back(std::move(entry), fingerprint);
    }
    double joint_us = 0, priors_us = 0, hits = 0;
    constexpr int kQuestions = 50;
    for (int q = 0; q < kQuestions; ++q) {
      registry::Question question{shape, registry::Similarity::embedding,
                                  {test::fingerprint_of(32, 10, 900'000 + static_cast<std::uint64_t>(q)), {}, metadata::By::joint}};
      std::vector<std::pair<double, metadata::NodeId>> truth;
      for (const auto& [entry, fingerprint] : all) {
        Candidate candidate;
        candidate.distance = metadata::plain_distance(question.need, fingerprint);
        candidate.needed_recall = listed_recall(entry, question.need);
        truth.emplace_back(directory::rank(candidate, question.need), entry.node);
      }
      std::partial_sort(truth.begin(), truth.begin() + 10, truth.end());
      auto begin = std::chrono::steady_clock::now();
      const auto found = table.rank(question, 10, {}, {0});
      joint_us += std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count();
      for (const auto* listed : found.best) {
        hits += std::any_of(truth.begin(), truth.begin() + 10, [&](const auto& t) { return t.second == listed->entry.node; });
      }
      question.similarity = registry::Similarity::priors;
      begin = std::chrono::steady_clock::now();
      (void)table.rank(question, 10, {}, {0});
      priors_us += std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count();
    }
    std::printf("%8zu %14.1f %14.1f %14.1f %12.2f   (%.1f MB)\n", nodes, publish_us / static_cast<double>(nodes),
                joint_us / kQuestions, priors_us / kQuestions, hits / kQuestions, static_cast<double>(table.bytes()) / 1e6);
  }
  return 0;
}

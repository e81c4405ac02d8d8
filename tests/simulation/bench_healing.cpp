// Samples to recover from the three kinds of drift, a node among peers against its isolated twin, on the synthetic
// stream of this folder:  build/release/bench_healing [seeds] [milliseconds between samples] [trial alpha] [part of a name]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tests/simulation/village.hpp"

using namespace p2p;
using namespace p2p::testing;

namespace {

constexpr std::size_t kBefore = 1000, kAfter = 800, kPlaces = 8;

struct Workload {
  const char* name;
  Concept before, after;
  Mix mix_before, mix_after;
  bool recurring = false;  ///< the concept before came back after 1000 samples of another one; nobody else knows it
};

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const auto n = values.size();
  return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

}  // namespace

int main(int argc, char** argv) {
  const int seeds = argc > 1 ? std::atoi(argv[1]) : 10;
  const int interval_ms = argc > 2 ? std::atoi(argv[2]) : 50;
  node::NodeOptions options;
  if (argc > 3) options.trial.alpha = std::atof(argv[3]);
  if (seeds < 1 || interval_ms < 1 || !(options.trial.alpha > 0 && options.trial.alpha < 1)) {
    std::fprintf(stderr,
                 "usage: bench_healing [seeds] [milliseconds between samples] [trial alpha] [part of a name]\n");
    return 2;
  }
  const Workload workloads[] = {
      {"introduction: a class never seen here", {}, {}, without({4}), kAll},
      {"introduction: three classes at once", {}, {}, without({1, 4, 5}), kAll},
      {"fluctuation: the mix turns over", {}, {}, {1, 1, 1, 0.03, 0.03, 0.03}, {0.03, 0.03, 0.03, 1, 1, 1}},
      {"concept: all inputs rotated", {}, rotated(5), kAll, kAll},
      {"concept: two labels swapped", {}, relabelled({0, 2, 1, 3, 4, 5}), kAll, kAll},
      {"nobody can help: a rotation of one's own", {}, rotated(77), kAll, kAll},
      {"recurring: labels turn and turn back", relabelled({1, 2, 3, 4, 5, 0}), {}, kAll, kAll, true},
  };
  std::printf("%-42s %8s %8s %7s %7s %7s %7s %6s %6s %8s\n", "drift", "node", "twin", "ratio", "excess", "twin's",
              "merged", "back", "delay", "after");
  for (const auto& workload : workloads) {
    if (argc > 4 && std::string_view(workload.name).find(argv[4]) == std::string_view::npos) continue;
    std::vector<double> node_samples, twin_samples, ratios, node_excess, twin_excess, delays, gaps, merge_delay;
    int merged = 0, back = 0;
    for (int seed = 1; seed <= seeds; ++seed) {
      Village village(static_cast<std::uint64_t>(seed), kPlaces, options);
      // Place 0 drifts. Of the others half live in the concept that it comes to, half in another one.
      const std::size_t earlier = workload.recurring ? 2 * kBefore : 0;
      const std::size_t change = earlier + kBefore;
      village[0].stream().set(earlier ? workload.after : workload.before, workload.mix_before);
      if (earlier) village[0].at_sample(earlier, [&] { village[0].stream().set(workload.before, workload.mix_before); });
      for (std::size_t i = 1; i < kPlaces; ++i) {
        if (i % 2) {
          if (workload.after.rotation != 77 && !workload.recurring) village[i].stream().set(workload.after, kAll);
        } else {
          village[i].stream().set(rotated(100 + i), kAll);
        }
      }
      village[0].at_sample(change, [&] { village[0].stream().set(workload.after, workload.mix_after); });
      village.start(std::chrono::milliseconds(interval_ms));
      village.run_to(0, change + kAfter);
      auto& place = village[0];
      const double node = static_cast<double>(samples_to_recover(place.record(), change));
      const double twin = static_cast<double>(samples_to_recover(place.twin_record(), change));
      node_samples.push_back(node);
      twin_samples.push_back(twin);
      ratios.push_back(std::max(twin, 20.0) / std::max(node, 20.0));
      const auto excess = [&](const Record& record) {  // M4 over the first 400 samples, in samples
        return (accuracy(record, change - 200, change) - accuracy(record, change, change + 400)) * 400;
      };
      node_excess.push_back(excess(place.record()));
      twin_excess.push_back(excess(place.twin_record()));
      gaps.push_back(accuracy(place.record(), change + 400, change + kAfter) -
                     accuracy(place.twin_record(), change + 400, change + kAfter));
      for (const auto& report : place.node().drifts()) {
        if (std::getenv("P2P_VERBOSE")) {
          std::printf("  seed %d drift %llu %s at %llu since %llu part of %llu: %s\n", seed,
                      static_cast<unsigned long long>(report.id), std::string(learner::name(report.cause)).c_str(),
                      static_cast<unsigned long long>(report.detected_at),
                      static_cast<unsigned long long>(report.since),
                      static_cast<unsigned long long>(report.part_of), report.reason.c_str());
        }
        if (report.detected_at < change) continue;
        if (report.id == place.node().drifts().front().id || delays.size() < node_samples.size()) {
          delays.push_back(static_cast<double>(report.detected_at) - static_cast<double>(change));
        }
        if (report.accepted) merge_delay.push_back(static_cast<double>(report.merged_at) - static_cast<double>(change));
        merged += report.accepted;
        back += report.rolled_back;
      }
    }
    std::printf("%-42s %8.0f %8.0f %7.1f %7.1f %7.1f %3d@%-4.0f %6d %6.0f %+8.3f\n", workload.name,
                median(node_samples), median(twin_samples), median(ratios), median(node_excess),
                median(twin_excess), merged, median(merge_delay), back, median(delays), median(gaps));
    std::fflush(stdout);
  }
  std::printf("\n%-42s %8s %8s %8s %8s\n", "misleading helpers only", "merged", "back", "worst", "mean");
  for (const auto& misled : misleading()) {
    if (argc > 4 && std::string_view(misled.what).find(argv[4]) == std::string_view::npos) continue;
    double worst = 1, sum = 0;
    std::uint64_t merged = 0, back = 0;
    for (int seed = 1; seed <= seeds; ++seed) {
      Village village(static_cast<std::uint64_t>(seed) + 100, 1, options);
      auto& place = village[0];
      place.stream().set({}, misled.before);
      for (int i = 0; i < 3; ++i) village.add_liar({.pretends = misled.pretends, .learned = misled.learned});
      place.at_sample(kBefore, [&] { place.stream().set(misled.to, kAll); });
      village.start(std::chrono::milliseconds(interval_ms));
      village.run_to(0, 2 * kBefore);
      const double gap =
          accuracy(place.record(), kBefore, 2 * kBefore) - accuracy(place.twin_record(), kBefore, 2 * kBefore);
      worst = std::min(worst, gap);
      sum += gap;
      merged += place.node().status().accepted;
      back += place.node().status().rolled_back;
    }
    std::printf("%-42s %8llu %8llu %+8.3f %+8.3f\n", misled.what, static_cast<unsigned long long>(merged),
                static_cast<unsigned long long>(back), worst, sum / seeds);
    std::fflush(stdout);
  }
  std::printf(
      "\n%d seeds, %zu places, medians. node, twin: samples until the error is within 0.05 of before and stays;\n"
      "excess: errors over the former rate in the first 400 samples; merged: parts in force @ samples after the\n"
      "change; back: of these undone; delay: samples to detection; after: accuracy over the twin's, samples 400 "
      "to %zu.\n"
      "misleading: accuracy over the twin's in the 1000 samples after the change, worst seed and mean.\n",
      seeds, kPlaces, kAfter);
}

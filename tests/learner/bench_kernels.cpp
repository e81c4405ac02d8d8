// Prints what the inner loops of the linear families cost, for every instruction set that this
// processor runs: nanoseconds for one sample the size of MNIST's, 150 of 784 features not zero, 16
// lanes, all in the cache.
//   bench_kernels
#include <algorithm>
#include <cstdint>
#include <ctime>
#include <functional>
#include <vector>

#include <fmt/core.h>

#include "learner/kernels/kernels.hpp"
#include "learner/models/linear/rows.hpp"
#include "metadata/base/random.hpp"

namespace p2p::learner::bench {
namespace {

constexpr std::size_t kFeatures = 784, kLanes = 16, kTiles = 16, kSamples = 64;

/// Nanoseconds of processor time per call, the best of several rounds: other jobs only ever add.
double nanoseconds(const std::function<void(std::size_t)>& work) {
  constexpr std::size_t kRounds = 9, kCalls = 20000;
  double best = 1e30;
  for (std::size_t round = 0; round < kRounds; ++round) {
    const std::clock_t start = std::clock();
    for (std::size_t i = 0; i < kCalls; ++i) work(i % kSamples);
    best = std::min(best, static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  }
  return best / kCalls * 1e9;
}

void run() {
  Random random(1);
  std::vector<std::vector<float>> samples(kSamples, std::vector<float>(kFeatures));
  for (auto& x : samples) {
    for (std::size_t j = 0; j < 150;) {
      float& v = x[random.below(kFeatures)];
      if (v != 0) continue;
      ++j;
      v = static_cast<float>(0.01 + random.uniform());
    }
  }
  Aligned w(kFeatures * kLanes), sums(w), extra(w), tiles(kTiles * kFeatures * Kernels::kTile);
  for (float& v : tiles) v = static_cast<float>(random.normal());
  std::vector<float> out(kLanes), r(kLanes), value(kFeatures + 16), phi(kTiles * Kernels::kTile);
  std::vector<std::uint32_t> index(kFeatures + 16);
  for (float& v : r) v = static_cast<float>(0.05 * random.uniform());
  fmt::print("{:<8} {:>7} {:>7} {:>7} {:>8} {:>9} {:>7} {:>7} {:>13} {:>7}\n", "", "gather",
             "scores", "add", "adagrad", "variance", "arow", "ftrl", "project 1024", "cosine");
  for (const Kernels* k : all_kernels()) {
    std::vector<std::vector<std::uint32_t>> indices;
    std::vector<std::vector<float>> values;
    for (const auto& x : samples) {
      const std::size_t count = k->gather(x.data(), x.size(), index.data(), value.data());
      indices.emplace_back(index.begin(), index.begin() + static_cast<std::ptrdiff_t>(count));
      values.emplace_back(value.begin(), value.begin() + static_cast<std::ptrdiff_t>(count));
    }
    const auto z = [&](std::size_t i) {
      return Sparse{indices[i].data(), values[i].data(), indices[i].size()};
    };
    const double times[] = {
        nanoseconds([&](std::size_t i) {
          k->gather(samples[i].data(), kFeatures, index.data(), value.data());
        }),
        nanoseconds([&](std::size_t i) { k->scores(w.data(), kLanes, z(i), out.data()); }),
        nanoseconds([&](std::size_t i) { k->add(w.data(), kLanes, z(i), r.data()); }),
        nanoseconds([&](std::size_t i) {
          k->adagrad(w.data(), sums.data(), kLanes, z(i), r.data(), 0.1f, 0.9f, 1e-4f);
        }),
        nanoseconds(
            [&](std::size_t i) { k->variance(sums.data(), kLanes, z(i), 0.9f, out.data()); }),
        nanoseconds([&](std::size_t i) {
          k->arow(w.data(), sums.data(), kLanes, z(i), r.data(), r.data(), 0.9f);
        }),
        nanoseconds([&](std::size_t i) {
          k->ftrl(w.data(), extra.data(), sums.data(), kLanes, z(i), r.data(), {0.1f, 1, 0, 0});
        }),
        nanoseconds([&](std::size_t i) {
          for (std::size_t t = 0; t < kTiles; ++t)
            k->project(tiles.data() + t * kFeatures * Kernels::kTile, z(i),
                       phi.data() + t * Kernels::kTile);
        }),
        nanoseconds([&](std::size_t) { k->cosine(phi.data(), phi.size(), 1.0f); }),
    };
    fmt::print(
        "{:<8} {:>7.0f} {:>7.0f} {:>7.0f} {:>8.0f} {:>9.0f} {:>7.0f} {:>7.0f} {:>13.0f} {:>7.0f}\n",
        k->name, times[0], times[1], times[2], times[3], times[4], times[5], times[6], times[7],
        times[8]);
    std::fill(w.begin(), w.end(), 0.0f);
    std::fill(sums.begin(), sums.end(), 0.0f);
    std::fill(extra.begin(), extra.end(), 0.0f);
  }
}

}  // namespace
}  // namespace p2p::learner::bench

int main() { p2p::learner::bench::run(); }

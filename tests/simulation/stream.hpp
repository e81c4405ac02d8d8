// A cheap synthetic world: clusters in 16 dimensions whose geometry (rotation), naming (labels) and mix can change.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "learner/fourier_basis.hpp"
#include "metadata/base/random.hpp"
#include "metadata/task.hpp"

namespace p2p::testing {

inline constexpr std::uint32_t kFeatures = 16;
inline constexpr std::uint32_t kClasses = 6;

/// What makes a joint distribution: how the clusters lie, and what they are called.
struct Concept {
  std::uint64_t rotation = 0;  ///< 0: as they are; else the seed of a random orthogonal matrix
  std::array<std::int32_t, kClasses> labels = {0, 1, 2, 3, 4, 5};
  float shift = 0;  ///< added to each value; rotations hardly show in the marginal
};

inline Concept rotated(std::uint64_t seed) { return {.rotation = seed}; }
inline Concept shifted(float by) { return {.shift = by}; }
inline Concept relabelled(std::array<std::int32_t, kClasses> labels) { return {.labels = labels}; }

/// Classes of the cluster (not of the label) with these weights; the others do not appear.
using Mix = std::array<double, kClasses>;
inline constexpr Mix kAll = {1, 1, 1, 1, 1, 1};
inline Mix without(std::initializer_list<std::size_t> classes) {
  Mix mix = kAll;
  for (const auto c : classes) mix[c] = 0;
  return mix;
}

/// Samples of one place. The clusters belong to the world's seed and are the same for all places.
class Stream {
 public:
  static constexpr std::uint32_t kClusters = 8;  ///< per class
  static constexpr double kNoise = 0.45;

  Stream(std::uint64_t world, std::uint64_t place) : random_(place * 7919 + 17), x_(kFeatures) {
    Random centres(world * 31 + 5);
    for (auto& value : centres_) value = centres.normal();
    set(Concept{}, kAll);
  }
  void set(const Concept& what, const Mix& mix) {
    concept_ = what;
    mix_ = mix;
    turn_ = orthogonal(what.rotation);
  }
  struct Sample {
    std::span<const float> x;
    std::int32_t label;
  };
  Sample next() {
    double total = 0;
    for (const auto weight : mix_) total += weight;
    double pick = random_.uniform() * total;
    std::size_t c = 0;
    while (c + 1 < kClasses && (mix_[c] == 0 || pick >= mix_[c])) pick -= mix_[c++];
    const std::size_t cluster = c * kClusters + random_.below(kClusters);
    std::array<double, kFeatures> plain;
    for (std::size_t f = 0; f < kFeatures; ++f) plain[f] = centres_[cluster * kFeatures + f] + kNoise * random_.normal();
    for (std::size_t f = 0; f < kFeatures; ++f) {
      double value = concept_.shift;
      for (std::size_t g = 0; g < kFeatures; ++g) value += turn_[f * kFeatures + g] * plain[g];
      x_[f] = static_cast<float>(value);
    }
    return {x_, concept_.labels[c]};
  }

 private:
  static std::vector<double> orthogonal(std::uint64_t seed) {
    std::vector<double> q(kFeatures * kFeatures, 0);
    Random random(seed);
    for (std::size_t i = 0; i < kFeatures; ++i) {
      double* row = &q[i * kFeatures];
      for (std::size_t j = 0; j < kFeatures; ++j) row[j] = seed == 0 ? static_cast<double>(i == j) : random.normal();
      for (std::size_t k = 0; k < i; ++k) {
        const double* other = &q[k * kFeatures];
        double dot = 0;
        for (std::size_t j = 0; j < kFeatures; ++j) dot += row[j] * other[j];
        for (std::size_t j = 0; j < kFeatures; ++j) row[j] -= dot * other[j];
      }
      double norm = 0;
      for (std::size_t j = 0; j < kFeatures; ++j) norm += row[j] * row[j];
      for (std::size_t j = 0; j < kFeatures; ++j) row[j] /= std::sqrt(norm);
    }
    return q;
  }
  Random random_;
  std::array<double, kClasses * kClusters * kFeatures> centres_;
  Concept concept_;
  Mix mix_;
  std::vector<double> turn_;
  std::vector<float> x_;
};

/// The task that all places of a world share.
inline metadata::Task make_task(std::uint64_t world) {
  metadata::Task task;
  task.name = "clusters";
  task.features = {{.name = "x", .count = kFeatures, .minimum = -4, .maximum = 4}};
  task.classes = {"a", "b", "c", "d", "e", "f"};
  task.family = "rff";
  task.params = {{"dimensions", 256}};
  task.seed = 11;
  task.embedding_dimensions = 32;
  Stream stream(world, 0xbadd);
  std::vector<float> scaled;
  for (int i = 0; i < 200; ++i) {
    for (const float value : stream.next().x) scaled.push_back((value + 4) / 8);
  }
  task.bandwidth = learner::median_bandwidth(scaled, kFeatures);
  return task;
}

}  // namespace p2p::testing

// Values that several tests of this room share: the worked example of FORMAT.md, and synthetic experience.
#pragma once

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "metadata/base/random.hpp"
#include "metadata/record.hpp"
#include "metadata/task.hpp"

namespace p2p::metadata::testing {

/// Seed of a property test; P2P_TEST_SEED replays another one.
inline std::uint64_t test_seed() {
  const char* given = std::getenv("P2P_TEST_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 20261123;
}
/// Names the seed in the report of whatever fails after it in the same scope.
#define P2P_SHOW_SEED(seed) INFO("replay with P2P_TEST_SEED=" << (seed))

inline Task example_task() {
  Task task;
  task.name = "pump";
  task.features = {{.name = "vibration", .kind = FeatureGroup::Kind::numeric, .count = 3, .maximum = 4},
                   {.name = "valve", .kind = FeatureGroup::Kind::categorical, .categories = 3}};
  task.classes = {"idle", "running", "worn"};
  task.family = "rff";
  task.params = {{"dimensions", 128}};
  task.seed = 1;
  task.bandwidth = 0.5;
  task.embedding_dimensions = 2;
  return task;
}

/// The second worked example: names of categories, and a value for missing numbers.
inline Task flow_task() {
  Task task;
  task.name = "flow";
  task.features = {
      {.name = "rate", .kind = FeatureGroup::Kind::numeric, .count = 2, .maximum = 8, .missing = 2},
      {.name = "protocol",
       .kind = FeatureGroup::Kind::categorical,
       .categories = 3,
       .category_names = {"icmp", "tcp", "udp"}}};
  task.classes = {"normal", "scan"};
  task.family = "rff";
  task.bandwidth = 0.5;
  return task;
}

inline KeyPair example_key(std::uint8_t number = 0) {
  std::array<std::uint8_t, 32> seed{};
  for (std::size_t i = 0; i < seed.size(); ++i) seed[i] = static_cast<std::uint8_t>(i + 32 * number);
  return KeyPair::from_seed(seed);
}

inline Fingerprint example_fingerprint() {
  Fingerprint out;
  out.dimensions = 2;
  out.classes = 3;
  out.joint = {127, -64, 0, 0, -127, 1};
  out.scale = {0.005f, 0.f, 0.0025f};
  out.count = {150.f, 0.f, 50.f};
  out.accuracy = {0.9375f, 0.f, 0.5f};
  return out;
}

inline constexpr std::uint64_t kExampleTime = 1764000000000;  // 2025-11-24 16:00 UTC

inline Entry example_entry() {
  const Fingerprint fingerprint = example_fingerprint();
  Entry out = entry_of(fingerprint, Sketcher(example_task()).sketch(fingerprint));
  out.task = tag(id(example_task()));
  out.node = example_key().id();
  out.version = kExampleTime;
  out.endpoint = {"192.0.2.7", 4222};
  out.table_port = 4223;
  return out;
}

/// The bucket of the example entry in table 1, six bits deep.
inline Place example_place() { return place_of(example_entry().sketch, Place::Kind::joint, 1, 6); }

inline Listing example_listing() { return {example_place(), seal(example_entry(), example_key())}; }

inline Description example_description() {
  return {.task = id(example_task()),
          .node = example_key().id(),
          .version = kExampleTime,
          .fingerprint = example_fingerprint()};
}

/// Gamma(shape, 1) by Marsaglia and Tsang, with the usual boost below 1.
inline double gamma(Random& random, double shape) {
  double boost = 1;
  if (shape < 1) {
    boost = std::pow(1 - random.uniform(), 1 / shape);
    shape += 1;
  }
  const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  while (true) {
    const double x = random.normal(), v = std::pow(1 + c * x, 3);
    if (v <= 0) continue;
    if (std::log(1 - random.uniform()) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v * boost;
  }
}

/// Class shares from a symmetric Dirichlet distribution: the smaller alpha, the more skewed.
inline std::vector<double> dirichlet(Random& random, std::size_t classes, double alpha) {
  std::vector<double> out(classes);
  double total = 0;
  for (auto& p : out) total += p = gamma(random, alpha) + 1e-300;
  for (auto& p : out) p /= total;
  return out;
}

inline std::size_t draw(Random& random, const std::vector<double>& shares) {
  double u = random.uniform();
  std::size_t c = 0;
  while (c + 1 < shares.size() && u >= shares[c]) u -= shares[c++];
  return c;
}

/// A world in the small: each class is a Gaussian blob in the plane of features, the whole of which can be
/// rotated (another concept with the same priors), seen through one random Fourier basis.
class World {
 public:
  struct Options {
    std::uint64_t seed = 1;
    std::uint32_t dimensions = 32;
    std::uint32_t classes = 10;
    std::uint32_t features = 16;
    double spread = 0.5;  ///< of a blob, where the distance between two is about sqrt(2 * features)
  };
  explicit World(const Options& options) : options_(options) {
    Random random(options.seed);
    centres_.resize(std::size_t{options.classes} * options.features);
    for (auto& v : centres_) v = random.normal();
    // The median squared distance between samples of different classes, which the bandwidth rule asks for.
    const double gamma_ = 2 / (2.0 * options.features * (1 + options.spread * options.spread));
    weights_.resize(std::size_t{options.dimensions} * options.features);
    for (auto& w : weights_) w = random.normal() * std::sqrt(gamma_);
    offsets_.resize(options.dimensions);
    for (auto& b : offsets_) b = 2 * std::numbers::pi * random.uniform();
  }

  /// An embedded sample of class c, with the features turned by `rotation` places (0: none).
  std::vector<float> sample(Random& random, std::size_t c, std::size_t rotation) const {
    const std::size_t n = options_.features;
    std::vector<double> x(n);
    for (std::size_t i = 0; i < n; ++i) {
      x[(i + rotation) % n] = centres_[c * n + i] + options_.spread * random.normal();
    }
    std::vector<float> phi(options_.dimensions);
    for (std::size_t d = 0; d < phi.size(); ++d) {
      double angle = offsets_[d];
      for (std::size_t i = 0; i < n; ++i) angle += weights_[d * n + i] * x[i];
      phi[d] = static_cast<float>(std::sqrt(2.0 / options_.dimensions) * std::cos(angle));
    }
    return phi;
  }

  Fingerprint fingerprint(Random& random, const std::vector<double>& shares, std::size_t rotation,
                          std::size_t samples) const {
    FingerprintBuilder builder(
        {.dimensions = options_.dimensions, .classes = options_.classes, .half_life = 0});
    for (std::size_t i = 0; i < samples; ++i) {
      const std::size_t c = draw(random, shares);
      builder.add(sample(random, c, rotation), static_cast<std::int32_t>(c), random.uniform() < 0.8);
    }
    return builder.build();
  }

 private:
  Options options_;
  std::vector<double> centres_, weights_, offsets_;
};

}  // namespace p2p::metadata::testing

// Streams and specs that the learner's tests share.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "learner/fourier_basis.hpp"
#include "learner/model.hpp"
#include "metadata/base/random.hpp"

namespace p2p::learner::test {

struct Sample {
  std::vector<float> x;
  ClassIndex y;
};

/// Classes as rings of Gaussian blobs in the first two features, the rest noise: not linearly
/// separable when a class has two blobs on opposite sides.
class Blobs {
 public:
  Blobs(std::uint64_t seed, std::uint32_t features, std::uint32_t classes)
      : random_(seed), features_(features), classes_(classes) {}

  Sample of(ClassIndex y) {
    Sample s{std::vector<float>(features_), y};
    const double blob =
        static_cast<double>(y) + (random_.uniform() < 0.5 ? 0.0 : static_cast<double>(classes_));
    const double angle = 3.14159265358979 * blob / static_cast<double>(classes_);
    for (float& v : s.x) v = static_cast<float>(0.5 + 0.05 * random_.normal());
    s.x[0] = static_cast<float>(0.5 + 0.4 * std::cos(angle) + 0.04 * random_.normal());
    if (features_ > 1)
      s.x[1] = static_cast<float>(0.5 + 0.4 * std::sin(angle) + 0.04 * random_.normal());
    return s;
  }
  Sample next() { return of(static_cast<ClassIndex>(random_.below(classes_))); }
  /// Only classes in [from, to).
  Sample next(ClassIndex from, ClassIndex to) {
    return of(from + static_cast<ClassIndex>(random_.below(static_cast<std::uint64_t>(to - from))));
  }
  Random& random() { return random_; }

 private:
  Random random_;
  std::uint32_t features_, classes_;
};

inline ModelSpec spec_of(std::string_view family, std::uint32_t features = 6,
                         std::uint32_t classes = 4) {
  ModelSpec spec;
  spec.family = std::string(family);
  spec.features = features;
  spec.classes = classes;
  spec.seed = 42;
  spec.bandwidth = 8;
  if (family == "rff") {
    spec.params = {{"dimensions", 64}};
  } else {
    spec.params = {{"trees", 8}, {"min_samples", 20}, {"max_leaves", 64}};
  }
  return spec;
}

inline std::unique_ptr<Model> make(const ModelSpec& spec) {
  auto made = make_model(spec);
  if (!made) throw std::runtime_error(made.error().text());
  return std::move(*made);
}

inline void train(Model& model, Blobs& stream, int samples) {
  for (int i = 0; i < samples; ++i) {
    const Sample s = stream.next();
    model.learn(s.x, s.y);
  }
}

/// Share of right predictions, without training.
inline double accuracy(const Model& model, Blobs stream, int samples, ClassIndex from,
                       ClassIndex to) {
  int hits = 0;
  for (int i = 0; i < samples; ++i) {
    const Sample s = stream.next(from, to);
    hits += model.predict(s.x) == s.y;
  }
  return static_cast<double>(hits) / samples;
}

}  // namespace p2p::learner::test

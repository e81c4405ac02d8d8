// Streams and specs that the learner's tests share.
#pragma once

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
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
/// separable when a class has two blobs on opposite sides (curved), else separable by lines.
class Blobs {
 public:
  Blobs(std::uint64_t seed, std::uint32_t features, std::uint32_t classes, bool curved = true)
      : random_(seed), features_(features), classes_(classes), curved_(curved) {}

  Sample of(ClassIndex y) {
    Sample s{std::vector<float>(features_), y};
    const bool opposite = random_.uniform() >= 0.5;
    const double blob =
        curved_ ? static_cast<double>(y) + (opposite ? static_cast<double>(classes_) : 0.0)
                : 2.0 * static_cast<double>(y);
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
  bool curved_;
};

inline bool one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// What the tests over all families must know of each.
///
/// Its classes are separated by planes, or by what is no better on Blobs: curved ones are beyond it.
inline bool is_flat(std::string_view family) {
  return one_of(family, {"perceptron", "pa", "svm", "arow", "softmax", "ftrl", "nb", "ncm"});
}
/// Its blocks are trees: "tree/<i>".
inline bool has_trees(std::string_view family) { return one_of(family, {"orf", "arf"}); }
/// It travels as a whole, whatever the classes.
inline bool is_whole(std::string_view family) { return one_of(family, {"mlp"}); }
/// It is made of other families, and its blocks are theirs.
inline bool is_composed(std::string_view family) { return one_of(family, {"auto"}); }
/// Its blocks are classes, "class/<c>", each alone with what belongs to it.
inline bool is_by_class(std::string_view family) {
  return !has_trees(family) && !is_whole(family) && !is_composed(family);
}

/// The hardest stream that the family can learn.
inline Blobs blobs_for(std::string_view family, std::uint64_t seed) {
  return Blobs(seed, 6, 4, !is_flat(family));
}

inline ModelSpec spec_of(std::string_view family, std::uint32_t features = 6,
                         std::uint32_t classes = 4) {
  ModelSpec spec;
  spec.family = std::string(family);
  spec.features = features;
  spec.classes = classes;
  spec.seed = 42;
  spec.bandwidth = 8;
  if (one_of(family, {"perceptron", "pa", "svm", "arow", "softmax", "ftrl"})) spec.bandwidth = 1;
  if (one_of(family, {"svm", "softmax", "ftrl"})) {
    spec.params = {{family == "ftrl" ? "alpha" : "learning_rate", 1}};
  } else if (family == "pa") {
    spec.params = {{"C", 1}};
  } else if (family == "rff") {
    spec.params = {{"dimensions", 64}};
  } else if (family == "ridge") {
    spec.params = {{"dimensions", 16}};
  } else if (family == "auto") {
    spec.params = {{"trees", 2}, {"dimensions", 32}, {"hidden", 16}};
  } else if (family == "mlp") {
    spec.params = {{"hidden", 32}};
  } else if (family == "orf") {
    spec.params = {{"trees", 8}, {"min_samples", 20}, {"max_leaves", 64}};
  } else if (family == "arf") {
    spec.params = {{"trees", 8}, {"max_leaves", 64}};
  }
  return spec;
}

/// A parameter of the family with its default, and another value that it may have.
struct Knob {
  std::string name;
  double usual, other;
};
inline Knob knob_of(std::string_view family) {
  if (family == "rff") return {"learning_rate", 0.4, 0.07};
  if (one_of(family, {"perceptron", "pa", "arow", "svm", "softmax"})) return {"decay", 0.99998, 0.98};
  if (family == "ftrl") return {"beta", 0.1, 0.07};
  if (family == "orf") return {"min_gain", 0.05, 0.07};
  if (family == "arf") return {"lambda", 6, 5};
  if (family == "auto") return {"window", 500, 400};
  if (family == "mlp") return {"learning_rate", 0.1, 0.07};
  if (family == "nb") return {"decay", 0.997, 0.98};
  return {"decay", 0.999, 0.98};
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

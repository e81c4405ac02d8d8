// A small model of every family, trained a little: what the fuzz targets of the learner start from.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "learner/model.hpp"
#include "metadata/base/random.hpp"

namespace p2p::fuzz {

inline constexpr std::uint32_t kFeatures = 4, kClasses = 3;
inline constexpr std::array<float, kFeatures> kInput{0.1f, 0.9f, -1.0f, 0.5f};

inline learner::ModelSpec spec_of(std::string_view family) {
  learner::ModelSpec spec{.family = std::string(family),
                          .features = kFeatures,
                          .classes = kClasses,
                          .seed = 1,
                          .bandwidth = 1,
                          .params = {}};
  if (family == "rff" || family == "ridge") spec.params = {{"dimensions", 8}};
  if (family == "orf" || family == "arf") spec.params = {{"trees", 3}};
  if (family == "ftrl") spec.params = {{"bits", 3}};
  if (family == "mlp") spec.params = {{"hidden", 6}};
  if (family == "auto") spec.params = {{"trees", 2}, {"dimensions", 8}, {"hidden", 4}};
  return spec;
}

inline std::unique_ptr<learner::Model> trained(std::string_view family, int samples, std::uint64_t seed) {
  auto model = learner::make_model(spec_of(family));
  P2P_ASSERT(model.has_value());
  Random random(seed);
  for (int i = 0; i < samples; ++i) {
    const int y = i % 3;
    std::array<float, kFeatures> x{};
    for (auto& value : x) value = static_cast<float>(random.uniform() + (y == 1 ? 0.5 : 0.0));
    (*model)->learn(x, y);
  }
  return std::move(*model);
}

/// What a decoder let through must work: predict, learn, share, grow, save.
inline void exercise(learner::Model& model) {
  const auto predicted = model.predict_then_learn(kInput, 1);
  P2P_ASSERT(predicted >= 0 && predicted < static_cast<learner::ClassIndex>(kClasses));
  (void)model.partition({}, learner::Precision::bits8);
  model.grow(kClasses + 1);
  model.learn(kInput, kClasses);
  (void)model.encode();
}

}  // namespace p2p::fuzz

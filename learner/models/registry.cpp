// Which families there are, and how a spec becomes a model.
#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "learner/model.hpp"
#include "learner/models/trees/adaptive_random_forest.hpp"
#include "learner/models/auto/auto_model.hpp"
#include "learner/models/linear/families.hpp"
#include "learner/models/moments/naive_bayes.hpp"
#include "learner/models/moments/nearest_mean.hpp"
#include "learner/models/trees/online_random_forest.hpp"
#include "learner/models/mlp/perceptron_layers.hpp"
#include "learner/models/moments/ridge.hpp"

namespace p2p::learner {
namespace {

Result<void> check_shape(const ModelSpec& spec) {
  if (spec.features < 1 || spec.features > kMaxFeatures) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("features is {}; it must lie between 1 and {}", spec.features, kMaxFeatures));
  }
  if (spec.classes < 2 || spec.classes > kMaxClasses) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("classes is {}; it must lie between 2 and {}", spec.classes, kMaxClasses));
  }
  if (!std::isfinite(spec.bandwidth) || spec.bandwidth < 0) {
    return fail(ErrorCode::invalid_argument,
                "bandwidth must be a finite number that is not negative");
  }
  return {};
}

/// A family by its name: how a spec becomes a fresh model, and bytes one that goes on.
struct Family {
  std::string_view name;
  Result<std::unique_ptr<Model>> (*make)(const ModelSpec&);
  Result<std::unique_ptr<Model>> (*decode)(const ModelSpec&, ByteView);
};

template <typename T>
constexpr Family family() {
  return {T::kFamily,
          [](const ModelSpec& spec) -> Result<std::unique_ptr<Model>> {
            auto made = T::make(spec);
            if (!made) return tl::unexpected(made.error());
            return std::move(*made);
          },
          [](const ModelSpec& spec, ByteView bytes) -> Result<std::unique_ptr<Model>> {
            auto made = T::make(spec);
            if (!made) return tl::unexpected(made.error());
            if (auto read = (*made)->decode(bytes); !read) return tl::unexpected(read.error());
            return std::move(*made);
          }};
}

constexpr std::array kFamilies = {
    family<Perceptron>(),
    family<PassiveAggressive>(),
    family<LinearSvm>(),
    family<Arow>(),
    family<Softmax>(),
    family<Ftrl>(),
    family<Rff>(),
    family<OnlineRandomForest>(),
    family<AdaptiveRandomForest>(),
    family<NaiveBayes>(),
    family<NearestMean>(),
    family<Ridge>(),
    family<PerceptronLayers>(),
    family<Auto>(),
};

constexpr auto kNames = [] {
  std::array<std::string_view, kFamilies.size()> names;
  std::transform(kFamilies.begin(), kFamilies.end(), names.begin(), [](const Family& f) { return f.name; });
  return names;
}();

Result<const Family*> find(const ModelSpec& spec) {
  const auto found = std::find_if(kFamilies.begin(), kFamilies.end(),
                                  [&](const Family& f) { return f.name == spec.family; });
  if (found == kFamilies.end()) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("family \"{}\" is not known; this build has {}", spec.family,
                            fmt::join(kNames, ", ")));
  }
  if (auto ok = check_shape(spec); !ok) return tl::unexpected(ok.error());
  return &*found;
}

}  // namespace

std::size_t Part::bytes() const {
  std::size_t total = 0;
  for (const Block& block : blocks) total += block.content.size();
  return total;
}

std::span<const std::string_view> families() { return kNames; }

Result<std::unique_ptr<Model>> make_model(const ModelSpec& spec) {
  const auto known = find(spec);
  if (!known) return tl::unexpected(known.error());
  return (*known)->make(spec);
}

Result<std::unique_ptr<Model>> decode_model(const ModelSpec& spec, ByteView bytes) {
  const auto known = find(spec);
  if (!known) return tl::unexpected(known.error());
  return (*known)->decode(spec, bytes);
}

}  // namespace p2p::learner

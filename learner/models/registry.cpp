// Which families there are, and how a spec becomes a model.
#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "learner/model.hpp"
#include "learner/models/online_random_forest.hpp"
#include "learner/models/rff_softmax.hpp"

namespace p2p::learner {
namespace {

constexpr std::array<std::string_view, 2> kFamilies = {RffSoftmax::kFamily,
                                                       OnlineRandomForest::kFamily};

Result<void> check_shape(const ModelSpec& spec) {
  if (std::find(kFamilies.begin(), kFamilies.end(), spec.family) == kFamilies.end()) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("family \"{}\" is not known; this build has {}", spec.family,
                            fmt::join(kFamilies, ", ")));
  }
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

template <typename Family>
Result<std::unique_ptr<Model>> decode_as(const ModelSpec& spec, ByteView bytes) {
  auto made = Family::make(spec);
  if (!made) return tl::unexpected(made.error());
  if (auto read = (*made)->decode(bytes); !read) return tl::unexpected(read.error());
  return std::move(*made);
}

template <typename Family>
Result<std::unique_ptr<Model>> make_as(const ModelSpec& spec) {
  auto made = Family::make(spec);
  if (!made) return tl::unexpected(made.error());
  return std::move(*made);
}

}  // namespace

std::size_t Part::bytes() const {
  std::size_t total = 0;
  for (const Block& block : blocks) total += block.content.size();
  return total;
}

std::span<const std::string_view> families() { return kFamilies; }

Result<std::unique_ptr<Model>> make_model(const ModelSpec& spec) {
  if (auto ok = check_shape(spec); !ok) return tl::unexpected(ok.error());
  return spec.family == RffSoftmax::kFamily ? make_as<RffSoftmax>(spec)
                                            : make_as<OnlineRandomForest>(spec);
}

Result<std::unique_ptr<Model>> decode_model(const ModelSpec& spec, ByteView bytes) {
  if (auto ok = check_shape(spec); !ok) return tl::unexpected(ok.error());
  return spec.family == RffSoftmax::kFamily ? decode_as<RffSoftmax>(spec, bytes)
                                            : decode_as<OnlineRandomForest>(spec, bytes);
}

}  // namespace p2p::learner

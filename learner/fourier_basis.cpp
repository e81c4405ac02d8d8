#include "learner/fourier_basis.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <mutex>
#include <numbers>
#include <tuple>
#include <vector>

#include <Eigen/Core>

#include "metadata/base/random.hpp"

namespace p2p::learner {

/// W lies feature by feature, (dimensions x features) column-major: a feature that is zero costs
/// nothing, and every output is summed in the same order whatever `dimensions` is, so a prefix is a
/// prefix.
struct FourierBasis::State {
  Options options;
  std::vector<float> directions;
  std::vector<float> phases;
};

FourierBasis::FourierBasis(const Options& options) : state_(std::make_unique<State>()) {
  P2P_ASSERT(options.features > 0 && options.dimensions > 0);
  P2P_ASSERT(options.bandwidth > 0 && std::isfinite(options.bandwidth));
  state_->options = options;
  const std::size_t rows = options.dimensions;
  state_->directions.resize(rows * options.features);
  state_->phases.resize(rows);
  Random random(options.seed);
  const double deviation = std::sqrt(options.bandwidth);
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t feature = 0; feature < options.features; ++feature) {
      state_->directions[feature * rows + row] = static_cast<float>(deviation * random.normal());
    }
    state_->phases[row] = static_cast<float>(2.0 * std::numbers::pi * random.uniform());
  }
}

FourierBasis::~FourierBasis() = default;

const FourierBasis::Options& FourierBasis::options() const { return state_->options; }

void FourierBasis::map(Features x, std::span<float> out) const {
  const Options& o = state_->options;
  P2P_ASSERT(x.size() == o.features && out.size() == o.dimensions);
  using Column = Eigen::Map<const Eigen::ArrayXf>;
  const auto column = [&](std::size_t feature) {
    return Column(state_->directions.data() + feature * o.dimensions, o.dimensions);
  };
  Eigen::Map<Eigen::ArrayXf> y(out.data(), o.dimensions);
  y = Column(state_->phases.data(), o.dimensions);
  // Four columns at a time, so that y is read and written once for four products.
  std::size_t chosen[4];
  std::size_t count = 0;
  for (std::size_t feature = 0; feature < x.size(); ++feature) {
    if (x[feature] == 0.0f) continue;
    chosen[count++] = feature;
    if (count < 4) continue;
    count = 0;
    y += (column(chosen[0]) * x[chosen[0]] + column(chosen[1]) * x[chosen[1]]) +
         (column(chosen[2]) * x[chosen[2]] + column(chosen[3]) * x[chosen[3]]);
  }
  for (std::size_t i = 0; i < count; ++i) y += column(chosen[i]) * x[chosen[i]];
  y = y.cos() * std::sqrt(2.0f / static_cast<float>(o.dimensions));
}

std::shared_ptr<const FourierBasis> FourierBasis::shared(const Options& options) {
  using Key = std::tuple<std::uint64_t, std::uint32_t, std::uint32_t, std::uint64_t>;
  static std::mutex mutex;
  static std::map<Key, std::weak_ptr<const FourierBasis>> cache;
  const Key key{options.seed, options.features, options.dimensions,
                std::bit_cast<std::uint64_t>(options.bandwidth)};
  const std::lock_guard lock(mutex);
  if (auto found = cache[key].lock()) return found;
  std::erase_if(cache, [](const auto& entry) { return entry.second.expired(); });
  auto made = std::make_shared<const FourierBasis>(options);
  cache[key] = made;
  return made;
}

double median_bandwidth(std::span<const float> samples, std::size_t features) {
  P2P_ASSERT(features > 0 && samples.size() % features == 0);
  // More rows would change the median little and cost quadratically; take them evenly spread.
  constexpr std::size_t kRows = 300;
  const std::size_t available = samples.size() / features;
  const std::size_t rows = std::min(available, kRows);
  using Row = Eigen::Map<const Eigen::VectorXf>;
  const auto row = [&](std::size_t i) {
    return Row(samples.data() + (i * available / rows) * features,
               static_cast<Eigen::Index>(features));
  };
  std::vector<float> distances;
  distances.reserve(rows * rows / 2);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const float d = (row(i) - row(j)).squaredNorm();
      if (d > 0 && std::isfinite(d)) distances.push_back(d);
    }
  }
  if (distances.empty()) return 0;
  const auto middle = distances.begin() + static_cast<std::ptrdiff_t>(distances.size() / 2);
  std::nth_element(distances.begin(), middle, distances.end());
  return 2.0 / static_cast<double>(*middle);
}

}  // namespace p2p::learner

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

namespace {

constexpr std::size_t kTile = Kernels::kTile;

}  // namespace

/// Directions lie in tiles of kTile, each feature by feature (features x kTile): a tile's sums stay
/// in registers while the features go by, and a feature that is zero costs nothing. Every output is
/// summed in the order of the features whatever `dimensions` is, so a prefix is a prefix.
struct FourierBasis::State {
  Options options;
  std::vector<float> tiles;
  std::vector<float> phases;
};

FourierBasis::FourierBasis(const Options& options) : state_(std::make_unique<State>()) {
  P2P_ASSERT(options.features > 0 && options.dimensions > 0);
  P2P_ASSERT(options.bandwidth > 0 && std::isfinite(options.bandwidth));
  state_->options = options;
  const std::size_t tiles = (options.dimensions + kTile - 1) / kTile;
  state_->tiles.resize(tiles * options.features * kTile);
  state_->phases.resize(options.dimensions);
  Random random(options.seed);
  const double deviation = std::sqrt(options.bandwidth) / (2.0 * std::numbers::pi);
  for (std::size_t row = 0; row < options.dimensions; ++row) {
    float* tile = state_->tiles.data() + (row / kTile) * options.features * kTile + row % kTile;
    for (std::size_t feature = 0; feature < options.features; ++feature)
      tile[feature * kTile] = static_cast<float>(deviation * random.normal());
    state_->phases[row] = static_cast<float>(random.uniform());
  }
}

FourierBasis::~FourierBasis() = default;

const FourierBasis::Options& FourierBasis::options() const { return state_->options; }

void FourierBasis::project(const Sparse& x, std::span<float> sums) const {
  const Kernels& k = kernels();
  const float* tile = state_->tiles.data();
  for (; sums.size() >= kTile; sums = sums.subspan(kTile)) {
    k.project(tile, x, sums.data());
    tile += state_->options.features * kTile;
  }
  if (sums.empty()) return;
  float last[kTile] = {};
  std::copy(sums.begin(), sums.end(), last);
  k.project(tile, x, last);
  std::copy_n(last, sums.size(), sums.begin());
}

void FourierBasis::map(const Sparse& x, std::span<float> out) const {
  const Options& o = state_->options;
  P2P_ASSERT(out.size() == o.dimensions);
  std::copy(state_->phases.begin(), state_->phases.end(), out.begin());
  project(x, out);
  kernels().cosine(out.data(), out.size(), std::sqrt(2.0f / static_cast<float>(o.dimensions)));
}

void FourierBasis::map(Features x, std::span<float> out) const {
  const Options& o = state_->options;
  P2P_ASSERT(x.size() == o.features && out.size() == o.dimensions);
  constexpr std::size_t kAtOnce = 256;
  std::uint32_t index[kAtOnce + 16];
  float value[kAtOnce + 16];
  std::copy(state_->phases.begin(), state_->phases.end(), out.begin());
  for (std::size_t from = 0; from < x.size(); from += kAtOnce) {
    const auto part = x.subspan(from, std::min(kAtOnce, x.size() - from));
    const std::size_t count = kernels().gather(part.data(), part.size(), index, value);
    if (count == Kernels::kNotFinite) {
      std::fill(out.begin(), out.end(), 0.0f);
      return;
    }
    for (std::size_t i = 0; i < count; ++i) index[i] += static_cast<std::uint32_t>(from);
    project({index, value, count}, out);
  }
  kernels().cosine(out.data(), out.size(), std::sqrt(2.0f / static_cast<float>(o.dimensions)));
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

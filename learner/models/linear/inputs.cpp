#include "learner/models/linear/inputs.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "metadata/base/random.hpp"

namespace p2p::learner {
namespace {

constexpr std::uint32_t kNegative = 1u << 31;
constexpr std::size_t kSlack = 16;  ///< what Kernels::gather asks for

}  // namespace

Inputs::Inputs(std::uint32_t features, std::size_t length, double bandwidth)
    : features_(features),
      length_(length),
      scale_(bandwidth > 0 ? static_cast<float>(std::clamp(std::sqrt(bandwidth), 1e-6, 1e6)) : 1) {}

Inputs Inputs::raw(std::uint32_t features, double bandwidth) {
  return Inputs(features, std::size_t{features} + 1, bandwidth);
}

Inputs Inputs::hashed(std::uint32_t features, double bandwidth, std::uint32_t bits,
                      std::uint64_t seed) {
  const std::size_t table = std::size_t{1} << bits;
  if (features <= table) return raw(features, bandwidth);
  Inputs made(features, table + 1, bandwidth);
  made.places_.resize(features);
  for (std::uint32_t j = 0; j < features; ++j) {
    const std::uint64_t hash = Random(seed).fork(j).next();
    made.places_[j] =
        static_cast<std::uint32_t>(hash & (table - 1)) | (hash >> 63 != 0 ? kNegative : 0);
  }
  return made;
}

Inputs Inputs::fourier(const FourierBasis::Options& basis, bool with_raw, double bandwidth) {
  Inputs made(basis.features, std::size_t{basis.dimensions} + (with_raw ? basis.features : 0) + 1,
              bandwidth);
  if (basis.dimensions > 0) made.basis_ = FourierBasis::shared(basis);
  made.with_raw_ = with_raw;
  return made;
}

Inputs::Buffer Inputs::make_buffer() const {
  const std::size_t dimensions = basis_ ? basis_->options().dimensions : 0;
  Buffer buffer;
  buffer.index.resize(dimensions + features_ + 1 + kSlack);
  buffer.value.resize(buffer.index.size());
  std::iota(buffer.index.begin(), buffer.index.begin() + static_cast<std::ptrdiff_t>(dimensions),
            0u);
  return buffer;
}

Inputs::Filled Inputs::fill(Features x, Buffer& buffer) const {
  P2P_ASSERT(x.size() == features_);
  const std::size_t dimensions = basis_ ? basis_->options().dimensions : 0;
  const auto bias = static_cast<std::uint32_t>(length_ - 1);
  std::uint32_t* index = buffer.index.data() + dimensions;
  float* value = buffer.value.data() + dimensions;
  std::size_t count = kernels().gather(x.data(), x.size(), index, value);
  if (count == Kernels::kNotFinite) {
    index[0] = bias;
    value[0] = 1;
    return {{index, value, 1}, false};
  }
  if (basis_) {
    basis_->map(Sparse{index, value, count}, {buffer.value.data(), dimensions});
    if (!with_raw_) count = 0;
    for (std::size_t i = 0; i < count; ++i) index[i] += static_cast<std::uint32_t>(dimensions);
  }
  for (std::size_t i = 0; i < count; ++i) value[i] *= scale_;
  if (!places_.empty()) {
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint32_t place = places_[index[i]];
      if ((place & kNegative) != 0) value[i] = -value[i];
      index[i] = place & ~kNegative;
    }
  }
  index[count] = bias;
  value[count] = 1;
  return {{buffer.index.data(), buffer.value.data(), dimensions + count + 1}, true};
}

}  // namespace p2p::learner

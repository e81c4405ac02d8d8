#include "overlay/geo/significance_filter.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace p2p::geo {

double threshold_at(const SignificanceOptions& options, std::uint64_t t) {
  P2P_ASSERT(t >= 1);
  if (options.schedule == Schedule::constant) return options.threshold;
  return options.threshold / std::sqrt(static_cast<double>(t));
}

SignificanceFilter::SignificanceFilter(std::uint32_t dimension, SignificanceOptions options)
    : options_(std::move(options)), pending_(dimension, 0.0f) {
  for (const double threshold : options_.shadow_thresholds) {
    counts_.push_back({threshold, 0, 0});
    shadows_.emplace_back(dimension, 0.0f);
  }
  if (!shadows_.empty()) fresh_.assign(dimension, 0.0f);
}

void SignificanceFilter::accumulate(std::uint32_t index, float delta) {
  P2P_ASSERT(index < pending_.size() && std::isfinite(delta));
  constexpr float kLargest = std::numeric_limits<float>::max();  // a model that diverges stays expressible
  pending_[index] = std::clamp(pending_[index] + delta, -kLargest, kLargest);
  if (!fresh_.empty()) fresh_[index] += delta;
}

Significant SignificanceFilter::emit(std::span<const float> values, std::uint64_t t, Precision precision) {
  P2P_ASSERT(values.size() == pending_.size());
  double squares = 0;
  for (const float value : values) squares += static_cast<double>(value) * value;
  const double least = options_.floor * std::sqrt(squares / static_cast<double>(values.size()));
  const double threshold = threshold_at(options_, t);

  Significant out;
  for (std::uint32_t i = 0; i < pending_.size(); ++i) {
    if (pending_[i] == 0) continue;
    const double size = std::max(std::abs(static_cast<double>(values[i])), least);
    if (std::abs(static_cast<double>(pending_[i])) <= threshold * size) continue;
    const double value = quantise(pending_[i], precision);
    if (value == 0) continue;  // below what the coding can express
    out.indices.push_back(i);
    out.values.push_back(value);
    pending_[i] = static_cast<float>(pending_[i] - value);
  }
  count_shadows(values, least);
  return out;
}

void SignificanceFilter::count_shadows(std::span<const float> values, double least) {
  for (std::uint32_t i = 0; i < fresh_.size(); ++i) {
    if (fresh_[i] == 0) continue;
    const double size = std::max(std::abs(static_cast<double>(values[i])), least);
    for (std::size_t s = 0; s < shadows_.size(); ++s) {
      float& held = shadows_[s][i];
      held += fresh_[i];
      ++counts_[s].updates;
      if (std::abs(static_cast<double>(held)) <= counts_[s].threshold * size) continue;
      ++counts_[s].sent;
      held = 0;
    }
    fresh_[i] = 0;
  }
}

std::vector<ShadowCount> SignificanceFilter::take_shadow_counts() {
  auto out = counts_;
  for (auto& count : counts_) count.updates = count.sent = 0;
  return out;
}

}  // namespace p2p::geo

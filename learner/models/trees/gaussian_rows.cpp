#include "learner/models/trees/gaussian_rows.hpp"

#include <algorithm>
#include <cmath>

#include "learner/model.hpp"

namespace p2p::learner {
namespace {

using lanes::all;
using lanes::F4;
using lanes::load;
using lanes::store;

/// Below this variance a feature is a constant: nothing else than its value is believed.
constexpr float kConstant = 1e-20f;
/// 1 / (2 variance) of a constant. One step of a float near 1 costs about 10^2 nats.
constexpr float kVeto = 1e16f;

}  // namespace

std::uint32_t GaussianRows::take() {
  if (!free_.empty()) {
    const std::uint32_t row = free_.back();
    free_.pop_back();
    std::fill_n(mean(row), kArrays * stride_, 0.0f);
    return row;
  }
  if (used_ >= most_) return kNone;
  data_.resize((used_ + 1) * kArrays * stride_ + kSplitWidth, 0.0f);
  return static_cast<std::uint32_t>(used_++);
}

void GaussianRows::clear() {
  used_ = 0;
  data_.clear();
  free_.clear();
}

float GaussianRows::add(std::uint32_t row, const float* x, float before, float w) {
  float* const m = mean(row);
  const float n = before + w;
  const F4 rate = all(w / n), weight = all(w);
  const F4 scale = all(n > 1 ? 1 / (n - 1) : 0.0f);
  F4 logs = all(0);
  for (std::size_t i = 0; i < stride_; i += lanes::kWidth) {
    const F4 v = load(x + i);
    F4 mu = load(m + i);
    const F4 d = v - mu;
    mu += d * rate;
    store(m + i, mu);
    const F4 spread_now = load(m + stride_ + i) + weight * d * (v - mu);
    store(m + stride_ + i, spread_now);
    const F4 variance = spread_now * scale;
    const auto varies = variance > kConstant;
    store(m + 2 * stride_ + i, varies ? 0.5f / variance : all(kVeto));
    logs += varies ? lanes::log2(variance * 6.2831853f) : all(0);
    const F4 lo = load(m + 3 * stride_ + i), hi = load(m + 4 * stride_ + i);
    store(m + 3 * stride_ + i, before > 0 ? lanes::min(lo, v) : v);
    store(m + 4 * stride_ + i, before > 0 ? lanes::max(hi, v) : v);
  }
  return 0.34657359f * lanes::sum(logs);
}

float GaussianRows::refresh(std::uint32_t row, float weight) {
  float* const m = mean(row);
  const F4 scale = all(weight > 1 ? 1 / (weight - 1) : 0.0f);
  F4 logs = all(0);
  for (std::size_t i = 0; i < stride_; i += lanes::kWidth) {
    const F4 variance = load(m + stride_ + i) * scale;
    const auto varies = variance > kConstant;
    store(m + 2 * stride_ + i, varies ? 0.5f / variance : all(kVeto));
    logs += varies ? lanes::log2(variance * 6.2831853f) : all(0);
  }
  return 0.34657359f * lanes::sum(logs);
}

float GaussianRows::distance(std::uint32_t row, const float* x) const {
  const float* const m = mean(row);
  F4 total = all(0);
  for (std::size_t i = 0; i < stride_; i += lanes::kWidth) {
    const F4 d = load(x + i) - load(m + i);
    total += d * d * load(m + 2 * stride_ + i);
  }
  return lanes::sum(total);
}

SplitChoice choose_split(const GaussianRows& rows, std::span<const SplitRow> classes,
                         std::size_t features) {
  SplitChoice choice;
  float weight = 0, before = 0;
  for (const SplitRow& c : classes) {
    weight += c.weight;
    before -= c.weight * std::log2(c.weight);
  }
  if (!(weight > 0)) return choice;
  before = before / weight + std::log2(weight);
  float roots[kMaxClasses * kSplitWidth];
  split_search(features).run({rows.data(), rows.stride(), features, classes.data(), classes.size(), weight,
                      before, roots},
                     choice);
  return choice;
}

float share_below(const GaussianRows& rows, std::uint32_t row, std::uint32_t lane,
                  float threshold) {
  const float* m = rows.mean(row) + lane;
  const std::size_t stride = rows.stride();
  if (threshold < m[3 * stride]) return 0;
  if (threshold >= m[4 * stride]) return 1;
  return lanes::normal_below(all((threshold - m[0]) * std::sqrt(2 * m[2 * stride])))[0];
}

}  // namespace p2p::learner

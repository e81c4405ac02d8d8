// What the leaves of a Hoeffding tree remember of their samples: one Gaussian per class and feature.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "learner/models/trees/lanes.hpp"
#include "learner/models/trees/split_search.hpp"

namespace p2p::learner {

/// A row describes one class in one leaf over that leaf's features: five arrays of `stride` floats, one
/// after the other. All rows of a tree lie in one array; freed ones are used again.
///
/// No number that comes in may pass +-kLimit, so that no sum overflows.
class GaussianRows {
 public:
  static constexpr float kLimit = 1e6f;
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;

  GaussianRows(std::size_t stride, std::uint32_t most) : stride_(stride), most_(most) {}

  /// An empty row, or kNone when `most` are taken.
  std::uint32_t take();
  void give_back(std::uint32_t row) { free_.push_back(row); }
  void clear();
  std::uint32_t available() const {
    return most_ - static_cast<std::uint32_t>(used_ - free_.size());
  }
  std::size_t bytes() const { return 4 * (data_.size() + free_.size()); }
  static std::size_t row_bytes(std::size_t stride) { return 4 * kArrays * stride; }

  /// One sample of weight w, where `before` is what the row has seen; Welford's update. The result is
  /// the sum over the features of ln(sigma sqrt(2 pi)).
  float add(std::uint32_t row, const float* x, float before, float w);
  /// The same sum, and what follows from mean and spread, for a row whose arrays have been filled in.
  float refresh(std::uint32_t row, float weight);
  /// sum of (x - mean)^2 / (2 sigma^2).
  float distance(std::uint32_t row, const float* x) const;

  std::size_t stride() const { return stride_; }
  /// Arrays of a row. Spread: sum of w (x - mean)^2.
  float* mean(std::uint32_t row) { return data_.data() + row * kArrays * stride_; }
  float* spread(std::uint32_t row) { return mean(row) + stride_; }
  float* half_inverse(std::uint32_t row) { return mean(row) + 2 * stride_; }
  float* low(std::uint32_t row) { return mean(row) + 3 * stride_; }
  float* high(std::uint32_t row) { return mean(row) + 4 * stride_; }
  const float* mean(std::uint32_t row) const { return data_.data() + row * kArrays * stride_; }
  /// All rows; kSplitWidth floats behind the last one can be read.
  const float* data() const { return data_.data(); }

 private:
  static constexpr std::size_t kArrays = 5;

  std::size_t stride_;
  std::uint32_t most_;
  std::size_t used_ = 0;
  std::vector<float> data_;
  std::vector<std::uint32_t> free_;
};

/// Tries ten thresholds per feature, spread evenly between the least and the greatest value seen. What
/// a class has on the left is the mass of its Gaussian there, all or nothing outside of what it was
/// seen to take. A side must get at least 1 % of the weight.
SplitChoice choose_split(const GaussianRows& rows, std::span<const SplitRow> classes,
                         std::size_t features);

/// Share of a row's weight at or below the threshold.
float share_below(const GaussianRows& rows, std::uint32_t row, std::uint32_t lane, float threshold);

}  // namespace p2p::learner

// The search for the best split of a leaf, compiled for several widths of vector and chosen at run time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace p2p::learner {

/// A class in a leaf that is about to split: its row in GaussianRows, and the weight that the row has seen.
struct SplitRow {
  std::uint32_t row;
  float weight;
};

/// The two best features to split a leaf on, by information gain in bits.
struct SplitChoice {
  float best = -1, second = -1;  ///< gains; below zero where no threshold leaves enough on either side
  std::uint32_t lane = 0;        ///< the best one's place among the leaf's features
  float threshold = 0;
};

/// Rows as GaussianRows has them: five arrays of `stride` floats each.
struct SplitInput {
  const float* rows;
  std::size_t stride, features;
  const SplitRow* classes;
  std::size_t count;  ///< of classes
  float weight;       ///< of all of them
  float entropy;      ///< of the leaf before the split, bits
  float* roots;       ///< scratch: kSplitWidth floats for each class
};

/// Floats that a search may read (and not use) behind an array's end.
inline constexpr std::size_t kSplitWidth = 16;

/// One instruction set's search. Each feature's arithmetic is the same sequence of single operations
/// whatever the width (fused multiply-add is off), so all of them choose the same, bit for bit.
struct SplitSearch {
  const char* name;
  std::size_t width;
  void (*run)(const SplitInput& input, SplitChoice& choice);
};

/// The widest that this processor runs and so many features fill more than half of.
const SplitSearch& split_search(std::size_t features);
/// All that it runs, slowest first; for tests.
std::span<const SplitSearch* const> all_split_searches();

}  // namespace p2p::learner

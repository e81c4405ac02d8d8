// The examples that a demonstration deals out to its nodes, all in memory.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "metadata/base/error.hpp"
#include "metadata/task.hpp"
#include "tools/demo_cmd/scenario.hpp"

namespace p2p::tools {

/// A labelled data set. Images stay bytes (70,000 of 28 x 28 are 55 MB, as floats four times that);
/// columns of a CSV are mapped to [0, 1] by their range over the whole set, so that a transform
/// means the same everywhere.
struct DataSet {
  std::string name;  ///< for people and for the task
  std::uint32_t features = 0;
  std::uint32_t side = 0;  ///< of square images; 0: other images, or a table
  std::vector<std::string> classes;
  std::vector<std::uint16_t> labels;  ///< one per example

  std::vector<std::uint8_t> pixels;  ///< (features x examples), when it came as idx; else empty
  std::vector<float> cells;          ///< (features x examples), when it came as CSV; NaN: missing

  bool images() const { return !pixels.empty(); }
  std::size_t size() const { return labels.size(); }

  /// One transformed example, in [0, 1] (NaN: missing). out: (features x 1).
  void example(std::size_t index, Transform transform, std::span<float> out) const;
  /// The same as bytes; images only.
  void image(std::size_t index, Transform transform, std::span<std::uint8_t> out) const;
};

/// Where in the untransformed example the value comes from that ends up at `to`: a quarter turn
/// clockwise for square images, the opposite column otherwise.
std::size_t rotated_from(std::size_t to, std::size_t features, std::size_t side);

/// Reads a folder with idx files (train and t10k, or any one pair of images and labels; gzip or
/// plain), a CSV file, or a folder with one CSV file. At most `kMaxExamples` examples are taken.
/// Errors name the file and what would be right.
Result<DataSet> load_data_set(const std::string& path);
inline constexpr std::size_t kMaxExamples = 200'000;
inline constexpr const char* kDefaultData = "/usr/share/datasets/fashion-mnist";

/// The task that all nodes of a demonstration share. Its bandwidth comes from `sample` (rows x
/// features, scaled).
Result<metadata::Task> make_task(const DataSet& data, std::uint64_t seed,
                                 std::span<const float> sample);

}  // namespace p2p::tools

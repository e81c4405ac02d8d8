// Real samples for simulated places: public data sets, turned into the concepts of a drift.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "metadata/base/error.hpp"
#include "metadata/base/random.hpp"
#include "metadata/task.hpp"

namespace p2p::testing {

/// A data set in memory, scaled to 0 .. 1 column by column.
struct RealData {
  std::string name;
  bool images = false;  ///< square ones
  std::uint32_t features = 0, classes = 0;
  std::vector<float> x;         ///< (rows x features)
  std::vector<std::int32_t> y;  ///< (rows x 1)
  std::uint32_t raw_bytes = 0;  ///< of one sample as its source has it: a byte a pixel, 4 bytes a number

  std::size_t rows() const { return y.size(); }
  std::span<const float> row(std::size_t i) const { return {x.data() + i * features, features}; }
};

/// fashion (Debian's dataset-fashion-mnist), mnist, letter (the letters A to J: 16 numbers), pendigits (8 numbers,
/// 10 classes), covtype (the first 15,000 rows of covtype20k, 54 columns, 7 classes in equal shares). `folder` has
/// mnist/, letter/ and so on.
Result<RealData> load_real(const std::string& folder, const std::string& name);

/// What makes a joint distribution out of a data set.
struct View {
  /// 0: as it is. Images: quarter turns (number % 4), inverted from 4 on. Numbers: a permutation of the columns, of
  /// which about half are mirrored, drawn from this number.
  std::uint32_t geometry = 0;
  std::vector<std::int32_t> names = {};  ///< class -> label; empty: its own
  bool random_labels = false;
};
/// Weights of the classes (not of the labels).
using Weights = std::vector<double>;

/// Samples of one place. Rows of a class come in an order of the place's own, each once before any comes again.
class RealStream {
 public:
  /// The rows are shared out by parity, so that two halves of an overlay never see the same ones.
  RealStream(const RealData& data, std::uint64_t seed, std::size_t half);
  void set(View view, Weights weights);
  struct Sample {
    std::span<const float> x;  ///< valid until the next call
    std::int32_t label;
  };
  Sample next();

 private:
  const RealData& data_;
  Random random_;
  std::vector<std::vector<std::uint32_t>> rows_;  // of each class, in this place's order
  std::vector<std::size_t> next_;
  View view_;
  Weights weights_;
  std::vector<std::uint32_t> from_;  // of each column
  std::vector<bool> mirrored_;
  std::vector<float> x_;
};

/// The task that all places of a data set share. `family` may carry parameters: "rff:dimensions=1024,raw=0".
metadata::Task real_task(const RealData& data, const std::string& family);

}  // namespace p2p::testing

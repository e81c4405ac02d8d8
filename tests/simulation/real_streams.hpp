// Real data as streams whose concept and mix can be changed at will: what the figures of adaptation are taken on.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "metadata/base/random.hpp"
#include "metadata/fingerprint.hpp"
#include "metadata/task.hpp"
#include "tests/simulation/village.hpp"

namespace p2p::testing {

/// What inputs look like, and what they are called.
struct View {
  /// Images: so many quarter turns. Tables: 0 as they are, else the seed of an order of the columns, every second of
  /// which is turned round (1 - x).
  std::uint32_t turned = 0;
  /// Label of each class; empty: its own.
  std::vector<std::int32_t> labels = {};
};

/// All samples of a public data set, scaled to 0 .. 1.
class DataSet {
 public:
  /// `name`: fashion (Debian's), mnist, or a folder below `folder` with stream.csv.gz.
  static Result<DataSet> load(const std::string& folder, const std::string& name, const std::string& family);

  const std::string& name() const { return name_; }
  const metadata::Task& task() const { return task_; }
  std::uint32_t classes() const { return static_cast<std::uint32_t>(by_class_.size()); }
  std::size_t features() const { return features_; }
  std::size_t rows() const { return labels_.size(); }

  /// One row of class `c`, drawn with replacement, as seen in `view`; out: (features x 1).
  void draw(Random& random, std::size_t c, const View& view, std::vector<float>& out) const;

 private:
  std::string name_;
  metadata::Task task_;
  std::size_t features_ = 0;
  bool images_ = false;
  std::vector<float> values_;  // (rows x features)
  std::vector<std::int32_t> labels_;
  std::vector<std::vector<std::size_t>> by_class_;
};

/// A stream out of it: independent draws, classes by the mix's weights.
class RealStream {
 public:
  RealStream(const DataSet& data, std::uint64_t seed)
      : data_(&data), random_(seed), mix_(data.classes(), 1.0) {}
  void set(View view, std::vector<double> mix) {
    view_ = std::move(view);
    mix_ = std::move(mix);
  }
  Site::Shown next();

  /// A model and an experience of `samples` further samples.
  std::unique_ptr<learner::Model> trained(std::size_t samples);
  metadata::Fingerprint experience(std::size_t samples, double accuracy);

 private:
  const DataSet* data_;
  Random random_;
  View view_;
  std::vector<double> mix_;
  std::vector<float> x_;
};

}  // namespace p2p::testing

// A stretch of labelled samples, with what the serving model said of each before it was trained on it.
#pragma once

#include <cstddef>
#include <vector>

#include "learner/model.hpp"
#include "learner/window.hpp"

namespace p2p::node {

/// Samples in the order in which they came. Bounds: the owner's; a trial's tape holds a window and its maximum.
class Tape {
 public:
  explicit Tape(std::size_t features) : features_(features) {}

  void append(learner::Features x, learner::ClassIndex label, learner::ClassIndex predicted) {
    values_.insert(values_.end(), x.begin(), x.end());
    labels_.push_back(label);
    predicted_.push_back(predicted);
  }
  std::size_t size() const { return labels_.size(); }
  /// Its view holds until the next append().
  learner::SampleWindow::Item at(std::size_t index) const {
    return {{values_.data() + index * features_, features_}, labels_[index], predicted_[index]};
  }

 private:
  std::size_t features_;
  std::vector<float> values_;
  std::vector<learner::ClassIndex> labels_, predicted_;
};

}  // namespace p2p::node

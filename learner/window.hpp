// The latest labelled samples, kept for trials, fingerprints and checkpoints.
#pragma once

#include <cstddef>
#include <vector>

#include "learner/model.hpp"

namespace p2p::learner {

/// A ring of the latest samples with what the serving model said before it was trained on each.
class SampleWindow {
 public:
  struct Item {
    Features x;             ///< valid until the next push
    ClassIndex label;
    ClassIndex predicted;   ///< test-then-train: given before the label was seen
  };
  SampleWindow(std::size_t capacity, std::size_t features);

  void push(Features x, ClassIndex label, ClassIndex predicted);
  std::size_t size() const { return size_; }
  std::size_t capacity() const { return labels_.size(); }
  /// 0 is the oldest.
  Item at(std::size_t index) const;
  void clear() { size_ = 0; next_ = 0; }

 private:
  std::size_t features_;
  std::size_t next_ = 0;
  std::size_t size_ = 0;
  std::vector<float> values_;
  std::vector<ClassIndex> labels_;
  std::vector<ClassIndex> predicted_;
};

}  // namespace p2p::learner

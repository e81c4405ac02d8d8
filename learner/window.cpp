#include "learner/window.hpp"

#include <algorithm>

namespace p2p::learner {

SampleWindow::SampleWindow(std::size_t capacity, std::size_t features)
    : features_(features), values_(capacity * features), labels_(capacity), predicted_(capacity) {
  P2P_ASSERT(capacity > 0 && features > 0);
}

void SampleWindow::push(Features x, ClassIndex label, ClassIndex predicted) {
  P2P_ASSERT(x.size() == features_);
  std::copy(x.begin(), x.end(), values_.begin() + static_cast<std::ptrdiff_t>(next_ * features_));
  labels_[next_] = label;
  predicted_[next_] = predicted;
  next_ = (next_ + 1) % capacity();
  size_ = std::min(size_ + 1, capacity());
}

SampleWindow::Item SampleWindow::at(std::size_t index) const {
  P2P_ASSERT(index < size_);
  const std::size_t at = (next_ + capacity() - size_ + index) % capacity();
  return {Features(values_.data() + at * features_, features_), labels_[at], predicted_[at]};
}

}  // namespace p2p::learner

// The rows of a linear classifier, one per class, as the kernels want them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <vector>

#include "learner/kernels/kernels.hpp"
#include "learner/model.hpp"

namespace p2p::learner {

/// Storage that starts at a cache line, so that a coordinate of 16 classes is one line.
template <typename T>
struct LineAllocator {
  using value_type = T;
  static constexpr std::align_val_t kLine{64};
  LineAllocator() = default;
  template <typename U>
  LineAllocator(const LineAllocator<U>&) {}
  T* allocate(std::size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), kLine)); }
  void deallocate(T* p, std::size_t) { ::operator delete(p, kLine); }
  bool operator==(const LineAllocator&) const = default;
};
using Aligned = std::vector<float, LineAllocator<float>>;

/// What a class that cannot be said scores: one that was never seen, or a lane beyond the last
/// class.
inline constexpr float kUnseen = -1e30f;

/// (classes x length) weights and up to two more numbers beside each weight, which the update rules
/// use: `sums` (squares, precisions; never negative) and `extra`.
///
/// Layout: classes in groups of `lanes` (4, 8 or 16), each group (length x lanes). Classes beyond
/// the last are zero and stay so.
///
/// A scale makes decay cheap: the true sum is sum_scale() * sums[..], so a sample's decay is one
/// multiplication; only now and then are all sums multiplied.
///
/// Evidence: per class the number of its samples, decayed as the sums are.
class Rows {
 public:
  Rows(std::uint32_t classes, std::size_t length, std::size_t arrays);

  std::uint32_t classes() const { return classes_; }
  std::size_t length() const { return length_; }
  std::size_t lanes() const { return lanes_; }
  std::size_t groups() const { return groups_; }
  /// Scores, slopes and steps have this many entries, for whole groups.
  std::size_t padded() const { return lanes_ * groups_; }

  float* weights(std::size_t group) { return arrays_[0].data() + group * length_ * lanes_; }
  float* sums(std::size_t group) { return arrays_[1].data() + group * length_ * lanes_; }
  float* extra(std::size_t group) { return arrays_[2].data() + group * length_ * lanes_; }
  double sum_scale() const { return sum_scale_; }

  /// out (padded): the score of every class, kUnseen beyond the last.
  void score(const Sparse& z, std::span<float> out) const;
  /// w_c += step_c z for every class; steps of zero cost nothing.
  void add(const Sparse& z, std::span<const float> step);

  double evidence(std::uint32_t c) const { return evidence_[c] * sum_scale_; }
  bool seen(std::uint32_t c) const { return evidence_[c] > 0; }
  void set_evidence(std::uint32_t c, double evidence);
  /// One more sample of class c; the others' evidence and all sums decay.
  void count(std::uint32_t c, double decay);

  /// A class's true numbers, (length). Array 0 the weights, 1 the sums, 2 the extra ones.
  void get_row(std::size_t array, std::uint32_t c, std::span<float> out) const;
  void put_row(std::size_t array, std::uint32_t c, std::span<const float> values);
  /// Root of the mean of |w_c|^2 over the classes that were seen; 0 when there is none.
  double root_mean_square_row() const;

  void grow(std::uint32_t classes);

  void encode(ByteWriter& out) const;
  std::size_t encoded_bytes() const;
  /// encode()'s inverse for the same shape; `malformed` when a number is not finite or cannot be.
  Result<void> decode(ByteReader& in);
  std::size_t bytes() const;

 private:
  float* at(std::size_t array, std::uint32_t c);
  const float* at(std::size_t array, std::uint32_t c) const;
  double scale_of(std::size_t array) const { return array == 1 ? sum_scale_ : 1; }
  void fold();

  std::uint32_t classes_;
  std::size_t length_, lanes_, groups_;
  double sum_scale_ = 1;
  std::vector<Aligned> arrays_;
  std::vector<double> evidence_;  ///< times sum_scale_
};

}  // namespace p2p::learner

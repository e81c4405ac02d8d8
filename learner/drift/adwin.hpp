// ADWIN: a window that grows while its mean stays and shrinks when it does not.
#pragma once

#include <array>
#include <cstdint>

#include "learner/drift/detector.hpp"
#include "metadata/base/bytes.hpp"

namespace p2p::learner {

/// Keeps the longest window of latest values in which no split into an older and a newer part has
/// means that differ by more than chance allows. With n0, n1 the lengths of the parts, n their sum,
/// sigma^2 the variance over the window and delta' = delta / ln n, a split is a change when
///
///     |mean0 - mean1| > sqrt(2/m sigma^2 ln(2/delta')) + 2/(3m) ln(2/delta'),   1/m = 1/n0 + 1/n1
///
/// The values lie in an exponential histogram: row i holds at most kBuckets buckets of 2^i values
/// each, so a window of n values takes kBuckets log2 n buckets and only their borders are tried as
/// splits.
///
/// Only an increase of the mean is reported; after a decrease the window shrinks and nothing is
/// said: a learner that got better needs no help.
///
/// Reference: Bifet, Gavalda, "Learning from Time-Changing Data with Adaptive Windowing", SDM 2007.
///
/// Deviations: splits are tried every `clock` values; a part must have at least `minimum_part`
/// values; ln n is that of the next power of two; after a rise all before the split that exceeds
/// its bound most goes at once. (The paper drops the oldest bucket until no split is left, which
/// stops as soon as the rest is short of significant: the window would keep most of the old values
/// and alarm again as new ones come. After a fall that is what is done here too: a lucky stretch
/// must not become the reference.)
///
/// Bounds: 2.6 KB, no allocation. Cost: amortised O(1), and every `clock` values O(log n): a split
/// that no bound can be exceeded at is passed over with a few multiplications, see find_cut().
class Adwin final : public DriftDetector {
 public:
  struct Options {
    double delta = 0.002;         ///< confidence of one decision; smaller is slower
    double warning_delta = 0.05;  ///< the same for a warning; >= delta
    std::uint32_t clock = 8;
    std::uint32_t minimum_part = 5;
  };
  Adwin() : Adwin(Options{}) {}
  explicit Adwin(const Options& options);

  DriftLevel update(double value) override;
  std::size_t width() const override { return static_cast<std::size_t>(width_); }
  double mean() const override { return width_ == 0 ? 0.0 : total_ / static_cast<double>(width_); }
  /// Of the values in the window, as far as the histogram knows it.
  double variance() const { return width_ == 0 ? 0.0 : spread_ / static_cast<double>(width_); }
  void reset() override;
  std::unique_ptr<DriftDetector> clone() const override;
  void encode(ByteWriter& out) const override;
  Result<void> decode(ByteReader& in) override;
  std::size_t bytes() const override { return sizeof *this; }

 private:
  static constexpr std::size_t kBuckets = 5;
  static constexpr std::size_t kRows = 26;  ///< 5 (2^26 - 1) values; then the oldest go

  struct Row {
    std::array<double, kBuckets + 1> total;   ///< per bucket, oldest first: sum of its values
    std::array<double, kBuckets + 1> spread;  ///< sum of squared distances from their mean
  };
  void insert(double value);
  void drop_oldest();
  /// Looks at every split once and drops what the clearest change makes obsolete; false when there
  /// is none.
  bool find_cut(DriftLevel& level);
  void set_logarithms();

  Options options_;
  std::uint64_t width_ = 0;
  double total_ = 0, spread_ = 0;
  std::uint32_t last_row_ = 0;            ///< the highest row in use
  std::uint32_t ticks_ = 0;               ///< values since splits were tried
  int log2_ = -1;                         ///< of the width that the next two hold for
  double ln_drift_ = 0, ln_warning_ = 0;  ///< ln(2/delta')
  std::array<std::uint8_t, kRows> used_{};
  std::array<Row, kRows> rows_{};
};

}  // namespace p2p::learner

#include "learner/drift/adwin.hpp"

#include <algorithm>
#include <cmath>

#include "metadata/base/error.hpp"

namespace p2p::learner {

Adwin::Adwin(const Options& options) : options_(options) {
  P2P_ASSERT(options.delta > 0 && options.delta < 1 && options.warning_delta >= options.delta &&
             options.warning_delta < 1);
  P2P_ASSERT(options.clock >= 1 && options.minimum_part >= 1);
}

void Adwin::reset() { *this = Adwin(options_); }

std::unique_ptr<DriftDetector> Adwin::clone() const { return std::make_unique<Adwin>(*this); }

void Adwin::insert(double value) {
  if (width_ > 0) {
    const double n = static_cast<double>(width_);
    const double d = value - total_ / n;
    spread_ += d * d * n / (n + 1);
  }
  ++width_;
  total_ += value;
  Bucket carry{value, 0};
  for (std::size_t i = 0; i < kRows; ++i) {
    Row& row = rows_[i];
    row.buckets[row.used++] = carry;
    last_row_ = std::max(last_row_, i);
    if (row.used <= kBuckets) return;
    // Full: the two oldest become one bucket of the next row.
    const Bucket &a = row.buckets[0], &b = row.buckets[1];
    const double size = std::ldexp(1.0, static_cast<int>(i));
    const double d = (a.total - b.total) / size;
    carry = {a.total + b.total, a.spread + b.spread + d * d * size / 2};
    std::copy(row.buckets.begin() + 2, row.buckets.end(), row.buckets.begin());
    row.used -= 2;
  }
  // 5 * (2^40 - 1) values: the oldest of them go.
  width_ -= std::uint64_t{1} << kRows;
  total_ -= carry.total;
}

void Adwin::drop_oldest() {
  Row& row = rows_[last_row_];
  const Bucket gone = row.buckets[0];
  const double size = std::ldexp(1.0, static_cast<int>(last_row_));
  std::copy(row.buckets.begin() + 1, row.buckets.begin() + row.used, row.buckets.begin());
  --row.used;
  width_ -= std::uint64_t{1} << last_row_;
  total_ -= gone.total;
  const double n = static_cast<double>(width_);
  const double d = width_ > 0 ? gone.total / size - total_ / n : 0.0;
  spread_ = width_ > 0 ? std::max(0.0, spread_ - gone.spread - d * d * size * n / (size + n)) : 0.0;
  while (last_row_ > 0 && rows_[last_row_].used == 0) --last_row_;
}

bool Adwin::find_cut(DriftLevel& level) {
  const double n = static_cast<double>(width_);
  const double least = options_.minimum_part;
  const double log_n = std::max(1.0, std::log(n));
  const double ln_drift = std::log(2.0 * log_n / options_.delta);
  const double ln_warning = std::log(2.0 * log_n / options_.warning_delta);
  const double sigma2 = variance();
  double n0 = 0, sum0 = 0;
  double best = 1;  // excess of a change over its bound
  std::uint64_t best_n0 = 0;
  bool rise = false;
  for (std::size_t i = last_row_ + 1; i-- > 0;) {
    const Row& row = rows_[i];
    const double size = std::ldexp(1.0, static_cast<int>(i));
    for (std::uint32_t k = 0; k < row.used; ++k) {
      n0 += size;
      sum0 += row.buckets[k].total;
      const double n1 = n - n0;
      if (n0 < least || n1 < least) continue;
      const double change = (total_ - sum0) / n1 - sum0 / n0;
      const double one_over_m = 1.0 / (n0 - least + 1) + 1.0 / (n1 - least + 1);
      const auto bound = [&](double ln) {
        return std::sqrt(2.0 * one_over_m * sigma2 * ln) + 2.0 / 3.0 * one_over_m * ln;
      };
      const double excess = std::abs(change) / bound(ln_drift);
      if (excess > best) {
        best = excess;
        best_n0 = static_cast<std::uint64_t>(n0);
        rise = change > 0;
      }
      if (level == DriftLevel::stable && change > bound(ln_warning)) level = DriftLevel::warning;
    }
  }
  if (best_n0 == 0) return false;
  if (!rise) {
    drop_oldest();
    return true;
  }
  level = DriftLevel::drift;
  for (const std::uint64_t keep = width_ - best_n0; width_ > keep;) drop_oldest();
  return true;
}

DriftLevel Adwin::update(double value) {
  insert(value);
  DriftLevel level = DriftLevel::stable;
  if (++ticks_ % options_.clock != 0 || width_ < 2 * options_.minimum_part) return level;
  while (width_ > 0 && find_cut(level)) {
  }
  return level;
}

}  // namespace p2p::learner

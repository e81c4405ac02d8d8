#include "learner/drift/adwin.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "learner/drift/state.hpp"
#include "metadata/base/error.hpp"

namespace p2p::learner {
namespace {

double size_of(std::size_t row) { return static_cast<double>(std::uint64_t{1} << row); }

}  // namespace

Adwin::Adwin(const Options& options) : options_(options) {
  P2P_ASSERT(options.delta > 0 && options.delta < 1 && options.warning_delta >= options.delta &&
             options.warning_delta < 1);
  P2P_ASSERT(options.clock >= 1 && options.minimum_part >= 1);
}

void Adwin::reset() {
  width_ = 0;
  total_ = spread_ = 0;
  last_row_ = ticks_ = 0;
  log2_ = -1;
  used_.fill(0);
}

std::unique_ptr<DriftDetector> Adwin::clone() const { return std::make_unique<Adwin>(*this); }

void Adwin::insert(double value) {
  if (width_ > 0) {
    const double n = static_cast<double>(width_);
    const double d = value * n - total_;
    spread_ += d * d / (n * (n + 1));
  }
  ++width_;
  total_ += value;
  double carry_total = value, carry_spread = 0;
  for (std::size_t i = 0; i < kRows; ++i) {
    Row& row = rows_[i];
    std::uint8_t& used = used_[i];
    row.total[used] = carry_total;
    row.spread[used] = carry_spread;
    last_row_ = std::max(last_row_, static_cast<std::uint32_t>(i));
    if (++used <= kBuckets) return;
    // Full: the two oldest become one bucket of the next row.
    const double d = row.total[0] - row.total[1];
    carry_total = row.total[0] + row.total[1];
    carry_spread = row.spread[0] + row.spread[1] + d * d / (2 * size_of(i));
    std::copy(row.total.begin() + 2, row.total.end(), row.total.begin());
    std::copy(row.spread.begin() + 2, row.spread.end(), row.spread.begin());
    used -= 2;
  }
  // No row is left for what is carried: the oldest values go.
  width_ -= std::uint64_t{1} << kRows;
  total_ -= carry_total;
}

void Adwin::drop_oldest() {
  Row& row = rows_[last_row_];
  const double size = size_of(last_row_);
  const double gone_total = row.total[0], gone_spread = row.spread[0];
  const std::uint8_t used = used_[last_row_]--;
  std::copy(row.total.begin() + 1, row.total.begin() + used, row.total.begin());
  std::copy(row.spread.begin() + 1, row.spread.begin() + used, row.spread.begin());
  width_ -= std::uint64_t{1} << last_row_;
  total_ -= gone_total;
  const double n = static_cast<double>(width_);
  const double d = width_ > 0 ? gone_total / size - total_ / n : 0.0;
  spread_ = width_ > 0 ? std::max(0.0, spread_ - gone_spread - d * d * size * n / (size + n)) : 0.0;
  while (last_row_ > 0 && used_[last_row_] == 0) --last_row_;
}

void Adwin::set_logarithms() {
  const int log2 = std::bit_width(width_);
  if (log2 == log2_) return;
  log2_ = log2;
  const double log_n = std::max(1.0, std::log(2.0) * log2);
  ln_drift_ = std::log(2.0 * log_n / options_.delta);
  ln_warning_ = std::log(2.0 * log_n / options_.warning_delta);
}

bool Adwin::find_cut(DriftLevel& level) {
  set_logarithms();
  const double n = static_cast<double>(width_);
  const double least = options_.minimum_part;
  const double sigma2 = variance();
  // With a = n0 total - n sum0 the change is a / (n0 n1), and the first term of the lower bound
  // alone is at least sqrt(2 spread ln(2/delta') / (n0 n1)): what stays within that needs no
  // division and no root.
  const double within = 2.0 * spread_ * ln_warning_;
  double n0 = 0, sum0 = 0;
  double best = 1;  // excess of a change over its bound
  std::uint64_t best_n0 = 0;
  bool rise = false;
  for (std::size_t i = last_row_ + 1; i-- > 0;) {
    const Row& row = rows_[i];
    const double size = size_of(i);
    for (std::size_t k = 0; k < used_[i]; ++k) {
      n0 += size;
      sum0 += row.total[k];
      const double n1 = n - n0;
      const double a = n0 * total_ - n * sum0;
      if (a * a <= within * n0 * n1 || n0 < least || n1 < least) continue;
      const double change = (total_ - sum0) / n1 - sum0 / n0;
      const double one_over_m = 1.0 / (n0 - least + 1) + 1.0 / (n1 - least + 1);
      const auto bound = [&](double ln) {
        return std::sqrt(2.0 * one_over_m * sigma2 * ln) + 2.0 / 3.0 * one_over_m * ln;
      };
      const double excess = std::abs(change) / bound(ln_drift_);
      if (excess > best) {
        best = excess;
        best_n0 = static_cast<std::uint64_t>(n0);
        rise = change > 0;
      }
      if (level == DriftLevel::stable && change > bound(ln_warning_)) level = DriftLevel::warning;
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
  if (++ticks_ < options_.clock) return level;
  ticks_ = 0;
  if (width_ < 2 * options_.minimum_part) return level;
  while (width_ > 0 && find_cut(level)) {
  }
  return level;
}

void Adwin::encode(ByteWriter& out) const {
  out.put(ticks_);
  out.put(total_);
  out.put(spread_);
  out.put(last_row_);
  for (std::size_t i = 0; i <= last_row_; ++i) {
    out.put(used_[i]);
    out.put_array(std::span(rows_[i].total.data(), used_[i]));
    out.put_array(std::span(rows_[i].spread.data(), used_[i]));
  }
}

Result<void> Adwin::decode(ByteReader& in) {
  reset();
  StateReader state(in);
  ticks_ = state.whole(options_.clock - 1);
  total_ = state.number(0, 1e12);
  spread_ = state.number(0, 1e12);
  last_row_ = state.whole(kRows - 1);
  double sum = 0;
  for (std::size_t i = 0; state.ok() && i <= last_row_; ++i) {
    used_[i] = in.get<std::uint8_t>();
    if (!state.check(used_[i] <= kBuckets)) break;
    const double size = size_of(i);
    for (std::size_t k = 0; k < used_[i]; ++k) sum += rows_[i].total[k] = state.number(0, size);
    for (std::size_t k = 0; k < used_[i]; ++k) rows_[i].spread[k] = state.number(0, size);
    width_ += std::uint64_t{used_[i]} << i;
  }
  // Rounding alone sets the running sums apart from those of the buckets.
  state.check(last_row_ == 0 || used_[last_row_] > 0);
  state.check(std::abs(total_ - sum) <= 1e-6 * (1 + static_cast<double>(width_)));
  state.check(spread_ <= 1 + static_cast<double>(width_));
  if (!state.ok()) reset();
  return state.result("ADWIN");
}

}  // namespace p2p::learner

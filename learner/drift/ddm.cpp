#include "learner/drift/ddm.hpp"

#include <algorithm>
#include <cmath>

#include "learner/drift/state.hpp"

namespace p2p::learner {

// ---- DDM

Ddm::Ddm(const Options& options) : options_(options) {
  P2P_ASSERT(options.minimum >= 1 && options.warning > 0 && options.drift >= options.warning);
}

void Ddm::reset() { *this = Ddm(options_); }
std::unique_ptr<DriftDetector> Ddm::clone() const { return std::make_unique<Ddm>(*this); }

DriftLevel Ddm::update(double value) {
  ++n_;
  const double n = static_cast<double>(n_);
  p_ += (value - p_) / n;
  const double s = std::sqrt(std::max(0.0, p_ * (1 - p_)) / n);
  if (n_ < options_.minimum) return DriftLevel::stable;
  if (p_ > 0 && p_ + s <= p_min_ + s_min_) {
    p_min_ = p_;
    s_min_ = s;
  }
  if (p_ + s > p_min_ + options_.drift * s_min_ && p_ > p_min_) {
    reset();
    return DriftLevel::drift;
  }
  return p_ + s > p_min_ + options_.warning * s_min_ && p_ > p_min_ ? DriftLevel::warning
                                                                    : DriftLevel::stable;
}

void Ddm::encode(ByteWriter& out) const {
  out.put(n_);
  for (const double value : {p_, p_min_, s_min_}) out.put(value);
}

Result<void> Ddm::decode(ByteReader& in) {
  StateReader state(in);
  n_ = state.count();
  for (double* value : {&p_, &p_min_, &s_min_}) *value = state.number(-1e-9, 1 + 1e-9);
  if (!state.ok()) reset();
  return state.result("DDM");
}

// ---- EDDM

Eddm::Eddm(const Options& options) : options_(options) {
  P2P_ASSERT(options.minimum_errors >= 2 && options.drift > 0 && options.warning >= options.drift &&
             options.warning <= 1);
}

void Eddm::reset() { *this = Eddm(options_); }
std::unique_ptr<DriftDetector> Eddm::clone() const { return std::make_unique<Eddm>(*this); }

double Eddm::mean() const {
  return n_ == 0 ? 0.0 : static_cast<double>(errors_) / static_cast<double>(n_);
}

DriftLevel Eddm::update(double value) {
  ++n_;
  if (value < 0.5) return DriftLevel::stable;
  ++errors_;
  const double gap = static_cast<double>(n_ - last_);
  last_ = n_;
  const double k = static_cast<double>(errors_);
  const double before = distance_;
  distance_ += (gap - distance_) / k;
  squares_ += (gap - before) * (gap - distance_);
  const double reach = distance_ + 2 * std::sqrt(squares_ / k);
  if (errors_ < options_.minimum_errors) return DriftLevel::stable;
  if (reach >= best_) {
    best_ = reach;
    best_distance_ = distance_;
    return DriftLevel::stable;
  }
  if (distance_ >= best_distance_) return DriftLevel::stable;
  if (reach < options_.drift * best_) {
    reset();
    return DriftLevel::drift;
  }
  return reach < options_.warning * best_ ? DriftLevel::warning : DriftLevel::stable;
}

void Eddm::encode(ByteWriter& out) const {
  for (const std::uint64_t value : {n_, last_, errors_}) out.put(value);
  for (const double value : {distance_, squares_, best_, best_distance_}) out.put(value);
}

Result<void> Eddm::decode(ByteReader& in) {
  StateReader state(in);
  n_ = state.count();
  last_ = state.count(n_);
  errors_ = state.count(last_);
  distance_ = state.number(0, 1e17);
  squares_ = state.number(0, 1e34);
  best_ = state.number(0, 1e18);
  best_distance_ = state.number(0, 1e17);
  state.check((errors_ == 0) == (last_ == 0));
  if (!state.ok()) reset();
  return state.result("EDDM");
}

// ---- RDDM

Rddm::Rddm(const Options& options) : options_(options), bits_((std::size_t{options.keep} + 7) / 8) {
  P2P_ASSERT(options.minimum >= 1 && options.warning > 0 && options.drift >= options.warning);
  P2P_ASSERT(options.keep >= 1 && options.keep <= options.most / 2 && options.warning_limit >= 1);
}

void Rddm::forget() {
  n_ = warned_ = 0;
  p_ = 0;
  p_min_ = s_min_ = 1;
}

void Rddm::reset() {
  forget();
  next_ = kept_ = 0;
  std::fill(bits_.begin(), bits_.end(), std::uint8_t{0});
}

std::unique_ptr<DriftDetector> Rddm::clone() const { return std::make_unique<Rddm>(*this); }

bool Rddm::bit(std::uint32_t age) const {
  const std::uint32_t at = (next_ + options_.keep - age) % options_.keep;
  return bits_[at / 8] >> (at % 8) & 1;
}

double Rddm::deviation() const {
  return std::sqrt(std::max(0.0, p_ * (1 - p_)) / static_cast<double>(n_));
}

void Rddm::measure(std::uint32_t count) {
  forget();
  kept_ = count;
  for (std::uint32_t age = count; age >= 1; --age) {
    ++n_;
    p_ += ((bit(age) ? 1.0 : 0.0) - p_) / n_;
    const double s = deviation();
    if (n_ >= options_.minimum && p_ > 0 && p_ + s < p_min_ + s_min_) {
      p_min_ = p_;
      s_min_ = s;
    }
  }
}

DriftLevel Rddm::update(double value) {
  const bool error = value >= 0.5;
  const auto mask = static_cast<std::uint8_t>(1u << (next_ % 8));
  bits_[next_ / 8] = static_cast<std::uint8_t>((bits_[next_ / 8] & ~mask) | (error ? mask : 0));
  next_ = next_ + 1 == options_.keep ? 0 : next_ + 1;
  kept_ = std::min(kept_ + 1, options_.keep);
  ++n_;
  p_ += ((error ? 1.0 : 0.0) - p_) / n_;
  if (n_ < options_.minimum) return DriftLevel::stable;
  const double s = deviation();
  if (p_ > 0 && p_ + s < p_min_ + s_min_) {
    p_min_ = p_;
    s_min_ = s;
  }
  const bool warning = p_ + s > p_min_ + options_.warning * s_min_ && p_ > p_min_;
  warned_ = warning ? warned_ + 1 : 0;
  const bool drift = p_ + s > p_min_ + options_.drift * s_min_ && p_ > p_min_;
  if (drift || warned_ > options_.warning_limit) {
    // What came since the warning is the new concept; without one, or when it never became certain,
    // this value.
    measure(drift ? std::clamp(warned_, 1u, kept_) : 1);
    return DriftLevel::drift;
  }
  if (!warning && n_ > options_.most) measure(kept_);
  return warning ? DriftLevel::warning : DriftLevel::stable;
}

void Rddm::encode(ByteWriter& out) const {
  for (const std::uint32_t value : {next_, kept_, n_, warned_}) out.put(value);
  for (const double value : {p_, p_min_, s_min_}) out.put(value);
  out.put_array(std::span<const std::uint8_t>(bits_));
}

Result<void> Rddm::decode(ByteReader& in) {
  StateReader state(in);
  next_ = state.whole(options_.keep - 1);
  kept_ = state.whole(options_.keep);
  n_ = state.whole(options_.most + options_.warning_limit + 1);
  warned_ = state.whole(options_.warning_limit);
  for (double* value : {&p_, &p_min_, &s_min_}) *value = state.number(-1e-9, 1 + 1e-9);
  in.get_array(std::span<std::uint8_t>(bits_));
  state.check(kept_ <= n_ || kept_ == 0);
  if (!state.ok()) reset();
  return state.result("RDDM");
}

}  // namespace p2p::learner

#include "learner/models/moments/class_moments.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string_view>

#include <fmt/core.h>
#include <Eigen/Core>

#include "learner/transfer/quantise.hpp"

namespace p2p::learner {
namespace {

using Array = Eigen::Map<Eigen::ArrayXf>;
using ConstArray = Eigen::Map<const Eigen::ArrayXf>;

constexpr double kMaxEvidence = 1e12;
/// Of a peer's numbers, and of what training can lead to from features within kLargestFeature.
constexpr float kMaxMean = 1e7f;
constexpr float kMaxSecond =
    1e14f;  // a state may hold a little more: blends add what lies between means

Eigen::Index size_of(std::span<const float> values) {
  return static_cast<Eigen::Index>(values.size());
}
Array array(std::span<float> values) { return {values.data(), size_of(values)}; }
ConstArray array(std::span<const float> values) { return {values.data(), size_of(values)}; }

bool within(std::span<const float> values, float least, float most) {
  // Written so that NaN fails.
  return std::all_of(values.begin(), values.end(),
                     [&](float v) { return v >= least && v <= most; });
}

tl::unexpected<Error> damaged(std::string_view what) {
  return fail(ErrorCode::malformed, fmt::format("moments of a class were refused: {}", what));
}

/// seconds <- (old seconds + between d d') for the kind that is kept; d: (length x 1).
template <typename Scale>
void add_outer(ClassMoments::Second kind, std::span<float> second, std::span<const float> d,
               float between, Scale old) {
  if (kind == ClassMoments::Second::diagonal) {
    array(second) = array(second) * old + array(d).square() * between;
  } else if (kind == ClassMoments::Second::full) {
    for (std::size_t i = 0, at = 0; i < d.size(); at += ++i) {
      Array row(second.data() + at, static_cast<Eigen::Index>(i + 1));
      row = row * old + ConstArray(d.data(), static_cast<Eigen::Index>(i + 1)) * (between * d[i]);
    }
  }
}

/// Variances are no less than zero wherever they lie.
bool sound(ClassMoments::Second kind, std::span<const float> second, std::size_t length,
           float limit = kMaxSecond) {
  if (kind == ClassMoments::Second::diagonal) return within(second, 0, limit);
  if (kind == ClassMoments::Second::none) return true;
  if (!within(second, -limit, limit)) return false;
  for (std::size_t i = 0, at = 0; i < length; at += ++i) {
    if (second[at + i] < 0) return false;
  }
  return true;
}

}  // namespace

ClassMoments::ClassMoments(std::uint32_t classes_, std::size_t length_, Second kind_, double decay_)
    : classes(classes_),
      length(length_),
      kind(kind_),
      decay(decay_),
      seen(classes_),
      weight(classes_),
      means(classes_ * length_),
      seconds(classes_ * second_length(kind_, length_)) {}

std::size_t ClassMoments::second_length(Second kind, std::size_t length) {
  switch (kind) {
    case Second::none:
      return 0;
    case Second::diagonal:
      return length;
    case Second::full:
      return length * (length + 1) / 2;
  }
  return 0;
}

double ClassMoments::total_weight() const {
  return std::accumulate(weight.begin(), weight.end(), 0.0);
}

double ClassMoments::most_evidence() const {
  const double rest = 1.0 - decay;
  return rest > 0 ? std::min(1.0 / rest, kMaxEvidence) : kMaxEvidence;
}

void ClassMoments::add(std::span<const float> z, ClassIndex y, std::span<float> scratch) {
  const auto c = static_cast<std::size_t>(y);
  if (decay < 1) {
    for (double& p : weight) p *= decay;
  }
  weight[c] += 1;
  seen[c] = std::min(seen[c] * decay + 1, kMaxEvidence);
  const auto share = static_cast<float>(1.0 / seen[c]);
  array(scratch) = array(z) - array(mean(c));
  array(mean(c)) += array(std::span<const float>(scratch)) * share;
  add_outer(kind, second(c), scratch, share * (1 - share), 1 - share);
}

void ClassMoments::grow(std::uint32_t classes_) {
  classes = classes_;
  seen.resize(classes);
  weight.resize(classes);
  means.resize(classes * length);
  seconds.resize(classes * second_length());
}

void ClassMoments::write(ByteWriter& out, std::size_t c, Precision precision) const {
  out.put(weight[c]);
  out.put(total_weight());
  put_numbers(out, mean(c), precision);
  if (kind == Second::diagonal) {
    // At 8 bits or more: means over neighbours, as levels at 4 bits are, would make all classes
    // alike.
    put_levels(out, second(c), std::max(precision, Precision::bits8));
  } else if (kind == Second::full && precision == Precision::bits32) {
    put_numbers(out, second(c), precision);
  } else if (kind == Second::full) {
    // Variances, at 8 bits or more, and correlations: a feature that varies little does not drown.
    std::vector<float> deviations(length), correlations(second(c).begin(), second(c).end());
    for (std::size_t i = 0, at = 0; i < length; at += ++i)
      deviations[i] = std::sqrt(std::max(0.0f, correlations[at + i]));
    for (std::size_t i = 0, at = 0; i < length; at += ++i) {
      for (std::size_t j = 0; j <= i; ++j) {
        const float by = deviations[i] * deviations[j];
        correlations[at + j] = by > 0 ? std::clamp(correlations[at + j] / by, -1.0f, 1.0f) : 0;
      }
    }
    put_levels(out, deviations, std::max(precision, Precision::bits8));
    put_numbers(out, correlations, precision);
  }
}

Result<ClassMoments::Incoming> ClassMoments::read(ByteReader& in, Precision precision,
                                                  double evidence) const {
  Incoming row{std::min(evidence, most_evidence()), in.get<double>(), in.get<double>(),
               std::vector<float>(length), std::vector<float>(second_length())};
  if (!in.ok()) return damaged("they end too early");
  if (!(row.weight >= 0 && row.weight <= row.total && row.total <= kMaxEvidence))
    return damaged("a weight is out of range");
  row.weight = std::min(row.weight, most_evidence());
  if (auto got = get_numbers(in, row.mean, precision, kMaxMean); !got)
    return tl::unexpected(got.error());
  if (kind == Second::diagonal) {
    if (auto got = get_levels(in, row.second, std::max(precision, Precision::bits8), kMaxSecond);
        !got)
      return tl::unexpected(got.error());
  } else if (kind == Second::full && precision == Precision::bits32) {
    if (auto got = get_numbers(in, row.second, precision, kMaxSecond); !got)
      return tl::unexpected(got.error());
    if (!sound(kind, row.second, length)) return damaged("a variance is negative");
  } else if (kind == Second::full) {
    std::vector<float> deviations(length);
    if (auto got = get_levels(in, deviations, std::max(precision, Precision::bits8),
                              std::sqrt(kMaxSecond));
        !got)
      return tl::unexpected(got.error());
    if (auto got = get_numbers(in, row.second, precision, 1.0f); !got)
      return tl::unexpected(got.error());
    for (std::size_t i = 0, at = 0; i < length; at += ++i) {
      for (std::size_t j = 0; j < i; ++j) row.second[at + j] *= deviations[i] * deviations[j];
      row.second[at + i] = deviations[i] * deviations[i];
    }
  }
  return row;
}

void ClassMoments::replace(std::size_t c, const Incoming& in, double total) {
  seen[c] = in.seen;
  weight[c] = total > 0 && in.total > 0 ? in.weight / in.total * total : in.weight;
  std::copy(in.mean.begin(), in.mean.end(), mean(c).begin());
  std::copy(in.second.begin(), in.second.end(), second(c).begin());
}

void ClassMoments::blend(std::size_t c, const Incoming& in) {
  const double both = seen[c] + in.seen;
  if (!(both > 0)) return;
  const double theirs = in.seen / both, ours = 1 - theirs;
  std::vector<float> d(length);
  for (std::size_t j = 0; j < length; ++j) d[j] = in.mean[j] - means[c * length + j];
  auto own = second(c);
  for (std::size_t j = 0; j < own.size(); ++j) {
    own[j] = static_cast<float>(ours * static_cast<double>(own[j]) +
                                theirs * static_cast<double>(in.second[j]));
  }
  add_outer(kind, own, d, static_cast<float>(ours * theirs), 1.0f);
  for (std::size_t j = 0; j < length; ++j) mean(c)[j] += static_cast<float>(theirs) * d[j];
  seen[c] = std::min(both, most_evidence());
  weight[c] = std::min(weight[c] + in.weight, most_evidence());
}

void ClassMoments::write_state(ByteWriter& out) const {
  out.put_array(std::span<const double>(seen));
  out.put_array(std::span<const double>(weight));
  out.put_array(std::span<const float>(means));
  out.put_array(std::span<const float>(seconds));
}

std::size_t ClassMoments::state_bytes() const {
  return 16 * std::size_t{classes} + 4 * (means.size() + seconds.size());
}

Result<void> ClassMoments::read_state(ByteReader& in) {
  in.get_array(std::span<double>(seen));
  in.get_array(std::span<double>(weight));
  in.get_array(std::span<float>(means));
  in.get_array(std::span<float>(seconds));
  if (!in.ok()) return damaged("they end too early");
  const auto counts = [](std::span<const double> values) {
    return std::all_of(values.begin(), values.end(),
                       [](double v) { return v >= 0 && v <= 2 * kMaxEvidence; });
  };
  if (!counts(seen) || !counts(weight)) return damaged("a count is out of range");
  if (!within(means, -2 * kMaxMean, 2 * kMaxMean)) return damaged("a mean is out of range");
  for (std::size_t c = 0; c < classes; ++c) {
    if (!sound(kind, second(c), length, 10 * kMaxSecond))
      return damaged("a variance is out of range");
  }
  return {};
}

}  // namespace p2p::learner

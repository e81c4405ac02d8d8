#include "learner/models/moments/ridge.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/core.h>
#include <Eigen/Core>

#include "learner/models/params.hpp"

namespace p2p::learner {
namespace {

constexpr std::uint32_t kMaxDimensions = 1024;
constexpr std::uint32_t kFirstRefresh = 10;
constexpr float kMaxWeight = 1e30f;

using Row = Eigen::Map<Eigen::VectorXd>;
using ConstRow = Eigen::Map<const Eigen::VectorXd>;
using Floats = Eigen::Map<const Eigen::VectorXf>;

Eigen::Index index(std::size_t i) { return static_cast<Eigen::Index>(i); }

}  // namespace

std::size_t Ridge::Config::length() const { return std::size_t{dimensions} + (raw ? features : 0); }

Result<std::unique_ptr<Ridge>> Ridge::make(const ModelSpec& spec) {
  Params params(spec);
  Config config;
  config.features = spec.features;
  config.dimensions = params.whole("dimensions", 128, 0, kMaxDimensions);
  config.raw = params.whole("raw", spec.features <= kMostRaw ? 1 : 0, 0, 1) == 1;
  config.refresh = params.whole("refresh", 50, 1, 1u << 20);
  config.ridge = params.number("ridge", 1, 1e-6, 1e6);
  const double decay = params.number("decay", 0.999, 0.5, 1);
  if (auto ok = params.check(); !ok) return tl::unexpected(ok.error());
  if (config.dimensions == 0 && !config.raw) {
    return fail(ErrorCode::invalid_argument, "ridge needs dimensions above 0, or raw = 1, or both");
  }
  if (config.raw && config.length() > 2 * kMaxDimensions) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("raw = 1 needs a matrix for {} features; ridge takes {} at most",
                            spec.features, kMaxDimensions));
  }
  if (config.dimensions > 0 && !(spec.bandwidth > 0)) {
    return fail(ErrorCode::invalid_argument,
                "ridge needs a bandwidth above 0; 2 / (median squared distance of samples) is the "
                "rule");
  }
  constexpr auto kKind = ClassMoments::Second::full;
  if (auto ok = check_moments(spec, config.length(), kKind); !ok) return tl::unexpected(ok.error());
  return std::unique_ptr<Ridge>(new Ridge(spec, params.fingerprint(),
                                          ClassMoments(spec.classes, config.length(), kKind, decay),
                                          config));
}

Ridge::Ridge(const ModelSpec& spec, std::uint64_t fingerprint, ClassMoments moments,
             const Config& config)
    : MomentsModel(spec, fingerprint, std::move(moments)),
      config_(config),
      basis_(config.dimensions == 0 ? nullptr
                                    : FourierBasis::shared({spec.seed, spec.features,
                                                            config.dimensions, spec.bandwidth})),
      features_(config.length()),
      matrix_(ClassMoments::second_length(ClassMoments::Second::full, config.length())),
      factor_(matrix_.size()),
      mean_(config.length()),
      right_(config.length()) {
  rebuilt();
}

std::span<const float> Ridge::embed(Features x) const {
  const std::span<float> z(features_);
  if (basis_) {
    basis_->map(x, z.first(config_.dimensions));
    const auto scale = std::sqrt(static_cast<float>(config_.dimensions));
    for (float& v : z.first(config_.dimensions)) v *= scale;
  }
  if (config_.raw) std::copy(x.begin(), x.end(), z.begin() + config_.dimensions);
  return z;
}

void Ridge::judge(std::span<const float> z, std::span<float> out) const {
  const Floats v(z.data(), index(z.size()));
  for (std::size_t c = 0; c < out.size(); ++c) {
    const float score = Floats(rows_.data() + c * z.size(), v.size()).dot(v) + offsets_[c];
    // Written so that NaN becomes the lowest score.
    out[c] = score > kUnknown ? score : kUnknown;
  }
}

void Ridge::learnt(std::size_t) {
  ++samples_;
  ++since_;
  const std::uint64_t least = std::min(kFirstRefresh, config_.refresh);
  if (since_ >= std::clamp<std::uint64_t>(samples_ / 8, least, config_.refresh)) solve();
}

void Ridge::rebuilt() {
  rows_.resize(moments().means.size());
  offsets_.resize(moments().classes);
  solve();
}

/// factor_ <- L with L L' = matrix_ + extra I, rows of the lower triangle. False: not positive
/// definite.
bool Ridge::factorise(double extra) {
  const std::size_t n = mean_.size();
  for (std::size_t i = 0, at = 0; i < n; at += ++i) {
    double* row = factor_.data() + at;
    for (std::size_t j = 0, other = 0; j <= i; other += ++j) {
      const double rest = matrix_[at + j] + (j == i ? extra : 0.0) -
                          ConstRow(row, index(j)).dot(ConstRow(factor_.data() + other, index(j)));
      if (j < i) {
        row[j] = rest / factor_[other + j];
      } else if (rest > 0 && std::isfinite(rest)) {
        row[j] = std::sqrt(rest);
      } else {
        return false;
      }
    }
  }
  return true;
}

void Ridge::solve() {
  since_ = 0;
  const ClassMoments& known = moments();
  const std::size_t n = known.length;
  std::fill(rows_.begin(), rows_.end(), 0.0f);
  std::fill(offsets_.begin(), offsets_.end(), kUnknown);
  const double total = known.total_weight();
  if (!(total > 0)) return;
  Row mean(mean_.data(), index(n)), right(right_.data(), index(n));
  Row matrix(matrix_.data(), index(matrix_.size()));
  const auto class_mean = [&](std::size_t c) {
    return Floats(known.mean(c).data(), index(n)).cast<double>();
  };
  mean.setZero();
  for (std::size_t c = 0; c < known.classes; ++c) mean += class_mean(c) * (known.weight[c] / total);
  matrix.setZero();
  for (std::size_t c = 0; c < known.classes; ++c) {
    const double share = known.weight[c] / total;
    if (!(share > 0)) continue;
    matrix += Floats(known.second(c).data(), matrix.size()).cast<double>() * share;
    right = class_mean(c) - mean;
    for (std::size_t i = 0, at = 0; i < n; at += ++i)
      Row(matrix_.data() + at, index(i + 1)) += right.head(index(i + 1)) * (share * right_[i]);
  }
  double trace = 0;
  for (std::size_t i = 0, at = 0; i < n; at += ++i) trace += matrix_[at + i];
  double extra = config_.ridge / total + kLeastRidge * trace / static_cast<double>(n);
  // A peer's covariances need not be ones, and at few bits are not quite: more ridge until they
  // are.
  while (!factorise(extra)) {
    if (!(extra < 1e20)) return;
    extra *= 8;
  }
  for (std::size_t c = 0; c < known.classes; ++c) {
    const double share = known.weight[c] / total;
    if (!(share > 0)) continue;
    right = (class_mean(c) - mean) * share;
    std::size_t at = 0;
    for (std::size_t i = 0; i < n; at += ++i) {
      const ConstRow row(factor_.data() + at, index(i));
      right_[i] = (right_[i] - row.dot(right.head(index(i)))) / factor_[at + i];
    }
    for (std::size_t i = n; i-- > 0;) {
      at -= i + 1;
      right_[i] /= factor_[at + i];
      right.head(index(i)) -= ConstRow(factor_.data() + at, index(i)) * right_[i];
    }
    for (std::size_t i = 0; i < n; ++i)
      rows_[c * n + i] = static_cast<float>(std::clamp<double>(right_[i], -kMaxWeight, kMaxWeight));
    offsets_[c] =
        static_cast<float>(std::clamp<double>(share - right.dot(mean), -kMaxWeight, kMaxWeight));
  }
}

void Ridge::write_extra(ByteWriter& out) const {
  out.put(samples_);
  out.put(since_);
  out.put_array(std::span<const float>(rows_));
  out.put_array(std::span<const float>(offsets_));
}

Result<void> Ridge::read_extra(ByteReader& in) {
  samples_ = in.get<std::uint64_t>();
  since_ = in.get<std::uint32_t>();
  in.get_array(std::span<float>(rows_));
  in.get_array(std::span<float>(offsets_));
  const auto within = [](std::span<const float> values) {
    return std::all_of(values.begin(), values.end(),
                       [](float v) { return std::abs(v) <= kMaxWeight; });
  };
  if (!in.ok() || !within(rows_) || !within(offsets_) || since_ > config_.refresh)
    return fail(ErrorCode::malformed, "the rows are short, or one is not finite");
  return {};
}

std::size_t Ridge::extra_bytes() const {
  return 4 * (rows_.size() + offsets_.size() + features_.size()) +
         8 * (matrix_.size() + factor_.size() + mean_.size() + right_.size());
}

std::unique_ptr<Model> Ridge::clone() const { return std::unique_ptr<Model>(new Ridge(*this)); }

}  // namespace p2p::learner

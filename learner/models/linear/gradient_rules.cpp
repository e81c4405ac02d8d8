#include "learner/models/linear/gradient_rules.hpp"

#include <algorithm>
#include <cmath>

namespace p2p::learner {
namespace {

/// log(1 + exp(x)) without overflow.
double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

/// sum_c log(1 + exp(-t_c s_c)), t_c = +-1.
double logistic_loss(std::span<const float> scores, ClassIndex y) {
  double sum = 0;
  for (std::size_t c = 0; c < scores.size(); ++c) {
    const double t = static_cast<ClassIndex>(c) == y ? 1 : -1;
    sum += softplus(-t * static_cast<double>(scores[c]));
  }
  return sum;
}

void logistic_slope(std::span<const float> scores, ClassIndex y, std::span<float> out) {
  for (std::size_t c = 0; c < scores.size(); ++c) {
    const float s = scores[c];
    const float small = exp_of_negative(s < 0 ? s : -s);
    out[c] = (s < 0 ? small : 1.0f) / (1.0f + small);
  }
  out[static_cast<std::size_t>(y)] -= 1.0f;
}

double softmax_loss(std::span<const float> scores, ClassIndex y) {
  const double top = static_cast<double>(*std::max_element(scores.begin(), scores.end()));
  double sum = 0;
  for (const float s : scores) sum += std::exp(static_cast<double>(s) - top);
  return std::log(sum) - (static_cast<double>(scores[static_cast<std::size_t>(y)]) - top);
}

void softmax_slope(std::span<const float> scores, ClassIndex y, std::span<float> out) {
  float top = scores[0];
  for (const float s : scores) top = s > top ? s : top;
  for (std::size_t c = 0; c < scores.size(); ++c) out[c] = exp_of_negative(scores[c] - top);
  float sum = 0;
  for (const float p : out) sum += p;
  const float share = 1.0f / sum;
  for (float& p : out) p *= share;
  out[static_cast<std::size_t>(y)] -= 1.0f;
}

double hinge_loss(std::span<const float> scores, ClassIndex y) {
  double sum = 0;
  for (std::size_t c = 0; c < scores.size(); ++c) {
    const double t = static_cast<ClassIndex>(c) == y ? 1 : -1;
    sum += std::max(0.0, 1 - t * static_cast<double>(scores[c]));
  }
  return sum;
}

void hinge_slope(std::span<const float> scores, ClassIndex y, std::span<float> out) {
  for (std::size_t c = 0; c < scores.size(); ++c) out[c] = scores[c] > -1.0f ? 1.0f : 0.0f;
  out[static_cast<std::size_t>(y)] = scores[static_cast<std::size_t>(y)] < 1.0f ? -1.0f : 0.0f;
}

/// Slopes too small to matter become 0, so that the groups which have none are skipped.
void cut(std::span<float> slope) {
  for (float& r : slope) r = std::abs(r) < AdagradRule::kResidual ? 0.0f : r;
}

bool nothing(std::span<const float> slope) {
  return std::all_of(slope.begin(), slope.end(), [](float r) { return r == 0; });
}

}  // namespace

AdagradRule::AdagradRule(Params& params, Loss loss, double rate, double decay)
    : loss_(loss),
      rate_(params.number("learning_rate", rate, 1e-6, 10)),
      floor_(params.number("floor", 1e-4, 1e-12, 1e3)),
      decay_(params.number("decay", decay, 0.9, 1)) {}

double AdagradRule::loss(std::span<const float> scores, ClassIndex y) const {
  switch (loss_) {
    case Loss::softmax:
      return softmax_loss(scores, y);
    case Loss::logistic:
      return logistic_loss(scores, y);
    case Loss::hinge:
      return hinge_loss(scores, y);
  }
  return 0;
}

void AdagradRule::slope(std::span<const float> scores, ClassIndex y, std::span<float> out) const {
  switch (loss_) {
    case Loss::softmax:
      return softmax_slope(scores, y, out);
    case Loss::logistic:
      return logistic_slope(scores, y, out);
    case Loss::hinge:
      return hinge_slope(scores, y, out);
  }
}

void AdagradRule::step(Rows& rows, const Sparse& z, ClassIndex, std::span<const float>,
                       std::span<float> slope) const {
  cut(slope);
  const Kernels& k = kernels();
  const std::size_t lanes = rows.lanes();
  for (std::size_t g = 0; g < rows.groups(); ++g) {
    const auto r = slope.subspan(g * lanes, lanes);
    if (nothing(r)) continue;
    k.adagrad(rows.weights(g), rows.sums(g), lanes, z, r.data(), static_cast<float>(rate_),
              static_cast<float>(rows.sum_scale()), static_cast<float>(floor_));
  }
}

FtrlRule::FtrlRule(Params& params)
    : how_{static_cast<float>(params.number("alpha", 0.7, 1e-6, 10)),
           static_cast<float>(params.number("beta", 0.1, 1e-6, 1e3)),
           static_cast<float>(params.number("l1", 0, 0, 1e3)),
           static_cast<float>(params.number("l2", 0, 0, 1e3))} {}

double FtrlRule::loss(std::span<const float> scores, ClassIndex y) const {
  return logistic_loss(scores, y);
}
void FtrlRule::slope(std::span<const float> scores, ClassIndex y, std::span<float> out) const {
  logistic_slope(scores, y, out);
}
void FtrlRule::step(Rows& rows, const Sparse& z, ClassIndex, std::span<const float>,
                    std::span<float> slope) const {
  cut(slope);
  const Kernels& k = kernels();
  const std::size_t lanes = rows.lanes();
  for (std::size_t g = 0; g < rows.groups(); ++g) {
    const auto r = slope.subspan(g * lanes, lanes);
    if (nothing(r)) continue;
    k.ftrl(rows.weights(g), rows.extra(g), rows.sums(g), lanes, z, r.data(), how_);
  }
}
void FtrlRule::settle(Rows& rows, std::uint32_t c) const {
  std::vector<float> w(rows.length()), n(rows.length());
  rows.get_row(0, c, w);
  rows.get_row(1, c, n);
  for (std::size_t j = 0; j < w.size(); ++j) {
    const double rate = (static_cast<double>(how_.beta) + std::sqrt(static_cast<double>(n[j]))) /
                            static_cast<double>(how_.alpha) +
                        static_cast<double>(how_.l2);
    const double sum = -static_cast<double>(w[j]) * rate;
    const double l1 = static_cast<double>(how_.l1);
    w[j] = w[j] == 0 ? 0 : static_cast<float>(sum + (sum > 0 ? l1 : -l1));
  }
  rows.put_row(2, c, w);
}

}  // namespace p2p::learner

#include "learner/models/linear/margin_rules.hpp"

#include <algorithm>
#include <cmath>

namespace p2p::learner {
namespace {

constexpr double kDecay = 0.99998;

/// The best class that is not y.
std::size_t rival_of(std::span<const float> scores, ClassIndex y) {
  const auto own = static_cast<std::size_t>(y);
  std::size_t best = own == 0 ? 1 : 0;
  for (std::size_t c = best + 1; c < scores.size(); ++c) {
    if (c != own && scores[c] > scores[best]) best = c;
  }
  return best;
}

/// max(0, margin - (s_y - s_k)).
double rival_loss(std::span<const float> scores, ClassIndex y, double margin) {
  const double lead = static_cast<double>(scores[static_cast<std::size_t>(y)]) -
                      static_cast<double>(scores[rival_of(scores, y)]);
  return std::max(0.0, margin - lead);
}

/// -1 at y and 1 at its rival where the loss is not zero. A lead of exactly the margin counts as
/// missed when `tie` says so.
void rival_slope(std::span<const float> scores, ClassIndex y, double margin, bool tie,
                 std::span<float> out) {
  std::fill(out.begin(), out.end(), 0.0f);
  const std::size_t rival = rival_of(scores, y);
  const double lead =
      static_cast<double>(scores[static_cast<std::size_t>(y)]) - static_cast<double>(scores[rival]);
  if (tie ? lead > margin : lead >= margin) return;
  out[static_cast<std::size_t>(y)] = -1;
  out[rival] = 1;
}

/// In double, in the order of the list: the same on every processor.
double squared_norm(const Sparse& z) {
  double sum = 0;
  for (std::size_t i = 0; i < z.count; ++i)
    sum += static_cast<double>(z.value[i]) * static_cast<double>(z.value[i]);
  return sum;
}

}  // namespace

void Rule::blend(const Row& own, const Row& other) const {
  const double both = own.evidence + other.evidence;
  const auto theirs = static_cast<float>(both > 0 ? other.evidence / both : 0);
  const float ours = 1 - theirs;
  for (std::size_t j = 0; j < own.weights.size(); ++j)
    own.weights[j] = ours * own.weights[j] + theirs * other.weights[j];
  for (std::size_t j = 0; j < own.sums.size(); ++j)
    own.sums[j] = ours * own.sums[j] + theirs * other.sums[j];
}

PerceptronRule::PerceptronRule(Params& params) : decay_(params.number("decay", kDecay, 0.9, 1)) {}

double PerceptronRule::loss(std::span<const float> scores, ClassIndex y) const {
  return rival_loss(scores, y, 0);
}
void PerceptronRule::slope(std::span<const float> scores, ClassIndex y,
                           std::span<float> out) const {
  rival_slope(scores, y, 0, true, out);
}
void PerceptronRule::step(Rows& rows, const Sparse& z, ClassIndex, std::span<const float>,
                          std::span<float> slope) const {
  for (float& s : slope) s = -s;
  rows.add(z, slope);
}

PassiveAggressiveRule::PassiveAggressiveRule(Params& params)
    : aggressiveness_(params.number("C", 0.1, 1e-6, 1e3)),
      decay_(params.number("decay", kDecay, 0.9, 1)) {}

double PassiveAggressiveRule::loss(std::span<const float> scores, ClassIndex y) const {
  return rival_loss(scores, y, 1);
}
void PassiveAggressiveRule::slope(std::span<const float> scores, ClassIndex y,
                                  std::span<float> out) const {
  rival_slope(scores, y, 1, false, out);
}
void PassiveAggressiveRule::step(Rows& rows, const Sparse& z, ClassIndex y,
                                 std::span<const float> scores, std::span<float> slope) const {
  if (slope[static_cast<std::size_t>(y)] == 0) return;
  const auto size =
      static_cast<float>(std::min(aggressiveness_, loss(scores, y) / (2 * squared_norm(z))));
  for (float& s : slope) s *= -size;
  rows.add(z, slope);
}

ArowRule::ArowRule(Params& params)
    : r_(params.number("r", 0.2, 1e-3, 1e6)), decay_(params.number("decay", kDecay, 0.9, 1)) {}

double ArowRule::loss(std::span<const float> scores, ClassIndex y) const {
  return rival_loss(scores, y, 1);
}
void ArowRule::slope(std::span<const float> scores, ClassIndex y, std::span<float> out) const {
  rival_slope(scores, y, 1, false, out);
}
void ArowRule::step(Rows& rows, const Sparse& z, ClassIndex y, std::span<const float> scores,
                    std::span<float> slope) const {
  const auto own = static_cast<std::size_t>(y);
  if (slope[own] == 0) return;
  const std::size_t rival = rival_of(scores, y), lanes = rows.lanes();
  const Kernels& k = kernels();
  const auto scale = static_cast<float>(rows.sum_scale());
  float variance[16], size[16], gain[16];
  const auto variance_of = [&](std::size_t c) {
    k.variance(rows.sums(c / lanes), lanes, z, scale, variance);
    return static_cast<double>(variance[c % lanes]);
  };
  double total = variance_of(own);
  total += rival / lanes == own / lanes ? static_cast<double>(variance[rival % lanes])
                                        : variance_of(rival);
  const auto a = static_cast<float>(loss(scores, y) / (total + r_));
  const auto more = static_cast<float>(1 / (r_ * rows.sum_scale()));
  const auto update = [&](std::size_t group) {
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      const float s = slope[group * lanes + lane];
      size[lane] = -a * s;
      gain[lane] = s == 0 ? 0 : more;
    }
    k.arow(rows.weights(group), rows.sums(group), lanes, z, size, gain, scale);
  };
  update(own / lanes);
  if (rival / lanes != own / lanes) update(rival / lanes);
}
void ArowRule::blend(const Row& own, const Row& other) const {
  // N(w, 1/(1+P)) each is its data's Gaussian times the prior N(0, 1); the product of the data's
  // and one prior. What the other claims to be sure of is held to what its evidence can bear: four
  // times as much per sample as here.
  const auto total = [](std::span<const float> sums) {
    double sum = 0;
    for (const float v : sums) sum += static_cast<double>(v);
    return sum;
  };
  const double ours = total(own.sums), theirs = total(other.sums);
  const double most = own.evidence > 0 ? 4 * ours * other.evidence / own.evidence : 0;
  const double trust = most > 0 && theirs > most ? most / theirs : 1;
  for (std::size_t j = 0; j < own.weights.size(); ++j) {
    const double p = static_cast<double>(own.sums[j]),
                 q = trust * static_cast<double>(other.sums[j]);
    own.weights[j] = static_cast<float>(((1 + p) * static_cast<double>(own.weights[j]) +
                                         (1 + q) * static_cast<double>(other.weights[j])) /
                                        (1 + p + q));
    own.sums[j] = static_cast<float>(p + q);
  }
}

}  // namespace p2p::learner

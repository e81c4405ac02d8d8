#include "metadata/similarity.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace p2p::metadata {

namespace {

constexpr double kUnseen = std::numeric_limits<double>::infinity();
constexpr double kWorst = 2;    // what a class that the other has not seen counts in need_distance
constexpr double kUnknown = 1;  // and one that the asker has not seen
// What expected_accuracy was fitted with.
constexpr double kFew = 10;         // samples that make half an expert
constexpr double kReach = 0.2;      // squared distance at which a class's knowledge is worth 1/e
constexpr double kUncompared = 0.5; // what it is worth where there is nothing to compare it with

void check_comparable(const Fingerprint& a, const Fingerprint& b) {
  P2P_ASSERT(a.dimensions == b.dimensions && a.classes == b.classes);
}

double value(const Fingerprint& f, std::size_t c, std::size_t d) {
  return static_cast<double>(f.joint[c * f.dimensions + d]) * f.scale[c];
}

/// |a_factor * A[:,c] - b_factor * B[:,c]|^2
double squared_distance(const Fingerprint& a, const Fingerprint& b, std::size_t c, double a_factor,
                        double b_factor) {
  const double as = a.scale[c] * a_factor, bs = b.scale[c] * b_factor;
  if (as == 0 && bs == 0) return 0;
  const auto* ap = a.joint.data() + c * a.dimensions;
  const auto* bp = b.joint.data() + c * b.dimensions;
  double sum = 0;
  for (std::size_t d = 0; d < a.dimensions; ++d) {
    const double difference = ap[d] * as - bp[d] * bs;
    sum += difference * difference;
  }
  return sum;
}

/// Calls visit(class, weight) for the needed classes, as need_distance weighs them.
template <typename Visit>
void needed(const Need& need, Visit visit) {
  const Fingerprint& mine = need.experience;
  if (need.classes.empty()) {
    for (std::size_t c = 0; c < mine.classes; ++c) {
      if (mine.count[c] > 0) visit(c, static_cast<double>(mine.count[c]));
    }
    return;
  }
  for (const std::int32_t c : need.classes) {
    if (c < 0 || static_cast<std::uint32_t>(c) >= mine.classes) continue;
    const auto i = static_cast<std::size_t>(c);
    visit(i, std::max(1.0, static_cast<double>(mine.count[i])));
  }
}

}  // namespace

double joint_distance(const Fingerprint& a, const Fingerprint& b) {
  check_comparable(a, b);
  double sum = 0;
  for (std::size_t c = 0; c < a.classes; ++c) sum += squared_distance(a, b, c, 1, 1);
  return std::sqrt(sum);
}

double same_distance(const Fingerprint& a, const Fingerprint& b) {
  check_comparable(a, b);
  const double na = a.samples(), nb = b.samples();
  if (!(na > 0) || !(nb > 0)) return std::sqrt(2.0);
  const Fingerprint& larger = na < nb ? b : a;
  double norm = 0;
  for (std::size_t c = 0; c < larger.classes; ++c) {
    for (std::size_t d = 0; d < larger.dimensions; ++d) norm += value(larger, c, d) * value(larger, c, d);
  }
  return std::sqrt(std::min(2.0, (1 / na + 1 / nb) * std::max(0.0, 1 - norm)));
}

double marginal_distance(const Fingerprint& a, const Fingerprint& b) {
  check_comparable(a, b);
  std::vector<double> difference(a.dimensions, 0.0);
  for (std::size_t c = 0; c < a.classes; ++c) {
    for (std::size_t d = 0; d < a.dimensions; ++d) difference[d] += value(a, c, d) - value(b, c, d);
  }
  double sum = 0;
  for (const double v : difference) sum += v * v;
  return std::sqrt(sum);
}

double class_distance(const Fingerprint& a, const Fingerprint& b, std::size_t c) {
  check_comparable(a, b);
  P2P_ASSERT(c < a.classes);
  const double pa = a.prior(c), pb = b.prior(c);
  if (!(pa > 0) || !(pb > 0)) return kUnseen;
  return std::sqrt(squared_distance(a, b, c, 1 / pa, 1 / pb));
}

double jensen_shannon(std::span<const double> p, std::span<const double> q) {
  P2P_ASSERT(p.size() == q.size());
  double ps = 0, qs = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    ps += p[i];
    qs += q[i];
  }
  if (!(ps > 0) && !(qs > 0)) return 0;
  if (!(ps > 0) || !(qs > 0)) return 1;
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const double a = p[i] / ps, b = q[i] / qs, middle = (a + b) / 2;
    if (a > 0) sum += a / 2 * std::log2(a / middle);
    if (b > 0) sum += b / 2 * std::log2(b / middle);
  }
  return std::min(std::max(sum, 0.0), 1.0);
}

double prior_divergence(const Fingerprint& a, const Fingerprint& b) {
  check_comparable(a, b);
  const std::vector<double> p(a.count.begin(), a.count.end()), q(b.count.begin(), b.count.end());
  return jensen_shannon(p, q);
}

double plain_distance(const Need& need, const Fingerprint& other) {
  return need.by == By::marginal ? marginal_distance(need.experience, other) : joint_distance(need.experience, other);
}

double need_distance(const Need& need, const Fingerprint& other) {
  const Fingerprint& mine = need.experience;
  check_comparable(mine, other);
  const double my_total = mine.samples(), their_total = other.samples();
  double sum = 0, weight = 0;
  needed(need, [&](std::size_t c, double w) {
    double distance = kWorst;
    if (other.count[c] > 0) {
      distance = mine.count[c] > 0
                     ? std::sqrt(squared_distance(mine, other, c, my_total / mine.count[c],
                                                  their_total / other.count[c]))
                     : kUnknown;
    }
    sum += w * std::min(distance, kWorst);
    weight += w;
  });
  return weight > 0 ? sum / weight : kWorst;
}

double expected_accuracy(const Need& need, const Fingerprint& other) {
  const Fingerprint& mine = need.experience;
  check_comparable(mine, other);
  const double my_total = mine.samples(), their_total = other.samples();
  double sum = 0, weight = 0;
  needed(need, [&](std::size_t c, double w) {
    weight += w;
    const double n = other.count[c], m = mine.count[c];
    if (!(n > 0)) return;
    double alike = kUncompared;
    if (m > 0) {
      alike = std::exp(-squared_distance(mine, other, c, my_total / m, their_total / n) / kReach);
    }
    sum += w * n / (n + kFew) * std::sqrt(static_cast<double>(other.accuracy[c])) * alike;
  });
  return weight > 0 ? sum / weight : 0;
}

}  // namespace p2p::metadata

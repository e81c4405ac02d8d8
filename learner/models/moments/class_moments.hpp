// What is known of the samples of each class: how many there were, their mean, and their scatter.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "learner/model.hpp"
#include "metadata/base/bytes.hpp"

namespace p2p::learner {

/// Sufficient statistics by class, which forget.
///
/// A sample z of class c adds itself to n_c, m_c and C_c alone. With a = 1 / (decay n_c + 1):
///
///     m_c <- m_c + a d,   C_c <- (1 - a) (C_c + a d d'),   d = z - m_c (before)
///
/// so n_c C_c is the scatter about the mean. C_c is kept as its diagonal, in full, or not at all.
/// Two sets of samples add up exactly (decay 1, up to float rounding):
///
///     m = (n1 m1 + n2 m2) / n,   C = (n1 C1 + n2 C2) / n + (n1 n2 / n^2) (m1 - m2)(m1 - m2)'
///
/// Reference: Chan, Golub, LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing
/// Sample Variances", Stanford STAN-CS-79-773, 1979; West, CACM 22(9), 1979 for the weighted
/// update.
///
/// Deviations: a class forgets by its own samples and not by time, so that a class that stays away
/// is still known when it comes back; only its weight among the classes, p_c, forgets by all
/// samples.
struct ClassMoments {
  enum class Second : std::uint8_t { none, diagonal, full };

  ClassMoments(std::uint32_t classes_, std::size_t length_, Second kind_, double decay_);

  std::uint32_t classes;
  std::size_t length;
  Second kind;
  double decay;
  std::vector<double> seen;    ///< n_c
  std::vector<double> weight;  ///< p_c
  std::vector<float> means;    ///< (classes x length)
  std::vector<float> seconds;  ///< (classes x second_length()); full: rows of the lower triangle

  static std::size_t second_length(Second kind, std::size_t length);
  std::size_t second_length() const { return second_length(kind, length); }
  std::span<float> mean(std::size_t c) { return {means.data() + c * length, length}; }
  std::span<const float> mean(std::size_t c) const { return {means.data() + c * length, length}; }
  std::span<float> second(std::size_t c) {
    return {seconds.data() + c * second_length(), second_length()};
  }
  std::span<const float> second(std::size_t c) const {
    return {seconds.data() + c * second_length(), second_length()};
  }
  double total_weight() const;
  /// The limit of a decayed count, 1 / (1 - decay).
  double most_evidence() const;

  /// Forgets a little of everything, then adds z. `scratch`: (length x 1).
  void add(std::span<const float> z, ClassIndex y, std::span<float> scratch);
  void grow(std::uint32_t classes_);

  /// One class as it travels: p_c, the sum of all p, m_c, C_c at `precision`. n_c is the block's
  /// evidence.
  void write(ByteWriter& out, std::size_t c, Precision precision) const;
  struct Incoming {
    double seen = 0, weight = 0, total = 0;
    std::vector<float> mean, second;
  };
  /// `malformed` for what is short, not finite, or no moments of anything.
  Result<Incoming> read(ByteReader& in, Precision precision, double evidence) const;
  /// Puts `in` in the place of class c. Its weight among the classes is the share that it had where
  /// it comes from, of `total`: what all classes weighed here before the merge (0: as much as
  /// there).
  void replace(std::size_t c, const Incoming& in, double total);
  /// Adds `in` to class c.
  void blend(std::size_t c, const Incoming& in);

  /// The whole state, and back; `malformed` as above.
  void write_state(ByteWriter& out) const;
  Result<void> read_state(ByteReader& in);
  std::size_t state_bytes() const;
};

}  // namespace p2p::learner

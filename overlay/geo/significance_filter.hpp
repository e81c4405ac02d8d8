// Which updates are worth a wide-area link: Gaia's significance filter.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "overlay/geo/update_coding.hpp"

namespace p2p::geo {

enum class Schedule {
  constant,      ///< v at every clock; voids the paper's proof, what its authors' later code comes near to
  inverse_sqrt,  ///< v / sqrt(t): the paper's, and what its proof needs
};

struct SignificanceOptions {
  double threshold = 0.01;  ///< v, as a share of the value; 0: every non-zero update is significant
  Schedule schedule = Schedule::inverse_sqrt;
  double floor = 0.01;      ///< values below floor * rms(all values) count as that large
  std::vector<double> shadow_thresholds = {};  ///< measured beside it, constant ones; each costs 4 bytes a parameter
};

/// The threshold at clock t = 1, 2, ...
double threshold_at(const SignificanceOptions& options, std::uint64_t t);

/// What passed: ascending indices and the values that the receivers will add.
struct Significant {
  std::vector<std::uint32_t> indices;
  std::vector<double> values;
};

/// How many updates a threshold would have sent (metric G3).
struct ShadowCount {
  double threshold = 0;
  std::uint64_t updates = 0;  ///< parameters times clocks with a non-zero update
  std::uint64_t sent = 0;     ///< of these accumulated, how many passed
  double insignificant() const { return updates == 0 ? 0 : 1.0 - double(sent) / double(updates); }
};

/// Accumulates updates per parameter until |accumulated| > v_t * max(|value|, floor * rms); then all of it goes.
///
/// Invariant: what was accumulated = what was emitted + pending(), per parameter, up to float rounding of the
/// accumulator; what the coding rounds away stays pending and goes later (error feedback).
/// Reference: Gaia, NSDI'17, section on the approximate synchronous parallel model.
/// Deviations: the floor. The paper divides by the value, which has no meaning near zero; its authors' code lets
/// every update of a value of exactly zero pass. With floor = 0 that is what happens here, too.
class SignificanceFilter {
 public:
  SignificanceFilter(std::uint32_t dimension, SignificanceOptions options);

  void accumulate(std::uint32_t index, float delta);
  float pending(std::uint32_t index) const { return pending_[index]; }
  /// Ends clock t. `values` are the current ones, pending updates included.
  Significant emit(std::span<const float> values, std::uint64_t t, Precision precision);
  /// Since the last call of this.
  std::vector<ShadowCount> take_shadow_counts();

 private:
  void count_shadows(std::span<const float> values, double least);

  SignificanceOptions options_;
  std::vector<float> pending_;
  std::vector<float> fresh_;  ///< of this clock; empty without shadows
  std::vector<std::vector<float>> shadows_;
  std::vector<ShadowCount> counts_;
};

}  // namespace p2p::geo

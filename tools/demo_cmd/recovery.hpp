// How long a learner needs to be itself again after a change. Pure functions on series of hits and
// misses.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace p2p::tools {

/// 1 where the prediction was right, 0 where it was wrong, one entry per sample.
using Hits = std::vector<std::uint8_t>;

/// Mean over [from, to); both are cut to the series. Nothing for an empty range.
std::optional<double> accuracy(const Hits& hits, std::uint64_t from, std::uint64_t to);

inline constexpr std::uint64_t kRecoveryWindow = 100;  ///< samples over which accuracy is taken
inline constexpr std::uint64_t kSteadyWindow = 300;    ///< samples that say what is steady
inline constexpr std::uint64_t kRatioFloor = 10;       ///< shorter recoveries are not told apart

/// The accuracy that counts as recovered, the same for node and twin:
///
///   min( twin's accuracy over the last 300 samples of the phase - 0.03,
///        twin's accuracy over the 300 samples before the change - 0.05 )
///
/// The first term is what this learner reaches in the new phase when left alone: a level that needs
/// no help. The second ends the wait where the new phase is easier than the old one: being as good
/// as before is being recovered. Both come from the twin, so no help that the node gets moves its
/// own goal. The margins are below one standard error of a window of 100 at an accuracy of 0.8
/// (0.04), in favour of neither. Nothing when the phase has fewer than 500 samples or fewer than
/// 300 came before it.
std::optional<double> recovery_level(const Hits& twin, std::uint64_t at, std::uint64_t until);

/// The smallest k such that the accuracy over samples [at+k, at+k+100) is at least `level`, and
/// over the 100 after these at least level - 0.05. The window looks ahead, so the measure has no
/// lag of its own. Nothing (censored) when there is no such k with all 200 samples inside the
/// phase.
std::optional<std::uint64_t> samples_to_recover(const Hits& hits, std::uint64_t at,
                                                std::uint64_t until, double level);

/// One comparison. A censored side is larger than any number.
struct RecoveryPair {
  std::optional<std::uint64_t> node, twin;
};

/// A value that may be larger than every number (censored).
struct Censored {
  double value = 0;
  bool beyond = false;
};

/// twin / node, both raised to kRatioFloor, for fewer than ten samples are noise. Twin censored:
/// beyond. Node censored: 0. Both: 1, for neither was better.
Censored speed_up(const RecoveryPair& pair);

/// The middle one, or the mean of the two middle ones (beyond as soon as one of these is). Nothing
/// of nothing.
std::optional<Censored> median(std::vector<Censored> values);
std::optional<double> median(std::vector<double> values);

}  // namespace p2p::tools

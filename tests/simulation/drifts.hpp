// The drifts that bench_drifts makes: who lives in which concept, and when it changes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/simulation/real_stream.hpp"
#include "tests/simulation/village.hpp"

namespace p2p::testing {

struct Stage {
  std::size_t from = 0;  ///< sample of the place
  View view;
  Weights weights;
};
using Life = std::vector<Stage>;  ///< in order of time; the first from 0

struct Pretender {
  View pretends, learned;
  Weights weights = {};  ///< of the classes in both; empty: equal ones
};

/// One overlay. Place 0 is measured; its changes are the later stages of its life that are listed.
struct Plan {
  std::vector<Life> places;
  std::vector<Pretender> liars;
  std::vector<std::size_t> measured;  ///< samples at which a change of place 0 is measured
  std::size_t samples = 0;            ///< of place 0, in all
  LabelDelay labels;  ///< of place 0; empty: all come at once
  std::vector<std::int32_t> concerned;  ///< labels that are new or changed; empty: all, or none
};

struct Lengths {
  std::size_t before = 1500, after = 1000, places = 8;
};

struct Drift {
  const char* name;
  const char* what;
};
const std::vector<Drift>& drifts();
/// Nothing if there is no drift of this name. Which classes are concerned depends on the seed alone.
std::optional<Plan> plan(const std::string& drift, const RealData& data, std::uint64_t seed, const Lengths& lengths);

}  // namespace p2p::testing

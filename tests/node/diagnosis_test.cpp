#include "overlay/node/diagnosis.hpp"

#include <map>

#include <catch2/catch.hpp>

#include "metadata/base/random.hpp"
#include "tests/simulation/stream.hpp"

using namespace p2p;
using namespace p2p::testing;
using node::DriftKind;

namespace {

/// Embedded samples of length one that lie about a direction of their class.
class Embedded {
 public:
  explicit Embedded(std::uint64_t seed) : random_(seed) {}
  metadata::Fingerprint take(const Concept& what, const Mix& mix, int samples) {
    metadata::FingerprintBuilder builder({.dimensions = kDimensions, .classes = kClasses, .half_life = 0});
    double total = 0;
    for (const auto weight : mix) total += weight;
    for (int i = 0; i < samples; ++i) {
      double pick = random_.uniform() * total;
      std::size_t c = 0;
      while (c + 1 < kClasses && pick >= mix[c]) pick -= mix[c++];
      Random centre(1000 * (what.rotation + 1) + c);
      std::vector<float> phi(kDimensions);
      double norm = 0;
      for (auto& value : phi) {
        value = static_cast<float>(centre.normal() + random_.normal());
        norm += static_cast<double>(value) * value;
      }
      for (auto& value : phi) value /= static_cast<float>(std::sqrt(norm));
      builder.add(phi, what.labels[c], true);
    }
    return builder.build();
  }

 private:
  static constexpr std::uint32_t kDimensions = 32;
  Random random_;
};

struct Change {
  Concept to = {};
  Mix before = kAll, after = kAll;
  int since = 30;
};

constexpr int kTries = 60;

/// How often each kind is told.
std::map<DriftKind, int> told(const Change& change) {
  std::map<DriftKind, int> out;
  for (int seed = 1; seed <= kTries; ++seed) {
    Embedded stream(static_cast<std::uint64_t>(seed));
    const auto past = stream.take({}, change.before, 400);
    ++out[node::diagnose(past, stream.take(change.to, change.after, change.since), learner::DriftCause::overall_error)
              .kind];
  }
  return out;
}

}  // namespace

TEST_CASE("Turned inputs are told from other labels and from another mix", "[diagnosis]") {
  REQUIRE(told({.to = rotated(5)})[DriftKind::changed_inputs] >= 57);
}

TEST_CASE("Swapped labels are told from turned inputs", "[diagnosis]") {
  REQUIRE(told({.to = relabelled({0, 2, 1, 3, 4, 5})})[DriftKind::changed_classes] >= 54);
}

TEST_CASE("A mix that turned over is no change of concept", "[diagnosis]") {
  REQUIRE(told({.before = {1, 1, 1, 0.3, 0.3, 0.3}, .after = {0.1, 0.1, 0.1, 1, 1, 1}, .since = 40})
              [DriftKind::changed_mix] >= 54);
}

TEST_CASE("Classes that were hardly known and are frequent now are named", "[diagnosis]") {
  Embedded stream(9);
  const auto past = stream.take({}, {1, 1, 1, 0.03, 0.03, 0.03}, 400);
  const auto now = stream.take({}, {0.03, 0.03, 0.03, 1, 1, 1}, 40);
  const auto diagnosis = node::diagnose(past, now, learner::DriftCause::overall_error);
  REQUIRE(diagnosis.kind == DriftKind::grown_classes);
  REQUIRE(diagnosis.classes == std::vector<learner::ClassIndex>{3, 4, 5});
}

TEST_CASE("A stable stream shows no change of any kind", "[diagnosis]") {
  REQUIRE(told({})[DriftKind::unclear] >= 55);
}

TEST_CASE("Too few samples say nothing, and a new class is what the monitor says it is", "[diagnosis]") {
  REQUIRE(told({.to = rotated(5), .since = 5})[DriftKind::unclear] == kTries);
  Embedded stream(1);
  const auto past = stream.take({}, kAll, 400);
  REQUIRE(node::diagnose(past, stream.take(rotated(5), kAll, 40), learner::DriftCause::new_class).kind ==
          DriftKind::new_class);
}

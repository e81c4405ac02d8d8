// The learner without a network: test-then-train on a stream that turns half way, and notice the turn.
#include <cstdio>
#include <vector>

#include "learner/drift/drift_monitor.hpp"
#include "learner/metrics.hpp"
#include "learner/model.hpp"
#include "metadata/base/random.hpp"

int main() {
  using namespace p2p;
  constexpr std::uint32_t kFeatures = 8, kClasses = 3;

  auto model = learner::make_model({.family = "rff",
                                    .features = kFeatures,
                                    .classes = kClasses,
                                    .seed = 1,
                                    .bandwidth = 0.3,
                                    .params = {{"dimensions", 256}}});
  if (!model) {
    std::fprintf(stderr, "%s\n", model.error().text().c_str());
    return 1;
  }
  learner::DriftMonitor monitor({.classes = kClasses});
  learner::Prequential metrics(kClasses, 200);

  Random random(7);
  std::vector<float> x(kFeatures);
  bool noticed = false;
  for (int i = 0; i < 4000; ++i) {
    // Three clusters; from sample 2000 on their labels have moved round by one.
    const auto cluster = static_cast<learner::ClassIndex>(random.below(kClasses));
    for (std::uint32_t f = 0; f < kFeatures; ++f) {
      x[f] = static_cast<float>((f % kClasses == static_cast<std::uint32_t>(cluster) ? 1.5 : 0.0) + 0.5 * random.normal());
    }
    const auto label = static_cast<learner::ClassIndex>((cluster + (i >= 2000 ? 1 : 0)) % kClasses);

    const auto predicted = (*model)->predict_then_learn(x, label);
    metrics.add(label, predicted);
    const auto signal = monitor.update(label, predicted);
    if (signal.level == learner::DriftLevel::drift) {
      std::printf("sample %d: drift, about %zu samples ago\n", i, signal.since);
      noticed = noticed || i >= 2000;
    }
  }
  std::printf("accuracy %.3f, over the latest 200 samples %.3f\n", metrics.accuracy(), metrics.windowed_accuracy());
  return noticed && metrics.windowed_accuracy() > 0.85 ? 0 : 1;
}

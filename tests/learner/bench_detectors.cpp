// Prints what the drift detectors reach on streams of Bernoulli errors: false alarms, delays,
// misses, cost.
//   bench_detectors [detector=NAME ...] [runs=100] [stable=1000000] [NAME=VALUE ...] [--json]
//   bench_detectors inputs [DIR] [runs=100] [stable=1000000]       DIR has MNIST or Fashion-MNIST
//   as idx .gz
// Other NAME=VALUE are parameters of the one detector that is named. Each run: 10,000 stable
// values, then an abrupt change (or a ramp over 2000), then up to 5000 more; a miss has no alarm in
// these. `inputs` measures the two that do not watch errors: "labels" on class indices, "embedding"
// on random Fourier features of Gaussians and of images.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "idx.hpp"
#include "learner/drift/detector.hpp"
#include "learner/fourier_basis.hpp"
#include "metadata/base/random.hpp"

namespace p2p::learner::bench {
namespace {

using Params = std::map<std::string, double>;

struct Row {
  std::string name;
  std::string_view detector;
  Params params;
};

std::unique_ptr<DriftDetector> make(const Row& row) {
  auto made = make_detector(row.detector, row.params);
  if (!made) {
    fmt::print(stderr, "{}\n", made.error().text());
    std::exit(2);
  }
  return std::move(*made);
}

bool rings(DriftDetector& detector, Random& random, double rate) {
  return detector.update(random.uniform() < rate ? 1.0 : 0.0) == DriftLevel::drift;
}

struct Change {
  const char* name;
  double before, after;
  int ramp;
};
constexpr Change kChanges[] = {{".1->.2", .1, .2, 0},        {".1->.3", .1, .3, 0},
                               {".1->.5", .1, .5, 0},        {".2->.4", .2, .4, 0},
                               {".4->.6", .4, .6, 0},        {".2->.85", .2, .85, 0},
                               {"ramp .1->.4", .1, .4, 2000}};

struct Outcome {
  double delay = 0, ninetieth = 0, missed = 0,
         early = 0;  ///< missed: share; early: alarms per 10,000 stable values
};

Outcome after_change(const Row& row, const Change& change, int runs) {
  std::vector<double> delays;
  Outcome out;
  for (int run = 0; run < runs; ++run) {
    auto detector = make(row);
    Random random(static_cast<std::uint64_t>(run));
    for (int i = 0; i < 10000; ++i) out.early += rings(*detector, random, change.before);
    int delay = 0;
    for (int i = 1; i <= 5000 && delay == 0; ++i) {
      const double share =
          change.ramp == 0 ? 1.0 : std::min(1.0, static_cast<double>(i) / change.ramp);
      if (rings(*detector, random, change.before + share * (change.after - change.before)))
        delay = i;
    }
    delay == 0 ? static_cast<void>(out.missed += 1) : delays.push_back(delay);
  }
  std::sort(delays.begin(), delays.end());
  if (!delays.empty()) {
    out.delay =
        std::accumulate(delays.begin(), delays.end(), 0.0) / static_cast<double>(delays.size());
    out.ninetieth = delays[delays.size() * 9 / 10];
  }
  out.missed /= runs;
  out.early /= runs;
  return out;
}

double on_improvement(const Row& row, int runs) {
  double alarms = 0;
  for (int run = 0; run < runs; ++run) {
    auto detector = make(row);
    Random random(static_cast<std::uint64_t>(run));
    for (int i = 0; i < 10000; ++i) rings(*detector, random, 0.3);
    for (int i = 0; i < 5000; ++i) alarms += rings(*detector, random, 0.1);
  }
  return alarms / runs;
}

/// Processor time per value at an error of 0.2, best of five passes over half a million values.
double nanoseconds(const Row& row) {
  Random random(5);
  std::vector<double> values(500000);
  for (double& v : values) v = random.uniform() < 0.2 ? 1.0 : 0.0;
  double best = 1e9;
  auto detector = make(row);
  for (int pass = 0; pass < 5; ++pass) {
    const std::clock_t start = std::clock();
    for (const double v : values) detector->update(v);
    best = std::min(best, static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC /
                              static_cast<double>(values.size()) * 1e9);
  }
  return best;
}

void measure(const Row& row, int runs, std::uint64_t stable, bool json) {
  constexpr double kRates[] = {0.05, 0.1, 0.2, 0.3, 0.4};
  std::vector<std::size_t> alarms;
  for (const double rate : kRates) {
    auto detector = make(row);
    Random random(static_cast<std::uint64_t>(rate * 1000));
    std::size_t n = 0;
    for (std::uint64_t i = 0; i < stable; ++i) n += rings(*detector, random, rate);
    alarms.push_back(n);
  }
  std::vector<Outcome> outcomes;
  for (const Change& change : kChanges) outcomes.push_back(after_change(row, change, runs));
  const double improvement = on_improvement(row, runs), ns = nanoseconds(row);
  const std::size_t bytes = make(row)->bytes();
  if (json) {
    fmt::print("{{\"detector\": \"{}\", \"runs\": {}, \"stable\": {}, \"false_alarms\": [",
               row.name, runs, stable);
    for (std::size_t i = 0; i < alarms.size(); ++i) fmt::print("{}{}", i ? ", " : "", alarms[i]);
    fmt::print("], \"changes\": {{");
    for (std::size_t i = 0; i < outcomes.size(); ++i)
      fmt::print("{}\"{}\": {{\"delay\": {:.1f}, \"ninetieth\": {:.0f}, \"missed\": {:.3f}}}",
                 i ? ", " : "", kChanges[i].name, outcomes[i].delay, outcomes[i].ninetieth,
                 outcomes[i].missed);
    fmt::print("}}, \"on_improvement\": {:.2f}, \"ns\": {:.1f}, \"bytes\": {}}}\n", improvement, ns,
               bytes);
    return;
  }
  std::string text = fmt::format("{:<17}", row.name);
  for (const std::size_t n : alarms) text += fmt::format("{:>6}", n);
  text += " |";
  for (const Outcome& o : outcomes)
    text += o.missed > 0 ? fmt::format("{:>6.0f} -{:<2.0f}%", o.delay, std::ceil(100 * o.missed))
                         : fmt::format("{:>6.0f}     ", o.delay);
  fmt::print("{} |{:>6.2f}{:>7.1f}{:>7}\n", text, improvement, ns, bytes);
  std::fflush(stdout);
}

/// Alarms in `stable` values, then the mean delay over `runs` after 2000 stable values.
/// `next(random, changed)` gives the detector its next value and returns the level.
template <typename Next>
void measure_inputs(const std::string& name, const Row& row, int runs, std::uint64_t stable,
                    const Next& next) {
  auto detector = make(row);
  Random random(1);
  std::size_t alarms = 0;
  const std::clock_t start = std::clock();
  for (std::uint64_t i = 0; i < stable; ++i)
    alarms += next(*detector, random, false) == DriftLevel::drift;
  const double ns = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC /
                    static_cast<double>(stable) * 1e9;
  std::vector<double> delays;
  std::size_t early = 0;
  for (int run = 0; run < runs; ++run) {
    auto fresh = make(row);
    Random other(static_cast<std::uint64_t>(run) + 2);
    for (int i = 0; i < 2000; ++i) early += next(*fresh, other, false) == DriftLevel::drift;
    for (int i = 1; i <= 2000; ++i) {
      if (next(*fresh, other, true) != DriftLevel::drift) continue;
      delays.push_back(i);
      break;
    }
  }
  std::sort(delays.begin(), delays.end());
  fmt::print("{:<44} {} alarms in {} stable values; {} early; delay", name, alarms, stable, early);
  if (!delays.empty())
    fmt::print(" median {:.0f}, 90 % {:.0f}", delays[delays.size() / 2],
               delays[delays.size() * 9 / 10]);
  fmt::print(", missed {} of {}; {:.0f} ns with the making of the value, {} bytes\n",
             static_cast<std::size_t>(runs) - delays.size(), runs, ns, detector->bytes());
  std::fflush(stdout);
}

void inputs(const std::string& folder, int runs, std::uint64_t stable) {
  const Row labels{"labels", "labels", {{"classes", 10}}};
  for (const double share : {.05, .1, .2}) {
    measure_inputs(fmt::format("labels, new class of ten, share {}", share), labels, runs, stable,
                   [&](DriftDetector& d, Random& random, bool changed) {
                     if (changed && random.uniform() < share) return d.update(9);
                     return d.update(static_cast<double>(random.below(9)));
                   });
  }
  for (const double share : {.3, .5, .8}) {
    measure_inputs(fmt::format("labels, one of ten rises from .1 to {}", share), labels, runs,
                   stable, [&](DriftDetector& d, Random& random, bool changed) {
                     if (changed && random.uniform() < (share - 0.1) / 0.9) return d.update(3);
                     return d.update(static_cast<double>(random.below(10)));
                   });
  }
  constexpr std::uint32_t kDimensions = 128;
  const Row embedding{"embedding", "embedding", {{"dimensions", kDimensions}}};
  std::vector<float> phi(kDimensions);
  {
    constexpr std::uint32_t kFeatures = 8;
    const auto basis = FourierBasis::shared({.seed = 1,
                                             .features = kFeatures,
                                             .dimensions = kDimensions,
                                             .bandwidth = 1.0 / kFeatures});
    std::vector<float> x(kFeatures);
    for (const auto& [shift, scale] : {std::pair{.5, 1.}, {1., 1.}, {0., 1.5}, {0., .5}}) {
      measure_inputs(fmt::format("embedding, 8 Gaussians, shift {}, scale {}", shift, scale),
                     embedding, runs, stable, [&](DriftDetector& d, Random& random, bool changed) {
                       for (float& v : x)
                         v = static_cast<float>((changed ? shift : 0) +
                                                (changed ? scale : 1) * random.normal());
                       basis->map(x, phi);
                       return d.update_vector(phi);
                     });
    }
  }
  if (folder.empty()) return;
  const DataSet data = read_idx(folder, "train");
  const auto basis =
      FourierBasis::shared({.seed = 1,
                            .features = data.features,
                            .dimensions = kDimensions,
                            .bandwidth = median_bandwidth(
                                {data.x.data(), std::size_t{300} * data.features}, data.features)});
  const auto side = static_cast<std::size_t>(std::lround(std::sqrt(data.features)));
  // The embeddings of all images and of all changed ones, once: a run only draws from them.
  const std::size_t rows = std::min<std::size_t>(data.rows(), 20000);
  const char* names[] = {"inverted", "rotated", "half of the classes gone"};
  for (int change = 0; change < 3; ++change) {
    std::vector<float> before(rows * kDimensions), after(rows * kDimensions), turned(data.features);
    for (std::size_t i = 0; i < rows; ++i) {
      const Features x = data.row(i);
      basis->map(x, {before.data() + i * kDimensions, kDimensions});
      std::size_t source = i;
      for (std::size_t r = 0; r < side; ++r) {
        for (std::size_t c = 0; c < side; ++c) {
          const float v = x[r * side + c];
          if (change == 0) turned[r * side + c] = 1 - v;
          if (change == 1) turned[c * side + (side - 1 - r)] = v;
        }
      }
      if (change == 2) {
        while (data.y[source] >= 5) source = (source + 1) % rows;
        std::copy(data.row(source).begin(), data.row(source).end(), turned.begin());
      }
      basis->map(turned, {after.data() + i * kDimensions, kDimensions});
    }
    measure_inputs(
        fmt::format("embedding, images, {}", names[change]), embedding, runs, stable,
        [&](DriftDetector& d, Random& random, bool changed) {
          const auto& from = changed ? after : before;
          return d.update_vector({from.data() + random.below(rows) * kDimensions, kDimensions});
        });
  }
}

int run(int argc, char** argv) {
  int runs = 100;
  std::uint64_t stable = 1000000;
  bool json = false;
  std::vector<std::string> wanted;
  Params params;
  const bool by_inputs = argc > 1 && std::string(argv[1]) == "inputs";
  std::string folder;
  for (int i = by_inputs ? 2 : 1; i < argc; ++i) {
    const std::string arg = argv[i];
    const auto equal = arg.find('=');
    const std::string key = arg.substr(0, equal),
                      value = equal == std::string::npos ? "" : arg.substr(equal + 1);
    if (arg == "--json") {
      json = true;
    } else if (key == "detector") {
      wanted.push_back(value);
    } else if (key == "runs") {
      runs = std::max(1, std::atoi(value.c_str()));
    } else if (key == "stable") {
      stable = static_cast<std::uint64_t>(std::atof(value.c_str()));
    } else if (by_inputs && equal == std::string::npos) {
      folder = arg;
    } else if (equal != std::string::npos) {
      params[key] = std::atof(value.c_str());
    } else {
      fmt::print(stderr,
                 "usage: bench_detectors [detector=NAME ...] [runs=N] [stable=N] [NAME=VALUE ...] "
                 "[--json]\n"
                 "       bench_detectors inputs [DIR] [runs=N] [stable=N]\n");
      return 1;
    }
  }
  if (by_inputs) {
    inputs(folder, runs, stable);
    return 0;
  }
  if (!params.empty() && wanted.size() != 1) {
    fmt::print(stderr, "parameters go with one detector=NAME\n");
    return 1;
  }
  std::vector<Row> rows;
  for (const std::string_view name : detectors()) {
    if (name == "labels" || name == "embedding") continue;  // their values are no errors
    if (wanted.empty() || std::find(wanted.begin(), wanted.end(), name) != wanted.end())
      rows.push_back({std::string(name), name, params});
    if (wanted.empty() && name == "threshold")
      rows.push_back({"threshold, 1e-6", name, {{"chance", 1e-6}, {"stride", 7}}});
  }
  if (!json) {
    fmt::print(
        "{} runs; alarms in {} stable values at error .05 .1 .2 .3 .4 | mean delay and misses "
        "after:",
        runs, stable);
    for (const Change& change : kChanges) fmt::print("  {}", change.name);
    fmt::print(" | alarms in 5000 values after .3->.1, ns per value, bytes\n");
  }
  for (const Row& row : rows) measure(row, runs, stable, json);
  return rows.empty() ? 1 : 0;
}

}  // namespace
}  // namespace p2p::learner::bench

int main(int argc, char** argv) { return p2p::learner::bench::run(argc, argv); }

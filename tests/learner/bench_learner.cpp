// Prints what the learner reaches: accuracy, speed, transfer, drift delays and false alarms.
//   bench_learner accuracy|transfer|adapt|drift DIR [name=value ...]     DIR has MNIST or
//   Fashion-MNIST as idx .gz bench_learner detectors
#include <algorithm>
#include <cmath>
#include <ctime>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <string>

#include <fmt/core.h>

#include "idx.hpp"
#include "learner/drift/adwin.hpp"
#include "learner/drift/drift_monitor.hpp"
#include "learner/drift/threshold_test.hpp"
#include "learner/fourier_basis.hpp"
#include "learner/metrics.hpp"
#include "learner/transfer/quantise.hpp"
#include "metadata/base/random.hpp"

namespace p2p::learner::bench {
namespace {

/// Processor time of this process: other jobs on the machine count for less than on the wall.
double seconds_used() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

/// What name=value said on the command line. "only" names a family; other values are parameters of the families
/// that have them.
struct Settings {
  std::map<std::string, double> params;
  std::string only;

  /// A setting of the benchmark itself.
  std::size_t count(const std::string& name, std::size_t otherwise) const {
    const auto found = params.find(name);
    return found == params.end() ? otherwise : static_cast<std::size_t>(found->second);
  }
  /// The families to run.
  std::vector<std::string> families() const {
    std::vector<std::string> out;
    for (const std::string_view name : learner::families()) {
      if (only.empty() || only == name) out.emplace_back(name);
    }
    return out;
  }
};

ModelSpec spec_for(const DataSet& data, const std::string& family, const Settings& settings) {
  ModelSpec spec;
  spec.family = family;
  spec.features = data.features;
  spec.classes = data.classes;
  spec.seed = 1;
  spec.bandwidth =
      median_bandwidth({data.x.data(), std::size_t{300} * data.features}, data.features);
  for (const auto& [name, value] : settings.params) {
    if (name == "bandwidth") {
      spec.bandwidth *= value;
    } else if (name == "seed") {
      spec.seed = static_cast<std::uint64_t>(value);
    } else {
      ModelSpec with = spec;
      with.params[name] = value;
      const auto made = make_model(with);
      if (made || made.error().message.find("has no parameter") == std::string::npos) spec = with;
    }
  }
  return spec;
}

std::unique_ptr<Model> make(const ModelSpec& spec) {
  auto made = make_model(spec);
  if (!made) {
    fmt::print(stderr, "{}\n", made.error().text());
    std::exit(2);
  }
  return std::move(*made);
}

void accuracy(const std::string& folder, const Settings& settings) {
  const DataSet train = read_idx(folder, "train"), test = read_idx(folder, "t10k");
  fmt::print("{}: {} + {} rows, bandwidth {:.5f}\n", folder, train.rows(), test.rows(),
             spec_for(train, "rff", {}).bandwidth);
  for (const std::string& family : settings.families()) {
    auto model = make(spec_for(train, family, settings));
    Prequential metrics(train.classes, 6000);
    const double start = seconds_used();
    for (std::size_t i = 0; i < train.rows(); ++i) {
      metrics.add(train.y[i], model->predict_then_learn(train.row(i), train.y[i]));
      if (i + 1 == 6000) fmt::print("  first 6000: {:.4f}\n", metrics.accuracy());
    }
    const double seconds = seconds_used() - start;
    std::size_t hits = 0;
    for (std::size_t i = 0; i < test.rows(); ++i) hits += model->predict(test.row(i)) == test.y[i];
    fmt::print(
        "  {:<22} prequential {:.4f}  last 10 % {:.4f}  test {:.4f}  {:.2f} us/row  {} KiB (no "
        "change {:.3f})\n",
        family, metrics.accuracy(), metrics.windowed_accuracy(),
        static_cast<double>(hits) / static_cast<double>(test.rows()),
        1e6 * seconds / static_cast<double>(train.rows()), model->bytes() / 1024,
        metrics.no_change_accuracy());
  }
}

/// LEARNING.md 4.2: the target saw 5000 (target=N) samples of classes 0-4, then all; the helper 20000 (helper=N)
/// of all; the rows of the five new classes move 50 samples after the switch, at 32 bits (bits=N).
void transfer(const std::string& folder, const Settings& settings) {
  const DataSet data = read_idx(folder, "train");
  for (const std::string& family : settings.families()) {
    const ModelSpec spec = spec_for(data, family, settings);
    auto helper = make(spec);
    for (std::size_t i = 30000; i < 30000 + settings.count("helper", 20000); ++i)
      helper->learn(data.row(i), data.y[i]);
    auto target = make(spec);
    std::size_t at = 0;
    for (std::size_t n = 0; n < settings.count("target", 5000); ++at) {
      if (data.y[at] > 4) continue;
      target->learn(data.row(at), data.y[at]);
      ++n;
    }
    const std::vector<ClassIndex> fresh = {5, 6, 7, 8, 9};
    const auto run = [&](const char* name, const std::optional<Part>& part,
                         const MergeOptions& how) {
      auto model = target->clone();
      Prequential metrics(data.classes, 200);
      std::size_t recovered = 0;
      fmt::print("  {:<22} {:<10}", family, name);
      for (std::size_t n = 0; n < 3000; ++n) {
        if (n == 50 && part) {
          if (auto ok = model->merge(*part, how); !ok) fmt::print("{}\n", ok.error().text());
        }
        metrics.add(data.y[at + n], model->predict_then_learn(data.row(at + n), data.y[at + n]));
        if (recovered == 0 && n >= 200 && metrics.windowed_accuracy() >= 0.85) recovered = n + 1;
        if (n + 1 == 500 || n + 1 == 1000 || n + 1 == 3000)
          fmt::print(" {:.3f}", metrics.accuracy());
      }
      fmt::print("  to .85: {}  {} bytes\n", recovered, part ? part->bytes() : 0);
    };
    run("isolated", std::nullopt, {});
    const auto bits = precision_of(static_cast<unsigned>(settings.count("bits", 32)));
    if (!bits) return;
    run("new", helper->partition(fresh, *bits), {fresh, MergeOptions::Mode::replace});
    run("new,blend", helper->partition(fresh, *bits), {fresh, MergeOptions::Mode::blend});
    run("full", helper->partition({}, *bits), {});
  }
}

/// What happens to every image, or to the labels, at a change.
enum class Change { inverted, rotated, labels };

struct Sample {
  std::vector<float> x;
  ClassIndex y;
};

Sample changed(const DataSet& data, std::size_t i, Change change) {
  Sample out{{data.row(i).begin(), data.row(i).end()}, data.y[i]};
  const auto side = static_cast<std::size_t>(std::lround(std::sqrt(data.features)));
  if (change == Change::inverted) {
    for (float& v : out.x) v = 1.0f - v;
  } else if (change == Change::rotated) {
    for (std::size_t r = 0; r < side; ++r) {
      for (std::size_t c = 0; c < side; ++c)
        out.x[c * side + (side - 1 - r)] = data.row(i)[r * side + c];
    }
  } else {
    out.y = static_cast<ClassIndex>((out.y + 1) % data.classes);
  }
  return out;
}

/// How fast a learner alone follows: 6000 samples, the change, 3000 more.
void adapt(const std::string& folder, const Settings& settings) {
  const DataSet data = read_idx(folder, "train");
  for (const std::string& family : settings.families()) {
    for (const auto& [name, change] :
         {std::pair{"inverted", Change::inverted}, std::pair{"rotated", Change::rotated},
          std::pair{"labels", Change::labels}}) {
      auto model = make(spec_for(data, family, settings));
      Prequential before(data.classes, 1000), after(data.classes, 200);
      for (std::size_t i = 0; i < 6000; ++i)
        before.add(data.y[i], model->predict_then_learn(data.row(i), data.y[i]));
      fmt::print("  {:<22} {:<9} before {:.3f} ", family, name, before.windowed_accuracy());
      std::size_t recovered = 0;
      for (std::size_t n = 1; n <= 3000; ++n) {
        const Sample s = changed(data, 6000 + n, change);
        after.add(s.y, model->predict_then_learn(s.x, s.y));
        if (recovered == 0 && n >= 200 &&
            after.windowed_accuracy() >= before.windowed_accuracy() - 0.05)
          recovered = n;
        if (n == 200 || n == 500 || n == 1000 || n == 3000) fmt::print(" {:.3f}", after.accuracy());
      }
      fmt::print("  back to before - .05: {}\n", recovered);
    }
  }
}

/// Bernoulli streams, as in LEARNING.md 3: false alarms in 10^6 stable samples, delays over 200
/// changes.
void detectors() {
  const auto measure = [](const char* name,
                          const std::function<std::unique_ptr<DriftDetector>()>& fresh) {
    fmt::print("{}\n  false alarms in 10^6 stable samples at error", name);
    for (const double rate : {0.05, 0.1, 0.2, 0.25, 0.3, 0.4}) {
      auto detector = fresh();
      Random random(static_cast<std::uint64_t>(rate * 1000));
      std::size_t alarms = 0;
      for (int i = 0; i < 1000000; ++i)
        alarms += detector->update(random.uniform() < rate) == DriftLevel::drift;
      fmt::print("  {}: {}", rate, alarms);
    }
    fmt::print("\n");
    for (const auto& [before, after] :
         {std::pair{.1, .2}, {.1, .3}, {.1, .5}, {.2, .4}, {.2, .85}, {.25, .9}, {.4, .6}}) {
      std::vector<double> delays;
      std::size_t early = 0, missed = 0;
      for (std::uint64_t seed = 0; seed < 200; ++seed) {
        auto detector = fresh();
        Random random(seed);
        for (int i = 0; i < 10000; ++i)
          early += detector->update(random.uniform() < before) == DriftLevel::drift;
        std::size_t delay = 0;
        for (std::size_t i = 1; i <= 5000 && delay == 0; ++i) {
          if (detector->update(random.uniform() < after) == DriftLevel::drift) delay = i;
        }
        if (delay == 0)
          ++missed;
        else
          delays.push_back(static_cast<double>(delay));
      }
      std::sort(delays.begin(), delays.end());
      const double mean =
          std::accumulate(delays.begin(), delays.end(), 0.0) / std::max<double>(1, delays.size());
      fmt::print(
          "  {} -> {}: mean delay {:.0f}, 95 % {:.0f}, missed {}, false alarms {} in 2 10^6\n",
          before, after, mean, delays.empty() ? 0 : delays[delays.size() * 95 / 100], missed,
          early);
    }
    auto detector = fresh();
    Random random(5);
    const double start = seconds_used();
    for (int i = 0; i < 3000000; ++i) detector->update(random.uniform() < 0.2);
    fmt::print("  {:.0f} ns per sample\n", (seconds_used() - start) / 3e6 * 1e9);
  };
  measure("ADWIN, delta 0.002", [] { return std::make_unique<Adwin>(); });
  ThresholdTest::Options o;
  measure("threshold test as in the paper: batch 35, W 10, L 0.2",
          [&] { return std::make_unique<ThresholdTest>(o); });
  o.permitted_loss = 0.3;
  measure("threshold test as in the paper: L 0.3",
          [&] { return std::make_unique<ThresholdTest>(o); });
  o.permitted_loss = 0.2;
  o.chance = 1e-6;
  o.stride = 7;
  measure("threshold test as the monitor has it: L 0.2, chance 1e-6, stride 7",
          [&] { return std::make_unique<ThresholdTest>(o); });
}

/// The monitor on a real learner's errors: each seed is another order of the data and another class
/// mix.
void drift(const std::string& folder, const Settings& settings) {
  const DataSet data = read_idx(folder, "train");
  const std::uint64_t seeds = settings.params.contains("seeds")
                                  ? static_cast<std::uint64_t>(settings.params.at("seeds"))
                                  : 20;
  const ModelSpec spec = spec_for(data, settings.only.empty() ? "rff" : settings.only, settings);
  std::vector<std::vector<std::size_t>> by_class(data.classes);
  for (std::size_t i = 0; i < data.rows(); ++i)
    by_class[static_cast<std::size_t>(data.y[i])].push_back(i);
  enum class Kind { stable, fresh, gone, inverted, rotated, swapped };
  struct Case {
    const char* name;
    Kind kind;
    double share;
  };
  for (const Case& what :
       {Case{"stable, 10000 after 4000", Kind::stable, 0},
        Case{"new class, share .05", Kind::fresh, 0.05},
        Case{"new class, share .10", Kind::fresh, 0.1},
        Case{"new class, share .20", Kind::fresh, 0.2},
        Case{"class away 500, back at .10", Kind::gone, 0.1}, Case{"inverted", Kind::inverted, 0},
        Case{"rotated", Kind::rotated, 0}, Case{"two labels swapped", Kind::swapped, 0}}) {
    std::size_t false_alarms = 0, missed = 0;
    std::vector<double> delays, since_error;
    std::map<std::string, int> causes;
    double error = 0;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
      Random random(seed);
      auto model = make(spec);
      DriftMonitor::Options options;
      options.classes = data.classes;
      DriftMonitor monitor(options);
      // A mix between even and peaked; class 9 is the one that comes or goes.
      std::vector<double> mix(data.classes);
      for (double& m : mix) m = 0.03 + std::pow(random.uniform(), 2);
      const double others = std::accumulate(mix.begin(), mix.end() - 1, 0.0);
      const auto draw = [&](double last) {
        if (random.uniform() < last) return data.classes - 1;
        double u = random.uniform() * others;
        std::uint32_t c = 0;
        while (c + 2 < data.classes && u >= mix[c]) u -= mix[c++];
        return c;
      };
      Prequential metrics(data.classes, 1000);
      const auto step = [&](double last, bool is_changed) {
        const auto& rows = by_class[draw(last)];
        const std::size_t i = rows[random.below(rows.size())];
        Sample s{{data.row(i).begin(), data.row(i).end()}, data.y[i]};
        if (is_changed && what.kind == Kind::inverted) s = changed(data, i, Change::inverted);
        if (is_changed && what.kind == Kind::rotated) s = changed(data, i, Change::rotated);
        if (is_changed && what.kind == Kind::swapped && s.y < 2) s.y = 1 - s.y;
        const ClassIndex said = model->predict_then_learn(s.x, s.y);
        metrics.add(s.y, said);
        return monitor.update(s.y, said == s.y);
      };
      const double before = what.kind == Kind::fresh  ? 0
                            : what.kind == Kind::gone ? what.share
                                                      : 0.1;
      std::size_t start = 2000;
      for (std::size_t n = 0; n < start; ++n)
        false_alarms += step(before, false).level == DriftLevel::drift;
      if (what.kind == Kind::gone) {
        for (std::size_t n = 0; n < 500; ++n)
          false_alarms += step(0, false).level == DriftLevel::drift;
      }
      error += 1 - metrics.windowed_accuracy();
      if (what.kind == Kind::stable) {
        for (std::size_t n = 0; n < 12000; ++n) {
          const DriftSignal signal = step(0.1, false);
          if (signal.level != DriftLevel::drift) continue;
          ++false_alarms;
          ++causes[std::string(name(signal.cause))];
        }
        continue;
      }
      const double after = what.kind == Kind::fresh || what.kind == Kind::gone ? what.share : 0.1;
      std::size_t delay = 0;
      for (std::size_t n = 1; n <= 2000 && delay == 0; ++n) {
        const DriftSignal signal = step(after, true);
        if (signal.level != DriftLevel::drift) continue;
        delay = n;
        since_error.push_back(std::abs(static_cast<double>(signal.since) - static_cast<double>(n)));
        std::string classes;
        for (const ClassIndex c : signal.classes) classes += fmt::format(" {}", c);
        ++causes[fmt::format("{}:{}", name(signal.cause), classes.empty() ? " all" : classes)];
      }
      if (delay == 0)
        ++missed;
      else
        delays.push_back(static_cast<double>(delay));
    }
    std::sort(delays.begin(), delays.end());
    std::sort(since_error.begin(), since_error.end());
    fmt::print("  {:<28} error {:.2f}  false alarms {} in {} streams", what.name,
               error / static_cast<double>(seeds), false_alarms, seeds);
    if (!delays.empty()) {
      fmt::print(
          "  delay median {:.0f}, 90 % {:.0f}, most {:.0f}  missed {}  since off by (median) "
          "{:.0f} ",
          delays[delays.size() / 2], delays[delays.size() * 9 / 10], delays.back(), missed,
          since_error[since_error.size() / 2]);
    }
    for (const auto& [cause, count] : causes) fmt::print(" [{} x{}]", cause, count);
    fmt::print("\n");
  }
}

}  // namespace
}  // namespace p2p::learner::bench

int main(int argc, char** argv) {
  using namespace p2p::learner::bench;
  const std::string what = argc > 1 ? argv[1] : "";
  Settings settings;
  for (int i = 3; i < argc; ++i) {
    const std::string arg = argv[i];
    const auto equal = arg.find('=');
    if (equal == std::string::npos) continue;
    if (arg.starts_with("only=")) {
      settings.only = arg.substr(equal + 1);
    } else {
      settings.params[arg.substr(0, equal)] = std::atof(arg.c_str() + equal + 1);
    }
  }
  if (what == "accuracy" && argc > 2) {
    accuracy(argv[2], settings);
  } else if (what == "transfer" && argc > 2) {
    transfer(argv[2], settings);
  } else if (what == "drift" && argc > 2) {
    drift(argv[2], settings);
  } else if (what == "detectors") {
    detectors();
  } else if (what == "adapt" && argc > 2) {
    adapt(argv[2], settings);
  } else {
    fmt::print(
        stderr,
        "usage: bench_learner accuracy|transfer|adapt|drift DIR [name=value ...] | detectors\n");
    return 1;
  }
  return 0;
}

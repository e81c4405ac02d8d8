// Prints what the learner reaches: accuracy, speed, and how the drift monitor follows a real learner's errors.
//   bench_learner accuracy|adapt|drift DIR [only=FAMILY] [name=value ...]     DIR has MNIST or Fashion-MNIST as idx .gz
// bench_detectors and bench_transfer measure single detectors and the transfer of parts.
#include <algorithm>
#include <cmath>
#include <ctime>
#include <memory>
#include <numeric>
#include <string>

#include <fmt/core.h>

#include "idx.hpp"
#include "learner/drift/drift_monitor.hpp"
#include "learner/fourier_basis.hpp"
#include "learner/metrics.hpp"
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
        return monitor.update(s.y, said);
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
  } else if (what == "drift" && argc > 2) {
    drift(argv[2], settings);
  } else if (what == "adapt" && argc > 2) {
    adapt(argv[2], settings);
  } else {
    fmt::print(stderr, "usage: bench_learner accuracy|adapt|drift DIR [only=FAMILY] [name=value ...]\n");
    return 1;
  }
  return 0;
}

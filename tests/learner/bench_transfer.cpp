// What parts are worth when they come in: how fast a node recovers, what it keeps, and what moves.
// The raw transfer; no trial decides.
//   bench_transfer DIR [family=NAME[:PARAM=VALUE,...] ...] [seeds=20] [seconds=300]
//   [case=new|swapped|rotated ...]
//                  [--json]                                  DIR has MNIST or Fashion-MNIST as idx
//                  .gz
// A seed fixes the order of the samples, which five classes are new and which two labels are
// swapped. The target has trained on 5000 samples when the change comes (of the five old classes
// only in "new"); a helper has 20,000 samples from after the change; what it gives arrives 50
// samples later. `seconds` bounds the processor time of one family: the seeds that fit are run, and
// their number is printed.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "idx.hpp"
#include "learner/fourier_basis.hpp"
#include "learner/metrics.hpp"
#include "learner/model.hpp"
#include "metadata/base/random.hpp"

namespace p2p::learner::bench {
namespace {

constexpr std::size_t kBefore = 5000, kAfter = 3000, kHelper = 20000, kArrival = 50, kWindow = 200;
constexpr double kRecovered = 0.85;

double seconds_used() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

enum class Case { fresh, swapped, rotated };
constexpr const char* kCaseNames[] = {"new", "swapped", "rotated"};

/// One family with its parameters, as named on the command line.
struct Entry {
  std::string text, family;
  std::map<std::string, double> params;
};

Entry parse(const std::string& text) {
  Entry out{text, text.substr(0, text.find(':')), {}};
  std::size_t at = text.find(':');
  while (at != std::string::npos) {
    const std::size_t end = text.find(',', at + 1);
    const std::string pair = text.substr(at + 1, end == std::string::npos ? end : end - at - 1);
    const auto equal = pair.find('=');
    if (equal != std::string::npos)
      out.params[pair.substr(0, equal)] = std::atof(pair.c_str() + equal + 1);
    at = end;
  }
  return out;
}

struct Sample {
  Features x;
  ClassIndex y;
};

/// The stream of one seed: a permutation of the data, the classes that are concerned, and the
/// change.
class Stream {
 public:
  Stream(const DataSet& data, Case what, std::uint64_t seed)
      : data_(data),
        what_(what),
        order_(data.rows()),
        classes_(data.classes),
        turned_(data.features) {
    Random random(seed);
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::iota(classes_.begin(), classes_.end(), ClassIndex{0});
    for (std::size_t i = order_.size(); i > 1; --i)
      std::swap(order_[i - 1], order_[random.below(i)]);
    for (std::size_t i = classes_.size(); i > 1; --i)
      std::swap(classes_[i - 1], classes_[random.below(i)]);
    side_ = static_cast<std::size_t>(std::lround(std::sqrt(data.features)));
    const std::size_t count = what == Case::rotated ? 0
                              : what == Case::fresh ? classes_.size() / 2
                                                    : 2;
    for (std::size_t k = 0; k < count; ++k) concerned_.push_back(classes_[k]);
    std::sort(concerned_.begin(), concerned_.end());
    concerns_.assign(classes_.size(), what == Case::rotated);
    for (const ClassIndex c : concerned_) concerns_[static_cast<std::size_t>(c)] = true;
  }
  /// The classes whose knowledge changes hands; empty: all.
  const std::vector<ClassIndex>& concerned() const { return concerned_; }
  bool concerns(ClassIndex y) const { return concerns_[static_cast<std::size_t>(y)]; }
  std::size_t size() const { return order_.size(); }
  /// Valid until the next call.
  Sample at(std::size_t position, bool changed) {
    const std::size_t i = order_[position];
    Sample out{data_.row(i), data_.y[i]};
    if (changed && what_ == Case::swapped) {
      const ClassIndex y = out.y;
      out.y = y == classes_[0] ? classes_[1] : y == classes_[1] ? classes_[0] : y;
    }
    if (changed && what_ == Case::rotated) {
      for (std::size_t r = 0; r < side_; ++r) {
        for (std::size_t c = 0; c < side_; ++c)
          turned_[c * side_ + (side_ - 1 - r)] = out.x[r * side_ + c];
      }
      out.x = turned_;
    }
    return out;
  }
  Case what() const { return what_; }

 private:
  const DataSet& data_;
  Case what_;
  std::vector<std::size_t> order_;
  std::vector<ClassIndex> classes_, concerned_;
  std::vector<bool> concerns_;
  std::vector<float> turned_;
  std::size_t side_ = 0;
};

/// What comes in, and how.
struct Variant {
  std::string name;
  bool whole = false;
  Precision precision = Precision::bits32;
  MergeOptions::Mode mode = MergeOptions::Mode::replace;
};

const std::vector<Variant>& variants() {
  using Mode = MergeOptions::Mode;
  static const std::vector<Variant> all = {
      {"isolated"},
      {"part, 32 bits", false, Precision::bits32},
      {"part, 16 bits", false, Precision::bits16},
      {"part, 8 bits", false, Precision::bits8},
      {"part, 4 bits", false, Precision::bits4},
      {"whole copy", true, Precision::bits32},
      {"averaging", true, Precision::bits32, Mode::blend},
  };
  return all;
}

struct Recovery {
  double first500 = 0, first1000 = 0, first3000 = 0;
  double recovery = 0;  ///< samples; kAfter when never
  bool recovered = false;
  double kept =
      0;  ///< accuracy on the classes that are not concerned, over all 3000 (rotated: none)
  double bytes = 0;
};

Recovery run(Stream& stream, const Model& target, std::size_t at, const Model& helper,
             const Variant& variant) {
  auto model = target.clone();
  Recovery out;
  Prequential metrics(model->spec().classes, kWindow);
  std::size_t kept = 0, kept_right = 0;
  out.recovery = kAfter;
  for (std::size_t n = 0; n < kAfter; ++n) {
    if (n == kArrival && variant.name != "isolated") {
      const auto classes = variant.whole ? std::vector<ClassIndex>{} : stream.concerned();
      const Part part = helper.partition(classes, variant.precision);
      out.bytes = static_cast<double>(part.bytes());
      if (auto merged = model->merge(part, {classes, variant.mode}); !merged) {
        fmt::print(stderr, "{}, {}: {}\n", model->spec().family, variant.name,
                   merged.error().text());
        std::exit(2);
      }
    }
    const Sample s = stream.at(at + n, true);
    const ClassIndex said = model->predict_then_learn(s.x, s.y);
    metrics.add(s.y, said);
    if (!stream.concerns(s.y)) {
      ++kept;
      kept_right += said == s.y;
    }
    if (!out.recovered && n + 1 >= kWindow && metrics.windowed_accuracy() >= kRecovered) {
      out.recovered = true;
      out.recovery = static_cast<double>(n + 1);
    }
    if (n + 1 == 500) out.first500 = metrics.accuracy();
    if (n + 1 == 1000) out.first1000 = metrics.accuracy();
  }
  out.first3000 = metrics.accuracy();
  out.kept = kept == 0 ? 0 : static_cast<double>(kept_right) / static_cast<double>(kept);
  return out;
}

std::vector<Recovery> run_seed(const DataSet& data, const ModelSpec& spec, Case what,
                               std::uint64_t seed) {
  Stream stream(data, what, seed);
  const auto make = [&] {
    auto made = make_model(spec);
    if (!made) {
      fmt::print(stderr, "{}\n", made.error().text());
      std::exit(2);
    }
    return std::move(*made);
  };
  auto helper = make(), target = make();
  for (std::size_t i = 0; i < kHelper; ++i) {
    const Sample s = stream.at(stream.size() - 1 - i, true);
    helper->learn(s.x, s.y);
  }
  std::size_t at = 0;
  for (std::size_t n = 0; n < kBefore; ++at) {
    const Sample s = stream.at(at, false);
    if (what == Case::fresh && stream.concerns(s.y)) continue;
    target->learn(s.x, s.y);
    ++n;
  }
  std::vector<Recovery> out;
  for (const Variant& variant : variants())
    out.push_back(run(stream, *target, at, *helper, variant));
  return out;
}

double mean_of(const std::vector<std::vector<Recovery>>& runs, std::size_t v,
               double Recovery::*field) {
  double sum = 0;
  for (const auto& each : runs) sum += each[v].*field;
  return sum / static_cast<double>(runs.size());
}

void print(const Entry& entry, Case what, const std::vector<std::vector<Recovery>>& runs,
           double seconds, bool json) {
  const auto n = static_cast<double>(runs.size());
  if (!json) {
    fmt::print("{}, {}: {} seeds, {:.0f} s\n", entry.text, kCaseNames[static_cast<int>(what)],
               runs.size(), seconds);
    fmt::print("  {:<14} {:>6} {:>6} {:>6} {:>22} {:>9}  {}\n", "", "500", "1000", "3000",
               "to .85: mean (of seeds)", "bytes",
               what == Case::rotated ? "" : "other classes, and difference to isolated");
  }
  for (std::size_t v = 0; v < variants().size(); ++v) {
    double recovery = 0, recovered = 0, gain = 0, squares = 0;
    for (const auto& each : runs) {
      recovery += each[v].recovered ? each[v].recovery : 0;
      recovered += each[v].recovered;
      const double d = each[v].kept - each[0].kept;
      gain += d / n;
      squares += d * d;
    }
    const double error = std::sqrt(std::max(0.0, squares / n - gain * gain) / std::max(1.0, n - 1));
    const double mean_recovery = recovered > 0 ? recovery / recovered : 0;
    const double a = mean_of(runs, v, &Recovery::first500),
                 b = mean_of(runs, v, &Recovery::first1000),
                 c = mean_of(runs, v, &Recovery::first3000),
                 bytes = mean_of(runs, v, &Recovery::bytes),
                 kept = mean_of(runs, v, &Recovery::kept);
    if (json) {
      fmt::print(
          "{{\"model\": \"{}\", \"case\": \"{}\", \"variant\": \"{}\", \"seeds\": {}, "
          "\"first_500\": {:.4f}, "
          "\"first_1000\": {:.4f}, \"first_3000\": {:.4f}, \"recovered\": {}, \"samples_to_85\": "
          "{:.1f}, "
          "\"bytes\": {:.0f}, \"other_classes\": {:.4f}, \"minus_isolated\": {:.4f}, \"error\": "
          "{:.4f}}}\n",
          entry.text, kCaseNames[static_cast<int>(what)], variants()[v].name, runs.size(), a, b, c,
          recovered, mean_recovery, bytes, kept, gain, error);
      continue;
    }
    const std::string to =
        recovered > 0 ? fmt::format("{:.0f} ({:.0f})", mean_recovery, recovered) : "never";
    const std::string others =
        what == Case::rotated ? "" : fmt::format("{:.4f} {:+.4f} +- {:.4f}", kept, gain, error);
    fmt::print("  {:<14} {:>6.3f} {:>6.3f} {:>6.3f} {:>22} {:>9.0f}  {}\n", variants()[v].name, a,
               b, c, to, bytes, others);
  }
  std::fflush(stdout);
}

int run_all(int argc, char** argv) {
  std::vector<Entry> entries;
  std::vector<Case> cases;
  std::uint64_t seeds = 20;
  double limit = 300;
  bool json = false;
  if (argc < 2 || argv[1][0] == '-') {
    fmt::print(
        stderr,
        "usage: bench_transfer DIR [family=NAME[:PARAM=VALUE,...] ...] [seeds=N] [seconds=N] "
        "[case=new|swapped|rotated ...] [--json]\n");
    return 1;
  }
  for (int i = 2; i < argc; ++i) {
    const std::string arg = argv[i];
    const std::string key = arg.substr(0, arg.find('=')),
                      value =
                          arg.find('=') == std::string::npos ? "" : arg.substr(arg.find('=') + 1);
    bool known = true;
    if (arg == "--json") {
      json = true;
    } else if (key == "family") {
      entries.push_back(parse(value));
    } else if (key == "seeds") {
      seeds = std::max<std::uint64_t>(1, std::strtoull(value.c_str(), nullptr, 10));
    } else if (key == "seconds") {
      limit = std::atof(value.c_str());
    } else if (key == "case") {
      known = false;
      for (int k = 0; k < 3; ++k) {
        if (value == kCaseNames[k]) {
          cases.push_back(static_cast<Case>(k));
          known = true;
        }
      }
    } else {
      known = false;
    }
    if (!known) {
      fmt::print(stderr, "{} is not understood; call without arguments for the usage\n", arg);
      return 1;
    }
  }
  if (entries.empty()) {
    for (const std::string_view family : families()) entries.push_back(parse(std::string(family)));
    entries.push_back(parse("rff:dimensions=1024,raw=0"));
  }
  if (cases.empty()) cases = {Case::fresh, Case::swapped, Case::rotated};
  const DataSet data = read_idx(argv[1], "train");
  if (data.rows() < 2 * kBefore + kAfter + kHelper + 5000) {
    fmt::print(stderr, "{} has {} rows; {} are needed\n", argv[1], data.rows(),
               2 * kBefore + kAfter + kHelper + 5000);
    return 1;
  }
  for (const Entry& entry : entries) {
    ModelSpec spec;
    spec.family = entry.family;
    spec.features = data.features;
    spec.classes = data.classes;
    spec.seed = 1;
    spec.bandwidth =
        median_bandwidth({data.x.data(), std::size_t{300} * data.features}, data.features);
    spec.params = entry.params;
    for (const Case what : cases) {
      const double start = seconds_used();
      std::vector<std::vector<Recovery>> runs;
      // At least two seeds, for an error to be had; then as long as another fits.
      for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        const double used = seconds_used() - start;
        const double each = runs.empty() ? 0 : used / static_cast<double>(runs.size());
        if (runs.size() >= 2 && used + each > limit / static_cast<double>(cases.size())) break;
        runs.push_back(run_seed(data, spec, what, seed));
      }
      print(entry, what, runs, seconds_used() - start, json);
    }
  }
  return 0;
}

}  // namespace
}  // namespace p2p::learner::bench

int main(int argc, char** argv) { return p2p::learner::bench::run_all(argc, argv); }

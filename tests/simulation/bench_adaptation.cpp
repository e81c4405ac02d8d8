// What a node among peers makes of each kind of drift on real data, against its isolated twin:
//   build/release/bench_adaptation DATA [set=fashion] [drift=turned] [seeds=20] [family=rff] [without=...] [jobs=1] [--json]
// DATA: folder with mnist/, pendigits/, letter/, covtype20k/ (../shared/data). Several names: comma between them.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <optional>

#include <fmt/format.h>

#include "tests/simulation/adaptation.hpp"

using namespace p2p;
using namespace p2p::testing;

namespace {

constexpr double kBatch = 20, kFewExcess = 5;  // samples: ratios of less than these say nothing
constexpr const char* kUsage =
    "usage: bench_adaptation DATA [set=NAME,...] [drift=NAME,...] [seeds=20] [first=1] [family=rff] [interval_ms=50]\n"
    "                        [without=INGREDIENT] [scout=0] [run_length=N] [trial_alpha=A] [new_class_alpha=A] [jobs=1] [--json] [--verbose]\n"
    "sets: fashion, mnist, and folders of DATA with stream.csv.gz; default fashion,mnist,pendigits,letter,covtype20k\n"
    "ingredients: trial, shadow, library, standby, and of the ranking: joint (then priors as in Cartel), labels (then the\n"
    "marginal), ranking (then at random)\n";

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at <= text.size();) {
    const auto end = std::min(text.find(',', at), text.size());
    if (end > at) out.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

/// The q-quantile, between neighbours.
double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double at = q * static_cast<double>(values.size() - 1);
  const auto low = static_cast<std::size_t>(at);
  const auto high = std::min(low + 1, values.size() - 1);
  return values[low] + (at - static_cast<double>(low)) * (values[high] - values[low]);
}
double median(std::vector<double> values) { return quantile(std::move(values), 0.5); }

bool leave_out(const std::string& what, node::NodeOptions& options) {
  if (what == "trial") options.untried = true;
  else if (what == "shadow") options.watch_samples = 0;
  else if (what == "library") options.library.bytes = 0;
  else if (what == "standby") options.standby.models = 0;
  else if (what == "joint") options.ranking = node::Ranking::priors;
  else if (what == "labels") options.ranking = node::Ranking::marginal;
  else if (what == "ranking") options.ranking = node::Ranking::random;
  else return false;
  return true;
}

struct Args {
  std::string data, family = "rff";
  std::vector<std::string> sets = {"fashion", "mnist", "pendigits", "letter", "covtype20k"};
  std::vector<Drift> drifts{testing::drifts().begin(), testing::drifts().end()};
  std::size_t seeds = 20, first = 1, jobs = 1;
  long interval_ms = 50;
  node::NodeOptions options;
  bool json = false, verbose = false;
};

std::optional<Args> parse(int argc, char** argv) {
  Args args;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto equal = word.find('=');
    const auto key = word.substr(0, equal);
    const auto value = equal == std::string::npos ? "" : word.substr(equal + 1);
    const auto number = std::strtoul(value.c_str(), nullptr, 10);
    if (word == "--json") args.json = true;
    else if (word == "--verbose") args.verbose = true;
    else if (equal == std::string::npos && args.data.empty()) args.data = word;
    else if (key == "set") args.sets = split(value);
    else if (key == "family") args.family = value;
    else if (key == "seeds" && number > 0) args.seeds = number;
    else if (key == "first") args.first = number;
    else if (key == "jobs" && number > 0) args.jobs = number;
    else if (key == "interval_ms" && number > 0) args.interval_ms = static_cast<long>(number);
    else if (key == "run_length" && number > 9) args.options.drift.run_length = static_cast<double>(number);
    else if (key == "new_class_alpha") args.options.new_class_alpha = std::atof(value.c_str());
    else if (key == "trial_alpha") args.options.trial.alpha = std::atof(value.c_str());
    else if (key == "scout") args.options.scout = {.neighbours = number, .interval = std::chrono::seconds(5)};
    else if (key == "drift") {
      args.drifts.clear();
      for (const auto& wanted : split(value)) {
        const auto all = testing::drifts();
        const auto at = std::find_if(all.begin(), all.end(), [&](Drift drift) { return name(drift) == wanted; });
        if (at == all.end()) return std::nullopt;
        args.drifts.push_back(*at);
      }
    } else if (key == "without") {
      for (const auto& what : split(value)) {
        if (!leave_out(what, args.options)) return std::nullopt;
      }
    } else {
      return std::nullopt;
    }
  }
  args.options.lookup.want = 12;  // all of this small world, so that the ranking decides
  args.options.ask = 12;
  if (args.data.empty()) return std::nullopt;
  return args;
}

std::vector<Outcome> run_seeds(const DataSet& data, Drift drift, const Args& args) {
  std::vector<Outcome> out(args.seeds);
  for (std::size_t begin = 0; begin < args.seeds; begin += args.jobs) {
    std::vector<std::future<void>> jobs;
    for (std::size_t i = begin; i < std::min(args.seeds, begin + args.jobs); ++i) {
      jobs.push_back(std::async(args.jobs > 1 ? std::launch::async : std::launch::deferred, [&, i] {
        out[i] = run(data, {.drift = drift,
                            .seed = args.first + i,
                            .options = args.options,
                            .interval = std::chrono::milliseconds(args.interval_ms)});
      }));
    }
    for (auto& job : jobs) job.get();
    std::fprintf(stderr, "\r%s, %s: %zu of %zu   ", data.name().c_str(), std::string(name(drift)).c_str(),
                 std::min(args.seeds, begin + args.jobs), args.seeds);
  }
  std::fprintf(stderr, "\r%60s\r", "");
  return out;
}

template <typename Get>
std::vector<double> each(const std::vector<Outcome>& outcomes, Get get) {
  std::vector<double> out;
  for (const auto& outcome : outcomes) out.push_back(get(outcome));
  return out;
}

void print(const DataSet& data, Drift drift, const std::vector<Outcome>& outcomes, const Args& args) {
  const auto node = each(outcomes, [](auto& o) { return o.node; });
  const auto twin = each(outcomes, [](auto& o) { return o.twin; });
  const auto m3 = each(outcomes, [](auto& o) { return std::max(o.twin, kBatch) / std::max(o.node, kBatch); });
  const auto m4 = each(outcomes, [](auto& o) { return std::max(o.twin_excess, kFewExcess) / std::max(o.node_excess, kFewExcess); });
  const auto final_gain = each(outcomes, [](auto& o) { return o.final_gain; });
  std::size_t merges = 0, back = 0, held = 0, negative = 0, censored = 0, twin_censored = 0;
  std::map<std::string, double> bytes;
  double pulled = 0;
  std::vector<double> detected, merged;
  for (const auto& o : outcomes) {
    merges += o.merges;
    back += o.rolled_back;
    held += o.held;
    negative += o.negative;
    censored += o.node_censored;
    twin_censored += o.twin_censored;
    pulled += static_cast<double>(o.pulled);
    if (o.detected >= 0) detected.push_back(o.detected);
    if (o.merged_at >= 0) merged.push_back(o.merged_at);
    for (const auto& [kind, count] : o.bytes) bytes[kind] += static_cast<double>(count);
  }
  const double n = static_cast<double>(outcomes.size());
  const double links = [&] {
    double sum = 0;
    for (const auto& [kind, count] : bytes) sum += kind == "directory" ? 0 : count;
    return sum / n;
  }();
  const double raw = static_cast<double>((data.features() * sizeof(float) + 2) * kAfter);
  if (args.json) {
    fmt::print(
        "{{\"set\":\"{}\",\"drift\":\"{}\",\"seeds\":{},\"node\":{},\"twin\":{},\"m3\":{:.2f},\"m3_quartiles\":[{:.2f},{:.2f}],"
        "\"censored\":{},\"twin_censored\":{},\"node_excess\":{:.1f},\"twin_excess\":{:.1f},\"m4\":{:.2f},\"detected\":{},"
        "\"merged_at\":{},\"merges\":{},\"rolled_back\":{},\"held\":{},\"negative\":{},\"final_median\":{:.4f},"
        "\"final_worst\":{:.4f},\"whole_worst\":{:.4f},\"pulled\":{:.0f},\"links\":{:.0f},\"directory\":{:.0f},\"model\":{},\"raw\":{:.0f}}}\n",
        data.name(), name(drift), outcomes.size(), median(node), median(twin), median(m3), quantile(m3, 0.25),
        quantile(m3, 0.75), censored, twin_censored, median(each(outcomes, [](auto& o) { return o.node_excess; })),
        median(each(outcomes, [](auto& o) { return o.twin_excess; })), median(m4), median(detected), median(merged), merges,
        back, held, negative, median(final_gain), quantile(final_gain, 0),
        quantile(each(outcomes, [](auto& o) { return o.whole_gain; }), 0), pulled / n, links, bytes["directory"] / n,
        outcomes.front().model_bytes, raw);
  } else {
    fmt::print("{:<10} {:<16} {:>4.0f}{} {:>4.0f}{} {:>5.1f} [{:>4.1f} {:>5.1f}] {:>5.0f} {:>5.0f} {:>5.1f} {:>4.0f} {:>4.0f} {:>3}/{}/{}/{} "
               "{:>+6.3f} {:>+6.3f} {:>+6.3f} {:>7.1f} {:>7.1f} {:>7.1f} {:>7.1f} {:>7.0f}\n",
               data.name(), name(drift), median(node), censored ? fmt::format("({})", censored) : "", median(twin),
               twin_censored ? fmt::format("({})", twin_censored) : "", median(m3), quantile(m3, 0.25), quantile(m3, 0.75),
               median(each(outcomes, [](auto& o) { return o.node_excess; })),
               median(each(outcomes, [](auto& o) { return o.twin_excess; })), median(m4), median(detected), median(merged),
               merges, back, held, negative, median(final_gain), quantile(final_gain, 0),
               quantile(each(outcomes, [](auto& o) { return o.whole_gain; }), 0), pulled / n / 1000, links / 1000,
               bytes["directory"] / n / 1000, static_cast<double>(outcomes.front().model_bytes) / 1000, raw / 1000);
  }
  if (args.verbose) {
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
      const auto& o = outcomes[i];
      fmt::print("    seed {:>2}: before {:.3f}, {:>4.0f} / {:>4.0f} samples, excess {:>5.1f} / {:>5.1f}, alarm {:>4.0f}, merge {:>4.0f}, "
                 "final {:+.3f}; {}\n",
                 args.first + i, o.before, o.node, o.twin, o.node_excess, o.twin_excess, o.detected, o.merged_at, o.final_gain, o.reason);
    }
  }
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const auto args = parse(argc, argv);
  if (!args) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  if (!args->json) {
    fmt::print("{:<10} {:<16} {:>4} {:>4} {:>5} {:>12} {:>5} {:>5} {:>5} {:>4} {:>4} {:>9} {:>6} {:>6} {:>6} {:>7} {:>7} {:>7} {:>7} {:>7}\n",
               "set", "drift", "node", "twin", "M3", "quartiles", "exc.", "twin", "M4", "det.", "mrg.", "m/b/h/neg", "final",
               "worst", "whole", "pulled", "links", "direct.", "model", "raw");
  }
  for (const auto& set : args->sets) {
    const auto data = DataSet::load(args->data, set, args->family);
    if (!data) {
      std::fprintf(stderr, "%s\n", data.error().text().c_str());
      return 1;
    }
    for (const auto drift : args->drifts) print(*data, drift, run_seeds(*data, drift, *args), *args);
  }
  if (!args->json) {
    fmt::print(
        "\n{} seeds, medians, {} places of which one drifts after {} samples; {} samples watched, one every {} ms. node, twin: M3, samples\n"
        "until the error is within .05 of before and stays (in brackets: runs that never were); M3: twin / node, a batch of 20 at\n"
        "least; exc.: M4, errors beyond the former rate, and M4 of the twin over the node's, 5 at least; det., mrg.: samples to the alarm and to\n"
        "the merge; m/b/h/neg: merges / undone / in force 200 samples later / of these with more errors than the twin; final:\n"
        "accuracy over the twin's, second half, median and worst seed; whole: worst over all samples watched. Mean kB since the change: content\n"
        "pulled, all on links, table and datagrams; a whole model; the raw samples of the place. Draws are with replacement.\n",
        args->seeds, 8, kBefore, kAfter, args->interval_ms);
  }
}

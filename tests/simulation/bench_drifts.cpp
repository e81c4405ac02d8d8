// How fast a node is itself again after a drift, against its isolated twin, on real streams:
//   bench_drifts DATA [set=fashion,...] [drift=rotated,...] [seeds=20] [first=1] [family=rff[:PARAM=VALUE,...]]
//                    [ablation=NAME,...] [before=1500] [after=1000] [lead=500] [interval=50] [scout=0] [jobs=1]
//                    [--trace] [--json]
// DATA has mnist/, letter/, pendigits/, covtype20k/; fashion is Debian's dataset-fashion-mnist. `interval`: milliseconds
// between samples. Ablations, to be combined: random, priors, marginal, joint (how helpers are chosen among those that
// were found), trial (the first part is merged untried), shadow (nothing is watched after a merge), library (no memory
// of past concepts), standby (none is asked along). --trace prints every story.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <string>
#include <string_view>

#include <fmt/core.h>
#include <fmt/format.h>

#include "tests/simulation/outcome.hpp"

using namespace p2p;
using namespace p2p::testing;

namespace {

constexpr std::size_t kBatch = 20;

struct Arguments {
  std::string data;
  std::vector<std::string> sets = {"fashion", "mnist", "letter", "pendigits", "covtype"}, drifts, ablations;
  std::string family = "rff";
  std::size_t seeds = 20, first = 1, jobs = 1, interval = 50;
  Setting setting;
  bool trace = false, json = false;
};

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at <= text.size();) {
    const auto end = std::min(text.find(',', at), text.size());
    out.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

bool ablate(Setting& setting, const std::string& what) {
  if (what == "random") setting.choice = Choice::random;
  else if (what == "priors") setting.choice = Choice::priors;
  else if (what == "marginal") setting.choice = Choice::marginal;
  else if (what == "joint") setting.choice = Choice::joint;
  else if (what == "trial") setting.node.untried = true;
  else if (what == "shadow") setting.node.watch_samples = 0;
  else if (what == "library") setting.node.library.bytes = 0;
  else if (what == "standby") setting.node.standby.models = 0;
  else return false;
  return true;
}

bool parse(int argc, char** argv, Arguments& out) {
  for (const auto& drift : drifts()) out.drifts.push_back(drift.name);
  for (int i = 1; i < argc; ++i) {
    const std::string text = argv[i];
    const auto equal = text.find('=');
    const std::string key = text.substr(0, equal), value = equal == std::string::npos ? "" : text.substr(equal + 1);
    const auto number = [&] { return static_cast<std::size_t>(std::strtoull(value.c_str(), nullptr, 10)); };
    if (text == "--json") out.json = true;
    else if (text == "--trace") out.trace = true;
    else if (equal == std::string::npos && out.data.empty()) out.data = text;
    else if (key == "set") out.sets = split(value);
    else if (key == "drift") out.drifts = split(value);
    else if (key == "ablation") out.ablations = split(value);
    else if (key == "family") out.family = value;
    else if (key == "seeds") out.seeds = number();
    else if (key == "first") out.first = number();
    else if (key == "jobs") out.jobs = number();
    else if (key == "interval") out.interval = number();
    else if (key == "before") out.setting.lengths.before = number();
    else if (key == "after") out.setting.lengths.after = number();
    else if (key == "lead") out.setting.lead = number();
    else if (key == "scout") out.setting.node.scout.neighbours = number();
    else return false;
  }
  for (const auto& what : out.ablations) {
    if (!ablate(out.setting, what)) return false;
  }
  for (const auto& drift : out.drifts) {
    if (std::none_of(drifts().begin(), drifts().end(), [&](const Drift& d) { return drift == d.name; })) return false;
  }
  out.setting.interval = std::chrono::milliseconds(out.interval);
  return !out.data.empty() && out.seeds > 0 && out.jobs > 0 && out.interval > 0 && out.setting.lengths.before >= 600 &&
         out.setting.lengths.after >= 400;
}

struct Quartiles {
  double low = 0, median = 0, high = 0;
};

Quartiles quartiles(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    const double place = share * static_cast<double>(values.size() - 1);
    const auto below = static_cast<std::size_t>(place);
    const double part = place - static_cast<double>(below);
    return below + 1 < values.size() ? values[below] * (1 - part) + values[below + 1] * part : values[below];
  };
  return {at(0.25), at(0.5), at(0.75)};
}

template <typename Value>
Quartiles of(const std::vector<Outcome>& all, Value value) {
  std::vector<double> values;
  for (const auto& each : all) values.push_back(value(each));
  return quartiles(std::move(values));
}

/// Of those in which it happened.
Quartiles when(const std::vector<Outcome>& all, double Outcome::*field) {
  std::vector<double> values;
  for (const auto& each : all) {
    if (each.*field >= 0) values.push_back(each.*field);
  }
  return quartiles(std::move(values));
}

template <typename Value>
double total(const std::vector<Outcome>& all, Value value) {
  double sum = 0;
  for (const auto& each : all) sum += static_cast<double>(value(each));
  return sum;
}

double least(double samples) { return std::max(samples, static_cast<double>(kBatch)); }
double ratio(const Outcome& a) { return least(a.twin) / least(a.node); }
double excess_ratio(const Outcome& a) { return std::max(a.twin_excess, 1.0) / std::max(a.node_excess, 1.0); }

void print_head() {
  fmt::print("{:<10} {:<13} | {:>14} {:>5} {:>15} {:>5} {:>5} | {:>6} {:>6} {:>5} | {:>5} {:>5} {:>5} {:>5} | {:>5} {:>4} {:>4} {:>8} "
             "| {:>7} {:>7} {:>5} | {:>7} {:>7} {:>7}\n",
             "set", "drift", "M3 node", "cens", "twin", "cens", "ratio", "M4", "twin's", "ratio", "alarm", "found", "parts",
             "merge", "merge", "own", "back", "neg", "final", "worst", "false", "KB", "model", "raw");
}

void print(const std::string& set, const std::string& drift, const std::vector<Outcome>& all) {
  const auto node = of(all, [](const auto& a) { return a.node; }), twin = of(all, [](const auto& a) { return a.twin; });
  const double n = static_cast<double>(all.size());
  const auto range = [](const Quartiles& q) { return fmt::format("{:.0f} ({:.0f}-{:.0f})", q.median, q.low, q.high); };
  const auto bytes = of(all, [](const auto& a) {
    double sum = 0;
    for (const auto& [kind, count] : a.bytes) sum += static_cast<double>(count);
    return sum / 1000;
  });
  fmt::print("{:<10} {:<13} | {:>14} {:>5.2f} {:>15} {:>5.2f} {:>5.1f} | {:>6.1f} {:>6.1f} {:>5.1f} | {:>5.0f} {:>5.0f} {:>5.0f} {:>5.0f} "
             "| {:>5.0f} {:>4.0f} {:>4.0f} {:>8} | {:>+7.3f} {:>+7.3f} {:>5.2f} | {:>7.1f} {:>7.1f} {:>7.1f}\n",
             set, drift, range(node), total(all, [](const auto& a) { return a.node_censored; }) / n, range(twin),
             total(all, [](const auto& a) { return a.twin_censored; }) / n, of(all, ratio).median,
             of(all, [](const auto& a) { return a.node_excess; }).median,
             of(all, [](const auto& a) { return a.twin_excess; }).median, of(all, excess_ratio).median,
             when(all, &Outcome::alarm).median, when(all, &Outcome::found).median,
             when(all, &Outcome::parts).median, when(all, &Outcome::merged).median,
             total(all, [](const auto& a) { return a.merges; }), total(all, [](const auto& a) { return a.own; }),
             total(all, [](const auto& a) { return a.rolled_back; }),
             fmt::format("{}/{}/{}", total(all, [](const auto& a) { return a.worse; }),
                         total(all, [](const auto& a) { return a.negative; }),
                         total(all, [](const auto& a) { return a.in_force; })),
             of(all, [](const auto& a) { return a.final_gap; }).median,
             std::min_element(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.final_gap < b.final_gap; })
                 ->final_gap,
             of(all, [](const auto& a) { return a.stable_alarms; }).median, bytes.median,
             of(all, [](const auto& a) { return static_cast<double>(a.model_bytes) / 1000; }).median,
             of(all, [](const auto& a) { return static_cast<double>(a.raw_bytes) / 1000; }).median);
  std::fflush(stdout);
}

void print_more(const std::vector<Outcome>& all) {
  std::string line;
  for (const auto* kind : {"describe", "manifest", "chunk", "feedback", "link", "lookup"}) {
    const auto bytes = of(all, [&](const auto& a) {
      const auto found = a.bytes.find(kind);
      return found == a.bytes.end() ? 0.0 : static_cast<double>(found->second);
    });
    line += fmt::format(" {} {:.0f}", kind, bytes.median);
  }
  fmt::print("{:<24} | net M4 {:.1f} to {:.1f}; bytes by kind:{}", "", of(all, [](const auto& a) { return a.node_net; }).median,
             of(all, [](const auto& a) { return a.twin_net; }).median, line);
  if (all.front().node_class >= 0) {
    const auto median = [&](double Outcome::*field) { return when(all, field).median; };
    fmt::print("; classes concerned: samples {:.0f} to {:.0f}, errors {:.0f} to {:.0f}", median(&Outcome::node_class),
               median(&Outcome::twin_class), median(&Outcome::node_class_errors),
               median(&Outcome::twin_class_errors));
  }
  fmt::print("\n");
}

/// What never being worse than alone comes to, over all sets and drifts.
struct Harm {
  std::size_t changes = 0, in_force = 0, worse = 0, negative = 0, clearly_negative = 0, below = 0;
  double worst = 0;
  void add(const std::vector<Outcome>& all) {
    for (const auto& a : all) {
      ++changes;
      in_force += a.in_force;
      worse += a.worse;
      negative += a.negative;
      clearly_negative += a.clearly_negative;
      below += a.final_gap < -kBound;
      worst = std::min(worst, a.final_gap);
    }
  }
  static constexpr double kBound = 0.005;
};

void print(const Harm& harm) {
  fmt::print("\nharm: of {} merges in force after 200 samples {} have a higher error than before (M10), {} more errors than the twin, {} of "
             "these by more than 2;\nof {} changes {} end more than {} below the twin over the last 300 samples, the worst {:+.3f}\n",
             harm.in_force, harm.worse, harm.negative, harm.clearly_negative, harm.changes, harm.below, Harm::kBound, harm.worst);
}

void print_json(const std::string& set, const std::string& drift, const Arguments& arguments,
                const std::vector<Outcome>& all) {
  for (const auto& a : all) {
    std::string bytes;
    for (const auto& [kind, count] : a.bytes) bytes += fmt::format("\"{}\":{},", kind, count);
    if (!bytes.empty()) bytes.pop_back();
    fmt::print("{{\"set\":\"{}\",\"drift\":\"{}\",\"family\":\"{}\",\"ablation\":\"{}\",\"seed\":{},\"change\":{},\"m3_node\":{},"
               "\"m3_twin\":{},\"node_censored\":{},\"twin_censored\":{},\"m3_ratio\":{:.3f},\"m4_node\":{:.3f},\"m4_twin\":{:.3f},\"net_node\":{:.3f},\"net_twin\":{:.3f},"
               "\"class_node\":{},\"class_twin\":{},\"class_errors_node\":{},\"class_errors_twin\":{},\"alarm\":{},\"found\":{},\"parts\":{},\"merged\":{},\"merges\":{},\"own\":{},\"rolled_back\":{},\"in_force\":{},"
               "\"worse\":{},\"negative\":{},\"clearly_negative\":{},\"final_gap\":{:.4f},\"stable_alarms\":{:.3f},\"model_bytes\":{},"
               "\"raw_bytes\":{},\"bytes\":{{{}}}}}\n",
               set, drift, arguments.family, fmt::join(arguments.ablations, "+"), a.seed, a.change, a.node, a.twin,
               a.node_censored, a.twin_censored, ratio(a), a.node_excess, a.twin_excess,
               a.node_net, a.twin_net, a.node_class, a.twin_class, a.node_class_errors, a.twin_class_errors, a.alarm, a.found, a.parts,
               a.merged, a.merges, a.own, a.rolled_back, a.in_force, a.worse, a.negative, a.clearly_negative, a.final_gap,
               a.stable_alarms, a.model_bytes, a.raw_bytes, bytes);
  }
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (!parse(argc, argv, arguments)) {
    std::string names;
    for (const auto& drift : drifts()) names += fmt::format("  {:<14} {}\n", drift.name, drift.what);
    fmt::print(stderr,
               "usage: bench_drifts DATA [set=fashion,mnist,letter,pendigits,covtype] [drift=...] [seeds=20] [first=1]\n"
               "         [family=rff] [ablation=random|priors|marginal|joint,trial,shadow,library,standby] [before=1500]\n"
               "         [after=1000] [lead=500] [interval=50] [scout=0] [jobs=1] [--trace] [--json]\ndrifts:\n{}", names);
    return 2;
  }
  Harm harm;
  if (!arguments.json) print_head();
  for (const auto& set : arguments.sets) {
    const auto data = load_real(arguments.data, set);
    if (!data) {
      fmt::print(stderr, "{}\n", data.error().text());
      return 2;
    }
    const auto task = real_task(*data, arguments.family);
    if (const auto model = learner::make_model(node::model_spec(task)); !model) {
      fmt::print(stderr, "{}\n", model.error().text());
      return 2;
    }
    for (const auto& drift : arguments.drifts) {
      auto setting = arguments.setting;
      setting.drift = drift;
      std::vector<Outcome> all;
      for (std::size_t done = 0; done < arguments.seeds; done += arguments.jobs) {
        std::vector<std::future<std::vector<Outcome>>> running;
        for (std::size_t k = done; k < std::min(arguments.seeds, done + arguments.jobs); ++k) {
          running.push_back(std::async(std::launch::async, [&, k] {
            return measure(*data, task, setting, arguments.first + k);
          }));
        }
        for (auto& each : running) {
          for (auto& adaptation : each.get()) all.push_back(std::move(adaptation));
        }
        fmt::print(stderr, "{} {}: {} of {} seeds\n", set, drift, std::min(arguments.seeds, done + arguments.jobs),
                   arguments.seeds);
      }
      harm.add(all);
      if (arguments.json) {
        print_json(set, drift, arguments, all);
      } else {
        print(set, drift, all);
        print_more(all);
      }
      if (arguments.trace) {
        for (const auto& a : all) {
          fmt::print(stderr, "  {} {} seed {} at {}: node {} twin {}, excess {:.1f} {:.1f}, final {:+.3f}\n{}", set, drift, a.seed,
                     a.change, a.node, a.twin, a.node_excess, a.twin_excess, a.final_gap, a.story);
        }
      }
    }
  }
  if (arguments.json) return 0;
  print(harm);
  fmt::print(
      "\n{} seeds, {} places, a sample every {} ms, family {}; medians (quartiles) over the changes of all seeds.\n"
      "M3: samples until the error over 3 batches of 20 is within .05 of that of the 200 samples before (of node or twin,\n"
      "whoever was better), and stays for 3;\n"
      "cens: share that never was; its ratio counts at least one batch on both sides. M4: errors above the former rate in\n"
      "the first 50 batches; chance alone gives some, so the line below has the net sum too. alarm, found, parts, merge: samples from the change to the first alarm, lookup, part and lasting\n"
      "merge, where there was one. Then merges, of these of own past concepts, undone, and neg: those with a higher error over\n"
      "the next 200 samples than over the 50 before (PAPERS' M10), those with more errors in them than the twin, and those in\n"
      "force so long. final: accuracy less the twin's in the last 300 samples, median and worst. false: alarms per 1000 samples before the change. KB: on this node's links and for its lookups,\n"
      "from the change on; the whole model; raw samples from the change to the merge (without one, to the twin's recovery).\n"
      "classes concerned: samples until their recall over 10 of them is within .1 of the best in the end, and errors on them\n"
      "in the first 50 batches, node to twin.\n",
      arguments.seeds, arguments.setting.lengths.places, arguments.interval, arguments.family);
}

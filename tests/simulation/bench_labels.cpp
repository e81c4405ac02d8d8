// What is lost where labels come late, seldom or never, on images (Fashion-MNIST):
//   build/release/bench_labels DATA [set=fashion] [scene=...] [labels=...] [adopt=...] [seeds=5] [jobs=1] [--verbose]
// DATA: as for bench_drifts. Before the change all labels come at once, but where they are late they always are.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <optional>

#include <fmt/format.h>

#include "tests/simulation/edge.hpp"

using namespace p2p;
using namespace p2p::testing;
using Adopt = node::AgreementOptions::Adopt;

namespace {

constexpr std::size_t kPlaces = 8, kKnown = 1000, kBefore = 1500, kAfter = 400;

struct Scene {
  const char* name;
  bool turned;            // the images; else the mix of classes
  bool honest;            // four of the others live in what comes
  bool own;               // it was learned here before, 1000 samples ago
  std::size_t liars;      // that say they know what comes, all with the same wrong labels
};
constexpr Scene kScenes[] = {
    {"turned", true, true, false, 0},         {"turned, known here before", true, false, true, 0},
    {"turned, two liars", true, false, false, 2}, {"turned, two liars among honest", true, true, false, 2},
    {"mix", false, true, false, 0},           {"mix, two liars", false, false, false, 2},
};
struct Labels {
  const char* name;
  std::optional<std::size_t> delay;  // none: never, but for every `seldom`-th
  std::size_t seldom;
  bool always;                       // before the change too
};
constexpr Labels kLabels[] = {
    {"all", 0, 0, true}, {"late 50", 50, 0, true}, {"late 200", 200, 0, true}, {"5 %", {}, 20, false}, {"none", {}, 0, false}};

struct Args {
  std::string data, set = "fashion", scene, labels, adopt;
  std::size_t seeds = 5, jobs = 1;
  bool verbose = false;
};

struct Outcome {
  double node = 0, twin = 0;
  std::size_t accepted = 0, provisional = 0, rolled_back = 0;
  std::string story;
};

Stage stage(std::size_t from, View view, Weights weights) {
  return {.from = from, .view = std::move(view), .weights = std::move(weights)};
}

Outcome run(const RealData& data, const metadata::Task& task, const Scene& scene, const Labels& labels, Adopt adopt,
            std::uint64_t seed) {
  const Weights all(data.classes, 1.0);
  auto mix = all;
  if (!scene.turned) {
    for (std::size_t c = 0; c < mix.size() / 2; ++c) mix[c] = 0.1;
  }
  const View after = {.geometry = scene.turned ? 1u : 0u};
  const std::size_t change = kBefore + (scene.own ? kKnown : 0);
  node::NodeOptions options;
  options.without_labels.adopt = adopt;
  sim::Simulation sim(seed);
  std::vector<std::unique_ptr<Edge>> edges;
  for (std::size_t i = 0; i < kPlaces; ++i) {
    Edge::Options edge{.life = {}, .measured = i == 0};
    if (i > 0) {
      const View other = {.geometry = static_cast<std::uint32_t>(2 + i / 2 % 2)};
      edge.life.push_back(i % 2 == 1 && scene.honest ? stage(0, after, mix) : stage(0, other, all));
    } else {
      if (scene.own) edge.life.push_back(stage(0, after, mix));
      edge.life.push_back(stage(change - kBefore, {}, all));
      edge.life.push_back(stage(change, after, mix));
      edge.labels = [&labels, change](std::size_t index) -> std::optional<std::size_t> {
        if (!labels.always && index < change) return 0;
        if (labels.seldom > 0) return index % labels.seldom == 0 ? std::optional<std::size_t>(0) : std::nullopt;
        return labels.delay;
      };
    }
    edges.push_back(std::make_unique<Edge>(sim, task, data, seed, options, std::move(edge)));
  }
  View wrong = after;
  for (std::uint32_t c = 0; c < data.classes; ++c) wrong.names.push_back(static_cast<std::int32_t>((c + 1) % data.classes));
  std::vector<std::unique_ptr<Impostor>> liars;
  for (std::size_t i = 0; i < scene.liars; ++i) {
    liars.push_back(std::make_unique<Impostor>(sim, task, data, seed,
                                               Pretender{.pretends = after, .learned = wrong, .weights = mix}));
  }
  auto& edge = *edges.front();
  const std::vector<std::string> seeds = {edge.host().seed()};
  for (auto& each : edges) {
    each->start(each == edges.front() ? std::vector<std::string>{} : seeds, std::chrono::milliseconds(50));
  }
  for (auto& each : liars) each->start(seeds);
  sim.run_until([&] { return edge.samples() >= change + kAfter; }, std::chrono::hours(24));
  Outcome out;
  out.node = accuracy(edge.record(), change, change + kAfter);
  out.twin = accuracy(edge.twin_record(), change, change + kAfter);
  for (const auto& report : edge.node().drifts()) {
    if (report.detected_at + kAfter < change) continue;
    out.accepted += report.accepted;
    out.provisional += report.provisional;
    out.rolled_back += report.rolled_back;
    out.story += fmt::format(" [{} at {}: {}]", learner::name(report.cause), report.detected_at, report.reason);
  }
  return out;
}

std::optional<Args> parse(int argc, char** argv) {
  Args args;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto equal = word.find('=');
    const auto key = word.substr(0, equal), value = equal == std::string::npos ? "" : word.substr(equal + 1);
    const auto number = std::strtoul(value.c_str(), nullptr, 10);
    if (word == "--verbose") args.verbose = true;
    else if (equal == std::string::npos && args.data.empty()) args.data = word;
    else if (key == "set") args.set = value;
    else if (key == "scene") args.scene = value;
    else if (key == "labels") args.labels = value;
    else if (key == "adopt") args.adopt = value;
    else if (key == "seeds" && number > 0) args.seeds = number;
    else if (key == "jobs" && number > 0) args.jobs = number;
    else return std::nullopt;
  }
  return args.data.empty() ? std::nullopt : std::optional(args);
}

}  // namespace

int main(int argc, char** argv) {
  const auto args = parse(argc, argv);
  if (!args) {
    std::fputs("usage: bench_labels DATA [set=fashion] [scene=NAME] [labels=NAME] [adopt=nothing|own|agreed] [seeds=5] "
               "[jobs=1] [--verbose]\n",
               stderr);
    return 2;
  }
  const auto data = load_real(args->data, args->set);
  if (!data) {
    std::fprintf(stderr, "%s\n", data.error().text().c_str());
    return 1;
  }
  const auto task = real_task(*data, "rff");
  fmt::print("{:<31} {:<8} {:<8} {:>6} {:>6} {:>7} {:>7}  {:>6} {:>4} {:>4}\n", "scene", "labels", "adopt", "node", "twin", "gain",
             "worst", "merged", "prov", "back");
  for (const auto& scene : kScenes) {
    if (!args->scene.empty() && args->scene != scene.name) continue;
    for (const auto& labels : kLabels) {
      if (!args->labels.empty() && args->labels != labels.name) continue;
      for (const auto adopt : {Adopt::nothing, Adopt::own, Adopt::agreed}) {
        if (!args->adopt.empty() && args->adopt != name(adopt)) continue;
        if (args->adopt.empty() && (adopt == Adopt::own) != scene.own && adopt != Adopt::nothing) continue;
        if (args->adopt.empty() && adopt != Adopt::nothing && std::string_view(labels.name) == "all") continue;
        std::vector<Outcome> outcomes(args->seeds);
        for (std::size_t begin = 0; begin < args->seeds; begin += args->jobs) {
          std::vector<std::future<void>> jobs;
          for (std::size_t i = begin; i < std::min(args->seeds, begin + args->jobs); ++i) {
            jobs.push_back(std::async(args->jobs > 1 ? std::launch::async : std::launch::deferred,
                                      [&, i] { outcomes[i] = run(*data, task, scene, labels, adopt, i + 1); }));
          }
          for (auto& job : jobs) job.get();
        }
        Outcome sum;
        double worst = 1;
        for (const auto& o : outcomes) {
          sum.node += o.node;
          sum.twin += o.twin;
          sum.accepted += o.accepted;
          sum.provisional += o.provisional;
          sum.rolled_back += o.rolled_back;
          worst = std::min(worst, o.node - o.twin);
        }
        const auto n = static_cast<double>(outcomes.size());
        fmt::print("{:<31} {:<8} {:<8} {:>6.3f} {:>6.3f} {:>+7.3f} {:>+7.3f}  {:>6} {:>4} {:>4}\n", scene.name, labels.name,
                   name(adopt), sum.node / n, sum.twin / n, (sum.node - sum.twin) / n, worst, sum.accepted, sum.provisional,
                   sum.rolled_back);
        if (args->verbose) {
          for (const auto& o : outcomes) fmt::print("    {:.3f} {:.3f}{}\n", o.node, o.twin, o.story);
        }
        std::fflush(stdout);
      }
    }
  }
  fmt::print(
      "\n{} seeds. node, twin: mean accuracy over the {} samples after the change, of what was said when each came; the twin is\n"
      "isolated and gets the same labels. worst: of the seeds. merged: parts in force, prov: of these without a label's word,\n"
      "back: undone. adopt: what may be put in force without labels.\n",
      args->seeds, kAfter);
}

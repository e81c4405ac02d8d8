// What is lost where labels come late, seldom or never, on images (Fashion-MNIST):
//   build/release/bench_labels DATA [set=fashion] [scene=...] [labels=...] [seeds=20] [jobs=1] [--verbose]
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
  std::string data, set = "fashion", scene, labels;
  std::size_t seeds = 20, jobs = 1;
  bool verbose = false;
};

struct Outcome {
  double node = 0, twin = 0;
  std::size_t noticed = kAfter;  // samples from the change to the first alarm
  std::size_t accepted = 0, rolled_back = 0;
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
  for (const auto& mark : edge.marks()) {
    if (mark.kind == node::Event::Kind::drift_detected && mark.at >= change) out.noticed = std::min(out.noticed, mark.at - change);
  }
  for (const auto& report : edge.node().drifts()) {
    if (report.detected_at + kAfter < change) continue;
    out.accepted += report.accepted;
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
    else if (key == "seeds" && number > 0) args.seeds = number;
    else if (key == "jobs" && number > 0) args.jobs = number;
    else return std::nullopt;
  }
  return args.data.empty() ? std::nullopt : std::optional(args);
}

struct Summary {
  double node = 0, twin = 0, worst = 1;  // worst: of the seeds, to the twin
  std::size_t noticed = 0;                // median
  std::size_t accepted = 0, rolled_back = 0;
};

Summary measure(const RealData& data, const metadata::Task& task, const Scene& scene, const Labels& labels, Adopt adopt,
                const Args& args) {
  std::vector<Outcome> outcomes(args.seeds);
  for (std::size_t begin = 0; begin < args.seeds; begin += args.jobs) {
    std::vector<std::future<void>> jobs;
    for (std::size_t i = begin; i < std::min(args.seeds, begin + args.jobs); ++i) {
      jobs.push_back(std::async(args.jobs > 1 ? std::launch::async : std::launch::deferred,
                                [&, i] { outcomes[i] = run(data, task, scene, labels, adopt, i + 1); }));
    }
    for (auto& job : jobs) job.get();
  }
  std::sort(outcomes.begin(), outcomes.end(), [](const auto& a, const auto& b) { return a.noticed < b.noticed; });
  Summary out;
  out.noticed = outcomes[outcomes.size() / 2].noticed;
  for (const auto& each : outcomes) {
    out.node += each.node / static_cast<double>(args.seeds);
    out.twin += each.twin / static_cast<double>(args.seeds);
    out.worst = std::min(out.worst, each.node - each.twin);
    out.accepted += each.accepted;
    out.rolled_back += each.rolled_back;
    if (args.verbose) {
      fmt::print(stderr, "{}, {}, {}: {:.3f} {:.3f}{}\n", scene.name, labels.name, name(adopt), each.node, each.twin, each.story);
    }
  }
  return out;
}

std::string cell(const Summary& of) {
  const auto merges = of.accepted == 0      ? std::string()
                      : of.rolled_back == 0 ? fmt::format(", {}", of.accepted)
                                            : fmt::format(", {}, {} undone", of.accepted, of.rolled_back);
  return fmt::format("{:.3f} ({:+.3f}{})", of.node, of.worst, merges);
}

}  // namespace

int main(int argc, char** argv) {
  const auto args = parse(argc, argv);
  if (!args) {
    std::fputs("usage: bench_labels DATA [set=fashion] [scene=NAME] [labels=NAME] [seeds=20] [jobs=1] [--verbose]\n", stderr);
    return 2;
  }
  const auto data = load_real(args->data, args->set);
  if (!data) {
    std::fprintf(stderr, "%s\n", data.error().text().c_str());
    return 1;
  }
  const auto task = real_task(*data, "rff");
  fmt::print("| scene | labels | noticed after | twin | node | may adopt | lost |\n|---|---|---|---|---|---|---|\n");
  for (const auto& scene : kScenes) {
    if (!args->scene.empty() && args->scene != scene.name) continue;
    std::optional<double> all;
    for (const auto& labels : kLabels) {
      if (!args->labels.empty() && args->labels != labels.name) continue;
      const auto alone = measure(*data, task, scene, labels, Adopt::nothing, *args);
      const bool whole = labels.always && labels.delay == 0u;  // nothing to adopt without labels
      if (whole) all = alone.node;
      const auto adopting =
          whole ? std::string() : cell(measure(*data, task, scene, labels, scene.own ? Adopt::own : Adopt::agreed, *args));
      fmt::print("| {} | {} | {} | {:.3f} | {} | {} | {} |\n", scene.name, labels.name,
                 alone.noticed < kAfter ? fmt::format("{}", alone.noticed) : "never", alone.twin, cell(alone), adopting,
                 all ? fmt::format("{:.3f}", *all - alone.node) : "");
      std::fflush(stdout);
    }
  }
  fmt::print(
      "\n{} seeds, set {}. noticed after: median samples to the first alarm. twin, node, may adopt: mean accuracy over the {}\n"
      "samples after the change, of what was said when each came; the twin is isolated and gets the same labels. In brackets: the\n"
      "worst seed's difference to it, merges, and of these undone. may adopt: without_labels.adopt is own where the past is known\n"
      "here, else agreed. lost: by the node, against all labels at once.\n",
      args->seeds, args->set, kAfter);
}

#include "tests/simulation/adaptation.hpp"

#include <algorithm>
#include <array>
#include <memory>

namespace p2p::testing {
namespace {

constexpr std::size_t kPlaces = 8, kBatch = 20, kHeldFor = 200, kElsewhere = 1000;
constexpr std::array kDrifts = {Drift::introduction, Drift::introductions, Drift::fluctuation, Drift::mix,
                                Drift::turned,       Drift::swapped,       Drift::relabelled,  Drift::recurring,
                                Drift::recurring_labels, Drift::staggered, Drift::strange,     Drift::misled,
                                Drift::poisoned};

/// PAPERS.md M4, in samples: errors beyond the former rate, batch by batch.
double excess(const Record& record, std::size_t change) {
  const double before = 1 - accuracy(record, change - 10 * kBatch, change);
  double sum = 0;
  for (std::size_t from = change; from + kBatch <= change + kAfter; from += kBatch) {
    sum += std::max(0.0, 1 - accuracy(record, from, from + kBatch) - before) * kBatch;
  }
  return sum;
}

/// Who lives where, and what happens.
struct Scene {
  View before, after;
  std::vector<double> mix_before, mix_after;
  bool returns = false;      // before, elsewhere, before
  View elsewhere;
  bool known = true;         // half of the others live in `after`
  std::size_t liars = 0;
  bool staggered = false;
};

std::vector<std::int32_t> moved_on(std::size_t classes, std::size_t from, std::size_t count) {
  std::vector<std::int32_t> labels(classes);
  for (std::size_t c = 0; c < classes; ++c) labels[c] = static_cast<std::int32_t>(c);
  for (std::size_t i = 0; i < count; ++i) labels[from + i] = static_cast<std::int32_t>(from + (i + 1) % count);
  return labels;
}

Scene scene(Drift drift, std::size_t classes, std::uint64_t seed) {
  Scene out;
  const std::vector<double> all(classes, 1.0);
  out.mix_before = out.mix_after = all;
  const std::size_t pick = seed % (classes - 2);
  const auto halves = [&](double rare) {
    for (std::size_t c = 0; c < classes; ++c) {
      (c < classes / 2 ? out.mix_after : out.mix_before)[c] = rare;
    }
  };
  switch (drift) {
    case Drift::introduction:
      out.mix_before[pick] = 0;
      break;
    case Drift::introductions:
      for (std::size_t i = 0; i < 3; ++i) out.mix_before[pick + i] = 0;
      break;
    case Drift::fluctuation:
      halves(0.03);
      break;
    case Drift::mix:
      halves(0.4);
      break;
    case Drift::turned:
      out.after.turned = 1;
      break;
    case Drift::staggered:
      out.after.turned = 1;
      out.staggered = true;
      out.known = false;
      break;
    case Drift::swapped:
      out.after.labels = moved_on(classes, pick, 2);
      break;
    case Drift::relabelled:
      out.after.labels = moved_on(classes, 0, classes);
      break;
    case Drift::recurring:
      out.returns = true;
      out.elsewhere.turned = 1;
      out.known = false;
      break;
    case Drift::recurring_labels:
      out.returns = true;
      out.elsewhere.labels = moved_on(classes, 0, classes);
      out.known = false;
      break;
    case Drift::strange:
      out.after.turned = 1;
      out.known = false;
      break;
    case Drift::misled:
      out.after.turned = 1;
      out.known = false;
      out.liars = 3;
      break;
    case Drift::poisoned:
      out.after.turned = 1;
      out.liars = 3;
      break;
  }
  return out;
}

/// One that says it knows `after` very well and has learned it under other labels.
std::unique_ptr<Liar> liar(sim::Simulation& sim, const DataSet& data, const Scene& scene, std::uint64_t seed) {
  RealStream said(data, seed), had(data, seed + 1);
  const std::vector<double> all(data.classes(), 1.0);
  said.set(scene.after, all);
  View wrong = scene.after;
  wrong.labels = moved_on(data.classes(), 0, data.classes());
  had.set(wrong, all);
  return std::make_unique<Liar>(sim, data.task(), had.trained(kBefore), said.experience(kBefore, 0.97));
}

void take_reports(const Site& site, std::size_t change, Outcome& out) {
  const auto& record = site.record();
  const auto& twin = site.twin_record();
  for (const auto& report : const_cast<Site&>(site).node().drifts()) {
    if (report.detected_at < change) continue;
    if (out.detected < 0) {
      out.detected = static_cast<double>(report.detected_at - change);
      out.reason = report.reason;
    }
    if (!report.accepted) continue;
    ++out.merges;
    out.rolled_back += report.rolled_back;
    if (out.merged_at < 0 && !report.rolled_back) out.merged_at = static_cast<double>(report.merged_at - change);
    const std::size_t from = report.merged_at, to = from + kHeldFor;
    if (report.rolled_back || to > record.size()) continue;
    ++out.held;
    out.negative += accuracy(record, from, to) < accuracy(twin, from, to);
  }
}

}  // namespace

std::span<const Drift> drifts() { return kDrifts; }

std::string_view name(Drift drift) {
  constexpr std::array<std::string_view, kDrifts.size()> kNames = {
      "introduction", "introductions", "fluctuation",      "mix",       "turned",  "swapped", "relabelled",
      "recurring",    "recurring_labels", "staggered", "strange", "misled",  "poisoned"};
  return kNames[static_cast<std::size_t>(drift)];
}

Outcome run(const DataSet& data, const Run& run) {
  const auto scene = testing::scene(run.drift, data.classes(), run.seed);
  const std::vector<double> all(data.classes(), 1.0);
  sim::Simulation sim(run.seed);
  std::vector<std::unique_ptr<RealStream>> streams;
  std::vector<std::unique_ptr<Site>> sites;
  const std::size_t places = kPlaces;
  for (std::size_t i = 0; i < places; ++i) {
    streams.push_back(std::make_unique<RealStream>(data, run.seed * 1000 + i));
    auto* stream = streams.back().get();
    sites.push_back(std::make_unique<Site>(sim, data.task(), [stream] { return stream->next(); }, run.options,
                                           sim::HostOptions{}, i == 0));
    if (i == 0) {
      stream->set(scene.before, scene.mix_before);
    } else if (scene.staggered && i <= 3) {
      stream->set(scene.before, all);
      if (i < 3) sites[i]->at_sample(400 * i, [stream, &scene, &all] { stream->set(scene.after, all); });
    } else if (i % 2 == 1 && scene.known) {
      stream->set(scene.after, all);
    } else {
      View other;
      other.turned = static_cast<std::uint32_t>(2 + i / 2 % 2);
      stream->set(other, all);
    }
  }
  std::vector<std::unique_ptr<Liar>> liars;
  for (std::size_t i = 0; i < scene.liars; ++i) liars.push_back(liar(sim, data, scene, run.seed * 1000 + 500 + 2 * i));

  auto& site = *sites.front();
  auto& stream = *streams.front();
  const std::size_t change = scene.returns ? kBefore + kElsewhere : kBefore;
  if (scene.returns) site.at_sample(kBefore, [&] { stream.set(scene.elsewhere, all); });
  Outcome out;
  std::map<std::string, std::uint64_t> links;
  const auto table = [&site] {
    const auto stats = site.host().dht().stats();
    return stats.sent_bytes + stats.received_bytes;
  };
  std::uint64_t directory = 0, pulled = 0;
  site.at_sample(change, [&] {
    stream.set(scene.after, scene.mix_after);
    links = site.node().traffic().bytes;
    directory = table();
    pulled = site.node().status().bytes_pulled;
  });
  const std::vector<std::string> seeds = {site.host().seed()};
  for (auto& each : sites) each->start(each == sites.front() ? std::vector<std::string>{} : seeds, run.interval);
  for (auto& each : liars) each->start(seeds);
  sim.run_until([&] { return site.samples() >= change + kAfter; }, std::chrono::hours(24));

  const auto& record = site.record();
  const auto& twin = site.twin_record();
  out.node = static_cast<double>(samples_to_recover(record, change));
  out.twin = static_cast<double>(samples_to_recover(twin, change));
  out.node_censored = out.node >= static_cast<double>(kAfter);
  out.twin_censored = out.twin >= static_cast<double>(kAfter);
  out.node_excess = excess(record, change);
  out.twin_excess = excess(twin, change);
  out.before = accuracy(record, change - 10 * kBatch, change);
  out.final_gain = accuracy(record, change + kAfter / 2, change + kAfter) -
                   accuracy(twin, change + kAfter / 2, change + kAfter);
  out.whole_gain = accuracy(record, change, change + kAfter) - accuracy(twin, change, change + kAfter);
  take_reports(site, change, out);
  for (const auto& [kind, bytes] : site.node().traffic().bytes) out.bytes[kind] = bytes - links[kind];
  out.bytes["directory"] = table() - directory;
  out.pulled = site.node().status().bytes_pulled - pulled;
  RealStream sample(data, 1);
  out.model_bytes = sample.trained(200)->partition({}, run.options.part_precision).bytes();
  return out;
}

}  // namespace p2p::testing

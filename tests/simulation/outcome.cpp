#include "tests/simulation/outcome.hpp"

#include <algorithm>

#include <fmt/core.h>

namespace p2p::testing {
namespace {

using Kind = node::Event::Kind;

constexpr std::size_t kBatch = 20, kHorizon = 50, kReference = 200, kJudged = 200, kBeforeMerge = 50, kLast = 300, kSettling = 300;
constexpr std::size_t kOfClass = 10;
constexpr double kDelta = 0.05, kClassDelta = 0.1;

std::size_t errors(const Record& record, std::size_t from, std::size_t to) {
  return static_cast<std::size_t>(std::count(record.begin() + static_cast<std::ptrdiff_t>(from),
                                             record.begin() + static_cast<std::ptrdiff_t>(to), false));
}

/// PAPERS.md M3 in samples, against an accuracy of `reference` before the change; what is left of the record if never.
std::size_t recovery(const Record& record, std::size_t change, double reference) {
  constexpr std::size_t kSmooth = 3, kStay = 3;
  for (std::size_t k = 0; change + (k + kSmooth + kStay - 1) * kBatch <= record.size(); ++k) {
    bool stays = true;
    for (std::size_t j = 0; j < kStay && stays; ++j) {
      const std::size_t from = change + (k + j) * kBatch;
      stays = accuracy(record, from, from + kSmooth * kBatch) >= reference - kDelta;
    }
    if (stays) return k * kBatch;
  }
  return record.size() - change;
}

/// PAPERS.md M4: the sum over batches of what the error is above its mean of before, in errors.
double excess(const Record& record, std::size_t change, double reference, bool net = false) {
  const double before = 1 - reference;
  double sum = 0;
  for (std::size_t b = 0; b < kHorizon && change + (b + 1) * kBatch <= record.size(); ++b) {
    const double error = 1 - accuracy(record, change + b * kBatch, change + (b + 1) * kBatch);
    sum += static_cast<double>(kBatch) * (net ? error - before : std::max(0.0, error - before));
  }
  return sum;
}

std::map<std::string, std::uint64_t> traffic(Edge& edge) {
  auto bytes = edge.node().traffic().bytes;
  bytes["lookup"] = edge.chooser().datagram_bytes();
  return bytes;
}

struct Overlay {
  sim::Simulation sim;
  std::vector<std::unique_ptr<Edge>> edges;
  std::vector<std::unique_ptr<Impostor>> impostors;
  explicit Overlay(std::uint64_t seed) : sim(seed) {}
};

/// What is said of the classes concerned, for one of the two.
struct ClassRecord {
  std::vector<std::size_t> at;  // since the change
  Record right;
  ClassRecord(const Record& record, const std::vector<std::int32_t>& labels, const std::vector<std::int32_t>& concerned,
              std::size_t change, std::size_t end) {
    for (std::size_t i = change; i < end; ++i) {
      if (std::find(concerned.begin(), concerned.end(), labels[i]) == concerned.end()) continue;
      at.push_back(i - change);
      right.push_back(record[i]);
    }
  }
  double final_recall(std::size_t stretch) const {
    const auto first = std::lower_bound(at.begin(), at.end(), stretch - std::min(stretch, kLast)) - at.begin();
    return accuracy(right, static_cast<std::size_t>(first), right.size());
  }
  double reaches(double recall, std::size_t stretch) const {
    for (std::size_t i = kOfClass; i <= right.size(); ++i) {
      if (accuracy(right, i - kOfClass, i) >= recall) return static_cast<double>(at[i - 1] + 1);
    }
    return static_cast<double>(stretch);
  }
  double errors_within(std::size_t samples) const {
    const auto last = std::lower_bound(at.begin(), at.end(), samples) - at.begin();
    return static_cast<double>(errors(right, 0, static_cast<std::size_t>(last)));
  }
};

void of_classes(Outcome& out, const Edge& edge, const std::vector<std::int32_t>& concerned, std::size_t end) {
  const ClassRecord node(edge.record(), edge.labels(), concerned, out.change, end);
  const ClassRecord twin(edge.twin_record(), edge.labels(), concerned, out.change, end);
  const std::size_t stretch = end - out.change;
  const double goal = std::max(node.final_recall(stretch), twin.final_recall(stretch)) - kClassDelta;
  out.node_class = node.reaches(goal, stretch);
  out.twin_class = twin.reaches(goal, stretch);
  out.node_class_errors = node.errors_within(kHorizon * kBatch);
  out.twin_class_errors = twin.errors_within(kHorizon * kBatch);
}

void tell(Outcome& out, Edge& edge, std::size_t change, std::size_t end) {
  for (const auto& mark : edge.marks()) {
    if (mark.at < change || mark.at >= end || mark.kind == Kind::published) continue;
    const auto since = static_cast<double>(mark.at - change);
    const auto first = [since](double& when) {
      if (when < 0) when = since;
    };
    if (mark.kind == Kind::drift_detected) first(out.alarm);
    if (mark.kind == Kind::lookup_done) first(out.found);
    if (mark.kind == Kind::part_pulled) first(out.parts);
    if (mark.kind == Kind::rolled_back) ++out.rolled_back;
    if (mark.kind == Kind::merged) {
      ++out.merges;
      const auto& reports = edge.node().drifts();
      const auto report = std::find_if(reports.begin(), reports.end(),
                                       [&](const auto& each) { return each.id == mark.drift; });
      const bool back = report != reports.end() && report->rolled_back;
      if (report != reports.end() && report->own_concept != 0) ++out.own;
      if (!back) first(out.merged);
      if (!back && mark.at + kJudged <= end) {
        ++out.in_force;
        const auto node = errors(edge.record(), mark.at, mark.at + kJudged);
        const auto twin = errors(edge.twin_record(), mark.at, mark.at + kJudged);
        const auto from = std::max(change, mark.at - std::min(mark.at, kBeforeMerge));
        const auto before = errors(edge.record(), from, mark.at);
        out.worse += node * (mark.at - from) > before * kJudged;
        out.negative += node > twin;
        out.clearly_negative += node > twin + kJudged / 100;
      }
    }
    out.story += fmt::format("    +{:<4} {:<15} {}\n", mark.at - change, node::name(mark.kind), mark.text);
  }
}

}  // namespace

std::vector<Outcome> measure(const RealData& data, const metadata::Task& task, const Setting& setting,
                                std::uint64_t seed) {
  const auto planned = plan(setting.drift, data, seed, setting.lengths);
  P2P_ASSERT(planned.has_value());
  Overlay overlay(seed);
  for (std::size_t i = 0; i < planned->places.size(); ++i) {
    Life life = planned->places[i];
    if (i > 0) {
      for (auto& stage : life) stage.from += stage.from == 0 ? 0 : setting.lead;
    }
    overlay.edges.push_back(std::make_unique<Edge>(
        overlay.sim, task, data, seed, setting.node,
        Edge::Options{.life = std::move(life),
                      .labels = i == 0 ? planned->labels : LabelDelay{},
                      .measured = i == 0,
                      .choice = i == 0 ? setting.choice : Choice::by_node}));
  }
  for (const auto& lie : planned->liars) {
    overlay.impostors.push_back(std::make_unique<Impostor>(overlay.sim, task, data, seed, lie));
  }
  auto& measured = *overlay.edges.front();
  std::vector<std::map<std::string, std::uint64_t>> before(planned->measured.size());
  std::vector<std::size_t> ends;
  for (std::size_t k = 0; k < planned->measured.size(); ++k) {
    measured.at_sample(planned->measured[k], [&, k] { before[k] = traffic(measured); });
    // To the next change of this place, whether that is measured or not.
    std::size_t end = planned->samples;
    for (const auto& stage : planned->places.front()) {
      if (stage.from > planned->measured[k]) end = std::min(end, stage.from);
    }
    ends.push_back(end);
  }
  std::vector<std::map<std::string, std::uint64_t>> after(ends.size());
  for (std::size_t k = 0; k < ends.size(); ++k) {
    if (ends[k] < planned->samples) measured.at_sample(ends[k], [&, k] { after[k] = traffic(measured); });
  }
  const std::vector<std::string> seeds = {overlay.edges[1]->host().seed()};
  for (std::size_t i = 1; i < overlay.edges.size(); ++i) {
    overlay.edges[i]->start(i == 1 ? std::vector<std::string>{} : seeds, setting.interval);
  }
  for (auto& impostor : overlay.impostors) impostor->start(seeds);
  overlay.sim.run_for(setting.interval * static_cast<int>(setting.lead));
  measured.start(seeds, setting.interval);
  overlay.sim.run_until([&] { return measured.samples() >= planned->samples; }, std::chrono::hours(48));

  std::vector<Outcome> out;
  for (std::size_t k = 0; k < ends.size(); ++k) {
    Outcome each;
    each.seed = seed;
    each.change = planned->measured[k];
    const auto cut = [&](const Record& record) {
      return Record(record.begin(), record.begin() + static_cast<std::ptrdiff_t>(ends[k]));
    };
    const Record node = cut(measured.record()), twin = cut(measured.twin_record());
    const auto never = ends[k] - each.change;
    // One goal for both, where they differ before the change: what the better of the two had. Else whoever had learned
    // the concept before badly would be done at once with the next one.
    const double reference = std::max(accuracy(node, each.change - kReference, each.change),
                                      accuracy(twin, each.change - kReference, each.change));
    each.node = static_cast<double>(recovery(node, each.change, reference));
    each.twin = static_cast<double>(recovery(twin, each.change, reference));
    each.node_censored = static_cast<std::size_t>(each.node) == never;
    each.twin_censored = static_cast<std::size_t>(each.twin) == never;
    each.node_excess = excess(node, each.change, reference);
    each.twin_excess = excess(twin, each.change, reference);
    each.node_net = excess(node, each.change, reference, true);
    each.twin_net = excess(twin, each.change, reference, true);
    each.final_gap = accuracy(node, ends[k] - kLast, ends[k]) - accuracy(twin, ends[k] - kLast, ends[k]);
    if (!planned->concerned.empty()) of_classes(each, measured, planned->concerned, ends[k]);
    tell(each, measured, each.change, ends[k]);
    each.bytes = after[k].empty() ? traffic(measured) : after[k];
    for (auto& [kind, bytes] : each.bytes) bytes -= before[k].contains(kind) ? before[k][kind] : 0;
    each.model_bytes = measured.node().status().model_bytes;
    each.raw_bytes = static_cast<std::uint64_t>(each.merged >= 0 ? each.merged : each.twin) * data.raw_bytes;
    std::size_t alarms = 0;
    for (const auto& mark : measured.marks()) {
      alarms += mark.kind == Kind::drift_detected && mark.at >= kSettling && mark.at < setting.lengths.before;
    }
    each.stable_alarms = 1000.0 * static_cast<double>(alarms) / static_cast<double>(setting.lengths.before - kSettling);
    out.push_back(std::move(each));
  }
  return out;
}

}  // namespace p2p::testing

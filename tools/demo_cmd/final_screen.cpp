#include "tools/demo_cmd/final_screen.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace p2p::tools {
namespace {

std::string ms(const std::optional<double>& value) {
  return value ? fmt::format("{:.0f} ms", *value) : "-";
}

std::string percent(const std::optional<double>& value) {
  return value ? fmt::format("{:.1f}", 100 * *value) : "-";
}

std::string stages_text(const StageTimes& stages) {
  return fmt::format("alarm to merged part, median: {} = lookup {}, ask {}, pull {}, trial {}",
                     ms(stages.detect_to_merge), ms(stages.lookup), ms(stages.ask), ms(stages.pull),
                     ms(stages.trial));
}

std::string pulled_text(const DriftResult& drift) {
  if (drift.bytes_pulled == 0) return "nothing";
  return fmt::format("{} bl, {}", drift.blocks, human_bytes(drift.bytes_pulled));
}

std::string verdict_text(const DriftResult& drift) {
  if (!drift.reached) return "not reached";
  if (!drift.detected) return "not noticed";
  if (drift.told.rolled_back) return "undone";
  if (drift.told.accepted) return "accepted";
  return drift.told.open ? "unfinished" : "rejected";
}

class Page {
 public:
  explicit Page(const Paper& paper) : paper_(paper) {}
  void line(const std::string& text = {}) {
    lines_.push_back(display_width(text) > paper_.width ? fit(text, paper_.width) : text);
  }
  void heading(const std::string& text) {
    if (!lines_.empty()) line();
    line(paper_.ink(Ink::bold, text));
  }
  void paragraph(std::string_view text, std::size_t indent = 0, Ink ink = Ink::plain) {
    for (const std::string& l : wrapped(text, paper_.width, indent)) line(paper_.ink(ink, l));
  }
  void table(const TextTable& rows) {
    for (const std::string& l : rows.lines(paper_, paper_.width)) line(l);
  }
  std::vector<std::string> take() { return std::move(lines_); }

 private:
  const Paper& paper_;
  std::vector<std::string> lines_;
};

void put_drifts(Page& page, const DemoResult& result, const Paper& paper) {
  std::uint64_t reached = 0, detected = 0, accepted = 0, false_alarms = 0, repeats = 0;
  for (const DriftResult& drift : result.drifts) {
    reached += drift.reached;
    detected += drift.detected;
    accepted += drift.told.accepted;
  }
  for (const NodeResult& node : result.nodes) {
    false_alarms += node.false_alarms;
    repeats += node.repeats;
  }
  page.heading(fmt::format(
      "Drifts: {} scripted, {} detected, {} with help accepted; {} false alarm{}, {} repeated",
      reached, detected, accepted, false_alarms, false_alarms == 1 ? "" : "s", repeats));
  TextTable table({{.title = "node"},
                   {.title = "workload", .rank = 6},
                   {.title = "at", .right = true, .rank = 5},
                   {.title = "change", .rank = 4, .elastic = true},
                   {.title = "noticed", .right = true, .rank = 8},
                   {.title = "lookup", .right = true, .rank = 7},
                   {.title = "to merge", .right = true},
                   {.title = "peer", .rank = 8},
                   {.title = "pulled", .right = true, .rank = 8},
                   {.title = "verdict"},
                   {.title = "recover", .right = true},
                   {.title = "twin", .right = true},
                   {.title = "x", .right = true}});
  for (const DriftResult& drift : result.drifts) {
    const bool help = drift.detected && drift.told.accepted;
    const std::uint64_t room = drift.scripted.until - drift.scripted.at_sample;
    std::string verdict = verdict_text(drift);
    if (verdict == "accepted") verdict = paper.ink(Ink::green, verdict);
    if (verdict == "not noticed" || verdict == "undone") verdict = paper.ink(Ink::yellow, verdict);
    std::string workload(name(drift.scripted.workload));
    std::replace(workload.begin(), workload.end(), '_', ' ');
    table.add({result.nodes[drift.scripted.node].name, workload,
               std::to_string(drift.scripted.at_sample),
               change_text(drift.scripted, result.classes),
               drift.detected ? fmt::format("+{}", drift.delay) : "-",
               drift.detected ? ms(drift.told.lookup_ms) : "-",
               help ? ms(drift.told.detect_to_merge_ms) : "-",
               drift.helper.empty() ? "-" : drift.helper, pulled_text(drift), verdict,
               recovery_text(drift.recovery.node, drift.level.has_value(), room),
               recovery_text(drift.recovery.twin, drift.level.has_value(), room),
               ratio_text(drift.ratio)});
  }
  page.table(table);
  page.paragraph(
      "noticed: samples from the change to the alarm; to merge: from alarm to part in force; "
      "pulled: blocks (bl) and "
      "content that travelled; recover: samples until the next 100 are as good as the twin gets "
      "alone in this phase "
      "less 0.03 (or as before less 0.05, if lower) and the 100 after that stay within 0.05; > not "
      "within the phase; "
      "x: twin / node.",
      0, Ink::dim);
  for (const DriftResult& drift : result.drifts) {
    if (!drift.detected || (drift.told.accepted && !drift.told.rolled_back) ||
        drift.told.reason.empty())
      continue;
    page.paragraph(fmt::format("{} @{} {}: {}", result.nodes[drift.scripted.node].name,
                               drift.scripted.at_sample, verdict_text(drift), drift.told.reason),
                   4);
  }
}

void put_workloads(Page& page, const std::vector<const Medians*>& workloads) {
  TextTable table({{.title = "workload"},
                   {.title = "drifts", .right = true, .rank = 7},
                   {.title = "detected", .right = true},
                   {.title = "accepted", .right = true},
                   {.title = "noticed after", .right = true, .rank = 6},
                   {.title = "recover: node", .right = true},
                   {.title = "twin", .right = true},
                   {.title = "median twin/node", .right = true}});
  const auto samples = [](const std::optional<Censored>& v) {
    return !v          ? std::string("-")
           : v->beyond ? std::string("never")
                       : fmt::format("{:.0f}", v->value);
  };
  for (std::size_t w = 0; w < workloads.size(); ++w) {
    const Medians& m = *workloads[w];
    std::string title(name(kWorkloads[w]));
    std::replace(title.begin(), title.end(), '_', ' ');
    table.add({title, std::to_string(m.drifts), std::to_string(m.detected),
               std::to_string(m.accepted), m.delay ? fmt::format("{:.0f}", *m.delay) : "-",
               samples(m.node), samples(m.twin), ratio_text(m.ratio)});
  }
  page.table(table);
}

void put_nodes(Page& page, const DemoResult& result, const Paper& paper) {
  page.heading("Nodes: accuracy in %, node against its isolated twin");
  TextTable table({{.title = "node"},
                   {.title = "lives through", .rank = 5, .elastic = true},
                   {.title = "samples", .right = true, .rank = 6},
                   {.title = "all", .right = true, .rank = 7},
                   {.title = "twin", .right = true, .rank = 7},
                   {.title = "2nd half", .right = true},
                   {.title = "twin", .right = true},
                   {.title = "gain", .right = true},
                   {.title = "alarms", .right = true, .rank = 4},
                   {.title = "memory", .right = true, .rank = 3},
                   {.title = "threads", .right = true, .rank = 1},
                   {.title = "cpu", .right = true, .rank = 2}});
  for (const NodeResult& node : result.nodes) {
    const std::optional<double> gain = node.gain();
    const auto cost = [&](std::string text) { return node.summed_up ? text : std::string("-"); };
    const std::string text = gain ? fmt::format("{:+.1f}", 100 * *gain) : "-";
    table.add({node.name, node.role, std::to_string(node.samples),
               fmt::format("{:.1f}", 100 * node.accuracy),
               fmt::format("{:.1f}", 100 * node.twin_accuracy), percent(node.second_half),
               percent(node.twin_second_half),
               gain && *gain < -0.01 ? paper.ink(Ink::red, text)
               : gain > 0.01         ? paper.ink(Ink::green, text)
                                     : text,
               std::to_string(node.alarms), cost(human_bytes(node.cost.rss_bytes)),
               cost(std::to_string(node.cost.threads)),
               cost(fmt::format("{:.1f} s", node.cost.cpu_s))});
  }
  page.table(table);
  page.paragraph("memory, threads and cpu are of the whole process: node, twin, overlay.", 0,
                 Ink::dim);
  for (const NodeResult& node : result.nodes) {
    if (node.death.empty()) continue;
    page.line(
        paper.ink(Ink::red, fmt::format("{} died before its time: {}", node.name, node.death)));
    for (const std::string& l : node.last_errors) page.line("    " + l);
  }
}

void put_bytes(Page& page, const DemoResult& result, const Paper& paper) {
  page.heading("Bytes on the wire, each counted once");
  std::uint64_t most = 1;
  for (const auto& [kind, bytes] : result.bytes.by_kind) most = std::max(most, bytes);
  for (const auto& [kind, bytes] : result.bytes.by_kind) {
    const double part = static_cast<double>(bytes) / static_cast<double>(most);
    page.line(fmt::format("{:<10}{:>9}  {}  {}", kind, human_bytes(bytes),
                          progress_bar(part, 16, paper.unicode), explain_kind(kind)));
  }
  page.line(fmt::format("{:<10}{:>9}", "all", human_bytes(result.bytes.total)));
  const auto share = [&](std::uint64_t raw) {
    const double times = static_cast<double>(raw) /
                         static_cast<double>(std::max<std::uint64_t>(result.bytes.total, 1));
    return times >= 0.95 ? fmt::format("{:.1f} times", times) : fmt::format("{:.2f} times", times);
  };
  page.paragraph(fmt::format(
      "Shipping every sample to one place instead: {}, {} all of the above; deflated {}, {}. No "
      "model comes back for that.",
      human_bytes(result.bytes.raw), share(result.bytes.raw),
      human_bytes(result.bytes.raw_deflated), share(result.bytes.raw_deflated)));
}

}  // namespace

std::string change_text(const Scripted& scripted, const std::vector<std::string>& classes) {
  if (scripted.workload == Workload::real_concept)
    return fmt::format("images {}", name(scripted.transform));
  std::string names;
  for (const int c : scripted.classes)
    names += (names.empty() ? "" : ", ") + classes[static_cast<std::size_t>(c)];
  return fmt::format("{}{}", scripted.returning ? "back: " : "new: ", names);
}

std::string recovery_text(const std::optional<std::uint64_t>& samples, bool measured,
                          std::uint64_t room) {
  if (!measured) return "-";
  return samples ? std::to_string(*samples)
                 : fmt::format(">{}", room > 2 * kRecoveryWindow ? room - 2 * kRecoveryWindow : 0);
}

std::string ratio_text(const std::optional<Censored>& ratio) {
  if (!ratio) return "-";
  return ratio->beyond ? "never" : fmt::format("{:.1f}", ratio->value);
}

std::vector<std::string> final_screen(const DemoResult& result, const Paper& paper) {
  Page page(paper);
  if (result.interrupted)
    page.line(paper.ink(Ink::yellow, "Interrupted: this is what happened until then."));
  put_drifts(page, result, paper);
  page.heading("By workload");
  put_workloads(page, {&result.workloads[0], &result.workloads[1], &result.workloads[2]});
  page.line(stages_text(result.stages));
  put_nodes(page, result, paper);
  put_bytes(page, result, paper);
  page.line();
  page.line(fmt::format("{} nodes, {} samples each at {:.0f}/s, seed {}; {:.0f} s in all",
                        result.nodes.size(), result.options.samples, result.rate,
                        result.options.seed, result.elapsed_s));
  return page.take();
}

std::vector<std::string> medians_screen(const std::vector<DemoResult>& results,
                                        const Paper& paper) {
  std::vector<DriftResult> all;
  std::optional<double> worst;
  std::string where;
  for (const DemoResult& result : results) {
    all.insert(all.end(), result.drifts.begin(), result.drifts.end());
    for (const NodeResult& node : result.nodes) {
      const std::optional<double> gain = node.gain();
      if (!gain || (worst && *gain >= *worst)) continue;
      worst = gain;
      where = fmt::format("{} of seed {}", node.name, result.options.seed);
    }
  }
  std::array<Medians, 3> medians;
  for (std::size_t w = 0; w < medians.size(); ++w) medians[w] = medians_of(all, kWorkloads[w]);
  Page page(paper);
  page.heading(fmt::format("Over {} demonstrations", results.size()));
  put_workloads(page, {&medians[0], &medians[1], &medians[2]});
  page.line(stages_text(stages_of(all)));
  if (worst) {
    page.line(fmt::format("worst node against its twin over the second half: {:+.3f} ({})", *worst,
                          where));
  }
  return page.take();
}

}  // namespace p2p::tools

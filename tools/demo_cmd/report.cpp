#include "tools/demo_cmd/report.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "tools/cli/plot_text.hpp"
#include "tools/demo_cmd/final_screen.hpp"
#include "tools/demo_cmd/svg.hpp"

namespace p2p::tools {
namespace {

// Colours: two hues that differ in lightness too (node, twin); one style for light, one for dark.
constexpr const char* kStyle = R"(
:root { color-scheme: light dark; --page: #ffffff; --ink: #1c2430; --soft: #5c6775; --line: #dde2e8; --card: #f6f8fa;
  --node: #0b66c2; --twin: #c8741a; --change: #8a4fbf; --good: #18803c; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --page: #12161c; --ink: #e4e8ee; --soft: #9aa5b3; --line: #2d3540;
  --card: #1a2028; --node: #62aeff; --twin: #f0a95c; --change: #c597f2; --good: #5fd38a; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 24px; max-width: 1240px; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 32px 0 8px; }
p { max-width: 80ch; margin: 6px 0; } .soft { color: var(--soft); }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 14px; }
.plots svg { background: var(--card); border-radius: 6px; }
svg { width: 100%; height: auto; display: block; } svg.bars { max-width: 900px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13.5px; } th, td { padding: 3px 7px; border-bottom: 1px solid var(--line);
  text-align: left; white-space: nowrap; } th { color: var(--soft); font-weight: 600; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; } td.wrap { white-space: normal; min-width: 24ch; }
tr.note td { color: var(--soft); white-space: normal; padding-top: 0; } tr:has(+ tr.note) td { border-bottom: 0; }
.good { color: var(--good); } .bad { color: var(--bad); }
text { font: 12px system-ui, "DejaVu Sans", sans-serif; fill: var(--ink); } text.tick { fill: var(--soft); font-size: 11px; }
text.title { font-weight: 600; font-size: 13px; } .grid { stroke: var(--line); stroke-width: 1; }
path.node { fill: none; stroke: var(--node); stroke-width: 2; }
path.twin { fill: none; stroke: var(--twin); stroke-width: 1.6; stroke-dasharray: 5 3; }
.change line { stroke: var(--change); stroke-width: 1.4; stroke-dasharray: 2 3; } .change rect { fill: var(--change); opacity: 0.09; } .alarm { fill: var(--change); }
.merge { fill: var(--good); } .rejected { stroke: var(--bad); stroke-width: 2.4; fill: none; }
.bar { fill: var(--node); } .bar.strong { fill: var(--twin); }
.key span { display: inline-flex; align-items: center; gap: 6px; margin-right: 18px; } .key svg { width: 26px; height: 14px; }
)";

constexpr const char* kKey = R"(<p class="key">
<span><svg viewBox="0 0 26 14"><path class="node" d="M1 7H25"/></svg>node</span>
<span><svg viewBox="0 0 26 14"><path class="twin" d="M1 7H25"/></svg>its twin: same learner, same samples, no peers</span>
<span><svg viewBox="0 0 26 14"><g class="change"><rect x="6" y="0" width="20" height="14"/><line x1="6" x2="6" y1="0" y2="14"/></g></svg>scripted change and what lasts of it</span>
<span><svg viewBox="0 0 26 14"><path class="alarm" d="M13 2 l5 9 h-10 z"/></svg>drift noticed</span>
<span><svg viewBox="0 0 26 14"><circle class="merge" cx="13" cy="7" r="5"/></svg>part merged</span>
<span><svg viewBox="0 0 26 14"><path class="rejected" d="M9 3 l8 8 m0 -8 l-8 8"/></svg>no help accepted</span></p>
)";

/// A table row by row; every cell is escaped here and nowhere else.
class HtmlTable {
 public:
  struct Column {
    const char* title;
    bool number = false;
  };
  explicit HtmlTable(std::vector<Column> columns) : columns_(std::move(columns)) {
    out_ = "<div class=\"scroll\"><table><thead><tr>";
    for (const Column& c : columns_) {
      out_ += fmt::format("<th{}>{}</th>", c.number ? " class=\"n\"" : "", markup_escaped(c.title));
    }
    out_ += "</tr></thead><tbody>\n";
  }
  struct Cell {
    Cell(std::string cell_text, const char* cell_css = "")
        : text(std::move(cell_text)), css(cell_css) {}
    std::string text;
    const char* css;
  };
  void row(const std::vector<Cell>& cells) {
    out_ += "<tr>";
    for (std::size_t i = 0; i < cells.size(); ++i) {
      out_ += fmt::format("<td class=\"{}{}{}\">{}</td>", columns_[i].number ? "n" : "",
                          *cells[i].css ? " " : "", cells[i].css, markup_escaped(cells[i].text));
    }
    out_ += "</tr>\n";
  }
  /// A line over all columns that belongs to the row above.
  void note(const std::string& text) {
    out_ += fmt::format("<tr class=\"note\"><td></td><td colspan=\"{}\">{}</td></tr>\n",
                        columns_.size() - 1, markup_escaped(text));
  }
  std::string take() { return out_ + "</tbody></table></div>\n"; }

 private:
  std::vector<Column> columns_;
  std::string out_;
};

std::string spaced(std::string_view word) {
  std::string out(word);
  std::replace(out.begin(), out.end(), '_', ' ');
  return out;
}

std::string plots(const DemoResult& result) {
  std::string out = "<div class=\"plots\">\n";
  for (std::size_t i = 0; i < result.nodes.size(); ++i) {
    const NodeResult& node = result.nodes[i];
    AccuracyPlot plot{fmt::format("{}: {}", node.name, node.role),
                      &node.hits,
                      &node.twin_hits,
                      result.options.samples,
                      {}};
    for (const DriftResult& drift : result.drifts) {
      if (drift.scripted.node != i) continue;
      plot.marks.push_back({.kind = PlotMark::Kind::change,
                            .x = static_cast<double>(drift.scripted.at_sample),
                            .until = static_cast<double>(drift.scripted.until),
                            .text = fmt::format("sample {}: {}", drift.scripted.at_sample,
                                                change_text(drift.scripted, result.classes))});
      const auto put = [&](PlotMark::Kind kind, std::uint64_t at, std::string text) {
        plot.marks.push_back({.kind = kind, .x = static_cast<double>(at), .text = std::move(text)});
      };
      for (const Story& story : drift.stories) {
        put(PlotMark::Kind::alarm, story.detected_at,
            fmt::format("noticed at {}: {}", story.detected_at, story.cause));
        if (story.accepted && !story.rolled_back) {
          put(PlotMark::Kind::merge, story.merged_at, story.reason);
        }
      }
      if (drift.detected && (!drift.told.accepted || drift.told.rolled_back)) {
        put(PlotMark::Kind::rejected, drift.told.detected_at, drift.told.reason);
      }
    }
    out += svg(plot);
  }
  return out + "</div>\n";
}

std::string workload_table(const DemoResult& result) {
  HtmlTable table({{"workload"},
                   {"drifts", true},
                   {"detected", true},
                   {"accepted", true},
                   {"noticed after", true},
                   {"recover: node", true},
                   {"twin", true},
                   {"median twin / node", true}});
  const auto samples = [](const std::optional<Censored>& v) {
    return !v          ? std::string("-")
           : v->beyond ? std::string("not within the phase")
                       : fmt::format("{:.0f}", v->value);
  };
  for (std::size_t w = 0; w < result.workloads.size(); ++w) {
    const Medians& m = result.workloads[w];
    table.row({spaced(name(kWorkloads[w])), std::to_string(m.drifts), std::to_string(m.detected),
               std::to_string(m.accepted), m.delay ? fmt::format("{:.0f}", *m.delay) : "-",
               samples(m.node), samples(m.twin), ratio_text(m.ratio)});
  }
  return table.take();
}

std::string drift_table(const DemoResult& result) {
  HtmlTable table({{"node"},
                   {"workload"},
                   {"at", true},
                   {"change"},
                   {"noticed", true},
                   {"lookup ms", true},
                   {"to merge ms", true},
                   {"peer"},
                   {"parts", true},
                   {"blocks", true},
                   {"pulled", true},
                   {"verdict"},
                   {"recover", true},
                   {"twin", true},
                   {"twin / node", true}});
  for (const DriftResult& drift : result.drifts) {
    const bool help = drift.detected && drift.told.accepted;
    const std::uint64_t room = drift.scripted.until - drift.scripted.at_sample;
    const bool measured = drift.level.has_value();
    table.row({result.nodes[drift.scripted.node].name,
               spaced(name(drift.scripted.workload)),
               std::to_string(drift.scripted.at_sample),
               {change_text(drift.scripted, result.classes), "wrap"},
               drift.detected ? fmt::format("+{}", drift.delay) : "-",
               drift.detected ? fmt::format("{:.0f}", drift.told.lookup_ms) : "-",
               help ? fmt::format("{:.0f}", drift.told.detect_to_merge_ms) : "-",
               drift.helper.empty() ? "-" : drift.helper,
               std::to_string(drift.parts),
               std::to_string(drift.blocks),
               human_bytes(drift.bytes_pulled),
               {help             ? (drift.told.rolled_back ? "undone" : "accepted")
                : drift.detected ? "rejected"
                                 : "not noticed",
                help && !drift.told.rolled_back ? "good" : "bad"},
               recovery_text(drift.recovery.node, measured, room),
               recovery_text(drift.recovery.twin, measured, room),
               ratio_text(drift.ratio)});
    if (drift.detected) table.note(drift.told.reason);
  }
  return table.take();
}

std::string node_table(const DemoResult& result) {
  HtmlTable table({{"node"},
                   {"lives through"},
                   {"id"},
                   {"samples", true},
                   {"accuracy %", true},
                   {"twin", true},
                   {"second half %", true},
                   {"twin", true},
                   {"gain", true},
                   {"alarms", true},
                   {"false", true},
                   {"memory", true},
                   {"threads", true},
                   {"cpu s", true}});
  for (const NodeResult& node : result.nodes) {
    const std::optional<double> gain = node.gain();
    const auto percent = [](const std::optional<double>& v, const char* format) {
      return v ? fmt::format(fmt::runtime(format), 100 * *v) : std::string("-");
    };
    const auto cost = [&](std::string text) { return node.summed_up ? text : std::string("-"); };
    table.row({node.name,
               node.death.empty() ? node.role : node.role + "; died: " + node.death,
               node.id.substr(0, 16),
               std::to_string(node.samples),
               fmt::format("{:.1f}", 100 * node.accuracy),
               fmt::format("{:.1f}", 100 * node.twin_accuracy),
               percent(node.second_half, "{:.1f}"),
               percent(node.twin_second_half, "{:.1f}"),
               {percent(gain, "{:+.1f}"), gain > 0.01             ? "good"
                                          : gain && *gain < -0.01 ? "bad"
                                                                  : ""},
               std::to_string(node.alarms),
               std::to_string(node.false_alarms),
               cost(human_bytes(node.cost.rss_bytes)),
               cost(std::to_string(node.cost.threads)),
               cost(fmt::format("{:.1f}", node.cost.cpu_s))});
  }
  return table.take();
}

std::string byte_plots(const DemoResult& result) {
  std::vector<Bar> kinds;
  for (const auto& [kind, bytes] : result.bytes.by_kind) {
    kinds.push_back({fmt::format("{}: {}", kind, explain_kind(kind)), human_bytes(bytes),
                     static_cast<double>(bytes), false});
  }
  std::sort(kinds.begin(), kinds.end(),
            [](const Bar& a, const Bar& b) { return a.value > b.value; });
  const auto bar = [](const char* label, std::uint64_t bytes, bool strong) {
    return Bar{label, human_bytes(bytes), static_cast<double>(bytes), strong};
  };
  return "<h3>By kind</h3>\n" + svg_bars(kinds) + "<h3>Against shipping the data</h3>\n" +
         svg_bars({bar("all of the above", result.bytes.total, false),
                   bar("every sample, sent once, deflated", result.bytes.raw_deflated, true),
                   bar("every sample, sent once", result.bytes.raw, true)});
}

}  // namespace

std::string report_html(const DemoResult& result) {
  const auto ms = [](const std::optional<double>& v) {
    return v ? fmt::format("{:.0f} ms", *v) : std::string("-");
  };
  std::string out = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>p2p-learner demo: {}, seed {}</title>\n<style>{}</style></head><body>\n",
      markup_escaped(result.data), result.options.seed, kStyle);
  out += fmt::format(
      "<h1>p2p-learner demo</h1>\n<p class=\"soft\">{}, {} nodes, {} samples each at {:.0f} a "
      "second, seed {}; {:.0f} s{}.</p>\n"
      "<p>Each node is a process of its own: its key, its place in the directory, its TLS "
      "listener. A twin beside it sees the "
      "same samples and shares nothing. When a node notices a drift it asks the others for those "
      "parts of their models that it "
      "needs, tries them on samples that they have not seen, and keeps what helps.</p>\n",
      markup_escaped(result.data), result.nodes.size(), result.options.samples, result.rate,
      result.options.seed, result.elapsed_s, result.interrupted ? "; interrupted" : "");
  out += "<h2>Accuracy over the latest 100 samples</h2>\n" + std::string(kKey) + plots(result);
  out += "<h2>By workload</h2>\n" + workload_table(result);
  out += fmt::format(
      "<p>Alarm to merged part, median: {} (lookup {}, ask {}, pull {}, trial {}).</p>\n",
      ms(result.stages.detect_to_merge), ms(result.stages.lookup), ms(result.stages.ask),
      ms(result.stages.pull), ms(result.stages.trial));
  out += "<h2>Drifts</h2>\n" + drift_table(result);
  out +=
      "<p class=\"soft\">noticed: samples from the change to the alarm. recover: the smallest "
      "number of samples after the change "
      "from which the next 100 are right at least as often as the twin, alone, over the last 300 "
      "of this phase less 0.03 (or as "
      "before the change less 0.05, if that is lower), and the 100 after these stay within 0.05 of "
      "that. &gt;: not within the "
      "phase; medians count it as larger than all.</p>\n";
  out += "<h2>Nodes</h2>\n" + node_table(result);
  out += "<h2>Bytes on the wire, each counted once</h2>\n" + byte_plots(result);
  return out + "</body></html>\n";
}

Result<void> check_folder(const std::string& folder) {
  if (folder.empty()) return {};
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  if (!failed && ::access(folder.c_str(), W_OK) == 0) return {};
  return fail(
      ErrorCode::io,
      fmt::format("no report can be written to {}: name another folder with --report", folder),
      failed ? failed.message() : std::strerror(errno));
}

Result<std::string> write_report(const DemoResult& result, const std::string& folder) {
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  const std::string path =
      (std::filesystem::path(folder) / fmt::format("demo-seed-{}.html", result.options.seed))
          .string();
  const std::string page = report_html(result);
  errno = 0;
  std::FILE* file = std::fopen(path.c_str(), "wb");
  bool good = file != nullptr && std::fwrite(page.data(), 1, page.size(), file) == page.size();
  const int why = errno;
  if (file != nullptr && std::fclose(file) != 0) good = false;
  if (!good) {
    return fail(
        why == ENOSPC ? ErrorCode::full : ErrorCode::io,
        fmt::format("the report {} cannot be written: name another folder with --report", path),
        std::strerror(why));
  }
  return path;
}

}  // namespace p2p::tools

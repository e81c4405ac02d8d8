#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "tools/cli/evaluate_report.hpp"
#include "tools/cli/plot_text.hpp"

namespace p2p::tools {

namespace {

constexpr double kWidth = 900, kHeight = 380, kLeft = 56, kRight = 16, kTop = 44, kBottom = 52;

struct Axes {
  double samples, lowest;  // accuracy at the bottom
  double x(double sample) const { return kLeft + (kWidth - kLeft - kRight) * sample / samples; }
  double y(double accuracy) const {
    const double part = (std::clamp(accuracy, lowest, 1.0) - lowest) / (1 - lowest);
    return kTop + (kHeight - kTop - kBottom) * (1 - part);
  }
};

constexpr const char* kStyle =
    "<style>svg{background:#fff;font:12px "
    "sans-serif}text{fill:#333}.title{font-size:15px}.grid{stroke:#ddd}"
    ".curve{fill:none;stroke:#1f5fbf;stroke-width:1.8}.flat{stroke-width:1.2;stroke-dasharray:6 4}"
    ".no-change{stroke:#b5651d}.majority{stroke:#777}.mean{stroke:#1f5fbf}.alarm{stroke:#c22;"
    "stroke-width:1;"
    "opacity:.55}@media(prefers-color-scheme:dark){svg{background:#161616}text{fill:#ccc}.grid{"
    "stroke:#333}"
    ".curve,.mean{stroke:#7ab0ff}.no-change{stroke:#e0a060}.majority{stroke:#999}.alarm{stroke:#"
    "f66}}</style>\n";

}  // namespace

std::string to_svg(const EvaluationReport& report) {
  const auto& m = report.measured;
  double lowest = std::min(
      {m.metrics.accuracy(), m.metrics.no_change_accuracy(), m.metrics.majority_accuracy()});
  for (const auto& point : m.curve) lowest = std::min(lowest, point.accuracy);
  const Axes axes{static_cast<double>(std::max<std::uint64_t>(m.metrics.samples(), 1)),
                  std::min(0.9, std::floor(lowest * 10) / 10)};
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" role=\"img\" "
      "aria-label=\"{2}\">\n{3}"
      "<text class=\"title\" x=\"{4}\" y=\"24\">{2}</text>\n",
      kWidth, kHeight,
      markup_escaped(fmt::format("{} on {}: accuracy over the latest {} samples", report.task.family,
                          report.data, report.window)),
      kStyle, kLeft);
  const int from = static_cast<int>(std::lround(axes.lowest * 10));
  for (int tenth = from; tenth <= 10; ++tenth) {
    const double y = axes.y(tenth / 10.0);
    out += fmt::format(
        "<line class=\"grid\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>"
        "<text text-anchor=\"end\" x=\"{}\" y=\"{:.1f}\">{:.1f}</text>\n",
        kLeft, kWidth - kRight, y, y, kLeft - 6, y + 4, tenth / 10.0);
  }
  const double step = round_step(axes.samples);
  for (double s = 0; s <= axes.samples; s += step) {
    out += fmt::format("<text text-anchor=\"{}\" x=\"{:.1f}\" y=\"{}\">{:.0f}</text>\n",
                       s + step > axes.samples && s > 0.9 * axes.samples ? "end" : "middle",
                       axes.x(s), kHeight - kBottom + 18, s);
  }
  for (const auto& alarm : m.alarms) {
    const double x = axes.x(static_cast<double>(alarm.sample));
    out += fmt::format(
        "<line class=\"alarm\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1}\" "
        "y2=\"{2}\"><title>{3}</title></line>\n",
        x, kTop, kHeight - kBottom,
        markup_escaped(fmt::format("sample {}: {}", alarm.sample, alarm.kind)));
  }
  double legend = kLeft;
  for (const auto& [css, text, value] :
       {std::tuple{"mean", "mean", m.metrics.accuracy()},
        std::tuple{"no-change", "no-change", m.metrics.no_change_accuracy()},
        std::tuple{"majority", "majority", m.metrics.majority_accuracy()}}) {
    const double y = axes.y(value);
    out += fmt::format(
        "<line class=\"flat {}\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>"
        "<line class=\"flat {}\" x1=\"{}\" x2=\"{}\" y1=\"{}\" y2=\"{}\"/><text x=\"{}\" "
        "y=\"{}\">{} {:.4f}</text>\n",
        css, kLeft, kWidth - kRight, y, y, css, legend, legend + 24, kHeight - 14, kHeight - 14,
        legend + 30, kHeight - 10, text, value);
    legend += 150;
  }
  if (!report.detector.empty()) {
    out += fmt::format(
        "<line class=\"alarm\" x1=\"{0}\" x2=\"{0}\" y1=\"{1}\" y2=\"{2}\"/><text x=\"{3}\" "
        "y=\"{4}\">{5}</text>\n",
        legend + 10, kHeight - 22, kHeight - 6, legend + 18, kHeight - 10,
        markup_escaped(fmt::format("{} alarms by {}", m.alarms.size() + m.more_alarms, report.detector)));
  }
  std::string path;
  for (const auto& point : m.curve) {
    fmt::format_to(std::back_inserter(path), "{}{:.1f} {:.1f}", path.empty() ? "M" : "L",
                   axes.x(static_cast<double>(point.sample)), axes.y(point.accuracy));
  }
  if (!path.empty()) out += fmt::format("<path class=\"curve\" d=\"{}\"/>\n", path);
  return out + "</svg>\n";
}

}  // namespace p2p::tools

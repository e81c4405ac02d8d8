#include "tools/demo_cmd/svg.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "tools/cli/plot_text.hpp"

namespace p2p::tools {
namespace {

// Plot coordinates in user units; the page scales them.
constexpr double kWidth = 560, kHeight = 210;
constexpr double kLeft = 38, kRight = 10, kTop = 26, kBottom = 26;

struct Axes {
  double samples;
  double x(double sample) const { return kLeft + (kWidth - kLeft - kRight) * sample / samples; }
  static double y(double accuracy) { return kTop + (kHeight - kTop - kBottom) * (1 - accuracy); }
};

std::string path(const Hits& hits, const Axes& axes, const char* css) {
  std::string d;
  for (const auto& [sample, mean] : trailing_accuracy(hits, kRecoveryWindow, 20)) {
    fmt::format_to(std::back_inserter(d), "{}{:.1f} {:.1f}", d.empty() ? "M" : "L", axes.x(sample),
                   Axes::y(mean));
  }
  return d.empty() ? d : fmt::format("<path class=\"{}\" d=\"{}\"/>\n", css, d);
}

std::string mark(const PlotMark& m, const Axes& axes) {
  const double x = axes.x(m.x);
  const std::string title = fmt::format("<title>{}</title>", markup_escaped(m.text));
  switch (m.kind) {
    case PlotMark::Kind::change:
      return fmt::format(
          "<g class=\"change\">{}<rect x=\"{:.1f}\" y=\"{}\" width=\"{:.1f}\" height=\"{}\"/>"
          "<line x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{}\" y2=\"{}\"/></g>\n",
          title, x, kTop, std::max(0.0, axes.x(m.until) - x), kHeight - kBottom - kTop, x, x, kTop,
          kHeight - kBottom);
    case PlotMark::Kind::alarm:
      return fmt::format("<path class=\"alarm\" d=\"M{:.1f} {} l5 9 h-10 z\">{}</path>\n", x,
                         kHeight - kBottom - 10, title);
    case PlotMark::Kind::merge:
      return fmt::format("<circle class=\"merge\" cx=\"{:.1f}\" cy=\"{}\" r=\"5\">{}</circle>\n", x,
                         kTop + 6, title);
    case PlotMark::Kind::rejected:
      return fmt::format("<path class=\"rejected\" d=\"M{:.1f} {} l8 8 m0 -8 l-8 8\">{}</path>\n",
                         x - 4, kTop + 2, title);
  }
  return {};
}

}  // namespace

std::vector<std::pair<double, double>> trailing_accuracy(const Hits& hits, std::size_t window,
                                                         std::size_t step) {
  std::vector<std::pair<double, double>> out;
  if (window == 0 || step == 0) return out;
  std::size_t right = 0;
  for (std::size_t i = 0; i < hits.size(); ++i) {
    right += hits[i];
    if (i >= window) right -= hits[i - window];
    const std::size_t seen = i + 1;
    if (seen % step == 0 || seen == hits.size()) {
      out.emplace_back(static_cast<double>(seen),
                       static_cast<double>(right) / static_cast<double>(std::min(seen, window)));
    }
  }
  return out;
}

std::string svg(const AccuracyPlot& plot) {
  const Axes axes{static_cast<double>(std::max<std::uint64_t>(plot.samples, 1))};
  std::string out = fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n",
                                kWidth, kHeight, markup_escaped(plot.title));
  out += fmt::format("<text class=\"title\" x=\"{}\" y=\"15\">{}</text>\n", kLeft,
                     markup_escaped(plot.title));
  for (int tenth = 0; tenth <= 10; tenth += 2) {
    const double y = Axes::y(tenth / 10.0);
    out += fmt::format(
        "<line class=\"grid\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>"
        "<text class=\"tick\" text-anchor=\"end\" x=\"{}\" y=\"{:.1f}\">{:.1f}</text>\n",
        kLeft, kWidth - kRight, y, y, kLeft - 5, y + 4, tenth / 10.0);
  }
  const double step = round_step(axes.samples);
  for (double s = 0; s <= axes.samples; s += step) {
    out +=
        fmt::format("<text class=\"tick\" text-anchor=\"{}\" x=\"{:.1f}\" y=\"{}\">{:.0f}</text>\n",
                    s + step > axes.samples ? "end" : "middle", axes.x(s), kHeight - 8, s);
  }
  for (const PlotMark& m : plot.marks) {
    if (m.kind == PlotMark::Kind::change) out += mark(m, axes);
  }
  if (plot.twin != nullptr) out += path(*plot.twin, axes, "twin");
  if (plot.node != nullptr) out += path(*plot.node, axes, "node");
  for (const PlotMark& m : plot.marks) {
    if (m.kind != PlotMark::Kind::change) out += mark(m, axes);
  }
  return out + "</svg>\n";
}

std::string svg_bars(const std::vector<Bar>& bars) {
  constexpr double kRow = 26, kLabel = 290, kValue = 90, kWhole = 800;
  double most = 0;
  for (const Bar& bar : bars) most = std::max(most, bar.value);
  std::string out = fmt::format(
      "<svg class=\"bars\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"bytes by kind\">\n",
      kWhole, kRow * static_cast<double>(bars.size()) + 4);
  double y = 2;
  for (const Bar& bar : bars) {
    const double width =
        most > 0 ? std::max(1.0, (kWhole - kLabel - kValue) * bar.value / most) : 0;
    out += fmt::format(
        "<text class=\"label\" text-anchor=\"end\" x=\"{}\" y=\"{}\">{}</text>"
        "<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{:.1f}\" height=\"{}\"/>"
        "<text class=\"label\" x=\"{:.1f}\" y=\"{}\">{}</text>\n",
        kLabel - 8, y + 17, markup_escaped(bar.label), bar.strong ? "bar strong" : "bar", kLabel,
        y + 3, width, kRow - 8, kLabel + width + 8, y + 17, markup_escaped(bar.value_text));
    y += kRow;
  }
  return out + "</svg>\n";
}

}  // namespace p2p::tools

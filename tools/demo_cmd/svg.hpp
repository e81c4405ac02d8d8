// Two kinds of plots as SVG text; colours are CSS classes, so the page decides on light and dark.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/demo_cmd/recovery.hpp"

namespace p2p::tools {

/// A mark on the time axis.
struct PlotMark {
  enum class Kind { change, alarm, merge, rejected };
  Kind kind{};
  double x = 0;
  double until = 0;  ///< of a change: where what it brought ends again
  std::string text;  ///< shown when pointed at
};

/// Accuracy over the samples of one node, and of its twin.
struct AccuracyPlot {
  std::string title;
  const Hits* node = nullptr;
  const Hits* twin = nullptr;
  std::uint64_t samples = 0;  ///< length of the x axis
  std::vector<PlotMark> marks;
};
std::string svg(const AccuracyPlot& plot);

/// Trailing means over up to `window` samples, every `step` samples: (sample, mean).
std::vector<std::pair<double, double>> trailing_accuracy(const Hits& hits, std::size_t window,
                                                         std::size_t step);

struct Bar {
  std::string label, value_text;
  double value = 0;
  bool strong = false;
};
std::string svg_bars(const std::vector<Bar>& bars);

}  // namespace p2p::tools

#include "tools/cli/evaluate_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "tools/cli/table.hpp"

namespace p2p::tools {

namespace {

double rounded(double value, double unit) { return std::round(value / unit) * unit; }

double kilo(double value) { return value / 1e3; }

std::string rate_text(double per_s) {
  return per_s >= 1e6   ? fmt::format("{:.2f} million", per_s / 1e6)
         : per_s >= 1e4 ? fmt::format("{:.0f} thousand", kilo(per_s))
                        : fmt::format("{:.0f}", per_s);
}

/// The classes that occurred.
std::vector<std::size_t> seen_classes(const EvaluationReport& report) {
  std::vector<std::size_t> out;
  for (std::size_t c = 0; c < report.task.classes.size(); ++c) {
    if (report.measured.metrics.seen(static_cast<learner::ClassIndex>(c)) > 0) out.push_back(c);
  }
  return out;
}

/// At most `most` of the curve's points, evenly spaced, the last one among them.
std::vector<CurvePoint> thinned(const std::vector<CurvePoint>& curve, std::size_t most) {
  std::vector<CurvePoint> out;
  const std::size_t n = std::min(most, curve.size());
  for (std::size_t i = 1; i <= n; ++i) out.push_back(curve[i * curve.size() / n - 1]);
  return out;
}

std::string alarm_text(const EvaluationReport& report) {
  const auto& alarms = report.measured.alarms;
  std::string out = fmt::format("{} alarm{} by {}", alarms.size() + report.measured.more_alarms,
                                alarms.size() == 1 ? "" : "s", report.detector);
  constexpr std::size_t kShown = 12;
  for (std::size_t i = 0; i < alarms.size() && i < kShown; ++i) {
    out += fmt::format("{} {}", i == 0 ? ": at" : ",", alarms[i].sample);
    if (alarms[i].kind != "drift") out += " (" + alarms[i].kind + ")";
  }
  if (alarms.size() > kShown)
    out += fmt::format(" and {} more", alarms.size() - kShown + report.measured.more_alarms);
  return out;
}

}  // namespace

std::vector<EvaluationReport::ClassBytes> class_bytes(const learner::Model& model,
                                                      const learner::Prequential& metrics) {
  constexpr std::size_t kMost = 16;
  std::vector<learner::ClassIndex> classes;
  for (learner::ClassIndex c = 0;
       c < static_cast<learner::ClassIndex>(model.spec().classes) && classes.size() < kMost; ++c) {
    if (metrics.seen(c) > 0) classes.push_back(c);
  }
  std::vector<EvaluationReport::ClassBytes> out;
  if (classes.empty()) return out;
  for (const auto precision : {learner::Precision::bits32, learner::Precision::bits16,
                               learner::Precision::bits8, learner::Precision::bits4}) {
    double total = 0;
    for (const auto c : classes)
      total += static_cast<double>(model.partition(std::span(&c, 1), precision).bytes());
    out.push_back({static_cast<int>(precision), total / static_cast<double>(classes.size())});
  }
  return out;
}

Json to_json(const EvaluationReport& report) {
  const auto& m = report.measured;
  const auto& metrics = m.metrics;
  Json recall = Json::array(), curve = Json::array(), alarms = Json::array(),
       part_bytes = Json::object();
  for (const auto c : seen_classes(report)) {
    const auto index = static_cast<learner::ClassIndex>(c);
    recall.push_back({{"class", report.task.classes[c]},
                      {"samples", metrics.seen(index)},
                      {"recall", metrics.recall(index)}});
  }
  for (const auto& point : m.curve) curve.push_back({point.sample, rounded(point.accuracy, 1e-6)});
  for (const auto& alarm : m.alarms)
    alarms.push_back({{"sample", alarm.sample}, {"kind", alarm.kind}});
  for (const auto& part : report.class_bytes)
    part_bytes[std::to_string(part.bits)] = rounded(part.bytes, 0.1);
  Json params = Json::object();
  for (const auto& [key, value] : report.task.params) params[key] = value;
  Json out{{"data", report.data},
           {"model", report.task.family},
           {"params", params},
           {"seed", report.task.seed},
           {"bandwidth", report.task.bandwidth},
           {"task", to_hex(metadata::id(report.task).view())},
           {"task_inferred", report.task_inferred},
           {"samples", metrics.samples()},
           {"features", report.task.raw_features()},
           {"scaled_features", report.task.scaled_features()},
           {"classes", report.task.classes.size()},
           {"accuracy", metrics.accuracy()},
           {"no_change", metrics.no_change_accuracy()},
           {"majority", metrics.majority_accuracy()},
           {"kappa", metrics.kappa()},
           {"kappa_temporal", m.kappa_temporal()},
           {"windowed_accuracy", metrics.windowed_accuracy()},
           {"window", report.window},
           {"recall", recall},
           {"samples_per_s", m.samples_per_s()},
           {"learn_s", m.learn_s},
           {"learn_wall_s", m.learn_wall_s},
           {"read_s", m.read_s},
           {"detect_s", m.detect_s},
           {"total_s", report.total_s},
           {"model_bytes", report.model_bytes},
           {"encoded_bytes", report.encoded_bytes},
           {"class_bytes", part_bytes},
           {"peak_memory_bytes", report.peak_memory_bytes},
           {"detector", report.detector.empty() ? Json(nullptr) : Json(report.detector)},
           {"drifts", alarms},
           {"drift_count", m.alarms.size() + m.more_alarms},
           {"warnings", m.warnings},
           {"test", nullptr},
           {"test_samples", nullptr},
           {"test_accuracy", nullptr},
           {"test_samples_per_s", nullptr},
           {"unlabelled_rows", report.counts.unlabelled},
           {"missing_values", report.counts.missing},
           {"unknown_categories", report.counts.unknown},
           {"curve", curve},
           {"interrupted", m.stopped}};
  if (report.test && report.test->samples > 0) {
    const auto n = static_cast<double>(report.test->samples);
    out["test"] = report.test_data;
    out["test_samples"] = report.test->samples;
    out["test_accuracy"] = static_cast<double>(report.test->correct) / n;
    out["test_samples_per_s"] = report.test->predict_s > 0 ? n / report.test->predict_s : 0;
  }
  return out;
}

std::string to_text(const EvaluationReport& report) {
  const auto& m = report.measured;
  const auto& metrics = m.metrics;
  std::string params;
  for (const auto& [key, value] : report.task.params) params += fmt::format(" {}={}", key, value);
  std::string out = fmt::format("{}: {}{} on {} samples{}, {} features{}, {} classes\n",
                                report.data, report.task.family, params, metrics.samples(),
                                m.stopped ? " (interrupted)" : "", report.task.raw_features(),
                                report.task.scaled_features() != report.task.raw_features()
                                    ? fmt::format(" ({} scaled)", report.task.scaled_features())
                                    : "",
                                report.task.classes.size());
  Table facts({"", ""});
  facts.add(
      {"accuracy", fmt::format("{:.4f}   no-change {:.4f}, majority {:.4f}", metrics.accuracy(),
                               metrics.no_change_accuracy(), metrics.majority_accuracy())});
  facts.add({"kappa",
             fmt::format("{:.4f}   temporal {:.4f} (above 0: better than repeating the last label)",
                         metrics.kappa(), m.kappa_temporal())});
  if (report.test && report.test->samples > 0) {
    facts.add({"held out", fmt::format("{:.4f}   {} samples of {}",
                                       static_cast<double>(report.test->correct) /
                                           static_cast<double>(report.test->samples),
                                       report.test->samples, report.test_data)});
  }
  std::string curve;
  for (const auto& point : thinned(m.curve, 10))
    curve += fmt::format("{}{:.3f}", curve.empty() ? "" : " ", point.accuracy);
  facts.add({"over time", fmt::format("{}   each over {} samples", curve, report.window)});
  facts.add({"speed",
             fmt::format(
                 "{} samples/s   predicting and learning alone, {:.2f} s of the processor; reading "
                 "{:.2f} s, detector {:.2f} s",
                 rate_text(m.samples_per_s()), m.learn_s, m.read_s, m.detect_s)});
  std::string parts;
  for (const auto& part : report.class_bytes) {
    parts +=
        fmt::format("{}{} at {} bit", parts.empty() ? "" : ", ", bytes_text(part.bytes), part.bits);
  }
  facts.add({"model", fmt::format("{}   saved {}; for one class {}",
                                  bytes_text(static_cast<double>(report.model_bytes)),
                                  bytes_text(static_cast<double>(report.encoded_bytes)), parts)});
  facts.add({"memory", fmt::format("{}   at most, the whole process",
                                   bytes_text(static_cast<double>(report.peak_memory_bytes)))});
  if (!report.detector.empty()) facts.add({"drift", alarm_text(report)});
  if (report.counts.unlabelled + report.counts.missing + report.counts.unknown > 0) {
    facts.add(
        {"data",
         fmt::format("{} rows without label passed over, {} values missing, {} unknown categories",
                     report.counts.unlabelled, report.counts.missing, report.counts.unknown)});
  }
  out += facts.text(false);
  out += "\n";
  Table recall({"class", "samples", "recall"});
  const auto classes = seen_classes(report);
  constexpr std::size_t kShown = 40;
  for (std::size_t i = 0; i < classes.size() && i < kShown; ++i) {
    const auto index = static_cast<learner::ClassIndex>(classes[i]);
    recall.add({report.task.classes[classes[i]], std::to_string(metrics.seen(index)),
                fmt::format("{:.4f}", metrics.recall(index))});
  }
  out += recall.text(true);
  if (classes.size() > kShown)
    out += fmt::format("and {} more classes; --json has all\n", classes.size() - kShown);
  return out;
}

}  // namespace p2p::tools

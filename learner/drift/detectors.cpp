// Which detectors there are, and how a name and parameters become one.
#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "learner/drift/adwin.hpp"
#include "learner/drift/cumulative_sum.hpp"
#include "learner/drift/ddm.hpp"
#include "learner/drift/detector.hpp"
#include "learner/drift/embedding_test.hpp"
#include "learner/drift/hddm.hpp"
#include "learner/drift/kswin.hpp"
#include "learner/drift/label_test.hpp"
#include "learner/drift/shiryaev_roberts.hpp"
#include "learner/drift/threshold_test.hpp"

namespace p2p::learner {
namespace {

using Detector = std::unique_ptr<DriftDetector>;
using Parameters = std::map<std::string, double>;

/// Reads options out of parameters, each with its range; keeps the first complaint.
class Reader {
 public:
  Reader(std::string_view detector, const Parameters& params)
      : detector_(detector), params_(params) {}

  void number(std::string_view name, double& value, double least, double most) {
    asked_.insert(name);
    const auto found = params_.find(std::string(name));
    if (found == params_.end()) return;
    if (!(found->second >= least && found->second <= most)) {
      complain(fmt::format("parameter {} of {} is {}; it must lie between {} and {}", name,
                           detector_, found->second, least, most));
      return;
    }
    value = found->second;
  }
  void whole(std::string_view name, std::uint32_t& value, std::uint32_t least, std::uint32_t most) {
    double number_value = value;
    number(name, number_value, least, most);
    if (number_value != std::floor(number_value)) {
      complain(fmt::format("parameter {} of {} is {}; it must be a whole number", name, detector_,
                           number_value));
      return;
    }
    value = static_cast<std::uint32_t>(number_value);
  }
  /// What two parameters must be to each other.
  void require(bool condition, std::string_view sentence) {
    if (!condition)
      complain(fmt::format("the parameters of {} do not fit: {}", detector_, sentence));
  }
  void complain(std::string text) {
    if (!complaint_) complaint_ = std::move(text);
  }
  std::optional<std::string> complaint() const {
    if (complaint_) return complaint_;
    for (const auto& [name, value] : params_) {
      if (asked_.contains(name)) continue;
      return fmt::format("{} has no parameter \"{}\"; it has: {}", detector_, name,
                         fmt::join(asked_, ", "));
    }
    return std::nullopt;
  }

 private:
  std::string_view detector_;
  const Parameters& params_;
  std::set<std::string_view> asked_;
  std::optional<std::string> complaint_;
};

constexpr double kSmall = 1e-12;  ///< the least of what must be positive
constexpr std::uint32_t kMany = 1u << 20;

template <typename T>
Detector finish(const Reader& in, const typename T::Options& options) {
  return in.complaint() ? nullptr : std::make_unique<T>(options);
}

Detector adwin(Reader& in) {
  Adwin::Options o;
  in.number("delta", o.delta, kSmall, 0.5);
  o.warning_delta = std::max(o.delta, std::min(0.5, 25 * o.delta));
  in.number("warning_delta", o.warning_delta, kSmall, 0.9);
  in.whole("clock", o.clock, 1, kMany);
  in.whole("minimum_part", o.minimum_part, 1, kMany);
  in.require(o.warning_delta >= o.delta, "warning_delta is below delta");
  return finish<Adwin>(in, o);
}

Detector ddm(Reader& in) {
  Ddm::Options o;
  in.whole("minimum", o.minimum, 1, kMany);
  in.number("warning", o.warning, kSmall, 100);
  in.number("drift", o.drift, kSmall, 100);
  in.require(o.drift >= o.warning, "drift is below warning");
  return finish<Ddm>(in, o);
}

Detector eddm(Reader& in) {
  Eddm::Options o;
  in.whole("minimum_errors", o.minimum_errors, 2, kMany);
  in.number("warning", o.warning, kSmall, 1);
  in.number("drift", o.drift, kSmall, 1);
  in.require(o.drift <= o.warning, "drift is above warning");
  return finish<Eddm>(in, o);
}

Detector rddm(Reader& in) {
  Rddm::Options o;
  in.whole("minimum", o.minimum, 1, kMany);
  in.number("warning", o.warning, kSmall, 100);
  in.number("drift", o.drift, kSmall, 100);
  in.whole("most", o.most, 2, 1u << 24);
  in.whole("keep", o.keep, 1, kMany);
  in.whole("warning_limit", o.warning_limit, 1, kMany);
  in.require(o.drift >= o.warning, "drift is below warning");
  in.require(o.keep <= o.most / 2, "keep is more than half of most");
  return finish<Rddm>(in, o);
}

Detector hddm_a(Reader& in) {
  HddmA::Options o;
  in.number("drift", o.drift, kSmall, 0.5);
  in.number("warning", o.warning, kSmall, 0.9);
  in.whole("minimum", o.minimum, 1, kMany);
  in.require(o.warning >= o.drift, "warning is below drift");
  return finish<HddmA>(in, o);
}

Detector hddm_w(Reader& in) {
  HddmW::Options o;
  in.number("drift", o.drift, kSmall, 0.5);
  in.number("warning", o.warning, kSmall, 0.9);
  in.number("lambda", o.lambda, 1e-6, 1 - 1e-6);
  in.whole("minimum", o.minimum, 1, kMany);
  in.require(o.warning >= o.drift, "warning is below drift");
  return finish<HddmW>(in, o);
}

Detector cumulative(Reader& in, CumulativeSum::Options o) {
  in.whole("minimum", o.minimum, 1, kMany);
  in.number("delta", o.delta, 0, 1);
  in.number("lambda", o.lambda, kSmall, 1e9);
  in.number("fade", o.fade, 1e-6, 1);
  in.number("warning", o.warning, kSmall, 1);
  return finish<CumulativeSum>(in, o);
}

Detector page_hinkley(Reader& in) {
  CumulativeSum::Options o;
  o.fade = 0.9999;
  o.floor = false;
  return cumulative(in, o);
}

Detector cusum(Reader& in) { return cumulative(in, {}); }

Detector kswin(Reader& in) {
  Kswin::Options o;
  in.whole("window", o.window, 2, 1u << 16);
  in.whole("recent", o.recent, 1, 1u << 16);
  in.number("alpha", o.alpha, 1e-30, 0.5);
  in.number("warning", o.warning, 1, 1e9);
  in.require(o.recent < o.window, "recent is not below window");
  return finish<Kswin>(in, o);
}

Detector threshold(Reader& in) {
  ThresholdTest::Options o;
  in.whole("batch", o.batch, 1, 1u << 16);
  o.stride = o.batch;
  in.whole("stride", o.stride, 1, 1u << 16);
  in.whole("reference_batches", o.reference_batches, 1, 1u << 12);
  in.whole("minimum_batches", o.minimum_batches, 1, 1u << 12);
  in.number("permitted_loss", o.permitted_loss, 0, 1);
  in.number("chance", o.chance, 1e-30, 1);
  in.number("warning_factor", o.warning_factor, 1, 1e9);
  in.require(o.batch % o.stride == 0, "stride does not divide batch");
  in.require(o.reference_batches >= o.minimum_batches,
             "minimum_batches is above reference_batches");
  return finish<ThresholdTest>(in, o);
}

Detector shiryaev_roberts(Reader& in) {
  ShiryaevRoberts::Options o;
  in.number("run_length", o.run_length, 10, 1e15);
  o.warning_length = std::min(o.warning_length, o.run_length);
  in.number("warning_length", o.warning_length, 1, 1e15);
  in.number("fall_length", o.fall_length, 10, 1e15);
  in.number("smallest", o.smallest, 0.01, 10);
  in.number("middle", o.middle, 0.01, 10);
  in.number("largest", o.largest, 0.01, 10);
  in.number("margin", o.margin, 1, 100);
  in.number("slack", o.slack, 0, 100);
  in.number("least", o.least, 1e-9, 0.4);
  in.whole("minimum", o.minimum, 1, kMany);
  in.require(o.warning_length <= o.run_length, "warning_length is above run_length");
  in.require(o.smallest <= o.middle && o.middle <= o.largest, "the log odds ratios do not rise");
  return finish<ShiryaevRoberts>(in, o);
}

Detector labels(Reader& in) {
  LabelTest::Options o;
  double skip = 0;
  in.whole("classes", o.classes, 1, kMaxClasses);
  in.whole("window", o.window, 1, 1u << 16);
  in.number("run_length", o.run_length, 10, 1e15);
  o.warning_length = std::min(o.warning_length, o.run_length);
  in.number("warning_length", o.warning_length, 1, 1e15);
  in.number("skip_repeats", skip, 0, 1);
  in.whole("minimum", o.minimum, 1, kMany);
  in.require(o.warning_length <= o.run_length, "warning_length is above run_length");
  o.skip_repeats = skip != 0;
  return finish<LabelTest>(in, o);
}

Detector embedding(Reader& in) {
  EmbeddingTest::Options o;
  in.whole("dimensions", o.dimensions, 1, 1u << 16);
  in.number("run_length", o.run_length, 10, 1e15);
  o.warning_length = std::min(o.warning_length, o.run_length);
  in.number("warning_length", o.warning_length, 1, 1e15);
  in.number("latest", o.latest, 1, 1e6);
  in.number("slack", o.slack, 0, 1);
  in.whole("minimum", o.minimum, 2, kMany);
  o.most = std::max(o.most, o.minimum);
  in.whole("most", o.most, 2, 1u << 30);
  in.whole("stride", o.stride, 1, kMany);
  in.require(o.warning_length <= o.run_length, "warning_length is above run_length");
  in.require(o.most >= o.minimum, "most is below minimum");
  return finish<EmbeddingTest>(in, o);
}

struct Entry {
  std::string_view name;
  Detector (*make)(Reader&);
};

constexpr std::array kDetectors = {
    Entry{"adwin", adwin},
    Entry{"ddm", ddm},
    Entry{"eddm", eddm},
    Entry{"rddm", rddm},
    Entry{"hddm-a", hddm_a},
    Entry{"hddm-w", hddm_w},
    Entry{"page-hinkley", page_hinkley},
    Entry{"cusum", cusum},
    Entry{"kswin", kswin},
    Entry{"threshold", threshold},
    Entry{"shiryaev-roberts", shiryaev_roberts},
    Entry{"labels", labels},
    Entry{"embedding", embedding},
};

constexpr auto kNames = [] {
  std::array<std::string_view, kDetectors.size()> names;
  std::transform(kDetectors.begin(), kDetectors.end(), names.begin(),
                 [](const Entry& e) { return e.name; });
  return names;
}();

}  // namespace

DriftLevel DriftDetector::update_vector(std::span<const float> values) {
  P2P_ASSERT(values.size() == 1 && arity() == 1);
  return update(static_cast<double>(values[0]));
}

std::span<const std::string_view> detectors() { return kNames; }

Result<std::unique_ptr<DriftDetector>> make_detector(std::string_view name,
                                                     const Parameters& params) {
  const auto found = std::find_if(kDetectors.begin(), kDetectors.end(),
                                  [&](const Entry& e) { return e.name == name; });
  if (found == kDetectors.end()) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("detector \"{}\" is not known; there are {}", name, fmt::join(kNames, ", ")));
  }
  Reader in(name, params);
  auto made = found->make(in);
  if (!made)
    return fail(ErrorCode::invalid_argument,
                in.complaint().value_or("the detector cannot be made"));
  return made;
}

}  // namespace p2p::learner

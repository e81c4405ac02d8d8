#include "learner/drift/drift_monitor.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "learner/drift/adwin.hpp"
#include "learner/drift/confusion_test.hpp"
#include "learner/drift/new_classes.hpp"
#include "learner/drift/shiryaev_roberts.hpp"
#include "learner/drift/state.hpp"
#include "learner/drift/threshold_test.hpp"
#include "metadata/base/error.hpp"

namespace p2p::learner {
namespace {

/// Outcomes kept to say, once there is a drift, since when and in which classes.
constexpr std::size_t kRecent = 1024;
constexpr std::uint32_t kClassBatch = 12;
constexpr std::uint32_t kClassStride = 2;

/// n log-likelihood of k of n under its own rate k / n.
double likelihood(double k, double n) {
  if (k <= 0 || k >= n) return 0;
  return k * std::log(k / n) + (n - k) * std::log(1 - k / n);
}

ThresholdTest::Options class_test(const DriftMonitor::Options& o) {
  ThresholdTest::Options out;
  out.batch = kClassBatch;
  out.stride = kClassStride;
  out.reference_batches = static_cast<std::uint32_t>(o.reference_batches);
  out.minimum_batches = static_cast<std::uint32_t>(o.minimum_batches);
  out.permitted_loss = o.permitted_loss;
  out.chance = o.chance;
  return out;
}

ThresholdTest::Options overall_test(const DriftMonitor::Options& o) {
  ThresholdTest::Options out = class_test(o);
  out.batch = static_cast<std::uint32_t>(o.batch);
  out.stride = o.batch % 5 == 0 ? out.batch / 5 : out.batch;
  return out;
}

/// Everything that the state's meaning depends on; the number of classes first.
std::array<double, 12> numbers_of(const DriftMonitor::Options& o) {
  return {static_cast<double>(o.classes),
          static_cast<double>(o.batch),
          static_cast<double>(o.reference_batches),
          static_cast<double>(o.minimum_batches),
          o.permitted_loss,
          o.chance,
          static_cast<double>(o.minimum_class_count),
          o.class_chance,
          static_cast<double>(o.cooldown),
          o.adwin_delta,
          static_cast<double>(o.warmup),
          o.run_length};
}

NewClasses::Options new_classes(const DriftMonitor::Options& o) {
  NewClasses::Options out;
  out.classes = o.classes;
  out.reference = o.batch * o.reference_batches;
  out.minimum_count = o.minimum_class_count;
  out.chance = o.class_chance;
  out.warmup = o.warmup;
  return out;
}

}  // namespace

std::string_view name(DriftCause cause) {
  switch (cause) {
    case DriftCause::new_class:
      return "new_class";
    case DriftCause::class_error:
      return "class_error";
    case DriftCause::confusion:
      return "confusion";
    case DriftCause::overall_error:
      return "overall_error";
    case DriftCause::known_concept:
      return "known_concept";
    case DriftCause::inputs:
      return "inputs";
  }
  return "unknown";
}

struct DriftMonitor::State {
  struct Outcome {
    ClassIndex label;
    bool correct;
  };

  explicit State(const Options& o)
      : options(o),
        adwin({o.adwin_delta, std::max(o.adwin_delta, std::min(0.5, 25 * o.adwin_delta)), 8, 5}),
        overall(overall_test(o)),
        rise({.run_length = o.run_length, .warning_length = std::min(1e4, o.run_length)}),
        per_class(o.classes, ThresholdTest(class_test(o))),
        fresh(new_classes(o)),
        confusions({.classes = o.classes, .run_length = o.run_length}),
        recent(kRecent) {}

  bool cooling() const { return samples < quiet_until; }
  const Outcome& back(std::size_t age) const { return recent[(samples - age) % kRecent]; }
  /// How many outcomes are kept of the model that serves.
  std::size_t kept() const {
    return static_cast<std::size_t>(std::min<std::uint64_t>(samples + 1 - errors_since, kRecent));
  }

  /// How many of the latest samples follow the likeliest rise of the error (of one class, or of
  /// all).
  std::size_t since_rise(ClassIndex only) const;
  std::vector<ClassIndex> responsible(std::size_t since) const;
  /// Whether the error of all classes but these rose as well.
  bool others_rose(std::span<const ClassIndex> but, std::size_t since) const;
  void forget_errors();
  DriftSignal report(DriftCause cause, std::vector<ClassIndex> classes, std::size_t since);

  Options options;
  Adwin adwin;
  ThresholdTest overall;
  ShiryaevRoberts rise;
  std::vector<ThresholdTest> per_class;
  NewClasses fresh;
  ConfusionTest confusions;
  std::vector<Outcome> recent;  ///< ring; sample number s (from 1) lies at s % kRecent
  std::uint64_t samples = 0;
  std::uint64_t quiet_until = 0;
  std::uint64_t errors_since = 1;  ///< outcomes before this sample number are no reference
};

DriftMonitor::DriftMonitor(const Options& options) {
  P2P_ASSERT(options.classes >= 1 && options.classes <= kMaxClasses);
  P2P_ASSERT(options.minimum_class_count >= 1 && options.batch >= 1);
  state_ = std::make_unique<State>(options);
}
DriftMonitor::~DriftMonitor() = default;
DriftMonitor::DriftMonitor(DriftMonitor&&) noexcept = default;
DriftMonitor& DriftMonitor::operator=(DriftMonitor&&) noexcept = default;

void DriftMonitor::State::forget_errors() {
  adwin.reset();
  overall.reset();
  for (ThresholdTest& test : per_class) test.reset();
  rise.reset();
  confusions.forget_confusions();
  errors_since = samples + 1;
}

void DriftMonitor::model_replaced() { state_->forget_errors(); }

std::size_t DriftMonitor::State::since_rise(ClassIndex only) const {
  // The split of what is kept into two rates that has the largest likelihood, the newer rate being
  // higher.
  const auto counts = [&](const Outcome& o) { return only == kNoClass || o.label == only; };
  const std::size_t reach = kept();
  double n = 0, errors = 0;
  for (std::size_t age = 0; age < reach; ++age) {
    if (!counts(back(age))) continue;
    n += 1;
    errors += back(age).correct ? 0 : 1;
  }
  double n1 = 0, errors1 = 0, best = -1;
  std::size_t since = 1;
  for (std::size_t age = 0; age < reach; ++age) {
    if (!counts(back(age))) continue;
    n1 += 1;
    errors1 += back(age).correct ? 0 : 1;
    if (n1 >= n || errors1 / n1 <= (errors - errors1) / (n - n1)) continue;
    const double gain =
        likelihood(errors1, n1) + likelihood(errors - errors1, n - n1) - likelihood(errors, n);
    if (gain > best) {
      best = gain;
      since = age + 1;
    }
  }
  return since;
}

std::vector<ClassIndex> DriftMonitor::State::responsible(std::size_t since) const {
  struct Tally {
    double n = 0, errors = 0, n0 = 0, errors0 = 0;
  };
  std::vector<Tally> tallies(options.classes);
  for (std::size_t age = 0; age < kept(); ++age) {
    const Outcome& o = back(age);
    Tally& t = tallies[static_cast<std::size_t>(o.label)];
    (age < since ? t.n : t.n0) += 1;
    if (!o.correct) (age < since ? t.errors : t.errors0) += 1;
  }
  std::vector<ClassIndex> out;
  std::size_t present = 0;
  for (std::size_t c = 0; c < tallies.size(); ++c) {
    const Tally& t = tallies[c];
    if (t.n < static_cast<double>(options.minimum_class_count)) continue;
    ++present;
    // A class without a past is compared with half: it counts when it is mostly wrong.
    const double before = t.n0 > 0 ? t.errors0 / t.n0 : 0.5 - options.permitted_loss;
    if (t.errors / t.n > before + options.permitted_loss) out.push_back(static_cast<ClassIndex>(c));
  }
  // Most of them: it is the input that changed, not a class.
  if (2 * out.size() > present) out.clear();
  return out;
}

bool DriftMonitor::State::others_rose(std::span<const ClassIndex> but, std::size_t since) const {
  constexpr double kFew = 5;
  double n = 0, errors = 0, n0 = 0, errors0 = 0;
  for (std::size_t age = 0; age < kept(); ++age) {
    const Outcome& o = back(age);
    if (std::find(but.begin(), but.end(), o.label) != but.end()) continue;
    (age < since ? n : n0) += 1;
    if (!o.correct) (age < since ? errors : errors0) += 1;
  }
  return n >= kFew && n0 > 0 && errors / n > errors0 / n0 + options.permitted_loss;
}

DriftSignal DriftMonitor::State::report(DriftCause cause, std::vector<ClassIndex> classes,
                                        std::size_t since) {
  quiet_until = samples + options.cooldown;
  forget_errors();
  return {DriftLevel::drift, cause, std::move(classes), std::max<std::size_t>(since, 1)};
}

DriftSignal DriftMonitor::update(ClassIndex label, ClassIndex predicted) {
  State& s = *state_;
  P2P_ASSERT(label >= 0 && static_cast<std::uint32_t>(label) < s.options.classes);
  const bool correct = predicted == label;
  ++s.samples;
  s.recent[s.samples % kRecent] = {label, correct};
  const auto c = static_cast<std::size_t>(label);
  const double error = correct ? 0.0 : 1.0;

  s.fresh.take(label);
  const DriftLevel overall =
      std::max({s.adwin.update(error), s.rise.update(error), s.overall.update(error)});
  const DriftLevel by_class = s.per_class[c].update(error);
  const bool confused = s.confusions.update(label, predicted);
  if (s.samples <= s.options.warmup) return {};
  if (s.fresh.due()) {
    std::vector<ClassIndex> classes;
    const std::size_t since = s.fresh.collect(classes);
    return s.report(DriftCause::new_class, std::move(classes), since);
  }
  if (s.cooling()) return {};
  if (overall == DriftLevel::drift) {
    const std::size_t since = s.since_rise(kNoClass);
    auto classes = s.responsible(since);
    return s.report(DriftCause::overall_error, std::move(classes), since);
  }
  if (by_class == DriftLevel::drift) {
    const std::size_t since = s.since_rise(label);
    if (s.others_rose(std::span(&label, 1), since))
      return s.report(DriftCause::overall_error, s.responsible(since), since);
    return s.report(DriftCause::class_error, {label}, since);
  }
  if (confused) {
    const auto [pair, since] = s.confusions.alarm();
    if (s.others_rose(pair, since)) return s.report(DriftCause::overall_error, s.responsible(since), since);
    return s.report(DriftCause::confusion, {pair[0], pair[1]}, since);
  }

  DriftSignal signal;
  if (s.fresh.nearly(label)) {
    signal = {DriftLevel::warning, DriftCause::new_class, {label}, 1};
  } else if (overall == DriftLevel::warning) {
    signal.level = DriftLevel::warning;
    signal.since = s.options.batch;
  } else if (by_class == DriftLevel::warning) {
    signal = {DriftLevel::warning, DriftCause::class_error, {label}, 1};
  }
  return signal;
}

void DriftMonitor::grow(std::uint32_t classes) {
  State& s = *state_;
  s.options.classes = classes;
  s.fresh.grow(classes);
  s.confusions.grow(classes);
  s.per_class.resize(classes, ThresholdTest(class_test(s.options)));
}

Bytes DriftMonitor::encode() const {
  const State& s = *state_;
  ByteWriter out;
  for (const double value : numbers_of(s.options)) out.put(value);
  out.put(s.samples);
  out.put(s.quiet_until);
  out.put(s.errors_since);
  s.fresh.encode(out);
  s.confusions.encode(out);
  s.adwin.encode(out);
  s.rise.encode(out);
  s.overall.encode(out);
  for (const ThresholdTest& test : s.per_class) test.encode(out);
  for (std::size_t age = std::min<std::uint64_t>(s.samples, kRecent); age-- > 0;) {
    const auto& [label, correct] = s.back(age);
    out.put(static_cast<std::uint16_t>(2 * label + (correct ? 1 : 0)));
  }
  return out.take();
}

Result<DriftMonitor> DriftMonitor::decode(const Options& options, ByteView bytes) {
  ByteReader in(bytes);
  const auto wanted = numbers_of(options);
  auto found = wanted;
  for (double& value : found) value = in.get<double>();
  // The number of classes is first, and may have grown.
  if (in.ok() &&
      (found[0] > wanted[0] || !std::equal(found.begin() + 1, found.end(), wanted.begin() + 1)))
    return fail(
        ErrorCode::invalid_argument,
        "the drift monitor was saved with other options; start it anew, or go back to those");
  DriftMonitor out(options);
  State& s = *out.state_;
  StateReader state(in);
  state.check(found[0] >= 1 && found[0] == std::floor(found[0]));
  s.samples = state.count();
  s.quiet_until = state.count(s.samples + options.cooldown);
  s.errors_since = state.count(s.samples + 1);
  state.check(s.errors_since >= 1);
  if (!state.ok()) return tl::unexpected(state.result("the drift monitor").error());
  if (auto read = s.fresh.decode(in); !read) return tl::unexpected(read.error());
  if (auto read = s.confusions.decode(in); !read) return tl::unexpected(read.error());
  if (auto read = s.adwin.decode(in); !read) return tl::unexpected(read.error());
  if (auto read = s.rise.decode(in); !read) return tl::unexpected(read.error());
  if (auto read = s.overall.decode(in); !read) return tl::unexpected(read.error());
  const auto classes = static_cast<std::size_t>(found[0]);
  for (std::size_t c = 0; c < classes; ++c) {
    if (auto read = s.per_class[c].decode(in); !read) return tl::unexpected(read.error());
  }
  state.check(s.fresh.labels() == s.samples);
  for (std::uint64_t age = std::min<std::uint64_t>(s.samples, kRecent); state.ok() && age-- > 0;) {
    const auto outcome = in.get<std::uint16_t>();
    state.check(outcome / 2u < classes);
    s.recent[(s.samples - age) % kRecent] = {static_cast<ClassIndex>(outcome / 2),
                                             outcome % 2 == 1};
  }
  state.check(in.at_end());
  if (!state.ok()) return tl::unexpected(state.result("the drift monitor").error());
  return out;
}

}  // namespace p2p::learner

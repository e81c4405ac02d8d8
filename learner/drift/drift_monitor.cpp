#include "learner/drift/drift_monitor.hpp"

#include <algorithm>
#include <cmath>

#include "learner/drift/adwin.hpp"
#include "learner/drift/threshold_test.hpp"
#include "metadata/base/error.hpp"

namespace p2p::learner {
namespace {

/// Outcomes kept to say, once there is a drift, since when and in which classes.
constexpr std::size_t kRecent = 1024;
/// A class that was here is new again when it was away so many times its usual distance (e^-12 by
/// chance).
constexpr double kAbsence = 12;
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

}  // namespace

std::string_view name(DriftCause cause) {
  switch (cause) {
    case DriftCause::new_class:
      return "new_class";
    case DriftCause::class_error:
      return "class_error";
    case DriftCause::overall_error:
      return "overall_error";
  }
  return "unknown";
}

struct DriftMonitor::State {
  /// What is known of the appearances of one class. Sample numbers begin at 1.
  struct Presence {
    bool known = false;
    bool due = false;         ///< new, and to be reported when the cooldown ends
    std::uint64_t count = 0;  ///< appearances in all
    std::uint64_t last = 0;   ///< the latest one
    double distance = 0;      ///< usual number of samples from one to the next

    // While it is new:
    std::uint64_t first = 0;  ///< the appearance that ended its absence
    std::uint32_t run = 0;    ///< appearances since, that one included
    double absence = 0;       ///< samples without it before

    /// The usual distance, with room for having been estimated from few.
    double at_most() const { return distance * (1 + 2 / std::sqrt(static_cast<double>(count))); }
  };
  struct Outcome {
    ClassIndex label;
    bool correct;
  };

  explicit State(const Options& o)
      : options(o),
        adwin({o.adwin_delta, std::max(o.adwin_delta, std::min(0.5, 25 * o.adwin_delta)), 8, 5}),
        overall(overall_test(o)),
        per_class(o.classes, ThresholdTest(class_test(o))),
        presence(o.classes),
        recent(kRecent) {}

  bool cooling() const { return samples < quiet_until; }
  const Outcome& back(std::size_t age) const { return recent[(samples - age) % kRecent]; }
  /// How many outcomes are kept of the model that serves.
  std::size_t kept() const {
    return static_cast<std::size_t>(std::min<std::uint64_t>(samples + 1 - errors_since, kRecent));
  }

  /// Returns true when the class is new and has been seen often enough.
  bool appeared(ClassIndex label);
  /// How many of the latest samples follow the likeliest rise of the error (of one class, or of
  /// all).
  std::size_t since_rise(ClassIndex only) const;
  std::vector<ClassIndex> responsible(std::size_t since) const;
  /// Whether the error of all classes but this one rose as well.
  bool others_rose(ClassIndex but, std::size_t since) const;
  void forget_errors();
  DriftSignal report(DriftCause cause, std::vector<ClassIndex> classes, std::size_t since);

  Options options;
  Adwin adwin;
  ThresholdTest overall;
  std::vector<ThresholdTest> per_class;
  std::vector<Presence> presence;
  std::vector<Outcome> recent;  ///< ring; sample number s (from 1) lies at s % kRecent
  std::uint64_t samples = 0;
  std::uint64_t quiet_until = 0;
  bool any_due = false;
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
  errors_since = samples + 1;
}

void DriftMonitor::model_replaced() { state_->forget_errors(); }

bool DriftMonitor::State::appeared(ClassIndex label) {
  Presence& p = presence[static_cast<std::size_t>(label)];
  const double gap = static_cast<double>(samples - p.last);
  const bool never = p.count == 0;
  const double reference = static_cast<double>(options.batch * options.reference_batches);
  p.last = samples;
  ++p.count;
  if (samples <= options.warmup) {
    p.known = true;
  } else if (never || (p.known && gap >= reference && gap >= kAbsence * p.at_most())) {
    p.known = false;
    p.first = samples;
    p.run = 0;
    p.absence = gap;
  }
  if (p.known) {
    if (!never)
      p.distance += (gap - p.distance) * std::max(0.02, 1.0 / static_cast<double>(p.count - 1));
    return false;
  }
  ++p.run;
  // Were it only rare, its appearances would be spread evenly over absence and time since: the
  // chance that all of them fall into the latter is (time / (absence + time))^run.
  const double time = static_cast<double>(samples - p.first + 1);
  const double chance = std::pow(time / (p.absence + time), p.run);
  const bool fresh = p.run >= options.minimum_class_count && chance < options.class_chance;
  if (fresh || time > p.absence) {
    p.known = true;
    p.distance = time / p.run;
  }
  return fresh;
}

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

bool DriftMonitor::State::others_rose(ClassIndex but, std::size_t since) const {
  constexpr double kFew = 5;
  double n = 0, errors = 0, n0 = 0, errors0 = 0;
  for (std::size_t age = 0; age < kept(); ++age) {
    const Outcome& o = back(age);
    if (o.label == but) continue;
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

DriftSignal DriftMonitor::update(ClassIndex label, bool correct) {
  State& s = *state_;
  P2P_ASSERT(label >= 0 && static_cast<std::uint32_t>(label) < s.options.classes);
  ++s.samples;
  s.recent[s.samples % kRecent] = {label, correct};
  const auto c = static_cast<std::size_t>(label);
  const double error = correct ? 0.0 : 1.0;

  State::Presence& p = s.presence[c];
  if (s.appeared(label)) p.due = s.any_due = true;
  const DriftLevel by_adwin = s.adwin.update(error);
  const DriftLevel by_overall = s.overall.update(error);
  const DriftLevel by_class = s.per_class[c].update(error);
  if (s.samples <= s.options.warmup || s.cooling()) return {};

  if (s.any_due) {
    s.any_due = false;
    std::vector<ClassIndex> fresh;
    std::uint64_t earliest = s.samples;
    for (std::size_t k = 0; k < s.presence.size(); ++k) {
      State::Presence& other = s.presence[k];
      // A class that came with the same change need not wait for a report of its own.
      const double time = static_cast<double>(s.samples - other.first + 1);
      const bool nearly = !other.known && other.run > 0 &&
                          other.run + 1 >= s.options.minimum_class_count &&
                          time < other.absence / 4;
      if (!other.due && !nearly) continue;
      fresh.push_back(static_cast<ClassIndex>(k));
      earliest = std::min(earliest, other.first);
      if (nearly) other.distance = time / other.run;
      other.due = false;
      other.known = true;
    }
    return s.report(DriftCause::new_class, std::move(fresh),
                    static_cast<std::size_t>(s.samples - earliest) + 1);
  }
  if (by_overall == DriftLevel::drift || by_adwin == DriftLevel::drift) {
    const std::size_t since = s.since_rise(kNoClass);
    auto classes = s.responsible(since);
    return s.report(DriftCause::overall_error, std::move(classes), since);
  }
  if (by_class == DriftLevel::drift) {
    const std::size_t since = s.since_rise(label);
    if (s.others_rose(label, since))
      return s.report(DriftCause::overall_error, s.responsible(since), since);
    return s.report(DriftCause::class_error, {label}, since);
  }

  DriftSignal signal;
  const bool new_soon = !p.known && p.run + 1 >= s.options.minimum_class_count;
  if (new_soon) {
    signal = {DriftLevel::warning, DriftCause::new_class, {label}, 1};
  } else if (by_overall == DriftLevel::warning || by_adwin == DriftLevel::warning) {
    signal.level = DriftLevel::warning;
    signal.since = s.options.batch;
  } else if (by_class == DriftLevel::warning) {
    signal = {DriftLevel::warning, DriftCause::class_error, {label}, 1};
  }
  return signal;
}

}  // namespace p2p::learner

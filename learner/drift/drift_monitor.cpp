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
/// A class that was here is new again when it was away so many times its usual distance (e^-9 by chance).
constexpr double kAbsence = 9;
/// A class that is new and stays rarer than the test asks for is known after so many times n_min.
constexpr std::uint32_t kTrickle = 5;
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
  /// What is known of the appearances of one class.
  struct Presence {
    bool known = false;
    bool due = false;          ///< new, and to be reported when the cooldown ends
    std::uint32_t run = 0;     ///< appearances since it was new
    std::uint64_t last = 0;    ///< sample number of the latest appearance; 0: none
    double distance = 0;       ///< usual number of samples from one appearance to the next
    std::uint64_t count = 0;
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
        times(o.classes * o.minimum_class_count),
        recent(kRecent) {}

  bool cooling() const { return samples < quiet_until; }
  const Outcome& back(std::size_t age) const { return recent[(samples - age) % kRecent]; }
  std::size_t kept() const { return static_cast<std::size_t>(std::min<std::uint64_t>(samples, kRecent)); }

  /// Returns true when the class is new and has been seen often enough.
  bool appeared(ClassIndex label);
  std::uint64_t& time_of(ClassIndex label, std::uint32_t run) {
    return times[static_cast<std::size_t>(label) * options.minimum_class_count + run % options.minimum_class_count];
  }
  /// How many of the latest samples follow the likeliest rise of the error (of one class, or of all).
  std::size_t since_rise(ClassIndex only) const;
  std::vector<ClassIndex> responsible(std::size_t since) const;
  void forget_errors();
  DriftSignal report(DriftCause cause, std::vector<ClassIndex> classes, std::size_t since);

  Options options;
  Adwin adwin;
  ThresholdTest overall;
  std::vector<ThresholdTest> per_class;
  std::vector<Presence> presence;
  std::vector<std::uint64_t> times;  ///< (classes x n_min): of the latest appearances of a new class
  std::vector<Outcome> recent;       ///< ring; sample number s (from 1) lies at s % kRecent
  std::uint64_t samples = 0;
  std::uint64_t quiet_until = 0;
  std::uint64_t errors_since = 0;    ///< outcomes before this sample number are no reference
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
  const bool first = p.count == 0;
  const double reference = static_cast<double>(options.batch * options.reference_batches);
  p.last = samples;
  ++p.count;
  if (samples <= options.warmup) {
    p.known = true;
  } else if (first || (p.known && gap >= reference && gap >= kAbsence * p.distance)) {
    p.known = false;
    p.run = 0;
  }
  if (p.known) {
    if (!first) p.distance += (gap - p.distance) * std::max(0.05, 1.0 / static_cast<double>(p.count - 1));
    return false;
  }
  time_of(label, p.run) = samples;
  ++p.run;
  const auto least = static_cast<std::uint32_t>(options.minimum_class_count);
  // The slot after the latest holds the oldest of the latest n_min.
  if (p.run >= least && samples - time_of(label, p.run) < options.class_span) {
    p.distance = static_cast<double>(samples - time_of(label, p.run)) / least;
    p.known = true;
    return true;
  }
  if (p.run >= kTrickle * least) {
    p.distance = static_cast<double>(options.class_span);
    p.known = true;
  }
  return false;
}

std::size_t DriftMonitor::State::since_rise(ClassIndex only) const {
  // The split of what is kept into two rates that has the largest likelihood, the newer rate being higher.
  const auto counts = [&](const Outcome& o) { return only == kNoClass || o.label == only; };
  const std::size_t reach =
      std::min<std::size_t>(kept(), static_cast<std::size_t>(samples + 1 - std::min(errors_since, samples)));
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
    const double gain = likelihood(errors1, n1) + likelihood(errors - errors1, n - n1) - likelihood(errors, n);
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

DriftSignal DriftMonitor::State::report(DriftCause cause, std::vector<ClassIndex> classes, std::size_t since) {
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
  if (s.appeared(label)) p.due = true;
  const DriftLevel by_adwin = s.adwin.update(error);
  const DriftLevel by_overall = s.overall.update(error);
  const DriftLevel by_class = s.per_class[c].update(error);
  if (s.samples <= s.options.warmup || s.cooling()) return {};

  std::vector<ClassIndex> fresh;
  std::uint64_t earliest = s.samples;
  bool due = false;
  for (std::size_t k = 0; k < s.presence.size(); ++k) due = due || s.presence[k].due;
  if (due) {
    for (std::size_t k = 0; k < s.presence.size(); ++k) {
      State::Presence& other = s.presence[k];
      // A class that came with the same change need not wait for a report of its own.
      const bool nearly = !other.known && other.run + 1 >= s.options.minimum_class_count && other.run > 0 &&
                          s.samples - other.last < s.options.class_span;
      if (!other.due && !nearly) continue;
      fresh.push_back(static_cast<ClassIndex>(k));
      const std::uint32_t first = other.run > s.options.minimum_class_count
                                      ? other.run - static_cast<std::uint32_t>(s.options.minimum_class_count)
                                      : 0;
      earliest = std::min(earliest, s.time_of(static_cast<ClassIndex>(k), first));
      other.due = false;
      other.known = true;
      if (nearly) other.distance = static_cast<double>(s.options.class_span) / 2;
    }
    return s.report(DriftCause::new_class, std::move(fresh), static_cast<std::size_t>(s.samples - earliest) + 1);
  }
  if (by_overall == DriftLevel::drift || by_adwin == DriftLevel::drift) {
    const std::size_t since = s.since_rise(kNoClass);
    auto classes = s.responsible(since);
    return s.report(DriftCause::overall_error, std::move(classes), since);
  }
  if (by_class == DriftLevel::drift) return s.report(DriftCause::class_error, {label}, s.since_rise(label));

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

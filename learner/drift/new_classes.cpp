#include "learner/drift/new_classes.hpp"

#include <algorithm>
#include <cmath>

#include "learner/drift/state.hpp"

namespace p2p::learner {
namespace {

/// A class that was here is new again when it was away so many times its usual distance (e^-12 by
/// chance).
constexpr double kAbsence = 12;
/// Appearances from which on a model had a chance to learn a class.
constexpr std::uint64_t kHardlyKnown = 20;
/// And how likely a dense run of such a class may be, to be reported with another that is sure.
constexpr double kWithOthers = 0.05;
/// Distances that the mean covers at most; then it fades.
constexpr std::uint32_t kGaps = 50;

}  // namespace

NewClasses::NewClasses(const Options& options) : options_(options), presence_(options.classes) {
  P2P_ASSERT(options.classes >= 1 && options.classes <= kMaxClasses);
  P2P_ASSERT(options.minimum_count >= 1 && options.chance > 0 && options.chance <= 1);
}

double NewClasses::Presence::at_most() const {
  return distance * (1 + 2 / std::sqrt(std::max(1.0, static_cast<double>(gaps))));
}

void NewClasses::reset() {
  std::fill(presence_.begin(), presence_.end(), Presence{});
  labels_ = 0;
  any_due_ = false;
}

void NewClasses::grow(std::uint32_t classes) {
  P2P_ASSERT(classes >= options_.classes && classes <= kMaxClasses);
  options_.classes = classes;
  presence_.resize(classes);
}

void NewClasses::take(ClassIndex label) {
  P2P_ASSERT(label >= 0 && static_cast<std::size_t>(label) < presence_.size());
  ++labels_;
  Presence& p = presence_[static_cast<std::size_t>(label)];
  if (appeared(p)) p.due = any_due_ = true;
}

void NewClasses::settle(Presence& p, double time) {
  p.distance = time / p.run;
  p.gaps = std::min(p.run, kGaps);
}

bool NewClasses::appeared(Presence& p) {
  const double gap = static_cast<double>(labels_ - p.last);
  const bool never = p.count == 0;
  p.last = labels_;
  ++p.count;
  if (labels_ <= options_.warmup) {
    p.known = true;
  } else if (never || (p.known && gap >= static_cast<double>(options_.reference) &&
                       gap >= kAbsence * p.at_most())) {
    p.known = false;
    p.first = labels_;
    p.run = 0;
    p.grown = false;
    p.absence = gap;
  }
  if (p.known) {
    if (!never && gap > 1) {
      p.gaps = std::min(p.gaps + 1, kGaps);
      p.distance += (gap - p.distance) / p.gaps;
    }
    return became_frequent(p, gap);
  }
  const bool returned = p.count > p.run + 1;
  if (!returned || gap > 1) ++p.run;
  const double time = static_cast<double>(labels_ - p.first + 1);
  const double chance = std::pow(time / (p.absence + time), p.run);
  const bool fresh = p.run >= options_.minimum_count && chance < options_.chance;
  if (fresh || time > p.absence) {
    p.known = true;
    settle(p, time);
  }
  return fresh;
}

double NewClasses::chance_of_run(const Presence& p) const {
  const double time = static_cast<double>(labels_ - p.first + 1);
  return std::min(1.0, std::pow(time / p.absence, p.run - 1) / std::tgamma(p.run));
}

bool NewClasses::became_frequent(Presence& p, double gap) {
  constexpr double kDense = 4;  // times as near as usual
  if (labels_ <= options_.warmup || p.grown || p.count < 2 || p.count - p.run >= kHardlyKnown) return false;
  // Of a few appearances the rate may be twice as high as it looks.
  const double usual = static_cast<double>(labels_) / static_cast<double>(p.count - p.run + 1);
  if (p.run == 0 || gap * kDense > usual) {
    p.first = labels_;
    p.run = 1;
    p.absence = usual;
    return false;
  }
  if (gap > 1) ++p.run;
  // Each of its appearances may begin a run.
  if (p.run <= options_.minimum_count || chance_of_run(p) >= options_.chance / kHardlyKnown) return false;
  p.grown = true;
  p.run = 0;
  return true;
}

bool NewClasses::nearly(ClassIndex label) const {
  const Presence& p = presence_[static_cast<std::size_t>(label)];
  return !p.known && p.run > 0 && p.run + 1 >= options_.minimum_count;
}

std::size_t NewClasses::collect(std::vector<ClassIndex>& classes) {
  any_due_ = false;
  classes.clear();
  std::uint64_t earliest = labels_;
  for (std::size_t k = 0; k < presence_.size(); ++k) {
    Presence& p = presence_[k];
    // A class that came with the same change need not wait for a report of its own.
    const double time = static_cast<double>(labels_ - p.first + 1);
    bool with = nearly(static_cast<ClassIndex>(k)) && time < p.absence / 4;
    if (p.known && !p.grown && !p.due && p.run >= 2 && labels_ > options_.warmup) {
      with = p.grown = chance_of_run(p) < kWithOthers;
    }
    if (!p.due && !with) continue;
    classes.push_back(static_cast<ClassIndex>(k));
    earliest = std::min(earliest, p.first);
    if (with && !p.grown) settle(p, time);
    p.grown = true;  // reported: it is not again because it goes on coming
    p.run = 0;
    p.due = false;
    p.known = true;
  }
  return static_cast<std::size_t>(labels_ - earliest) + 1;
}

void NewClasses::encode(ByteWriter& out) const {
  out.put(labels_);
  out.put(static_cast<std::uint32_t>(presence_.size()));
  for (const Presence& p : presence_) {
    out.put(static_cast<std::uint8_t>(p.known | p.due << 1 | p.grown << 2));
    out.put(p.count);
    out.put(p.last);
    out.put(p.distance);
    out.put(p.absence);
    out.put(p.first);
    out.put(p.run);
    out.put(p.gaps);
  }
}

Result<void> NewClasses::decode(ByteReader& in) {
  reset();
  StateReader state(in);
  labels_ = state.count();
  const double most = static_cast<double>(labels_);
  // Fewer classes than now: the set has grown since it was saved.
  const std::uint32_t classes = state.whole(options_.classes);
  std::uint64_t seen = 0;
  for (std::uint32_t k = 0; state.ok() && k < classes; ++k) {
    Presence& p = presence_[k];
    const auto flags = in.get<std::uint8_t>();
    state.check(flags < 8);
    p.known = flags & 1;
    p.due = flags & 2;
    p.grown = flags & 4;
    p.count = state.count(labels_);
    p.last = state.count(labels_);
    p.distance = state.number(0, most);
    p.absence = state.number(0, most);
    p.first = state.count(p.last);
    p.run = state.whole(0xFFFFFFFFu);
    p.gaps = state.whole(kGaps);
    seen += p.count;
    state.check((p.count == 0) == (p.last == 0) && p.run <= p.count && (p.count > 0 || flags == 0));
    state.check(p.known || p.count == 0 || (p.first > 0 && p.run > 0));
    state.check(seen <= labels_);
    any_due_ = any_due_ || p.due;
  }
  state.check(seen == labels_);
  if (!state.ok()) reset();
  return state.result("the classes met so far");
}

}  // namespace p2p::learner

#include "learner/drift/confusion_test.hpp"

#include <algorithm>
#include <cmath>

#include "learner/drift/state.hpp"

namespace p2p::learner {
namespace {

constexpr double kMostly = 0.6;   // of the samples of both classes
constexpr double kFewest = 4;     // confusions before anything is said
constexpr double kMemory = 1000;  // samples
constexpr double kWarmup = 180;   // of a model's samples, faded: all confusions in these are usual ones
constexpr double kMet = 10;       // of a class: before, that it is mistaken says that it is new

double fade(std::uint64_t samples) { return std::exp(-static_cast<double>(samples) / kMemory); }

}  // namespace

double ConfusionTest::Known::at(std::uint64_t now) const { return count * fade(now - last); }

ConfusionTest::ConfusionTest(const Options& options)
    : options_(options), labels_(options.classes), slots_(options.classes) {
  P2P_ASSERT(options.classes >= 1 && options.classes <= kMaxClasses && options.run_length >= 1);
}

void ConfusionTest::forget_confusions() {
  std::fill(slots_.begin(), slots_.end(), Slots{});
  since_ = samples_;
}

void ConfusionTest::grow(std::uint32_t classes) {
  P2P_ASSERT(classes >= options_.classes && classes <= kMaxClasses);
  options_.classes = classes;
  labels_.resize(classes);
  slots_.resize(classes);
}

ConfusionTest::Confusion& ConfusionTest::slot(ClassIndex a, ClassIndex b) {
  // Either may keep it, so that no class has to remember all of its pairs.
  const auto [keeper, other] = (a + b) % 2 == 0 ? std::pair(a, b) : std::pair(b, a);
  Slots& slots = slots_[static_cast<std::size_t>(keeper)];
  const auto worth = [&](const Confusion& c) {
    return c.other == kNoClass ? -1.0 : c.usual * fade(samples_ - c.last) + c.run;
  };
  Confusion* least = &slots.front();
  for (Confusion& each : slots) {
    if (each.other == other) return each;
    if (worth(each) < worth(*least)) least = &each;
  }
  *least = {};
  least->other = other;
  least->last = samples_;
  return *least;
}

bool ConfusionTest::update(ClassIndex label, ClassIndex predicted) {
  P2P_ASSERT(label >= 0 && static_cast<std::uint32_t>(label) < options_.classes);
  ++samples_;
  Known& known = labels_[static_cast<std::size_t>(label)];
  if (known.last == 0) ++met_;
  known.count = known.at(samples_) + 1;
  known.last = samples_;
  if (predicted == label || predicted < 0 || static_cast<std::uint32_t>(predicted) >= options_.classes) return false;

  const auto [a, b] = std::minmax(label, predicted);
  Confusion& pair = slot(a, b);
  const auto past = [](std::uint64_t samples) { return kMemory * (1 - fade(samples)); };
  const double count_a = labels_[static_cast<std::size_t>(a)].at(samples_);
  const double count_b = labels_[static_cast<std::size_t>(b)].at(samples_);
  const double judged = past(samples_ - since_);
  pair.usual *= fade(samples_ - pair.last);
  const double before = pair.usual + 1;
  const double q0 = (before + std::sqrt(before)) / std::max(judged, 1.0);
  const double q1 = std::max(kMostly * (count_a + count_b) / past(samples_), 2 * q0);
  pair.sum -= (q1 - q0) * static_cast<double>(samples_ - pair.last);
  pair.last = samples_;
  if (!(pair.sum > 0)) {
    pair.usual = std::min(pair.usual + pair.run, kMemory);
    pair.sum = 0;
    pair.run = 0;
    pair.first = samples_;
  }
  if (judged < kWarmup) {
    pair.usual = std::min(pair.usual + 1, kMemory);
    return false;
  }
  ++pair.run;
  const double pairs = std::max(1.0, 0.5 * met_ * (met_ - 1.0));
  const double enough = std::log(pairs * options_.run_length);
  pair.sum = std::min(pair.sum + std::min(std::log(q1 / q0), enough / kFewest), enough);
  if (met_ < 3 || std::min(count_a, count_b) < kMet || pair.sum < enough) return false;
  alarm_ = {{a, b}, static_cast<std::size_t>(samples_ - pair.first) + 1};
  return true;
}

void ConfusionTest::encode(ByteWriter& out) const {
  out.put(samples_);
  out.put(since_);
  out.put(static_cast<std::uint32_t>(labels_.size()));
  for (const Known& known : labels_) {
    out.put(known.count);
    out.put(known.last);
  }
  for (const Slots& slots : slots_) {
    const auto used = std::count_if(slots.begin(), slots.end(), [](const auto& c) { return c.other != kNoClass; });
    out.put(static_cast<std::uint32_t>(used));
    for (const Confusion& pair : slots) {
      if (pair.other == kNoClass) continue;
      out.put(static_cast<std::uint32_t>(pair.other));
      out.put(pair.usual);
      out.put(pair.sum);
      out.put(pair.last);
      out.put(pair.first);
      out.put(pair.run);
    }
  }
}

Result<void> ConfusionTest::decode(ByteReader& in) {
  *this = ConfusionTest(options_);
  StateReader state(in);
  samples_ = state.count();
  since_ = state.count(samples_);
  // Fewer classes than now: the set has grown since it was saved.
  const std::uint32_t classes = state.whole(options_.classes);
  for (std::uint32_t c = 0; state.ok() && c < classes; ++c) {
    labels_[c].count = state.number(0, kMemory + 1);
    labels_[c].last = state.count(samples_);
    state.check((labels_[c].last == 0) == (labels_[c].count == 0));
    met_ += labels_[c].last > 0;
  }
  for (std::uint32_t c = 0; state.ok() && c < classes; ++c) {
    const std::uint32_t used = state.whole(kSlots);
    for (std::uint32_t k = 0; state.ok() && k < used; ++k) {
      Confusion& pair = slots_[c][k];
      pair.other = static_cast<ClassIndex>(state.whole(classes - 1));
      pair.usual = state.number(0, kMemory + 1);
      pair.sum = state.number(0, 1e6);
      pair.last = state.count(samples_);
      pair.first = state.count(pair.last);
      pair.run = state.whole(0xFFFFFFFFu);
      state.check(pair.other != static_cast<ClassIndex>(c) && pair.first > since_);
      for (std::uint32_t before = 0; before < k; ++before) state.check(slots_[c][before].other != pair.other);
    }
  }
  if (!state.ok()) *this = ConfusionTest(options_);
  return state.result("the classes that are confused");
}

}  // namespace p2p::learner

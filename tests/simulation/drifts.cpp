#include "tests/simulation/drifts.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace p2p::testing {
namespace {

constexpr std::uint32_t kTurned = 1, kInverted = 4, kOwn = 7, kElsewhere = 2;  // geometries
constexpr std::size_t kStretch = 600;                                        // of a recurring concept
constexpr std::size_t kStagger = 150;
constexpr double kRare = 0.03;
constexpr std::size_t kLate = 100, kFew = 10, kNone = 300;  // samples that labels come late, of which one has a label, without any

struct Draw {
  std::vector<std::int32_t> order;  // of the classes, drawn anew for each seed
  Weights all;
  std::vector<std::int32_t> first(std::size_t count) const {
    return {order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count)};
  }
  Weights without(std::size_t count) const {
    Weights out = all;
    for (std::size_t i = 0; i < count; ++i) out[static_cast<std::size_t>(order[i])] = 0;
    return out;
  }
  /// The first half of the classes, in this order, are rare (or all the others).
  Weights half(bool first) const {
    Weights out = all;
    for (std::size_t i = 0; i < order.size(); ++i) {
      if ((i < order.size() / 2) == first) out[static_cast<std::size_t>(order[i])] = kRare;
    }
    return out;
  }
  std::vector<std::int32_t> swapped() const {  // two change names
    std::vector<std::int32_t> names(order.size());
    std::iota(names.begin(), names.end(), 0);
    std::swap(names[static_cast<std::size_t>(order[0])], names[static_cast<std::size_t>(order[1])]);
    return names;
  }
};

Stage stage(std::size_t from, View view, Weights weights) {
  Stage out;
  out.from = from;
  out.view = std::move(view);
  out.weights = std::move(weights);
  return out;
}

Draw draw(const RealData& data, std::uint64_t seed) {
  Draw out{std::vector<std::int32_t>(data.classes), Weights(data.classes, 1)};
  std::iota(out.order.begin(), out.order.end(), 0);
  Random random(seed * 131 + 29);
  for (std::size_t i = out.order.size(); i > 1; --i) std::swap(out.order[i - 1], out.order[random.below(i)]);
  return out;
}

}  // namespace

const std::vector<Drift>& drifts() {
  static const std::vector<Drift> all = {
      {"introduction", "a class never seen here"},
      {"introduction3", "three classes never seen here, at once"},
      {"fluctuation", "the mix turns over: half of the classes were rare, now the others are"},
      {"coming", "a class goes for 600 samples and comes back, twice"},
      {"mix", "shares shift by a factor of 3 among well known classes; no part is needed"},
      {"rotated", "images turned by 90 degrees; columns permuted and mirrored"},
      {"inverted", "images inverted; another permutation"},
      {"swapped", "two labels swapped"},
      {"recurring", "turned and back, every 600 samples; each return is measured"},
      {"staggered", "all places turn, one every 150 samples; the last is measured"},
      {"unknown", "turned as nobody else is"},
      {"misleading", "turned, and all who say that they know it have learned something else"},
      {"poisoned", "turned; 2 of 7 peers say that they know it and have learned noise, or another concept"},
      {"late", "turned; each label comes 100 samples after its sample"},
      {"few", "turned; one sample in ten is labelled"},
      {"unlabelled", "turned; no labels for 300 samples"},
  };
  return all;
}

std::optional<Plan> plan(const std::string& drift, const RealData& data, std::uint64_t seed, const Lengths& lengths) {
  const auto known = std::find_if(drifts().begin(), drifts().end(), [&](const Drift& d) { return drift == d.name; });
  if (known == drifts().end()) return std::nullopt;
  const auto d = draw(data, seed);
  Plan out;
  View to;
  Weights before = d.all, after = d.all;
  bool known_to_others = true;
  std::size_t liars = 0;

  if (drift == "introduction") {
    before = d.without(1);
    out.concerned = d.first(1);
  } else if (drift == "introduction3") {
    before = d.without(3);
    out.concerned = d.first(3);
  } else if (drift == "fluctuation") {
    before = d.half(true);
    after = d.half(false);
  } else if (drift == "mix") {
    for (std::size_t i = 0; i < d.order.size() / 2; ++i) after[static_cast<std::size_t>(d.order[i])] = 3;
  } else if (drift == "inverted") {
    to.geometry = kInverted;
  } else if (drift == "swapped") {
    to.names = d.swapped();
    out.concerned = d.first(2);
  } else if (drift == "unknown") {
    to.geometry = kOwn;
    known_to_others = false;
  } else if (drift == "coming") {
    out.concerned = d.first(1);
  } else {
    to.geometry = kTurned;
    known_to_others = drift != "misleading";
    liars = drift == "misleading" ? 3 : drift == "poisoned" ? 2 : 0;
  }
  const auto after_change = [change = lengths.before](auto delay) {
    return [=](std::size_t index) { return index < change ? std::optional<std::size_t>(0) : delay(index - change); };
  };
  using Delay = std::optional<std::size_t>;
  if (drift == "late") out.labels = after_change([](std::size_t) { return Delay(kLate); });
  if (drift == "few") out.labels = after_change([](std::size_t since) { return since % kFew == 0 ? Delay(0) : std::nullopt; });
  if (drift == "unlabelled") out.labels = after_change([](std::size_t since) { return since < kNone ? std::nullopt : Delay(0); });

  Life life;
  life.push_back(stage(0, {}, before));
  if (drift == "recurring" || drift == "coming") {
    const bool views = drift == "recurring";
    for (std::size_t k = 0; k < 4; ++k) {
      const std::size_t at = lengths.before + k * kStretch;
      const bool away = k % 2 == 0;
      life.push_back(stage(at, away && views ? to : View{}, away && !views ? d.without(1) : d.all));
      if (views ? k > 0 : !away) out.measured.push_back(at);
    }
    out.samples = lengths.before + 4 * kStretch;
  } else {
    life.push_back(stage(lengths.before, to, after));
    out.measured = {lengths.before};
    out.samples = lengths.before + lengths.after + (drift == "unlabelled" ? kNone : 0);
  }
  out.places.push_back(life);

  // Of the other places every second one lives where place 0 is going; the others elsewhere, or in what it leaves.
  for (std::size_t i = 1; i + liars < lengths.places; ++i) {
    Life other;
    if (drift == "staggered") {
      const std::size_t at = lengths.before - std::min(lengths.before, (lengths.places - i) * kStagger);
      other.push_back(stage(0, {}, d.all));
      other.push_back(stage(at, to, d.all));
    } else if (i % 2 == 1 && known_to_others) {
      other.push_back(stage(0, to, d.all));
    } else {
      View elsewhere;
      if (i % 4 != 0) elsewhere.geometry = kElsewhere + (i % 2 == 1 ? 3 : 0);
      other.push_back(stage(0, elsewhere, d.all));
    }
    out.places.push_back(std::move(other));
  }
  for (std::size_t i = 0; i < liars; ++i) {
    View learned;
    const auto kind = (seed + i) % 3;  // noise, another geometry, or the right one with two names swapped
    learned.geometry = kind == 1 ? kElsewhere + 1 : to.geometry;
    learned.random_labels = kind == 0;
    if (kind == 2) learned.names = d.swapped();
    out.liars.push_back({.pretends = to, .learned = learned});
  }
  return out;
}

}  // namespace p2p::testing

#include "learner/models/trees/adaptive_random_forest.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include <fmt/core.h>

#include "learner/models/params.hpp"
#include "learner/models/trees/forest_parts.hpp"

namespace p2p::learner {
namespace {

/// Samples that a tree's accuracy is taken over when it votes.
constexpr float kRecent = 33;
/// Of the record per class: about the latest 100 samples of the class count.
constexpr float kJudgeDecay = 0.99f;
/// Weight of a class after which a tree half knows it.
constexpr float kHalfKnown = 1200;
/// Two trees are told apart by the samples that only one of them gets right: at least so many, and
/// a difference of two standard deviations. After kPatience samples without that the one behind
/// goes.
constexpr double kLeastApart = 10, kCertain = 4;
constexpr std::uint32_t kPatience = 1000;

/// The bits of the largest magnitude: in the order of the magnitudes, what is not finite above all
/// others.
std::int32_t largest_bits(Features x) {
  std::int32_t most = 0;
  for (const float v : x) most = std::max(most, std::bit_cast<std::int32_t>(v) & 0x7FFFFFFF);
  return most;
}

}  // namespace

Result<std::unique_ptr<AdaptiveRandomForest>> AdaptiveRandomForest::make(const ModelSpec& spec) {
  Params params(spec);
  Config config;
  config.trees = params.whole("trees", 10, 1, kMaxTrees);
  config.lambda = params.number("lambda", 6, 0.1, 20);
  config.delta_warning = params.number("delta_warning", 0.02, 1e-12, 0.5);
  config.delta_drift = params.number("delta_drift", 0.005, 1e-12, 0.5);
  config.share = params.number("share", 0.3, 0.01, 1);
  HoeffdingShape& shape = config.shape;
  shape.features = spec.features;
  shape.classes = spec.classes;
  const double subset = params.number("subset", 0.6, 0.001, 1);
  shape.subset = std::clamp(static_cast<std::uint32_t>(std::lround(subset * spec.features)), 1u,
                            spec.features);
  shape.grace = static_cast<float>(params.number("grace", 50, 1, 1e6));
  shape.log_inverse_delta =
      static_cast<float>(std::log(1 / params.number("delta_split", 0.01, 1e-12, 0.5)));
  shape.tie = static_cast<float>(params.number("tie", 0.08, 0.001, 1));
  shape.persistence = static_cast<float>(params.number("persistence", 6, 0, 1e6));
  shape.max_depth = params.whole("max_depth", 60, 1, 200);
  shape.max_leaves = params.whole("max_leaves", 2048, 1, 1u << 16);
  const double memory = params.number("memory", 64, 1, 4096);
  // Of each tree, in front or in the background: so many bytes for rows, and as many for the lists
  // of features that leaves look at.
  const double each = memory * 1048576 / (2.0 * config.trees);
  const auto fit = [&](double size, double most) {
    return static_cast<std::uint32_t>(std::clamp(each / size, 8.0, std::max(8.0, most)));
  };
  shape.max_rows = fit(static_cast<double>(GaussianRows::row_bytes(shape.stride())), 1e6);
  shape.max_leaves = std::min(shape.max_leaves, fit(2.0 * shape.subset, shape.max_leaves));
  config.fingerprint = params.fingerprint();
  if (auto ok = params.check(); !ok) return tl::unexpected(ok.error());
  return std::unique_ptr<AdaptiveRandomForest>(new AdaptiveRandomForest(spec, config));
}

Adwin AdaptiveRandomForest::detector(double delta) {
  Adwin::Options options;
  options.delta = options.warning_delta = delta;
  return Adwin(options);
}

AdaptiveRandomForest::Member::Member(Grown planted, const Config& config)
    : front(std::move(planted)),
      warning(detector(config.delta_warning)),
      drift(detector(config.delta_drift)) {}

AdaptiveRandomForest::Member::Member(const Member& other)
    : front(other.front),
      warning(other.warning),
      drift(other.drift),
      back(other.back ? std::make_unique<Grown>(*other.back) : nullptr),
      guest(other.guest),
      only_front(other.only_front),
      only_back(other.only_back),
      together(other.together) {}

AdaptiveRandomForest::AdaptiveRandomForest(const ModelSpec& spec, const Config& config)
    : spec_(spec),
      config_(config),
      random_(spec.seed),
      weight_(spec.classes),
      scores_(spec.classes),
      cut_(spec.features) {
  double p = std::exp(-config.lambda), sum = 0;
  for (std::size_t k = 0; k < poisson_.size(); ++k) {
    sum += p;
    p *= config.lambda / static_cast<double>(k + 1);
    poisson_[k] = static_cast<std::uint32_t>(std::min(sum, 1.0) * 4294967295.0);
  }
  scratch_.x.assign(config.shape.stride(), 0);
  scratch_.score.assign(spec.classes, 0);
  members_.reserve(config.trees);
  for (std::uint32_t i = 0; i < config.trees; ++i) members_.emplace_back(seedling(), config_);
  weigh_all();
}

AdaptiveRandomForest::Grown AdaptiveRandomForest::seedling() {
  return {HoeffdingTree(config_.shape, random_), 0, 0, 0, std::vector<ClassRecord>(spec_.classes)};
}

unsigned AdaptiveRandomForest::draw_weight() {
  const auto u = static_cast<std::uint32_t>(random_.next() >> 32);
  unsigned k = 0;
  while (k + 1 < poisson_.size() && u > poisson_[k]) ++k;
  return k;
}

void AdaptiveRandomForest::weigh(std::size_t c) {
  float sum = 0, top = 0;
  for (const Member& member : members_) {
    const float mass = member.front.classes[c].mass;
    const float known = mass / (mass + kHalfKnown);
    sum += known;
    top = std::max(top, known);
  }
  weight_[c] = top > 0 ? top / sum : 1.0f / static_cast<float>(members_.size());
}

void AdaptiveRandomForest::weigh_all() {
  for (std::size_t c = 0; c < weight_.size(); ++c) weigh(c);
}

Features AdaptiveRandomForest::cut(Features x) const {
  static constexpr float kLimit = GaussianRows::kLimit;
  if (largest_bits(x) <= std::bit_cast<std::int32_t>(kLimit)) return x;
  std::transform(x.begin(), x.end(), cut_.begin(),
                 [](float v) { return std::clamp(v, -kLimit, kLimit); });
  return cut_;
}

void AdaptiveRandomForest::scores(Features sample, std::span<float> out) const {
  P2P_ASSERT(sample.size() == spec_.features && out.size() == spec_.classes);
  const Features x = cut(sample);
  std::fill(out.begin(), out.end(), 0.0f);
  for (const Member& member : members_) {
    const Grown& front = member.front;
    front.tree.guess(x, front.say(), out, scratch_);
  }
  for (std::size_t c = 0; c < out.size(); ++c) out[c] *= weight_[c];
}

ClassIndex AdaptiveRandomForest::predict(Features x) const {
  scores(x, scores_);
  return static_cast<ClassIndex>(std::max_element(scores_.begin(), scores_.end()) -
                                 scores_.begin());
}

void AdaptiveRandomForest::learn(Features x, ClassIndex y) { predict_then_learn(x, y); }

void AdaptiveRandomForest::judge(Grown& grown, bool hit, ClassIndex y, unsigned weight) const {
  grown.trained += weight > 0;
  // A plain mean at first.
  grown.seen = std::min(grown.seen + 1, kRecent);
  grown.accuracy += ((hit ? 1.0f : 0.0f) - grown.accuracy) / grown.seen;
  ClassRecord& record = grown.classes[static_cast<std::size_t>(y)];
  record.seen = record.seen * kJudgeDecay + 1;
  record.hit = record.hit * kJudgeDecay + (hit ? 1.0f : 0.0f);
  record.mass += static_cast<float>(weight);
}

ClassIndex AdaptiveRandomForest::predict_then_learn(Features sample, ClassIndex y) {
  P2P_ASSERT(sample.size() == spec_.features && y >= 0 &&
             static_cast<std::uint32_t>(y) < spec_.classes);
  if (largest_bits(sample) >= 0x7F800000) return predict(sample);  // not finite
  const Features x = cut(sample);
  if (!personal_) {
    // The task's seed is the same everywhere; without this all nodes would grow their trees from
    // the same draws.
    std::uint64_t key = static_cast<std::uint64_t>(y) + 1;
    for (const float v : x) key = key * 0x9E3779B97F4A7C15ull + std::bit_cast<std::uint32_t>(v);
    random_ = random_.fork(key);
    personal_ = true;
  }
  std::fill(scores_.begin(), scores_.end(), 0.0f);
  bool changed = false;  // the set of trees
  for (Member& member : members_) {
    Grown& front = member.front;
    const auto guess = front.tree.guess(x, front.say(), scores_, scratch_);
    const bool hit = guess.said == y;
    const unsigned k = draw_weight();
    if (k > 0) front.tree.train(guess, y, static_cast<float>(k), scratch_, random_);
    judge(front, hit, y, k);
    if (member.back) {
      Grown& back = *member.back;
      const auto other = back.tree.guess(x, 0, {}, scratch_);
      if (k > 0) back.tree.train(other, y, static_cast<float>(k), scratch_, random_);
      judge(back, other.said == y, y, k);
      if (member.guest) changed |= compare(member, hit, other.said == y);
    }
    const double miss = hit ? 0 : 1;
    if (member.warning.update(miss) == DriftLevel::drift && !member.guest) {
      ++events_.warnings;
      member.back = std::make_unique<Grown>(seedling());
      member.warning.reset();
    }
    if (member.drift.update(miss) == DriftLevel::drift) {
      ++events_.drifts;
      promote(member);
      changed = true;
    }
  }
  for (std::size_t c = 0; c < scores_.size(); ++c) scores_[c] *= weight_[c];
  if (changed) {
    weigh_all();
  } else {
    weigh(static_cast<std::size_t>(y));
  }
  return static_cast<ClassIndex>(std::max_element(scores_.begin(), scores_.end()) -
                                 scores_.begin());
}

void AdaptiveRandomForest::promote(Member& member) {
  // A guest that does worse than what drifted is no help.
  if (member.back && (!member.guest || member.only_back >= member.only_front)) {
    member.front = std::move(*member.back);
  } else {
    member.front = seedling();
  }
  member.back.reset();
  member.guest = false;
  member.warning.reset();
  member.drift.reset();
}

bool AdaptiveRandomForest::compare(Member& member, bool front_hit, bool back_hit) {
  ++member.together;
  member.only_front += front_hit && !back_hit;
  member.only_back += back_hit && !front_hit;
  const double apart = member.only_front + member.only_back;
  const double ahead = static_cast<double>(member.only_back) - member.only_front;
  if (apart >= kLeastApart && ahead * ahead > kCertain * apart) {
    if (ahead > 0) {
      ++events_.promoted;
      promote(member);
      return true;
    }
  } else if (member.together < kPatience) {
    return false;
  }
  ++events_.dismissed;
  member.back.reset();
  member.guest = false;
  return false;
}

std::unique_ptr<Model> AdaptiveRandomForest::clone() const {
  return std::unique_ptr<Model>(new AdaptiveRandomForest(*this));
}

std::vector<AdaptiveRandomForest::TreeReport> AdaptiveRandomForest::report() const {
  std::vector<TreeReport> out;
  for (const Member& member : members_) {
    const Grown& front = member.front;
    out.push_back({front.tree.leaves(), front.tree.depth(), front.tree.active(), front.trained,
                   static_cast<double>(front.accuracy), member.back != nullptr});
  }
  return out;
}

std::size_t AdaptiveRandomForest::bytes() const {
  std::size_t total = 0;
  const auto add = [&](const Grown& grown) {
    total += grown.tree.bytes() + grown.classes.size() * sizeof(ClassRecord);
  };
  for (const Member& member : members_) {
    total += sizeof(Member);
    add(member.front);
    if (member.back) add(*member.back);
  }
  return total;
}

void AdaptiveRandomForest::grow(std::uint32_t classes) {
  P2P_ASSERT(classes >= spec_.classes && classes <= kMaxClasses);
  spec_.classes = classes;
  config_.shape.classes = classes;
  const auto widen = [&](Grown& grown) {
    grown.tree.grow(classes);
    grown.classes.resize(classes);
  };
  for (Member& member : members_) {
    widen(member.front);
    if (member.back) widen(*member.back);
  }
  weight_.resize(classes);
  scores_.resize(classes);
  scratch_.score.resize(classes);
  weigh_all();
}

}  // namespace p2p::learner

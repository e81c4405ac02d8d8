#include "learner/models/trees/online_random_forest.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include <fmt/core.h>

#include "learner/models/params.hpp"
#include "learner/models/trees/forest_parts.hpp"

namespace p2p::learner {
namespace {

constexpr std::uint32_t kStateMagic = 0x3146524F;  // "ORF1"
constexpr std::size_t kMaxBytes = std::size_t{1} << 30;
/// Of the out-of-bag record per class: about the latest 100 judgements count.
constexpr float kJudgeDecay = 0.99f;
constexpr float kFast = 0.03f, kSlow = 0.001f;
/// Judgements before a tree may be discarded.
constexpr float kYouth = 200;
/// Samples of a class after which a tree half knows it.
constexpr float kHalfKnown = 200;

/// Poisson(1), without a branch: how many of the values of its distribution function, times 2^32, a
/// uniform number passes. More than 9 never comes (once in 10^7 draws it would).
unsigned draw_weight(Random& random) {
  constexpr std::uint32_t kBelow[] = {1580030169, 3160060337, 3950075422, 4213413783, 4279248374,
                                      4292415292, 4294609778, 4294923276, 4294962463};
  const auto u = static_cast<std::uint32_t>(random.next() >> 32);
  unsigned k = 0;
  for (const std::uint32_t bound : kBelow) k += u >= bound;
  return k;
}

}  // namespace

Result<std::unique_ptr<OnlineRandomForest>> OnlineRandomForest::make(const ModelSpec& spec) {
  Params params(spec);
  Config config;
  config.trees = params.whole("trees", 20, 1, kMaxTrees);
  config.share = params.number("share", 0.3, 0.01, 1);
  config.shape.memory = static_cast<float>(params.number("memory", 200, 10, 1e6));
  config.discard_margin = params.number("discard_margin", 0.2, 0, 1);
  config.shape.features = spec.features;
  config.shape.classes = spec.classes;
  config.shape.tests = params.whole("tests", 20, 1, 1000);
  config.shape.max_depth = params.whole("max_depth", 30, 1, 64);
  config.shape.max_leaves = params.whole("max_leaves", 1024, 1, 1u << 16);
  config.shape.min_samples = static_cast<float>(params.number("min_samples", 50, 2, 1e6));
  config.shape.min_gain = static_cast<float>(params.number("min_gain", 0.05, 0, 10));
  config.fingerprint = params.fingerprint();
  if (auto ok = params.check(); !ok) return tl::unexpected(ok.error());
  const std::size_t most =
      std::size_t{config.trees} * config.shape.max_leaves * config.shape.leaf_bytes();
  if (most > kMaxBytes) {
    return fail(
        ErrorCode::limit_exceeded,
        fmt::format(
            "a forest of this shape may grow to {} MiB, at most {} are allowed; lower max_leaves, "
            "tests or trees",
            most >> 20, kMaxBytes >> 20));
  }
  return std::unique_ptr<OnlineRandomForest>(new OnlineRandomForest(spec, config));
}

OnlineRandomForest::OnlineRandomForest(const ModelSpec& spec, const Config& config)
    : spec_(spec),
      config_(config),
      random_(spec.seed),
      ranges_{std::vector<float>(spec.features, std::numeric_limits<float>::max()),
              std::vector<float>(spec.features, std::numeric_limits<float>::lowest())},
      weight_(spec.classes),
      leaves_(config.trees),
      scores_(spec.classes) {
  members_.reserve(config.trees);
  for (std::uint32_t i = 0; i < config.trees; ++i) {
    members_.push_back(
        {RandomTree(config.shape), 0, 0, 0, 0, std::vector<ClassRecord>(spec.classes)});
  }
  for (std::size_t c = 0; c < spec.classes; ++c) weigh(c);
}

void OnlineRandomForest::weigh(std::size_t c) {
  float sum = 0, top = 0;
  for (const Member& member : members_) {
    const float mass = member.classes[c].mass;
    const float known = mass / (mass + kHalfKnown);
    sum += known;
    top = std::max(top, known);
  }
  weight_[c] = top > 0 ? top / sum : 1.0f / static_cast<float>(members_.size());
}

void OnlineRandomForest::find_leaves(Features x) const {
  P2P_ASSERT(x.size() == spec_.features);
  for (std::size_t i = 0; i < members_.size(); ++i) leaves_[i] = members_[i].tree.leaf_of(x);
}

void OnlineRandomForest::vote(std::span<const std::uint32_t> leaves, std::span<float> out) const {
  std::fill(out.begin(), out.end(), 0.0f);
  for (std::size_t i = 0; i < members_.size(); ++i) {
    const RandomTree& tree = members_[i].tree;
    const float total = tree.total(leaves[i]);
    if (total <= 0) continue;
    const float one = 1.0f / total;
    const auto n = tree.counts(leaves[i]);
    for (std::size_t c = 0; c < out.size(); ++c) out[c] += n[c] * one;
  }
  for (std::size_t c = 0; c < out.size(); ++c) out[c] *= weight_[c];
}

void OnlineRandomForest::scores(Features x, std::span<float> out) const {
  P2P_ASSERT(out.size() == spec_.classes);
  find_leaves(x);
  vote(leaves_, out);
}

ClassIndex OnlineRandomForest::predict(Features x) const {
  scores(x, scores_);
  return static_cast<ClassIndex>(std::max_element(scores_.begin(), scores_.end()) -
                                 scores_.begin());
}

void OnlineRandomForest::learn(Features x, ClassIndex y) { predict_then_learn(x, y); }

ClassIndex OnlineRandomForest::predict_then_learn(Features x, ClassIndex y) {
  P2P_ASSERT(y >= 0 && static_cast<std::uint32_t>(y) < spec_.classes);
  const ClassIndex predicted = predict(x);
  std::int32_t largest = 0;
  for (const float v : x) largest = std::max(largest, std::bit_cast<std::int32_t>(v) & 0x7FFFFFFF);
  if (largest >= 0x7F800000) return predicted;  // not finite
  float *low = ranges_.low.data(), *high = ranges_.high.data();
  for (std::size_t f = 0; f < x.size(); ++f) {
    low[f] = x[f] < low[f] ? x[f] : low[f];
    high[f] = x[f] > high[f] ? x[f] : high[f];
  }
  if (!personal_) {
    // The task's seed is the same everywhere; without this all nodes would grow their trees from
    // the same draws.
    std::uint64_t key = static_cast<std::uint64_t>(y) + 1;
    for (const float v : x) key = key * 0x9E3779B97F4A7C15ull + std::bit_cast<std::uint32_t>(v);
    random_ = random_.fork(key);
    personal_ = true;
  }
  for (std::size_t i = 0; i < members_.size(); ++i) {
    Member& member = members_[i];
    const unsigned k = draw_weight(random_);
    if (k == 0) {
      judge(member, leaves_[i], y);
      continue;
    }
    member.tree.train(leaves_[i], x, y, static_cast<float>(k), ranges_, random_);
    member.trained += 1;
    member.classes[static_cast<std::size_t>(y)].mass += static_cast<float>(k);
  }
  weigh(static_cast<std::size_t>(y));
  return predicted;
}

void OnlineRandomForest::judge(Member& member, std::uint32_t leaf, ClassIndex y) {
  const bool hit = member.tree.vote(leaf) == y;
  ClassRecord& judged = member.classes[static_cast<std::size_t>(y)];
  judged.seen = judged.seen * kJudgeDecay + 1;
  judged.hit = judged.hit * kJudgeDecay + (hit ? 1.0f : 0.0f);
  member.judged += 1;
  // Plain means at first, then exponential ones.
  const float miss = hit ? 0.0f : 1.0f;
  member.fast_error += (miss - member.fast_error) * std::max(kFast, 1.0f / member.judged);
  member.slow_error += (miss - member.slow_error) * std::max(kSlow, 1.0f / member.judged);
  if (member.judged < kYouth) return;
  const double excess =
      static_cast<double>(member.fast_error - member.slow_error) - config_.discard_margin;
  // Not all at once: the forest must go on answering while new trees grow.
  if (excess > 0 && random_.uniform() < 0.05 * excess) plant(member);
}

void OnlineRandomForest::plant(Member& member) {
  member.tree.clear();
  member.trained = 0;
  member.fast_error = member.slow_error = member.judged = 0;
  std::fill(member.classes.begin(), member.classes.end(), ClassRecord{});
  for (std::size_t c = 0; c < weight_.size(); ++c) weigh(c);
  ++discarded_;
}

std::unique_ptr<Model> OnlineRandomForest::clone() const {
  return std::unique_ptr<Model>(new OnlineRandomForest(*this));
}

ForestView OnlineRandomForest::view() const {
  ForestView out{spec_, config_.fingerprint, config_.share, {}};
  for (const Member& member : members_) out.trees.push_back({member.trained, member.classes});
  return out;
}

Part OnlineRandomForest::partition(std::span<const ClassIndex> classes, Precision precision) const {
  return give_trees(view(), classes, precision,
                    [&](std::uint32_t i, ByteWriter& out, std::span<double> mass) {
                      members_[i].tree.class_mass(mass);
                      members_[i].tree.write_structure(out, precision);
                    });
}

Result<void> OnlineRandomForest::merge(const Part& part, const MergeOptions& options) {
  auto incoming = read_trees<RandomTree>(
      view(), part, options, [&](ByteReader& in, Precision precision) -> Result<RandomTree> {
        RandomTree tree(config_.shape);
        if (auto read = tree.read_structure(in, precision); !read)
          return tl::unexpected(read.error());
        return tree;
      });
  if (!incoming) return tl::unexpected(incoming.error());
  // Nothing can fail from here on.
  std::size_t room = config_.trees;
  if (!options.classes.empty()) {
    // A tree that comes in knows little of the classes that were not asked for: the better half
    // stays.
    room = (config_.trees + 1) / 2;
  }
  if (options.mode == MergeOptions::Mode::blend) {
    double evidence_own = 0, evidence_in = 0;
    for (const Member& member : members_) evidence_own += member.trained;
    evidence_own /= config_.trees;
    for (const Block& block : part.blocks) evidence_in += block.evidence;
    const double mean_in =
        incoming->empty() ? 0 : evidence_in / static_cast<double>(incoming->size());
    const double share = mean_in + evidence_own > 0 ? mean_in / (mean_in + evidence_own) : 0;
    room = std::min(room, static_cast<std::size_t>(std::lround(share * config_.trees)));
  }
  const std::vector<std::uint32_t> worst = worst_trees(view(), options.classes);
  for (std::size_t i = 0; i < std::min(room, incoming->size()); ++i) {
    OfferedTree<RandomTree>& tree = (*incoming)[i];
    members_[worst[i]] = {std::move(tree.tree), tree.evidence, 0, 0, 0, std::move(tree.records)};
  }
  for (std::size_t c = 0; c < weight_.size(); ++c) weigh(c);
  return {};
}

void OnlineRandomForest::grow(std::uint32_t classes) {
  P2P_ASSERT(classes >= spec_.classes && classes <= kMaxClasses);
  spec_.classes = config_.shape.classes = classes;
  for (Member& member : members_) {
    member.tree.grow(classes);
    member.classes.resize(classes);
  }
  weight_.resize(classes);
  scores_.resize(classes);
  for (std::size_t c = 0; c < classes; ++c) weigh(c);
}

Bytes OnlineRandomForest::encode() const {
  ByteWriter out;
  out.put(kStateMagic);
  out.put(config_.fingerprint);
  out.put(spec_.classes);
  out.put(random_.state());
  out.put(static_cast<std::uint8_t>(personal_));
  out.put(discarded_);
  out.put_array(std::span<const float>(ranges_.low));
  out.put_array(std::span<const float>(ranges_.high));
  for (const Member& member : members_) {
    out.put(member.trained);
    out.put(member.fast_error);
    out.put(member.slow_error);
    out.put(member.judged);
    write_record_state(out, member.classes);
    member.tree.write_state(out);
  }
  return out.take();
}

Result<void> OnlineRandomForest::decode(ByteView bytes) {
  const auto damaged = [](std::string_view what) {
    return fail(ErrorCode::malformed, fmt::format("the bytes of the model are damaged: {}", what));
  };
  ByteReader in(bytes);
  if (in.get<std::uint32_t>() != kStateMagic) return damaged("they are not of family orf");
  if (in.get<std::uint64_t>() != config_.fingerprint) {
    return fail(ErrorCode::invalid_argument,
                "the bytes are of a model with another spec; use the spec it was made with");
  }
  if (in.get<std::uint32_t>() != spec_.classes) {
    return fail(ErrorCode::invalid_argument,
                "the bytes are of a model with another number of classes; use the spec it had");
  }
  random_ = Random(in.get<std::uint64_t>());
  personal_ = in.get<std::uint8_t>() != 0;
  discarded_ = in.get<std::uint64_t>();
  for (auto* side : {&ranges_.low, &ranges_.high}) {
    in.get_array(std::span<float>(*side));
    for (const float v : *side) {
      if (!std::isfinite(v)) return damaged("a feature's range is not finite");
    }
  }
  for (Member& member : members_) {
    member.trained = in.get<double>();
    member.fast_error = in.get<float>();
    member.slow_error = in.get<float>();
    member.judged = in.get<float>();
    if (!in.ok()) return damaged("they end early");
    const auto rate = [](float v) { return v >= 0 && v <= 1; };
    if (!(member.trained >= 0 && member.trained <= 2 * kMaxEvidence) || !rate(member.fast_error) ||
        !rate(member.slow_error) || !(member.judged >= 0 && std::isfinite(member.judged))) {
      return damaged("a tree's record is out of range");
    }
    if (!read_record_state(in, member.classes)) return damaged("a tree's record is out of range");
    if (auto read = member.tree.read_state(in); !read) return read;
  }
  if (!in.ok()) return damaged("they end early");
  if (!in.at_end()) return damaged("bytes follow the last tree");
  for (std::size_t c = 0; c < weight_.size(); ++c) weigh(c);
  return {};
}

std::vector<OnlineRandomForest::TreeReport> OnlineRandomForest::report() const {
  std::vector<TreeReport> out;
  for (const Member& member : members_) {
    out.push_back({member.tree.leaves(), member.tree.depth(), member.trained,
                   static_cast<double>(member.fast_error)});
  }
  return out;
}

std::size_t OnlineRandomForest::bytes() const {
  std::size_t total = 2 * ranges_.low.size() * sizeof(float);
  for (const Member& member : members_)
    total += member.tree.bytes() + member.classes.size() * sizeof(ClassRecord);
  return total;
}

}  // namespace p2p::learner

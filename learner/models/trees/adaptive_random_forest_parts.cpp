// What of an adaptive random forest travels, how it is taken in, and how it is kept.
#include <algorithm>
#include <cmath>

#include <fmt/core.h>

#include "learner/models/trees/adaptive_random_forest.hpp"
#include "learner/models/params.hpp"
#include "learner/transfer/quantise.hpp"

namespace p2p::learner {
namespace {

constexpr std::uint32_t kStateMagic = 0x31465241;  // "ARF1"
constexpr std::uint32_t kMaxTrees = 512;
constexpr double kMaxEvidence = 1e12;
/// As if a tree that took a place had answered this many samples as well as the others do.
constexpr float kTrust = 20;

tl::unexpected<Error> damaged(std::string_view what) {
  return fail(ErrorCode::malformed, fmt::format("the bytes of the model are damaged: {}", what));
}

}  // namespace

struct AdaptiveRandomForest::Incoming {
  double merit;
  Grown grown;
};

Part AdaptiveRandomForest::partition(std::span<const ClassIndex> classes,
                                     Precision precision) const {
  std::vector<ClassIndex> wanted;
  for (const ClassIndex c : classes) {
    if (c >= 0 && static_cast<std::uint32_t>(c) < spec_.classes) wanted.push_back(c);
  }
  Part part{spec_.family, {}};
  if (wanted.empty() && !classes.empty()) return part;
  std::vector<std::pair<double, std::uint32_t>> order;
  for (std::uint32_t i = 0; i < config_.trees; ++i) {
    const Grown& front = members_[i].front;
    if (front.trained > 0) order.emplace_back(-mean_recall(front.classes, wanted), i);
  }
  std::sort(order.begin(), order.end());
  if (!wanted.empty()) {
    const auto best = static_cast<std::size_t>(std::ceil(config_.share * config_.trees));
    order.resize(std::min(order.size(), best));
  }
  std::vector<double> mass(spec_.classes);
  for (const auto& [rank, i] : order) {
    const Grown& front = members_[i].front;
    Block block{fmt::format("tree/{}", i), {}, front.trained, {}};
    std::fill(mass.begin(), mass.end(), 0.0);
    front.tree.class_mass(mass);
    for (std::uint32_t c = 0; c < spec_.classes; ++c) {
      if (mass[c] > 0) block.classes.push_back(static_cast<ClassIndex>(c));
    }
    ByteWriter out;
    out.put(config_.fingerprint);
    out.put(static_cast<std::uint8_t>(precision));
    write_records(out, front.classes);
    front.tree.write_part(out, precision);
    block.content = out.take();
    part.blocks.push_back(std::move(block));
  }
  return part;
}

Result<AdaptiveRandomForest::Incoming> AdaptiveRandomForest::read_block(
    const Block& block, const MergeOptions& options, Random& random) const {
  const auto refused = [&](std::string_view what) {
    return fail(ErrorCode::malformed,
                fmt::format("block \"{:.32}\" was refused: {}", block.name, what));
  };
  if (!(block.evidence >= 0 && block.evidence <= kMaxEvidence))
    return refused("its evidence is out of range");
  if (block.classes.size() > spec_.classes)
    return refused("it names more classes than there are");
  for (const ClassIndex c : block.classes) {
    if (c < 0 || static_cast<std::uint32_t>(c) >= spec_.classes)
      return refused("it names a class that the task does not have");
  }
  ByteReader in(block.content);
  if (in.get<std::uint64_t>() != config_.fingerprint)
    return refused("it belongs to a model of another spec");
  const auto precision = precision_of(in.get<std::uint8_t>());
  if (!precision) return refused(precision.error().message);
  auto records = read_records(in, spec_.classes);
  if (!records) return refused(records.error().message);
  HoeffdingTree tree(config_.shape, random);
  if (auto read = tree.read_part(in, *precision, random); !read)
    return tl::unexpected(read.error());
  if (!in.ok() || !in.at_end()) return refused("it does not end where the tree does");
  // What the sender says of its accuracy orders the offered trees; from here on it is judged here.
  const double claimed = mean_recall(*records, options.classes);
  std::vector<double> mass(spec_.classes);
  tree.class_mass(mass);
  for (std::size_t c = 0; c < mass.size(); ++c) (*records)[c] = {0, 0, static_cast<float>(mass[c])};
  return Incoming{claimed, {std::move(tree), block.evidence, 0, 0, std::move(*records)}};
}

Result<void> AdaptiveRandomForest::merge(const Part& part, const MergeOptions& options) {
  if (part.family != spec_.family) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("a part of family \"{}\" does not fit a model of family {}",
                            part.family, spec_.family));
  }
  if (part.blocks.size() > config_.trees) {
    return fail(ErrorCode::limit_exceeded, fmt::format("the part has {} trees, the forest {}",
                                                       part.blocks.size(), config_.trees));
  }
  for (const ClassIndex c : options.classes) {
    if (c < 0 || static_cast<std::uint32_t>(c) >= spec_.classes) {
      return fail(ErrorCode::invalid_argument, fmt::format("class {} is not in this task", c));
    }
  }
  std::vector<Incoming> incoming;
  std::vector<bool> named(kMaxTrees, false);
  Random random = random_;
  for (const Block& block : part.blocks) {
    const auto index = block_index(block.name, "tree/", kMaxTrees);
    if (!index || named[*index]) {
      return fail(ErrorCode::malformed,
                  fmt::format("block \"{:.32}\" was refused: its name is not that of a tree, or "
                              "is there twice",
                              block.name));
    }
    named[*index] = true;
    auto read = read_block(block, options, random);
    if (!read) return tl::unexpected(read.error());
    incoming.push_back(std::move(*read));
  }
  // Nothing can fail from here on.
  random_ = random;
  const bool replace = options.mode == MergeOptions::Mode::replace;
  // A tree that comes in knows little of the classes that were not asked for: the better half stays.
  const std::size_t room =
      replace && !options.classes.empty() ? (config_.trees + 1) / 2 : config_.trees;
  std::stable_sort(incoming.begin(), incoming.end(),
                   [](const Incoming& a, const Incoming& b) { return a.merit > b.merit; });
  if (incoming.size() > room)
    incoming.erase(incoming.begin() + static_cast<std::ptrdiff_t>(room), incoming.end());
  float usual = 0;
  std::vector<std::pair<double, std::uint32_t>> worst;
  for (std::uint32_t i = 0; i < config_.trees; ++i) {
    const Grown& front = members_[i].front;
    worst.emplace_back(mean_recall(front.classes, options.classes), i);
    usual += front.accuracy / static_cast<float>(config_.trees);
  }
  std::sort(worst.begin(), worst.end());
  for (std::size_t i = 0; i < incoming.size(); ++i) {
    Member& member = members_[worst[i].second];
    Grown& grown = incoming[i].grown;
    grown.seen = kTrust;
    grown.accuracy = usual;
    const bool empty = member.front.trained == 0;
    if (replace || empty) std::swap(member.front, grown);
    member.back = empty ? nullptr : std::make_unique<Grown>(std::move(grown));
    member.guest = !empty;
    member.only_front = member.only_back = member.together = 0;
    if (!replace && !empty) continue;
    member.warning.reset();
    member.drift.reset();
  }
  weigh_all();
  return {};
}

void AdaptiveRandomForest::write(ByteWriter& out, const Grown& grown) const {
  out.put(grown.trained);
  out.put(grown.seen);
  out.put(grown.accuracy);
  for (const ClassRecord& record : grown.classes) {
    out.put(record.seen);
    out.put(record.hit);
    out.put(record.mass);
  }
  grown.tree.write_state(out);
}

Result<void> AdaptiveRandomForest::read(ByteReader& in, Grown& grown) const {
  grown.trained = in.get<double>();
  grown.seen = in.get<float>();
  grown.accuracy = in.get<float>();
  if (!in.ok() || !(grown.trained >= 0 && grown.trained <= 2 * kMaxEvidence) ||
      !(grown.seen >= 0 && grown.seen <= 1e6f) ||
      !(grown.accuracy >= 0 && grown.accuracy <= 1)) {
    return damaged("a tree's record is out of range");
  }
  for (ClassRecord& record : grown.classes) {
    record.seen = in.get<float>();
    record.hit = in.get<float>();
    record.mass = in.get<float>();
    const auto count = [](float v) { return v >= 0 && std::isfinite(v); };
    if (!count(record.seen) || !count(record.hit) || record.hit > record.seen ||
        !count(record.mass)) {
      return damaged("a tree's record is out of range");
    }
  }
  return grown.tree.read_state(in);
}

Bytes AdaptiveRandomForest::encode() const {
  ByteWriter out;
  out.put(kStateMagic);
  out.put(config_.fingerprint);
  out.put(spec_.classes);
  out.put(random_.state());
  out.put(static_cast<std::uint8_t>(personal_));
  for (const std::uint64_t n :
       {events_.warnings, events_.drifts, events_.promoted, events_.dismissed})
    out.put(n);
  for (const Member& member : members_) {
    write(out, member.front);
    member.warning.encode(out);
    member.drift.encode(out);
    out.put(static_cast<std::uint8_t>(member.back ? (member.guest ? 2 : 1) : 0));
    if (!member.back) continue;
    out.put(member.only_front);
    out.put(member.only_back);
    out.put(member.together);
    write(out, *member.back);
  }
  return out.take();
}

Result<void> AdaptiveRandomForest::decode(ByteView bytes) {
  ByteReader in(bytes);
  if (in.get<std::uint32_t>() != kStateMagic) return damaged("they are not of family arf");
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
  for (std::uint64_t* n :
       {&events_.warnings, &events_.drifts, &events_.promoted, &events_.dismissed})
    *n = in.get<std::uint64_t>();
  Random unused(0);
  for (Member& member : members_) {
    if (auto ok = read(in, member.front); !ok) return ok;
    if (auto ok = member.warning.decode(in); !ok) return ok;
    if (auto ok = member.drift.decode(in); !ok) return ok;
    const auto back = in.get<std::uint8_t>();
    if (back > 2) return damaged("a tree's background is neither there nor not");
    if (back == 0) continue;
    member.guest = back == 2;
    member.only_front = in.get<std::uint32_t>();
    member.only_back = in.get<std::uint32_t>();
    member.together = in.get<std::uint32_t>();
    member.back = std::make_unique<Grown>(
        Grown{HoeffdingTree(config_.shape, unused), 0, 0, 0, std::vector<ClassRecord>(spec_.classes)});
    if (auto ok = read(in, *member.back); !ok) return ok;
  }
  if (!in.ok()) return damaged("they end early");
  if (!in.at_end()) return damaged("bytes follow the last tree");
  weigh_all();
  return {};
}

}  // namespace p2p::learner

// What of an adaptive random forest travels, how it is taken in, and how it is kept.
#include <algorithm>
#include <cmath>

#include <fmt/core.h>

#include "learner/models/trees/adaptive_random_forest.hpp"
#include "learner/models/trees/forest_parts.hpp"

namespace p2p::learner {
namespace {

constexpr std::uint32_t kStateMagic = 0x31465241;  // "ARF1"
/// As if a tree that took a place had answered this many samples as well as the others do.
constexpr float kTrust = 20;

tl::unexpected<Error> damaged(std::string_view what) {
  return fail(ErrorCode::malformed, fmt::format("the bytes of the model are damaged: {}", what));
}

}  // namespace

ForestView AdaptiveRandomForest::view() const {
  ForestView out{spec_, config_.fingerprint, config_.share, {}};
  for (const Member& member : members_)
    out.trees.push_back({member.front.trained, member.front.classes});
  return out;
}

Part AdaptiveRandomForest::partition(std::span<const ClassIndex> classes,
                                     Precision precision) const {
  return give_trees(view(), classes, precision,
                    [&](std::uint32_t i, ByteWriter& out, std::span<double> mass) {
                      members_[i].front.tree.class_mass(mass);
                      members_[i].front.tree.write_part(out, precision);
                    });
}

Result<void> AdaptiveRandomForest::merge(const Part& part, const MergeOptions& options) {
  Random random = random_;
  auto incoming = read_trees<HoeffdingTree>(
      view(), part, options, [&](ByteReader& in, Precision precision) -> Result<HoeffdingTree> {
        HoeffdingTree tree(config_.shape, random);
        if (auto read = tree.read_part(in, precision, random); !read)
          return tl::unexpected(read.error());
        return tree;
      });
  if (!incoming) return tl::unexpected(incoming.error());
  // Nothing can fail from here on.
  random_ = random;
  const bool replace = options.mode == MergeOptions::Mode::replace;
  // A tree that comes in knows little of the classes that were not asked for: the better half
  // stays.
  const std::size_t room =
      replace && !options.classes.empty() ? (config_.trees + 1) / 2 : config_.trees;
  const std::vector<std::uint32_t> worst = worst_trees(view(), options.classes);
  float usual = 0;
  for (const Member& member : members_)
    usual += member.front.accuracy / static_cast<float>(config_.trees);
  for (std::size_t i = 0; i < std::min(room, incoming->size()); ++i) {
    Member& member = members_[worst[i]];
    OfferedTree<HoeffdingTree>& tree = (*incoming)[i];
    Grown grown{std::move(tree.tree), tree.evidence, kTrust, usual, std::move(tree.records)};
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
  write_record_state(out, grown.classes);
  grown.tree.write_state(out);
}

Result<void> AdaptiveRandomForest::read(ByteReader& in, Grown& grown) const {
  grown.trained = in.get<double>();
  grown.seen = in.get<float>();
  grown.accuracy = in.get<float>();
  if (!in.ok() || !(grown.trained >= 0 && grown.trained <= 2 * kMaxEvidence) ||
      !(grown.seen >= 0 && grown.seen <= 1e6f) || !(grown.accuracy >= 0 && grown.accuracy <= 1)) {
    return damaged("a tree's record is out of range");
  }
  if (!read_record_state(in, grown.classes)) return damaged("a tree's record is out of range");
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
    member.back = std::make_unique<Grown>(Grown{HoeffdingTree(config_.shape, unused), 0, 0, 0,
                                                std::vector<ClassRecord>(spec_.classes)});
    if (auto ok = read(in, *member.back); !ok) return ok;
  }
  if (!in.ok()) return damaged("they end early");
  if (!in.at_end()) return damaged("bytes follow the last tree");
  weigh_all();
  return {};
}

}  // namespace p2p::learner

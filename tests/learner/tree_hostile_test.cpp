// Trees from outside: what is written by hand, and what must not get in.
#include <catch2/catch.hpp>
#include <functional>
#include <limits>

#include "learner/models/trees/tree_nodes.hpp"
#include "learner/transfer/quantise.hpp"
#include "support.hpp"

namespace p2p::learner::test {
namespace {

std::unique_ptr<Model> trained(std::string_view name, std::uint64_t seed, int samples = 500) {
  auto model = make(spec_of(name));
  Blobs stream(seed, 6, 4);
  train(*model, stream, samples);
  return model;
}

void refuses(Model& model, const Part& part, ErrorCode code) {
  const Bytes before = model.encode();
  for (const auto mode : {MergeOptions::Mode::replace, MergeOptions::Mode::blend}) {
    const auto merged = model.merge(part, {{}, mode});
    REQUIRE_FALSE(merged);
    CHECK(merged.error().code == code);
    CHECK_FALSE(merged.error().message.empty());
    CHECK(model.encode() == before);
  }
}

/// A tree's content, written by hand, at 32 bits.
struct Forged {
  std::uint32_t leaves;
  std::vector<bool> splits;  ///< in preorder
  std::vector<std::uint16_t> feature;
  std::vector<float> threshold;
  std::vector<std::vector<std::pair<std::uint16_t, float>>> counts;
  // arf only: Gaussians of the entries, over `subset` features.
  std::vector<bool> has_row;
  std::vector<float> observed;
  float mean = 0.5f, spread = 0.1f, low = 0.2f, high = 0.8f;
  std::uint32_t subset = 4;  ///< 0.6 of 6

  Part part(const Model& like) const {
    Part out = like.partition({});
    out.blocks.resize(1);
    ByteReader real(out.blocks[0].content);
    ByteWriter w;
    w.put(real.get<std::uint64_t>());
    w.put(real.get<std::uint8_t>());
    const auto records = read_records(real, 4);
    write_records(w, *records);
    w.put(leaves);
    put_bits(w, splits);
    w.put_array(std::span<const std::uint16_t>(feature));
    w.put_array(std::span<const float>(threshold));
    for (const auto& leaf : counts) w.put(static_cast<std::uint16_t>(leaf.size()));
    for (const auto& leaf : counts) {
      for (const auto& entry : leaf) w.put(entry.first);
    }
    for (const auto& leaf : counts) {
      for (const auto& entry : leaf) w.put(entry.second);
    }
    if (like.spec().family == "arf") {
      for (std::uint32_t i = 0; i < leaves && i < 64; ++i) w.put(i);  // seeds
      for (std::uint32_t i = 0; i < 3 * leaves && i < 192; ++i) w.put(1.0f);
      put_bits(w, has_row);
      w.put_array(std::span<const float>(observed));
      for (const float v : {mean, spread, low, high}) {
        for (std::size_t i = 0; i < observed.size() * subset; ++i) w.put(v);
      }
    }
    out.blocks[0].content = w.take();
    return out;
  }
};

/// A good tree of three leaves.
Forged honest() {
  return {3,
          {true, false, true, false, false},
          {0, 1},
          {0.5f, 0.25f},
          {{{0, 5.0f}}, {{1, 3.0f}, {2, 1.0f}}, {{3, 2.0f}}},
          {true, true, false, true},
          {5, 3, 2}};
}

std::string_view family() { return GENERATE(std::string_view("orf"), std::string_view("arf")); }

TEST_CASE("A tree written by hand is taken when it is a tree") {
  const auto name = family();
  CAPTURE(name);
  auto model = trained(name, 16);
  const auto merged = model->clone()->merge(honest().part(*model), {});
  if (!merged) FAIL(merged.error().text());
}

TEST_CASE("Bits that do not add up to a tree are refused; no index is written, so none can be a cycle") {
  const auto name = family();
  CAPTURE(name);
  auto model = trained(name, 17);
  const auto broken = [&](const std::function<void(Forged&)>& change) {
    Forged forged = honest();
    change(forged);
    refuses(*model, forged.part(*model), ErrorCode::malformed);
  };
  broken([](Forged& f) { f.splits = {false, true, true, false, false}; });  // nodes after the end
  broken([](Forged& f) { f.splits = {true, true, true, false, false}; });   // more splits than leaves allow
  broken([](Forged& f) { f.splits = {true, true, true, true, true}; });     // no leaf at all
  broken([](Forged& f) { f.splits = {false, false, false, false, false}; });
  broken([](Forged& f) { f.splits = {true, false, false, false, true}; });
  broken([](Forged& f) { f.feature[0] = 6; });  // a feature that is not there
  broken([](Forged& f) { f.feature[1] = 65535; });
  broken([](Forged& f) { f.threshold[0] = std::nanf(""); });
  broken([](Forged& f) { f.threshold[1] = std::numeric_limits<float>::infinity(); });
  broken([](Forged& f) { f.counts[0][0].second = std::nanf(""); });
  broken([](Forged& f) { f.counts[0][0].second = std::numeric_limits<float>::infinity(); });
  broken([](Forged& f) { f.counts[0][0].second = -1; });
  broken([](Forged& f) { f.counts[0][0].second = 0; });
  broken([](Forged& f) { f.counts[0][0].second = 1e20f; });
  broken([](Forged& f) { f.counts[0][0].first = 4; });  // a class that is not there
  broken([](Forged& f) { f.counts[1][1].first = 1; });  // a class twice
  broken([](Forged& f) { f.counts.pop_back(); });       // counts missing
  broken([](Forged& f) { f.leaves = 2; });              // fewer than there are
  broken([](Forged& f) { f.leaves = 4; });              // more than there are
}

TEST_CASE("Gaussians that cannot be are refused") {
  auto model = trained("arf", 18);
  const float inf = std::numeric_limits<float>::infinity();
  const auto broken = [&](const std::function<void(Forged&)>& change) {
    Forged forged = honest();
    change(forged);
    refuses(*model, forged.part(*model), ErrorCode::malformed);
  };
  for (const float bad : {std::nanf(""), inf, -inf, 1e9f}) {
    broken([&](Forged& f) { f.mean = bad; });
    broken([&](Forged& f) { f.low = bad; });
    broken([&](Forged& f) { f.high = bad; });
  }
  for (const float bad : {std::nanf(""), inf, -1.0f, 1e30f}) {
    broken([&](Forged& f) { f.spread = bad; });
    broken([&](Forged& f) { f.observed[1] = bad; });
  }
  broken([](Forged& f) { f.observed[0] = 0; });
  broken([](Forged& f) { f.low = 0.9f; });  // above the greatest
  broken([](Forged& f) { f.has_row[2] = true; });
  broken([](Forged& f) { f.subset = 3; });
}

TEST_CASE("A tree with an absurd number of leaves is refused before anything is reserved for it") {
  const auto name = family();
  CAPTURE(name);
  auto model = trained(name, 18);
  for (const std::uint32_t leaves : {0u, 65u, 0x7FFFFFFFu, 0x80000000u, 0xFFFFFFFFu}) {
    Forged forged = honest();
    forged.leaves = leaves;
    refuses(*model, forged.part(*model), ErrorCode::limit_exceeded);
  }
}

TEST_CASE("A tree ten thousand deep is refused, whatever max_leaves allows") {
  const auto name = family();
  CAPTURE(name);
  ModelSpec spec = spec_of(name);
  spec.params["max_leaves"] = 20000;
  spec.params["max_depth"] = 30;
  auto model = make(spec);
  Blobs stream(19, 6, 4);
  train(*model, stream, 100);
  const auto chain = [&](std::uint32_t depth, bool to_the_left) {
    Forged forged{depth + 1, {}, {}, {}, {}, {}, {}};
    for (std::uint32_t i = 0; i < depth; ++i) {
      forged.splits.push_back(true);
      if (!to_the_left) forged.splits.push_back(false);
    }
    while (forged.splits.size() < 2 * depth + 1) forged.splits.push_back(false);
    forged.feature.assign(depth, 0);
    forged.threshold.assign(depth, 0.5f);
    forged.counts.assign(depth + 1, {});
    return forged;
  };
  for (const bool to_the_left : {true, false}) {
    const auto merged = model->clone()->merge(chain(30, to_the_left).part(*model), {});
    if (!merged) FAIL(merged.error().text());
    refuses(*model, chain(31, to_the_left).part(*model), ErrorCode::limit_exceeded);
    refuses(*model, chain(10000, to_the_left).part(*model), ErrorCode::limit_exceeded);
  }
}

TEST_CASE("Many features leave a forest fewer leaves, and a tree from outside no more than these") {
  ModelSpec spec = spec_of("arf", 20000, 4);
  spec.params = {{"max_leaves", 20000}, {"memory", 8}};
  auto model = make(spec);
  Blobs stream(25, 20000, 4);
  train(*model, stream, 20);
  // 8 MiB / (2 x 10 trees) / (2 bytes x 12,000 features) = 17.
  for (const std::uint32_t leaves : {18u, 10000u}) {
    Forged forged = honest();
    forged.leaves = leaves;
    refuses(*model, forged.part(*model), ErrorCode::limit_exceeded);
  }
}

TEST_CASE("A precision that is not known and a record of too many classes are refused") {
  const auto name = family();
  CAPTURE(name);
  auto model = trained(name, 22);
  Part part = model->partition({});
  for (const std::uint8_t bits : {0, 1, 7, 31, 33, 255}) {
    part.blocks[0].content[8] = bits;
    refuses(*model, part, ErrorCode::malformed);
  }
  part = model->partition({});
  for (const std::uint8_t classes : {0, 1, 5, 200}) {
    part.blocks[0].content[9] = classes;
    refuses(*model, part, ErrorCode::malformed);
  }
}

TEST_CASE("A tree from a node that knows fewer classes is taken, one that knows more is refused") {
  const auto name = family();
  CAPTURE(name);
  for (const Precision precision :
       {Precision::bits32, Precision::bits16, Precision::bits8, Precision::bits4}) {
    auto small = trained(name, 23), large = trained(name, 24);
    large->grow(7);
    REQUIRE(large->merge(small->partition({}, precision), {}));
    refuses(*small, large->partition({}, precision), ErrorCode::malformed);
  }
}

TEST_CASE("What a peer says of a tree's accuracy does not outlive the merge") {
  const auto name = family();
  CAPTURE(name);
  auto helper = trained(name, 20, 50), model = trained(name, 21, 800);
  Part part = helper->partition({});
  part.blocks.resize(2);
  for (Block& block : part.blocks) {
    ByteWriter w;
    const std::vector<ClassRecord> praise(4, ClassRecord{1e5f, 1e5f, 0});
    write_records(w, praise);  // judged often and always right
    std::copy(w.bytes().begin(), w.bytes().end(), block.content.begin() + 9);
  }
  REQUIRE(model->merge(part, {}));
  // Ranked by its own record here, which is empty, neither is among the best.
  const std::vector<ClassIndex> all = {0, 1, 2, 3};
  for (const Block& block : model->partition(all).blocks) CHECK(block.evidence > 100);
}

}  // namespace
}  // namespace p2p::learner::test

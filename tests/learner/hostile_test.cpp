// Bytes from outside: every decoder and merge meets damage, lies and nonsense.
#include <catch2/catch.hpp>
#include <functional>
#include <limits>

#include "learner/metrics.hpp"
#include "learner/snapshot.hpp"
#include "support.hpp"

namespace p2p::learner::test {
namespace {

std::string_view family() {
  const std::size_t index = GENERATE(range(std::size_t{0}, families().size()));
  return families()[index];
}

std::unique_ptr<Model> trained(std::string_view name, std::uint64_t seed, int samples = 500) {
  auto model = make(spec_of(name));
  Blobs stream(seed, 6, 4);
  train(*model, stream, samples);
  return model;
}

/// The model refuses the part with this code and is as it was.
void refuses(Model& model, const Part& part, ErrorCode code, const MergeOptions& options = {}) {
  const Bytes before = model.encode();
  for (const auto mode : {MergeOptions::Mode::replace, MergeOptions::Mode::blend}) {
    MergeOptions o = options;
    o.mode = mode;
    const auto merged = model.merge(part, o);
    REQUIRE_FALSE(merged);
    CHECK(merged.error().code == code);
    CHECK_FALSE(merged.error().message.empty());
    CHECK(model.encode() == before);
  }
}

template <typename T>
void put_at(Bytes& bytes, std::size_t offset, T value) {
  REQUIRE(offset + sizeof value <= bytes.size());
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}

TEST_CASE("A model cut off at any byte is refused") {
  const auto name = family();
  CAPTURE(name);
  auto model = trained(name, 1, 120);
  const Bytes bytes = model->encode();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto decoded = decode_model(model->spec(), ByteView(bytes).first(size));
    if (decoded) FAIL("accepted " << size << " of " << bytes.size() << " bytes");
  }
  Bytes longer = bytes;
  longer.push_back(0);
  CHECK_FALSE(decode_model(model->spec(), longer));
}

TEST_CASE("A block cut off at any byte is refused and the model is as it was") {
  const auto name = family();
  CAPTURE(name);
  auto helper = trained(name, 2, 200), model = trained(name, 3, 100);
  const Part good = helper->partition({});
  Part part = good;
  const Bytes before = model->encode();
  for (std::size_t size = 0; size < good.blocks[1].content.size(); ++size) {
    part.blocks[1].content.assign(
        good.blocks[1].content.begin(),
        good.blocks[1].content.begin() + static_cast<std::ptrdiff_t>(size));
    const auto merged = model->merge(part, {});
    if (merged) FAIL("accepted " << size << " bytes");
  }
  CHECK(model->encode() == before);
  part.blocks[1].content = good.blocks[1].content;
  part.blocks[1].content.push_back(7);
  refuses(*model, part, ErrorCode::malformed);
}

TEST_CASE("Random damage to a model is refused or leaves one that works within its bounds") {
  const auto name = family();
  auto model = trained(name, 4, 300);
  const Bytes good = model->encode();
  Random random(5);
  Blobs stream(6, 6, 4);
  int refused = 0;
  for (int round = 0; round < 3000; ++round) {
    Bytes bytes = good;
    const int flips = 1 + static_cast<int>(random.below(4));
    for (int i = 0; i < flips; ++i) {
      bytes[random.below(bytes.size())] = static_cast<std::uint8_t>(random.next());
    }
    CAPTURE(name, round);
    auto decoded = decode_model(model->spec(), bytes);
    if (!decoded) {
      ++refused;
      continue;
    }
    for (int i = 0; i < 5; ++i) {
      const Sample s = stream.next();
      const ClassIndex said = (*decoded)->predict_then_learn(s.x, s.y);
      REQUIRE(said >= 0);
      REQUIRE(said < 4);
    }
  }
  CHECK(refused > 20);
}

TEST_CASE("Random damage to a part is refused or leaves a model that works and can be saved") {
  const auto name = family();
  auto helper = trained(name, 7), base = trained(name, 8);
  const Part good = helper->partition({});
  Random random(9);
  Blobs stream(10, 6, 4);
  for (int round = 0; round < 2000; ++round) {
    Part part = good;
    Bytes& content = part.blocks[random.below(part.blocks.size())].content;
    for (int i = 0; i < 3; ++i)
      content[random.below(content.size())] = static_cast<std::uint8_t>(random.next());
    CAPTURE(name, round);
    auto model = base->clone();
    const auto merged = model->merge(part, {});
    if (!merged) {
      CHECK(model->encode() == base->encode());
      continue;
    }
    for (int i = 0; i < 20; ++i) {
      const Sample s = stream.next();
      model->predict_then_learn(s.x, s.y);
    }
    REQUIRE(decode_model(model->spec(), model->encode()));
  }
}

TEST_CASE("A model or part of another spec is refused") {
  const auto name = family();
  CAPTURE(name);
  auto model = trained(name, 11);
  ModelSpec other = model->spec();
  const std::function<void(ModelSpec&)> changes[] = {
      [](ModelSpec& s) { s.seed += 1; },
      [](ModelSpec& s) { s.bandwidth *= 2; },
      [](ModelSpec& s) { s.features += 1; },
      [](ModelSpec& s) {
        s.params[knob_of(s.family).name] = knob_of(s.family).other;
      },
  };
  for (const auto& change : changes) {
    other = model->spec();
    change(other);
    CHECK_FALSE(decode_model(other, model->encode()));
    auto target = make(other);
    CHECK_FALSE(target->merge(model->partition({}), {}));
  }
  // A task that grew is the same task, but bytes of a state fit the number of classes that they were made with.
  other = model->spec();
  other.classes += 1;
  CHECK_FALSE(decode_model(other, model->encode()));
  const auto& wrong = name == families()[0] ? families()[1] : families()[0];
  CHECK_FALSE(decode_model(spec_of(wrong), model->encode()));
  auto target = make(spec_of(wrong));
  refuses(*target, model->partition({}), ErrorCode::invalid_argument);
  // The defaults written out are the same spec in other words.
  other = model->spec();
  other.params[knob_of(name).name] = knob_of(name).usual;
  CHECK(decode_model(other, model->encode()));
}

TEST_CASE("Names, classes and evidence that cannot be are refused") {
  const auto name = family();
  CAPTURE(name);
  auto helper = trained(name, 12), model = trained(name, 13);
  const Part good = helper->partition({});
  REQUIRE(model->clone()->merge(good, {}));
  const std::string& first = good.blocks[0].name;
  const std::string prefix = first.substr(0, first.rfind('/') + 1);
  for (const std::string& bad :
       {std::string(""), prefix, prefix + "-1", prefix + "01", prefix + "99999", prefix + "1x",
        std::string("leaf/1"), prefix + "4294967297", std::string(100000, 'a')}) {
    Part part = good;
    part.blocks[1].name = bad;
    refuses(*model, part, ErrorCode::malformed);
  }
  Part twice = good;
  twice.blocks[1] = twice.blocks[0];
  refuses(*model, twice, ErrorCode::malformed);
  for (const double bad : {-1.0, std::nan(""), std::numeric_limits<double>::infinity(), 1e300}) {
    Part part = good;
    part.blocks[0].evidence = bad;
    refuses(*model, part, ErrorCode::malformed);
  }
  for (const std::vector<ClassIndex>& bad :
       {std::vector<ClassIndex>{-1}, {4}, {1, 2, 3, 0, 1, 2, 3}}) {
    Part part = good;
    part.blocks[0].classes = bad;
    refuses(*model, part, ErrorCode::malformed);
  }
  Part many = good;
  while (many.blocks.size() < 2000) many.blocks.push_back(good.blocks[0]);
  refuses(*model, many, ErrorCode::limit_exceeded);
  refuses(*model, good, ErrorCode::invalid_argument, {{0, 4}, {}});
  refuses(*model, good, ErrorCode::invalid_argument, {{-1}, {}});
  CHECK(model->merge({std::string(name), {}}, {}));  // an empty part is nothing, and no error
}

/// A tree's content, written by hand.
struct Forged {
  struct Node {
    std::uint32_t feature;
    float threshold;
    std::uint32_t next;
  };
  static constexpr std::uint32_t kLeaf = 0xFFFFFFFF;
  std::uint32_t leaves;
  std::vector<Node> nodes;
  std::vector<std::vector<std::pair<std::uint16_t, float>>> counts;

  Part part(const Model& like) const {
    Part out = like.partition({});
    out.blocks.resize(1);
    const Bytes& real = out.blocks[0].content;
    ByteWriter w;
    w.put_array(std::span<const std::uint8_t>(real).first(
        8 + 8 * 4));  // fingerprint and record of the classes
    w.put(leaves);
    for (const Node& node : nodes) {
      w.put(node.feature);
      w.put(node.threshold);
      w.put(node.next);
    }
    for (const auto& leaf : counts) {
      w.put(static_cast<std::uint16_t>(leaf.size()));
      for (const auto& [c, n] : leaf) {
        w.put(c);
        w.put(n);
      }
    }
    out.blocks[0].content = w.take();
    return out;
  }
};

/// A good tree of three leaves.
Forged honest() {
  return {3,
          {{0, 0.5f, 1},
           {Forged::kLeaf, 0, 0},
           {1, 0.25f, 3},
           {Forged::kLeaf, 0, 1},
           {Forged::kLeaf, 0, 2}},
          {{{0, 5.0f}}, {{1, 3.0f}, {2, 1.0f}}, {{3, 2.0f}}}};
}

TEST_CASE("A tree written by hand is taken when it is a tree") {
  auto model = trained("orf", 16);
  CHECK(model->clone()->merge(honest().part(*model), {}));
}

TEST_CASE("What is no tree is refused: cycles, shared and orphaned nodes, indices out of range") {
  auto model = trained("orf", 17);
  const auto broken = [&](const std::function<void(Forged&)>& change) {
    Forged forged = honest();
    change(forged);
    refuses(*model, forged.part(*model), ErrorCode::malformed);
  };
  broken([](Forged& f) { f.nodes[2].next = 1; });           // a cycle through the root's children
  broken([](Forged& f) { f.nodes[2].next = 2; });           // its own child
  broken([](Forged& f) { f.nodes[0].next = 0; });           // the root its own child
  broken([](Forged& f) { f.nodes[2].next = 4; });           // a second child beyond the end
  broken([](Forged& f) { f.nodes[2].next = 0xFFFFFFFE; });  // index arithmetic that wraps
  broken([](Forged& f) { f.nodes[0].next = 3; });           // nodes 1 and 2 have no parent
  broken([](Forged& f) { f.nodes[3].next = 0; });           // two nodes, one leaf
  broken([](Forged& f) { f.nodes[3].next = 3; });           // a leaf out of range
  broken([](Forged& f) { f.nodes[0].feature = 6; });        // a feature that is not there
  broken([](Forged& f) { f.nodes[0].threshold = std::nanf(""); });
  broken([](Forged& f) { f.nodes[0].threshold = std::numeric_limits<float>::infinity(); });
  broken([](Forged& f) { f.nodes[2] = {Forged::kLeaf, 0, 1}; });  // too many leaves among the nodes
  broken([](Forged& f) { f.nodes[1] = {0, 0.1f, 3}; });           // two parents for nodes 3 and 4
  broken([](Forged& f) { f.counts[0][0].second = std::nanf(""); });
  broken([](Forged& f) { f.counts[0][0].second = std::numeric_limits<float>::infinity(); });
  broken([](Forged& f) { f.counts[0][0].second = -1; });
  broken([](Forged& f) { f.counts[0][0].second = 1e20f; });
  broken([](Forged& f) { f.counts[0][0].first = 4; });  // a class that is not there
  broken([](Forged& f) { f.counts[1][1].first = 1; });  // a class twice
  broken([](Forged& f) { f.counts.pop_back(); });       // counts missing
  broken([](Forged& f) { f.leaves = 2; });              // fewer than there are
}

TEST_CASE("A tree with an absurd number of leaves is refused before anything is reserved for it") {
  auto model = trained("orf", 18);
  for (const std::uint32_t leaves : {0u, 65u, 0x7FFFFFFFu, 0x80000000u, 0xFFFFFFFFu}) {
    Forged forged = honest();
    forged.leaves = leaves;
    refuses(*model, forged.part(*model), ErrorCode::limit_exceeded);
  }
}

TEST_CASE("A tree ten thousand deep is refused, whatever max_leaves allows") {
  ModelSpec spec = spec_of("orf");
  spec.params["max_leaves"] = 20000;
  auto model = make(spec);
  Blobs stream(19, 6, 4);
  train(*model, stream, 100);
  const auto chain = [&](std::uint32_t depth) {
    Forged forged;
    forged.leaves = depth + 1;
    for (std::uint32_t i = 0; i < depth; ++i) {
      if (i > 0) forged.nodes.push_back({Forged::kLeaf, 0, i - 1});
      forged.nodes.push_back({0, 0.5f, static_cast<std::uint32_t>(2 * i + 1)});
    }
    forged.nodes.push_back({Forged::kLeaf, 0, depth - 1});
    forged.nodes.push_back({Forged::kLeaf, 0, depth});
    // Chain nodes are the right children: the left ones are leaves.
    forged.counts.assign(depth + 1, {});
    return forged;
  };
  CHECK(model->clone()->merge(chain(30).part(*model), {}));
  refuses(*model, chain(31).part(*model), ErrorCode::limit_exceeded);
  refuses(*model, chain(10000).part(*model), ErrorCode::limit_exceeded);
}

TEST_CASE("What a peer says of a tree's accuracy does not outlive the merge") {
  auto helper = trained("orf", 20, 50),
       model = trained("orf", 21, 800);
  Part part = helper->partition({});
  part.blocks.resize(2);
  for (Block& block : part.blocks) {
    for (std::size_t c = 0; c < 4; ++c) {
      put_at(block.content, 8 + 8 * c, 1e6f);      // judged a million times
      put_at(block.content, 8 + 8 * c + 4, 1e6f);  // and always right
    }
  }
  REQUIRE(model->merge(part, {}));
  // Ranked by its own record here, which is empty, neither is among the best.
  const std::vector<ClassIndex> all = {0, 1, 2, 3};
  for (const Block& block : model->partition(all).blocks) CHECK(block.evidence > 100);
}

TEST_CASE("Metrics cut off or damaged are refused or consistent") {
  Prequential metrics(3, 10);
  Random random(22);
  for (int i = 0; i < 25; ++i) {
    metrics.add(static_cast<ClassIndex>(random.below(3)),
                static_cast<ClassIndex>(random.below(4)) - 1);
  }
  const Bytes good = metrics.encode();
  REQUIRE(Prequential::decode(good));
  for (std::size_t size = 0; size < good.size(); ++size)
    CHECK_FALSE(Prequential::decode(ByteView(good).first(size)));
  for (int round = 0; round < 5000; ++round) {
    Bytes bytes = good;
    bytes[random.below(bytes.size())] = static_cast<std::uint8_t>(random.next());
    const auto decoded = Prequential::decode(bytes);
    if (!decoded) continue;
    CHECK(decoded->accuracy() <= 1);
    CHECK(decoded->windowed_accuracy() <= 1);
    for (ClassIndex c = 0; c < 3; ++c) CHECK(decoded->recall(c) <= 1);
  }
}

}  // namespace
}  // namespace p2p::learner::test

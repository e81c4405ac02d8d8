#include "metadata/index.hpp"

#include <algorithm>
#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include "metadata/similarity.hpp"
#include "tests/metadata/examples.hpp"

using p2p::Random;
using namespace p2p::metadata;
using namespace p2p::metadata::testing;

namespace {

const TaskId kTask = id(example_task());

Sketcher make_sketcher(std::uint32_t dimensions = 32, std::uint32_t classes = 10) {
  return Sketcher(kTask, dimensions, classes);
}

/// Some experience of the default world.
Fingerprint any_fingerprint(Random& random, double alpha = 0.5, std::size_t samples = 200) {
  static const World world({});
  return world.fingerprint(random, dirichlet(random, 10, alpha), random.below(6), samples);
}

/// A fingerprint with the given joint embedding in steps of `step`.
Fingerprint of_vector(const std::vector<double>& values, std::uint32_t dimensions, std::uint32_t classes,
                      double step) {
  Fingerprint f;
  f.dimensions = dimensions;
  f.classes = classes;
  for (const double v : values) {
    f.joint.push_back(static_cast<std::int8_t>(std::clamp(std::lround(v / step), -127l, 127l)));
  }
  f.scale.assign(classes, static_cast<float>(step));
  f.count.assign(classes, 10.f);
  f.accuracy.assign(classes, 0.9f);
  return f;
}

/// Indices of all but `to`, the `k` nearest first.
std::vector<std::size_t> nearest(std::size_t n, std::size_t to, std::size_t k,
                                 const std::function<double(std::size_t)>& distance) {
  std::vector<std::pair<double, std::size_t>> order;
  for (std::size_t i = 0; i < n; ++i) {
    if (i != to) order.emplace_back(distance(i), i);
  }
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k), order.end());
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < k; ++i) out.push_back(order[i].second);
  return out;
}

Sketch random_sketch(Random& random) {
  Sketch out;
  for (auto& b : out.bytes) b = static_cast<std::uint8_t>(random.next());
  return out;
}

NodeId random_node(Random& random) {
  NodeId out;
  for (auto& b : out.bytes) b = static_cast<std::uint8_t>(random.next());
  return out;
}

/// Mean and spread of what is added.
struct Moments {
  double n = 0, sum = 0, squares = 0, worst = 0;
  void add(double x) {
    n += 1;
    sum += x;
    squares += x * x;
    worst = std::max(worst, std::abs(x));
  }
  double mean() const { return sum / n; }
  double rms() const { return std::sqrt(squares / n); }
};

}  // namespace

TEST_CASE("all nodes of a task make the same sketch, those of another task another one") {
  Random random(1);
  const auto f = any_fingerprint(random);
  CHECK(make_sketcher().sketch(f) == make_sketcher().sketch(f));
  TaskId other = kTask;
  other.bytes[31] ^= 1;
  const Sketch here = make_sketcher().sketch(f), there = Sketcher(other, 32, 10).sketch(f);
  int same = 0;
  for (std::size_t i = 0; i < Sketch::kMarginal + Sketch::kJoint; ++i) {
    same += (here.level(i) >= 0) == (there.level(i) >= 0);
  }
  CHECK(same > 54);  // 80 signs of 160 by chance, give or take 6.3
  CHECK(same < 106);
}

TEST_CASE("a task's sketcher is that of its id, dimensions and classes") {
  const Task task = example_task();
  const auto f = example_fingerprint();
  CHECK(Sketcher(task).sketch(f) == Sketcher(id(task), 2, 3).sketch(f));
}

TEST_CASE("an embedding of half the size has the same levels at scales one octave lower") {
  Random random(2);
  auto f = any_fingerprint(random);
  const auto sketcher = make_sketcher();
  Sketch expected = sketcher.sketch(f);
  for (auto& s : f.scale) s *= 0.5f;
  expected.bytes[0] = static_cast<std::uint8_t>(expected.bytes[0] - 8);
  expected.bytes[1] = static_cast<std::uint8_t>(expected.bytes[1] - 8);
  CHECK(sketcher.sketch(f) == expected);
}

TEST_CASE("the largest coordinate of a sketch is within an eighth of an octave of the largest level") {
  Random random(3);
  const auto sketcher = make_sketcher();
  for (int round = 0; round < 100; ++round) {
    const auto sketch = sketcher.sketch(any_fingerprint(random, 0.3, 1 + random.below(100)));
    const auto reach = [&](std::size_t first, std::size_t count) {
      int most = 0;
      for (std::size_t i = first; i < first + count; ++i) most = std::max(most, std::abs(sketch.level(i)));
      return most;
    };
    for (const int most : {reach(0, Sketch::kMarginal), reach(Sketch::kMarginal, Sketch::kJoint)}) {
      REQUIRE(most >= 116);  // 127 / 2^(1/8), rounded
      REQUIRE(most <= 127);
    }
  }
}

TEST_CASE("an outline has the first joint coordinates of a sketch, stretched to its length, to within half a step") {
  Random random(4);
  const auto sketcher = make_sketcher();
  for (int round = 0; round < 100; ++round) {
    const auto sketch = sketcher.sketch(any_fingerprint(random, 0.3, 1 + random.below(100)));
    const auto joint = joint_coordinates(sketch);
    const auto exact = outline_coordinates(sketch), rounded = outline_coordinates(outline_of(sketch));
    float most = 0;
    for (const float x : exact) most = std::max(most, std::abs(x));
    for (std::size_t i = 0; i < exact.size(); ++i) {
      REQUIRE(exact[i] == 2 * joint[i]);  // 128 coordinates' length in 32 of them
      REQUIRE(std::abs(rounded[i] - exact[i]) <= 1.0906f * most / 7 / 2);
    }
  }
  CHECK(outline_of(Sketch{}) == Outline{});
}

TEST_CASE("levels of an outline are packed in pairs, the first one in the low half") {
  Sketch sketch;
  sketch.bytes[1] = 192;  // steps of 1
  const std::array<int, 4> levels{7, -7, 3, -1};
  for (std::size_t i = 0; i < levels.size(); ++i) sketch.bytes[2 + Sketch::kMarginal + i] = static_cast<std::uint8_t>(levels[i]);
  const Outline outline = outline_of(sketch);
  CHECK(outline.bytes[0] == 200);  // twice as long
  CHECK(outline.bytes[1] == 0x97);
  CHECK(outline.bytes[2] == 0xf3);
  const auto coordinates = outline_coordinates(outline);
  for (std::size_t i = 0; i < levels.size(); ++i) CHECK(coordinates[i] == 2.f * static_cast<float>(levels[i]));
}

TEST_CASE("no experience makes a sketch of zeros") {
  CHECK(make_sketcher().sketch(FingerprintBuilder({.dimensions = 32, .classes = 10}).build()) == Sketch{});
}

TEST_CASE("distances of sketches agree with the definition on coordinates done by hand") {
  // Scale code 192 is 1, 200 is 2, 184 is 1/2, 196 is the square root of 2.
  Sketch a, b;
  for (std::size_t i = 2; i < Sketch::kBytes; ++i) {
    a.bytes[i] = 0x01;
    b.bytes[i] = 0xff;  // -1
  }
  a.bytes[0] = b.bytes[0] = 192;
  a.bytes[1] = 200;
  b.bytes[1] = 184;
  CHECK(marginal_distance(a, b) == Approx(std::sqrt(32 * 4.0)));
  CHECK(joint_distance(a, b) == Approx(std::sqrt(128 * 2.5 * 2.5)));
  b = a;
  b.bytes[2] = 0x7f;  // the first coordinate, marginal: 127
  CHECK(marginal_distance(a, b) == 126);
  CHECK(joint_distance(a, b) == 0);
  b.bytes[2] = 0x80;  // -128: no sketch of ours has it
  CHECK(marginal_distance(a, b) == 129);
  b = a;
  b.bytes[2 + 32] = 0x81;  // coordinate 32, the first of the joint ones: -127 units of 2
  CHECK(marginal_distance(a, b) == 0);
  CHECK(joint_distance(a, b) == 256);
  a.bytes[0] = b.bytes[0] = 196;
  b.bytes[2] = 0x08;
  CHECK(marginal_distance(a, b) == Approx(7 * std::sqrt(2.0)));
}

TEST_CASE("whatever bytes sketches have, distances are finite, symmetric and 0 to themselves") {
  const auto seed = test_seed();
  P2P_SHOW_SEED(seed);
  Random random(seed);
  for (int round = 0; round < 2000; ++round) {
    Sketch a = random_sketch(random), b = random_sketch(random);
    if (round % 4 == 0) a.bytes[0] = a.bytes[1] = 255;
    if (round % 4 == 1) b.bytes[0] = b.bytes[1] = 0;
    REQUIRE(joint_distance(a, a) == 0);
    REQUIRE(marginal_distance(b, b) == 0);
    REQUIRE(std::isfinite(joint_distance(a, b)));
    REQUIRE(std::isfinite(marginal_distance(a, b)));
    REQUIRE(joint_distance(a, b) == joint_distance(b, a));
    REQUIRE(marginal_distance(a, b) == marginal_distance(b, a));
    const Target target{static_cast<By>(random.below(3)), b, random.next(), random.below(2) == 0};
    REQUIRE(std::isfinite(remoteness(target, a, random.next())));
    REQUIRE(valid(place_of(a, Place::Kind::joint, 1, 24)));
  }
}

TEST_CASE("a sketch of any decodable fingerprint is well defined, however large its numbers") {
  Fingerprint f;
  f.dimensions = 256;
  f.classes = 1024;
  f.joint.assign(256 * 1024, 127);
  f.scale.assign(1024, 1.f);
  f.count.assign(1024, 1e12f);
  f.accuracy.assign(1024, 1.f);
  REQUIRE(decode_fingerprint(encode(f), 1024));
  const auto sketch = Sketcher(kTask, 256, 1024).sketch(f);
  CHECK(joint_distance(sketch, sketch) == 0);
  CHECK(std::isfinite(joint_distance(sketch, Sketch{})));
}

TEST_CASE("sketch distances estimate joint and marginal distances without bias, for small, sparse and large embeddings") {
  // A square from k coordinates is off by a factor with deviation sqrt(2/k), 0.18 of 64 and 0.25 of 32, a distance by half
  // of that; the mean of 400 pairs by a twentieth. Squares are unbiased, so distances are short by a factor 1 - 1/(4k).
  struct Shape {
    std::uint32_t dimensions, classes;
    double filled;  // share of classes with experience
  };
  for (const auto& shape : {Shape{4, 3, 1}, Shape{32, 10, 1}, Shape{32, 10, 0.2}, Shape{64, 100, 0.05}, Shape{256, 64, 1}}) {
    Random random(4);
    Moments joint, marginal, joint_square, marginal_square;
    for (int i = 0; i < 400; ++i) {
      TaskId task = kTask;  // other projections each time: the estimate is unbiased over those
      for (std::size_t b = 0; b < 8; ++b) task.bytes[b] = static_cast<std::uint8_t>(random.next());
      const Sketcher sketcher(task, shape.dimensions, shape.classes);
      const std::size_t n = std::size_t{shape.dimensions} * shape.classes;
      std::vector<double> a(n, 0.0), b(n, 0.0);
      const double mix = 0.95 * random.uniform();
      for (std::uint32_t c = 0; c < shape.classes; ++c) {
        if (c > 0 && random.uniform() > shape.filled) continue;
        for (std::uint32_t d = 0; d < shape.dimensions; ++d) {
          a[c * shape.dimensions + d] = random.normal();
          b[c * shape.dimensions + d] = mix * a[c * shape.dimensions + d] + (1 - mix) * random.normal();
        }
      }
      const auto fa = of_vector(a, shape.dimensions, shape.classes, 1.0 / 32);
      const auto fb = of_vector(b, shape.dimensions, shape.classes, 1.0 / 32);
      const auto sa = sketcher.sketch(fa), sb = sketcher.sketch(fb);
      const auto compare = [](double guess, double truth, Moments& plain, Moments& square) {
        plain.add(guess / truth - 1);
        square.add(guess * guess / (truth * truth) - 1);
      };
      compare(joint_distance(sa, sb), joint_distance(fa, fb), joint, joint_square);
      compare(marginal_distance(sa, sb), marginal_distance(fa, fb), marginal, marginal_square);
    }
    INFO(shape.dimensions << " x " << shape.classes << " (" << shape.filled << "): joint square " << joint_square.mean()
                          << ", bias " << joint.mean() << ", rms " << joint.rms() << "; marginal square "
                          << marginal_square.mean() << ", bias " << marginal.mean() << ", rms " << marginal.rms());
    CHECK(std::abs(joint_square.mean()) < 0.03);
    CHECK(std::abs(marginal_square.mean()) < 0.05);
    CHECK(std::abs(joint.mean()) < 0.02);
    CHECK(std::abs(marginal.mean()) < 0.03);
    CHECK(joint.rms() < 0.11);
    CHECK(marginal.rms() < 0.16);
  }
}

TEST_CASE("levels add less than a hundredth of the length to small distances") {
  // What windows of one stream that overlap differ by, a step of eight bits still tells.
  Random random(5);
  const World world({});
  const auto shares = dirichlet(random, 10, 1);
  Moments error;
  for (int i = 0; i < 200; ++i) {
    TaskId task = kTask;
    task.bytes[0] = static_cast<std::uint8_t>(i);
    const Sketcher sketcher(task, 32, 10);
    auto a = world.fingerprint(random, shares, 0, 2000);
    const auto none = FingerprintBuilder({.dimensions = 32, .classes = 10}).build();
    const double length = joint_distance(a, none);
    auto b = a;
    for (auto& value : b.joint) value = static_cast<std::int8_t>(value + (random.below(2) != 0 && value < 127));
    error.add((joint_distance(sketcher.sketch(a), sketcher.sketch(b)) - joint_distance(a, b)) / length);
  }
  INFO("error: mean " << error.mean() << ", rms " << error.rms() << ", worst " << error.worst << " of the length");
  CHECK(error.rms() < 0.01);
}

TEST_CASE("the nearest by sketch are the nearest by joint distance: 9 of 10 within the first 16 of 1000") {
  Random random(6);
  const auto sketcher = make_sketcher();
  std::vector<Fingerprint> nodes;
  std::vector<Sketch> sketches;
  for (int i = 0; i < 1000; ++i) {
    nodes.push_back(any_fingerprint(random, 0.3, 100));
    sketches.push_back(sketcher.sketch(nodes.back()));
  }
  double joint_found = 0, marginal_found = 0;
  const std::size_t queries = 100;
  const auto count = [&](const std::vector<std::size_t>& truth, const std::vector<std::size_t>& guess) {
    double found = 0;
    for (const auto t : truth) found += static_cast<double>(std::count(guess.begin(), guess.end(), t));
    return found / static_cast<double>(10 * queries);
  };
  for (std::size_t q = 0; q < queries; ++q) {
    const auto order = [&](std::size_t k, const std::function<double(std::size_t)>& distance) {
      return nearest(nodes.size(), q, k, distance);
    };
    joint_found += count(order(10, [&](auto i) { return joint_distance(nodes[q], nodes[i]); }),
                         order(16, [&](auto i) { return joint_distance(sketches[q], sketches[i]); }));
    marginal_found += count(order(10, [&](auto i) { return marginal_distance(nodes[q], nodes[i]); }),
                            order(16, [&](auto i) { return marginal_distance(sketches[q], sketches[i]); }));
  }
  INFO("joint " << joint_found << ", marginal " << marginal_found);
  CHECK(joint_found > 0.93);
  CHECK(marginal_found > 0.97);
}

TEST_CASE("buckets gather the near: 16 of them hold most of the ten nearest of 2000 nodes, and probing pays") {
  Random random(7);
  const auto sketcher = make_sketcher();
  const std::uint8_t depth = 6;
  std::vector<Fingerprint> nodes;
  std::vector<Sketch> sketches;
  std::map<Place, std::vector<std::size_t>> buckets;
  for (std::size_t i = 0; i < 2000; ++i) {
    nodes.push_back(any_fingerprint(random, 0.3, 100));
    sketches.push_back(sketcher.sketch(nodes.back()));
    for (std::uint16_t t = 0; t < Place::kJointTables; ++t) {
      buckets[place_of(sketches[i], Place::Kind::joint, t, depth)].push_back(i);
    }
  }
  struct Outcome {
    double recall = 0, candidates = 0;
  };
  const auto query = [&](std::size_t probes_each) {
    Outcome out;
    const std::size_t queries = 100;
    for (std::size_t q = 0; q < queries; ++q) {
      std::set<std::size_t> seen;
      for (std::uint16_t t = 0; t < Place::kJointTables; ++t) {
        for (const auto& place : probes(sketches[q], Place::Kind::joint, t, depth, probes_each)) {
          seen.insert(buckets[place].begin(), buckets[place].end());
        }
      }
      out.candidates += static_cast<double>(seen.size()) / queries;
      for (const auto t : nearest(nodes.size(), q, 10, [&](auto i) { return joint_distance(nodes[q], nodes[i]); })) {
        out.recall += static_cast<double>(seen.count(t)) / (10 * queries);
      }
    }
    return out;
  };
  const Outcome own = query(1), probed = query(8);
  INFO("2 gets: recall " << own.recall << ", " << own.candidates << " candidates; 16 gets: recall " << probed.recall
                         << ", " << probed.candidates << " candidates");
  CHECK(probed.recall > 0.9);
  CHECK(probed.candidates < 2000 * 0.4);
  CHECK(probed.recall > own.recall + 0.1);
}

TEST_CASE("bit j of a prefix is the sign of coordinate j of its table: 24 joint ones each, the first marginal ones") {
  for (std::size_t i = 0; i < Sketch::kMarginal + Sketch::kJoint; ++i) {
    Sketch sketch;  // all levels -1, but coordinate i
    std::fill(sketch.bytes.begin() + 2, sketch.bytes.end(), std::uint8_t{0xff});
    sketch.bytes[2 + i] = static_cast<std::uint8_t>(i % 2);  // 0 counts as positive
    const auto expect = [&](Place::Kind kind, std::uint16_t table, std::size_t first) {
      const bool within = i >= first && i < first + Place::kMaxDepth;
      CHECK(place_of(sketch, kind, table, Place::kMaxDepth).prefix == (within ? 1u << (i - first) : 0u));
    };
    expect(Place::Kind::marginal, 0, 0);
    expect(Place::Kind::joint, 0, 32);
    expect(Place::Kind::joint, 1, 56);
  }
}

TEST_CASE("a shallower prefix is the beginning of a deeper one, so that depth can grow") {
  const auto seed = test_seed();
  P2P_SHOW_SEED(seed);
  Random random(seed);
  for (int round = 0; round < 100; ++round) {
    const Sketch sketch = random_sketch(random);
    for (const auto& [kind, table] :
         {std::pair{Place::Kind::joint, 0}, std::pair{Place::Kind::joint, 1}, std::pair{Place::Kind::marginal, 0}}) {
      const auto t = static_cast<std::uint16_t>(table);
      const std::uint32_t deepest = place_of(sketch, kind, t, Place::kMaxDepth).prefix;
      for (std::uint8_t depth = 0; depth <= Place::kMaxDepth; depth += Place::kLevelBits) {
        const Place place = place_of(sketch, kind, t, depth);
        REQUIRE(valid(place));
        REQUIRE(place.depth == depth);
        REQUIRE(place.prefix == (deepest & ((1u << depth) - 1)));
      }
    }
  }
}

TEST_CASE("probes begin with the own bucket, never come twice, and cost more and more to reach") {
  const auto seed = test_seed();
  P2P_SHOW_SEED(seed);
  Random random(seed);
  for (int round = 0; round < 60; ++round) {
    const Sketch sketch = random_sketch(random);
    const auto kind = round % 3 == 2 ? Place::Kind::marginal : Place::Kind::joint;
    const auto table = static_cast<std::uint16_t>(round % 3 == 1);
    const auto depth = static_cast<std::uint8_t>(Place::kLevelBits * (1 + random.below(8)));
    const Place own = place_of(sketch, kind, table, depth);
    const std::size_t first = kind == Place::Kind::marginal ? 0 : 32 + 24 * table;
    const auto cost = [&](const Place& place) {
      double sum = 0;
      for (std::size_t j = 0; j < depth; ++j) {
        if ((place.prefix ^ own.prefix) >> j & 1) sum += std::pow(sketch.level(first + j), 2);
      }
      return sum;
    };
    const auto all = probes(sketch, kind, table, depth, 50);
    REQUIRE(all.size() == std::min<std::size_t>(50, std::size_t{1} << depth));
    REQUIRE(all[0] == own);
    REQUIRE(std::popcount(all[1].prefix ^ own.prefix) == 1);
    REQUIRE(std::set<Place>(all.begin(), all.end()).size() == all.size());
    for (std::size_t i = 1; i < all.size(); ++i) {
      REQUIRE(valid(all[i]));
      REQUIRE(cost(all[i]) >= cost(all[i - 1]));
    }
    if (depth > 12) continue;
    // No other bucket is cheaper than the last one that was taken.
    const std::set<Place> taken(all.begin(), all.end());
    for (std::uint32_t prefix = 0; prefix < 1u << depth; ++prefix) {
      const Place place{kind, table, depth, prefix};
      if (taken.count(place) == 0) REQUIRE(cost(place) >= cost(all.back()));
    }
  }
}

TEST_CASE("more probes than buckets name every bucket once") {
  Random random(10);
  const Sketch sketch = random_sketch(random);
  CHECK(probes(sketch, Place::Kind::joint, 0, 3, 200).size() == 8);
  CHECK(probes(sketch, Place::Kind::marginal, 0, 0, 3).size() == 1);
  const auto deep = probes(sketch, Place::Kind::joint, 1, 24, 300);
  CHECK(std::set<Place>(deep.begin(), deep.end()).size() == 300);
}

TEST_CASE("buckets get three bits deeper whenever an overlay is eight times as large") {
  // Steps lie halfway, at sqrt(8) crowds.
  CHECK(depth_for(1, 20) == 0);
  CHECK(depth_for(0, 20) == 0);
  CHECK(depth_for(-5, 20) == 0);
  CHECK(depth_for(20 * 2.8, 20) == 0);
  CHECK(depth_for(20 * 2.9, 20) == 3);
  CHECK(depth_for(20 * 22.6, 20) == 3);
  CHECK(depth_for(20 * 22.7, 20) == 6);
  CHECK(depth_for(1e6, 20) == 15);
  CHECK(depth_for(1e30, 20) == Place::kMaxDepth);
  CHECK(depth_for(std::numeric_limits<double>::infinity(), 20) == Place::kMaxDepth);
  CHECK(depth_for(std::numeric_limits<double>::quiet_NaN(), 20) == 0);
  std::uint8_t before = 0;
  for (double nodes = 1; nodes < 1e12; nodes *= 1.1) {
    const auto depth = depth_for(nodes, 16);
    REQUIRE(depth >= before);
    REQUIRE(depth % Place::kLevelBits == 0);
    REQUIRE(depth <= Place::kMaxDepth);
    before = depth;
  }
  CHECK(before == Place::kMaxDepth);
}

TEST_CASE("keys of different places differ, and a key depends on the task and on every field") {
  const TaskTag task = tag(kTask);
  std::set<DhtKey> keys;
  std::size_t places = 0;
  const auto add = [&](const TaskTag& of, const Place& place) {
    keys.insert(place_key(of, place));
    ++places;
  };
  for (const std::uint8_t depth : {0, 3, 6}) {
    for (std::uint32_t prefix = 0; prefix < 1u << depth; ++prefix) {
      for (std::uint16_t t = 0; t < Place::kJointTables; ++t) add(task, {Place::Kind::joint, t, depth, prefix});
      add(task, {Place::Kind::marginal, 0, depth, prefix});
    }
  }
  for (std::uint16_t c = 0; c < 1024; ++c) add(task, {Place::Kind::label, c, 0, 0});
  TaskTag other = task;
  other.bytes[15] ^= 1;
  add(other, {Place::Kind::joint, 0, 0, 0});
  CHECK(keys.size() == places);
}

TEST_CASE("a place with bits outside its prefix, a depth between levels, or a table or kind that is not, is not valid") {
  CHECK(valid({Place::Kind::joint, 0, 3, 7}));
  CHECK_FALSE(valid({Place::Kind::joint, 0, 3, 8}));
  CHECK_FALSE(valid({Place::Kind::joint, 0, 2, 3}));
  CHECK(valid({Place::Kind::joint, 1, 24, 0xffffff}));
  CHECK_FALSE(valid({Place::Kind::joint, 1, 24, 0x1000000}));
  CHECK_FALSE(valid({Place::Kind::joint, 1, 27, 0}));
  CHECK_FALSE(valid({Place::Kind::joint, 1, 255, 0}));
  CHECK_FALSE(valid({Place::Kind::joint, 2, 3, 0}));
  CHECK(valid({Place::Kind::marginal, 0, 24, 0xffffff}));
  CHECK_FALSE(valid({Place::Kind::marginal, 1, 3, 0}));
  CHECK(valid({Place::Kind::label, 1000, 0, 0}));
  CHECK_FALSE(valid({Place::Kind::label, 0, 3, 0}));
  CHECK_FALSE(valid({Place::Kind::label, 0, 0, 1}));
  CHECK_FALSE(valid({static_cast<Place::Kind>(3), 0, 0, 0}));
}

TEST_CASE("lots are uniform in [0, 1), those of different tables independent") {
  // 4000 lots in 20 parts: chi-square of 19 degrees of freedom is below 43.8 but once in a thousand seeds.
  const auto seed = test_seed();
  P2P_SHOW_SEED(seed);
  Random random(seed);
  const Place places[] = {{Place::Kind::joint, 0, 6, 1}, {Place::Kind::joint, 1, 6, 1},
                          {Place::Kind::label, 1, 0, 0}, {Place::Kind::marginal, 0, 6, 1}};
  const int count = 4000, parts = 20;
  std::vector<std::vector<double>> lots(std::size(places));
  for (int i = 0; i < count; ++i) {
    const NodeId node = random_node(random);
    for (std::size_t p = 0; p < std::size(places); ++p) {
      const double value = lot(node, places[p]);
      REQUIRE(value >= 0);
      REQUIRE(value < 1);
      lots[p].push_back(value);
    }
  }
  for (std::size_t p = 0; p < std::size(places); ++p) {
    std::vector<double> histogram(parts, 0.0);
    for (const double value : lots[p]) ++histogram[static_cast<std::size_t>(value * parts)];
    double chi = 0;
    const double expected = static_cast<double>(count) / parts;
    for (const double n : histogram) chi += (n - expected) * (n - expected) / expected;
    INFO("place " << p << ": chi-square " << chi);
    CHECK(chi < 60);
    for (std::size_t q = 0; q < p; ++q) {
      double covariance = 0;
      for (std::size_t i = 0; i < lots[p].size(); ++i) covariance += (lots[p][i] - 0.5) * (lots[q][i] - 0.5) / count;
      INFO("places " << p << " and " << q << ": correlation " << covariance * 12);
      CHECK(std::abs(covariance * 12) < 0.08);  // five deviations
    }
  }
}

TEST_CASE("a node's lot is the same at all depths and prefixes of a table") {
  Random random(12);
  for (int round = 0; round < 50; ++round) {
    const NodeId node = random_node(random);
    const Sketch sketch = random_sketch(random);
    const double shallow = lot(node, place_of(sketch, Place::Kind::joint, 1, 0));
    for (std::uint8_t depth = 0; depth <= Place::kMaxDepth; depth += Place::kLevelBits) {
      REQUIRE(lot(node, place_of(sketch, Place::Kind::joint, 1, depth)) == shallow);
    }
  }
}

TEST_CASE("classes fold onto 64 bits, and negative ones are none") {
  CHECK(class_mask({}) == 0);
  const std::vector<std::int32_t> classes{0, 3, 63, 64 + 5, -1, 1023};
  CHECK(class_mask(classes) == (1ull | 1ull << 3 | 1ull << 63 | 1ull << 5));
}

TEST_CASE("a target is the need's sketch, classes and way, and blank without experience") {
  Random random(13);
  const auto sketcher = make_sketcher();
  const auto f = any_fingerprint(random);
  const Target target = sketcher.target({f, {2, 5}, By::marginal});
  CHECK(target == Target{By::marginal, sketcher.sketch(f), 1ull << 2 | 1ull << 5, false});
  const auto empty = FingerprintBuilder({.dimensions = 32, .classes = 10}).build();
  const Target blank = sketcher.target({empty, {7}, By::classes});
  CHECK(blank.blank);
  CHECK(blank.classes == 1ull << 7);
}

TEST_CASE("remoteness is the distance that is asked for, and half for wanted classes missing; two where they are all") {
  Random random(14);
  const auto sketcher = make_sketcher();
  const auto mine = sketcher.sketch(any_fingerprint(random)), theirs = sketcher.sketch(any_fingerprint(random));
  const double joint = joint_distance(mine, theirs), marginal = marginal_distance(mine, theirs);
  REQUIRE(joint != marginal);
  const ClassMask wanted = 0b1111;
  CHECK(remoteness({By::joint, mine, 0, false}, theirs, 0) == joint);
  CHECK(remoteness({By::marginal, mine, 0, false}, theirs, 0) == marginal);
  CHECK(remoteness({By::classes, mine, 0, false}, theirs, 0) == joint);
  CHECK(remoteness({By::joint, mine, wanted, false}, theirs, wanted) == joint);
  CHECK(remoteness({By::joint, mine, wanted, false}, theirs, 0) == Approx(joint + 0.5));
  CHECK(remoteness({By::joint, mine, wanted, false}, theirs, 0b0111) == Approx(joint + 0.125));
  CHECK(remoteness({By::marginal, mine, wanted, false}, theirs, 0b11110011) == Approx(marginal + 0.25));
  CHECK(remoteness({By::classes, mine, wanted, false}, theirs, 0b0111) == Approx(joint + 0.5));
  CHECK(remoteness({By::classes, mine, wanted, false}, theirs, 0) == Approx(joint + 2));
}

TEST_CASE("where classes are asked for, who knows one more is nearer, wherever both are") {
  Random random(15);
  const auto sketcher = make_sketcher();
  for (int round = 0; round < 50; ++round) {
    const auto mine = sketcher.sketch(any_fingerprint(random, 0.1)), near = sketcher.sketch(any_fingerprint(random, 0.1)),
               far = sketcher.sketch(any_fingerprint(random, 0.1));
    const Target target{By::classes, mine, 1, false};
    REQUIRE(remoteness(target, far, 1) < remoteness(target, near, 0));
  }
}

TEST_CASE("a blank target counts nothing but classes") {
  Random random(16);
  const auto sketcher = make_sketcher();
  const auto theirs = sketcher.sketch(any_fingerprint(random));
  CHECK(remoteness({By::joint, {}, 0, true}, theirs, 0) == 0);
  CHECK(remoteness({By::joint, {}, 0b11, true}, theirs, 0b01) == 0.25);
  CHECK(remoteness({By::classes, {}, 0b11, true}, theirs, 0b01) == 1);
  CHECK(remoteness({By::classes, {}, 0b11, true}, theirs, 0b11) == 0);
  CHECK(remoteness({By::classes, {}, 0b11, true}, theirs, 0) == 2);
}

TEST_CASE("the twin's key is SHA-1 of its name, as dhtnode derives keys from text") {
  const auto node = example_key().id();
  CHECK(twin_name(node) == "p2p-learner/node/" + node.hex().substr(0, 16));
  CHECK(text_key("abc") == sha1(p2p::view("abc")));
}

#include "metadata/index.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>
#include <set>

#include "metadata/similarity.hpp"
#include "tests/metadata/examples.hpp"

using p2p::Random;
using namespace p2p::metadata;
using namespace p2p::metadata::testing;

namespace {

const TaskId kTask = id(example_task());

Index make_index(const IndexOptions& options, std::uint32_t dimensions = 32, std::uint32_t classes = 10) {
  return Index(kTask, dimensions, classes, options);
}

/// A fingerprint with the given joint embedding, one step per unit of 1/127.
Fingerprint of_vector(const std::vector<double>& values, std::uint32_t dimensions, std::uint32_t classes) {
  Fingerprint f;
  f.dimensions = dimensions;
  f.classes = classes;
  double largest = 0;
  for (const double v : values) largest = std::max(largest, std::abs(v));
  for (const double v : values) f.joint.push_back(static_cast<std::int8_t>(std::lround(v / largest * 127)));
  f.scale.assign(classes, static_cast<float>(1.0 / 127));
  f.count.assign(classes, 10.f);
  f.accuracy.assign(classes, 0.9f);
  return f;
}

double angle(const Fingerprint& a, const Fingerprint& b) {
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.joint.size(); ++i) {
    ab += a.joint[i] * b.joint[i];
    aa += a.joint[i] * a.joint[i];
    bb += b.joint[i] * b.joint[i];
  }
  return std::acos(std::clamp(ab / std::sqrt(aa * bb), -1.0, 1.0)) / std::numbers::pi;
}

std::vector<std::size_t> nearest(const std::vector<Fingerprint>& all, std::size_t to, std::size_t k,
                                 const std::function<double(std::size_t)>& distance) {
  std::vector<std::size_t> order(all.size());
  std::iota(order.begin(), order.end(), 0u);
  order.erase(order.begin() + static_cast<std::ptrdiff_t>(to));
  std::vector<double> d(all.size());
  for (const auto i : order) d[i] = distance(i);
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k), order.end(),
                    [&](std::size_t a, std::size_t b) { return std::pair(d[a], a) < std::pair(d[b], b); });
  order.resize(k);
  return order;
}

}  // namespace

TEST_CASE("all nodes of a task make the same sketch and places, those of another task others") {
  const World world({});
  Random random(1);
  const auto f = world.fingerprint(random, dirichlet(random, 10, 0.5), 0, 200);
  const Index a = make_index({}), b = make_index({});
  CHECK(a.sketch(f) == b.sketch(f));
  CHECK(a.publish_places(f) == b.publish_places(f));
  TaskId other = kTask;
  other.bytes[31] ^= 1;
  const Index c(other, 32, 10, {});
  CHECK(sketch_distance(a.sketch(f), c.sketch(f)) == Approx(0.5).margin(0.15));
  CHECK(a.key(a.publish_places(f)[0]) != c.key(a.publish_places(f)[0]));
}

TEST_CASE("sketch distance is a metric from 0 to 1: opposite vectors are at 1") {
  Sketch none, all;
  all.bits.fill(0xff);
  CHECK(sketch_distance(none, none) == 0);
  CHECK(sketch_distance(none, all) == 1);
  all.bits.fill(0x01);
  CHECK(sketch_distance(none, all) == 0.125);
  Random random(2);
  std::vector<double> v(320), opposite;
  for (auto& x : v) x = random.normal();
  for (const double x : v) opposite.push_back(-x);
  const Index index = make_index({});
  CHECK(sketch_distance(index.sketch(of_vector(v, 32, 10)), index.sketch(of_vector(opposite, 32, 10))) == 1);
}

TEST_CASE("the scale of a fingerprint does not move it") {
  const World world({});
  Random random(3);
  auto f = world.fingerprint(random, dirichlet(random, 10, 0.5), 0, 200);
  const Index index = make_index({});
  const auto sketch = index.sketch(f);
  const auto places = index.publish_places(f);
  for (auto& s : f.scale) s *= 0.5f;
  CHECK(index.sketch(f) == sketch);
  CHECK(index.publish_places(f) == places);
}

TEST_CASE("sketch distance estimates the angle without bias, for small, sparse and large embeddings") {
  // Each of 256 signs differs with probability angle/pi: the standard error is at most 0.031, of the mean of
  // 200 pairs 0.0022.
  struct Shape {
    std::uint32_t dimensions, classes;
    double filled;  // share of classes with experience
  };
  for (const auto& shape : {Shape{4, 3, 1}, Shape{32, 10, 1}, Shape{32, 10, 0.2}, Shape{64, 100, 0.05}}) {
    const Index index = make_index({}, shape.dimensions, shape.classes);
    Random random(4);
    double bias = 0, worst = 0, squares = 0;
    const int pairs = 200;
    for (int i = 0; i < pairs; ++i) {
      const std::size_t n = std::size_t{shape.dimensions} * shape.classes;
      std::vector<double> a(n, 0.0), b(n, 0.0);
      const double mix = random.uniform();
      for (std::uint32_t c = 0; c < shape.classes; ++c) {
        if (c > 0 && random.uniform() > shape.filled) continue;
        for (std::uint32_t d = 0; d < shape.dimensions; ++d) {
          a[c * shape.dimensions + d] = random.normal();
          b[c * shape.dimensions + d] = mix * a[c * shape.dimensions + d] + (1 - mix) * random.normal();
        }
      }
      const auto fa = of_vector(a, shape.dimensions, shape.classes);
      const auto fb = of_vector(b, shape.dimensions, shape.classes);
      const double error = sketch_distance(index.sketch(fa), index.sketch(fb)) - angle(fa, fb);
      bias += error / pairs;
      squares += error * error / pairs;
      worst = std::max(worst, std::abs(error));
    }
    INFO(shape.dimensions << " x " << shape.classes << ": bias " << bias << ", rms " << std::sqrt(squares)
                          << ", worst " << worst);
    CHECK(std::abs(bias) < 0.012);
    CHECK(std::sqrt(squares) < 0.036);
    CHECK(worst < 0.14);
  }
}

TEST_CASE("the nearest by sketch are the nearest by joint distance: 9 of 10 within the first 40 of 1000") {
  const World world({});
  Random random(5);
  const Index index = make_index({});
  std::vector<Fingerprint> nodes;
  std::vector<Sketch> sketches;
  for (int i = 0; i < 1000; ++i) {
    nodes.push_back(world.fingerprint(random, dirichlet(random, 10, 0.3), random.below(6), 100));
    sketches.push_back(index.sketch(nodes.back()));
  }
  double found = 0;
  const std::size_t queries = 60;
  for (std::size_t q = 0; q < queries; ++q) {
    const auto truth = nearest(nodes, q, 10, [&](std::size_t i) { return joint_distance(nodes[q], nodes[i]); });
    const auto guess =
        nearest(nodes, q, 40, [&](std::size_t i) { return sketch_distance(sketches[q], sketches[i]); });
    for (const auto t : truth) found += std::count(guess.begin(), guess.end(), t);
  }
  INFO("recall " << found / (10 * queries));
  CHECK(found / (10 * queries) > 0.9);
}

TEST_CASE("LSH finds 0.9 of the ten nearest of 2000 nodes in 32 buckets that hold a quarter of them, and probing pays") {
  const World world({});
  Random random(6);
  const IndexOptions options{.tables = 8, .depth = 10, .probes = 4};
  const Index index = make_index(options);
  std::vector<Fingerprint> nodes;
  std::map<Place, std::vector<std::size_t>> buckets;
  for (std::size_t i = 0; i < 2000; ++i) {
    nodes.push_back(world.fingerprint(random, dirichlet(random, 10, 0.3), random.below(6), 100));
    for (const auto& place : index.publish_places(nodes[i])) {
      if (place.kind == Place::Kind::joint) buckets[place].push_back(i);
    }
  }
  struct Outcome {
    double recall = 0, candidates = 0;
  };
  const auto query = [&](std::size_t gets) {
    Outcome out;
    const std::size_t queries = 100;
    for (std::size_t q = 0; q < queries; ++q) {
      std::set<std::size_t> seen;
      auto places = index.query_places(nodes[q], {});
      REQUIRE(places.size() == 32);
      places.resize(gets);
      for (const auto& place : places) seen.insert(buckets[place].begin(), buckets[place].end());
      out.candidates += static_cast<double>(seen.size()) / queries;
      for (const auto t :
           nearest(nodes, q, 10, [&](std::size_t i) { return joint_distance(nodes[q], nodes[i]); })) {
        out.recall += static_cast<double>(seen.count(t)) / (10 * queries);
      }
    }
    return out;
  };
  const Outcome own = query(8), probed = query(32);
  INFO("8 gets: recall " << own.recall << ", " << own.candidates << " candidates; 32 gets: recall " << probed.recall
                         << ", " << probed.candidates << " candidates");
  CHECK(probed.recall > 0.9);
  CHECK(probed.candidates < 2000 / 4);
  CHECK(probed.recall > own.recall + 0.1);
}

TEST_CASE("the default index of a small overlay misses nobody near") {
  const World world({});
  Random random(7);
  const Index index = make_index({});
  std::vector<Fingerprint> nodes;
  for (int i = 0; i < 64; ++i) {
    nodes.push_back(world.fingerprint(random, dirichlet(random, 10, 0.3), random.below(2), 200));
  }
  std::size_t found = 0;
  for (std::size_t q = 0; q < nodes.size(); ++q) {
    const auto places = index.query_places(nodes[q], {});
    for (const auto t : nearest(nodes, q, 5, [&](std::size_t i) { return joint_distance(nodes[q], nodes[i]); })) {
      const auto published = index.publish_places(nodes[t]);
      found += std::any_of(published.begin(), published.end(), [&](const Place& place) {
        return std::find(places.begin(), places.end(), place) != places.end();
      });
    }
  }
  CHECK(static_cast<double>(found) / (5.0 * 64) > 0.98);
}

TEST_CASE("a node is published once per table and under each class that it knows well enough") {
  const World world({});
  Random random(8);
  auto f = world.fingerprint(random, dirichlet(random, 10, 10), 0, 1000);
  f.count = {19.9f, 20, 500, 500, 0, 100, 100, 100, 100, 100};
  f.accuracy = {0.9f, 0.5f, 0.49f, 1, 0, 0, 0, 0, 0, 0.6f};
  const auto places = make_index({.tables = 3, .depth = 5}).publish_places(f);
  REQUIRE(places.size() == 6);
  for (std::uint16_t t = 0; t < 3; ++t) {
    CHECK(places[t].kind == Place::Kind::joint);
    CHECK(places[t].table == t);
    CHECK(places[t].depth == 5);
    CHECK(valid(places[t]));
  }
  CHECK(places[3] == Place{Place::Kind::label, 1, 0, 0});
  CHECK(places[4] == Place{Place::Kind::label, 3, 0, 0});
  CHECK(places[5] == Place{Place::Kind::label, 9, 0, 0});
}

TEST_CASE("without experience a node is published nowhere and looks only where its classes are") {
  const Index index = make_index({});
  const auto empty = FingerprintBuilder({.dimensions = 32, .classes = 10}).build();
  CHECK(index.publish_places(empty).empty());
  CHECK(index.query_places(empty, {}).empty());
  const std::vector<std::int32_t> classes{4, -1, 10, 4, 2};
  const auto places = index.query_places(empty, classes);
  REQUIRE(places.size() == 2);
  CHECK(places[0] == Place{Place::Kind::label, 4, 0, 0});
  CHECK(places[1] == Place{Place::Kind::label, 2, 0, 0});
}

TEST_CASE("a query begins with its classes' buckets and its own buckets, then the nearest misses") {
  const World world({});
  Random random(9);
  for (int round = 0; round < 20; ++round) {
    const auto f = world.fingerprint(random, dirichlet(random, 10, 0.5), 0, 200);
    const Index index = make_index({.tables = 4, .depth = 6, .probes = 5});
    const std::vector<std::int32_t> classes{7};
    const auto places = index.query_places(f, classes);
    REQUIRE(places.size() == 1 + 4 * 5);
    REQUIRE(places[0] == Place{Place::Kind::label, 7, 0, 0});
    const auto own = index.publish_places(f);
    for (std::size_t t = 0; t < 4; ++t) REQUIRE(places[1 + t] == own[t]);
    std::set<Place> distinct(places.begin(), places.end());
    REQUIRE(distinct.size() == places.size());
    // The first miss of each table flips one bit.
    std::set<std::uint16_t> met;
    for (std::size_t i = 5; i < places.size(); ++i) {
      REQUIRE(valid(places[i]));
      if (!met.insert(places[i].table).second) continue;
      REQUIRE(std::popcount(places[i].prefix ^ own[places[i].table].prefix) == 1);
    }
  }
}

TEST_CASE("more probes than buckets read every bucket once") {
  const World world({});
  Random random(10);
  const auto f = world.fingerprint(random, dirichlet(random, 10, 0.5), 0, 200);
  CHECK(make_index({.tables = 2, .depth = 3, .probes = 200}).query_places(f, {}).size() == 16);
  CHECK(make_index({.tables = 2, .depth = 0, .probes = 3}).query_places(f, {}).size() == 2);
  const auto deep = make_index({.tables = 1, .depth = 32, .probes = 200}).query_places(f, {});
  CHECK(std::set<Place>(deep.begin(), deep.end()).size() == 200);
}

TEST_CASE("a shallower prefix is the beginning of a deeper one, so that depth can grow") {
  const World world({});
  Random random(11);
  const auto f = world.fingerprint(random, dirichlet(random, 10, 0.5), 0, 200);
  const auto deep = make_index({.depth = 12}).publish_places(f), shallow = make_index({.depth = 5}).publish_places(f);
  for (std::size_t t = 0; t < 4; ++t) CHECK((deep[t].prefix & 31) == shallow[t].prefix);
}

TEST_CASE("keys of different places differ, and a key depends on every field") {
  std::set<DhtKey> keys;
  for (std::uint16_t t = 0; t < 4; ++t) {
    for (std::uint8_t depth = 0; depth < 4; ++depth) {
      for (std::uint32_t prefix = 0; prefix < 1u << depth; ++prefix) {
        keys.insert(place_key(kTask, {Place::Kind::joint, t, depth, prefix}));
      }
    }
    keys.insert(place_key(kTask, {Place::Kind::label, t, 0, 0}));
  }
  CHECK(keys.size() == 4 * (1 + 2 + 4 + 8 + 1));
}

TEST_CASE("a place with bits outside its prefix, or a kind that does not exist, is not valid") {
  CHECK(valid({Place::Kind::joint, 0, 2, 3}));
  CHECK_FALSE(valid({Place::Kind::joint, 0, 2, 4}));
  CHECK(valid({Place::Kind::joint, 0, 32, 0xffffffff}));
  CHECK_FALSE(valid({Place::Kind::joint, 0, 33, 0}));
  CHECK(valid({Place::Kind::label, 1000, 0, 0}));
  CHECK_FALSE(valid({Place::Kind::label, 0, 1, 0}));
  CHECK_FALSE(valid({static_cast<Place::Kind>(2), 0, 0, 0}));
}

TEST_CASE("the twin's key is SHA-1 of its name, as dhtnode derives keys from text") {
  const auto node = example_key().id();
  CHECK(twin_name(node) == "p2p-learner/node/" + node.hex().substr(0, 16));
  CHECK(text_key("abc") == sha1(p2p::view("abc")));
}

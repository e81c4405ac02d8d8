#include "overlay/net/network_size.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include <catch2/catch.hpp>

#include "metadata/base/random.hpp"

namespace p2p::net {
namespace {

using metadata::DhtKey;

DhtKey random_key(Random& random) {
  DhtKey key;
  for (auto& byte : key) byte = static_cast<std::uint8_t>(random.next());
  return key;
}

/// What a perfect search finds: the `most` ids that are nearest to `key`, nearest first.
std::vector<DhtKey> nearest(const std::vector<DhtKey>& ids, const DhtKey& key, std::size_t most = 8) {
  std::vector<DhtKey> distances;
  for (const DhtKey& id : ids) {
    DhtKey distance = id;
    for (std::size_t i = 0; i < key.size(); ++i) distance[i] ^= key[i];
    distances.push_back(distance);
  }
  std::sort(distances.begin(), distances.end());
  distances.resize(std::min(most, distances.size()));
  for (DhtKey& distance : distances) {
    for (std::size_t i = 0; i < key.size(); ++i) distance[i] ^= key[i];
  }
  return distances;
}

struct Moments {
  double mean = 0, deviation = 0;
};

/// Estimates by members of `networks` networks of `nodes` nodes after sixteen operations each, relative to the truth.
Moments measure(std::size_t nodes, int networks) {
  Random random(nodes);
  double sum = 0, squares = 0;
  for (int n = 0; n < networks; ++n) {
    std::vector<DhtKey> others;
    for (std::size_t i = 1; i < nodes; ++i) others.push_back(random_key(random));
    NetworkSize size;
    for (std::size_t i = 0; i < NetworkSize::kOperations; ++i) {
      const DhtKey key = random_key(random);
      size.add(key, nearest(others, key));
    }
    const double relative = size.estimate() / static_cast<double>(nodes);
    sum += relative;
    squares += relative * relative;
  }
  const double mean = sum / networks;
  return {mean, std::sqrt(squares / networks - mean * mean)};
}

TEST_CASE("Sixteen operations tell the size of a network without bias, within a tenth") {
  for (const std::size_t nodes : {60u, 300u, 2000u}) {
    const Moments found = measure(nodes, nodes > 1000 ? 100 : 600);
    INFO(nodes << " nodes: mean " << found.mean << ", deviation " << found.deviation);
    CHECK(std::abs(found.mean - 1) < 0.03);
    CHECK(found.deviation < 0.11);
  }
}

TEST_CASE("In networks of eight to twenty the estimate is at most five in a hundred high, and never low") {
  for (const std::size_t nodes : {9u, 10u, 12u, 15u, 20u}) {
    const Moments found = measure(nodes, 2000);
    INFO(nodes << " nodes: mean " << found.mean << ", deviation " << found.deviation);
    CHECK(found.mean > 0.99);
    CHECK(found.mean < 1.05);
  }
}

TEST_CASE("A network of fewer than nine is counted, and nothing is known before the first operation") {
  Random random(1);
  NetworkSize size;
  CHECK(size.estimate() == 0);
  size.add(random_key(random), {});
  CHECK(size.estimate() == 0);
  for (std::size_t others = 1; others < 8; ++others) {
    std::vector<DhtKey> ids;
    for (std::size_t i = 0; i < others; ++i) ids.push_back(random_key(random));
    NetworkSize small;
    for (int i = 0; i < 3; ++i) {
      const DhtKey key = random_key(random);
      small.add(key, nearest(ids, key));
    }
    CHECK(small.estimate() == static_cast<double>(others + 1));
  }
}

TEST_CASE("A key that is asked again and again counts once, and operations that found too few do not spoil the rest") {
  Random random(2);
  std::vector<DhtKey> others;
  for (int i = 0; i < 1000; ++i) others.push_back(random_key(random));
  NetworkSize once, often;
  std::vector<DhtKey> keys;
  for (int i = 0; i < 8; ++i) keys.push_back(random_key(random));
  for (const DhtKey& key : keys) once.add(key, nearest(others, key));
  for (int round = 0; round < 5; ++round) {
    for (const DhtKey& key : keys) often.add(key, nearest(others, key));
    for (int i = 0; i < 20; ++i) often.add(keys[0], nearest(others, keys[0]));
  }
  CHECK(often.estimate() == Approx(once.estimate()));
  for (int i = 0; i < 7; ++i) {
    const DhtKey key = random_key(random);
    often.add(key, nearest(others, key, 3));
  }
  CHECK(often.estimate() == Approx(once.estimate()));
}

TEST_CASE("Nodes that crowd around one key raise the estimate by one sixteenth at most") {
  Random random(3);
  std::vector<DhtKey> others;
  for (int i = 0; i < 1000; ++i) others.push_back(random_key(random));
  NetworkSize size;
  for (int i = 0; i < 15; ++i) {
    const DhtKey key = random_key(random);
    size.add(key, nearest(others, key));
  }
  const double before = size.estimate();
  const DhtKey victim = random_key(random);
  size.add(victim, std::vector<DhtKey>(8, victim));
  CHECK(size.estimate() < before * 1.08);
}

}  // namespace
}  // namespace p2p::net

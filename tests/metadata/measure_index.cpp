// Measures the index on data: recall and candidates by prefix depth, for the embedding as it is and centred on the
// mean over classes, and what the room's operations cost. The tables in metadata/README.md come from it.
//   P2P_OPTDIGITS=stream.csv.gz test_metadata '[measure]'     without it, on the synthetic world
#include <zlib.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <numbers>
#include <set>

#include "metadata/similarity.hpp"
#include "tests/metadata/examples.hpp"

using p2p::Random;
using namespace p2p::metadata;
using namespace p2p::metadata::testing;

namespace {

constexpr std::size_t kClasses = 10, kSide = 8, kPixels = kSide * kSide;
constexpr std::uint32_t kDimensions = 32;
constexpr std::size_t kDomains = 24;

/// 8 x 8 digits in 24 domains: four rotations, inverted or not, three ways to name the classes.
class Digits {
 public:
  explicit Digits(const char* path) : by_class_(kClasses) {
    const gzFile file = gzopen(path, "rb");
    REQUIRE(file != nullptr);
    char line[4096];
    gzgets(file, line, sizeof line);  // names of the columns
    while (gzgets(file, line, sizeof line) != nullptr) {
      std::vector<double> pixels(kPixels);
      const char* at = line;
      char* end = nullptr;
      for (auto& p : pixels) {
        p = std::strtod(at, &end) / 16;
        at = end + 1;
      }
      by_class_.at(std::strtoul(at, nullptr, 10)).push_back(pixels);
    }
    gzclose(file);
    Random random(1);
    std::vector<double> distances;
    const auto any = [&]() -> const std::vector<double>& {
      const auto& of_class = by_class_[random.below(kClasses)];
      return of_class[random.below(of_class.size())];
    };
    for (int i = 0; i < 2000; ++i) {
      const auto &a = any(), &b = any();
      double sum = 0;
      for (std::size_t p = 0; p < kPixels; ++p) sum += (a[p] - b[p]) * (a[p] - b[p]);
      distances.push_back(sum);
    }
    std::nth_element(distances.begin(), distances.begin() + 1000, distances.end());
    for (std::size_t i = 0; i < kDimensions * kPixels; ++i) {
      weights_.push_back(random.normal() * std::sqrt(2 / distances[1000]));
    }
    for (std::size_t d = 0; d < kDimensions; ++d) offsets_.push_back(2 * std::numbers::pi * random.uniform());
  }

  Fingerprint fingerprint(Random& random, double alpha, std::size_t domain) const {
    const auto shares = dirichlet(random, kClasses, alpha);
    FingerprintBuilder builder({.dimensions = kDimensions, .classes = kClasses, .half_life = 0});
    for (int i = 0; i < 100; ++i) {
      const std::size_t c = draw(random, shares);
      auto x = by_class_[c][random.below(by_class_[c].size())];
      for (std::size_t turn = domain % 4; turn > 0; --turn) {
        auto turned = x;
        for (std::size_t p = 0; p < kPixels; ++p) turned[p % kSide * kSide + kSide - 1 - p / kSide] = x[p];
        x = turned;
      }
      const bool inverted = domain / 4 % 2 == 1;
      std::vector<float> phi(kDimensions);
      for (std::size_t d = 0; d < kDimensions; ++d) {
        double angle = offsets_[d];
        for (std::size_t p = 0; p < kPixels; ++p) angle += weights_[d * kPixels + p] * (inverted ? 1 - x[p] : x[p]);
        phi[d] = static_cast<float>(std::sqrt(2.0 / kDimensions) * std::cos(angle));
      }
      const std::size_t names[] = {c, (c + 3) % kClasses, kClasses - 1 - c};
      builder.add(phi, static_cast<std::int32_t>(names[domain / 8]), true);
    }
    return builder.build();
  }

 private:
  std::vector<std::vector<std::vector<double>>> by_class_;
  std::vector<double> weights_, offsets_;
};

/// The same fingerprint with the mean over classes taken off every column.
Fingerprint centred(const Fingerprint& f) {
  Fingerprint out = f;
  std::vector<double> mean(f.dimensions, 0.0);
  for (std::size_t i = 0; i < f.joint.size(); ++i) {
    mean[i % f.dimensions] += static_cast<double>(f.joint[i]) * f.scale[i / f.dimensions] / f.classes;
  }
  for (std::size_t c = 0; c < f.classes; ++c) {
    double largest = 1e-30;
    std::vector<double> column(f.dimensions);
    for (std::size_t d = 0; d < f.dimensions; ++d) {
      column[d] = static_cast<double>(f.joint[c * f.dimensions + d]) * f.scale[c] - mean[d];
      largest = std::max(largest, std::abs(column[d]));
    }
    out.scale[c] = static_cast<float>(largest / 127);
    for (std::size_t d = 0; d < f.dimensions; ++d) {
      out.joint[c * f.dimensions + d] = static_cast<std::int8_t>(std::lround(column[d] / largest * 127));
    }
  }
  return out;
}

constexpr std::size_t kQueries = 200, kNeighbours = 10;

/// The indices of the `count` smallest distances, `self` left out.
std::vector<std::size_t> nearest(std::size_t n, std::size_t self, std::size_t count,
                                 const std::function<double(std::size_t)>& distance) {
  std::vector<std::pair<double, std::size_t>> all;
  for (std::size_t i = 0; i < n; ++i) {
    if (i != self) all.emplace_back(distance(i), i);
  }
  std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count), all.end());
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < count; ++i) out.push_back(all[i].second);
  return out;
}

/// Prints a row; returns the recall of 16 gets at 8 bits.
double measure(const char* what, const std::vector<Fingerprint>& hashed,
               const std::vector<std::vector<std::size_t>>& truth) {
  const TaskId task = id(example_task());
  std::printf("  %-24s", what);
  const Index plain(task, kDimensions, kClasses, {});
  std::vector<Sketch> sketches;
  for (const auto& f : hashed) sketches.push_back(plain.sketch(f));
  double kept = 0;
  for (std::size_t q = 0; q < truth.size(); ++q) {
    const auto top = nearest(hashed.size(), q, 40,
                             [&](std::size_t i) { return sketch_distance(sketches[q], sketches[i]); });
    for (const auto t : truth[q]) kept += std::count(top.begin(), top.end(), t) > 0;
  }
  std::printf(" sketch, top 40: %.2f", kept / static_cast<double>(truth.size() * kNeighbours));
  double recall = 0;
  for (const std::uint8_t depth : {6, 8}) {
    const Index index(task, kDimensions, kClasses,
                      {.tables = 4, .depth = depth, .probes = 4, .label_accuracy = 2});  // 2: no label buckets
    std::map<Place, std::vector<std::size_t>> buckets;
    for (std::size_t i = 0; i < hashed.size(); ++i) {
      for (const auto& place : index.publish_places(hashed[i])) buckets[place].push_back(i);
    }
    double found = 0, candidates = 0;
    for (std::size_t q = 0; q < truth.size(); ++q) {
      std::set<std::size_t> seen;
      for (const auto& place : index.query_places(hashed[q], {})) {
        seen.insert(buckets[place].begin(), buckets[place].end());
      }
      candidates += static_cast<double>(seen.size());
      for (const auto t : truth[q]) found += static_cast<double>(seen.count(t));
    }
    const auto queries = static_cast<double>(truth.size());
    recall = found / queries / kNeighbours;
    std::printf("   16 gets at %d bits: %.2f of %.0f", depth, recall, candidates / queries);
  }
  std::printf("\n");
  return recall;
}

double time_it(const char* what, int rounds, const std::function<void()>& run) {
  using Clock = std::chrono::steady_clock;
  double best = 1e30;
  for (int i = 0; i < 5; ++i) {
    const auto start = Clock::now();
    for (int r = 0; r < rounds; ++r) run();
    best = std::min(best, std::chrono::duration<double, std::micro>(Clock::now() - start).count() / rounds);
  }
  std::printf("  %-32s %8.2f us\n", what, best);
  return best;
}

}  // namespace

TEST_CASE("hashing the embedding as it is finds at least what hashing the centred one finds", "[.][measure]") {
  const char* path = std::getenv("P2P_OPTDIGITS");
  const auto digits = path != nullptr ? std::make_unique<Digits>(path) : nullptr;
  const World world({});
  for (const auto& [alpha, count] : {std::pair{0.3, 500}, std::pair{0.3, 4000}, std::pair{10.0, 2000}}) {
    Random random(7);
    std::vector<Fingerprint> nodes, nodes_centred;
    for (int i = 0; i < count; ++i) {
      const std::size_t domain = random.below(kDomains);
      nodes.push_back(digits ? digits->fingerprint(random, alpha, domain)
                             : world.fingerprint(random, dirichlet(random, kClasses, alpha), domain % 8, 100));
      nodes_centred.push_back(centred(nodes.back()));
    }
    std::vector<std::vector<std::size_t>> truth;
    for (std::size_t q = 0; q < kQueries; ++q) {
      truth.push_back(nearest(nodes.size(), q, kNeighbours,
                              [&](std::size_t i) { return joint_distance(nodes[q], nodes[i]); }));
    }
    std::printf("%s, Dirichlet %.1f, %d nodes\n", digits ? "optdigits" : "synthetic", alpha, count);
    const double plain = measure("as it is", nodes, truth);
    CHECK(plain >= measure("minus mean over classes", nodes_centred, truth));
  }
}

TEST_CASE("a node verifies at least 500 entries a second", "[.][measure]") {
  const KeyPair key = example_key();
  const Entry entry = example_entry();
  const auto bytes = seal(entry, key);
  const World world({});
  Random random(1);
  const auto a = world.fingerprint(random, dirichlet(random, 10, 1), 0, 200);
  const auto b = world.fingerprint(random, dirichlet(random, 10, 1), 0, 200);
  const Index index(entry.task, 32, 10, {});
  FingerprintBuilder builder({.dimensions = 32, .classes = 10});
  const auto phi = world.sample(random, 0, 0);
  time_it("sign", 500, [&] { key.sign(bytes); });
  CHECK(time_it("open_entry (one verification)", 500, [&] { REQUIRE(open_entry(bytes)); }) < 2000);
  time_it("peek_entry", 5000, [&] { (void)peek_entry(bytes); });
  time_it("sketch", 5000, [&] { index.sketch(a); });
  time_it("query_places", 5000, [&] { index.query_places(a, {}); });
  time_it("joint_distance", 5000, [&] { (void)joint_distance(a, b); });
  time_it("a sample into a fingerprint", 100000, [&] { builder.add(phi, 3, true); });
}

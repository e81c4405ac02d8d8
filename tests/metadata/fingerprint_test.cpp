#include "metadata/fingerprint.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "metadata/codec.hpp"
#include "tests/metadata/examples.hpp"

using p2p::Bytes;
using p2p::ErrorCode;
using p2p::Random;
using namespace p2p::metadata;
using p2p::metadata::testing::example_fingerprint;
using p2p::metadata::testing::test_seed;

namespace {

FingerprintBuilder builder(double half_life, std::uint32_t dimensions = 2, std::uint32_t classes = 3) {
  return FingerprintBuilder({.dimensions = dimensions, .classes = classes, .half_life = half_life});
}

}  // namespace

TEST_CASE("without decay the joint embedding is the mean of what was added, class by class") {
  auto b = builder(0);
  b.add(std::vector<float>{1, 0}, 0, true);
  b.add(std::vector<float>{0, 1}, 0, false);
  b.add(std::vector<float>{-1, 0.5f}, 2, true);
  b.add(std::vector<float>{-1, 0.5f}, 2, true);
  const Fingerprint f = b.build();
  CHECK(f.count == std::vector<float>{2, 0, 2});
  CHECK(f.accuracy == std::vector<float>{0.5f, 0, 1});
  CHECK(f.samples() == 4);
  CHECK(b.samples() == 4);
  CHECK(f.overall_accuracy() == Approx(0.75));
  CHECK(f.prior(0) == 0.5);
  CHECK(f.prior(1) == 0);
  std::vector<float> column(2);
  f.column(0, column);
  CHECK(column[0] == Approx(0.25));
  CHECK(column[1] == Approx(0.25));
  f.column(2, column);
  CHECK(column[0] == Approx(-0.5));
  CHECK(column[1] == Approx(0.25).margin(0.5 / 127 / 2 + 1e-6));
}

TEST_CASE("after one half-life of other samples a sample counts half as much as the latest") {
  auto b = builder(10);
  b.add(std::vector<float>{1, 1}, 0, true);
  for (int i = 0; i < 10; ++i) b.add(std::vector<float>{1, 1}, 1, false);
  const Fingerprint f = b.build();
  CHECK(f.count[0] == Approx(0.5));
  double others = 0;
  for (int i = 0; i < 10; ++i) others += std::pow(0.5, i / 10.0);
  CHECK(f.count[1] == Approx(others));
  CHECK(b.samples() == Approx(0.5 + others));
}

TEST_CASE("decay goes on evenly across the renormalisation of the weights") {
  // 1e100 is passed every 332 half-lives; compared with the closed form on both sides of it.
  auto b = builder(1);
  for (int i = 0; i < 2000; ++i) {
    b.add(std::vector<float>{1, -1}, i % 2, i % 2 == 0);
    if (i < 60) continue;
    const Fingerprint f = b.build();
    const auto latest = static_cast<std::size_t>(i % 2);
    REQUIRE(f.count[latest] == Approx(4.0 / 3));
    REQUIRE(f.count[1 - latest] == Approx(2.0 / 3));
    REQUIRE(f.accuracy[0] == 1);
    REQUIRE(f.accuracy[1] == 0);
  }
}

TEST_CASE("a class that has faded away counts as never seen") {
  auto b = builder(1);
  b.add(std::vector<float>{1, 1}, 0, true);
  for (int i = 0; i < 40; ++i) b.add(std::vector<float>{1, 1}, 1, true);
  const Fingerprint f = b.build();
  CHECK(f.count[0] == 0);
  CHECK(f.scale[0] == 0);
  CHECK(f.accuracy[0] == 0);
}

TEST_CASE("a sample whose embedding is not finite leaves the fingerprint as it was") {
  auto b = builder(10);
  b.add(std::vector<float>{1, 0.5f}, 0, true);
  const Fingerprint before = b.build();
  b.add(std::vector<float>{1, std::numeric_limits<float>::quiet_NaN()}, 0, true);
  b.add(std::vector<float>{-std::numeric_limits<float>::infinity(), 1}, 1, false);
  CHECK(b.build() == before);
}

TEST_CASE("what is put back into a builder comes out again, and decays from there as if it had never left") {
  Random random(test_seed());
  for (const double half_life : {0.0, 1.0, 50.0}) {
    FingerprintBuilder kept = builder(half_life, 8, 4);
    const auto add = [&](FingerprintBuilder& to, std::uint64_t seed) {
      Random own(seed);
      std::vector<float> phi(8);
      for (auto& value : phi) value = static_cast<float>(own.normal() * 0.5);
      to.add(phi, static_cast<std::int32_t>(own.below(3)), own.below(2) == 0);  // the fourth class never comes
    };
    for (int i = 0; i < 700; ++i) add(kept, random.next());
    const auto saved = kept.build();
    FingerprintBuilder back({.dimensions = 8, .classes = 4, .half_life = half_life}, saved);
    const auto same = [&](const Fingerprint& a, const Fingerprint& b) {
      for (std::size_t c = 0; c < 4; ++c) {
        CHECK(a.count[c] == Approx(b.count[c]));
        CHECK(a.accuracy[c] == Approx(b.accuracy[c]).margin(1e-6));
      }
      CHECK(back.samples() == Approx(kept.samples()));
    };
    CHECK(back.build().joint == saved.joint);
    same(back.build(), saved);
    for (int i = 0; i < 30; ++i) {
      const auto seed = random.next();
      add(kept, seed);
      add(back, seed);
    }
    same(back.build(), kept.build());
    CHECK(joint_distance(back.build(), kept.build()) < 0.02);
  }
}

TEST_CASE("as much experience as a fingerprint can claim is put back at once") {
  auto most = example_fingerprint();
  for (auto& count : most.count) count = 1e12f;
  const FingerprintBuilder back({.dimensions = most.dimensions, .classes = most.classes, .half_life = 0}, most);
  CHECK(back.samples() == Approx(1e12 * most.classes));
}

TEST_CASE("clear forgets everything") {
  auto b = builder(10);
  const Fingerprint empty = b.build();
  for (int i = 0; i < 50; ++i) b.add(std::vector<float>{1, 0.5f}, 0, true);
  b.clear();
  CHECK(b.build() == empty);
  CHECK(b.samples() == 0);
  CHECK(empty.samples() == 0);
  CHECK(empty.overall_accuracy() == 0);
}

TEST_CASE("quantisation errs by at most half a step in every coordinate, and a step is max / 127") {
  const auto seed = test_seed();
  P2P_SHOW_SEED(seed);
  Random random(seed);
  for (int round = 0; round < 50; ++round) {
    const std::uint32_t dimensions = 1 + static_cast<std::uint32_t>(random.below(64)), classes = 4;
    auto b = builder(0, dimensions, classes);
    std::vector<double> sum(dimensions * classes, 0.0);
    const int n = 1 + static_cast<int>(random.below(200));
    for (int i = 0; i < n; ++i) {
      std::vector<float> phi(dimensions);
      for (auto& v : phi) v = static_cast<float>(random.normal() * std::sqrt(2.0 / dimensions));
      const auto c = random.below(classes);
      b.add(phi, static_cast<std::int32_t>(c), true);
      for (std::size_t d = 0; d < dimensions; ++d) sum[c * dimensions + d] += phi[d];
    }
    const Fingerprint f = b.build();
    std::vector<float> column(dimensions);
    for (std::size_t c = 0; c < classes; ++c) {
      f.column(c, column);
      double largest = 0;
      for (std::size_t d = 0; d < dimensions; ++d) {
        largest = std::max(largest, std::abs(sum[c * dimensions + d] / n));
      }
      REQUIRE(f.scale[c] == Approx(largest / 127));
      for (std::size_t d = 0; d < dimensions; ++d) {
        REQUIRE(std::abs(column[d] - sum[c * dimensions + d] / n) <= f.scale[c] * 0.5001);
      }
    }
  }
}

TEST_CASE("a fingerprint survives its encoded form to the last bit") {
  CHECK(decode_fingerprint(encode(example_fingerprint()), 3) == example_fingerprint());
  const auto seed = test_seed();
  P2P_SHOW_SEED(seed);
  Random random(seed);
  const p2p::metadata::testing::World world({.dimensions = 24, .classes = 17});
  for (int round = 0; round < 30; ++round) {
    const auto shares = p2p::metadata::testing::dirichlet(random, 17, 0.2);
    const Fingerprint f = world.fingerprint(random, shares, random.below(4), random.below(120));
    const auto again = decode_fingerprint(encode(f), 17);
    REQUIRE(again);
    REQUIRE(*again == f);
    REQUIRE(encode(*again) == encode(f));
  }
}

TEST_CASE("a class without experience takes one bit of the encoded form") {
  Fingerprint f;
  f.dimensions = 32;
  f.classes = 80;
  f.joint.assign(32 * 80, 0);
  f.scale.assign(80, 0.f);
  f.count.assign(80, 0.f);
  f.accuracy.assign(80, 0.f);
  const auto empty = encode(f).size();
  f.count[7] = 5;
  CHECK(encode(f).size() == empty + 32 + 3 * 4);
  CHECK(empty < 32);
}

TEST_CASE("numbers that no experience has are refused") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  const auto refused = [](const std::function<void(Fingerprint&)>& damage) {
    Fingerprint f = example_fingerprint();
    damage(f);
    const auto result = decode_fingerprint(encode(f), 3);
    REQUIRE_FALSE(result);
    CHECK(result.error().code == ErrorCode::malformed);
  };
  for (const float bad : {nan, infinity, -infinity, -1.f, 1.5f}) {
    INFO(bad);
    refused([&](Fingerprint& f) { f.scale[0] = bad; });
    refused([&](Fingerprint& f) { f.accuracy[2] = bad; });
    if (bad != 1.5f) refused([&](Fingerprint& f) { f.count[0] = bad; });
  }
  refused([](Fingerprint& f) { f.count[0] = 1e30f; });
}

TEST_CASE("a fingerprint that disagrees with itself or with its task is refused") {
  const auto code = [](std::uint64_t format, std::uint64_t dimensions, std::uint64_t classes, Bytes listed,
                       std::size_t joint, std::size_t floats, std::uint32_t fields = 8) {
    Encoder out;
    out.array(fields).unsigned_integer(format).unsigned_integer(dimensions).unsigned_integer(classes);
    out.binary(listed).binary(Bytes(joint, 1));
    for (std::uint32_t i = 5; i < fields; ++i) out.binary(Bytes(floats * 4, 0));
    const auto result = decode_fingerprint(out.take(), 3);
    return result ? std::string("accepted") : std::string(p2p::name(result.error().code));
  };
  CHECK(code(1, 2, 3, {0b101}, 4, 2) == "accepted");
  CHECK(code(2, 2, 3, {0b101}, 4, 2) == "version");
  CHECK(code(1, 0, 3, {0b101}, 0, 2) == "malformed");
  CHECK(code(1, 257, 3, {0b001}, 257, 1) == "malformed");
  CHECK(code(1, 2, 0, {}, 0, 0) == "malformed");
  CHECK(code(1, 2, 4, {0b101}, 4, 2) == "malformed");      // more classes than the task has
  CHECK(code(1, 2, 3, {0b1001}, 4, 2) == "malformed");     // lists class 3 of 0 .. 2
  CHECK(code(1, 2, 3, {0b101, 0}, 4, 2) == "malformed");
  CHECK(code(1, 2, 3, {0b101}, 3, 2) == "malformed");
  CHECK(code(1, 2, 3, {0b101}, 4, 1) == "malformed");
  CHECK(code(1, 2, 3, {0b101}, 4, 2, 7) == "malformed");
  CHECK(code(1, ~0ull, ~0ull, {0b101}, 4, 2) == "malformed");
}

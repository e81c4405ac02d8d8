// Rows and inputs of the linear families.
#include "learner/models/linear/rows.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <set>

#include "learner/models/linear/inputs.hpp"
#include "metadata/base/random.hpp"

namespace p2p::learner {
namespace {

/// Number j of class c, different for all.
float number(std::uint32_t c, std::size_t j) {
  return static_cast<float>(c) + static_cast<float>(j) / 64;
}

Rows filled(std::uint32_t classes, std::size_t length) {
  Rows rows(classes, length, 3);
  std::vector<float> row(length);
  for (std::uint32_t c = 0; c < classes; ++c) {
    for (std::size_t array = 0; array < 3; ++array) {
      for (std::size_t j = 0; j < length; ++j)
        row[j] = number(c, j) + static_cast<float>(array * 1000);
      rows.put_row(array, c, row);
    }
    rows.set_evidence(c, c % 3);
  }
  return rows;
}

TEST_CASE("Rows keep their numbers and score them, for every number of classes") {
  const std::size_t length = 9;
  for (const std::uint32_t classes : {2u, 4u, 5u, 8u, 9u, 16u, 17u, 33u}) {
    CAPTURE(classes);
    const Rows rows = filled(classes, length);
    CHECK(rows.padded() >= classes);
    CHECK(rows.padded() < classes + 16);
    const std::vector<std::uint32_t> index = {1, 4, 8};
    const std::vector<float> value = {2, -1, 0.5f};
    std::vector<float> row(length), scores(rows.padded());
    rows.score({index.data(), value.data(), 3}, scores);
    for (std::uint32_t c = 0; c < classes; ++c) {
      for (std::size_t array = 0; array < 3; ++array) {
        rows.get_row(array, c, row);
        for (std::size_t j = 0; j < length; ++j)
          REQUIRE(row[j] == number(c, j) + static_cast<float>(array * 1000));
      }
      CHECK(scores[c] == Approx(2 * number(c, 1) - number(c, 4) + 0.5f * number(c, 8)));
    }
    for (std::size_t c = classes; c < rows.padded(); ++c) CHECK(scores[c] == kUnseen);
  }
}

TEST_CASE("Rows that grow keep all numbers and evidence, and the new classes are unseen and zero") {
  for (const std::uint32_t from : {2u, 4u, 7u, 10u, 17u}) {
    for (const std::uint32_t to : {from, from + 1, 9u + from, 40u}) {
      CAPTURE(from, to);
      Rows rows = filled(from, 5);
      const Rows before = rows;
      rows.grow(to);
      CHECK(rows.classes() == to);
      std::vector<float> a(5), b(5);
      for (std::uint32_t c = 0; c < to; ++c) {
        CHECK(rows.seen(c) == (c < from && c % 3 != 0));
        for (std::size_t array = 0; array < 3; ++array) {
          rows.get_row(array, c, a);
          if (c < from) {
            before.get_row(array, c, b);
          } else {
            b.assign(5, 0);
          }
          CHECK(a == b);
        }
      }
    }
  }
}

TEST_CASE(
    "Evidence is the decayed number of samples, and sums decay with it, through many foldings") {
  Rows rows(3, 2, 2);
  std::vector<float> sums = {5, 0};
  rows.put_row(1, 0, sums);
  double first = 0, second = 0, sum = 5;
  for (int i = 0; i < 1000; ++i) {
    const std::uint32_t c = i % 4 == 0 ? 1 : 0;
    rows.count(c, 0.97);
    first = first * 0.97 + (c == 0);
    second = second * 0.97 + (c == 1);
    sum *= 0.97;
    REQUIRE(rows.evidence(0) == Approx(first));
    REQUIRE(rows.evidence(1) == Approx(second).margin(1e-12));
    rows.get_row(1, 0, sums);
    if (sum > 1e-6) REQUIRE(static_cast<double>(sums[0]) == Approx(sum).epsilon(1e-4));
  }
  CHECK_FALSE(rows.seen(2));
  // A class that was seen stays so, however long ago.
  for (int i = 0; i < 30000; ++i) rows.count(0, 0.9);
  CHECK(rows.seen(1));
  CHECK(rows.evidence(1) < 1e-100);
}

TEST_CASE("Rows decode only what rows can be") {
  const Rows good = filled(5, 3);
  ByteWriter out;
  good.encode(out);
  CHECK(out.bytes().size() == good.encoded_bytes());
  const auto decode = [&](std::size_t offset, auto value) {
    Bytes bytes = out.bytes();
    std::memcpy(bytes.data() + offset, &value, sizeof value);
    Rows rows(5, 3, 3);
    ByteReader in(bytes);
    return rows.decode(in).has_value();
  };
  CHECK(decode(0, std::uint32_t{5}));
  CHECK_FALSE(decode(0, std::uint32_t{6}));
  for (const double bad : {0.0, -1.0, 1.5, std::nan(""), 1e-9}) CHECK_FALSE(decode(4, bad));
  for (const double bad : {-1.0, std::nan(""), 1e300}) CHECK_FALSE(decode(12, bad));
  const std::size_t weights = 12 + 5 * 8, sums = weights + 5 * 3 * 4;
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    CHECK_FALSE(decode(weights + 4, bad));
    CHECK_FALSE(decode(sums + 4, bad));
  }
  CHECK(decode(weights + 4, -1.0f));
  CHECK_FALSE(decode(sums + 4, -1.0f));
}

TEST_CASE("Raw inputs are the features that are not zero, and the bias") {
  const Inputs inputs = Inputs::raw(5, 0);
  CHECK(inputs.length() == 6);
  auto buffer = inputs.make_buffer();
  const std::vector<float> x = {0, 2, 0, -3, 0};
  const auto filled = inputs.fill(x, buffer);
  REQUIRE(filled.finite);
  REQUIRE(filled.z.count == 3);
  const std::uint32_t where[] = {1, 3, 5};
  const float what[] = {2, -3, 1};
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(filled.z.index[i] == where[i]);
    CHECK(filled.z.value[i] == what[i]);
  }
  const auto scaled = Inputs::raw(5, 2.25).fill(x, buffer).z;
  CHECK(scaled.value[0] == 3);
  CHECK(scaled.value[1] == -4.5f);
  CHECK(scaled.value[2] == 1);
  const auto bad = inputs.fill(std::vector<float>{0, std::nanf(""), 0, 1, 0}, buffer);
  CHECK_FALSE(bad.finite);
  REQUIRE(bad.z.count == 1);
  CHECK(bad.z.index[0] == 5);
}

TEST_CASE("Hashed inputs keep to their table, spread over it, and keep inner products on average") {
  const std::uint32_t features = 20000, bits = 8;
  const Inputs inputs = Inputs::hashed(features, 0, bits, 7);
  CHECK(inputs.length() == 257);
  CHECK(Inputs::hashed(200, 0, bits, 7).length() == 201);  // a place for each: nothing to hash
  auto buffer = inputs.make_buffer();
  std::vector<int> load(256);
  int negative = 0;
  std::vector<float> x(features);
  for (std::uint32_t j = 0; j < features; ++j) {
    x[j] = 1;
    const auto z = inputs.fill(x, buffer).z;
    x[j] = 0;
    REQUIRE(z.count == 2);
    REQUIRE(z.index[0] < 256);
    REQUIRE(std::abs(z.value[0]) == 1);
    ++load[z.index[0]];
    negative += z.value[0] < 0;
  }
  // 78 each on average, Poisson-like: 78 +- 5 standard deviations; signs are fair coins.
  for (const int n : load) CHECK(std::abs(n - 78) < 45);
  CHECK(std::abs(negative - 10000) < 5 * 71);
  // Another seed, another hash.
  const Inputs other = Inputs::hashed(features, 0, bits, 8);
  auto other_buffer = other.make_buffer();
  int same = 0;
  for (std::uint32_t j = 0; j < 1000; ++j) {
    x[j] = 1;
    same += inputs.fill(x, buffer).z.index[0] == other.fill(x, other_buffer).z.index[0];
    x[j] = 0;
  }
  CHECK(same < 30);
}

TEST_CASE(
    "Fourier inputs are the basis, the features scaled by the root of the bandwidth, and the "
    "bias") {
  const FourierBasis::Options options{3, 4, 70, 2.25};
  const Inputs with = Inputs::fourier(options, true, 4),
               without = Inputs::fourier(options, false, 4);
  CHECK(with.length() == 75);
  CHECK(without.length() == 71);
  const std::vector<float> x = {0.5f, 0, -1, 0};
  std::vector<float> phi(70);
  FourierBasis::shared(options)->map(x, phi);
  auto buffer = with.make_buffer();
  for (const bool raw : {true, false}) {
    auto own = (raw ? with : without).make_buffer();
    const auto z = (raw ? with : without).fill(x, own).z;
    REQUIRE(z.count == (raw ? 73 : 71));
    for (std::size_t d = 0; d < 70; ++d) {
      CHECK(z.index[d] == d);
      CHECK(z.value[d] == phi[d]);
    }
    if (raw) {
      CHECK(z.index[70] == 70);
      CHECK(z.value[70] == 1);
      CHECK(z.index[71] == 72);
      CHECK(z.value[71] == -2);
    }
    CHECK(z.index[z.count - 1] == (raw ? 74 : 70));
    CHECK(z.value[z.count - 1] == 1);
  }
}

}  // namespace
}  // namespace p2p::learner

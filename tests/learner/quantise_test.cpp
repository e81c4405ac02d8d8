// Numbers at fewer bits: the stated error bounds hold, and damaged bytes are refused.
#include "learner/transfer/quantise.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <vector>

#include "metadata/base/random.hpp"

using namespace p2p;
using namespace p2p::learner;

namespace {

constexpr Precision kAll[] = {Precision::bits32, Precision::bits16, Precision::bits8, Precision::bits4};

std::vector<float> some_numbers(std::size_t count, double spread) {
  Random random(count + 7);
  std::vector<float> out(count);
  for (float& v : out) v = static_cast<float>(spread * random.normal());
  return out;
}

}  // namespace

TEST_CASE("Coded numbers take the stated bytes and come back within the stated error") {
  const std::size_t count = GENERATE(1u, 2u, 31u, 512u, 4096u, 4097u, 10001u);
  const auto values = some_numbers(count, 3);
  for (const Precision precision : kAll) {
    const auto bits = static_cast<unsigned>(precision);
    CAPTURE(count, bits);
    ByteWriter out;
    put_numbers(out, values, precision);
    REQUIRE(out.bytes().size() == numbers_bytes(count, precision));
    std::vector<float> back(count);
    ByteReader in(out.bytes());
    REQUIRE(get_numbers(in, back, precision, 1e6f));
    CHECK(in.at_end());
    for (std::size_t at = 0; at < count; at += kQuantiseGroup) {
      const std::size_t end = std::min(count, at + kQuantiseGroup);
      double largest = 0, worst = 0;
      for (std::size_t i = at; i < end; ++i) {
        largest = std::max(largest, std::abs(static_cast<double>(values[i])));
        worst = std::max(worst, std::abs(static_cast<double>(back[i] - values[i])));
      }
      if (precision == Precision::bits32) {
        CHECK(worst == 0);
      } else {
        CHECK(worst <= largest / (std::exp2(bits) - 2) * 1.001);
      }
    }
  }
}

TEST_CASE("Coded levels keep zero, their order of magnitude, and at 4 bits the mean of neighbours") {
  std::vector<float> values(200);
  Random random(3);
  for (float& v : values) v = static_cast<float>(std::exp2(-30 + 50 * random.uniform()));
  values[5] = 0;
  for (const Precision precision : {Precision::bits32, Precision::bits16, Precision::bits8}) {
    ByteWriter out;
    put_levels(out, values, precision);
    REQUIRE(out.bytes().size() == levels_bytes(values.size(), precision));
    std::vector<float> back(values.size());
    ByteReader in(out.bytes());
    REQUIRE(get_levels(in, back, precision, 1e12f));
    CHECK(back[5] == 0);
    const double bound = precision == Precision::bits8 ? 1.0 / 6 : 1.0 / 1600;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i != 5) CHECK(std::abs(std::log2(back[i] / values[i])) <= bound);
    }
  }
  ByteWriter out;
  put_levels(out, std::vector<float>(33, 8.0f), Precision::bits4);
  CHECK(out.bytes().size() == 2);
  std::vector<float> back(33);
  ByteReader in(out.bytes());
  REQUIRE(get_levels(in, back, Precision::bits4, 1e12f));
  for (const float v : back) CHECK(v == Approx(8).epsilon(0.13));
}

TEST_CASE("Values out of a level's range move to its border") {
  ByteWriter out;
  put_levels(out, std::vector<float>{1e-30f, 1e30f}, Precision::bits8);
  std::vector<float> back(2);
  ByteReader in(out.bytes());
  REQUIRE(get_levels(in, back, Precision::bits8, 1e13f));
  CHECK(back[0] == Approx(std::exp2(-40)));
  CHECK(back[1] == Approx(std::exp2(40)));
}

TEST_CASE("Short, infinite and oversized numbers are refused") {
  const auto values = some_numbers(64, 1);
  for (const Precision precision : kAll) {
    ByteWriter out;
    put_numbers(out, values, precision);
    std::vector<float> back(values.size());
    ByteReader less(ByteView(out.bytes()).first(out.bytes().size() - 1));
    CHECK_FALSE(get_numbers(less, back, precision, 1e6f));
    ByteReader tight(out.bytes());
    CHECK_FALSE(get_numbers(tight, back, precision, 1e-3f));
    Bytes bad = out.bytes();
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::memcpy(bad.data(), &nan, sizeof nan);  // a number at 32 bits, the scale at fewer
    ByteReader poisoned(bad);
    CHECK_FALSE(get_numbers(poisoned, back, precision, 1e6f));
  }
  std::vector<float> back(2);
  ByteWriter negative;
  negative.put(-1.0f);
  negative.put(1.0f);
  ByteReader in(negative.bytes());
  CHECK_FALSE(get_levels(in, back, Precision::bits32, 1e6f));
  CHECK_FALSE(precision_of(7));
  CHECK(precision_of(4) == Precision::bits4);
}

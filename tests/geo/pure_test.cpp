#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

#include "metadata/base/random.hpp"
#include "overlay/geo/mirror_clock.hpp"
#include "overlay/geo/selective_barrier.hpp"
#include "overlay/geo/significance_filter.hpp"
#include "overlay/geo/wire.hpp"

namespace p2p::geo {
namespace {

NodeId node(std::uint8_t n) {
  NodeId id;
  id.bytes.fill(n);
  return id;
}

Bytes hex(std::string_view text) { return from_hex(text).value(); }

TEST_CASE("An update passes when it exceeds the threshold's share of the value, whole, and not before") {
  SignificanceFilter filter(2, {.threshold = 0.01, .schedule = Schedule::constant, .floor = 0});
  const std::vector<float> values{2.0f, -4.0f};
  filter.accumulate(0, 0.0125f);
  filter.accumulate(1, 0.0390625f);  // 0.98 % of 4
  CHECK(filter.emit(values, 1, Precision::fp32).indices.empty());
  filter.accumulate(0, 0.0125f);  // together 1.25 % of 2
  const auto sent = filter.emit(values, 2, Precision::fp32);
  REQUIRE(sent.indices == std::vector<std::uint32_t>{0});
  CHECK(sent.values[0] == 0.025f);
  CHECK(filter.pending(0) == 0);
  CHECK(filter.pending(1) == 0.0390625f);
}

TEST_CASE("The paper's schedule divides the threshold by the root of the clock, the constant one does not") {
  CHECK(threshold_at({.threshold = 0.01}, 1) == 0.01);
  CHECK(threshold_at({.threshold = 0.01}, 100) == Approx(0.001));
  CHECK(threshold_at({.threshold = 0.01, .schedule = Schedule::constant}, 100) == 0.01);
  SignificanceFilter filter(1, {.threshold = 0.01, .floor = 0});
  filter.accumulate(0, 0.006f);
  CHECK(filter.emit(std::vector<float>{1.0f}, 1, Precision::fp32).indices.empty());
  CHECK(filter.emit(std::vector<float>{1.0f}, 4, Precision::fp32).indices.size() == 1);  // threshold 0.005
}

TEST_CASE("A value near zero counts as a share of the vector's root mean square, unless the floor is zero") {
  const std::vector<float> values{0.0f, 1.0f, 1.0f, std::sqrt(2.0f)};  // rms 1
  for (const double floor : {0.01, 0.0}) {
    SignificanceFilter filter(4, {.threshold = 0.01, .schedule = Schedule::constant, .floor = floor});
    filter.accumulate(0, 0.00009f);  // just under 1 % of 1 % of 1
    CHECK(filter.emit(values, 1, Precision::fp32).indices.size() == (floor > 0 ? 0 : 1));
  }
}

TEST_CASE("What the coding rounds away is sent later, so that nothing is lost") {
  SignificanceFilter filter(1, {.threshold = 0});
  filter.accumulate(0, 1.0f + 0x1p-13f);  // needs more bits than a half has
  filter.accumulate(0, 70000.0f);         // and more range
  double sent = 0;
  for (std::uint64_t t = 1; t <= 4; ++t) {
    for (const double value : filter.emit(std::vector<float>{1.0f}, t, Precision::fp16).values) sent += value;
  }
  CHECK(sent == 70000.0f + 1.0f + 0.0f);  // float accumulation of the two
  CHECK(filter.pending(0) == 0);
}

TEST_CASE("Shadow thresholds count what each of them would have sent, whatever the real one sends") {
  SignificanceFilter filter(1, {.threshold = 0, .shadow_thresholds = {0.0, 0.025, 1.0}});
  for (std::uint64_t t = 1; t <= 12; ++t) {
    filter.accumulate(0, 0.01f);
    filter.emit(std::vector<float>{1.0f}, t, Precision::fp32);
  }
  const auto counts = filter.take_shadow_counts();
  CHECK(counts[0].insignificant() == 0);
  CHECK(counts[1].sent == 4);  // every third: 0.03 > 0.025
  CHECK(counts[1].updates == 12);
  CHECK(counts[2].insignificant() == 1);
  CHECK(filter.take_shadow_counts()[1].updates == 0);
}

TEST_CASE("The bytes of updates are these") {
  using Set = std::vector<std::uint32_t>;
  CHECK(encode_indices(Set{}, 1000).empty());
  CHECK(to_hex(encode_indices(Set{0, 1, 130, 999}, 1000)) == "00" "00" "00" "8001" "e406");
  CHECK(to_hex(encode_indices(Set{0, 1, 3, 9}, 10)) == "01" "0b02");
  const std::vector<double> values{1.0, -0.5, 0x1p-24, 65504.0};
  CHECK(to_hex(encode_values(values, Precision::fp16)) == "003c" "00b8" "0100" "ff7b");
  CHECK(to_hex(encode_values({values.data(), 2}, Precision::fp32)) == "0000803f" "000000bf");
  CHECK(to_hex(encode_values({values.data(), 1}, Precision::fp64)) == "000000000000f03f");
  const Frame announce = Announce{std::nullopt, false, Precision::fp16, {300, 7}, {2, 5}};
  CHECK(to_hex(encode_frame(announce, 1000)) == "08000000" "02" "04" "ac02" "07" "00" "02" "02");
  CHECK(to_hex(encode_frame(Ping{}, 1000)) == "01000000" "05");
  CHECK(to_hex(encode_frame(Values{{1, 2}}, 1000)) == "03000000" "03" "0102");
}

TEST_CASE("A half is the nearest one to its value, and every half survives the way through a float") {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = from_half(static_cast<std::uint16_t>(bits));
    if (!std::isfinite(value)) continue;
    REQUIRE(to_half(value) == bits);
    const float next = from_half(static_cast<std::uint16_t>(bits + 1));
    if (!std::isfinite(next) || (bits + 1) % 32768 == 0) continue;
    const float middle = value + (next - value) / 2;  // goes to the even one
    REQUIRE(to_half(middle) == (bits % 2 == 0 ? bits : bits + 1));
    REQUIRE(to_half(std::nextafter(middle, value)) == bits);
    REQUIRE(to_half(std::nextafter(middle, next)) == bits + 1);
  }
  CHECK(to_half(1e30f) == 0x7bff);
  CHECK(quantise(-1e30, Precision::fp16) == -65504);
}

TEST_CASE("Any set of parameters comes back, in at most one bit a parameter and one byte") {
  Random random(1);
  for (int round = 0; round < 300; ++round) {
    const auto dimension = static_cast<std::uint32_t>(1 + random.below(5000));
    const double density = std::pow(random.uniform(), 3);
    std::vector<std::uint32_t> set;
    for (std::uint32_t i = 0; i < dimension; ++i) {
      if (random.uniform() < density) set.push_back(i);
    }
    const Bytes bytes = encode_indices(set, dimension);
    CHECK(bytes.size() <= 1 + (dimension + 7) / 8);
    REQUIRE(decode_indices(bytes, dimension).value() == set);
  }
}

TEST_CASE("The decoders refuse what no encoder writes") {
  CHECK_FALSE(decode_indices(hex("02"), 10));            // no such form
  CHECK_FALSE(decode_indices(hex("00"), 10));            // nothing has another form
  CHECK_FALSE(decode_indices(hex("000a"), 10));          // out of range
  CHECK_FALSE(decode_indices(hex("000900"), 10));        // the second one is
  CHECK_FALSE(decode_indices(hex("00ffffffffffffffffff01"), 10));  // would wrap around
  CHECK_FALSE(decode_indices(hex("008000"), 1000));      // longer than needed
  CHECK_FALSE(decode_indices(hex("0080"), 1000));        // cut
  CHECK_FALSE(decode_indices(hex("010004"), 10));        // bit 10 of ten
  CHECK_FALSE(decode_indices(hex("0101"), 10));          // bitmap too short
  CHECK_FALSE(decode_values(hex("007c"), 1, Precision::fp16));      // infinity
  CHECK_FALSE(decode_values(hex("017e"), 1, Precision::fp16));      // no number
  CHECK_FALSE(decode_values(hex("0000c07f"), 1, Precision::fp32));
  CHECK_FALSE(decode_values(hex("000000000000f07e"), 1, Precision::fp64));  // no float is so large
  CHECK_FALSE(decode_values(hex("003c00"), 1, Precision::fp16));
  CHECK_FALSE(decode_values(hex("003c"), 2, Precision::fp16));
  FrameReader reader(100);
  reader.add(hex("ffffff7f"));
  const auto frame = reader.next();
  REQUIRE_FALSE(frame);
  CHECK(frame.error().code == ErrorCode::limit_exceeded);
}

TEST_CASE("Random and damaged bytes never pass for more than they are") {
  Random random(2);
  const Bytes good = encode_frame(Announce{node(1), true, Precision::fp64, {5, 6}, {1, 50, 99}}, 100);
  for (int round = 0; round < 20000; ++round) {
    Bytes bytes(good.begin() + 4, good.end());
    if (round % 2 == 0) bytes.resize(random.below(bytes.size() + 1));
    for (std::uint64_t k = 0; k <= random.below(4) && !bytes.empty(); ++k) {
      bytes[random.below(bytes.size())] = static_cast<std::uint8_t>(random.next());
    }
    const auto frame = decode_frame(bytes, 100);
    if (!frame) continue;
    if (const auto* announce = std::get_if<Announce>(&*frame)) {
      CHECK(std::is_sorted(announce->indices.begin(), announce->indices.end()));
      CHECK(std::adjacent_find(announce->indices.begin(), announce->indices.end()) == announce->indices.end());
      CHECK((announce->indices.empty() || announce->indices.back() < 100));
    }
  }
}

TEST_CASE("A barrier refuses just the announced parameters until all that was announced of them has come") {
  SelectiveBarrier barrier(10);
  const auto all = [&](std::vector<std::uint32_t> indices) { return barrier.barred(indices).has_value(); };
  const auto first = barrier.announce(node(1), {2, 5});
  const auto second = barrier.announce(node(2), {5, 6});
  CHECK_FALSE(all({0, 1, 3, 4, 7}));
  CHECK(barrier.barred(std::vector<std::uint32_t>{0, 6})->site == node(2));
  barrier.release(first);
  CHECK_FALSE(all({2}));
  CHECK(all({5}));
  const auto state = barrier.announce_all(node(3));
  CHECK(all({0}));
  barrier.release(second);
  CHECK(barrier.barred_any()->site == node(3));
  barrier.release(state);
  CHECK_FALSE(barrier.barred_any());
  CHECK_FALSE(all({5}));
}

TEST_CASE("The mirror clock makes a site wait for the slowest live one when it is more than DS ahead") {
  MirrorClock mirror(2);
  CHECK_FALSE(mirror.waits_for(100));
  mirror.set(node(1), 10);
  mirror.set(node(2), 12);
  CHECK_FALSE(mirror.waits_for(12));
  REQUIRE(mirror.waits_for(13));
  CHECK(mirror.waits_for(13)->site == node(1));
  CHECK(mirror.waits_for(13)->clock == 10);
  CHECK(mirror.staleness(12) == 2);
  mirror.drop(node(1));
  CHECK_FALSE(mirror.waits_for(13));
  CHECK_FALSE(mirror.behind(9));  // 12 is what a site may reach that waits for us
  CHECK(mirror.behind(8) == 10u);
}

}  // namespace
}  // namespace p2p::geo

// Metrics, windows and snapshots.
#include <catch2/catch.hpp>

#include "learner/metrics.hpp"
#include "learner/snapshot.hpp"
#include "learner/window.hpp"
#include "metadata/base/random.hpp"

namespace p2p::learner {
namespace {

TEST_CASE("Prequential figures are those counted by hand") {
  Prequential m(3, 2);
  CHECK(m.accuracy() == 0);
  CHECK(m.windowed_accuracy() == 0);
  CHECK(m.kappa() == 0);
  const std::pair<ClassIndex, ClassIndex> stream[] = {
      {0, 0}, {0, 1}, {1, 1}, {1, kNoClass}, {0, 0}};
  for (const auto& [label, said] : stream) m.add(label, said);
  CHECK(m.samples() == 5);
  CHECK(m.accuracy() == Approx(3.0 / 5));
  CHECK(m.windowed_accuracy() == Approx(1.0 / 2));
  CHECK(m.recall(0) == Approx(2.0 / 3));
  CHECK(m.recall(1) == Approx(1.0 / 2));
  CHECK(m.recall(2) == 0);
  CHECK(m.seen(0) == 3);
  CHECK(m.no_change_accuracy() == Approx(2.0 / 5));
  CHECK(m.majority_accuracy() == Approx(3.0 / 5));
  // p_e = P(label 0) P(said 0) + P(label 1) P(said 1) = 3/5 2/5 + 2/5 2/5.
  CHECK(m.kappa() == Approx((0.6 - 0.4) / (1 - 0.4)));
}

TEST_CASE("Kappa of guessing by the marginals is about zero, of being right one") {
  Prequential guess(4, 100), right(4, 100);
  Random random(1);
  for (int i = 0; i < 20000; ++i) {
    const auto label = static_cast<ClassIndex>(random.below(4));
    guess.add(label, static_cast<ClassIndex>(random.below(4)));
    right.add(label, label);
  }
  CHECK(std::abs(guess.kappa()) < 0.02);
  CHECK(right.kappa() == Approx(1));
}

TEST_CASE("Metrics survive encoding at any point and go on alike") {
  Random random(2);
  Prequential m(3, 7);
  for (int i = 0; i < 40; ++i) {
    auto copy = Prequential::decode(m.encode());
    REQUIRE(copy);
    CHECK(copy->encode() == m.encode());
    const auto label = static_cast<ClassIndex>(random.below(3)),
               said = static_cast<ClassIndex>(random.below(3));
    copy->add(label, said);
    m.add(label, said);
    REQUIRE(copy->encode() == m.encode());
    REQUIRE(copy->windowed_accuracy() == m.windowed_accuracy());
    REQUIRE(copy->accuracy() == m.accuracy());
  }
}

TEST_CASE("A window keeps the latest samples in order") {
  SampleWindow window(3, 2);
  CHECK(window.size() == 0);
  CHECK(window.capacity() == 3);
  for (int i = 0; i < 8; ++i) {
    const std::vector<float> x = {static_cast<float>(i), static_cast<float>(-i)};
    window.push(x, i, i + 100);
    CHECK(window.size() == static_cast<std::size_t>(std::min(i + 1, 3)));
    for (std::size_t k = 0; k < window.size(); ++k) {
      const auto expected =
          static_cast<ClassIndex>(static_cast<std::size_t>(i) + 1 - window.size() + k);
      const auto item = window.at(k);
      CHECK(item.label == expected);
      CHECK(item.predicted == expected + 100);
      CHECK(item.x[0] == static_cast<float>(expected));
      CHECK(item.x[1] == static_cast<float>(-expected));
    }
  }
  window.clear();
  CHECK(window.size() == 0);
  window.push(std::vector<float>{9, 9}, 9, 9);
  CHECK(window.at(0).label == 9);
}

Snapshot example() { return {{{"model", {1, 2, 3}}, {"metrics", {}}, {"", {255}}}}; }

TEST_CASE("The bytes of a snapshot are those of format 1") {
  const std::string golden =
      "5032504c"  // P2PL
      "01000000"
      "03000000"  // format, sections
      "05000000"
      "6d6f64656c"
      "03000000"
      "010203"
      "07000000"
      "6d657472696373"
      "00000000"
      "00000000"
      "01000000"
      "ff"
      "8bab440a";  // CRC-32 of all before, 0x0a44ab8b, as zlib of Python has it
  CHECK(to_hex(encode(example())) == golden);
}

TEST_CASE("A snapshot comes back as it was") {
  const auto decoded = decode_snapshot(encode(example()));
  REQUIRE(decoded);
  REQUIRE(decoded->sections.size() == 3);
  REQUIRE(decoded->find("model") != nullptr);
  CHECK(*decoded->find("model") == Bytes{1, 2, 3});
  CHECK(decoded->find("metrics")->empty());
  CHECK(decoded->find("nothing") == nullptr);
  CHECK(decode_snapshot(encode(Snapshot{})));
}

TEST_CASE("A snapshot torn at any byte, or with any bit flipped, is refused") {
  const Bytes good = encode(example());
  for (std::size_t size = 0; size < good.size(); ++size) {
    const auto torn = decode_snapshot(ByteView(good).first(size));
    REQUIRE_FALSE(torn);
    CHECK(torn.error().code == ErrorCode::malformed);
  }
  for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
    Bytes bytes = good;
    bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ (1u << (bit % 8)));
    REQUIRE_FALSE(decode_snapshot(bytes));
  }
}

TEST_CASE("A snapshot with a good checksum and impossible contents is refused") {
  const auto sealed = [](ByteWriter w) {
    w.put(crc32(w.bytes()));
    return w.take();
  };
  const auto head = [](std::uint32_t version, std::uint32_t count) {
    ByteWriter w;
    for (const char c : {'P', '2', 'P', 'L'}) w.put(c);
    w.put(version);
    w.put(count);
    return w;
  };
  auto newer = decode_snapshot(sealed(head(2, 0)));
  REQUIRE_FALSE(newer);
  CHECK(newer.error().code == ErrorCode::version);
  CHECK_FALSE(decode_snapshot(sealed(head(0, 0))));
  CHECK_FALSE(decode_snapshot(sealed(head(1, 0xFFFFFFFF))));
  CHECK_FALSE(decode_snapshot(sealed(head(1, 1))));
  ByteWriter long_name = head(1, 1);
  long_name.put(std::uint32_t{0xFFFFFFF0});
  CHECK_FALSE(decode_snapshot(sealed(long_name)));
  ByteWriter twice = head(1, 2);
  for (int i = 0; i < 2; ++i) {
    twice.put_sized(view("a"));
    twice.put_sized({});
  }
  CHECK_FALSE(decode_snapshot(sealed(twice)));
  for (const std::uint32_t count : {1024u, 1025u}) {
    ByteWriter many = head(1, count);
    for (std::uint32_t i = 0; i < count; ++i) {
      many.put_sized(view(std::to_string(i)));
      many.put_sized({});
    }
    CHECK(decode_snapshot(sealed(many)).has_value() == (count == 1024));
  }
  ByteWriter rest = head(1, 0);
  rest.put(std::uint8_t{1});
  CHECK_FALSE(decode_snapshot(sealed(rest)));
}

}  // namespace
}  // namespace p2p::learner

#include "metadata/base/bytes.hpp"

#include <catch2/catch.hpp>
#include <limits>

#include "metadata/base/random.hpp"

using p2p::ByteReader;
using p2p::Bytes;
using p2p::ByteWriter;
using p2p::ErrorCode;

TEST_CASE("hexadecimal text reads back to the bytes that it was made from") {
  p2p::Random random(11);
  for (int round = 0; round < 200; ++round) {
    Bytes bytes(random.below(40));
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random.next());
    const auto hex = p2p::to_hex(bytes);
    REQUIRE(hex.size() == 2 * bytes.size());
    REQUIRE(p2p::from_hex(hex) == bytes);
  }
  CHECK(p2p::to_hex(Bytes{0x00, 0x0f, 0xff}) == "000fff");
  CHECK(p2p::from_hex("aBcD") == Bytes{0xab, 0xcd});
}

TEST_CASE("hexadecimal text with an odd length or a foreign character is refused") {
  for (const char* text : {"a", "abc", "0g", "g0", "0 ", "\xff\xff", "0x"}) {
    INFO(text);
    REQUIRE_FALSE(p2p::from_hex(text));
    CHECK(p2p::from_hex(text).error().code == ErrorCode::malformed);
  }
}

TEST_CASE("a reader gives back what a writer was given") {
  ByteWriter writer;
  writer.put(std::uint8_t{7});
  writer.put(std::int64_t{-5});
  writer.put(1.5f);
  writer.put_sized(p2p::view("hello"));
  const std::vector<double> values{1, -2, std::numeric_limits<double>::infinity()};
  writer.put_array(std::span(values));
  const Bytes bytes = writer.take();

  ByteReader reader(bytes);
  CHECK(reader.get<std::uint8_t>() == 7);
  CHECK(reader.get<std::int64_t>() == -5);
  CHECK(reader.get<float>() == 1.5f);
  CHECK(p2p::to_string(reader.get_sized(5)) == "hello");
  std::vector<double> read(3);
  reader.get_array(std::span(read));
  CHECK(read == values);
  CHECK(reader.ok());
  CHECK(reader.at_end());
}

TEST_CASE("numbers are written with their lowest byte first") {
  ByteWriter writer;
  writer.put(std::uint32_t{0x01020304});
  CHECK(p2p::to_hex(writer.bytes()) == "04030201");
}

TEST_CASE("a reader never passes the end, and a failure sticks") {
  const Bytes bytes{1, 2, 3, 4, 5};
  ByteReader reader(bytes);
  CHECK(reader.get<std::uint32_t>() == 0x04030201);
  CHECK(reader.get<std::uint16_t>() == 0);
  CHECK_FALSE(reader.ok());
  CHECK(reader.get<std::uint8_t>() == 0);
  CHECK_FALSE(reader.ok());
  CHECK(reader.remaining() == 0);
}

TEST_CASE("a length past its bound or past the end yields nothing") {
  ByteWriter writer;
  writer.put(std::uint32_t{0xffffffff});
  writer.put(std::uint32_t{0});
  SECTION("past the end") {
    ByteReader reader(writer.bytes());
    CHECK(reader.get_sized(std::numeric_limits<std::size_t>::max()).empty());
    CHECK_FALSE(reader.ok());
  }
  SECTION("past the bound") {
    ByteWriter small;
    small.put_sized(p2p::view("four"));
    ByteReader reader(small.bytes());
    CHECK(reader.get_sized(3).empty());
    CHECK_FALSE(reader.ok());
  }
  SECTION("a failed array is zero") {
    ByteReader reader(writer.bytes());
    std::vector<std::uint32_t> out{1, 2, 3};
    reader.get_array(std::span(out));
    CHECK(out == std::vector<std::uint32_t>{0, 0, 0});
    CHECK_FALSE(reader.ok());
  }
}

TEST_CASE("the checksum is the CRC-32 of IEEE 802.3 and tells every single flipped bit") {
  CHECK(p2p::crc32(p2p::view("123456789")) == 0xcbf43926u);
  Bytes bytes(64, 0x5a);
  const auto sum = p2p::crc32(bytes);
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    CHECK(p2p::crc32(bytes) != sum);
    bytes[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
  }
}

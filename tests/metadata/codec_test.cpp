#include "metadata/codec.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "tests/metadata/examples.hpp"

using p2p::Bytes;
using p2p::ErrorCode;
using p2p::from_hex;
using p2p::to_hex;
using namespace p2p::metadata;

namespace {

std::string packed(const std::function<void(Encoder&)>& write) {
  Encoder out;
  write(out);
  return to_hex(out.take());
}

p2p::Result<Document> parse(std::string_view hex, const DecodeLimits& limits = {}) {
  return Document::parse(*from_hex(hex), limits);
}

ErrorCode code_of(std::string_view hex, const DecodeLimits& limits = {}) {
  const auto document = parse(hex, limits);
  REQUIRE_FALSE(document);
  CHECK_FALSE(document.error().message.empty());
  return document.error().code;
}

}  // namespace

TEST_CASE("integers are packed in the fewest bytes that hold them") {
  const auto integer = [](std::int64_t v) { return packed([&](Encoder& out) { out.integer(v); }); };
  CHECK(integer(0) == "00");
  CHECK(integer(127) == "7f");
  CHECK(integer(128) == "cc80");
  CHECK(integer(255) == "ccff");
  CHECK(integer(256) == "cd0100");
  CHECK(integer(65536) == "ce00010000");
  CHECK(integer(4294967296) == "cf0000000100000000");
  CHECK(integer(-1) == "ff");
  CHECK(integer(-32) == "e0");
  CHECK(integer(-33) == "d0df");
  CHECK(integer(-129) == "d1ff7f");
  CHECK(integer(-32769) == "d2ffff7fff");
  CHECK(integer(std::numeric_limits<std::int64_t>::min()) == "d38000000000000000");
  CHECK(packed([](Encoder& out) { out.unsigned_integer(~0ull); }) == "cfffffffffffffffff");
}

TEST_CASE("reals keep their kind, whole numbers and negative zero included") {
  CHECK(packed([](Encoder& out) { out.real(1); }) == "cb3ff0000000000000");
  CHECK(packed([](Encoder& out) { out.real(-0.0); }) == "cb8000000000000000");
  CHECK(packed([](Encoder& out) { out.real32(1); }) == "ca3f800000");
}

TEST_CASE("texts, binaries, arrays and maps are packed with the shortest header") {
  CHECK(packed([](Encoder& out) { out.text("ab"); }) == "a26162");
  CHECK(packed([](Encoder& out) { out.text(std::string(32, 'x')); }).substr(0, 6) == "d92078");
  CHECK(packed([](Encoder& out) { out.text(std::string(256, 'x')); }).substr(0, 8) == "da010078");
  CHECK(packed([](Encoder& out) { out.binary(Bytes{1, 2}); }) == "c4020102");
  CHECK(packed([](Encoder& out) { out.binary({}); }) == "c400");
  CHECK(packed([](Encoder& out) { out.array(15); }) == "9f");
  CHECK(packed([](Encoder& out) { out.array(16); }) == "dc0010");
  CHECK(packed([](Encoder& out) { out.map(1); }) == "81");
  CHECK(packed([](Encoder& out) { out.array(3).nil().boolean(true).boolean(false); }) == "93c0c3c2");
  CHECK(packed([](Encoder& out) { out.array(1).raw(Bytes{0x93, 1, 2, 3}); }) == "9193010203");
}

TEST_CASE("an encoder starts afresh after its bytes are taken") {
  Encoder out;
  out.integer(1);
  CHECK(to_hex(out.take()) == "01");
  out.integer(2);
  CHECK(to_hex(out.take()) == "02");
}

TEST_CASE("a document gives back every kind that was packed") {
  Encoder out;
  out.array(9).nil().boolean(true).integer(-7).unsigned_integer(~0ull).real(2.5).real32(0.5f).text("käse");
  out.binary(Bytes{9, 8}).map(2).text("a").integer(1).text("b").array(1).text("inner");
  const auto document = Document::parse(out.take(), {});
  REQUIRE(document);
  const Value root = document->root();
  REQUIRE(root.kind() == Value::Kind::array);
  REQUIRE(root.size() == 9);
  CHECK(root[0].kind() == Value::Kind::nil);
  CHECK(root[1].boolean() == true);
  CHECK(root[2].integer() == -7);
  CHECK(root[3].unsigned_integer() == ~0ull);
  CHECK(root[4].real() == 2.5);
  CHECK(root[5].real() == 0.5);
  CHECK(root[6].text() == "käse");
  CHECK(p2p::to_hex(*root[7].binary()) == "0908");
  CHECK(root[8]["a"].integer() == 1);
  CHECK(root[8]["b"][0].text() == "inner");
  CHECK(root[8].entry(1).first.text() == "b");
}

TEST_CASE("an accessor of another kind, a number out of range, a missing element: each is nothing") {
  Encoder out;
  out.array(4).text("x").integer(-1).unsigned_integer(1ull << 63).map(1).integer(3).integer(4);
  const auto document = Document::parse(out.take(), {});
  REQUIRE(document);
  const Value root = document->root();
  CHECK_FALSE(root.text());
  CHECK_FALSE(root[0].integer());
  CHECK_FALSE(root[0].binary());
  CHECK_FALSE(root[0].boolean());
  CHECK_FALSE(root[0].real());
  CHECK_FALSE(root[1].unsigned_integer());
  CHECK_FALSE(root[2].integer());
  CHECK(root[2].real() == 0x1p63);
  CHECK(root[3]["3"].kind() == Value::Kind::nil);
  CHECK(root[3][0].kind() == Value::Kind::nil);
  CHECK(root[4].kind() == Value::Kind::nil);
  CHECK(root[0][0].kind() == Value::Kind::nil);
  CHECK(root["x"].kind() == Value::Kind::nil);
  CHECK(root.entry(0).first.kind() == Value::Kind::nil);
  CHECK(root[3].entry(1).first.kind() == Value::Kind::nil);
  CHECK(Value().size() == 0);
}

TEST_CASE("values stay valid when their document moves and when the input goes away") {
  Bytes input = *from_hex("92a5776f726c64c40101");
  auto first = Document::parse(input, {});
  REQUIRE(first);
  const Value root = first->root();
  std::fill(input.begin(), input.end(), std::uint8_t{0});
  const Document moved = std::move(*first);
  CHECK(root[0].text() == "world");
  CHECK(moved.root()[0].text() == "world");
}

TEST_CASE("NaN and infinities pass the codec, which leaves them to its callers") {
  Encoder out;
  out.array(2).real(std::numeric_limits<double>::quiet_NaN()).real32(-std::numeric_limits<float>::infinity());
  const auto document = Document::parse(out.take(), {});
  REQUIRE(document);
  CHECK(std::isnan(*document->root()[0].real()));
  CHECK(*document->root()[1].real() == -std::numeric_limits<double>::infinity());
}

TEST_CASE("a signed format that holds a positive number reads as that number") {
  CHECK(parse("d07f")->root().unsigned_integer() == 127u);
  CHECK(parse("d37fffffffffffffff")->root().integer() == std::numeric_limits<std::int64_t>::max());
}

TEST_CASE("a message is one value that fills its bytes to the end") {
  CHECK(code_of("") == ErrorCode::malformed);
  CHECK(code_of("0102") == ErrorCode::malformed);
  CHECK(code_of("c1") == ErrorCode::malformed);        // not a msgpack byte
  CHECK(code_of("9201") == ErrorCode::malformed);      // one of two
  CHECK(code_of("a361") == ErrorCode::malformed);      // text cut short
  CHECK(code_of("92c101") == ErrorCode::malformed);
}

TEST_CASE("text that is not UTF-8 is refused") {
  CHECK(parse("a2c3a9")->root().text() == "é");
  for (const char* hex : {"a1ff", "a2c328", "a2c080", "a3eda080", "a4f4908080", "a3e28228", "a1c3"}) {
    INFO(hex);
    CHECK(code_of(hex) == ErrorCode::malformed);
  }
}

TEST_CASE("each bound is refused one step past it and held at it") {
  SECTION("bytes") {
    CHECK(parse("a26162", {.bytes = 3}));
    CHECK(code_of("a26162", {.bytes = 2}) == ErrorCode::limit_exceeded);
  }
  SECTION("depth") {
    CHECK(parse("9191c0", {.depth = 2}));
    CHECK(code_of("919191c0", {.depth = 2}) == ErrorCode::limit_exceeded);
    CHECK(code_of("918191c0", {.depth = 2}) == ErrorCode::limit_exceeded);
    CHECK(parse("c0", {.depth = 0}));
    CHECK(code_of("90", {.depth = 0}) == ErrorCode::limit_exceeded);
  }
  SECTION("elements, of all containers together; a pair of a map counts two") {
    CHECK(parse("92920102810304", {.elements = 6}));
    CHECK(code_of("92920102810304", {.elements = 5}) == ErrorCode::limit_exceeded);
  }
}

TEST_CASE("a container that claims more than the message has bytes is refused before room is made") {
  // Were room made for what they claim, these would ask for 64 GiB.
  for (const char* hex : {"ddffffffff", "dfffffffff", "ddffffffffc0c0c0", "91ddffffffff"}) {
    INFO(hex);
    CHECK(code_of(hex, {.elements = std::numeric_limits<std::size_t>::max()}) == ErrorCode::malformed);
  }
  for (const char* hex : {"dbffffffff", "c6ffffffff", "c9ffffffff", "c9fffffffe00"}) {
    INFO(hex);
    CHECK(code_of(hex) == ErrorCode::malformed);
  }
}

TEST_CASE("a million opened arrays end at the depth bound, not in the stack") {
  const Bytes bytes(1u << 20, 0x91);
  const auto document = Document::parse(bytes, {});
  REQUIRE_FALSE(document);
  CHECK(document.error().code == ErrorCode::limit_exceeded);
}

TEST_CASE("any tree of values survives packing and unpacking") {
  const auto seed = p2p::metadata::testing::test_seed();
  P2P_SHOW_SEED(seed);
  p2p::Random random(seed);
  // Writes a random tree and notes what it wrote in reading order; then the tree is read in the same order.
  struct Note {
    Value::Kind kind;
    std::int64_t number;
    std::string text;
  };
  for (int round = 0; round < 300; ++round) {
    std::vector<Note> notes;
    Encoder out;
    const std::function<void(int)> write = [&](int depth) {
      const auto pick = random.below(depth > 4 ? 3 : 5);
      const auto size = static_cast<std::uint32_t>(random.below(4));
      if (pick == 0) {
        const auto v = static_cast<std::int64_t>(random.next() >> random.below(64));
        notes.push_back({Value::Kind::integer, v, ""});
        out.integer(v);
      } else if (pick == 1) {
        notes.push_back({Value::Kind::text, 0, std::string(random.below(300), 'a')});
        out.text(notes.back().text);
      } else if (pick == 2) {
        notes.push_back({Value::Kind::real, static_cast<std::int64_t>(random.below(1000)), ""});
        out.real(static_cast<double>(notes.back().number));
      } else if (pick == 3) {
        notes.push_back({Value::Kind::array, size, ""});
        out.array(size);
        for (std::uint32_t i = 0; i < size; ++i) write(depth + 1);
      } else {
        notes.push_back({Value::Kind::map, size, ""});
        out.map(size);
        for (std::uint32_t i = 0; i < 2 * size; ++i) write(depth + 1);
      }
    };
    write(0);
    const auto document = Document::parse(out.take(), {});
    REQUIRE(document);
    std::size_t next = 0;
    const std::function<void(Value)> read = [&](Value value) {
      const Note& note = notes.at(next++);
      REQUIRE(value.kind() == note.kind);
      if (note.kind == Value::Kind::integer) REQUIRE(value.integer() == note.number);
      if (note.kind == Value::Kind::real) REQUIRE(value.real() == static_cast<double>(note.number));
      if (note.kind == Value::Kind::text) REQUIRE(value.text() == note.text);
      if (note.kind != Value::Kind::array && note.kind != Value::Kind::map) return;
      REQUIRE(value.size() == static_cast<std::size_t>(note.number));
      for (std::size_t i = 0; i < value.size(); ++i) {
        if (note.kind == Value::Kind::array) {
          read(value[i]);
        } else {
          read(value.entry(i).first);
          read(value.entry(i).second);
        }
      }
    };
    read(document->root());
    REQUIRE(next == notes.size());
  }
}

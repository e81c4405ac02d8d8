#include <catch2/catch.hpp>

#include <limits>

#include "overlay/messages.hpp"
#include "tests/overlay/support.hpp"

namespace p2p::overlay {
namespace {

Frame round_trip(const Frame& frame) {
  const Bytes bytes = encode(frame);
  auto back = decode_frame(ByteView(bytes).subspan(4));
  REQUIRE(back);
  return *back;
}

std::vector<Frame> one_of_each() {
  Hello hello{kProtocolVersion, {}, 262144, 65536, 16};
  hello.to.bytes.fill(0x11);
  BlockLine line{"class/1", {1}, 2.5, 3, metadata::sha256(view("abc"))};
  return {{0, hello},
          {1, DescribeRequest{test::task_id()}},
          {2, ManifestRequest{test::task_id(), {0, 3, 65535}}},
          {3, PageRequest{9, 4000}},
          {4, ChunkRequest{9, 2, 1ull << 33, 65536}},
          {0, Feedback{test::task_id(), -0.25}},
          {1, DescriptionAnswer{0, 3, {1, 2, 3}}},
          {2, ManifestAnswer{9, "linear", 2, 1, {line}}},
          {4, ChunkAnswer{{9, 8, 7}}},
          {5, Refusal{Refusal::Why::gone, 20, "too late"}},
          {0, Goodbye{"the link was idle"}}};
}

TEST_CASE("The worked example of README.md is what a chunk request looks like on the wire") {
  const Frame frame{5, ChunkRequest{3, 1, 65536, 16384}};
  CHECK(to_hex(encode(frame)) == "0000000d" "96" "04" "05" "03" "01" "ce00010000" "cd4000");
}

TEST_CASE("A greeting's bytes do not change between releases") {
  Hello hello{1, {}, 262144, 65536, 16};
  hello.to.bytes.fill(0xab);
  std::string key;
  for (int i = 0; i < 32; ++i) key += "ab";
  CHECK(to_hex(encode({0, hello})) == "00000031" "97" "00" "00" "01" "c420" + key + "ce00040000" "ce00010000" "10");
}

TEST_CASE("Every message comes back from its bytes as it was") {
  for (const auto& frame : one_of_each()) {
    const Frame back = round_trip(frame);
    CHECK(back.id == frame.id);
    CHECK(back.message.index() == frame.message.index());
    CHECK(encode(back) == encode(frame));
  }
}

TEST_CASE("A frame with a byte missing at its end is malformed") {
  for (const auto& frame : one_of_each()) {
    const Bytes bytes = encode(frame);
    const ByteView body = ByteView(bytes).subspan(4);
    for (std::size_t keep = 0; keep < body.size(); ++keep) CHECK_FALSE(decode_frame(body.first(keep)));
  }
}

TEST_CASE("A frame with a field more than its kind has is malformed") {
  for (const auto& frame : one_of_each()) {
    Bytes body = encode(frame);
    body.erase(body.begin(), body.begin() + 4);
    body[0] += 1;         // one more element in the outer array
    body.push_back(0x00);
    CHECK_FALSE(decode_frame(body));
  }
}

TEST_CASE("A frame of an unknown kind is malformed") {
  CHECK(decode_frame(*from_hex("926300")).error().code == ErrorCode::malformed);
}

TEST_CASE("A greeting of a later version is read as far as its version") {
  const auto frame = decode_frame(*from_hex("9400000aa3616263"));
  REQUIRE(frame);
  CHECK(std::get<Hello>(frame->message).version == 10);
}

TEST_CASE("Gains and evidence that are no finite numbers are malformed") {
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(), 1.5, -2.0}) {
    const Bytes bytes = encode({0, Feedback{test::task_id(), bad}});
    CHECK_FALSE(decode_frame(ByteView(bytes).subspan(4)));
  }
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), -std::numeric_limits<double>::infinity(), -1.0}) {
    const Bytes bytes = encode({0, ManifestAnswer{1, "f", 1, 0, {{"b", {}, bad, 1, {}}}}});
    CHECK_FALSE(decode_frame(ByteView(bytes).subspan(4)));
  }
}

TEST_CASE("A class outside 0 .. 65535 is malformed") {
  for (const std::int32_t bad : {-1, 65536}) {
    const Bytes bytes = encode({1, ManifestRequest{test::task_id(), {bad}}});
    CHECK_FALSE(decode_frame(ByteView(bytes).subspan(4)));
  }
}

TEST_CASE("Damaged frames are refused or read, and never crash the decoder") {
  Random random(20260101);
  for (int round = 0; round < 20000; ++round) {
    const auto all = one_of_each();
    Bytes body = encode(all[random.below(all.size())]);
    body.erase(body.begin(), body.begin() + 4);
    for (auto changes = 1 + random.below(4); changes > 0; --changes) {
      body[random.below(body.size())] = static_cast<std::uint8_t>(random.next());
    }
    const auto frame = decode_frame(body);
    if (frame) CHECK(decode_frame(ByteView(encode(*frame)).subspan(4)));
  }
}

TEST_CASE("A stream that is cut anywhere yields the same frames") {
  Bytes stream;
  std::vector<Bytes> bodies;
  for (const auto& frame : one_of_each()) {
    const Bytes bytes = encode(frame);
    stream.insert(stream.end(), bytes.begin(), bytes.end());
    bodies.emplace_back(bytes.begin() + 4, bytes.end());
  }
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Random random(seed);
    FrameReader reader(1 << 20);
    std::vector<Bytes> got;
    for (std::size_t at = 0; at < stream.size();) {
      const std::size_t take = std::min(stream.size() - at, std::size_t{1} + random.below(40));
      REQUIRE(reader.feed(ByteView(stream).subspan(at, take), [&](ByteView body) {
        got.emplace_back(body.begin(), body.end());
        return true;
      }));
      at += take;
    }
    CHECK(got == bodies);
    CHECK_FALSE(reader.in_frame());
  }
}

TEST_CASE("A length over the bound is refused before its content comes") {
  const auto none = [](ByteView) { return true; };
  for (const bool at_once : {true, false}) {
    FrameReader reader(1000);
    const Bytes length = *from_hex("000003e9");
    if (at_once) {
      CHECK(reader.feed(length, none).error().code == ErrorCode::limit_exceeded);
    } else {
      CHECK(reader.feed(ByteView(length).first(3), none));
      CHECK(reader.feed(ByteView(length).last(1), none).error().code == ErrorCode::limit_exceeded);
    }
  }
}

TEST_CASE("An empty frame is malformed") {
  FrameReader reader(1000);
  CHECK(reader.feed(*from_hex("00000000"), [](ByteView) { return true; }).error().code == ErrorCode::malformed);
}

}  // namespace
}  // namespace p2p::overlay

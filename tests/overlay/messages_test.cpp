#include <catch2/catch.hpp>

#include <limits>

#include "metadata/task.hpp"
#include "overlay/manifest.hpp"
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
  Hello hello{kProtocolVersion, {}, 262144, 65536, 16, {"192.0.2.7", 4300}};
  hello.to.bytes.fill(0x11);
  const auto hash = metadata::sha256(view("abc"));
  Holder holder{{}, {"192.0.2.8", 4301}};
  holder.id.bytes.fill(0x22);
  return {{0, hello},
          {1, DescribeRequest{test::task_id()}},
          {2, ManifestRequest{test::task_id(), {0, 3, 65535}, 70000}},
          {4, ChunkRequest{hash, 1ull << 33, 65536}},
          {4, ChunkRequest{hash, 1ull << 33, 65536, hash}},
          {4, ChunkAnswer{Coding::difference, {9}}},
          {0, Feedback{test::task_id(), -0.25}},
          {1, DescriptionAnswer{hash, 3, {1, 2, 3}}},
          {2, ManifestAnswer{hash, 700, {1, 2, 3}, {holder, holder}}},
          {2, ManifestAnswer{hash, 3, {1, 2, 3}, {}, {{Coding::plain, {4, 5}}, {Coding::packed, {6}}}}},
          {4, ChunkAnswer{Coding::plain, {9, 8, 7}}},
          {5, Refusal{Refusal::Why::gone, 20, "too late", {holder}}},
          {0, Goodbye{"the link was idle"}}};
}

std::string repeated(const char* byte, int times = 32) {
  std::string out;
  for (int i = 0; i < times; ++i) out += byte;
  return out;
}

TEST_CASE("The worked example of README.md is what a chunk request looks like on the wire") {
  ChunkRequest request{{}, 65536, 16384};
  request.hash.bytes.fill(0xcd);
  CHECK(to_hex(encode({5, request})) ==
        "0000002f" "96" "04" "05" "c420" + repeated("cd") + "ce00010000" "cd4000" "c400");
  request.base = request.hash;
  CHECK(to_hex(encode({5, request})) ==
        "0000004f" "96" "04" "05" "c420" + repeated("cd") + "ce00010000" "cd4000" "c420" + repeated("cd"));
}

TEST_CASE("The bytes of messages do not change between releases of one protocol version") {
  Hello hello{3, {}, 262144, 65536, 16, {"192.0.2.7", 4300}};
  hello.to.bytes.fill(0xab);
  CHECK(to_hex(encode({0, hello})) == "00000040" "98" "00" "00" "03" "c420" + repeated("ab") +
                                          "ce00040000" "ce00010000" "10" "ae" + to_hex(view("192.0.2.7:4300")));
  hello.accepts = {};
  CHECK(to_hex(encode({0, hello})) ==
        "00000032" "98" "00" "00" "03" "c420" + repeated("ab") + "ce00040000" "ce00010000" "10" "a0");

  ManifestAnswer head{{}, 3, {1, 2, 3}, {{{}, {"192.0.2.8", 1}}}};
  head.hash.bytes.fill(0xcd);
  head.holders[0].id.bytes.fill(0xef);
  CHECK(to_hex(encode({2, head})) == "0000005c" "97" "12" "02" "c420" + repeated("cd") + "03" "c403010203" "91" "92" "c420" +
                                         repeated("ef") + "ab" + to_hex(view("192.0.2.8:1")) + "90");
  head.holders.clear();
  head.along = {{Coding::packed, {4, 5}}};
  CHECK(to_hex(encode({2, head})) ==
        "00000033" "97" "12" "02" "c420" + repeated("cd") + "03" "c403010203" "90" "91" "92" "01" "c4020405");
  ManifestRequest question{{}, {1}, 65536};
  question.task.bytes.fill(0xcd);
  CHECK(to_hex(encode({2, question})) == "0000002c" "95" "02" "02" "c420" + repeated("cd") + "91" "01" "ce00010000");
  CHECK(to_hex(encode({0, Goodbye{"no", Goodbye::Why::no_room}})) == "00000007" "94" "1f" "00" "01" "a26e6f");
  CHECK(to_hex(encode({4, ChunkAnswer{Coding::patch, {9, 8}}})) == "00000008" "94" "14" "04" "02" "c4020908");
  CHECK(to_hex(encode({4, Refusal{Refusal::Why::busy, 20, "no", {}}})) == "00000009" "96" "1e" "04" "00" "14" "a26e6f" "90");
}

TEST_CASE("The bytes of a manifest do not change between releases of one protocol version") {
  Manifest manifest{"rff", {{"class/1", {1, 2}, 2.5, 300, {}}}};
  manifest.lines[0].hash.bytes.fill(0xcd);
  const std::string hex = "92" "a3" + to_hex(view("rff")) + "91" "95" "a7" + to_hex(view("class/1")) + "92" "01" "02" "cb4004000000000000" "cd012c" "c420" + repeated("cd");
  CHECK(to_hex(encode(manifest)) == hex);
  const auto back = decode_manifest(*from_hex(hex), {});
  REQUIRE(back);
  CHECK(*back == manifest);
}

TEST_CASE("A damaged manifest is refused or read, and never crashes the decoder") {
  Manifest manifest{"rff", {}};
  for (int i = 0; i < 20; ++i) {
    manifest.lines.push_back({"class/" + std::to_string(i), {i, i + 1}, 1.5 * i, 100, metadata::sha256(view("x"))});
  }
  const Bytes sound = encode(manifest);
  for (std::size_t keep = 0; keep < sound.size(); ++keep) CHECK_FALSE(decode_manifest(ByteView(sound).first(keep), {}));
  Random random(20260102);
  int read = 0;
  for (int round = 0; round < 20000; ++round) {
    Bytes bytes = sound;
    for (auto changes = 1 + random.below(4); changes > 0; --changes) {
      bytes[random.below(bytes.size())] = static_cast<std::uint8_t>(random.next());
    }
    const auto back = decode_manifest(bytes, {});
    if (!back) continue;
    ++read;
    CHECK(decode_manifest(encode(*back), {}));
  }
  CHECK(read > 100);
}

TEST_CASE("Holders that nobody can connect to are left out, and more than eight are malformed") {
  ManifestAnswer head{{}, 0, {}, {{{}, {"192.0.2.8", 1}}, {{}, {"0.0.0.0", 1}}, {{}, {"192.0.2.8", 0}}}};
  const auto back = std::get<ManifestAnswer>(round_trip({1, head}).message);
  REQUIRE(back.holders.size() == 1);
  CHECK(back.holders[0].endpoint.text() == "192.0.2.8:1");
  head.holders.assign(9, {{}, {"192.0.2.8", 1}});
  CHECK_FALSE(decode_frame(ByteView(encode({1, head})).subspan(4)));
}

TEST_CASE("A request names as many classes as a task can have, and one with more is malformed") {
  ManifestRequest request{test::task_id(), std::vector<std::int32_t>(metadata::kMaxTaskClasses, 1), 0};
  CHECK(std::get<ManifestRequest>(round_trip({1, request}).message).classes.size() == metadata::kMaxTaskClasses);
  request.classes.push_back(1);
  CHECK_FALSE(decode_frame(ByteView(encode({1, request})).subspan(4)));
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
    CHECK(decode_manifest(encode(Manifest{"f", {{"b", {}, bad, 1, {}}}}), {}).error().code == ErrorCode::malformed);
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

TEST_CASE("A chunk's head and its content are the bytes of its frame, and content that is lent is the content") {
  for (const std::size_t size : {0, 1, 255, 256, 65535, 65536, 200'000}) {
    CAPTURE(size);
    const Bytes content = test::random_bytes(size, size);
    const ChunkAnswer lent{Coding::plain, {}, content}, owned{Coding::plain, content};
    const Bytes whole = encode({77, owned});
    Bytes joined = encode_head(77, lent);
    joined.insert(joined.end(), content.begin(), content.end());
    CHECK(joined == whole);
    CHECK(encode({77, lent}) == whole);
    const ByteView body = ByteView(whole).subspan(4);
    const auto frame = decode_frame(body, Content::lent);
    REQUIRE(frame);
    const auto& answer = std::get<ChunkAnswer>(frame->message);
    CHECK(answer.bytes.empty());
    CHECK(Bytes(answer.content().begin(), answer.content().end()) == content);
    if (size > 0) CHECK(answer.content().data() + size == body.data() + body.size());
  }
}

TEST_CASE("An exchange that goes while a large block is being hashed reports nothing and leaves nothing behind") {
  test::Pair net;
  auto asker = std::make_unique<test::Party>(net.simulation, net.a());
  test::Party helper(net.simulation, net.b());
  helper.offer = test::offer_of({3'000'000});
  const auto whole = asker->pull(helper.peer());
  REQUIRE(net.simulation.run_until([&] { return whole->calls == 1; }, 20s));
  const auto took = whole->at;
  for (const auto early : {1us, 10us, 100us, 1000us, 50'000us}) {
    test::Pair again;
    auto leaving = std::make_unique<test::Party>(again.simulation, again.a());
    test::Party giver(again.simulation, again.b());
    giver.offer = helper.offer;
    const auto part = leaving->pull(giver.peer());
    again.simulation.run_for(took - early);
    leaving.reset();
    again.simulation.run_for(20s);
    CHECK(part->calls == 0);
  }
}

}  // namespace
}  // namespace p2p::overlay

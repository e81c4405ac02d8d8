#include "metadata/record.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "metadata/codec.hpp"
#include "tests/metadata/examples.hpp"

using p2p::Bytes;
using p2p::ByteView;
using p2p::ErrorCode;
using namespace p2p::metadata;
using namespace p2p::metadata::testing;

namespace {

ErrorCode code_of(const p2p::Result<void>& result) {
  REQUIRE_FALSE(result);
  CHECK_FALSE(result.error().message.empty());
  return result.error().code;
}

/// What a holder says to `entry` under its right key, a second after it was made.
StoreCheck check_of(const Entry& entry, const Bytes& bytes) {
  return {.key = place_key(entry.task, entry.place), .bytes = bytes, .old_bytes = {}, .now_ms = entry.version + 1000};
}

/// A sealed body made by hand: what a peer that does not use our code could sign.
Bytes forged(std::string_view domain, const Bytes& body, const KeyPair& key) {
  Bytes message(domain.begin(), domain.end());
  message.push_back(0);
  message.insert(message.end(), body.begin(), body.end());
  Encoder out;
  out.array(2).binary(body).binary(key.sign(message));
  return out.take();
}

/// The example entry's body with one field written by `change`.
Bytes body_with(int field, const std::function<void(Encoder&)>& change, std::uint32_t fields = 10) {
  const Entry e = example_entry();
  Encoder out;
  out.array(fields);
  const std::function<void()> writers[] = {
      [&] { out.integer(1); },
      [&] { out.binary(e.task.bytes); },
      [&] { out.binary(e.node.bytes); },
      [&] { out.array(4).integer(0).integer(1).integer(2).integer(3); },
      [&] { out.unsigned_integer(e.version); },
      [&] { out.array(2).text(e.endpoint.host).integer(e.endpoint.port); },
      [&] { out.binary(e.sketch.bits); },
      [&] { out.unsigned_integer(e.samples); },
      [&] { out.unsigned_integer(e.accuracy); },
      [&] { out.binary(e.recall); },
  };
  for (int i = 0; i < 10 && i < static_cast<int>(fields); ++i) {
    if (i == field) {
      change(out);
    } else {
      writers[i]();
    }
  }
  return out.take();
}

}  // namespace

TEST_CASE("an entry opens as what was sealed") {
  const Entry entry = example_entry();
  const auto opened = open_entry(seal(entry, example_key()));
  REQUIRE(opened);
  CHECK(*opened == entry);
}

TEST_CASE("the largest entry that there can be fits into one packet of OpenDHT") {
  Entry entry = example_entry();
  entry.place = {Place::Kind::joint, 65535, 32, 0xffffffff};
  entry.version = ~0ull;
  entry.endpoint = {"2001:db8:1111:2222:3333:4444:5555:6666", 65535};
  entry.sketch.bits.fill(0xff);
  entry.samples = ~0u;
  entry.accuracy = 255;
  entry.recall.assign(Entry::kMaxListedClasses, 255);
  const Bytes bytes = seal(entry, example_key());
  INFO(bytes.size() << " bytes");
  CHECK(bytes.size() <= Entry::kMaxBytes);
  CHECK(*open_entry(bytes) == entry);
}

TEST_CASE("an entry that another key signed, or for another purpose, is untrusted") {
  const auto refused = [](const Bytes& bytes) {
    const auto entry = open_entry(bytes);
    REQUIRE_FALSE(entry);
    return entry.error().code;
  };
  const Bytes body = body_with(-1, {});
  REQUIRE(open_entry(forged("p2p-learner entry v1", body, example_key())));
  CHECK(refused(forged("p2p-learner entry v1", body, example_key(1))) == ErrorCode::untrusted);
  CHECK(refused(forged("p2p-learner description v1", body, example_key())) == ErrorCode::untrusted);
  CHECK(refused(forged("", body, example_key())) == ErrorCode::untrusted);
}

TEST_CASE("an entry with a field that cannot be is refused although its node signed it") {
  const auto refused = [](int field, const std::function<void(Encoder&)>& change, std::uint32_t fields = 10) {
    const auto entry = open_entry(forged("p2p-learner entry v1", body_with(field, change, fields), example_key()));
    REQUIRE_FALSE(entry);
    return entry.error().code;
  };
  const auto place = [](int kind, std::int64_t table, std::int64_t depth, std::int64_t prefix) {
    return [=](Encoder& out) { out.array(4).integer(kind).integer(table).integer(depth).integer(prefix); };
  };
  const auto endpoint = [](std::string host, std::int64_t port) {
    return [=](Encoder& out) { out.array(2).text(host).integer(port); };
  };
  CHECK(refused(0, [](Encoder& out) { out.integer(2); }) == ErrorCode::version);
  CHECK(refused(0, [](Encoder& out) { out.nil(); }) == ErrorCode::malformed);
  CHECK(refused(1, [](Encoder& out) { out.binary(Bytes(31)); }) == ErrorCode::malformed);
  CHECK(refused(2, [](Encoder& out) { out.binary(Bytes(33)); }) == ErrorCode::malformed);
  CHECK(refused(3, place(2, 0, 0, 0)) == ErrorCode::malformed);
  CHECK(refused(3, place(0, 65536, 2, 3)) == ErrorCode::malformed);
  CHECK(refused(3, place(0, 0, 2, 4)) == ErrorCode::malformed);
  CHECK(refused(3, place(0, 0, 256 + 2, 3)) == ErrorCode::malformed);
  CHECK(refused(3, place(0, -1, 2, 3)) == ErrorCode::malformed);
  CHECK(refused(4, [](Encoder& out) { out.integer(-1); }) == ErrorCode::malformed);
  CHECK(refused(5, endpoint("192.0.2.7", 0)) == ErrorCode::malformed);
  CHECK(refused(5, endpoint("192.0.2.7", 65536)) == ErrorCode::malformed);
  CHECK(refused(5, endpoint("evil.example", 80)) == ErrorCode::malformed);
  CHECK(refused(5, endpoint("0.0.0.0", 80)) == ErrorCode::malformed);
  CHECK(refused(5, endpoint(std::string(46, '1'), 80)) == ErrorCode::malformed);
  CHECK(refused(6, [](Encoder& out) { out.binary(Bytes(64)); }) == ErrorCode::malformed);
  CHECK(refused(7, [](Encoder& out) { out.unsigned_integer(1ull << 32); }) == ErrorCode::malformed);
  CHECK(refused(7, [](Encoder& out) { out.real(5); }) == ErrorCode::malformed);
  CHECK(refused(8, [](Encoder& out) { out.integer(256); }) == ErrorCode::malformed);
  CHECK(refused(9, [](Encoder& out) { out.binary(Bytes(251)); }) == ErrorCode::malformed);
  CHECK(refused(9, [](Encoder&) {}, 9) == ErrorCode::malformed);
}

TEST_CASE("peeking reads an entry whoever signed it, and refuses what opening refuses for its shape") {
  const Bytes stolen = forged("p2p-learner entry v1", body_with(-1, {}), example_key(1));
  REQUIRE(peek_entry(stolen));
  CHECK(*peek_entry(stolen) == example_entry());
  REQUIRE_FALSE(open_entry(stolen));
  const Bytes shapeless =
      forged("p2p-learner entry v1", body_with(6, [](Encoder& out) { out.binary(Bytes(31)); }), example_key());
  REQUIRE_FALSE(peek_entry(shapeless));
  CHECK(peek_entry(shapeless).error().code == ErrorCode::malformed);
}

TEST_CASE("a holder stores a fresh entry under its own key and no other") {
  const Entry entry = example_entry();
  const Bytes bytes = seal(entry, example_key());
  CHECK(may_store(check_of(entry, bytes)));

  auto elsewhere = check_of(entry, bytes);
  elsewhere.key[19] ^= 1;
  CHECK(code_of(may_store(elsewhere)) == ErrorCode::untrusted);
  Entry moved = entry;
  moved.place.prefix = 2;
  elsewhere.key = place_key(moved.task, moved.place);
  CHECK(code_of(may_store(elsewhere)) == ErrorCode::untrusted);
}

TEST_CASE("a holder refuses junk, and an entry whose signature was tampered with") {
  const Entry entry = example_entry();
  Bytes bytes = seal(entry, example_key());
  bytes.back() ^= 1;
  CHECK(code_of(may_store(check_of(entry, bytes))) == ErrorCode::untrusted);
  const Bytes junk(100, 0x41);
  CHECK(code_of(may_store(check_of(entry, junk))) == ErrorCode::malformed);
  const Bytes large(Entry::kMaxBytes + 1, 0xc0);
  CHECK(code_of(may_store(check_of(entry, large))) == ErrorCode::limit_exceeded);
}

TEST_CASE("an entry may be as far from the holder's clock as the bound, in both directions, and no further") {
  const Entry entry = example_entry();
  const Bytes bytes = seal(entry, example_key());
  auto check = check_of(entry, bytes);
  const auto verdict = [&](std::int64_t apart) {
    check.now_ms = entry.version + static_cast<std::uint64_t>(apart);
    return may_store(check);
  };
  const auto bound = static_cast<std::int64_t>(kMaxClockSkewMs);
  CHECK(verdict(bound));
  CHECK(verdict(-bound));
  CHECK(code_of(verdict(bound + 1)) == ErrorCode::untrusted);
  CHECK(code_of(verdict(-bound - 1)) == ErrorCode::untrusted);
  check.now_ms = 0;
  CHECK(code_of(may_store(check)) == ErrorCode::untrusted);
  check.now_ms = ~0ull;
  CHECK(code_of(may_store(check)) == ErrorCode::untrusted);
}

TEST_CASE("a node replaces its own entry with a newer one, and an old one cannot be played back") {
  const Entry first = example_entry();
  Entry second = first;
  second.version += 5;
  second.samples += 100;
  const Bytes first_bytes = seal(first, example_key()), second_bytes = seal(second, example_key());

  auto forward = check_of(second, second_bytes);
  forward.old_bytes = ByteView(first_bytes);
  CHECK(may_store(forward));
  auto replay = check_of(first, first_bytes);
  replay.old_bytes = ByteView(second_bytes);
  CHECK(code_of(may_store(replay)) == ErrorCode::untrusted);
}

TEST_CASE("the same bytes may be stored again, but not other bytes of the same version") {
  const Entry entry = example_entry();
  const Bytes bytes = seal(entry, example_key());
  auto again = check_of(entry, bytes);
  again.old_bytes = ByteView(bytes);
  CHECK(may_store(again));

  Entry twin = entry;
  twin.samples += 1;
  const Bytes twin_bytes = seal(twin, example_key());
  auto fork = check_of(twin, twin_bytes);
  fork.old_bytes = ByteView(bytes);
  CHECK(code_of(may_store(fork)) == ErrorCode::untrusted);
}

TEST_CASE("a node cannot replace another node's entry, however new its own is") {
  const Entry mine = example_entry();
  const Bytes mine_bytes = seal(mine, example_key());
  Entry theirs = mine;
  theirs.node = example_key(1).id();
  theirs.version += 5;
  const Bytes their_bytes = seal(theirs, example_key(1));
  auto check = check_of(theirs, their_bytes);
  REQUIRE(may_store(check));
  check.old_bytes = ByteView(mine_bytes);
  CHECK(code_of(may_store(check)) == ErrorCode::untrusted);
}

TEST_CASE("junk that got under a key stands in nobody's way") {
  const Entry entry = example_entry();
  const Bytes bytes = seal(entry, example_key());
  auto check = check_of(entry, bytes);
  const Bytes junk{1, 2, 3};
  check.old_bytes = ByteView(junk);
  CHECK(may_store(check));
  // So does an entry that names another node but was never signed by it.
  Entry stolen = entry;
  stolen.node = example_key(1).id();
  stolen.version += 1000;
  Bytes unsigned_bytes = seal(stolen, example_key(1));
  unsigned_bytes.back() ^= 1;
  check.old_bytes = ByteView(unsigned_bytes);
  CHECK(may_store(check));
}

TEST_CASE("a description opens as what was sealed, and only as its node signed it") {
  const Description description = example_description();
  Bytes bytes = seal(description, example_key());
  const auto opened = open_description(bytes, 3);
  REQUIRE(opened);
  CHECK(opened->task == description.task);
  CHECK(opened->node == description.node);
  CHECK(opened->version == description.version);
  CHECK(opened->fingerprint == description.fingerprint);

  REQUIRE_FALSE(open_description(bytes, 2));  // a task with fewer classes
  CHECK(open_description(bytes, 2).error().code == ErrorCode::malformed);
  bytes[60] ^= 1;  // inside the node id
  REQUIRE_FALSE(open_description(bytes, 3));
  CHECK(open_description(bytes, 3).error().code == ErrorCode::untrusted);

  Encoder body;
  body.array(5).integer(1).binary(description.task.bytes).binary(description.node.bytes);
  body.unsigned_integer(description.version).binary(encode(description.fingerprint));
  const Bytes body_bytes = body.take();
  REQUIRE(open_description(forged("p2p-learner description v1", body_bytes, example_key()), 3));
  const auto misused = open_description(forged("p2p-learner entry v1", body_bytes, example_key()), 3);
  REQUIRE_FALSE(misused);
  CHECK(misused.error().code == ErrorCode::untrusted);
}

TEST_CASE("a description of the largest fingerprint fits the bound on descriptions") {
  FingerprintBuilder builder({.dimensions = 256, .classes = 1024, .half_life = 0});
  std::vector<float> phi(256, 0.05f);
  for (std::int32_t c = 0; c < 1024; ++c) builder.add(phi, c, true);
  Description description = example_description();
  description.fingerprint = builder.build();
  const Bytes bytes = seal(description, example_key());
  INFO(bytes.size());
  CHECK(bytes.size() < 1u << 20);
  CHECK(open_description(bytes, 1024));
}

TEST_CASE("the readable twin is JSON that says who, where, how much and how well") {
  const auto json = nlohmann::json::parse(twin_text(example_entry(), example_task(), "roof sensor"));
  CHECK(json["name"] == "roof sensor");
  CHECK(json["id"] == example_key().id().hex());
  CHECK(json["task"] == "pump");
  CHECK(json["endpoint"] == "192.0.2.7:4222");
  CHECK(json["samples"] == 200);
  CHECK(json["accuracy"] == Approx(0.83));
  CHECK(json["knows"].size() == 2);
  CHECK(json["knows"]["idle"] == Approx(0.94));
  CHECK(json["knows"]["worn"] == Approx(0.5));
  CHECK_FALSE(json.contains("more"));
}

TEST_CASE("the readable twin stays under 500 bytes and JSON, whatever the names and however many classes") {
  const auto seed = test_seed();
  P2P_SHOW_SEED(seed);
  p2p::Random random(seed);
  const std::string alphabet[] = {"a", "\"", "\\", "\n", "\x01", "\x7f", "ü", "漢", "😀", "\xc2\x9b", "/", "\xff"};
  const auto word = [&](std::size_t most) {
    std::string out;
    for (auto n = random.below(most + 1); n > 0; --n) out += alphabet[random.below(std::size(alphabet))];
    return out;
  };
  for (int round = 0; round < 500; ++round) {
    Entry entry = example_entry();
    Task task = example_task();
    task.name = word(60);
    task.classes.clear();
    entry.recall.clear();
    std::size_t known = 0;
    for (auto n = random.below(Entry::kMaxListedClasses + 1); n > 0; --n) {
      task.classes.push_back(std::to_string(n) + word(20));
      entry.recall.push_back(random.uniform() < 0.5 ? 0 : static_cast<std::uint8_t>(1 + random.below(255)));
      known += entry.recall.back() != 0;
    }
    entry.endpoint.host = "2001:db8:1111:2222:3333:4444:5555:6666";
    entry.samples = ~0u;
    const std::string text = twin_text(entry, task, word(80));
    REQUIRE(text.size() <= 500);
    REQUIRE(std::none_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }));
    REQUIRE(text.find("\xc2\x9b") == std::string::npos);
    nlohmann::json json;
    REQUIRE_NOTHROW(json = nlohmann::json::parse(text));
    REQUIRE(json["knows"].size() + json.value("more", 0u) == known);
  }
}

TEST_CASE("a class list longer than the entry's, or shorter, shows what both have") {
  Entry entry = example_entry();
  entry.recall = {255};
  CHECK(nlohmann::json::parse(twin_text(entry, example_task(), ""))["knows"].size() == 1);
  entry.recall.assign(10, 255);
  CHECK(nlohmann::json::parse(twin_text(entry, example_task(), ""))["knows"].size() == 3);
}

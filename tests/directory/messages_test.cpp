#include "overlay/directory/messages.hpp"

#include <catch2/catch.hpp>
#include <functional>
#include <limits>

#include "metadata/codec.hpp"
#include "overlay/dht.hpp"
#include "tests/metadata/examples.hpp"
#include "tests/metadata/hex_blocks.hpp"

using namespace p2p;
using namespace p2p::directory;
using metadata::Encoder;
using metadata::Entry;
using metadata::Sketch;

namespace {

constexpr Nonce kNonce = 0x1122334455667788;
const PresencePrefix kPrefix = {0x03, 0xa1, 0x07, 0xbf, 0xf3, 0xce, 0x10, 0xbe};  // the example node's live one
constexpr std::size_t kMost = overlay::Dht::kMaxDatagramBytes;

Bytes example_sealed() { return metadata::seal(metadata::testing::example_entry(), metadata::testing::example_key()); }

Question example_question() {
  const Entry entry = metadata::testing::example_entry();
  return {.nonce = kNonce,
          .task = entry.task,
          .target = {.by = metadata::By::classes, .sketch = entry.sketch, .classes = 6, .blank = false},
          .description = true,
          .within_milli = 250,
          .entry = {},
          .known = {0x030201, 0xffffff},
          .to = kPrefix};
}

Hint example_hint() {
  Hint out = hint_of(metadata::testing::example_entry());
  out.remoteness = 0.375;
  return out;
}

/// Bytes of every kind of field's largest size.
Bytes largest_entry() { return Bytes(Entry::kMaxBytes, 0xee); }

template <typename T>
T decoded(ByteView bytes) {
  const auto message = decode(bytes);
  REQUIRE(message);
  REQUIRE(std::holds_alternative<T>(*message));
  return std::get<T>(*message);
}

using Write = std::function<void(Encoder&)>;

/// A datagram made by hand, with field `at` written by `change`; at -1: as it should be.
Bytes made(const std::vector<Write>& fields, int at = -1, const Write& change = {}) {
  Encoder out;
  out.array(static_cast<std::uint32_t>(fields.size()));
  for (std::size_t i = 0; i < fields.size(); ++i) (static_cast<int>(i) == at ? change : fields[i])(out);
  return out.take();
}

Write number(std::int64_t value) {
  return [=](Encoder& out) { out.integer(value); };
}
Write big(std::uint64_t value) {
  return [=](Encoder& out) { out.unsigned_integer(value); };
}
Write flag(bool value) {
  return [=](Encoder& out) { out.boolean(value); };
}
Write binary(std::size_t size) {
  return [=](Encoder& out) { out.binary(Bytes(size)); };
}
Write text(std::string value) {
  return [=](Encoder& out) { out.text(value); };
}
Write nil() {
  return [](Encoder& out) { out.nil(); };
}

void check_refused(ByteView bytes) {
  const auto message = decode(bytes);
  REQUIRE_FALSE(message);
  CHECK(message.error().code == ErrorCode::malformed);
  CHECK_FALSE(message.error().message.empty());
}

/// Each of these in place of field `at` makes a datagram that is refused.
struct Bad {
  int at;
  std::vector<Write> instead;
};

void check_bounds(const std::vector<Write>& good, const std::vector<Bad>& all) {
  REQUIRE(decode(made(good)));
  for (const auto& [at, instead] : all) {
    for (std::size_t i = 0; i < instead.size(); ++i) {
      INFO("field " << at << ", variant " << i);
      check_refused(made(good, at, instead[i]));
    }
  }
  for (std::size_t at = 0; at < good.size(); ++at) {
    INFO("field " << at << " is nil");
    check_refused(made(good, static_cast<int>(at), nil()));
  }
  std::vector<Write> fewer(good.begin(), good.end() - 1), more = good;
  more.push_back(number(0));
  check_refused(made(fewer));
  check_refused(made(more));
}

const std::vector<Write> kQuestion = {number(0), big(kNonce), binary(16),  binary(8),   number(2),  flag(false), binary(162),
                                      big(6),    flag(true),  number(250), binary(396), binary(96), binary(0)};
const std::vector<Write> kAnswer = {number(1), big(kNonce), binary(396), binary(0)};
const std::vector<Write> kFetch = {number(2), big(kNonce), binary(16), binary(8), binary(0)};
const std::vector<Write> kDescribed = {number(3), big(kNonce), binary(396), binary(784)};
const std::vector<Write> kNotice = {number(4), big(kNonce), binary(396)};

}  // namespace

TEST_CASE("this build writes and reads the bytes of the README's datagrams") {
  const auto all = p2p::testing::read_hex_blocks(P2P_DIRECTORY_MD);
  const auto expect = [&](const std::string& name, const Bytes& bytes) {
    INFO(name);
    CHECK(to_hex(p2p::testing::bytes_of(all, name)) == to_hex(bytes));
    const auto message = decode(bytes);
    REQUIRE(message);
    CHECK(encode(*message, bytes.size()) == bytes);
  };
  const auto task = metadata::testing::example_entry().task;
  expect("question", encode(example_question()));
  expect("answer", encode(Answer{kNonce, {}, {example_hint()}}));
  expect("fetch", encode(Fetch{kNonce, task, kPrefix}, 50));
  expect("described",
         encode(Described{kNonce, {}, metadata::seal(metadata::testing::example_description(), metadata::testing::example_key())}));
  expect("notice", encode(Notice{kNonce, example_sealed()}));
  CHECK(all.size() == 5);
}

TEST_CASE("a question is read as it was asked") {
  Question asked = example_question();
  for (const auto by : {metadata::By::joint, metadata::By::marginal, metadata::By::classes}) {
    for (const bool on : {false, true}) {
      asked.target.by = by;
      asked.target.blank = on;
      asked.description = !on;
      asked.entry = on ? example_sealed() : Bytes{};
      asked.target.classes = on ? ~0ull : 0;
      asked.within_milli = on ? 1'000'000 : 0;
      asked.known.assign(on ? Question::kMostKnown : 0, 0xfedcba);
      asked.to = on ? kPrefix : PresencePrefix{};
      for (const std::size_t bytes : {0u, 400u, 1200u}) {
        const auto got = decoded<Question>(encode(asked, bytes));
        CHECK(got.nonce == asked.nonce);
        CHECK(got.task == asked.task);
        CHECK(got.target == asked.target);
        CHECK(got.description == asked.description);
        CHECK(got.within_milli == asked.within_milli);
        CHECK(got.entry == asked.entry);
        CHECK(got.known == asked.known);
        CHECK(got.to == asked.to);
      }
    }
  }
}

TEST_CASE("an answer, a fetch, a description and a notice are read as they were sent") {
  std::vector<Hint> hints;
  for (std::uint8_t i = 0; i < Answer::kMaxHints; ++i) {
    Hint hint = example_hint();
    hint.id[7] = i;
    hint.archived = i % 2 == 1;
    hint.at = {"10.0.0." + std::to_string(i), static_cast<std::uint16_t>(1 + 6000 * i)};
    hint.remoteness = 0.125f * i;
    hint.outline.bytes[i % metadata::Outline::kBytes] ^= 0xff;
    hints.push_back(hint);
  }
  const auto answer = decoded<Answer>(encode(Answer{kNonce, example_sealed(), hints}));
  CHECK(answer.nonce == kNonce);
  CHECK(answer.entry == example_sealed());
  REQUIRE(answer.hints.size() == hints.size());
  for (std::size_t i = 0; i < hints.size(); ++i) {
    CHECK(answer.hints[i].id == hints[i].id);
    CHECK(answer.hints[i].archived == hints[i].archived);
    CHECK(answer.hints[i].at == hints[i].at);
    CHECK(answer.hints[i].remoteness == hints[i].remoteness);
    CHECK(answer.hints[i].outline == hints[i].outline);
  }
  const auto task = metadata::testing::example_entry().task;
  const auto fetch = decoded<Fetch>(encode(Fetch{~0ull, task, kPrefix}, 300));
  CHECK(fetch.nonce == ~0ull);
  CHECK(fetch.task == task);
  CHECK(fetch.to == kPrefix);
  const auto described = decoded<Described>(encode(Described{kNonce, example_sealed(), Bytes(kMaxDescriptionBytes, 7)}));
  CHECK(described.nonce == kNonce);
  CHECK(described.entry == example_sealed());
  CHECK(described.description == Bytes(kMaxDescriptionBytes, 7));
  const auto notice = decoded<Notice>(encode(Notice{0, example_sealed()}));
  CHECK(notice.nonce == 0);
  CHECK(notice.entry == example_sealed());
}

TEST_CASE("a hint is where an entry's table is, and how far it is from what is asked for") {
  const Entry entry = metadata::testing::example_entry();
  const Hint hint = hint_of(entry);
  CHECK(std::equal(hint.id.begin(), hint.id.end(), entry.node.bytes.begin()));
  CHECK(hint.at == metadata::Endpoint{"192.0.2.7", 4223});
  CHECK(hint.remoteness == 0);
  CHECK(hint.outline == metadata::outline_of(entry.sketch));
  const metadata::Target target{.by = metadata::By::classes, .sketch = {}, .classes = 0b110};
  CHECK(hint_of(entry, target).remoteness == static_cast<float>(metadata::remoteness(target, entry.sketch, 0b101)));
  CHECK_FALSE(hint.archived);
  Entry archived = entry;
  archived.concept_id = 7;
  const Hint remembered = hint_of(archived);
  CHECK(remembered.archived);
  CHECK(std::equal(remembered.id.begin(), remembered.id.end(), archived.presence().bytes.begin()));
  CHECK(Hint::kBytes == 36);
}

TEST_CASE("whom an asker knows is told by the first three bytes of the id") {
  const auto id = example_hint().id;
  CHECK(known_mark(id) == id[0] + 256u * id[1] + 65536u * id[2]);
  auto other = id;
  other[3] ^= 1;
  CHECK(known_mark(other) == known_mark(id));
  other[2] ^= 1;
  CHECK(known_mark(other) != known_mark(id));
  Question question = example_question();
  question.known = {known_mark(id), 0, 0xffffff};
  CHECK(decoded<Question>(encode(question)).known == question.known);
}

TEST_CASE("hints with addresses that one cannot connect to are dropped, and the others stay in order") {
  const auto hint_at = [](const std::string& host, std::uint16_t port) {
    Hint hint = example_hint();
    hint.at = {host, port};
    return hint;
  };
  const Answer sent{kNonce, {},
                    {hint_at("10.0.0.1", 5), hint_at("10.0.0.2", 0), hint_at("0.0.0.0", 5), hint_at("224.0.0.1", 5),
                     hint_at("255.255.255.255", 5), hint_at("10.0.0.3", 65535)}};
  const auto got = decoded<Answer>(encode(sent));
  REQUIRE(got.hints.size() == 2);
  CHECK(got.hints[0].at.text() == "10.0.0.1:5");
  CHECK(got.hints[1].at.text() == "10.0.0.3:65535");
}

TEST_CASE("hints that are not IPv4 are not sent") {
  Answer answer{kNonce, {}, {}};
  for (const char* host : {"2001:db8::1", "", "10.0.0", "10.0.0.1.2", "10.0.0.256", "10.0.0.", "host.example", "10.0.0.1 "}) {
    Hint hint = example_hint();
    hint.at.host = host;
    answer.hints = {hint, example_hint()};
    const auto got = decoded<Answer>(encode(answer));
    INFO(host);
    REQUIRE(got.hints.size() == 1);
    CHECK(got.hints[0].at == example_hint().at);
  }
}

TEST_CASE("questions and fetches are filled up to the length that is asked, and never beyond a datagram") {
  Question question = example_question();
  for (const bool published : {false, true}) {
    if (published) question.entry = example_sealed();
    const Fetch fetch{kNonce, question.task, {}};
    for (const Message& message : {Message(question), Message(fetch)}) {
      const std::size_t bare = encode(message).size();
      for (std::size_t bytes = 0; bytes <= 1500; ++bytes) {
        const std::size_t size = encode(message, bytes).size();
        // A filling of 255 has a header of two bytes, one of 256 of three: the length between them cannot be.
        const std::size_t wanted = std::max(bare, std::min(bytes, kMost)) + (bytes == bare + 256);
        INFO("asked " << bytes << ", bare " << bare);
        REQUIRE(size == wanted);
        REQUIRE(size <= kMost);
      }
    }
  }
}

TEST_CASE("answers, descriptions and notices are not filled up") {
  for (const Message& message : {Message(Answer{kNonce, {}, {example_hint()}}), Message(Described{kNonce, {}, {}}),
                                 Message(Notice{kNonce, example_sealed()})}) {
    CHECK(encode(message, 1000) == encode(message));
  }
}

TEST_CASE("the largest datagram of each kind fits, and a question of the least length earns a full answer") {
  Question question = example_question();
  question.nonce = question.target.classes = ~0ull;
  question.within_milli = 1'000'000;
  question.entry = largest_entry();
  question.known.assign(Question::kMostKnown, 0xffffff);
  const std::vector<Message> largest = {
      question, Answer{~0ull, largest_entry(), std::vector(Answer::kMaxHints, example_hint())}, Fetch{~0ull, {}, kPrefix},
      Described{~0ull, largest_entry(), Bytes(kMaxDescriptionBytes)}, Notice{~0ull, largest_entry()}};
  for (const auto& message : largest) {
    INFO("kind " << message.index());
    CHECK(encode(message).size() <= kMost);
    CHECK(encode(message, 5000).size() <= kMost);
    CHECK(decode(encode(message)));
  }
  CHECK(encode(largest[1]).size() == 1133);
  CHECK(encode(largest[1]).size() <= kAmplification * kQuestionBytes);
  CHECK(encode(question, kQuestionBytes).size() >= kQuestionBytes);
  CHECK(encode(example_question(), kQuestionBytes).size() >= kQuestionBytes);
}

TEST_CASE("a question with a field out of bounds is refused") {
  check_bounds(kQuestion, {{0, {number(5), number(-1), text("0")}},
                           {1, {number(-1), text("nonce")}},
                           {2, {binary(0), binary(15), binary(17), binary(32), text(std::string(16, 'a'))}},
                           {3, {binary(0), binary(7), binary(9), text("presence"), number(0)}},
                           {4, {number(3), number(-1), number(256), flag(true)}},
                           {5, {number(0), number(1)}},
                           {6, {binary(161), binary(163), text(std::string(162, 'a'))}},
                           {7, {number(-1), flag(true)}},
                           {8, {number(0), number(1)}},
                           {9, {number(1'000'001), number(-1), big(1ull << 32)}},
                           {10, {binary(397), text("entry")}},
                           {11, {binary(1), binary(95), binary(99), text(""), number(0)}},
                           {12, {text(""), number(0)}}});
  CHECK(decode(made(kQuestion, 9, number(1'000'000))));
}

TEST_CASE("an answer with a field out of bounds is refused") {
  check_bounds(kAnswer, {{1, {number(-1)}},
                         {2, {binary(397), text("")}},
                         {3, {binary(1), binary(35), binary(37), text("")}}});
  // One hint too many, where the datagram would hold it.
  Encoder out;
  out.array(4).integer(1).integer(1).binary({}).binary(Bytes((Answer::kMaxHints + 1) * Hint::kBytes));
  const Bytes many = out.take();
  REQUIRE(many.size() <= kMost);
  check_refused(many);
  // Neither live nor archived.
  Bytes neither(Hint::kBytes);
  neither[8] = 2;
  check_refused(made(kAnswer, 3, [&](Encoder& to) { to.binary(neither); }));
  CHECK(decoded<Answer>(made(kAnswer, 3, binary(Answer::kMaxHints * Hint::kBytes))).hints.empty());  // 0.0.0.0:0 all
  // No distance.
  for (const float bad : {-1.f, -std::numeric_limits<float>::denorm_min(), std::numeric_limits<float>::quiet_NaN(),
                          std::numeric_limits<float>::infinity()}) {
    Hint hint = example_hint();
    hint.remoteness = bad;
    check_refused(encode(Answer{kNonce, {}, {hint}}));
  }
}

TEST_CASE("a fetch, a description or a notice with a field out of bounds is refused") {
  check_bounds(kFetch, {{1, {number(-1)}}, {2, {binary(15), binary(32)}}, {3, {binary(7), binary(9), number(0)}}, {4, {number(0), text("")}}});
  check_bounds(kDescribed, {{1, {number(-1)}}, {2, {binary(397), text("")}}, {3, {text(""), number(0)}}});
  check_bounds(kNotice, {{1, {number(-1)}}, {2, {binary(397), text("")}}});
  // A description of one byte more where the datagram would hold it.
  Encoder out;
  out.array(4).integer(3).integer(1).binary({}).binary(Bytes(kMaxDescriptionBytes + 1));
  check_refused(out.take());
}

TEST_CASE("what is no array of a known kind is refused, and so is what is longer than a datagram or cut short") {
  check_refused({});
  check_refused(Bytes{0xc0});
  check_refused(Bytes{0x90});
  check_refused(Bytes{0x91, 0x00});
  check_refused(Bytes{0x80});
  check_refused(Bytes{0xdd, 0xff, 0xff, 0xff, 0xff});
  check_refused(Bytes{0x93, 0x04, 0x01, 0xc6, 0xff, 0xff, 0xff, 0xff});
  Encoder out;
  out.array(5).integer(2).integer(1).binary(Bytes(16)).binary(Bytes(8)).binary(Bytes(kMost - 34));
  const Bytes full = out.take();
  REQUIRE(full.size() == kMost);
  CHECK(decode(full));
  Encoder longer;
  longer.array(5).integer(2).integer(1).binary(Bytes(16)).binary(Bytes(8)).binary(Bytes(kMost - 33));
  check_refused(longer.take());

  for (const Message& message : {Message(example_question()), Message(Answer{kNonce, example_sealed(), {example_hint()}}),
                                 Message(Fetch{kNonce, {}, {}}), Message(Described{kNonce, {}, Bytes(50)}),
                                 Message(Notice{kNonce, example_sealed()})}) {
    Bytes bytes = encode(message);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      REQUIRE_FALSE(decode(Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size))));
    }
    bytes.push_back(0);
    check_refused(bytes);
  }
}

TEST_CASE("random bytes and flipped bits are refused or read as a message within bounds") {
  const auto seed = metadata::testing::test_seed();
  P2P_SHOW_SEED(seed);
  Random random(seed);
  const std::vector<Bytes> good = {encode(example_question(), 300), encode(Answer{kNonce, example_sealed(), {example_hint()}}),
                                   encode(Fetch{kNonce, {}, {}}), encode(Described{kNonce, {}, Bytes(50)}),
                                   encode(Notice{kNonce, example_sealed()})};
  for (int round = 0; round < 20000; ++round) {
    Bytes bytes = good[random.below(good.size())];
    if (round % 5 == 0) {
      bytes.resize(random.below(1300));
      for (auto& b : bytes) b = static_cast<std::uint8_t>(random.next());
    }
    for (auto n = random.below(6); n > 0 && !bytes.empty(); --n) {
      // Mostly at the beginning, where the headers are.
      bytes[random.below(random.below(2) ? bytes.size() : std::min<std::size_t>(30, bytes.size()))] ^=
          static_cast<std::uint8_t>(1u << random.below(8));
    }
    const auto message = decode(bytes);
    if (!message) continue;
    const Bytes again = encode(*message);
    REQUIRE(again.size() <= kMost);
    REQUIRE(decode(again));
  }
}

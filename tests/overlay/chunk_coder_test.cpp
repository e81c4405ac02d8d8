#include <catch2/catch.hpp>

#define ZSTD_STATIC_LINKING_ONLY  // ZSTD_decompressBound
#include <zstd.h>

#include <set>

#include "overlay/chunk_coder.hpp"
#include "overlay/lineage.hpp"
#include "tests/overlay/support.hpp"

namespace p2p::overlay {
namespace {

using test::Pair;
using test::Party;

/// Numbers at eight bits, and the same a little later: a third of them have moved by a step.
Bytes numbers(std::size_t size, std::uint64_t seed) {
  Random random(seed);
  Bytes out(size);
  for (auto& byte : out) byte = static_cast<std::uint8_t>(static_cast<int>(40 * random.normal()));
  return out;
}
Bytes later(Bytes bytes, std::uint64_t seed) {
  Random random(seed);
  for (auto& byte : bytes) {
    if (random.below(3) == 0) byte = static_cast<std::uint8_t>(byte + (random.below(2) == 0 ? 1 : 255));
  }
  return bytes;
}
Bytes cut(const Bytes& content, ChunkCoder::Piece piece) {
  const auto first = content.begin() + static_cast<std::ptrdiff_t>(piece.offset);
  return {first, first + static_cast<std::ptrdiff_t>(piece.length)};
}

TEST_CASE("A chunk comes out as it went in, however it was packed") {
  ChunkCoder coder;
  std::set<Coding> seen;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    Random random(seed);
    const auto size = 1 + random.below(300'000);
    Bytes content = random.below(3) == 0 ? test::random_bytes(size, seed) : numbers(size, seed);
    Bytes base = random.below(4) == 0 ? Bytes{} : later(content, seed);
    if (random.below(3) == 0) base.resize(random.below(2 * size));
    if (random.below(3) == 0 && base.size() > 10) base.insert(base.begin() + 5, 3, 9);
    const std::uint64_t offset = random.below(size);
    const ChunkCoder::Piece piece{offset, 1 + random.below(std::min<std::uint64_t>(size - offset, 65536))};
    const auto packed = coder.pack(content, piece, base);
    seen.insert(packed.coding);
    CHECK(packed.bytes.size() <= piece.length);
    const auto back = ChunkCoder().unpack(packed, piece, base);
    REQUIRE(back);
    CHECK(*back == cut(content, piece));
  }
  CHECK(seen.size() == 4);
}

TEST_CASE("Numbers that moved by a step travel as differences in a third of their bytes") {
  ChunkCoder coder;
  const Bytes before = numbers(20'000, 1), now = later(before, 2);
  const auto alone = coder.pack(now, {0, now.size()}, {});
  const auto packed = coder.pack(now, {0, now.size()}, before);
  CHECK(packed.coding == Coding::difference);
  CHECK(packed.bytes.size() * 3 < now.size());
  CHECK(packed.bytes.size() * 2 < alone.bytes.size());
}

TEST_CASE("A block that grew in its middle travels as a patch") {
  ChunkCoder coder;
  const Bytes before = test::random_bytes(20'000, 1);
  Bytes now = before;
  now.insert(now.begin() + 700, 55, 7);
  const auto packed = coder.pack(now, {0, now.size()}, before);
  CHECK(packed.coding == Coding::patch);
  CHECK(packed.bytes.size() < 200);
}

TEST_CASE("What does not become shorter travels as it is") {
  ChunkCoder coder;
  const Bytes content = test::random_bytes(60'000, 1), other = test::random_bytes(60'000, 2);
  for (const auto& base : {Bytes{}, other}) {
    const auto packed = coder.pack(content, {0, content.size()}, base);
    CHECK(packed.coding == Coding::plain);
    CHECK(packed.bytes.empty());
    CHECK(packed.lent.data() == content.data());
    CHECK(packed.lent.size() == content.size());
  }
}

TEST_CASE("A frame that stands for another length than was asked for is malformed") {
  ChunkCoder coder;
  const Bytes content(50'000, 7);
  const auto packed = coder.pack(content, {0, 50'000}, {});
  REQUIRE(packed.coding == Coding::packed);
  for (const std::size_t length : {1u, 49'999u, 50'001u, 60'000u}) {
    CHECK(coder.unpack(packed, {0, length}, {}).error().code == ErrorCode::malformed);
  }
  CHECK(coder.unpack({Coding::plain, Bytes(9)}, {0, 10}, {}).error().code == ErrorCode::malformed);
}

TEST_CASE("A few bytes that would unpack to a gigabyte are malformed, and cost no more than what was asked for") {
  // A zstd frame of run-length blocks, each of which stands for 128 KB of zeros.
  Bytes bomb = *from_hex("28b52ffd" "0058");
  for (int i = 0; i < 8192; ++i) {
    const Bytes block = *from_hex("020010" "00");
    bomb.insert(bomb.end(), block.begin(), block.end());
  }
  const Bytes last = *from_hex("030010" "00");
  bomb.insert(bomb.end(), last.begin(), last.end());
  REQUIRE(ZSTD_decompressBound(bomb.data(), bomb.size()) == 8193ull * 131'072);  // zstd takes it for sound
  for (const auto coding : {Coding::packed, Coding::patch, Coding::difference}) {
    const auto back = ChunkCoder().unpack({coding, bomb}, {0, 65536}, Bytes(100, 1));
    REQUIRE_FALSE(back);
    CHECK(back.error().code == ErrorCode::malformed);
  }
}

TEST_CASE("A change of what is not here is malformed") {
  ChunkCoder coder;
  const Bytes before = numbers(5000, 1), now = later(before, 2);
  const auto packed = coder.pack(now, {0, now.size()}, before);
  REQUIRE(packed.coding == Coding::difference);
  CHECK(coder.unpack(packed, {0, now.size()}, {}).error().code == ErrorCode::malformed);
}

TEST_CASE("Damaged frames are malformed or give the length that was asked for") {
  ChunkCoder coder;
  Random random(5);
  const Bytes before = numbers(5000, 1), now = later(before, 2);
  int malformed = 0;
  for (int round = 0; round < 3000; ++round) {
    auto packed = coder.pack(now, {0, now.size()}, round % 2 == 0 ? ByteView(before) : ByteView());
    for (auto flips = 1 + random.below(3); flips > 0; --flips) {
      packed.bytes[random.below(packed.bytes.size())] = static_cast<std::uint8_t>(random.next());
    }
    if (random.below(4) == 0) packed.bytes.resize(random.below(packed.bytes.size()));
    packed.coding = static_cast<Coding>(1 + random.below(3));
    const auto back = coder.unpack(packed, {0, now.size()}, before);
    if (back) {
      CHECK(back->size() == now.size());
    } else {
      ++malformed;
    }
  }
  CHECK(malformed > 500);
}

/// A part whose blocks have moved on.
std::shared_ptr<const Offer> next_version(const Offer& offer, std::uint64_t seed) {
  auto out = std::make_shared<Offer>(offer);
  for (auto& block : out->blocks) block.content = later(block.content, seed);
  return out;
}
std::shared_ptr<const Offer> offer_of_numbers(const std::vector<std::size_t>& sizes) {
  auto out = std::make_shared<Offer>(*test::offer_of(sizes));
  for (std::size_t i = 0; i < sizes.size(); ++i) out->blocks[i].content = numbers(sizes[i], i + 1);
  return out;
}
bool same(const PulledPart& part, const Offer& offer) {
  bool all = part.blocks.size() == offer.blocks.size();
  for (std::size_t i = 0; all && i < offer.blocks.size(); ++i) all = part.blocks[i].content == offer.blocks[i].content;
  return all;
}

TEST_CASE("The next version of a part from the same holder travels as what has changed, also long after") {
  const Duration between = GENERATE(Duration(1s), Duration(300s));
  Pair net;
  Party asker(net.simulation, net.a()), helper(net.simulation, net.b());
  helper.offer = offer_of_numbers({3000, 200'000, 70'000});
  const auto first = asker.pull(helper.peer());
  net.simulation.run_for(between);
  REQUIRE(first->ok());
  CHECK(same(first->value(), *helper.offer));
  CHECK(first->value().bytes_unpacked == 273'000);
  CHECK(first->value().bytes_received > 200'000);
  helper.offer = next_version(*helper.offer, 9);
  const auto second = asker.pull(helper.peer());
  net.simulation.run_for(2s);
  REQUIRE(second->ok());
  CHECK(same(second->value(), *helper.offer));
  CHECK(second->value().bytes_unpacked == 273'000);
  CHECK(second->value().bytes_received < 91'000);
}

TEST_CASE("A holder that has forgotten the older version sends the new one whole") {
  Pair net;
  ExchangeLimits forgetful;
  forgetful.store_bytes = 0;
  Party asker(net.simulation, net.a()), helper(net.simulation, net.b(), forgetful);
  helper.offer = offer_of_numbers({100'000});
  const auto first = asker.pull(helper.peer());
  net.simulation.run_for(40s);
  REQUIRE(first->ok());
  helper.offer = next_version(*helper.offer, 9);
  const auto second = asker.pull(helper.peer());
  net.simulation.run_for(5s);
  REQUIRE(second->ok());
  CHECK(same(second->value(), *helper.offer));
  CHECK(second->value().bytes_received > 70'000);
}

TEST_CASE("A lineage knows the latest versions of the parts that were pulled last, by holder and task") {
  Lineage lineage;
  const auto part = [](std::uint8_t holder, std::uint8_t task) {
    metadata::NodeId id;
    id.bytes.fill(holder);
    return Lineage::Part{id, test::task_id(task)};
  };
  const auto hash = [](std::string_view text) { return metadata::sha256(view(text)); };
  lineage.note(part(1, 1), {{"a", hash("1")}, {"b", hash("2")}});
  lineage.note(part(1, 2), {{"a", hash("3")}});
  lineage.note(part(1, 1), {{"a", hash("4")}});
  CHECK(lineage.before(part(1, 1), "a") == hash("4"));
  CHECK(lineage.before(part(1, 1), "b") == hash("2"));
  CHECK(lineage.before(part(1, 2), "a") == hash("3"));
  CHECK_FALSE(lineage.before(part(1, 2), "b"));
  CHECK_FALSE(lineage.before(part(2, 1), "a"));
  for (std::uint8_t i = 0; i < Lineage::kMostParts - 1; ++i) lineage.note(part(100, static_cast<std::uint8_t>(i + 10)), {});
  CHECK(lineage.before(part(1, 1), "a"));
  lineage.note(part(101, 1), {});
  CHECK_FALSE(lineage.before(part(1, 1), "a"));
}

}  // namespace
}  // namespace p2p::overlay

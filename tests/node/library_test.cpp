#include "overlay/node/library.hpp"

#include <catch2/catch.hpp>

#include "tests/node/learners.hpp"

using namespace p2p;
using namespace p2p::testing;
using node::Library;

namespace {

metadata::Fingerprint lived(const metadata::Task& task, std::uint64_t place, const Concept& what, int samples = 400) {
  Stream stream(kWorld, place);
  stream.set(what, kAll);
  return experience(task, stream, samples);
}

learner::Part part_of(const metadata::Task& task, const Concept& what) {
  Stream stream(kWorld, 3);
  stream.set(what, kAll);
  return trained(task, stream, 300)->partition({});
}

}  // namespace

TEST_CASE("A concept that is archived again takes the place of what was known of it", "[library]") {
  const auto task = make_task(kWorld);
  Library library({});
  const auto first = library.archive(part_of(task, {}), lived(task, 1, {}), 500);
  const auto other = library.archive(part_of(task, rotated(5)), lived(task, 2, rotated(5)), 900);
  REQUIRE(first == 1);
  REQUIRE(other == 2);
  REQUIRE(library.archive(part_of(task, {}), lived(task, 4, {}), 1500) == first);
  REQUIRE(library.all().size() == 2);
  REQUIRE(library.find(first)->archived_at == 1500);
}

TEST_CASE("The archived concept that a window is of comes first", "[library]") {
  const auto task = make_task(kWorld);
  Library library({});
  library.archive(part_of(task, {}), lived(task, 1, {}), 500);
  const auto turned = library.archive(part_of(task, rotated(5)), lived(task, 2, rotated(5)), 900);
  int right = 0;
  constexpr int kTries = 40;
  for (int i = 0; i < kTries; ++i) {
    metadata::Need need;
    need.experience = lived(task, 100 + static_cast<std::uint64_t>(i), rotated(5), 100);
    const auto near = library.near(need, 4);
    right += near.size() == 2 && near[0].archived->id == turned;
  }
  REQUIRE(right >= 36);
}

TEST_CASE("When the library is full, what came back least often and was not needed for longest goes", "[library]") {
  const auto task = make_task(kWorld);
  Library library({.concepts = 3});
  const auto a = library.archive(part_of(task, rotated(1)), lived(task, 1, rotated(1)), 100);
  const auto b = library.archive(part_of(task, rotated(2)), lived(task, 2, rotated(2)), 200);
  const auto c = library.archive(part_of(task, rotated(3)), lived(task, 3, rotated(3)), 300);
  library.used(a, 400);
  library.used(c, 350);
  const auto d = library.archive(part_of(task, rotated(4)), lived(task, 4, rotated(4)), 500);
  REQUIRE(library.find(b) == nullptr);
  REQUIRE(library.find(d) != nullptr);  // the newest stays, though it was of no use yet
  const auto e = library.archive(part_of(task, rotated(5)), lived(task, 5, rotated(5)), 600);
  REQUIRE(library.find(d) == nullptr);
  REQUIRE(library.find(a));
  REQUIRE(library.find(c));
  REQUIRE(library.find(e));
}

TEST_CASE("A library never holds more bytes than it may, and refuses a concept that alone is larger", "[library]") {
  const auto task = make_task(kWorld);
  const auto part = part_of(task, {});
  const auto one = node::Archived{.part = part, .fingerprint = lived(task, 1, {})}.bytes();
  Library two({.bytes = 2 * one + one / 2});
  for (std::uint64_t i = 1; i <= 5; ++i) {
    REQUIRE(two.archive(part_of(task, rotated(i)), lived(task, i, rotated(i)), 100 * i) != 0);
    REQUIRE(two.bytes() <= 2 * one + one / 2);
  }
  REQUIRE(two.all().size() == 2);
  Library none({.bytes = one - 1});
  REQUIRE(none.archive(part, lived(task, 1, {}), 100) == 0);
  REQUIRE(none.bytes() == 0);
}

TEST_CASE("A library goes on from its bytes, and no damage to them is taken for a library", "[library]") {
  const auto task = make_task(kWorld);
  const auto classes = static_cast<std::uint32_t>(task.classes.size());
  Library library({});
  library.archive(part_of(task, rotated(1)), lived(task, 1, rotated(1)), 100);
  const auto b = library.archive(part_of(task, rotated(2)), lived(task, 2, rotated(2)), 200, true);
  library.used(b, 300);
  const auto bytes = library.encode();
  Library again({});
  REQUIRE(again.decode(bytes, task.embedding_dimensions, classes));
  REQUIRE(again.encode() == bytes);
  REQUIRE(again.find(b)->fetched);
  REQUIRE(again.bytes() == library.bytes());
  REQUIRE_FALSE(again.decode(bytes, task.embedding_dimensions + 1, classes));
  for (std::size_t size = 0; size < bytes.size(); size += 1 + size / 16) {
    REQUIRE_FALSE(again.decode(ByteView(bytes).first(size), task.embedding_dimensions, classes));
  }
  REQUIRE(again.encode() == bytes);
  auto newer = bytes;
  newer[0] = 99;
  REQUIRE(again.decode(newer, task.embedding_dimensions, classes).error().code == ErrorCode::version);
}

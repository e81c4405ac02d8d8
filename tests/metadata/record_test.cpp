#include "metadata/record.hpp"

#include <catch2/catch.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

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

/// A listing and its key, as a holder gets them a second after the entry was made.
struct Stored {
  explicit Stored(const Entry& entry, const KeyPair& key = example_key(), std::optional<Place> where = {})
      : place(where ? *where : example_place()),
        bytes(pack({place, seal(entry, key)})),
        check{.key = place_key(entry.task, place), .bytes = bytes, .old_bytes = {}, .now_ms = entry.version + 1000} {}
  Stored(const Stored&) = delete;

  StoreCheck over(const Stored& old) const {
    StoreCheck out = check;
    out.old_bytes = ByteView(old.bytes);
    return out;
  }
  Place place;
  Bytes bytes;
  StoreCheck check;
};

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
Bytes body_with(int field, const std::function<void(Encoder&)>& change, std::uint32_t fields = 11) {
  const Entry e = example_entry();
  Encoder out;
  out.array(fields);
  const std::function<void()> writers[] = {
      [&] { out.integer(4); },
      [&] { out.binary(e.task.bytes); },
      [&] { out.binary(e.node.bytes); },
      [&] { out.unsigned_integer(e.concept_id); },
      [&] { out.unsigned_integer(e.version); },
      [&] { out.array(2).text(e.endpoint.host).integer(e.endpoint.port); },
      [&] { out.integer(e.table_port); },
      [&] { out.binary(e.sketch.bytes); },
      [&] { out.unsigned_integer(e.samples); },
      [&] { out.unsigned_integer(e.accuracy); },
      [&] { out.binary(Bytes{0x0e, 0x08}); },
  };
  for (int i = 0; i < 11 && i < static_cast<int>(fields); ++i) {
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

TEST_CASE("an entry's recall is packed in pairs: an odd one is read back with a class not known behind it") {
  Entry entry = example_entry();
  entry.recall = {15, 1, 8};
  const auto opened = open_entry(seal(entry, example_key()));
  REQUIRE(opened);
  CHECK(opened->recall == std::vector<std::uint8_t>{15, 1, 8, 0});
  entry.recall.clear();
  CHECK(open_entry(seal(entry, example_key()))->recall.empty());
}

TEST_CASE("the largest entry that there can be, and its listing, fit their bounds") {
  Entry entry = example_entry();
  entry.concept_id = ~0u;
  entry.version = ~0ull;
  entry.endpoint = {"2001:db8:1111:2222:3333:4444:5555:6666", 65535};
  entry.table_port = 65535;
  entry.sketch.bytes.fill(0xff);
  entry.samples = ~0u;
  entry.accuracy = 255;
  entry.recall.assign(Entry::kMaxListedClasses, 15);
  const Bytes bytes = seal(entry, example_key());
  CHECK(bytes.size() == 390);  // as FORMAT.md says
  CHECK(bytes.size() <= Entry::kMaxBytes);
  CHECK(*open_entry(bytes) == entry);
  const Bytes listing = pack({{Place::Kind::label, 1023, 0, 0}, bytes});
  CHECK(listing.size() == 400);
  CHECK(listing.size() <= Listing::kMaxBytes);
  CHECK(unpack_listing(listing)->entry == bytes);
  CHECK(pack({{Place::Kind::label, 65535, 0, 0}, Bytes(Entry::kMaxBytes)}).size() <= Listing::kMaxBytes);
}

TEST_CASE("an entry lists the classes that its node has seen twenty times, with their recall in fourteen steps") {
  Fingerprint f = example_fingerprint();
  f.classes = 5;
  f.joint.assign(10, 1);
  f.scale.assign(5, 0.01f);
  f.count = {19.75f, 20.f, 500.f, 0.f, 60.25f};
  f.accuracy = {1.f, 0.f, 1.f, 1.f, 0.5f};
  Sketch sketch;
  sketch.bytes[5] = 7;
  const Entry entry = entry_of(f, sketch);
  CHECK(entry.recall == std::vector<std::uint8_t>{0, 1, 15, 0, 8, 0});
  CHECK(entry.sketch == sketch);
  CHECK(entry.samples == 600);
  CHECK(entry.accuracy == std::lround(255 * f.overall_accuracy()));
  CHECK(entry.listed_recall(0) == 0);
  CHECK(entry.listed_recall(1) == 0);
  CHECK(entry.listed_recall(2) == 1);
  CHECK(entry.listed_recall(4) == 0.5);
  CHECK(entry.listed_recall(6) == 0);  // none behind
  CHECK(entry.listed_recall(-1) == 0);
  CHECK(entry.knows() == (1ull << 2 | 1ull << 4));
}

TEST_CASE("classes beyond 64 are folded onto them, and the best known counts") {
  Fingerprint f;
  f.dimensions = 1;
  f.classes = 200;
  f.joint.assign(200, 1);
  f.scale.assign(200, 0.001f);
  f.count.assign(200, 0.f);
  f.accuracy.assign(200, 0.f);
  const auto know = [&](std::size_t c, float recall) {
    f.count[c] = 100;
    f.accuracy[c] = recall;
  };
  know(3, 0.25f);
  know(64 + 3, 1.f);
  know(128 + 3, 0.5f);
  know(128 + 7, 0.75f);
  know(63, 0.5f);
  const Entry entry = entry_of(f, {});
  REQUIRE(entry.recall.size() == Entry::kMaxListedClasses);
  CHECK(entry.listed_recall(3) == 1);
  CHECK(entry.listed_recall(64 + 3) == 1);
  CHECK(entry.listed_recall(128 + 7) == Approx(0.75).margin(0.04));
  CHECK(entry.knows() == (1ull << 3 | 1ull << 7 | 1ull << 63));
  CHECK(entry.knows() == class_mask(std::vector<std::int32_t>{67, 135, 63}));
}

TEST_CASE("an entry that another key signed, or for another purpose, is untrusted") {
  const auto refused = [](const Bytes& bytes) {
    const auto entry = open_entry(bytes);
    REQUIRE_FALSE(entry);
    return entry.error().code;
  };
  const Bytes body = body_with(-1, {});
  REQUIRE(open_entry(forged("p2p-learner entry v4", body, example_key())));
  CHECK(refused(forged("p2p-learner entry v4", body, example_key(1))) == ErrorCode::untrusted);
  CHECK(refused(forged("p2p-learner description v2", body, example_key())) == ErrorCode::untrusted);
  CHECK(refused(forged("", body, example_key())) == ErrorCode::untrusted);
}

TEST_CASE("an entry with a field that cannot be is refused although its node signed it") {
  const auto refused = [](int field, const std::function<void(Encoder&)>& change, std::uint32_t fields = 11) {
    const auto entry = open_entry(forged("p2p-learner entry v4", body_with(field, change, fields), example_key()));
    REQUIRE_FALSE(entry);
    return entry.error().code;
  };
  const auto endpoint = [](std::string host, std::int64_t port) {
    return [=](Encoder& out) { out.array(2).text(host).integer(port); };
  };
  CHECK(refused(0, [](Encoder& out) { out.integer(5); }) == ErrorCode::version);
  CHECK(refused(0, [](Encoder& out) { out.integer(3); }) == ErrorCode::version);
  CHECK(refused(0, [](Encoder& out) { out.nil(); }) == ErrorCode::malformed);
  CHECK(refused(1, [](Encoder& out) { out.binary(Bytes(15)); }) == ErrorCode::malformed);
  CHECK(refused(1, [](Encoder& out) { out.binary(Bytes(32)); }) == ErrorCode::malformed);
  CHECK(refused(2, [](Encoder& out) { out.binary(Bytes(33)); }) == ErrorCode::malformed);
  CHECK(refused(3, [](Encoder& out) { out.integer(-1); }) == ErrorCode::malformed);
  CHECK(refused(3, [](Encoder& out) { out.unsigned_integer(1ull << 32); }) == ErrorCode::malformed);
  CHECK(refused(3, [](Encoder& out) { out.binary(Bytes(4)); }) == ErrorCode::malformed);
  CHECK(refused(4, [](Encoder& out) { out.integer(-1); }) == ErrorCode::malformed);
  CHECK(refused(5, endpoint("192.0.2.7", 0)) == ErrorCode::malformed);
  CHECK(refused(5, endpoint("192.0.2.7", 65536)) == ErrorCode::malformed);
  CHECK(refused(5, endpoint("evil.example", 80)) == ErrorCode::malformed);
  CHECK(refused(5, endpoint("0.0.0.0", 80)) == ErrorCode::malformed);
  CHECK(refused(5, endpoint(std::string(46, '1'), 80)) == ErrorCode::malformed);
  CHECK(refused(5, [](Encoder& out) { out.array(1).text("192.0.2.7"); }) == ErrorCode::malformed);
  CHECK(refused(6, [](Encoder& out) { out.integer(0); }) == ErrorCode::malformed);
  CHECK(refused(6, [](Encoder& out) { out.integer(65536); }) == ErrorCode::malformed);
  CHECK(refused(7, [](Encoder& out) { out.binary(Bytes(161)); }) == ErrorCode::malformed);
  CHECK(refused(7, [](Encoder& out) { out.binary(Bytes(163)); }) == ErrorCode::malformed);
  CHECK(refused(8, [](Encoder& out) { out.unsigned_integer(1ull << 32); }) == ErrorCode::malformed);
  CHECK(refused(8, [](Encoder& out) { out.real(5); }) == ErrorCode::malformed);
  CHECK(refused(9, [](Encoder& out) { out.integer(256); }) == ErrorCode::malformed);
  CHECK(refused(10, [](Encoder& out) { out.binary(Bytes(33)); }) == ErrorCode::malformed);
  CHECK(refused(10, [](Encoder&) {}, 10) == ErrorCode::malformed);
}

TEST_CASE("peeking reads an entry whoever signed it, and refuses what opening refuses for its shape") {
  const Bytes stolen = forged("p2p-learner entry v4", body_with(-1, {}), example_key(1));
  REQUIRE(peek_entry(stolen));
  CHECK(*peek_entry(stolen) == example_entry());
  REQUIRE_FALSE(open_entry(stolen));
  const Bytes shapeless =
      forged("p2p-learner entry v4", body_with(7, [](Encoder& out) { out.binary(Bytes(31)); }), example_key());
  REQUIRE_FALSE(peek_entry(shapeless));
  CHECK(peek_entry(shapeless).error().code == ErrorCode::malformed);
}

TEST_CASE("a listing unpacks as what was packed, its prefix taken from the entry's sketch") {
  const Entry entry = example_entry();
  const Bytes sealed = seal(entry, example_key());
  for (const Place& place : {place_of(entry.sketch, Place::Kind::joint, 0, 0), place_of(entry.sketch, Place::Kind::joint, 1, 24),
                             place_of(entry.sketch, Place::Kind::marginal, 0, 9), Place{Place::Kind::label, 1023, 0, 0}}) {
    const auto listing = unpack_listing(pack({place, sealed}));
    REQUIRE(listing);
    CHECK(listing->place == place);
    CHECK(listing->entry == sealed);
  }
  Place lie = place_of(entry.sketch, Place::Kind::joint, 1, 24);
  const Place truth = lie;
  lie.prefix ^= 1;
  CHECK(unpack_listing(pack({lie, sealed}))->place == truth);
}

TEST_CASE("a listing with a field that cannot be is refused") {
  const Bytes sealed = seal(example_entry(), example_key());
  const auto refused = [](const std::function<void(Encoder&)>& write) {
    Encoder out;
    write(out);
    const auto listing = unpack_listing(out.take());
    REQUIRE_FALSE(listing);
    CHECK_FALSE(listing.error().message.empty());
    return listing.error().code;
  };
  const auto fields = [&](std::int64_t kind, std::int64_t table, std::int64_t depth) {
    return [=, &sealed](Encoder& out) { out.array(5).integer(1).integer(kind).integer(table).integer(depth).binary(sealed); };
  };
  Encoder good;
  fields(0, 1, 3)(good);
  REQUIRE(unpack_listing(good.take()));
  CHECK(refused(fields(3, 0, 0)) == ErrorCode::malformed);
  CHECK(refused(fields(256, 0, 0)) == ErrorCode::malformed);
  CHECK(refused(fields(-1, 0, 0)) == ErrorCode::malformed);
  CHECK(refused(fields(0, 2, 3)) == ErrorCode::malformed);
  CHECK(refused(fields(0, 65536, 3)) == ErrorCode::malformed);
  CHECK(refused(fields(0, 1, 4)) == ErrorCode::malformed);
  CHECK(refused(fields(0, 1, 27)) == ErrorCode::malformed);
  CHECK(refused(fields(0, 1, 256 + 3)) == ErrorCode::malformed);
  CHECK(refused(fields(1, 1, 3)) == ErrorCode::malformed);
  CHECK(refused(fields(2, 1, 3)) == ErrorCode::malformed);
  CHECK(refused([&](Encoder& out) { out.array(5).integer(2).integer(0).integer(1).integer(3).binary(sealed); }) ==
        ErrorCode::version);
  CHECK(refused([&](Encoder& out) { out.array(5).nil().integer(0).integer(1).integer(3).binary(sealed); }) ==
        ErrorCode::malformed);
  CHECK(refused([&](Encoder& out) { out.array(4).integer(1).integer(0).integer(1).integer(3); }) == ErrorCode::malformed);
  CHECK(refused([&](Encoder& out) { out.array(5).integer(1).integer(0).integer(1).integer(3).text("entry"); }) ==
        ErrorCode::malformed);
  CHECK(refused([&](Encoder& out) { out.array(5).integer(1).integer(0).integer(1).integer(3).binary(Bytes(9)); }) ==
        ErrorCode::malformed);
  CHECK(refused([&](Encoder& out) { out.array(6).integer(1).integer(0).integer(1).integer(3).binary(sealed).nil(); }) ==
        ErrorCode::limit_exceeded);
}

TEST_CASE("an entry belongs under its sketch's prefixes and under the classes that it knows well, and nowhere else") {
  const Entry entry = example_entry();  // recall 13/14, not known, 1/2
  for (std::uint8_t depth = 0; depth <= Place::kMaxDepth; depth += Place::kLevelBits) {
    for (std::uint16_t t = 0; t < Place::kJointTables; ++t) {
      CHECK(belongs(entry, place_of(entry.sketch, Place::Kind::joint, t, depth)));
    }
    Place place = place_of(entry.sketch, Place::Kind::marginal, 0, depth);
    CHECK(belongs(entry, place));
    if (depth == 0) continue;
    place.prefix ^= 1u << (depth - 1);
    CHECK_FALSE(belongs(entry, place));
  }
  CHECK(belongs(entry, {Place::Kind::label, 0, 0, 0}));
  CHECK_FALSE(belongs(entry, {Place::Kind::label, 1, 0, 0}));
  CHECK(belongs(entry, {Place::Kind::label, 2, 0, 0}));
  CHECK_FALSE(belongs(entry, {Place::Kind::label, 3, 0, 0}));
  Entry barely = entry;
  barely.recall[2] = 7;  // 6/14
  CHECK_FALSE(belongs(barely, {Place::Kind::label, 2, 0, 0}));
  // Places that cannot be.
  CHECK_FALSE(belongs(entry, {Place::Kind::label, 0, 3, 0}));
  CHECK_FALSE(belongs(entry, {Place::Kind::label, 0, 0, 1}));
  CHECK_FALSE(belongs(entry, {Place::Kind::joint, 2, 3, 0}));
  CHECK_FALSE(belongs(entry, {Place::Kind::joint, 0, 2, place_of(entry.sketch, Place::Kind::joint, 0, 3).prefix & 3}));
  CHECK_FALSE(belongs(entry, {static_cast<Place::Kind>(3), 0, 0, 0}));
}

TEST_CASE("a holder stores one entry under each of its keys") {
  const Entry entry = example_entry();
  const auto stored = [&](const Place& place) { return may_store(Stored(entry, example_key(), place).check); };
  for (const std::uint8_t depth : {0, 3, 24}) {
    CHECK(stored(place_of(entry.sketch, Place::Kind::joint, 0, depth)));
    CHECK(stored(place_of(entry.sketch, Place::Kind::joint, 1, depth)));
    CHECK(stored(place_of(entry.sketch, Place::Kind::marginal, 0, depth)));
  }
  CHECK(stored({Place::Kind::label, 0, 0, 0}));
  CHECK(stored({Place::Kind::label, 2, 0, 0}));
}

TEST_CASE("a holder refuses an entry under a key that is none of its own") {
  const Entry entry = example_entry();
  const Stored good(entry);
  const auto under = [&](const DhtKey& key) {
    StoreCheck check = good.check;
    check.key = key;
    return may_store(check);
  };
  DhtKey flipped = good.check.key;
  flipped[19] ^= 1;
  CHECK(code_of(under(flipped)) == ErrorCode::untrusted);
  Place neighbour = good.place;
  neighbour.prefix ^= 1;
  CHECK(code_of(under(place_key(entry.task, neighbour))) == ErrorCode::untrusted);
  // One that it could be listed under, but not with these bytes.
  CHECK(code_of(under(place_key(entry.task, place_of(entry.sketch, Place::Kind::joint, 0, 3)))) == ErrorCode::untrusted);
  TaskTag other = entry.task;
  other.bytes[0] ^= 1;
  CHECK(code_of(under(place_key(other, good.place))) == ErrorCode::untrusted);
}

TEST_CASE("a holder refuses a listing under a prefix or a class that the entry does not bear out, although it is signed") {
  const Entry entry = example_entry();
  Place neighbour = example_place();
  neighbour.prefix ^= 1;
  CHECK(code_of(may_store(Stored(entry, example_key(), neighbour).check)) == ErrorCode::untrusted);
  CHECK(code_of(may_store(Stored(entry, example_key(), Place{Place::Kind::label, 1, 0, 0}).check)) == ErrorCode::untrusted);
  Entry barely = entry;
  barely.recall = {7, 0};
  CHECK(code_of(may_store(Stored(barely, example_key(), Place{Place::Kind::label, 0, 0, 0}).check)) == ErrorCode::untrusted);
}

TEST_CASE("a holder refuses junk, an entry without its listing, what is too long, and a damaged signature") {
  const Entry entry = example_entry();
  const Place place = example_place();
  const auto verdict = [&](const Bytes& bytes) {
    return code_of(may_store({place_key(entry.task, place), bytes, {}, entry.version}));
  };
  Bytes sealed = seal(entry, example_key());
  CHECK(verdict(sealed) == ErrorCode::malformed);
  sealed.back() ^= 1;
  CHECK(verdict(pack({place, sealed})) == ErrorCode::untrusted);
  CHECK(verdict({}) == ErrorCode::malformed);
  CHECK(verdict(Bytes(100, 0x41)) == ErrorCode::malformed);
  CHECK(verdict(Bytes(Listing::kMaxBytes + 1, 0xc0)) == ErrorCode::limit_exceeded);
  // A listing within its bound, of something longer than an entry may be.
  const Bytes long_entry(Entry::kMaxBytes + 1);
  const Bytes listing = pack({place, long_entry});
  REQUIRE(listing.size() <= Listing::kMaxBytes);
  CHECK(verdict(listing) == ErrorCode::limit_exceeded);
  CHECK(code_of(may_store({place_key(entry.task, {Place::Kind::label, 0, 0, 0}),
                           pack({{Place::Kind::label, 0, 0, 0}, long_entry}), {}, entry.version})) ==
        ErrorCode::limit_exceeded);
}

TEST_CASE("an entry may be as far from the holder's clock as the bound, in both directions, and no further") {
  const Entry entry = example_entry();
  const Stored stored(entry);
  auto check = stored.check;
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
  // Not even to refresh the very same bytes.
  check.old_bytes = check.bytes;
  CHECK(code_of(may_store(check)) == ErrorCode::untrusted);
}

TEST_CASE("a node replaces its own entry with a newer one, and an old one cannot be played back") {
  const Entry first = example_entry();
  Entry second = first;
  second.version += 5;
  second.samples += 100;
  const Stored old(first), fresh(second);
  CHECK(may_store(fresh.over(old)));
  CHECK(code_of(may_store(old.over(fresh))) == ErrorCode::untrusted);
}

TEST_CASE("the same bytes may be stored again, but not other bytes of the same version") {
  const Entry entry = example_entry();
  const Stored stored(entry);
  CHECK(may_store(stored.over(stored)));

  Entry twin = entry;
  twin.samples += 1;
  CHECK(code_of(may_store(Stored(twin).over(stored))) == ErrorCode::untrusted);
  // Nor the same entry in another packing of its listing: the bucket's number in two bytes.
  Bytes loose = stored.bytes;
  REQUIRE(loose[3] == 1);
  loose.insert(loose.begin() + 3, 0xcc);
  StoreCheck check = stored.check;
  check.bytes = loose;
  CHECK(may_store(check));
  check.old_bytes = ByteView(stored.bytes);
  CHECK(code_of(may_store(check)) == ErrorCode::untrusted);
}

TEST_CASE("equal bytes refresh nothing that their node never signed") {
  const Entry entry = example_entry();
  Bytes sealed = seal(entry, example_key());
  sealed.back() ^= 1;
  const Bytes bytes = pack({example_place(), sealed});
  CHECK(code_of(may_store({place_key(entry.task, example_place()), bytes, ByteView(bytes), entry.version})) ==
        ErrorCode::untrusted);
}

TEST_CASE("a node cannot replace another node's entry, however new its own is") {
  const Entry mine = example_entry();
  Entry theirs = mine;
  theirs.node = example_key(1).id();
  theirs.version += 5;
  const Stored stored(mine), intruder(theirs, example_key(1));
  REQUIRE(may_store(intruder.check));
  CHECK(code_of(may_store(intruder.over(stored))) == ErrorCode::untrusted);
}

TEST_CASE("an archived presence does not replace its node's live entry, nor that of another concept, and takes its own place") {
  Entry live = example_entry(), first = live, second = live, later = live;
  first.concept_id = 7;
  second.concept_id = 8;
  later.concept_id = 7;
  for (Entry* entry : {&first, &second}) entry->version += 5;
  later.version += 10;
  const Stored of_live(live), of_first(first), of_second(second), of_later(later);
  REQUIRE(may_store(of_first.check));
  CHECK(code_of(may_store(of_first.over(of_live))) == ErrorCode::untrusted);
  CHECK(code_of(may_store(of_later.over(of_second))) == ErrorCode::untrusted);
  CHECK(may_store(of_later.over(of_first)));
  CHECK(code_of(may_store(of_first.over(of_later))) == ErrorCode::untrusted);
}

TEST_CASE("a node goes by its id, and each of its archived concepts by a hash that no other one has") {
  Entry entry = example_entry();
  CHECK(entry.presence() == entry.node);
  std::set<NodeId> all{entry.node};
  for (const std::uint32_t concept_id : {1u, 2u, 0x01000000u, ~0u}) {
    entry.concept_id = concept_id;
    CHECK(all.insert(entry.presence()).second);
    CHECK(presence_of(entry.node, concept_id) == entry.presence());
    CHECK(all.insert(presence_of(example_key(1).id(), concept_id)).second);
    Description description = example_description();
    description.concept_id = concept_id;
    CHECK(description.presence() == entry.presence());
  }
}

TEST_CASE("junk that got under a key stands in nobody's way") {
  const Entry entry = example_entry();
  const Stored stored(entry);
  auto check = stored.check;
  const Bytes junk{1, 2, 3};
  check.old_bytes = ByteView(junk);
  CHECK(may_store(check));
  // So does an entry that names another node but was never signed by it.
  Entry stolen = entry;
  stolen.node = example_key(1).id();
  stolen.version += 1000;
  Bytes sealed = seal(stolen, example_key(1));
  sealed.back() ^= 1;
  const Bytes listing = pack({stored.place, sealed});
  check.old_bytes = ByteView(listing);
  CHECK(may_store(check));
  // And a sealed entry without its listing.
  const Bytes bare = seal(stolen, example_key(1));
  check.old_bytes = ByteView(bare);
  CHECK(may_store(check));
}

TEST_CASE("a description opens as what was sealed, and only as its node signed it") {
  const Description description = example_description();
  Bytes bytes = seal(description, example_key());
  const auto opened = open_description(bytes, 3);
  REQUIRE(opened);
  CHECK(opened->task == description.task);
  CHECK(opened->node == description.node);
  CHECK(opened->concept_id == 0);
  CHECK(opened->version == description.version);
  CHECK(opened->fingerprint == description.fingerprint);
  Description archived = description;
  archived.concept_id = ~0u;
  CHECK(open_description(seal(archived, example_key()), 3)->concept_id == ~0u);

  REQUIRE_FALSE(open_description(bytes, 2));  // a task with fewer classes
  CHECK(open_description(bytes, 2).error().code == ErrorCode::malformed);
  bytes[60] ^= 1;  // inside the node id
  REQUIRE_FALSE(open_description(bytes, 3));
  CHECK(open_description(bytes, 3).error().code == ErrorCode::untrusted);

  Encoder body;
  body.array(6).integer(2).binary(description.task.bytes).binary(description.node.bytes);
  body.integer(0).unsigned_integer(description.version).binary(encode(description.fingerprint));
  const Bytes body_bytes = body.take();
  REQUIRE(open_description(forged("p2p-learner description v2", body_bytes, example_key()), 3));
  const auto misused = open_description(forged("p2p-learner entry v4", body_bytes, example_key()), 3);
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
  const auto json = nlohmann::json::parse(twin_text(example_entry(), example_task(), "roof sensor", 0));
  CHECK(json["name"] == "roof sensor");
  CHECK(json["id"] == example_key().id().hex());
  CHECK(json["task"] == "pump");
  CHECK(json["endpoint"] == "192.0.2.7:4222");
  CHECK(json["samples"] == 200);
  CHECK(json["accuracy"] == Approx(0.83));
  CHECK(json["knows"].size() == 2);
  CHECK(json["knows"]["idle"] == Approx(0.93));
  CHECK(json["knows"]["worn"] == Approx(0.5));
  CHECK_FALSE(json.contains("more"));
  CHECK_FALSE(json.contains("remembers"));
  CHECK(nlohmann::json::parse(twin_text(example_entry(), example_task(), "", 3))["remembers"] == 3);
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
      task.classes.push_back(std::to_string(n));
      task.classes.back() += word(20);
      entry.recall.push_back(random.uniform() < 0.5 ? 0 : static_cast<std::uint8_t>(1 + random.below(15)));
      known += entry.recall.back() != 0;
    }
    entry.endpoint.host = "2001:db8:1111:2222:3333:4444:5555:6666";
    entry.samples = ~0u;
    const std::string text = twin_text(entry, task, word(80), random.below(4));
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
  entry.recall = {15};
  CHECK(nlohmann::json::parse(twin_text(entry, example_task(), "", 0))["knows"].size() == 1);
  entry.recall.assign(10, 15);
  CHECK(nlohmann::json::parse(twin_text(entry, example_task(), "", 0))["knows"].size() == 3);
}

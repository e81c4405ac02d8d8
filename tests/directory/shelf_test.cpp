// What one node keeps on the table: how deep, in how many places, and that it stays there.
#include "overlay/directory/shelf.hpp"

#include "tests/directory/support.hpp"

namespace p2p::directory {
namespace {

using namespace test;

/// A shelf on host 0 of twelve; others are planted.
struct Shelved {
  explicit Shelved(DhtDirectoryOptions with = {}) : net(12, 1, with) {}
  void make() {
    auto& host = net.simulation.host(0);
    shelf = std::make_unique<Shelf>(
        Shelf::Context{.executor = host.executor(),
                       .dht = host.dht(),
                       .task = net.tag,
                       .self = host.id(),
                       .value_id = [](const Place& place) { return 1 + std::uint64_t{place.prefix} * 64 + place.depth; },
                       .sealed =
                           [this] {
                             ++seals;
                             Entry fresh = entry;
                             fresh.version = net.simulation.host(0).executor().wall_ms();
                             return reachable ? metadata::seal(fresh, net.simulation.host(0).key()) : Bytes{};
                           },
                       .nodes = [this] { return nodes; },
                       .share_knowing = [this](std::int32_t c) { return std::pair(share[static_cast<std::size_t>(c)], std::size_t{20}); },
                       .on_met = [this](const Entry& met) { ++met_count[met.node]; }},
        Shelf::Options{.refresh = minutes(15), .crowd = 8, .label_listings = 2});
  }
  void publish(const Fingerprint& f) {
    entry = net.entry(net.simulation.host(0).key(), f, net.simulation.host(0).endpoint());
    if (!shelf) make();
    shelf->publish(entry);
  }
  /// `count` others of the same experience, in one bucket.
  void crowd(std::size_t count, const Place& place, const Fingerprint& f, double limit = 1) {
    std::size_t planted = 0;
    for (std::uint32_t i = 0; planted < count; ++i) {
      const auto key = key_of(i);
      if (metadata::lot(key.id(), place) >= limit) continue;
      net.plant(net.entry(key, f), place, key, 1000 + i);
      ++planted;
    }
  }
  Place place(Place::Kind kind, std::uint16_t table, std::uint8_t depth) const {
    return metadata::place_of(entry.sketch, kind, table, depth);
  }
  std::optional<Standing::Listed> listed(Place::Kind kind, std::uint16_t table = 0) const {
    for (const auto& one : shelf->listed()) {
      if (one.place.kind == kind && one.place.table == table) return one;
    }
    return std::nullopt;
  }
  std::size_t mine(const Place& at) {
    std::size_t count = 0;
    net.simulation.host(1).dht().get(
        metadata::place_key(net.tag, at),
        [&](const overlay::DhtValue& value) {
          const auto listing = metadata::unpack_listing(value.data);
          if (listing && metadata::peek_entry(listing->entry)->node == entry.node) ++count;
          return true;
        },
        [](bool) {});
    net.simulation.run_for(2s);
    return count;
  }

  Overlay net;
  std::unique_ptr<Shelf> shelf;
  Entry entry;
  double nodes = 12;
  bool reachable = true;
  std::array<double, kClasses> share{0, 0, 0};
  int seals = 0;
  std::map<metadata::NodeId, int> met_count;
};

TEST_CASE("A lone node is listed once in each table, at the root, and under its classes") {
  Shelved at;
  at.publish(experience());
  at.net.simulation.run_for(10s);
  const auto listed = at.shelf->listed();
  CHECK(listed.size() == 3 + 2);
  for (const auto& one : listed) {
    CHECK(one.listed);
    CHECK(one.place.depth == 0);
    CHECK(at.mine(one.place) == 8);
  }
}

TEST_CASE("Puts that fail are tried again, ever more rarely, until the table is there") {
  Shelved at;
  at.net.simulation.table().down = true;
  at.publish(experience());
  at.net.simulation.run_for(minutes(3));
  CHECK(at.net.copies(experience()) == 0);
  CHECK(at.net.log_lines("put failed") < 2 * 20);
  at.net.simulation.table().down = false;
  at.net.simulation.run_for(40s);
  CHECK(at.net.copies(experience()) == 5 * 8);
}

TEST_CASE("A node that cannot be reached yet is listed as soon as it can") {
  Shelved at;
  at.reachable = false;
  at.publish(experience());
  at.net.simulation.run_for(30s);
  CHECK(at.net.copies(experience()) == 0);
  at.reachable = true;
  at.net.simulation.run_for(5s);
  CHECK(at.net.copies(experience()) == 5 * 8);
}

TEST_CASE("An entry that reading back does not show is put anew, minutes and not a refresh later") {
  Shelved at;
  at.net.simulation.table().holders = 2;
  at.publish(experience());
  at.net.simulation.run_for(2s);
  std::vector<Place> places;
  for (const auto& one : at.shelf->listed()) {
    if (one.place.kind != Place::Kind::label) places.push_back(one.place);
  }
  REQUIRE(places.size() == 3);
  // Right after the first puts all holders but the node itself forget them.
  for (std::size_t i = 1; i < 12; ++i) {
    at.net.kill(i);
    at.net.start(i);
  }
  std::size_t lost = 0;
  for (const auto& place : places) lost += at.mine(place) == 0 ? 1 : 0;
  REQUIRE(lost > 0);
  at.net.simulation.run_for(90s);
  for (const auto& place : places) CHECK(at.mine(place) >= 1);
  // One look tells that it is missing and puts it, the next that it is there.
  at.net.simulation.run_for(minutes(2));
  for (const auto& one : at.shelf->listed()) {
    if (one.place.kind != Place::Kind::label) CHECK(one.confirmed);
  }
}

TEST_CASE("Where more than eight times the crowd belong, a node goes deeper, and lists itself above only with a low lot") {
  Shelved at;
  at.entry = at.net.entry(at.net.simulation.host(0).key(), experience());
  const Place root = at.place(Place::Kind::joint, 0, 0);
  // The sixteen lowest lots of two hundred.
  at.crowd(16, root, experience(), 16.0 / 200);
  at.publish(experience());
  at.net.simulation.run_for(20s);
  const auto own = at.listed(Place::Kind::joint);
  REQUIRE(own);
  // It is the first in the deeper bucket, and stays there, or the others would never follow.
  CHECK(own->place.depth == 3);
  CHECK(own->listed);
  CHECK(at.mine(own->place) == 8);
  const double lot = metadata::lot(at.entry.node, root);
  if (lot >= 8.0 / 100) CHECK(at.mine(root) == 0);
}

TEST_CASE("With a high lot among more than fit a node is not listed, and with a low one it is") {
  Shelved at;
  at.entry = at.net.entry(at.net.simulation.host(0).key(), experience());
  const Place root = at.place(Place::Kind::marginal, 0, 0);
  const double lot = metadata::lot(at.entry.node, root);
  CAPTURE(lot);
  // Six others whose lots say that 6 / limit belong here.
  const double limit = GENERATE(0.5, 0.65);
  at.crowd(6, root, experience(), limit);
  at.publish(experience());
  at.net.simulation.run_for(20s);
  const auto own = at.listed(Place::Kind::marginal);
  REQUIRE(own);
  CHECK(own->crowd >= 6);
  const bool should = lot < 8.0 / own->crowd;
  CHECK(own->listed == should);
  CHECK((at.mine(own->place) == 8) == should);
}

TEST_CASE("Whatever its sketch, a node is listed under at most nine keys of a table and two classes, and mostly under few") {
  double sum = 0;
  for (std::size_t i = 0; i < 40; ++i) {
    Shelved at;
    at.nodes = 1e9;  // it begins as deep as can be
    at.publish(one_of(40, i));
    at.net.simulation.run_for(60s);
    const auto listed = at.shelf->listed();
    const auto holding = std::count_if(listed.begin(), listed.end(), [](const auto& l) { return l.listed; });
    CHECK(holding <= 3 * 9 + 2);
    sum += static_cast<double>(holding);
    for (const auto& one : listed) CHECK(metadata::belongs(at.entry, one.place));
  }
  CHECK(sum / 40 < 3 * 2 + 2 + 1);
}

TEST_CASE("A class that everybody knows is listed by few, one that hardly anybody knows by all") {
  int common = 0, rare = 0;
  Shelved at;
  at.nodes = 400;
  at.share = {1, 1, 0.01};
  for (std::uint32_t i = 0; i < 1; ++i) {
    at.publish(experience());
    at.net.simulation.run_for(20s);
    for (const auto& one : at.shelf->listed()) {
      if (one.place.kind != Place::Kind::label || !one.listed) continue;
      (one.place.table == 2 ? rare : common) += 1;
    }
    for (std::uint16_t c = 0; c < 2; ++c) {
      const Place label{Place::Kind::label, c, 0, 0};
      CHECK((at.mine(label) > 0) == (metadata::lot(at.entry.node, label) < 8.0 / 400));
    }
  }
  CHECK(rare == 1);
}

TEST_CASE("Junk in a bucket costs at most kMostRead signatures, and hides neither who is there nor the node itself") {
  Shelved at;
  at.entry = at.net.entry(at.net.simulation.host(0).key(), experience());
  const Place root = at.place(Place::Kind::joint, 0, 0);
  at.crowd(3, root, experience());
  for (std::uint64_t i = 0; i < 20; ++i) {
    at.net.simulation.plant(metadata::place_key(at.net.tag, root), {50'000 + i, p2p::test::random_bytes(300, i)});
  }
  // Stale, of another bucket, of another task, and forged.
  const auto key = key_of(700);
  auto stale = at.net.entry(key_of(0), experience());
  stale.version -= 3'600'000;
  at.net.plant(stale, root, key_of(0), 60'001);
  auto foreign = at.net.entry(key, experience());
  foreign.task = metadata::tag(metadata::id(make_task("digits")));
  at.net.plant(foreign, root, key, 60'002);
  Bytes forged = metadata::seal(at.net.entry(key, experience()), key);
  forged.back() ^= 1;
  at.net.simulation.plant(metadata::place_key(at.net.tag, root), {60'003, metadata::pack({root, forged})});
  Bucket read;
  const auto alive = std::make_shared<int>(0);
  bool called = false;
  read_bucket(at.net.simulation.host(3).dht(), at.net.tag, root, alive, [&](Bucket bucket, bool ok) {
    called = true;
    CHECK(ok);
    read = std::move(bucket);
  });
  CHECK_FALSE(called);
  at.net.simulation.run_for(2s);
  CHECK(read.entries.size() == 3);
  CHECK(read.values == 26);
  for (const auto& entry : read.entries) CHECK(entry.version != stale.version);
  at.publish(experience());
  at.net.simulation.run_for(10s);
  CHECK(at.mine(root) == 8);
  CHECK(at.met_count.size() == 3);
}

TEST_CASE("Of a bucket of a thousand no more than kMostRead values are looked at") {
  Shelved at;
  at.entry = at.net.entry(at.net.simulation.host(0).key(), experience());
  const Place root = at.place(Place::Kind::joint, 0, 0);
  for (std::uint64_t i = 0; i < 1000; ++i) {
    at.net.simulation.plant(metadata::place_key(at.net.tag, root), {50'000 + i, p2p::test::random_bytes(300, i)});
  }
  Bucket read;
  const auto alive = std::make_shared<int>(0);
  read_bucket(at.net.simulation.host(3).dht(), at.net.tag, root, alive, [&](Bucket bucket, bool) { read = std::move(bucket); });
  at.net.simulation.run_for(2s);
  CHECK(read.values == kMostRead);
  CHECK(read.entries.empty());
}

TEST_CASE("A bucket's crowd is told from its lots, within a third on average") {
  const Place place{Place::Kind::joint, 0, 0, 0};
  for (const std::size_t members : {3u, 20u, 400u}) {
    double sum = 0;
    for (std::uint64_t round = 0; round < 60; ++round) {
      std::vector<std::pair<double, Entry>> all;
      for (std::uint64_t i = 0; i < members; ++i) {
        Entry entry;
        entry.node = id_of(Random(round * 1000 + i).next());
        all.emplace_back(metadata::lot(entry.node, place), entry);
      }
      std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
      std::vector<Entry> lowest;
      for (std::size_t i = 0; i < std::min<std::size_t>(members, 8); ++i) lowest.push_back(all[i].second);
      sum += crowd_of(place, lowest);
    }
    CHECK(sum / 60 > 0.75 * static_cast<double>(members));
    CHECK(sum / 60 < 1.35 * static_cast<double>(members));
  }
}

TEST_CASE("A withdrawn shelf puts nothing any more, and one that is published again lists itself again") {
  Shelved at;
  at.publish(experience());
  at.net.simulation.run_for(10s);
  at.shelf->withdraw();
  const auto puts = at.net.log_lines("put under");
  at.net.simulation.run_for(minutes(21));
  CHECK(at.net.log_lines("put under") == puts);
  CHECK(at.net.copies(experience()) == 0);
  at.publish(experience());
  at.net.simulation.run_for(10s);
  CHECK(at.net.copies(experience()) == 5 * 8);
}

}  // namespace
}  // namespace p2p::directory

// Concepts that nodes remember: found, kept apart from what their nodes serve, and of one node never more than it may show.
#include "overlay/directory/contacts.hpp"
#include "overlay/directory/node_quota.hpp"
#include "overlay/directory/shelf.hpp"
#include "tests/directory/support.hpp"

namespace p2p::directory {
namespace {

using namespace test;

const LookupOptions kThorough{.want = 8, .deadline = 2s};

const Candidate* find(const LookupResult& result, const metadata::NodeId& node, std::uint32_t concept_id) {
  for (const auto& candidate : result.candidates) {
    if (candidate.entry.node == node && candidate.entry.concept_id == concept_id) return &candidate;
  }
  return nullptr;
}

TEST_CASE("A concept that only an archive knows is found, with its own fingerprint") {
  Overlay net(24);
  net.publish_all(12s, [](std::size_t i) { return one_of(2, i); });
  const Fingerprint past = kind(9);
  net.directories[5]->remember({{7, past}});
  net.simulation.run_for(minutes(3));
  const Need need{near(past, 1), {}, By::joint};
  const auto answer = net.lookup(11, need, kThorough);
  const auto* found = find(answer.result, net.id(5), 7);
  REQUIRE(found != nullptr);
  CHECK(found->fingerprint == past);
  CHECK(found == &answer.result.candidates.front());
  // Nor has it taken the place of what its node serves.
  const Need live{near(*net.shown[5], 2), {}, By::joint};
  const auto of_live = net.lookup(11, live, {.want = 24, .deadline = 2s});
  const auto* serving = find(of_live.result, net.id(5), 0);
  REQUIRE(serving != nullptr);
  CHECK(serving->fingerprint == *net.shown[5]);
}

TEST_CASE("A node does not find what it remembers itself") {
  Overlay net(12);
  net.publish_all(6s, [](std::size_t i) { return one_of(2, i); });
  net.directories[5]->remember({{7, kind(9)}});
  net.simulation.run_for(minutes(3));
  const auto answer = net.lookup(5, {near(kind(9), 1), {}, By::joint}, kThorough);
  CHECK_FALSE(answer.result.candidates.empty());
  CHECK_FALSE(answer.has(net.id(5)));
}

TEST_CASE("Remembering other concepts forgets those before, and withdrawing takes archived concepts with it") {
  Overlay net(12);
  net.publish_all(6s, [](std::size_t i) { return one_of(2, i); });
  net.directories[5]->remember({{7, kind(9)}});
  net.simulation.run_for(minutes(2));
  REQUIRE(find(net.lookup(8, {near(kind(9), 1), {}, By::joint}, kThorough).result, net.id(5), 7));
  net.directories[5]->remember({{8, kind(10)}});
  net.simulation.run_for(minutes(2));
  CHECK_FALSE(find(net.lookup(8, {near(kind(9), 1), {}, By::joint}, kThorough).result, net.id(5), 7));
  CHECK(find(net.lookup(8, {near(kind(10), 1), {}, By::joint}, kThorough).result, net.id(5), 8));
  CHECK(net.directories[5]->standing().archived == 1);
  net.directories[5]->withdraw();
  net.simulation.run_for(minutes(2));
  CHECK_FALSE(net.lookup(8, {near(kind(10), 1), {}, By::joint}, kThorough).has(net.id(5)));
  CHECK(net.directories[5]->standing().archived == 0);
  net.simulation.run_for(minutes(25));
  CHECK(net.acquainted_with(net.id(5)) == 0);
  // Nor is it listed any more, in the bucket of everybody or in its own.
  for (const auto& place : net.places(kind(10))) {
    std::optional<Result<Bucket>> bucket;
    net.directories[8]->read(place, [&](Result<Bucket> read) { bucket = std::move(read); });
    net.simulation.run_for(10s);
    REQUIRE(bucket);
    REQUIRE(*bucket);
    CHECK(std::none_of((*bucket)->entries.begin(), (*bucket)->entries.end(),
                       [&](const Entry& entry) { return entry.node == net.id(5); }));
  }
}

TEST_CASE("A description or an entry of another concept than was asked for is refused") {
  sim::Simulation simulation(1);
  for (int i = 0; i < 2; ++i) simulation.add_host();
  const metadata::Task task = make_task();
  const auto id = metadata::id(task);
  const std::uint32_t of_entry = GENERATE(0u, 7u, 8u), of_description = GENERATE(0u, 7u, 8u);
  CAPTURE(of_entry, of_description);
  const auto entry_of = [&](std::uint32_t concept_id) {
    Entry out = metadata::entry_of(experience(), metadata::Sketcher(task).sketch(experience()));
    out.task = metadata::tag(id);
    out.node = simulation.host(1).id();
    out.concept_id = concept_id;
    out.version = 1;
    out.endpoint = simulation.host(1).endpoint();
    out.table_port = out.endpoint.port;
    return out;
  };
  RawNode* node = nullptr;
  PresencePrefix asked{};
  RawNode other(simulation.host(1), [&](const Endpoint& from, const Message& message, std::size_t) {
    const auto& fetch = std::get<Fetch>(message);
    asked = fetch.to;
    const auto& key = simulation.host(1).key();
    const metadata::Description description{
        .task = id, .node = key.id(), .version = 1, .fingerprint = experience(), .concept_id = of_description};
    node->send(from, Described{fetch.nonce, metadata::seal(entry_of(of_entry), key), metadata::seal(description, key)});
  });
  node = &other;
  Correspondence correspondence({.executor = simulation.host(0).executor(),
                                 .dht = simulation.host(0).dht(),
                                 .task = metadata::tag(id),
                                 .dimensions = kDimensions,
                                 .classes = kClasses,
                                 .secret = 5,
                                 .own_entry = [] { return Bytes{}; },
                                 .on_request = [](const Endpoint&, const Message&, std::size_t) {}});
  std::optional<Result<Portrait>> got;
  correspondence.fetch(hint_of(entry_of(7)), 500ms, [&](Result<Portrait> portrait) { got = std::move(portrait); });
  simulation.run_for(1s);
  REQUIRE(got);
  CHECK(asked == hint_of(entry_of(7)).id);
  CHECK(got->has_value() == (of_entry == 7 && of_description == 7));
  if (!*got) CHECK(got->error().code == ErrorCode::untrusted);
}

TEST_CASE("A hundred concepts of one node do not crowd a bucket out") {
  Overlay net(12);
  net.simulation.run_for(5s);
  const Place root{Place::Kind::joint, 0, 0, 0};
  for (std::uint32_t i = 1; i <= 100; ++i) {
    Entry many = net.entry(key_of(1), experience());
    many.concept_id = i;
    net.plant(many, root, key_of(1), i);
  }
  for (std::uint32_t i = 2; i < 8; ++i) net.plant(net.entry(key_of(i), experience()), root, key_of(i), 1000 + i);
  std::optional<Result<Bucket>> bucket;
  net.directories[3]->read(root, [&](Result<Bucket> read) { bucket = std::move(read); });
  net.simulation.run_for(10s);
  REQUIRE(bucket);
  REQUIRE(*bucket);
  std::map<metadata::NodeId, std::size_t> of;
  for (const auto& entry : (*bucket)->entries) ++of[entry.node];
  CHECK(of.size() == 7);
  CHECK(of[key_of(1).id()] == NodeQuota::kMost);
}

TEST_CASE("Of one node three archived presences are kept in mind, the newest, and its live one stays") {
  Contacts contacts({.roles = {}, .secret = 9});
  contacts.centre(on_line(0));
  contacts.add(entry_on_line(1, 0.5), {}, true);
  for (std::uint32_t i = 1; i <= 100; ++i) {
    Entry past = entry_on_line(1, 0.1, i);
    past.concept_id = i;
    contacts.add(past, {}, true);
  }
  CHECK(contacts.size() == 1 + metadata::kMostArchived);
  CHECK(contacts.nodes() == 1);
  for (const std::uint32_t kept : {0u, 98u, 99u, 100u}) CHECK(contacts.all().contains(metadata::presence_of(id_of(1), kept)));
}

TEST_CASE("Archived presences take no place of a live neighbour, and no more than their own") {
  Contacts contacts({.roles = {.near = 4, .per_level = 0, .far = 0, .archive = 3}, .secret = 9});
  contacts.centre(on_line(0));
  for (std::uint64_t i = 1; i <= 20; ++i) {
    Entry past = entry_on_line(100 + i, 0.01 * static_cast<double>(i));
    past.concept_id = 5;
    contacts.add(past, {}, true);
    contacts.add(entry_on_line(i, 0.5 + 0.01 * static_cast<double>(i)), {}, true);
  }
  CHECK(contacts.nodes() == 4);
  CHECK(contacts.size() == 7);
  // What is near to a concept of ours is kept too, of either kind.
  contacts.archive({on_line(0.9)});
  contacts.add(entry_on_line(50, 0.89), {}, true);
  CHECK(contacts.all().contains(id_of(50)));
}

TEST_CASE("Once four presences of one address have answered, a walk asks no more of it") {
  Walk walk({.by = By::joint, .sketch = on_line(0)}, {.settled = 16, .questions = 50});
  for (std::uint32_t i = 0; i < 30; ++i) {
    Entry one = entry_on_line(1, 0.01);
    one.concept_id = i;
    walk.hear(hint_of(one, walk.target()), Walk::kOurselves);
  }
  std::size_t asked = 0;
  while (const auto next = walk.next()) {
    ++asked;
    walk.answered(brief(*next), on_line(0.01), 0);
  }
  CHECK(asked == Walk::kMostAtOne);
}

}  // namespace
}  // namespace p2p::directory

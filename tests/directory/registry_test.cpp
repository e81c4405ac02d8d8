// A registry and its clients: what they promise each other, what a liar on either end can do, and every bound.
#include <catch2/catch.hpp>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "overlay/directory/registry.hpp"
#include "overlay/directory/registry_server.hpp"
#include "overlay/sim/simulation.hpp"
#include "tests/overlay/support.hpp"

using namespace p2p;
using namespace p2p::directory;
using test::fingerprint_of;

namespace {

using std::chrono::minutes;
using std::chrono::seconds;

metadata::Task example_task() {
  metadata::Task task;
  task.name = "registry";
  task.features = {{.name = "x", .count = 4}};
  task.classes = {"a", "b", "c"};
  task.family = "linear";
  task.bandwidth = 1;
  task.embedding_dimensions = 8;
  return task;
}

/// A fingerprint that has seen only some classes, by shares.
metadata::Fingerprint with_shares(const std::vector<int>& counts, std::uint64_t seed = 1) {
  metadata::FingerprintBuilder builder({.dimensions = 8, .classes = 3, .half_life = 0});
  Random random(seed);
  std::vector<float> phi(8);
  for (std::size_t c = 0; c < counts.size(); ++c) {
    for (int i = 0; i < counts[c]; ++i) {
      for (auto& value : phi) value = static_cast<float>(0.3 * random.normal());
      builder.add(phi, static_cast<std::int32_t>(c), true);
    }
  }
  return builder.build();
}

struct Sealed {
  metadata::Entry entry;
  registry::Publish message;
};
Sealed sealed_by(const metadata::KeyPair& key, const metadata::Task& task, const metadata::Fingerprint& fingerprint,
                 std::uint64_t version) {
  Sealed out;
  out.entry = metadata::entry_of(fingerprint, metadata::Sketcher(task).sketch(fingerprint));
  out.entry.task = metadata::tag(metadata::id(task));
  out.entry.node = key.id();
  out.entry.version = version;
  out.entry.endpoint = {"10.0.0.1", 1000};
  out.entry.table_port = 1000;
  out.message.entry = metadata::seal(out.entry, key);
  out.message.description = metadata::seal(metadata::Description{metadata::id(task), key.id(), version, fingerprint}, key);
  return out;
}

metadata::KeyPair key_of(std::uint64_t number) {
  std::array<std::uint8_t, 32> seed{};
  std::memcpy(seed.data(), &number, sizeof number);
  seed[31] = 1;
  return metadata::KeyPair::from_seed(seed);
}

/// A registry on host 0, and honest nodes on the others.
struct Town {
  explicit Town(std::size_t nodes, RegistryServerOptions the_options = {}) : options(std::move(the_options)), simulation(1) {
    simulation.network().latency_low = simulation.network().latency_high = 10ms;
    simulation.network().jitter = 0us;
    simulation.add_host({.name = "registry"});
    open();
    for (std::size_t i = 0; i < nodes; ++i) {
      simulation.add_host();
      client.registry = simulation.host(0).endpoint();
      client.registry_key = simulation.host(0).id();
      directories.push_back(node(i + 1, client));
    }
  }
  ~Town() {
    directories.clear();
    server.reset();
  }
  void open() {
    auto& host = simulation.host(0);
    server = std::make_unique<RegistryServer>(host.executor(), host.transport(), options);
    server->listen();
  }
  std::unique_ptr<Directory> node(std::size_t host, RegistryOptions with) {
    with.on_trouble = [this](const Error& error) { troubles.push_back(error); };
    auto& at = simulation.host(host);
    return make_registry_directory(RegistryContext{.executor = at.executor(), .transport = at.transport(), .task = task,
                                                   .key = at.key(), .endpoint = [&at] { return at.endpoint(); }},
                                   with);
  }
  std::optional<LookupResult> lookup(std::size_t from, const metadata::Need& need, const LookupOptions& with = {}) {
    auto answer = std::make_shared<std::optional<LookupResult>>();
    auto calls = std::make_shared<int>(0);
    directories[from]->lookup(need, with, [answer, calls](LookupResult result) {
      ++*calls;
      *answer = std::move(result);
    });
    CHECK(*calls == 0);  // never from inside the call
    simulation.run_for(with.deadline + 100ms);
    CHECK(*calls == 1);
    return *answer;
  }
  void publish_all() {
    for (std::size_t i = 0; i < directories.size(); ++i) directories[i]->publish(fingerprint_of(8, 3, i + 1));
    simulation.run_for(1s);
  }

  metadata::Task task = example_task();
  RegistryServerOptions options;
  RegistryOptions client;
  sim::Simulation simulation;
  std::unique_ptr<RegistryServer> server;
  std::vector<std::unique_ptr<Directory>> directories;
  std::vector<Error> troubles;
};

/// An end of a link that writes whatever a test wants.
struct Raw {
  explicit Raw(sim::Host& the_host) : host(the_host) {}
  void connect(const sim::Host& to) {
    host.transport().connect(to.endpoint(), to.id(), 5s, [this](Result<std::shared_ptr<overlay::Link>> made) {
      if (made) take(std::move(*made));
    });
  }
  void listen() {
    host.transport().on_accept([this](std::shared_ptr<overlay::Link> made) { take(std::move(made)); });
  }
  void take(std::shared_ptr<overlay::Link> made) {
    if (link) kept.push_back(link);
    link = std::move(made);
    auto reader = std::make_shared<overlay::FrameReader>(16u << 20);
    link->start({.on_data =
                     [this, reader](ByteView bytes) {
                       (void)reader->feed(bytes, [this](ByteView body) {
                         auto frame = registry::decode_frame(body);
                         if (!frame) return true;
                         frames.push_back(*frame);
                         if (const auto* last = std::get_if<overlay::Goodbye>(&frame->message)) goodbye = last->text;
                         if (on_frame) on_frame(*frame);
                         return true;
                       });
                     },
                 .on_drained = {},
                 .on_closed = [this](const Error& why) { closed = why; }});
    if (greets) send(0, registry::Greeting{});
  }
  void send(std::uint64_t id, registry::Message message) { link->send(registry::encode({id, std::move(message)})); }
  template <typename M>
  const M* last() const {
    for (auto it = frames.rbegin(); it != frames.rend(); ++it) {
      if (const auto* found = std::get_if<M>(&it->message)) return found;
    }
    return nullptr;
  }
  template <typename M>
  std::size_t count() const {
    return static_cast<std::size_t>(
        std::count_if(frames.begin(), frames.end(), [](const auto& f) { return std::holds_alternative<M>(f.message); }));
  }

  sim::Host& host;
  bool greets = true;
  std::function<void(const registry::Frame&)> on_frame;
  std::shared_ptr<overlay::Link> link;
  std::vector<std::shared_ptr<overlay::Link>> kept;
  std::vector<registry::Frame> frames;
  std::string goodbye;
  std::optional<Error> closed;
};

registry::Query query_of(const metadata::Task& task, const metadata::Fingerprint& fingerprint) {
  return {.task = metadata::id(task), .classes = {}, .fingerprint = metadata::encode(fingerprint)};
}

}  // namespace

TEST_CASE("A node that publishes at the registry is found there, with its fingerprint") {
  Town town(3);
  town.publish_all();
  CHECK(town.server->stats().nodes == 3);
  CHECK(town.server->stats().links == 3);
  CHECK(town.directories[0]->standing().published);

  const metadata::Need need{fingerprint_of(8, 3, 2), {}, metadata::By::joint};
  int told = 0;
  const auto result = town.lookup(0, need, {.want = 5, .on_candidate = [&](const Candidate& c) {
                                              CHECK(c.fingerprint.has_value());
                                              ++told;
                                            }});
  REQUIRE(result);
  REQUIRE(result->candidates.size() == 2);  // never the asker itself
  CHECK(told == 2);
  const auto& best = result->candidates[0];
  CHECK(best.entry.node == town.simulation.host(2).id());
  CHECK(best.entry.endpoint == town.simulation.host(2).endpoint());
  CHECK(best.distance == Approx(metadata::plain_distance(need, *best.fingerprint)));
  CHECK(best.distance < 1e-6);
  CHECK(best.needed_recall > 0.5);
  CHECK(result->questions == 1);
  CHECK(result->answers == 1);
  CHECK(result->known == 3);
  CHECK(result->datagram_bytes > 500);
  CHECK(result->datagram_bytes < 5000);
  CHECK(result->took < 21ms);  // one round trip
  CHECK(town.directories[0]->standing().estimated_nodes == 3);
  CHECK(town.troubles.empty());
}

TEST_CASE("Nodes that are not wanted take nobody's place: the client asks on") {
  Town town(12);
  town.publish_all();
  // The nearest ten are not wanted.
  const metadata::Need need{fingerprint_of(8, 3, 1), {}, metadata::By::joint};
  const auto all = town.lookup(0, need, {.want = 11});
  REQUIRE(all->candidates.size() == 11);
  std::vector<NodeId> unwanted;
  for (std::size_t i = 0; i < 10; ++i) unwanted.push_back(all->candidates[i].entry.node);
  const auto rest = town.lookup(
      0, need, {.want = 1, .skip = [&](const NodeId& node) { return std::count(unwanted.begin(), unwanted.end(), node) > 0; }});
  REQUIRE(rest->candidates.size() == 1);
  CHECK(rest->candidates[0].entry.node == all->candidates[10].entry.node);
  CHECK(rest->skipped >= 9);  // the last of them may rank behind the one that is wanted
  CHECK(rest->questions >= 2);
}

TEST_CASE("A lookup without experience finds those who know the wanted classes") {
  Town town(3);
  town.directories[1]->publish(with_shares({100, 0, 0}));
  town.directories[2]->publish(with_shares({0, 0, 100}));
  town.simulation.run_for(1s);
  const auto result = town.lookup(0, {.experience = {}, .classes = {2}, .by = metadata::By::classes}, {.want = 1});
  REQUIRE(result->candidates.size() == 1);
  CHECK(result->candidates[0].entry.node == town.simulation.host(3).id());
  CHECK(result->candidates[0].distance == 0);
}

TEST_CASE("A withdrawn node is not found any more, and one that falls silent not after twenty minutes") {
  Town town(3);
  town.publish_all();
  town.directories[1]->withdraw();
  town.simulation.run_for(1s);
  CHECK(town.server->stats().nodes == 2);
  CHECK_FALSE(town.directories[1]->standing().published);

  town.simulation.host(3).crash(sim::Crash::power);
  town.simulation.run_for(minutes(19));
  CHECK(town.server->stats().nodes == 2);
  town.simulation.run_for(minutes(2));
  CHECK(town.server->stats().nodes == 1);  // the first has reported in between
  CHECK(town.lookup(0, {fingerprint_of(8, 3, 2), {}, metadata::By::joint})->candidates.empty());
  town.directories.pop_back();
}

TEST_CASE("Nodes list themselves again when the registry comes back from a crash with nothing") {
  for (const auto how : {sim::Crash::process, sim::Crash::power}) {
    Town town(3);
    town.publish_all();
    town.server.reset();
    town.simulation.host(0).crash(how);
    town.simulation.run_for(minutes(3));
    CHECK_FALSE(town.directories[0]->standing().published);
    CHECK_FALSE(town.troubles.empty());
    CHECK(town.troubles.size() <= 9);  // told once, not at every try
    town.simulation.host(0).restart();
    town.open();
    town.simulation.run_for(seconds(40));
    CHECK(town.server->stats().nodes == 3);
    CHECK(town.directories[0]->standing().published);
    CHECK(town.lookup(0, {fingerprint_of(8, 3, 2), {}, metadata::By::joint})->candidates.size() == 2);
  }
}

TEST_CASE("A lookup ends at its deadline when the registry is gone, silent, or slow to come back") {
  const metadata::Need need{fingerprint_of(8, 3, 2), {}, metadata::By::joint};
  SECTION("gone") {
    Town town(2);
    town.publish_all();
    town.server.reset();
    town.simulation.host(0).crash();
    town.simulation.run_for(1s);
    const auto result = town.lookup(0, need);
    CHECK(result->candidates.empty());
    CHECK(result->took == 600ms);
  }
  SECTION("silent") {
    Town town(2);
    town.publish_all();
    town.simulation.host(0).stall_links(true);
    const auto result = town.lookup(0, need);
    CHECK(result->candidates.empty());
    CHECK(result->questions == 1);
    CHECK(result->took == 600ms);
    town.simulation.host(0).stall_links(false);
    town.simulation.run_for(2s);  // the late answer hurts nobody
    CHECK(town.lookup(0, need)->candidates.size() == 1);
  }
  SECTION("back in time") {
    Town town(2);
    town.publish_all();
    town.server.reset();
    town.simulation.host(0).crash();
    town.simulation.run_for(2s);
    auto found = std::make_shared<std::optional<LookupResult>>();
    town.directories[0]->lookup(need, {.deadline = 10s}, [found](LookupResult result) { *found = std::move(result); });
    town.simulation.run_for(1s);
    CHECK_FALSE(*found);
    town.simulation.host(0).restart();
    town.open();
    town.simulation.run_for(10s);
    REQUIRE(*found);
    CHECK((*found)->took < 10s);
  }
}

TEST_CASE("A directory that is destroyed reports nothing any more, even from inside its own report") {
  Town town(3);
  town.publish_all();
  int calls = 0;
  const metadata::Need need{fingerprint_of(8, 3, 2), {}, metadata::By::joint};
  town.directories[0]->lookup(need, {}, [&](LookupResult) { ++calls; });
  town.directories[0].reset();
  town.directories[1]->lookup(need, {.on_candidate = [&](const Candidate&) { town.directories[1].reset(); }},
                              [&](LookupResult) { ++calls; });
  town.simulation.run_for(2s);
  CHECK(calls == 0);
  CHECK(town.server->stats().links == 1);
}

TEST_CASE("A watch tells of a node that appears near, once per version, and again after the registry's crash") {
  Town town(4);
  const auto centre = fingerprint_of(8, 3, 1);
  std::vector<std::pair<NodeId, std::uint64_t>> heard;
  const auto number = town.directories[0]->watch({centre, {}, metadata::By::joint}, 0.2, [&](const Candidate& c) {
    CHECK(c.distance <= 0.2);
    heard.emplace_back(c.entry.node, c.entry.version);
  });
  REQUIRE(number != 0);
  town.simulation.run_for(1s);
  CHECK(town.server->stats().watches == 1);
  town.directories[1]->publish(centre);
  town.directories[2]->publish(fingerprint_of(8, 3, 9));  // far
  town.simulation.run_for(1s);
  REQUIRE(heard.size() == 1);
  CHECK(heard[0].first == town.simulation.host(2).id());

  town.server.reset();
  town.simulation.host(0).crash();
  town.simulation.run_for(1s);
  town.simulation.host(0).restart();
  town.open();
  town.simulation.run_for(seconds(20));
  CHECK(town.server->stats().watches == 1);
  CHECK(heard.size() == 1);  // the same version, sent once more
  town.directories[3]->publish(centre);
  town.simulation.run_for(1s);
  CHECK(heard.size() == 2);

  town.directories[0]->unwatch(number);
  town.simulation.run_for(1s);
  CHECK(town.server->stats().watches == 0);
  town.directories[1]->publish(centre);
  town.simulation.run_for(1s);
  CHECK(heard.size() == 2);
}

TEST_CASE("Reading a bucket at a registry says once that it has none") {
  Town town(1);
  const Place place{Place::Kind::label, 2, 0, 0};
  int calls = 0;
  town.directories[0]->read(place, [&](const Result<Bucket>& bucket) {
    ++calls;
    REQUIRE_FALSE(bucket);
    CHECK(bucket.error().code == ErrorCode::unavailable);
  });
  CHECK(calls == 0);
  town.simulation.run_for(1s);
  CHECK(calls == 1);
  CHECK(town.server->stats().links == 0);  // nothing needed a link
}

TEST_CASE("The registry's answer is the exact ranking while its shortlist holds all, and nearly so beyond") {
  const auto task = example_task();
  for (const std::size_t nodes : {60, 1500}) {
    registry::Table table(registry::Table::Limits{});
    std::vector<std::pair<metadata::Entry, metadata::Fingerprint>> all;
    Random random(nodes);
    for (std::size_t i = 0; i < nodes; ++i) {
      const auto key = key_of(i);
      const auto fingerprint = fingerprint_of(8, 3, 100 + i);
      const auto sealed = sealed_by(key, task, fingerprint, 1'000'000);
      REQUIRE(table.publish(key.id(), sealed.message, {.now = {0}, .wall_ms = 1'000'000}).has_value());
      all.emplace_back(sealed.entry, fingerprint);
    }
    double hits = 0;
    const int questions = 20;
    for (int q = 0; q < questions; ++q) {
      registry::Question question{{metadata::id(task), 8, 3}, registry::Similarity::embedding,
                                  {fingerprint_of(8, 3, 5000 + static_cast<std::uint64_t>(q)), {q % 3}, metadata::By::joint}};
      if (q % 4 == 3) question.need.by = metadata::By::marginal;
      std::vector<std::pair<double, NodeId>> truth;
      for (const auto& [entry, fingerprint] : all) {
        Candidate c;
        c.distance = metadata::plain_distance(question.need, fingerprint);
        c.needed_recall = listed_recall(entry, question.need);
        truth.emplace_back(directory::rank(c, question.need), entry.node);
      }
      std::sort(truth.begin(), truth.end());
      const auto ranking = table.rank(question, 10, {}, {0});
      REQUIRE(ranking.best.size() == 10);
      CHECK(ranking.known == nodes);
      CHECK(ranking.more);
      for (std::size_t i = 0; i < 10; ++i) {
        if (nodes <= registry::Table::kExact) CHECK(ranking.best[i]->entry.node == truth[i].second);
        hits += std::any_of(truth.begin(), truth.begin() + 10,
                            [&](const auto& t) { return t.second == ranking.best[i]->entry.node; });
      }
    }
    INFO(nodes << " nodes");
    CHECK(hits / (10 * questions) > 0.95);
  }
}

TEST_CASE("By class shares the registry ranks as Cartel does: the Jensen-Shannon divergence of the priors") {
  Town town(3);
  town.client.similarity = registry::Similarity::priors;
  town.directories[0] = town.node(1, town.client);
  town.directories[1]->publish(with_shares({100, 100, 100}, 2));
  town.directories[2]->publish(with_shares({280, 20, 20}, 3));
  town.simulation.run_for(1s);
  const metadata::Need need{with_shares({140, 10, 10}, 4), {}, metadata::By::joint};
  const auto result = town.lookup(0, need);
  REQUIRE(result->candidates.size() == 2);
  CHECK(result->candidates[0].entry.node == town.simulation.host(3).id());
  CHECK(result->candidates[0].distance < 0.01);
  CHECK(result->candidates[1].distance ==
        Approx(metadata::prior_divergence(need.experience, *result->candidates[1].fingerprint)));
}

TEST_CASE("A node can list only itself, and only what follows from what it signs") {
  Town town(0);
  town.simulation.add_host();
  Raw liar(town.simulation.host(1));
  liar.connect(town.simulation.host(0));
  town.simulation.run_for(1s);
  const auto wall = town.simulation.host(1).executor().wall_ms();
  const auto& own = town.simulation.host(1).key();
  const auto fingerprint = fingerprint_of(8, 3, 1);
  const auto refused = [&](const registry::Publish& message) {
    const auto before = liar.count<registry::Refused>();
    liar.send(7, message);
    town.simulation.run_for(1s);
    REQUIRE(liar.count<registry::Refused>() == before + 1);
    CHECK(town.server->stats().nodes == 0);
    CHECK_FALSE(liar.last<registry::Refused>()->text.empty());
    return liar.last<registry::Refused>()->why;
  };
  using Why = registry::Refused::Why;

  CHECK(refused(sealed_by(key_of(5), town.task, fingerprint, wall).message) == Why::untrusted);  // another's
  auto forged = sealed_by(own, town.task, fingerprint, wall).message;
  forged.entry[forged.entry.size() - 1] ^= 1;
  CHECK(refused(forged) == Why::untrusted);
  forged = sealed_by(own, town.task, fingerprint, wall).message;
  forged.description[forged.description.size() - 1] ^= 1;
  CHECK(refused(forged) == Why::untrusted);
  CHECK(refused(sealed_by(own, town.task, fingerprint, wall + 11 * 60 * 1000).message) == Why::untrusted);
  CHECK(liar.last<registry::Refused>()->text.find("clock") != std::string::npos);
  CHECK(refused(sealed_by(own, town.task, fingerprint, wall - 11 * 60 * 1000).message) == Why::untrusted);
  // An entry of one experience beside the description of another.
  forged = sealed_by(own, town.task, fingerprint, wall).message;
  forged.description = sealed_by(own, town.task, fingerprint_of(8, 3, 2), wall).message.description;
  CHECK(refused(forged) == Why::untrusted);
  // Of another version, and of another task.
  forged.description = sealed_by(own, town.task, fingerprint, wall - 1).message.description;
  CHECK(refused(forged) == Why::untrusted);
  auto other = town.task;
  other.name = "other";
  forged.description = sealed_by(own, other, fingerprint, wall).message.description;
  CHECK(refused(forged) == Why::untrusted);
  // A better recall than the fingerprint has.
  auto boast = sealed_by(own, town.task, fingerprint, wall);
  boast.entry.recall = {15, 15, 15, 0};
  boast.entry.recall[0] = 1;
  boast.message.entry = metadata::seal(boast.entry, own);
  CHECK(refused(boast.message) == Why::untrusted);
  CHECK(refused({}) == Why::bad_request);

  liar.send(8, sealed_by(own, town.task, fingerprint, wall).message);  // and the truth is welcome
  town.simulation.run_for(1s);
  CHECK(town.server->stats().nodes == 1);
  CHECK_FALSE(liar.closed);
}

TEST_CASE("A node whose clock is wrong is told so, and the others go on") {
  Town town(2);
  town.simulation.host(1).set_clock_offset(minutes(30));
  town.publish_all();
  CHECK(town.server->stats().nodes == 1);
  CHECK_FALSE(town.directories[0]->standing().published);
  REQUIRE(town.troubles.size() == 1);
  CHECK(town.troubles[0].message.find("set the clock") != std::string::npos);
  CHECK(town.lookup(0, {fingerprint_of(8, 3, 2), {}, metadata::By::joint})->candidates.size() == 1);
  town.simulation.host(1).set_clock_offset(minutes(0));
  town.simulation.run_for(minutes(2));
  CHECK(town.server->stats().nodes == 2);
}

TEST_CASE("A registry cannot invent nodes, repeat them, or show those of other tasks") {
  Town town(1);
  town.server.reset();
  Raw liar(town.simulation.host(0));
  const auto wall = town.simulation.host(1).executor().wall_ms();
  auto other = town.task;
  other.name = "other";
  const auto fingerprint = fingerprint_of(8, 3, 1);
  const auto honest = sealed_by(key_of(1), town.task, fingerprint, wall).message;
  auto forged = sealed_by(key_of(2), town.task, fingerprint, wall).message;
  forged.entry[forged.entry.size() - 1] ^= 1;
  const auto foreign = sealed_by(key_of(3), other, fingerprint, wall).message;
  const auto mixed = sealed_by(key_of(4), town.task, fingerprint, wall).message;
  const auto self = sealed_by(town.simulation.host(1).key(), town.task, fingerprint, wall).message;
  const auto wide = sealed_by(key_of(6), town.task, fingerprint, wall);
  liar.on_frame = [&](const registry::Frame& frame) {
    if (!std::holds_alternative<registry::Lookup>(frame.message)) return;
    registry::Found found{.known = 1'000'000, .more = true, .rows = {}};
    for (const auto& message : {forged, foreign, self, honest, honest}) {
      found.rows.push_back({message.entry, message.description});
    }
    found.rows.push_back({mixed.entry, honest.description});
    found.rows.push_back({{}, {}});
    found.rows.push_back({wide.message.entry, test::random_bytes(400, 1)});
    liar.send(frame.id, found);
  };
  liar.listen();
  const auto result = town.lookup(0, {fingerprint, {}, metadata::By::joint}, {.want = 5});
  REQUIRE(result->candidates.size() == 1);
  CHECK(result->candidates[0].entry.node == key_of(1).id());
  CHECK(result->refused >= 7);
  CHECK(result->questions <= 8);  // "there are more" does not keep it asking
}

TEST_CASE("A registry that breaks the protocol is left, and found again when it behaves") {
  const metadata::Need need{fingerprint_of(8, 3, 1), {}, metadata::By::joint};
  const std::vector<std::function<void(Raw&, const registry::Frame&)>> ways = {
      [](Raw& raw, const registry::Frame& f) { raw.send(f.id + 77, registry::Done{}); },
      [](Raw& raw, const registry::Frame& f) { raw.send(f.id, registry::Ping{}); },
      [](Raw& raw, const registry::Frame& f) { raw.send(f.id, registry::Appeared{}); raw.send(f.id, registry::Done{}); },
      [](Raw& raw, const registry::Frame&) { raw.link->send({0xff, 0xff, 0xff, 0xff}); },
      [](Raw& raw, const registry::Frame&) { raw.link->send({0, 0, 0, 0}); },
      [](Raw& raw, const registry::Frame&) { raw.link->send(test::random_bytes(3000, 3)); },
      [](Raw& raw, const registry::Frame&) { raw.send(0, overlay::Goodbye{"no more"}); },
      [](Raw& raw, const registry::Frame&) { raw.link->close(); },
      [](Raw&, const registry::Frame&) {},
  };
  for (std::size_t i = 0; i < ways.size(); ++i) {
    INFO("way " << i);
    Town town(1);
    town.server.reset();
    Raw liar(town.simulation.host(0));
    liar.on_frame = [&](const registry::Frame& frame) {
      if (std::holds_alternative<registry::Lookup>(frame.message)) ways[i](liar, frame);
    };
    liar.listen();
    const auto result = town.lookup(0, need, {.want = 5});
    CHECK(result->candidates.empty());
    town.simulation.run_for(seconds(10));
    CHECK_FALSE(town.troubles.empty());
    liar.on_frame = {};
    town.open();
    town.publish_all();
    town.simulation.run_for(minutes(2));
    CHECK(town.server->stats().nodes == 1);
  }
}

TEST_CASE("An address that is no registry's, and a key that is not its own, are said to be so") {
  SECTION("a node of the exchange") {
    Town town(1);
    town.server.reset();
    test::Party party(town.simulation, town.simulation.host(0));
    town.publish_all();
    REQUIRE_FALSE(town.troubles.empty());
    CHECK(town.troubles[0].message.find("no registry") != std::string::npos);
  }
  SECTION("another key") {
    Town town(1);
    town.client.registry_key = key_of(3).id();
    town.directories[0] = town.node(1, town.client);
    town.publish_all();
    REQUIRE_FALSE(town.troubles.empty());
    CHECK(town.troubles[0].message.find("registry_key") != std::string::npos);
  }
}

TEST_CASE("Hostile bytes end the link that they came on, with a reason, and nothing else") {
  Town town(1);
  town.publish_all();
  for (std::size_t i = 0; i < 3; ++i) town.simulation.add_host();
  const auto valid = registry::encode({1, registry::Ping{}});
  const auto greeting = registry::encode({0, registry::Greeting{}});
  const std::vector<Bytes> attacks = {
      {0xff, 0xff, 0xff, 0xff}, {0, 0, 0, 0}, test::random_bytes(5000, 1), valid, greeting,
      registry::encode({0, registry::Ping{}}), registry::encode({1, registry::Done{}}),
      registry::encode({1, registry::Found{}}), *from_hex("00000003934101"),
  };
  for (std::size_t i = 0; i < attacks.size(); ++i) {
    INFO("attack " << i);
    Raw raw(town.simulation.host(2));
    raw.greets = i != 3;  // a request before the greeting; at 4 a second greeting
    raw.connect(town.simulation.host(0));
    town.simulation.run_for(1s);
    REQUIRE(raw.link);
    raw.link->send(attacks[i]);
    town.simulation.run_for(3s);
    CHECK(raw.closed);
    CHECK_FALSE(raw.goodbye.empty());
  }
  CHECK(town.server->stats().links == 1);
  // Mutations of a whole conversation.
  const auto query = query_of(town.task, fingerprint_of(8, 3, 1));
  Random random(11);
  for (int round = 0; round < 200; ++round) {
    Raw raw(town.simulation.host(3));
    raw.connect(town.simulation.host(0));
    town.simulation.run_for(100ms);
    REQUIRE(raw.link);
    for (Bytes bytes : {registry::encode({1, registry::Lookup{query, 5, {}}}), registry::encode({2, registry::Watch{query, 0.5}}),
                        registry::encode({3, registry::Unwatch{2}}), registry::encode({4, registry::Withdraw{}})}) {
      for (int k = 0; k < 3; ++k) bytes[4 + random.below(bytes.size() - 4)] = static_cast<std::uint8_t>(random.next());
      raw.link->send(bytes);
    }
    town.simulation.run_for(100ms);
  }
  town.simulation.run_for(10s);
  CHECK(town.server->stats().nodes == 1);
  CHECK(town.server->stats().watches <= 2);
  CHECK(town.directories[0]->standing().published);
}

TEST_CASE("A node that does not greet, and one that says nothing more, lose their links") {
  Town town(0);
  town.simulation.add_host();
  Raw silent(town.simulation.host(1));
  silent.greets = false;
  silent.connect(town.simulation.host(0));
  town.simulation.run_for(6s);
  CHECK(silent.goodbye.find("greet") != std::string::npos);
  Raw idle(town.simulation.host(1));
  idle.connect(town.simulation.host(0));
  town.simulation.run_for(minutes(4));
  CHECK_FALSE(idle.closed);
  town.simulation.run_for(minutes(2));
  CHECK(idle.goodbye.find("silent") != std::string::npos);
  CHECK(town.server->stats().links == 0);
}

TEST_CASE("An honest client's link outlives any quiet") {
  Town town(2);
  town.publish_all();
  town.simulation.run_for(minutes(60));
  CHECK(town.server->stats().links == 2);
  CHECK(town.server->stats().nodes == 2);
  CHECK(town.troubles.empty());
}

TEST_CASE("The table is full at its bounds on nodes, bytes and tasks of a node, and live nodes keep their places") {
  const auto task = example_task();
  const auto fingerprint = fingerprint_of(8, 3, 1);
  const registry::Table::Moment now{.now = {0}, .wall_ms = 1'000'000};
  const auto publish = [&](registry::Table& table, std::uint64_t key, const metadata::Task& of) {
    return table.publish(key_of(key).id(), sealed_by(key_of(key), of, fingerprint, now.wall_ms).message, now);
  };
  SECTION("nodes") {
    registry::Table table({.nodes = 2});
    CHECK(publish(table, 1, task));
    CHECK(publish(table, 2, task));
    const auto third = publish(table, 3, task);
    REQUIRE_FALSE(third);
    CHECK(third.error().code == ErrorCode::full);
    CHECK(publish(table, 1, task));  // its own place anew
    table.withdraw(key_of(2).id(), metadata::id(task));
    CHECK(publish(table, 3, task));
  }
  SECTION("bytes") {
    registry::Table one(registry::Table::Limits{});
    REQUIRE(publish(one, 1, task));
    registry::Table table({.bytes = one.bytes()});
    CHECK(publish(table, 1, task));
    CHECK(table.bytes() == one.bytes());
    CHECK(publish(table, 1, task));
    CHECK(publish(table, 2, task).error().code == ErrorCode::full);
    table.expire({minutes(21).count() * 60'000'000});
    CHECK(table.bytes() == 0);
    CHECK(table.tasks() == 0);
    CHECK(publish(table, 2, task));
  }
  SECTION("tasks of a node") {
    registry::Table table({.tasks_per_node = 2});
    auto second = task, third = task;
    second.name = "second";
    third.name = "third";
    CHECK(publish(table, 1, task));
    CHECK(publish(table, 1, second));
    CHECK(publish(table, 1, third).error().code == ErrorCode::full);
    table.withdraw(key_of(1).id(), metadata::id(task));
    CHECK(publish(table, 1, third));
    CHECK(table.nodes() == 2);
  }
  SECTION("a refused first publication leaves no task behind") {
    registry::Table table(registry::Table::Limits{});
    auto lie = sealed_by(key_of(1), task, fingerprint, now.wall_ms).message;
    lie.entry = sealed_by(key_of(1), task, fingerprint_of(8, 3, 2), now.wall_ms).message.entry;
    CHECK(table.publish(key_of(1).id(), lie, now).error().code == ErrorCode::untrusted);
    CHECK(table.bytes() == 0);
    CHECK(table.tasks() == 0);
  }
}

TEST_CASE("Who publishes a task in a wrong shape keeps nobody else out") {
  Town town(2);
  town.simulation.add_host();
  auto wrong = town.task;
  const auto& key = town.simulation.host(3).key();
  Raw liar(town.simulation.host(3));
  liar.connect(town.simulation.host(0));
  town.simulation.run_for(1s);
  wrong.embedding_dimensions = 16;  // the id of the right task, with 16 dimensions
  auto lie = sealed_by(key, town.task, fingerprint_of(8, 3, 1), 1);
  const auto wall = town.simulation.host(3).executor().wall_ms();
  const auto fingerprint = fingerprint_of(16, 3, 1);
  lie.entry = metadata::entry_of(fingerprint, metadata::Sketcher(metadata::id(town.task), 16, 3).sketch(fingerprint));
  lie.entry.task = metadata::tag(metadata::id(town.task));
  lie.entry.node = key.id();
  lie.entry.version = wall;
  lie.entry.endpoint = {"10.0.0.1", 1000};
  lie.entry.table_port = 1000;
  liar.send(1, registry::Publish{metadata::seal(lie.entry, key),
                                 metadata::seal(metadata::Description{metadata::id(town.task), key.id(), wall, fingerprint}, key)});
  town.publish_all();
  CHECK(town.server->stats().nodes == 3);
  CHECK(town.lookup(0, {fingerprint_of(8, 3, 2), {}, metadata::By::joint})->candidates.size() == 1);
}

TEST_CASE("Links are bounded: a quiet one makes room, and a node that finds none is told") {
  RegistryServerOptions options;
  options.links = 2;
  Town town(3, options);
  town.directories[0]->publish(fingerprint_of(8, 3, 1));
  town.directories[1]->publish(fingerprint_of(8, 3, 2));
  town.simulation.run_for(500ms);
  CHECK(town.server->stats().links == 2);
  town.directories[2]->publish(fingerprint_of(8, 3, 3));
  town.simulation.run_for(200ms);
  CHECK(town.server->stats().links == 2);
  REQUIRE(town.troubles.size() == 1);
  CHECK(town.troubles[0].message.find("no room") != std::string::npos);
  town.simulation.run_for(minutes(2));
  CHECK(town.server->stats().links == 2);
  CHECK(town.server->stats().nodes == 3);  // those whose link made room stay listed
}

TEST_CASE("Requests are bounded per second and node, all comparisons together, and watches; refusals say when to come again") {
  RegistryServerOptions options;
  options.requests_per_second = 10;
  options.requests_per_link = 100;
  options.watches_per_peer = 2;
  Town town(1, options);
  town.publish_all();
  town.simulation.add_host();
  Raw raw(town.simulation.host(2));
  raw.connect(town.simulation.host(0));
  town.simulation.run_for(1s);
  const auto query = query_of(town.task, fingerprint_of(8, 3, 1));
  SECTION("requests of a node") {
    for (std::uint64_t i = 1; i <= 15; ++i) raw.send(i, registry::Lookup{query, 5, {}});
    town.simulation.run_for(500ms);
    CHECK(raw.count<registry::Found>() == 10);
    CHECK(raw.count<registry::Refused>() == 5);
    CHECK(raw.last<registry::Refused>()->why == registry::Refused::Why::busy);
    CHECK(raw.last<registry::Refused>()->retry_ms > 0);
    for (std::uint64_t i = 1; i <= 60; ++i) raw.send(100 + i, registry::Lookup{query, 5, {}});
    town.simulation.run_for(500ms);
    CHECK(raw.goodbye.find("goes on asking") != std::string::npos);
  }
  SECTION("watches") {
    for (std::uint64_t i = 1; i <= 3; ++i) raw.send(i, registry::Watch{query, 0.5});
    town.simulation.run_for(500ms);
    CHECK(raw.count<registry::Done>() == 2);
    REQUIRE(raw.last<registry::Refused>());
    CHECK(raw.last<registry::Refused>()->why == registry::Refused::Why::full);
    raw.link->close();
    town.simulation.run_for(5s);
    CHECK(town.server->stats().watches == 0);
  }
  SECTION("comparisons of all") {
    RegistryServerOptions few;
    few.comparisons_per_second = 4000;  // two publications
    Town busy(4, few);
    for (auto& directory : busy.directories) directory->publish(fingerprint_of(8, 3, 1));
    busy.simulation.run_for(300ms);
    CHECK(busy.server->stats().nodes == 2);
    CHECK(busy.server->stats().refused >= 1);
    busy.simulation.run_for(10s);
    CHECK(busy.server->stats().nodes == 4);  // a client comes again when it was told to
    CHECK(busy.troubles.empty());
  }
}

TEST_CASE("A node that asks and does not read is asked to wait, and costs a bounded queue") {
  Town town(40);
  town.publish_all();
  town.simulation.add_host();
  Raw greedy(town.simulation.host(41));
  greedy.connect(town.simulation.host(0));
  town.simulation.run_for(1s);
  greedy.link->pause_reading();
  const auto query = query_of(town.task, fingerprint_of(8, 3, 1));
  for (std::uint64_t round = 0; round < 200 && !greedy.closed; ++round) {
    greedy.send(round + 1, registry::Lookup{query, 40, {}});
    town.simulation.run_for(50ms);
  }
  CHECK(town.server->stats().lookups < 60);
  greedy.link->resume_reading();
  town.simulation.run_for(minutes(1));
  CHECK(greedy.count<registry::Found>() > 0);
  CHECK(town.lookup(0, {fingerprint_of(8, 3, 2), {}, metadata::By::joint})->candidates.size() == 5);
}

TEST_CASE("Who sends more requests than it may have unanswered, while its answers wait, loses the link") {
  RegistryServerOptions options;
  options.requests_per_link = 4;
  options.requests_per_second = 1000;
  Town town(40, options);
  town.publish_all();
  town.simulation.add_host();
  Raw greedy(town.simulation.host(41));
  greedy.connect(town.simulation.host(0));
  town.simulation.run_for(1s);
  greedy.link->pause_reading();
  const auto query = query_of(town.task, fingerprint_of(8, 3, 1));
  Bytes many;
  for (std::uint64_t i = 1; i <= 100; ++i) {
    const auto bytes = registry::encode({i, registry::Lookup{query, 40, {}}});
    many.insert(many.end(), bytes.begin(), bytes.end());
  }
  greedy.link->send(std::move(many));
  town.simulation.run_for(1s);
  CHECK(town.server->stats().links == 40);
  CHECK(town.server->stats().lookups < 60);
}

TEST_CASE("Watches of all together hold a bounded number of bytes") {
  RegistryServerOptions options;
  options.watch_bytes = 1000;
  Town town(0, options);
  town.simulation.add_host();
  Raw raw(town.simulation.host(1));
  raw.connect(town.simulation.host(0));
  town.simulation.run_for(1s);
  const auto query = query_of(town.task, fingerprint_of(8, 3, 1));
  raw.send(1, registry::Watch{query, 0.5});
  raw.send(2, registry::Watch{query, 0.5});
  town.simulation.run_for(1s);
  CHECK(raw.count<registry::Done>() == 1);
  REQUIRE(raw.last<registry::Refused>());
  CHECK(raw.last<registry::Refused>()->why == registry::Refused::Why::full);
  raw.send(3, registry::Unwatch{1});
  raw.send(4, registry::Watch{query, 0.5});
  town.simulation.run_for(1s);
  CHECK(raw.count<registry::Done>() == 3);
}

TEST_CASE("The frames of the registry have these bytes") {
  const auto bytes = registry::encode({5, registry::Watch{{.task = {}, .classes = {2}, .fingerprint = {1, 2}}, 0.5}});
  CHECK(to_hex(bytes) == "00000037" "94" "44" "05" "95" "c420" + std::string(64, '0') + "00" "00" "91" "02" "c402" "0102"
                         "cb3fe0000000000000");
  CHECK(to_hex(registry::encode({0, registry::Greeting{}})) == "00000009" "94" "40" "00" "02" "ce00050000");
}

TEST_CASE("A registry finds archived concepts, keeps three of a node, and forgets the one that its node names") {
  registry::Table table({});
  const auto task = example_task();
  const auto id = metadata::id(task);
  const auto key = key_of(1);
  const auto publish = [&](std::uint32_t concept_id, const metadata::Fingerprint& fingerprint, std::uint32_t described_as) {
    auto entry = sealed_by(key, task, fingerprint, 1000).entry;
    entry.concept_id = concept_id;
    const metadata::Description description{
        .task = id, .node = key.id(), .version = 1000, .fingerprint = fingerprint, .concept_id = described_as};
    return table.publish(key.id(), {metadata::seal(entry, key), metadata::seal(description, key)}, {.now = {}, .wall_ms = 1000});
  };
  REQUIRE(publish(0, fingerprint_of(8, 3, 1), 0));
  for (const std::uint32_t concept_id : {5u, 6u, 7u}) REQUIRE(publish(concept_id, fingerprint_of(8, 3, concept_id), concept_id));
  const auto more = publish(8, fingerprint_of(8, 3, 8), 8);
  REQUIRE_FALSE(more);
  CHECK(more.error().code == ErrorCode::full);
  const auto lying = publish(7, fingerprint_of(8, 3, 7), 6);
  REQUIRE_FALSE(lying);
  CHECK(lying.error().code == ErrorCode::untrusted);
  CHECK(table.nodes() == 4);
  const registry::Shape shape{id, 8, 3};
  const auto best = [&] {
    const auto ranking = table.rank({shape, registry::Similarity::embedding, {fingerprint_of(8, 3, 6), {}, metadata::By::joint}}, 4, {}, {});
    CHECK(ranking.known == 1);
    return ranking.best.at(0)->entry.concept_id;
  };
  CHECK(best() == 6);
  table.withdraw(key.id(), id, 6);
  CHECK(table.nodes() == 3);
  CHECK(best() != 6);
  CHECK(table.presences(key.id(), shape).size() == 3);
  CHECK(publish(8, fingerprint_of(8, 3, 8), 8));
  table.withdraw(key.id(), id);
  CHECK(table.nodes() == 0);
}

TEST_CASE("At a registry a remembered concept is found until it is forgotten, and never by its own node") {
  Town town(2);
  const auto live = fingerprint_of(8, 3, 1), past = fingerprint_of(8, 3, 2);
  town.directories[0]->publish(live);
  town.directories[0]->remember({{7, past}});
  town.simulation.run_for(1s);
  const metadata::Need need{past, {}, metadata::By::joint};
  auto found = town.lookup(1, need);
  REQUIRE(found);
  REQUIRE(found->candidates.size() == 2);
  CHECK(found->candidates[0].entry.concept_id + found->candidates[1].entry.concept_id == 7);
  CHECK(town.lookup(0, need)->candidates.empty());
  town.directories[0]->remember({});
  town.simulation.run_for(1s);
  found = town.lookup(1, need);
  REQUIRE(found->candidates.size() == 1);
  CHECK(found->candidates[0].entry.concept_id == 0);
  town.directories[0]->remember({{7, past}});
  town.simulation.run_for(1s);
  town.directories[0]->withdraw();
  town.simulation.run_for(1s);
  CHECK(town.lookup(1, need)->candidates.empty());
}

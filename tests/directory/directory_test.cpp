// The directory on a simulated table: who is found, who is not, and what liars and losses change about it.
#include "overlay/directory/directory.hpp"

#include <catch2/catch.hpp>

#include <set>

#include "tests/overlay/support.hpp"

namespace p2p::overlay {
namespace {

using metadata::Entry;
using metadata::Fingerprint;
using metadata::Place;

constexpr std::uint32_t kDimensions = 8, kClasses = 3;

metadata::Task make_task(const std::string& name = "letters") {
  metadata::Task task;
  task.name = name;
  task.features = {{.name = "x", .count = 4}};
  task.classes = {"a", "b", "c"};
  task.family = "linear";
  task.bandwidth = 1;
  task.embedding_dimensions = kDimensions;
  return task;
}

/// `base`, a little different: what a neighbour has seen.
Fingerprint near(Fingerprint base, std::uint64_t seed) {
  Random random(seed);
  for (auto& value : base.joint) {
    value = static_cast<std::int8_t>(std::clamp(static_cast<int>(value) + static_cast<int>(random.below(9)) - 4, -127, 127));
  }
  return base;
}

struct Overlay {
  explicit Overlay(std::size_t hosts, std::uint64_t seed = 1) : simulation(seed) {
    for (std::size_t i = 0; i < hosts; ++i) {
      auto& host = simulation.add_host();
      host.dht().join(i == 0 ? std::vector<std::string>{} : std::vector<std::string>{simulation.host(0).seed()});
      add_directory(i);
    }
    simulation.run_for(2s);
  }
  void add_directory(std::size_t i, std::function<metadata::Endpoint()> endpoint = {}) {
    auto& host = simulation.host(i);
    if (!endpoint) endpoint = [at = host.endpoint()] { return at; };
    DhtDirectoryOptions with = options;
    with.node_name = host.name();
    directories.resize(std::max(directories.size(), i + 1));
    directories[i] = make_dht_directory({host.executor(), host.dht(), task, host.key(), endpoint}, with);
  }
  struct Answer {
    int calls = 0;
    LookupResult result;
    Duration at{};
    bool has(const metadata::NodeId& id) const {
      return std::any_of(result.candidates.begin(), result.candidates.end(),
                         [&](const auto& c) { return c.entry.node == id; });
    }
  };
  std::shared_ptr<Answer> ask(std::size_t i, const metadata::Need& need, LookupOptions with = {}) {
    auto answer = std::make_shared<Answer>();
    directories[i]->lookup(need, with, [this, answer](LookupResult result) {
      ++answer->calls;
      answer->result = std::move(result);
      answer->at = Duration(simulation.now().us);
    });
    CHECK(answer->calls == 0);
    return answer;
  }
  Answer lookup(std::size_t i, const metadata::Need& need, LookupOptions with = {}) {
    const auto answer = ask(i, need, with);
    simulation.run_for(with.deadline + 1ms);
    CHECK(answer->calls == 1);
    return *answer;
  }
  std::size_t copies(const Fingerprint& fingerprint) {
    std::size_t count = 0;
    for (const auto& place : index.publish_places(fingerprint)) count += simulation.copies(index.key(place));
    return count;
  }
  std::size_t log_lines(const std::string& what) const {
    const auto& lines = const_cast<sim::Simulation&>(simulation).log().lines();
    return static_cast<std::size_t>(std::count_if(
        lines.begin(), lines.end(), [&](const auto& line) { return line.find(what) != std::string::npos; }));
  }
  /// What an honest node of that key would put into `place`.
  Entry entry(const metadata::KeyPair& key, const Place& place, const Fingerprint& fingerprint) {
    Entry out;
    out.task = task_id;
    out.node = key.id();
    out.place = place;
    out.version = simulation.host(0).executor().wall_ms();
    out.endpoint = {"10.9.9.9", 4000};
    out.sketch = index.sketch(fingerprint);
    out.samples = 100;
    out.recall = {200, 200, 200};
    return out;
  }
  void plant(const Entry& planted, const metadata::KeyPair& key, std::uint64_t id) {
    simulation.plant(index.key(planted.place), {id, metadata::seal(planted, key)});
  }

  sim::Simulation simulation;
  metadata::Task task = make_task();
  metadata::TaskId task_id = metadata::id(task);
  DhtDirectoryOptions options;
  metadata::Index index{task_id, kDimensions, kClasses, options.index};
  std::vector<std::unique_ptr<Directory>> directories;
};

metadata::KeyPair key_of(std::uint8_t number) {
  std::array<std::uint8_t, 32> seed{};
  seed.fill(number);
  return metadata::KeyPair::from_seed(seed);
}

const Fingerprint kExperience = test::fingerprint_of(kDimensions, kClasses, 42);

TEST_CASE("A node that published is found by one with like experience, with its endpoint and recall") {
  Overlay net(12);
  net.directories[3]->publish(near(kExperience, 1));
  net.simulation.run_for(5s);
  const auto answer = net.lookup(7, {kExperience, {1}});
  REQUIRE(answer.result.candidates.size() == 1);
  const auto& found = answer.result.candidates[0];
  CHECK(found.entry.node == net.simulation.host(3).id());
  CHECK(found.entry.endpoint == net.simulation.host(3).endpoint());
  CHECK(found.entry.task == net.task_id);
  CHECK(found.sketch_distance < 0.15);
  CHECK(found.needed_recall == Approx(kExperience.accuracy[1]).margin(0.005));
  CHECK(found.seen_in >= 2);
  CHECK(answer.result.gets == net.index.query_places(kExperience, std::vector<std::int32_t>{1}).size());
  CHECK(answer.result.refused == 0);
  CHECK(answer.result.took <= 600ms);
}

TEST_CASE("A node is never its own candidate") {
  Overlay net(12);
  net.directories[3]->publish(kExperience);
  net.simulation.run_for(5s);
  const auto answer = net.lookup(3, {kExperience, {}});
  CHECK(answer.result.candidates.empty());
  CHECK(answer.result.values > 0);
  CHECK(answer.result.refused == 0);
}

TEST_CASE("Entries are refreshed in place: after three hours each holder keeps one per bucket, and it is fresh") {
  Overlay net(12);
  net.directories[3]->publish(kExperience);
  net.simulation.run_for(std::chrono::hours(3));
  const auto answer = net.lookup(7, {kExperience, {}});
  REQUIRE(answer.has(net.simulation.host(3).id()));
  const auto age = net.simulation.host(7).executor().wall_ms() - answer.result.candidates[0].entry.version;
  CHECK(age < 10 * 60 * 1000);
  for (const auto& place : net.index.publish_places(kExperience)) {
    CHECK(net.simulation.copies(net.index.key(place)) == 8);
  }
}

TEST_CASE("A node that withdrew, and one that died, are gone when their entries expire") {
  Overlay net(12);
  const bool dies = GENERATE(true, false);
  net.directories[3]->publish(kExperience);
  net.simulation.run_for(5s);
  if (dies) {
    net.simulation.host(3).crash();
  } else {
    net.directories[3]->withdraw();
  }
  net.simulation.run_for(std::chrono::minutes(19));
  CHECK(net.copies(kExperience) > 0);
  net.simulation.run_for(std::chrono::minutes(2));
  CHECK(net.copies(kExperience) == 0);
  CHECK(net.lookup(7, {kExperience, {}}).result.candidates.empty());
}

TEST_CASE("A changed fingerprint moves its entries, and the old buckets are refreshed no more") {
  Overlay net(12);
  Fingerprint other = kExperience;
  for (auto& value : other.joint) value = static_cast<std::int8_t>(-value);  // the other side of every plane
  other.accuracy = {0.1f, 0.1f, 0.1f};                                      // and of no label bucket
  const auto old_places = net.index.publish_places(kExperience);
  const auto new_places = net.index.publish_places(other);
  for (const auto& place : new_places) {
    REQUIRE(std::find(old_places.begin(), old_places.end(), place) == old_places.end());
  }
  net.directories[3]->publish(kExperience);
  net.simulation.run_for(60s);
  net.directories[3]->publish(other);
  net.simulation.run_for(60s);
  CHECK(net.copies(other) == new_places.size() * 8);
  CHECK(net.copies(kExperience) == old_places.size() * 8);
  // Whoever still reads an old bucket sees the node once; the newest entry is the one that counts.
  const auto both = net.lookup(7, {kExperience, {0, 1, 2}});
  CHECK(both.result.candidates.size() <= 1);
  net.simulation.run_for(std::chrono::minutes(21));
  CHECK(net.copies(kExperience) == 0);
  CHECK(net.copies(other) == new_places.size() * 8);
}

TEST_CASE("Publishing the same again costs nothing") {
  Overlay net(12);
  net.directories[3]->publish(kExperience);
  net.simulation.run_for(5s);
  const auto puts = net.log_lines("put under");
  CHECK(puts == net.index.publish_places(kExperience).size());
  for (int i = 0; i < 20; ++i) {
    net.directories[3]->publish(kExperience);
    net.simulation.run_for(2s);
  }
  CHECK(net.log_lines("put under") == puts);
  Fingerprint better = kExperience;
  better.accuracy[1] = 0.99f;
  net.directories[3]->publish(better);
  net.simulation.run_for(5s);
  CHECK(net.log_lines("put under") == 2 * puts);
}

TEST_CASE("A node that restarts replaces its entries instead of adding to them") {
  Overlay net(12);
  net.directories[3]->publish(kExperience);
  net.simulation.run_for(5s);
  const auto before = net.copies(kExperience);
  net.simulation.host(3).crash();
  net.directories[3].reset();
  net.simulation.host(3).restart();
  net.simulation.host(3).dht().join({net.simulation.host(0).seed()});
  net.add_directory(3);
  net.simulation.run_for(5s);
  net.directories[3]->publish(kExperience);
  net.simulation.run_for(5s);
  const auto holders = net.index.publish_places(kExperience).size() * 8;
  CHECK(before == holders);
  CHECK(net.copies(kExperience) == holders);
  CHECK(net.lookup(7, {kExperience, {}}).result.candidates.size() == 1);
}

TEST_CASE("Puts that fail are tried again until the table is there") {
  Overlay net(12);
  net.simulation.table().down = true;
  net.directories[3]->publish(kExperience);
  net.simulation.run_for(std::chrono::minutes(3));
  CHECK(net.copies(kExperience) == 0);
  CHECK(net.log_lines("put failed") < 12u * net.index.publish_places(kExperience).size() + 50);
  CHECK(net.lookup(7, {kExperience, {}}).result.candidates.empty());
  net.simulation.table().down = false;
  net.simulation.run_for(20s);
  CHECK(net.lookup(7, {kExperience, {}}).has(net.simulation.host(3).id()));
}

TEST_CASE("A node that does not accept links yet is listed once it does") {
  Overlay net(12);
  metadata::Endpoint endpoint;
  net.add_directory(3, [&endpoint] { return endpoint; });
  net.directories[3]->publish(kExperience);
  net.simulation.run_for(30s);
  CHECK(net.copies(kExperience) == 0);
  endpoint = {"10.0.0.3", 4000};
  net.simulation.run_for(5s);
  CHECK(net.lookup(7, {kExperience, {}}).has(net.simulation.host(3).id()));
}

TEST_CASE("A clock that is five minutes off does no harm; with one that is fifteen off nobody else holds the entries") {
  Overlay net(12);
  const int minutes = GENERATE(-15, -5, 5, 15);
  net.simulation.host(3).set_clock_offset(std::chrono::minutes(minutes));
  net.directories[3]->publish(kExperience);
  net.simulation.run_for(30s);
  const auto places = net.index.publish_places(kExperience).size();
  if (std::abs(minutes) < 10) {
    CHECK(net.copies(kExperience) == 8 * places);
    CHECK(net.lookup(7, {kExperience, {}}).has(net.simulation.host(3).id()));
  } else {
    CHECK(net.copies(kExperience) == net.simulation.host(3).stored_values());
  }
}

TEST_CASE("The readable twin lies under the node's text key, and stays there") {
  Overlay net(12);
  net.directories[3]->publish(kExperience);
  net.simulation.run_for(5s);
  const auto key = metadata::text_key(metadata::twin_name(net.simulation.host(3).id()));
  for (int i = 0; i < 6; ++i) {
    const auto text = net.simulation.text(key);
    REQUIRE(text);
    CHECK(text->find(net.simulation.host(3).id().hex()) != std::string::npos);
    CHECK(text->find("\"name\":\"h3\"") != std::string::npos);
    net.simulation.run_for(std::chrono::minutes(9));
  }
  net.directories[3]->withdraw();
  net.simulation.run_for(std::chrono::minutes(11));
  CHECK_FALSE(net.simulation.text(key));
}

TEST_CASE("Values that are not valid entries of this bucket and task are refused, and hide nobody") {
  Overlay net(12);
  net.directories[3]->publish(near(kExperience, 1));
  net.simulation.run_for(5s);
  const auto key = key_of(1);
  const auto places = net.index.query_places(kExperience, {});
  const auto place = places[0];
  const auto other_place = places[1];
  std::uint64_t id = 1;
  SECTION("random bytes") { net.simulation.plant(net.index.key(place), {id, test::random_bytes(300, 1)}); }
  SECTION("nothing") { net.simulation.plant(net.index.key(place), {id, {}}); }
  SECTION("sixty kilobytes") { net.simulation.plant(net.index.key(place), {id, test::random_bytes(60'000, 1)}); }
  SECTION("an entry of another bucket") {
    net.simulation.plant(net.index.key(place), {id, metadata::seal(net.entry(key, other_place, kExperience), key)});
  }
  SECTION("an entry of another task") {
    auto foreign = net.entry(key, place, kExperience);
    foreign.task = metadata::id(make_task("digits"));
    net.simulation.plant(net.index.key(place), {id, metadata::seal(foreign, key)});
  }
  SECTION("an entry with a flipped bit") {
    Bytes sealed = metadata::seal(net.entry(key, place, kExperience), key);
    sealed[sealed.size() - 3] ^= 1;
    net.simulation.plant(net.index.key(place), {id, sealed});
  }
  const auto answer = net.lookup(7, {kExperience, {}});
  CHECK(answer.result.refused == 1);
  CHECK(answer.result.candidates.size() == 1);
  CHECK(answer.has(net.simulation.host(3).id()));
}

TEST_CASE("Of several entries of a node the newest counts, wherever it lies") {
  Overlay net(12);
  const auto key = key_of(1);
  const auto places = net.index.query_places(kExperience, {});
  auto stale = net.entry(key, places[0], kExperience);
  stale.version -= 60'000;
  stale.endpoint = {"10.1.1.1", 1};
  auto fresh = net.entry(key, places[1], kExperience);
  fresh.endpoint = {"10.2.2.2", 2};
  auto stalest = net.entry(key, places[2], kExperience);
  stalest.version -= 120'000;
  for (const auto* entry : {&stale, &fresh, &stalest}) net.plant(*entry, key, entry->version);
  const auto answer = net.lookup(7, {kExperience, {}});
  REQUIRE(answer.result.candidates.size() == 1);
  CHECK(answer.result.candidates[0].entry.endpoint == fresh.endpoint);
  CHECK(answer.result.candidates[0].seen_in == 3);
}

TEST_CASE("Candidates are ranked by needed recall, then likeness, then freshness, and cut to those wanted") {
  Overlay net(12);
  const auto places = net.index.query_places(kExperience, {});
  const auto far = test::fingerprint_of(kDimensions, kClasses, 4242);
  const auto add = [&](std::uint8_t number, std::uint8_t recall_of_2, const Fingerprint& like, std::uint64_t age_ms) {
    const auto key = key_of(number);
    auto entry = net.entry(key, places[0], like);
    entry.recall = {255, 255, recall_of_2};
    entry.version -= age_ms;
    net.plant(entry, key, number);
    return key.id();
  };
  const auto unlike = add(1, 250, far, 0);
  const auto best = add(2, 250, kExperience, 0);
  const auto ignorant = add(3, 0, kExperience, 0);
  const auto poor = add(4, 60, kExperience, 0);
  const auto older = add(5, 250, kExperience, 9 * 60 * 1000);
  const auto answer = net.lookup(7, {kExperience, {2}});
  std::vector<metadata::NodeId> order;
  for (const auto& candidate : answer.result.candidates) order.push_back(candidate.entry.node);
  CHECK(order == std::vector<metadata::NodeId>{best, older, unlike, poor, ignorant});
  CHECK(answer.result.candidates[4].needed_recall == 0);

  const auto two = net.lookup(7, {kExperience, {2}}, {.want = 2});
  REQUIRE(two.result.candidates.size() == 2);
  CHECK(two.result.candidates[0].entry.node == best);
  CHECK(two.result.candidates[1].entry.node == older);

  // Those who are not wanted take nobody's place.
  const auto others = net.lookup(7, {kExperience, {2}}, {.want = 2, .skip = [&](const metadata::NodeId& node) {
                                                           return node == best || node == unlike;
                                                         }});
  REQUIRE(others.result.candidates.size() == 2);
  CHECK(others.result.candidates[0].entry.node == older);
  CHECK(others.result.candidates[1].entry.node == poor);
  CHECK(others.result.skipped == 2);
}

TEST_CASE("A flooded bucket makes a reader verify max_values_per_key records of it, and hides no other bucket") {
  Overlay net(12);
  net.directories[3]->publish(near(kExperience, 1));
  net.simulation.run_for(5s);
  const auto place = net.index.query_places(kExperience, {})[0];
  for (std::uint64_t i = 0; i < 300; ++i) {
    net.simulation.plant(net.index.key(place), {i + 1, test::random_bytes(400, i)});
  }
  const auto answer = net.lookup(7, {kExperience, {}});
  CHECK(answer.result.refused == 64);
  CHECK(answer.has(net.simulation.host(3).id()));
}

TEST_CASE("A lookup ends at its deadline with what has come") {
  Overlay net(12);
  net.directories[3]->publish(kExperience);
  net.simulation.run_for(20s);
  SECTION("nothing has") {
    net.simulation.network().latency_low = net.simulation.network().latency_high = 400ms;
    const auto began = Duration(net.simulation.now().us);
    const auto answer = net.lookup(7, {kExperience, {}});
    CHECK(answer.at - began == 600ms);
    CHECK(answer.result.took == 600ms);
    CHECK(answer.result.candidates.empty());
  }
  SECTION("some answers are lost") {
    net.simulation.network().loss = 0.3;
    const auto began = Duration(net.simulation.now().us);
    const auto answer = net.lookup(7, {kExperience, {}});
    CHECK(answer.at - began == 600ms);
    CHECK(answer.has(net.simulation.host(3).id()));
  }
}

TEST_CASE("A lookup that knows enough does not wait for the slowest holder") {
  Overlay net(40);
  for (std::size_t i = 0; i < 20; ++i) net.directories[i]->publish(near(kExperience, i));
  net.simulation.run_for(10s);
  net.simulation.network().loss = 0.1;  // nearly every get has a question that is asked again after a second
  int early = 0;
  for (std::size_t i = 20; i < 40; ++i) {
    const auto answer = net.ask(i, {kExperience, {}});
    net.simulation.run_for(5s);
    REQUIRE(answer->calls == 1);
    CHECK(answer->result.candidates.size() == 5);
    if (answer->result.took < 400ms) ++early;
  }
  CHECK(early >= 18);
}

TEST_CASE("A lookup that has found too few goes on until every bucket has been read") {
  Overlay net(12);
  net.directories[3]->publish(kExperience);
  net.simulation.run_for(5s);
  const auto one = net.lookup(7, {kExperience, {}}, {.want = 1});
  const auto five = net.lookup(7, {kExperience, {}}, {.want = 5});
  CHECK(one.result.candidates.size() == 1);
  CHECK(five.result.candidates.size() == 1);
  CHECK(five.result.took < 600ms);
}

TEST_CASE("With half of the holders lying the honest entries are still found, and the lies are counted") {
  Overlay net(30);
  for (std::size_t i = 0; i < 15; ++i) net.simulation.host(i).set_table_liar(true);
  for (std::size_t i = 20; i < 25; ++i) net.directories[i]->publish(near(kExperience, i));
  net.simulation.run_for(10s);
  const auto answer = net.lookup(27, {kExperience, {}}, {.want = 10});
  CHECK(answer.result.refused > 10);
  CHECK(answer.result.candidates.size() == 5);
  for (const auto& candidate : answer.result.candidates) {
    bool honest = false;
    for (std::size_t i = 20; i < 25; ++i) honest |= candidate.entry.node == net.simulation.host(i).id();
    CHECK(honest);
  }
}

TEST_CASE("Doubled and lost table messages do not double or lose an entry") {
  Overlay net(30);
  net.simulation.network().duplication = 0.5;
  net.simulation.network().loss = 0.1;
  net.directories[3]->publish(kExperience);
  net.simulation.run_for(10s);
  const auto answer = net.lookup(7, {kExperience, {}});
  REQUIRE(answer.result.candidates.size() == 1);
  CHECK(answer.result.values <= answer.result.gets);
}

TEST_CASE("After a partition heals, both sides find each other when entries are refreshed") {
  Overlay net(20);
  for (std::size_t i = 10; i < 20; ++i) net.simulation.host(i).set_group(1);
  net.simulation.partition();
  net.directories[3]->publish(near(kExperience, 3));
  net.directories[13]->publish(near(kExperience, 13));
  net.simulation.run_for(30s);
  CHECK(net.lookup(7, {kExperience, {}}).has(net.simulation.host(3).id()));
  CHECK_FALSE(net.lookup(7, {kExperience, {}}).has(net.simulation.host(13).id()));
  CHECK(net.lookup(17, {kExperience, {}}).has(net.simulation.host(13).id()));
  net.simulation.heal();
  net.simulation.run_for(std::chrono::minutes(10));
  const auto here = net.lookup(7, {kExperience, {}});
  CHECK((here.has(net.simulation.host(3).id()) && here.has(net.simulation.host(13).id())));
}

TEST_CASE("Nodes that start together do not refresh together") {
  Overlay net(60);
  for (auto& directory : net.directories) directory->publish(kExperience);
  net.simulation.run_for(10s);
  const auto first = net.simulation.log().lines().size();
  net.simulation.run_for(std::chrono::minutes(11));
  std::map<long, int> per_half_minute;
  int puts = 0;
  const auto& lines = net.simulation.log().lines();
  for (std::size_t i = first; i < lines.size(); ++i) {
    if (lines[i].find("put under") == std::string::npos) continue;
    ++per_half_minute[std::stol(lines[i]) / 30'000'000];
    ++puts;
  }
  REQUIRE(puts >= 60 * 4);
  for (const auto& [when, count] : per_half_minute) CHECK(count < puts / 3);
}

TEST_CASE("A directory that is destroyed in mid-lookup reports nothing") {
  Overlay net(12);
  const auto answer = net.ask(7, {kExperience, {}});
  net.simulation.run_for(10ms);
  net.directories[7].reset();
  net.simulation.run_for(5s);
  CHECK(answer->calls == 0);
}

TEST_CASE("A need without experience and classes reads nothing and finds nobody") {
  Overlay net(12);
  Fingerprint empty = kExperience;
  empty.count.assign(kClasses, 0.f);
  const auto answer = net.lookup(7, {empty, {}});
  CHECK(answer.result.gets == 0);
  CHECK(answer.result.candidates.empty());
}

TEST_CASE("Nobody's directory answers every lookup with nobody, once and not at once") {
  sim::Simulation simulation(1);
  const auto directory = make_no_directory(simulation.add_host().executor());
  directory->publish(kExperience);
  int calls = 0;
  directory->lookup({kExperience, {}}, {}, [&](LookupResult result) {
    ++calls;
    CHECK(result.candidates.empty());
    CHECK(result.gets == 0);
  });
  CHECK(calls == 0);
  simulation.run_for(1s);
  CHECK(calls == 1);
}

}  // namespace
}  // namespace p2p::overlay

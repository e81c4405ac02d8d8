// One lookup: what it finds, what it costs, when it reports.
#include "overlay/directory/lookup.hpp"

#include "tests/directory/support.hpp"

namespace p2p::directory {
namespace {

using namespace test;

/// Sixty nodes of six kinds, settled.
Overlay& settled() {
  static auto net = [] {
    auto out = std::make_unique<Overlay>(64, 3);
    for (std::size_t i = 0; i < 60; ++i) {
      out->publish(i, one_of(6, i));
      out->simulation.run_for(1s);
    }
    out->simulation.run_for(minutes(5));
    return out;
  }();
  return *net;
}

TEST_CASE("Somebody with like experience is found, with fingerprint, endpoint and true distance") {
  Overlay& net = settled();
  const Need need{near(*net.shown[3], 5), {1}, By::joint};
  const auto answer = net.lookup(3, need);
  REQUIRE(answer.result.candidates.size() == 5);
  for (const auto& found : answer.result.candidates) {
    std::size_t i = 0;
    while (net.id(i) != found.entry.node) ++i;
    CHECK(i != 3);
    CHECK(found.entry.endpoint == net.simulation.host(i).endpoint());
    REQUIRE(found.fingerprint);
    CHECK(*found.fingerprint == *net.shown[i]);
    CHECK(found.distance == Approx(metadata::plain_distance(need, *net.shown[i])));
    CHECK(found.needed_recall == Approx(net.shown[i]->accuracy[1]).margin(0.08));
    CHECK(found.round_trip.count() >= 0);
  }
  CHECK(answer.result.took <= 600ms);
}

TEST_CASE("Candidates come best first, at most as many as wanted, and never the asker or one twice") {
  Overlay& net = settled();
  for (std::size_t asker = 0; asker < 60; asker += 7) {
    const Need need{near(*net.shown[asker], 9), {}, By::joint};
    for (const std::size_t want : {1u, 3u, 10u}) {
      const auto answer = net.lookup(asker, need, {.want = want});
      CHECK(answer.result.candidates.size() == want);
      double last = -1e9;
      std::set<metadata::NodeId> nodes;
      for (const auto& found : answer.result.candidates) {
        CHECK(found.entry.node != net.id(asker));
        CHECK(nodes.insert(found.entry.node).second);
        if (!found.fingerprint) continue;
        CHECK(rank(found, need) >= last);
        last = rank(found, need);
      }
    }
  }
}

TEST_CASE("Of sixty nodes the ten truly nearest are found") {
  CHECK(settled().recall_at_ten(20) >= 0.95);
}

TEST_CASE("Joint, marginal and class needs each find what they ask for") {
  Overlay& net = settled();
  SECTION("marginal") {
    const Need need{near(*net.shown[4], 5), {}, By::marginal};
    const auto answer = net.lookup(61, need, {.want = 12, .deadline = 2s});
    CHECK(net.recall(answer, need, 5, 61) >= 0.8);
    for (const auto& found : answer.result.candidates) {
      if (found.fingerprint) CHECK(found.distance == Approx(metadata::plain_distance(need, *found.fingerprint)));
    }
  }
  SECTION("joint, by one who has published nothing") {
    const Need need{near(*net.shown[4], 5), {}, By::joint};
    CHECK(net.recall(net.lookup(62, need, {.want = 12, .deadline = 2s}), need, 5, 62) >= 0.8);
  }
  SECTION("classes, with and without experience") {
    Need need{near(*net.shown[4], 5), {2}, By::classes};
    const bool blank = GENERATE(true, false);
    if (blank) need.experience.count.assign(kClasses, 0.f);
    const auto answer = net.lookup(62, need, {.want = 5, .deadline = 2s});
    REQUIRE(answer.result.candidates.size() == 5);
    for (const auto& found : answer.result.candidates) CHECK(found.needed_recall >= Entry::kKnownRecall);
  }
}

TEST_CASE("A need without experience and classes reads nothing and is answered") {
  Overlay& net = settled();
  Fingerprint empty = *net.shown[1];
  empty.count.assign(kClasses, 0.f);
  const auto answer = net.lookup(63, {empty, {}, By::joint});
  CHECK(answer.result.gets == 0);
}

TEST_CASE("A lookup never costs more gets, questions and fetches than it may") {
  Overlay& net = settled();
  Random random(8);
  for (int i = 0; i < 60; ++i) {
    LookupOptions with{.want = 1 + random.below(10),
                       .deadline = 2s,
                       .gets = random.below(4),
                       .questions = random.below(20),
                       .fetches = random.below(20)};
    Need need{one_of(60, 100 + random.below(60)), {}, static_cast<By>(random.below(3))};
    if (random.below(2) == 0) need.classes = {static_cast<std::int32_t>(random.below(kClasses))};
    const auto before = net.simulation.host(61).dht().stats();
    const auto answer = net.lookup(61, need, with);
    CHECK(answer.result.gets <= with.gets);
    CHECK(answer.result.questions <= with.questions + (with.questions > 0 ? LookupOptions::kMoreQuestions : 0));
    CHECK(answer.result.fetches <= with.fetches);
    CHECK(answer.result.candidates.size() <= with.want);
    const auto after = net.simulation.host(61).dht().stats();
    CHECK(after.sent_datagrams - before.sent_datagrams <= answer.result.questions + answer.result.fetches + 1);
    CHECK(answer.result.answers <= answer.result.questions);
  }
}

TEST_CASE("Who knows nobody asks whoever is near in the table, reads no bucket, and costs no more than it may") {
  Overlay net(60, 17);
  net.publish_all(60s, [](std::size_t i) { return one_of(6, i); });
  net.simulation.run_for(minutes(2));
  const auto i = net.add_host();
  net.simulation.run_for(2s);
  const Need need{near(kind(2), 3, 20), {}, By::joint};
  const auto answer = net.lookup(i, need, {.want = 16, .deadline = 3s});
  CHECK(answer.result.gets == 0);
  CHECK(answer.result.questions <= 16 + LookupOptions::kMoreQuestions);
  CHECK(answer.result.fetches <= 24);
  CHECK(net.recall(answer, need, 10, i) >= 0.9);
}

TEST_CASE("Where the neighbours of the table do nothing for the task, who knows nobody reads buckets") {
  // One in eight has anything to do with it; the others are tables and no more.
  Overlay net(80, 18);
  for (std::size_t i = 0; i < 80; ++i) {
    if (i % 8 != 0) net.directories[i].reset();
  }
  for (std::size_t i = 0; i < 80; i += 8) {
    net.publish(i, one_of(2, i));
    net.simulation.run_for(2s);
  }
  net.simulation.run_for(minutes(2));
  int read = 0;
  for (int k = 0; k < 8; ++k) {
    const auto i = net.add_host();
    net.simulation.run_for(2s);
    const Need need{near(kind(0), 3, 20), {}, By::joint};
    const auto answer = net.lookup(i, need, {.want = 10, .deadline = 3s});
    CHECK(net.recall(answer, need, 5, i) >= 0.8);
    read += answer.result.gets > 0 ? 1 : 0;
    net.kill(i);
  }
  CHECK(read > 0);
}

TEST_CASE("Nobody is asked, and nothing is read, by who knows nobody and may do neither") {
  Overlay& net = settled();
  const auto i = net.add_host();
  net.simulation.run_for(2s);
  const auto answer = net.lookup(i, {near(kind(0), 3, 20), {}, By::joint}, {.deadline = 2s, .gets = 0, .questions = 0});
  CHECK(answer.result.questions == 0);
  CHECK(answer.result.gets == 0);
  CHECK(answer.result.candidates.empty());
  net.kill(i);
}

TEST_CASE("Nodes that are not wanted take nobody's place") {
  Overlay& net = settled();
  const Need need{near(*net.shown[3], 5), {}, By::joint};
  const auto all = net.lookup(3, need, {.want = 6, .deadline = 2s});
  REQUIRE(all.result.candidates.size() == 6);
  std::set<metadata::NodeId> unwanted;
  for (std::size_t i = 0; i < 3; ++i) unwanted.insert(all.result.candidates[i].entry.node);
  LookupOptions with{.want = 3, .deadline = 2s, .skip = [&](const metadata::NodeId& node) { return unwanted.contains(node); }};
  std::set<metadata::NodeId> streamed;
  with.on_candidate = [&](const Candidate& c) { streamed.insert(c.entry.node); };
  const auto rest = net.lookup(3, need, with);
  REQUIRE(rest.result.candidates.size() == 3);
  CHECK(rest.result.skipped == 3);
  for (const auto& found : rest.result.candidates) CHECK_FALSE(unwanted.contains(found.entry.node));
  for (const auto& node : streamed) CHECK_FALSE(unwanted.contains(node));
  std::set<metadata::NodeId> expected;
  for (std::size_t i = 3; i < 6; ++i) expected.insert(all.result.candidates[i].entry.node);
  std::size_t same = 0;
  for (const auto& found : rest.result.candidates) same += expected.contains(found.entry.node) ? 1 : 0;
  CHECK(same >= 2);
}

TEST_CASE("Candidates stream in before the lookup is done, each once, and never after") {
  Overlay& net = settled();
  const Need need{near(*net.shown[8], 5), {}, By::joint};
  bool done = false, late = false;
  std::map<metadata::NodeId, int> streamed;
  LookupOptions with{.want = 5, .deadline = 150ms};
  with.on_candidate = [&](const Candidate& c) {
    late |= done;
    CHECK(c.fingerprint);
    ++streamed[c.entry.node];
  };
  LookupResult result;
  net.directories[8]->lookup(need, with, [&](LookupResult r) {
    done = true;
    result = std::move(r);
  });
  CHECK(streamed.empty());
  net.simulation.run_for(5s);
  CHECK(done);
  CHECK_FALSE(late);
  for (const auto& found : result.candidates) {
    if (found.fingerprint) CHECK(streamed[found.entry.node] == 1);
  }
}

TEST_CASE("A lookup ends at its deadline with what has come") {
  Overlay net(20, 5);
  net.publish_all(20s, [](std::size_t i) { return one_of(2, i); });
  net.simulation.run_for(minutes(2));
  const Need need{near(*net.shown[3], 5), {}, By::joint};
  SECTION("nothing has") {
    net.simulation.network().latency_low = net.simulation.network().latency_high = 5s;
    const auto began = net.simulation.now();
    const auto answer = net.lookup(3, need);
    CHECK(answer.at - began <= 600ms);
    CHECK(answer.result.answers == 0);
  }
  SECTION("some of it is lost") {
    net.simulation.network().loss = 0.2;
    const auto began = net.simulation.now();
    const auto answer = net.lookup(3, need);
    CHECK(answer.at - began <= 600ms);
    CHECK(answer.result.candidates.size() == 5);
  }
}

TEST_CASE("A directory that goes in mid-lookup reports nothing, also when it goes in a report") {
  Overlay net(20, 5);
  net.publish_all(20s, [](std::size_t i) { return one_of(2, i); });
  net.simulation.run_for(minutes(1));
  const Need need{near(*net.shown[3], 5), {}, By::joint};
  int calls = 0;
  SECTION("at any time") {
    for (std::size_t i = 0; i < 20; ++i) {
      net.directories[i]->lookup(need, {}, [&](LookupResult) { ++calls; });
      net.simulation.run_for(Duration(static_cast<std::int64_t>(i) * 1000));
      if (calls == 0) net.directories[i].reset();
      calls = 0;
    }
    net.simulation.run_for(5s);
    CHECK(calls == 0);
  }
  SECTION("in a candidate's report") {
    LookupOptions with;
    with.on_candidate = [&](const Candidate&) { net.directories[3].reset(); };
    net.directories[3]->lookup(need, with, [&](LookupResult) { ++calls; });
    net.simulation.run_for(5s);
    CHECK(calls == 0);
    CHECK(net.directories[3] == nullptr);
  }
  SECTION("in the result's") {
    net.directories[3]->lookup(need, {}, [&](LookupResult) {
      ++calls;
      net.directories[3].reset();
    });
    net.simulation.run_for(5s);
    CHECK(calls == 1);
  }
}

TEST_CASE("Twenty lookups at once are all answered, once each") {
  Overlay& net = settled();
  std::vector<std::shared_ptr<Overlay::Answer>> answers;
  for (std::size_t i = 0; i < 20; ++i) answers.push_back(net.ask(2, {one_of(6, i), {}, By::joint}));
  net.simulation.run_for(2s);
  for (const auto& answer : answers) {
    CHECK(answer->calls == 1);
    CHECK(answer->result.candidates.size() == 5);
  }
}

TEST_CASE("Nobody's directory answers every lookup with nobody, once and not at once") {
  sim::Simulation simulation(1);
  const auto directory = make_no_directory(simulation.add_host().executor());
  directory->publish(experience());
  int calls = 0;
  directory->lookup({experience(), {}}, {}, [&](LookupResult result) {
    ++calls;
    CHECK(result.candidates.empty());
    CHECK(result.gets == 0);
  });
  CHECK(calls == 0);
  simulation.run_for(1s);
  CHECK(calls == 1);
  CHECK(directory->watch({experience(), {}}, 1, [](const Candidate&) {}) == 0);
}

}  // namespace
}  // namespace p2p::directory

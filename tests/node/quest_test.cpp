#include "overlay/node/quest.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "overlay/node/trust.hpp"
#include "overlay/sim/simulation.hpp"
#include "tests/node/learners.hpp"
#include "tests/node/silent_directory.hpp"

using namespace p2p;
using namespace p2p::testing;
using node::Quest;

namespace {

/// A directory that answers what it was told, after a while or never.
class Listing final : public SilentDirectory {
 public:
  using SilentDirectory::SilentDirectory;
  void lookup(const metadata::Need&, const directory::LookupOptions& options,
              std::function<void(directory::LookupResult)> done) override {
    if (silent) return;
    directory::LookupResult result;
    for (const auto* host : hosts) {
      if (options.skip && options.skip(host->id())) {
        ++result.skipped;
        continue;
      }
      directory::Candidate candidate;
      candidate.entry.node = host->id();
      candidate.entry.endpoint = host->endpoint();
      result.candidates.push_back(candidate);
    }
    result.gets = 7;
    executor_.post([done = std::move(done), result = std::move(result)] { done(result); });
  }
  std::vector<const sim::Host*> hosts;
  bool silent = false;
};

metadata::Fingerprint experience(const metadata::Task& task, const Concept& what, float claimed,
                                 std::uint64_t place) {
  Stream stream(kWorld, place);
  stream.set(what, kAll);
  return testing::experience(task, stream, 300, claimed);
}

/// A peer with a description and one block per class.
struct Peer {
  sim::Host& host;
  metadata::Fingerprint fingerprint;
  std::size_t block_bytes = 100;
  int described = 0, offered = 0;
  bool garbled = false;
  std::unique_ptr<overlay::Exchange> exchange;

  Peer(sim::Host& its_host, const metadata::TaskId& task, metadata::Fingerprint its_fingerprint)
      : host(its_host), fingerprint(std::move(its_fingerprint)) {
    exchange = std::make_unique<overlay::Exchange>(
        host.executor(), host.transport(),
        overlay::ExchangeHost{
            .describe =
                [this, task](const metadata::TaskId&) {
                  ++described;
                  if (garbled) return Bytes{1, 2, 3};
                  return metadata::seal(metadata::Description{task, host.id(), 1, fingerprint}, host.key());
                },
            .offer =
                [this](const metadata::TaskId&, const std::vector<std::int32_t>&) {
                  ++offered;
                  auto offer = std::make_shared<overlay::Offer>();
                  offer->family = "rff";
                  Random random(host.index());  // content of its own: nothing to share between peers
                  Bytes content(block_bytes);
                  for (auto& byte : content) byte = static_cast<std::uint8_t>(random.next());
                  offer->blocks.push_back({"class/1", {1}, 10, std::move(content)});
                  return std::shared_ptr<const overlay::Offer>(offer);
                },
            .on_feedback = {}},
        overlay::ExchangeLimits{});
  }
};

struct Scene {
  metadata::Task task = make_task(kWorld);
  metadata::TaskId id = metadata::id(task);
  sim::Simulation sim{5};
  sim::Host& asker = sim.add_host();
  Listing listing{asker.executor()};
  overlay::Exchange exchange{asker.executor(), asker.transport(), {}, {}};
  std::vector<std::unique_ptr<Peer>> peers;
  std::vector<metadata::NodeId> refused;
  node::Trust trust;
  std::optional<Quest::Findings> findings;
  int reports = 0;
  std::shared_ptr<Quest> quest;
  Quest::Options options{.lookup = {},
                         .ask = 4,
                         .pull_from = 2,
                         .ask_deadline = std::chrono::milliseconds(1500),
                         .pull_deadline = std::chrono::seconds(10),
                         .pull_grace = std::chrono::milliseconds(500)};

  Peer& add(const Concept& what, float claimed) {
    auto& host = sim.add_host();
    peers.push_back(std::make_unique<Peer>(host, id, experience(task, what, claimed, host.index() + 20)));
    listing.hosts.push_back(&host);
    return *peers.back();
  }
  void start(std::function<bool(const metadata::NodeId&)> skip = {}) {
    Quest::Request request;
    request.need = {experience(task, rotated(5), 0.2f, 3), {}};
    request.own_accuracy = 0.2;
    request.skip = std::move(skip);
    request.trust = [this](const metadata::NodeId& peer) { return trust.worth(peer); };
    quest = std::make_shared<Quest>(
        Quest::Context{asker.executor(), listing, exchange, id, kClasses}, options, std::move(request),
        Quest::Observer{
            .on_stage = [](Quest::Stage, const Quest::Findings&) {},
            .on_refused = [this](const metadata::NodeId& peer, const Error&) { refused.push_back(peer); },
            .on_part = [](const node::Received&) {},
            .on_done =
                [this](Quest::Findings found) {
                  ++reports;
                  findings = std::move(found);
                }});
    quest->start();
    CHECK(reports == 0);
  }
  overlay::Duration run() {
    const auto begin = sim.now();
    sim.run_until([this] { return reports > 0; }, std::chrono::seconds(60));
    const auto took = sim.now() - begin;
    sim.run_for(std::chrono::seconds(60));
    CHECK(reports == 1);
    return took;
  }
};

}  // namespace

TEST_CASE("The nearest peers that know more are pulled from, best first") {
  Scene scene;
  auto& far = scene.add(rotated(8), 0.95f);
  auto& near = scene.add(rotated(5), 0.9f);
  auto& weak = scene.add(rotated(5), 0.5f);
  scene.start();
  scene.run();
  REQUIRE(scene.findings->parts.size() == 2);
  CHECK(scene.findings->parts[0].helper.peer.id == near.host.id());
  CHECK(scene.findings->parts[0].bytes == 100);
  CHECK(scene.findings->parts[0].part.blocks.at(0).name == "class/1");
  CHECK(near.offered == 1);
  CHECK(far.offered + weak.offered == 1);
  CHECK(scene.findings->gets == 7);
  CHECK(scene.findings->described == 3);
}

TEST_CASE("Whoever's data are nearest is pulled from, however much the others boast") {
  for (const std::size_t modest : {0, 1, 2}) {
    Scene scene;
    for (std::size_t i = 0; i < 3; ++i) scene.add(rotated(5), i == modest ? 0.6f : 0.99f);
    scene.start();
    scene.run();
    const metadata::Need need{experience(scene.task, rotated(5), 0.2f, 3), {}};
    const auto& nearest = *std::min_element(scene.peers.begin(), scene.peers.end(), [&](const auto& a, const auto& b) {
      return metadata::need_distance(need, a->fingerprint) < metadata::need_distance(need, b->fingerprint);
    });
    CHECK(nearest->offered == 1);
    CHECK(scene.findings->parts.size() == 2);
  }
}

TEST_CASE("Of equal helpers the one whose parts were worth something here is pulled from first") {
  for (const std::size_t favoured : {0, 1}) {
    Scene scene;
    scene.options.pull_from = 1;
    scene.add(rotated(5), 0.9f);
    scene.add(rotated(5), 0.9f);
    scene.trust.record(scene.peers[favoured]->host.id(), 0.5, {});
    scene.trust.record(scene.peers[1 - favoured]->host.id(), -0.5, {});
    scene.start();
    scene.run();
    REQUIRE(scene.findings->parts.size() == 1);
    CHECK(scene.findings->parts[0].helper.peer.id == scene.peers[favoured]->host.id());
  }
}

TEST_CASE("A peer that claims no more than the asker has already is not pulled from") {
  Scene scene;
  auto& peer = scene.add(rotated(5), 0.1f);
  scene.start();
  scene.run();
  CHECK(scene.findings->parts.empty());
  CHECK_THAT(scene.findings->nothing, Catch::Contains("does better"));
  CHECK(peer.offered == 0);
}

TEST_CASE("An empty directory ends the journey at once, with a sentence") {
  Scene scene;
  scene.start();
  CHECK(scene.run() < std::chrono::milliseconds(10));
  CHECK_THAT(scene.findings->nothing, Catch::Contains("nobody"));
}

TEST_CASE("A directory that never answers costs its deadline and a second, no more") {
  Scene scene;
  scene.listing.silent = true;
  scene.start();
  CHECK(scene.run() <= std::chrono::milliseconds(1700));
  CHECK_THAT(scene.findings->nothing, Catch::Contains("directory"));
}

TEST_CASE("A peer that is skipped is not even asked") {
  Scene scene;
  auto& peer = scene.add(rotated(5), 0.9f);
  scene.start([](const metadata::NodeId&) { return true; });
  scene.run();
  CHECK(peer.described == 0);
  CHECK(scene.findings->parts.empty());
}

TEST_CASE("A silent peer holds up asking for its deadline only") {
  Scene scene;
  auto& silent = scene.add(rotated(5), 0.95f);
  scene.add(rotated(5), 0.9f);
  silent.host.stall_links(true);
  scene.start();
  CHECK(scene.run() < std::chrono::seconds(3));
  CHECK(scene.findings->parts.size() == 1);
  CHECK(scene.refused.empty());
}

TEST_CASE("A peer that describes itself in garbage is reported as refused") {
  Scene scene;
  auto& peer = scene.add(rotated(5), 0.95f);
  peer.garbled = true;
  scene.add(rotated(5), 0.9f);
  scene.start();
  scene.run();
  REQUIRE(scene.refused.size() == 1);
  CHECK(scene.refused[0] == peer.host.id());
  CHECK(scene.findings->parts.size() == 1);
}

TEST_CASE("When the best helpers die in mid-transfer the next ones are pulled from") {
  Scene scene;
  scene.sim.network().bandwidth = 1'000'000;
  auto& first = scene.add(rotated(5), 0.95f);
  auto& second = scene.add(rotated(5), 0.94f);
  auto& third = scene.add(rotated(5), 0.7f);
  first.block_bytes = second.block_bytes = 2'000'000;
  scene.start();
  REQUIRE(scene.sim.run_until([&] { return first.offered > 0 && second.offered > 0; }, std::chrono::seconds(10)));
  scene.sim.run_for(std::chrono::milliseconds(300));
  REQUIRE(scene.reports == 0);
  first.host.crash();
  second.host.crash();
  scene.run();
  REQUIRE(scene.findings->parts.size() == 1);
  CHECK(scene.findings->parts[0].helper.peer.id == third.host.id());
}

TEST_CASE("Once one part is here a stalling helper is waited for only a little") {
  Scene scene;
  scene.add(rotated(5), 0.95f);
  auto& slow = scene.add(rotated(5), 0.94f);
  scene.sim.network().bandwidth = 100'000;
  slow.block_bytes = 5'000'000;
  scene.start();
  CHECK(scene.run() < std::chrono::seconds(3));
  CHECK(scene.findings->parts.size() == 1);
}

TEST_CASE("A journey that is cancelled reports nothing, whatever arrives") {
  Scene scene;
  scene.add(rotated(5), 0.95f);
  scene.start();
  scene.sim.run_for(std::chrono::milliseconds(50));
  scene.quest->cancel();
  scene.sim.run_for(std::chrono::seconds(60));
  CHECK(scene.reports == 0);
}

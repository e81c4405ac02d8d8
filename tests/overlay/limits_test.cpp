// What askers can make a helper do is bounded.
#include <catch2/catch.hpp>

#include "overlay/server.hpp"
#include "tests/overlay/support.hpp"

namespace p2p::overlay {
namespace {

using test::Pair;
using test::Party;
using test::RawPeer;

/// A transport whose links remember how much was ever queued on them.
class WatchedTransport final : public Transport {
 public:
  explicit WatchedTransport(Transport& inner) : inner_(inner) {}
  void connect(const Endpoint& to, const NodeId& expected, Duration timeout, OnLink done) override {
    inner_.connect(to, expected, timeout, std::move(done));
  }
  void on_accept(std::function<void(std::shared_ptr<Link>)> handler) override {
    inner_.on_accept([this, handler = std::move(handler)](std::shared_ptr<Link> link) {
      handler(std::make_shared<Watched>(*this, std::move(link)));
    });
  }
  Endpoint local() const override { return inner_.local(); }
  std::size_t most_queued = 0;

 private:
  class Watched final : public Link {
   public:
    Watched(WatchedTransport& owner, std::shared_ptr<Link> inner) : owner_(owner), inner_(std::move(inner)) {}
    const NodeId& peer() const override { return inner_->peer(); }
    void start(Handlers handlers) override { inner_->start(std::move(handlers)); }
    void send(Bytes bytes) override {
      inner_->send(std::move(bytes));
      owner_.most_queued = std::max(owner_.most_queued, inner_->queued());
    }
    std::size_t queued() const override { return inner_->queued(); }
    void pause_reading() override { inner_->pause_reading(); }
    void resume_reading() override { inner_->resume_reading(); }
    void close() override { inner_->close(); }
    std::uint64_t bytes_sent() const override { return inner_->bytes_sent(); }
    std::uint64_t bytes_received() const override { return inner_->bytes_received(); }

   private:
    WatchedTransport& owner_;
    std::shared_ptr<Link> inner_;
  };
  Transport& inner_;
};

/// A raw asker that is linked to an honest helper and greeted.
struct Case {
  explicit Case(ExchangeLimits limits = {}) : helper(net.simulation, net.b(), limits), raw(net.a()) {
    raw.connect(net.b(), [this](RawPeer& peer, const Frame& frame) {
      if (on_frame) on_frame(peer, frame);
    });
    REQUIRE(net.simulation.run_until([this] { return raw.count<Hello>() == 1; }, 1s));
  }
  /// Opens a snapshot; the hash of one of its blocks.
  metadata::Hash block(std::size_t number) {
    raw.send(1, ManifestRequest{test::task_id(), {}});
    const auto before = raw.count<ManifestAnswer>();
    REQUIRE(net.simulation.run_until([&] { return raw.count<ManifestAnswer>() > before; }, 1s));
    return metadata::sha256(helper.offer->blocks[number].content);
  }
  Refusal refusal() {
    const auto before = raw.count<Refusal>();
    REQUIRE(net.simulation.run_until([&] { return raw.count<Refusal>() > before; }, 1s));
    return std::get<Refusal>(raw.frames.back().message);
  }
  Pair net;
  Party helper;
  RawPeer raw;
  std::function<void(RawPeer&, const Frame&)> on_frame;
};

TEST_CASE("Sixteen unanswered requests are taken, and the seventeenth ends the link") {
  for (const int requests : {16, 17}) {
    Pair net;
    net.simulation.network().window_bytes = 100'000;
    WatchedTransport watched(net.b().transport());
    ExchangeHost serving;
    const auto offer = test::offer_of({2'000'000});
    serving.offer = [&](const metadata::TaskId&, const std::vector<std::int32_t>&) { return offer; };
    Exchange helper(net.b().executor(), watched, serving, {});
    RawPeer raw(net.a());
    raw.connect(net.b(), {});
    REQUIRE(net.simulation.run_until([&] { return raw.count<Hello>() == 1; }, 1s));
    raw.send(1, ManifestRequest{test::task_id(), {}});
    REQUIRE(net.simulation.run_until([&] { return raw.count<ManifestAnswer>() == 1; }, 1s));
    // An asker that reads nothing: what the wire takes and the high-water mark are answered, the rest waits.
    raw.link->pause_reading();
    const auto hash = metadata::sha256(offer->blocks[0].content);
    const int taken = 4;  // chunks of 64 kB until the high-water mark of 256 kB is passed; the wire is slower than that
    for (int i = 0; i < taken + requests; ++i) {
      raw.send(static_cast<std::uint64_t>(10 + i), ChunkRequest{hash, 65536ull * static_cast<unsigned>(i), 65536});
    }
    net.simulation.run_for(2s);
    CHECK(watched.most_queued >= Link::kHighWater);
    CHECK(watched.most_queued < Link::kHighWater + 65536 + 1000);
    raw.link->resume_reading();
    net.simulation.run_for(5s);
    const bool cut = requests > 16;
    CHECK(raw.closed.has_value() == cut);
    if (!cut) CHECK(raw.count<ChunkAnswer>() == static_cast<std::size_t>(taken + requests));
    helper.shutdown();
  }
}

TEST_CASE("A helper that is not read from goes on when it is, from where it was") {
  Case test;
  test.helper.offer = test::offer_of({1'000'000});
  const auto block = test.block(0);
  test.raw.link->pause_reading();
  for (std::uint64_t i = 0; i < 15; ++i) test.raw.send(10 + i, ChunkRequest{block, i * 65536, 65536});
  test.net.simulation.run_for(10s);
  CHECK(test.raw.count<ChunkAnswer>() == 0);
  test.raw.link->resume_reading();
  test.net.simulation.run_for(2s);
  REQUIRE(test.raw.count<ChunkAnswer>() == 15);
  Bytes got;
  for (const auto& frame : test.raw.frames) {
    if (const auto* chunk = std::get_if<ChunkAnswer>(&frame.message)) {
      got.insert(got.end(), chunk->bytes.begin(), chunk->bytes.end());
    }
  }
  CHECK(std::equal(got.begin(), got.end(), test.helper.offer->blocks[0].content.begin()));
}

TEST_CASE("A peer that asks and never reads is let go after idle_timeout") {
  Case test;
  test.helper.offer = test::offer_of({1'000'000});
  const auto block = test.block(0);
  test.raw.link->pause_reading();
  for (std::uint64_t i = 0; i < 15; ++i) test.raw.send(10 + i, ChunkRequest{block, i * 65536, 65536});
  test.net.simulation.run_for(25s);
  CHECK(test.helper.links() == 1);
  test.net.simulation.run_for(10s);
  CHECK(test.helper.links() == 0);
}

TEST_CASE("More requests than requests_per_second are answered busy, and those after a pause are served") {
  ExchangeLimits limits;
  limits.requests_per_second = 20;
  Case test(limits);
  const auto ask = [&](std::uint64_t first) {
    for (std::uint64_t i = 0; i < 30; ++i) test.raw.send(first + i, DescribeRequest{test::task_id()});
    test.net.simulation.run_for(100ms);
  };
  ask(1);
  const auto served = test.raw.count<DescriptionAnswer>();
  const auto busy = test.raw.count<Refusal>();
  CHECK(served >= 20);
  CHECK(served <= 23);
  CHECK(served + busy == 30);
  for (const auto& frame : test.raw.frames) {
    if (const auto* refusal = std::get_if<Refusal>(&frame.message)) {
      CHECK(refusal->why == Refusal::Why::busy);
      CHECK(refusal->retry_ms >= 50);
    }
  }
  CHECK_FALSE(test.raw.closed);
  test.net.simulation.run_for(2s);
  ask(100);
  CHECK(test.raw.count<DescriptionAnswer>() >= served + 20);
}

TEST_CASE("A peer that goes on asking although it is told to wait is let go, and comes back no richer") {
  ExchangeLimits limits;
  limits.requests_per_second = 20;
  Case test(limits);
  std::uint64_t id = 1;
  for (int round = 0; round < 10 && !test.raw.closed; ++round) {
    for (int i = 0; i < 16; ++i) test.raw.send(id++, DescribeRequest{test::task_id()});
    test.net.simulation.run_for(50ms);
  }
  CHECK(test.raw.closed);
  CHECK(test.raw.goodbye.find("wait") != std::string::npos);
  RawPeer again(test.net.a());
  again.connect(test.net.b(), {});
  REQUIRE(test.net.simulation.run_until([&] { return again.count<Hello>() == 1; }, 1s));
  for (std::uint64_t i = 1; i <= 10; ++i) again.send(i, DescribeRequest{test::task_id()});
  test.net.simulation.run_for(100ms);
  CHECK(again.count<DescriptionAnswer>() < 10);
}

TEST_CASE("An honest puller that is faster than a helper's rate still gets its part") {
  Pair net;
  ExchangeLimits slow;
  slow.requests_per_second = 10;
  slow.chunk_bytes = 4096;
  Party asker(net.simulation, net.a()), helper(net.simulation, net.b(), slow);
  helper.offer = test::offer_of({150'000});  // 37 chunks: over the burst of ten
  const auto part = asker.pull(helper.peer());
  net.simulation.run_for(30s);
  INFO(part->text());
  CHECK(part->ok());
}

TEST_CASE("A block that nobody took can be had for snapshot_life, one that somebody took for store_life") {
  Case test;
  const auto taken = test.block(0), not_taken = test.block(3);
  const auto stay_linked = [&](int seconds) {
    for (int i = 0; i < seconds; i += 15) {
      test.raw.send(20, DescribeRequest{test::task_id()});
      test.net.simulation.run_for(15s);
    }
  };
  test.raw.send(10, ChunkRequest{taken, 0, 100});
  test.net.simulation.run_for(1s);
  REQUIRE(test.raw.count<ChunkAnswer>() == 1);
  stay_linked(75);
  test.raw.send(30, ChunkRequest{not_taken, 0, 100});
  CHECK(test.refusal().why == Refusal::Why::gone);
  test.raw.send(31, ChunkRequest{taken, 0, 100});
  test.net.simulation.run_for(1s);
  CHECK(test.raw.count<ChunkAnswer>() == 2);
  stay_linked(615);
  test.raw.send(32, ChunkRequest{taken, 0, 100});
  CHECK(test.refusal().why == Refusal::Why::gone);
}

TEST_CASE("However many peers ask, and however they write their question, what is held for them is bounded") {
  sim::Simulation simulation(1);
  auto& host = simulation.add_host();
  std::size_t copies = 0;
  const ExchangeHost offers{.describe = {}, .offer = [&](const metadata::TaskId&, const std::vector<std::int32_t>&) {
                              ++copies;
                              auto offer = std::make_shared<Offer>();
                              offer->family = "rff";
                              offer->blocks.push_back({"class/1", {1}, 5.0, Bytes(300)});
                              return std::shared_ptr<const Offer>(offer);
                            }};
  const ExchangeLimits limits;
  const auto store = std::make_shared<ContentStore>(host.executor(), limits.store_bytes, limits.store_life);
  Server server(host.executor(), offers, limits,
                {store, std::make_shared<ChunkCoder>(), std::make_shared<Pacer>(host.executor(), 0, limits.chunk_bytes)}, 1);
  const auto ask = [&](std::uint8_t peer, std::vector<std::int32_t> classes) {
    NodeId id;
    id.bytes[0] = peer;
    Hello bounds;
    bounds.frame_bytes = 65536;
    return *server.answer(id, bounds, ManifestRequest{test::task_id(), std::move(classes)}).message;
  };
  const auto root_of = [](const Message& message) { return std::get<ManifestAnswer>(message).hash; };
  CHECK(root_of(ask(1, {1, 2})) == root_of(ask(2, {2, 1, 2, 2, 1})));
  CHECK(copies == 1);
  for (std::uint8_t peer = 0; peer < 100; ++peer) {
    for (std::int32_t c = 0; c < 6; ++c) ask(peer, {c, peer});
  }
  CHECK(copies > 300);
  CHECK(server.snapshots() == Server::kSnapshots);
}

TEST_CASE("Chunks outside a block are refused as bad requests, and what is not here as gone") {
  Case test;
  const auto small = test.block(0), large = test.block(1);
  const auto ask = [&](ChunkRequest request) {
    test.raw.send(5, request);
    return test.refusal().why;
  };
  CHECK(ask({small, 0, 301}) == Refusal::Why::bad_request);
  CHECK(ask({small, 301, 1}) == Refusal::Why::bad_request);
  CHECK(ask({small, ~0ull, 2}) == Refusal::Why::bad_request);
  CHECK(ask({small, 0, 0}) == Refusal::Why::bad_request);
  CHECK(ask({large, 0, 65537}) == Refusal::Why::bad_request);
  CHECK(ask({metadata::sha256(view("something else")), 0, 1}) == Refusal::Why::gone);
  CHECK_FALSE(test.raw.closed);
}

TEST_CASE("A peer can make a helper copy its model eight times in a snapshot's life") {
  Case test;
  for (std::int32_t i = 0; i < 12; ++i) {
    test.raw.send(static_cast<std::uint64_t>(i + 1), ManifestRequest{test::task_id(), {i}});
    test.net.simulation.run_for(100ms);
  }
  CHECK(test.helper.offers == 8);
  CHECK(test.raw.count<ManifestAnswer>() == 8);
  CHECK(test.raw.count<Refusal>() == 4);
  test.net.simulation.run_for(29s);
  test.raw.send(50, ManifestRequest{test::task_id(), {3}});
  test.net.simulation.run_for(2s);
  CHECK(test.helper.offers == 9);
}

TEST_CASE("A helper that offers what it offered before copies nothing, however often a peer asks") {
  Pair net;
  ExchangeLimits limits;
  limits.store_bytes = 0;
  Party asker(net.simulation, net.a(), limits), helper(net.simulation, net.b(), limits);
  for (int i = 0; i < 12; ++i) {
    const auto part = asker.pull(helper.peer());
    net.simulation.run_for(1s);
    REQUIRE(part->ok());
  }
  CHECK(helper.offers == 12);  // it was asked each time: half a second is long over
}

TEST_CASE("Snapshots together hold at most twice part_bytes: the one unused for longest goes") {
  ExchangeLimits limits;
  limits.part_bytes = 250'000;
  Case test(limits);  // offers of 205,300 bytes: two fit into 500,000
  std::vector<metadata::Hash> blocks;
  for (std::int32_t i = 0; i < 3; ++i) {
    test.helper.offer = test::offer_of({300, 200'000, 0, 5000}, 50 + static_cast<std::uint64_t>(i));
    test.raw.send(static_cast<std::uint64_t>(i + 1), ManifestRequest{test::task_id(), {i}});
    test.net.simulation.run_for(100ms);
    blocks.push_back(metadata::sha256(test.helper.offer->blocks[0].content));
  }
  test.raw.send(10, ChunkRequest{blocks[1], 0, 10});
  test.raw.send(11, ChunkRequest{blocks[2], 0, 10});
  test.net.simulation.run_for(100ms);
  CHECK(test.raw.count<ChunkAnswer>() == 2);
  test.raw.send(12, ChunkRequest{blocks[0], 0, 10});
  CHECK(test.refusal().why == Refusal::Why::gone);
}

TEST_CASE("An offer or a description over this node's own bounds is not sent") {
  ExchangeLimits limits;
  SECTION("blocks") { limits.blocks = 3; }
  SECTION("a block") { limits.block_bytes = 199'999; }
  SECTION("the part") { limits.part_bytes = 205'299; }
  Case test(limits);
  test.raw.send(1, ManifestRequest{test::task_id(), {}});
  CHECK(test.refusal().why == Refusal::Why::too_large);

  ExchangeLimits brief;
  brief.description_bytes = 20;
  Case other(brief);
  other.raw.send(1, DescribeRequest{test::task_id()});
  CHECK(other.refusal().why == Refusal::Why::too_large);
}

TEST_CASE("A helper whose links are all in use makes room when one of them has stood for a quarter of a second") {
  ExchangeLimits limits;
  limits.links = 3;
  sim::Simulation simulation(5);
  Party helper(simulation, simulation.add_host(), limits);
  std::vector<std::unique_ptr<Party>> askers;
  std::vector<std::shared_ptr<test::Report<metadata::Description>>> reports;
  for (int i = 0; i < 4; ++i) {
    askers.push_back(std::make_unique<Party>(simulation, simulation.add_host()));
    reports.push_back(askers.back()->describe(helper.peer()));
    if (i == 2) simulation.run_for(150ms);
  }
  simulation.run_for(150ms);
  CHECK(helper.links() == 3);
  CHECK((reports[0]->ok() && reports[1]->ok() && reports[2]->ok()));
  CHECK(reports[3]->calls == 0);  // it goes on knocking
  simulation.run_for(2s);
  CHECK(reports[3]->ok());
  CHECK(helper.links() == 3);
  // For its own errands it gives up the link that was quiet for longest, however short that is.
  Party another(simulation, simulation.add_host());
  const auto own = helper.describe(another.peer());
  simulation.run_for(2s);
  CHECK(own->ok());
  CHECK(helper.links() == 3);
}

TEST_CASE("An asker whose links are all busy reports full") {
  ExchangeLimits limits;
  limits.links = 1;
  sim::Simulation simulation(5);
  simulation.network().bandwidth = 50'000;
  Party asker(simulation, simulation.add_host(), limits);
  Party first(simulation, simulation.add_host()), second(simulation, simulation.add_host());
  const auto pulling = asker.pull(first.peer());
  simulation.run_for(1s);
  const auto refused = asker.describe(second.peer());
  simulation.run_for(1s);
  CHECK(refused->code() == ErrorCode::full);
  simulation.run_for(20s);
  CHECK(pulling->ok());
}

TEST_CASE("A peer holds one link in each direction, however often it connects") {
  Pair net;
  Party helper(net.simulation, net.b());
  std::vector<std::unique_ptr<RawPeer>> raws;
  const bool greets = GENERATE(true, false);
  for (int i = 0; i < 40; ++i) {
    raws.push_back(std::make_unique<RawPeer>(net.a()));
    raws.back()->greets = greets;
    raws.back()->connect(net.b(), {});
    net.simulation.run_for(30ms);
  }
  net.simulation.run_for(200ms);
  const auto open = std::count_if(raws.begin(), raws.end(), [](const auto& raw) { return !raw->closed; });
  CHECK(open == 1);
  Party other(net.simulation, net.simulation.add_host());
  const auto description = other.describe(helper.peer());
  net.simulation.run_for(1s);
  CHECK(description->ok());
}

TEST_CASE("A peer that this node has linked to holds one link of its own beside it") {
  Pair net;
  // The smaller key's link is the one that stays in use: the other direction's are retired, and still counted.
  auto& small = net.a().id() < net.b().id() ? net.a() : net.b();
  auto& large = net.a().id() < net.b().id() ? net.b() : net.a();
  Party asker(net.simulation, small);
  RawPeer accepting(large);
  accepting.listen({});
  (void)asker.describe({large.id(), large.endpoint()});
  net.simulation.run_for(100ms);
  REQUIRE(asker.links() == 1);
  std::vector<std::unique_ptr<RawPeer>> raws;
  for (int i = 0; i < 20; ++i) {
    raws.push_back(std::make_unique<RawPeer>(large));
    raws.back()->connect(small, {});
    net.simulation.run_for(50ms);
  }
  net.simulation.run_for(200ms);
  CHECK(std::count_if(raws.begin(), raws.end(), [](const auto& raw) { return !raw->closed; }) == 1);
  CHECK_FALSE(accepting.closed);
}

TEST_CASE("A half-sent frame does not hold a link open") {
  Case test;
  test.raw.write_hex("0003ff00" "9301");
  test.net.simulation.run_for(40s);
  CHECK(test.helper.links() == 0);
  CHECK(test.raw.closed);
}

TEST_CASE("Whatever bytes an asker sends, the helper serves the next one") {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    CAPTURE(seed);
    Case test;
    Random random(seed);
    for (int i = 0; i < 20; ++i) {
      const std::uint64_t id = random.below(5);
      const Message messages[] = {DescribeRequest{test::task_id()},
                                  ManifestRequest{test::task_id(), {1, 2}},
                                  ChunkRequest{metadata::sha256(test.helper.offer->blocks[random.below(4)].content),
                                               random.below(300'000), static_cast<std::uint32_t>(random.below(70'000))},
                                  Feedback{test::task_id(), 0.5},
                                  Refusal{},
                                  ChunkAnswer{Coding::plain, Bytes(100)},
                                  Goodbye{"bye"}};
      Bytes bytes = encode({id, messages[random.below(std::size(messages))]});
      if (random.below(8) == 0) bytes[random.below(bytes.size())] = static_cast<std::uint8_t>(random.next());
      test.raw.write(std::move(bytes));
      test.net.simulation.run_for(Duration(random.below(20'000)));
    }
    test.net.simulation.run_for(1s);
    Party third(test.net.simulation, test.net.simulation.add_host());
    const auto part = third.pull(test.helper.peer());
    test.net.simulation.run_for(5s);
    CHECK(part->ok());
  }
}

}  // namespace
}  // namespace p2p::overlay

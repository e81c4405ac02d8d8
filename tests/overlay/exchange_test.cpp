// Honest peers on links of every quality.
#include <catch2/catch.hpp>

#include "tests/overlay/support.hpp"

namespace p2p::overlay {
namespace {

using test::Pair;
using test::Party;

void check_same(const PulledPart& part, const Offer& offer) {
  CHECK(part.family == offer.family);
  REQUIRE(part.blocks.size() == offer.blocks.size());
  REQUIRE(part.hashes.size() == offer.blocks.size());
  for (std::size_t i = 0; i < offer.blocks.size(); ++i) {
    CHECK(part.blocks[i].name == offer.blocks[i].name);
    CHECK(part.blocks[i].classes == offer.blocks[i].classes);
    CHECK(part.blocks[i].evidence == offer.blocks[i].evidence);
    CHECK(part.blocks[i].content == offer.blocks[i].content);
    CHECK(part.hashes[i] == metadata::sha256(offer.blocks[i].content));
  }
}

TEST_CASE("A pulled part is what the helper offers, block by block") {
  Pair net;
  Party asker(net.simulation, net.a()), helper(net.simulation, net.b());
  const auto part = asker.pull(helper.peer());
  net.simulation.run_for(5s);
  REQUIRE(part->ok());
  CHECK(part->calls == 1);
  check_same(part->value(), *helper.offer);
  CHECK(part->value().bytes_received == 205'300);
  CHECK(part->value().blocks_reused == 0);
  CHECK(helper.exchange->served() > 4);
}

/// The offer with another content in one block.
std::shared_ptr<const Offer> changed(const Offer& offer, std::size_t block, std::uint64_t seed) {
  auto out = std::make_shared<Offer>(offer);
  auto& content = out->blocks[block].content;
  content = test::random_bytes(content.size(), seed);
  return out;
}

TEST_CASE("Blocks that were pulled before do not travel again, and are there all the same") {
  Pair net;
  Party asker(net.simulation, net.a()), helper(net.simulation, net.b());
  const auto first = asker.pull(helper.peer());
  net.simulation.run_for(5s);
  REQUIRE(first->ok());
  const auto before = asker.exchange->traffic().bytes.at("chunk");
  helper.offer = changed(*helper.offer, 3, 77);
  const auto second = asker.pull(helper.peer());
  net.simulation.run_for(5s);
  REQUIRE(second->ok());
  check_same(second->value(), *helper.offer);
  CHECK(second->value().bytes_received == 5000);
  CHECK(second->value().blocks_reused == 3);
  CHECK(asker.exchange->traffic().bytes.at("chunk") - before < 5200);
}

TEST_CASE("A part that has not changed costs the head of a manifest and no chunk") {
  Pair net;
  Party asker(net.simulation, net.a()), helper(net.simulation, net.b());
  const auto first = asker.pull(helper.peer());
  net.simulation.run_for(5s);
  const auto before = asker.exchange->traffic().bytes;
  const auto second = asker.pull(helper.peer());
  net.simulation.run_for(5s);
  REQUIRE((first->ok() && second->ok()));
  check_same(second->value(), *helper.offer);
  CHECK(second->value().blocks_reused == 4);
  CHECK(second->value().bytes_received == 0);
  CHECK(asker.exchange->traffic().bytes.at("chunk") == before.at("chunk"));
  CHECK(asker.exchange->traffic().bytes.at("manifest") - before.at("manifest") < 600);
}

TEST_CASE("Of the blocks of a part that have the same content one travels") {
  Pair net;
  Party asker(net.simulation, net.a()), helper(net.simulation, net.b());
  auto offer = std::make_shared<Offer>(*test::offer_of({70'000, 70'000, 70'000}));
  offer->blocks[2].content = offer->blocks[0].content;
  helper.offer = offer;
  const auto part = asker.pull(helper.peer());
  net.simulation.run_for(5s);
  REQUIRE(part->ok());
  check_same(part->value(), *helper.offer);
  CHECK(part->value().bytes_received == 140'000);
}

TEST_CASE("A small part comes with its manifest, in one round trip on a kept link and three on a fresh one") {
  Pair net;  // 20 ms there and back
  Party asker(net.simulation, net.a()), helper(net.simulation, net.b());
  const std::vector<std::size_t> sizes(16, 4096);
  helper.offer = test::offer_of(sizes);
  const auto began = net.simulation.now();
  const auto fresh = asker.pull(helper.peer());
  REQUIRE(net.simulation.run_until([&] { return fresh->calls == 1; }, 5s));
  REQUIRE(fresh->ok());
  check_same(fresh->value(), *helper.offer);
  const auto links = net.simulation.now() - began;
  CHECK(links < 3 * 20ms + 20ms);
  helper.offer = test::offer_of({10'000, 0, 7}, 77);
  net.simulation.run_for(1s);
  // Something of that helper is here, so that its next part is asked for by what has changed.
  const auto again = net.simulation.now();
  const auto kept = asker.pull(helper.peer());
  REQUIRE(net.simulation.run_until([&] { return kept->calls == 1; }, 5s));
  REQUIRE(kept->ok());
  check_same(kept->value(), *helper.offer);
  CHECK(net.simulation.now() - again < 2 * 20ms + 10ms);
  // Nothing is: one.
  ExchangeLimits none;
  none.store_bytes = 0;
  Pair other;
  Party forgetful(other.simulation, other.a(), none), giver(other.simulation, other.b());
  giver.offer = test::offer_of(sizes);
  REQUIRE_FALSE(forgetful.pull(giver.peer())->ok());
  other.simulation.run_for(2s);
  const auto last = other.simulation.now();
  const auto third = forgetful.pull(giver.peer());
  REQUIRE(other.simulation.run_until([&] { return third->calls == 1; }, 5s));
  REQUIRE(third->ok());
  CHECK(other.simulation.now() - last < 20ms + 10ms);
  CHECK(third->value().bytes_received >= 65'536);
}

TEST_CASE("A part that is larger than a chunk, or wanted where much is to be sent, does not come along") {
  Pair net;
  test::RawPeer raw(net.a());
  ExchangeLimits limits;
  limits.send_bytes_per_second = 400'000;  // a tenth of a second's worth is 40 kB
  Party helper(net.simulation, net.b(), limits);
  raw.connect(net.b(), {});
  net.simulation.run_for(1s);
  const auto ask = [&](std::uint64_t id, std::uint32_t along) {
    raw.send(id, ManifestRequest{test::task_id(), {}, along});
    REQUIRE(net.simulation.run_until([&] { return !raw.frames.empty() && raw.frames.back().id == id; }, 1s));
    return std::get<ManifestAnswer>(raw.frames.back().message);
  };
  helper.offer = test::offer_of({30'000, 0, 500});
  CHECK(ask(1, 0).along.empty());
  CHECK(ask(2, 30'000).along.empty());
  CHECK(ask(3, 65'536).along.size() == 3);
  CHECK(ask(4, 65'536).along.empty());  // the second's worth is spent
  net.simulation.run_for(2s);
  CHECK(ask(5, ~0u).along.size() == 3);
  net.simulation.run_for(2s);
  helper.offer = test::offer_of({65'000, 600});
  CHECK(ask(6, ~0u).along.empty());
  net.simulation.run_for(2s);
  helper.offer = test::offer_of(std::vector<std::size_t>(257, 10));
  CHECK(ask(7, ~0u).along.empty());
}

TEST_CASE("Chunks are of the snapshot that the manifest named, however much the helper learns meanwhile") {
  Pair net;
  net.simulation.network().bandwidth = 200'000;
  Party asker(net.simulation, net.a()), helper(net.simulation, net.b());
  const auto before = helper.offer;
  const auto part = asker.pull(helper.peer());
  REQUIRE(net.simulation.run_until([&] { return helper.offers == 1; }, 1s));
  helper.offer = test::offer_of({300, 200'000, 0, 5000}, 99);
  net.simulation.run_for(10s);
  REQUIRE(part->ok());
  check_same(part->value(), *before);
  const auto later = asker.pull(helper.peer());
  net.simulation.run_for(10s);
  REQUIRE(later->ok());
  check_same(later->value(), *helper.offer);
}

TEST_CASE("An offer of no blocks is a part of no blocks") {
  Pair net;
  Party asker(net.simulation, net.a()), helper(net.simulation, net.b());
  helper.offer = test::offer_of({});
  const auto part = asker.pull(helper.peer());
  net.simulation.run_for(5s);
  REQUIRE(part->ok());
  CHECK(part->value().blocks.empty());
}

TEST_CASE("A manifest that is longer than a frame comes in chunks") {
  Pair net;
  ExchangeLimits small;
  small.frame_bytes = 4096;
  small.chunk_bytes = 2048;
  Party asker(net.simulation, net.a(), small), helper(net.simulation, net.b());
  helper.offer = test::offer_of(std::vector<std::size_t>(500, 40));
  const auto part = asker.pull(helper.peer());
  net.simulation.run_for(60s);
  REQUIRE(part->ok());
  check_same(part->value(), *helper.offer);
}

TEST_CASE("Peers with different bounds agree on the smaller ones") {
  Pair net;
  ExchangeLimits small;
  small.frame_bytes = 8192;
  small.chunk_bytes = 3000;
  small.requests_per_link = 2;
  const bool small_helper = GENERATE(false, true);
  Party asker(net.simulation, net.a(), small_helper ? ExchangeLimits{} : small);
  Party helper(net.simulation, net.b(), small_helper ? small : ExchangeLimits{});
  const auto part = asker.pull(helper.peer());
  net.simulation.run_for(30s);
  INFO(part->text());
  REQUIRE(part->ok());
  check_same(part->value(), *helper.offer);
}

TEST_CASE("A description is its node's own, whatever its length") {
  Pair net;
  ExchangeLimits small;
  small.frame_bytes = 4096;
  Party asker(net.simulation, net.a(), small), helper(net.simulation, net.b());
  const metadata::Description described{test::task_id(), net.b().id(), 5, test::fingerprint_of(64, 60, 3)};
  helper.sealed = metadata::seal(described, net.b().key());
  const bool longer_than_a_frame = helper.sealed.size() > 4096;
  REQUIRE(longer_than_a_frame);
  const auto description = asker.describe(helper.peer());
  net.simulation.run_for(5s);
  INFO(description->text());
  REQUIRE(description->ok());
  CHECK(description->calls == 1);
  CHECK(description->value().fingerprint == described.fingerprint);
  CHECK(description->value().version == 5);
}

TEST_CASE("Another node's description, and another task's, are not believed") {
  Pair net;
  Party asker(net.simulation, net.a()), helper(net.simulation, net.b());
  const bool other_node = GENERATE(true, false);
  const metadata::Description other{other_node ? test::task_id() : test::task_id(9),
                                    other_node ? net.a().id() : net.b().id(), 1, test::fingerprint_of(8, 3, 1)};
  helper.sealed = metadata::seal(other, other_node ? net.a().key() : net.b().key());
  const auto description = asker.describe(helper.peer());
  net.simulation.run_for(5s);
  CHECK(description->code() == ErrorCode::untrusted);
  CHECK(description->calls == 1);
}

TEST_CASE("A description with a flipped bit is not believed") {
  Pair net;
  Party asker(net.simulation, net.a()), helper(net.simulation, net.b());
  helper.sealed[helper.sealed.size() / 2] ^= 4;
  const auto description = asker.describe(helper.peer());
  net.simulation.run_for(5s);
  CHECK(description->calls == 1);
  CHECK_FALSE(description->ok());
}

TEST_CASE("What a peer does not serve is not found") {
  Pair net;
  Party asker(net.simulation, net.a()), helper(net.simulation, net.b());
  helper.served_task = test::task_id(8);
  const auto part = asker.pull(helper.peer());
  const auto description = asker.describe(helper.peer());
  net.simulation.run_for(5s);
  CHECK(part->code() == ErrorCode::not_found);
  CHECK(description->code() == ErrorCode::not_found);
}

TEST_CASE("One link serves all requests of a pair, in both directions") {
  Pair net;
  Party asker(net.simulation, net.a()), helper(net.simulation, net.b());
  const auto first = asker.describe(helper.peer());
  net.simulation.run_for(1s);
  const auto second = asker.pull(helper.peer());
  const auto third = helper.describe(asker.peer());
  const auto fourth = helper.pull(asker.peer());
  net.simulation.run_for(5s);
  CHECK((first->ok() && second->ok() && third->ok() && fourth->ok()));
  const auto& lines = net.simulation.log().lines();
  CHECK(std::count_if(lines.begin(), lines.end(), [](const auto& line) {
          return line.find("linked to") != std::string::npos;
        }) == 1);
}

TEST_CASE("A request that comes while a link is being greeted waits for it instead of making another") {
  Pair net;
  Party asker(net.simulation, net.a()), helper(net.simulation, net.b());
  const auto links = [&] {
    const auto& lines = net.simulation.log().lines();
    return std::count_if(lines.begin(), lines.end(), [](const auto& line) {
      return line.find("linked to") != std::string::npos;
    });
  };
  const auto first = asker.describe(helper.peer());
  REQUIRE(net.simulation.run_until([&] { return links() == 1; }, 1s));
  REQUIRE(asker.links() == 0);
  const auto second = asker.pull(helper.peer());
  net.simulation.run_for(5s);
  CHECK((first->ok() && second->ok()));
  CHECK(links() == 1);
}

TEST_CASE("Of two links that begin at the same time both ends keep the smaller key's, and nothing is lost") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    Pair net(seed);
    net.simulation.network().jitter = 3ms;
    Party a(net.simulation, net.a()), b(net.simulation, net.b());
    const auto from_a = a.pull(b.peer());
    const auto from_b = b.pull(a.peer());
    net.simulation.run_for(1s);
    INFO(from_a->text() << " / " << from_b->text());
    REQUIRE((from_a->ok() && from_b->ok()));
    // The other link goes when it has been quiet for a while.
    const auto linked = [&](const char* what) {
      const auto& lines = net.simulation.log().lines();
      return std::count_if(lines.begin(), lines.end(), [&](const std::string& line) {
        return line.find(what) != std::string::npos;
      });
    };
    REQUIRE(linked("linked to") == 2);
    net.simulation.run_for(4s);
    CHECK(a.links() == 1);
    CHECK(b.links() == 1);
    // What remains still works, and no further link is made for it.
    const auto again = b.describe(a.peer());
    const auto back = a.describe(b.peer());
    net.simulation.run_for(1s);
    CHECK((again->ok() && back->ok()));
    CHECK(linked("linked to") == 2);
  }
}

TEST_CASE("An idle link is closed, and the next request makes another") {
  Pair net;
  Party asker(net.simulation, net.a()), helper(net.simulation, net.b());
  const auto first = asker.describe(helper.peer());
  net.simulation.run_for(20s);
  CHECK(asker.links() == 1);
  net.simulation.run_for(15s);
  CHECK(asker.links() == 0);
  CHECK(helper.links() == 0);
  const auto second = asker.describe(helper.peer());
  net.simulation.run_for(1s);
  CHECK((first->ok() && second->ok()));
}

TEST_CASE("A request on a link that its peer has just given up begins again on another link") {
  Pair net;
  ExchangeLimits impatient;
  impatient.idle_timeout = 3s;
  Party asker(net.simulation, net.a()), helper(net.simulation, net.b(), impatient);
  REQUIRE(net.simulation.run_until([r = asker.describe(helper.peer())] { return r->ok(); }, 1s));
  // The helper closes three seconds after the answer; its goodbye takes 10 ms to come.
  REQUIRE(net.simulation.run_until([&] { return helper.links() == 0; }, 10s));
  CHECK(asker.links() == 1);
  const auto again = asker.describe(helper.peer());
  net.simulation.run_for(1s);
  INFO(again->text());
  CHECK(again->ok());
  CHECK(again->calls == 1);
}

TEST_CASE("Feedback reaches the helper with the gain that was told") {
  Pair net;
  Party asker(net.simulation, net.a()), helper(net.simulation, net.b());
  asker.exchange->feedback(helper.peer(), test::task_id(), 0.25);
  asker.exchange->feedback(helper.peer(), test::task_id(), -7);
  net.simulation.run_for(1s);
  CHECK(helper.gains == std::vector<double>{0.25, -1});
  CHECK(asker.exchange->traffic().bytes.at("feedback") > 80);
}

TEST_CASE("Bytes by kind add up to the bytes on the wire") {
  Pair net;
  Party asker(net.simulation, net.a()), helper(net.simulation, net.b());
  const auto part = asker.pull(helper.peer());
  const auto description = asker.describe(helper.peer());
  net.simulation.run_for(5s);
  REQUIRE((part->ok() && description->ok()));
  for (const auto* party : {&asker, &helper}) {
    const auto kinds = party->exchange->traffic().bytes;
    const auto peers = party->exchange->peers();
    REQUIRE(peers.size() == 1);
    std::uint64_t sum = 0;
    for (const auto& [kind, bytes] : kinds) sum += bytes;
    CHECK(sum == peers[0].sent + peers[0].received);
    CHECK(kinds.at("chunk") > 205'300);
    CHECK(kinds.at("chunk") < 207'000);
    CHECK(kinds.at("manifest") > 100);
    CHECK(kinds.at("describe") > helper.sealed.size());
    CHECK(kinds.at("link") < 5000);
  }
  CHECK(asker.exchange->peers()[0].sent == helper.exchange->peers()[0].received);
  // 20 ms there and back, and nothing to compute.
  CHECK(asker.exchange->peers()[0].round_trip >= 20ms);
  CHECK(asker.exchange->peers()[0].round_trip < 40ms);
}

TEST_CASE("Counters of a link stay when it is gone") {
  Pair net;
  Party asker(net.simulation, net.a()), helper(net.simulation, net.b());
  const auto part = asker.pull(helper.peer());
  net.simulation.run_for(5s);
  const auto before = asker.exchange->traffic().bytes;
  net.simulation.run_for(60s);
  CHECK(asker.links() == 0);
  const auto after = asker.exchange->traffic().bytes;
  CHECK(after.at("chunk") == before.at("chunk"));
  CHECK(after.at("link") >= before.at("link"));
  CHECK(asker.exchange->peers()[0].received > 205'300);
}

TEST_CASE("A large part crosses a slow link without running into deadlines") {
  Pair net;
  net.simulation.network().bandwidth = 40'000;  // a 64 KB chunk takes 1.6 s of the 2 s that a request has
  Party asker(net.simulation, net.a()), helper(net.simulation, net.b());
  helper.offer = test::offer_of({400'000, 300'000});
  const auto part = asker.pull(helper.peer());
  net.simulation.run_for(40s);
  INFO(part->text());
  REQUIRE(part->ok());
  check_same(part->value(), *helper.offer);
  CHECK(part->at < 25s);  // 17.5 s is what the wire takes
}

TEST_CASE("A fast link is kept full: a part takes little more than its wire time") {
  Pair net;
  net.simulation.network().bandwidth = 12'500'000;
  Party asker(net.simulation, net.a()), helper(net.simulation, net.b());
  helper.offer = test::offer_of({8'000'000});
  const auto part = asker.pull(helper.peer());
  net.simulation.run_for(10s);
  REQUIRE(part->ok());
  CHECK(part->at < 1200ms);  // 640 ms of wire
}

TEST_CASE("Parts arrive whole over links that delay, jitter and cut into small pieces") {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    sim::Simulation simulation(seed);
    simulation.network().jitter = 30ms;
    simulation.network().loss = 0.05;
    simulation.network().segment_bytes = 700;
    Party asker(simulation, simulation.add_host()), helper(simulation, simulation.add_host());
    const auto part = asker.pull(helper.peer());
    simulation.run_for(60s);
    INFO(part->text());
    REQUIRE(part->ok());
    check_same(part->value(), *helper.offer);
  }
}

TEST_CASE("A helper serves sixteen askers at once and copies its model once") {
  sim::Simulation simulation(3);
  Party helper(simulation, simulation.add_host());
  std::vector<std::unique_ptr<Party>> askers;
  std::vector<std::shared_ptr<test::Report<PulledPart>>> parts;
  for (int i = 0; i < 16; ++i) {
    askers.push_back(std::make_unique<Party>(simulation, simulation.add_host()));
    parts.push_back(askers.back()->pull(helper.peer()));
  }
  simulation.run_for(20s);
  for (const auto& part : parts) {
    REQUIRE(part->ok());
    check_same(part->value(), *helper.offer);
  }
  CHECK(helper.offers == 1);
}

TEST_CASE("Shutting down fails what is under way with cancelled, at once and once") {
  Pair net;
  Party asker(net.simulation, net.a()), helper(net.simulation, net.b());
  const auto connecting = asker.pull(helper.peer());
  net.simulation.run_for(300ms);
  REQUIRE(connecting->calls == 1);
  net.simulation.run_for(1s);
  helper.offer = test::offer_of({300, 200'000, 0, 5000}, 2);
  const auto pulling = asker.pull(helper.peer());
  net.simulation.run_for(25ms);
  asker.exchange->shutdown();
  CHECK(pulling->code() == ErrorCode::cancelled);
  const auto after = asker.pull(helper.peer());
  CHECK(after->calls == 0);
  net.simulation.run_for(10s);
  CHECK(after->code() == ErrorCode::cancelled);
  CHECK(pulling->calls == 1);
  CHECK(after->calls == 1);
  CHECK(helper.links() == 0);
}

TEST_CASE("An exchange that is destroyed reports nothing and leaves its peer with an ended link") {
  Pair net;
  Party helper(net.simulation, net.b());
  auto asker = std::make_unique<Party>(net.simulation, net.a());
  const auto part = asker->pull(helper.peer());
  net.simulation.run_for(45ms);
  asker.reset();
  net.simulation.run_for(10s);
  CHECK(part->calls == 0);
  CHECK(helper.links() == 0);
}

}  // namespace
}  // namespace p2p::overlay

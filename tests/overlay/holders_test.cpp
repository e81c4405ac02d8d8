// Content from whoever has it: after a broken link, from several at once, from those who pulled it before.
#include <catch2/catch.hpp>

#include "overlay/manifest.hpp"
#include "tests/overlay/support.hpp"

namespace p2p::overlay {
namespace {

using test::Pair;
using test::Party;
using test::RawPeer;

void check_same(const PulledPart& part, const Offer& offer) {
  REQUIRE(part.blocks.size() == offer.blocks.size());
  for (std::size_t i = 0; i < offer.blocks.size(); ++i) CHECK(part.blocks[i].content == offer.blocks[i].content);
}

/// An asker, a helper with an offer, and others that have pulled it from him; 10 ms from each other.
struct Crowd {
  explicit Crowd(std::size_t helpers_wanted, std::uint64_t bandwidth, std::vector<std::size_t> sizes = {2'000'000}) {
    simulation.network().latency_low = simulation.network().latency_high = 10ms;
    simulation.network().jitter = 0us;
    asker = std::make_unique<Party>(simulation, simulation.add_host());
    for (std::size_t i = 0; i < helpers_wanted; ++i) {
      helpers.push_back(std::make_unique<Party>(simulation, simulation.add_host()));
      peers.push_back(helpers.back()->peer());
      if (i == 0) {
        helpers[0]->offer = test::offer_of(sizes);
        continue;
      }
      const auto part = helpers[i]->pull(peers[0]);
      simulation.run_for(5s);
      REQUIRE(part->ok());
    }
    simulation.network().bandwidth = bandwidth;
    began = simulation.now();
  }
  Duration since(Duration at) const { return at - Duration(began.us); }
  std::uint64_t from(const Party& helper) const {
    for (const auto& stats : asker->exchange->peers()) {
      if (stats.id == helper.host.id()) return stats.received;
    }
    return 0;
  }
  sim::Simulation simulation{7};
  std::unique_ptr<Party> asker;
  std::vector<std::unique_ptr<Party>> helpers;
  std::vector<Exchange::Peer> peers;
  TimePoint began;
};

TEST_CASE("A transfer goes on at the first missing byte when its link breaks, again and again") {
  Crowd crowd(1, 1'000'000, {1'000'000});
  const auto part = crowd.asker->pull(crowd.peers);
  for (int breaks = 0; breaks < 4; ++breaks) {
    crowd.simulation.run_for(200ms);
    crowd.simulation.network().link_break = 1;
    crowd.simulation.run_for(20ms);
    crowd.simulation.network().link_break = 0;
  }
  REQUIRE(part->calls == 0);
  crowd.simulation.run_for(10s);
  INFO(part->text());
  REQUIRE(part->ok());
  check_same(part->value(), *crowd.helpers[0]->offer);
  CHECK(part->value().bytes_received == 1'000'000);  // no byte twice
  CHECK(crowd.since(part->at) < 3s);
}

TEST_CASE("A transfer goes on at another holder of the same content when the first one dies") {
  const auto how = GENERATE(sim::Crash::process, sim::Crash::power);
  Crowd crowd(2, 1'000'000);
  const auto part = crowd.asker->pull(crowd.peers);
  crowd.simulation.run_for(500ms);
  crowd.helpers[0]->host.crash(how);
  crowd.simulation.run_for(20s);
  INFO(part->text());
  REQUIRE(part->ok());
  check_same(part->value(), *crowd.helpers[0]->offer);
  CHECK(part->value().from == crowd.peers[0].id);
  CHECK(part->value().givers == 2);
  CHECK(part->value().bytes_received == 2'000'000);
}

TEST_CASE("A holder that cannot be reached is passed over for the next") {
  Crowd crowd(2, 10'000'000);
  crowd.helpers[0]->host.crash(sim::Crash::power);
  const auto part = crowd.asker->pull(crowd.peers);
  crowd.simulation.run_for(10s);
  REQUIRE(part->ok());
  CHECK(part->value().from == crowd.peers[1].id);
  CHECK(crowd.since(part->at) < 2500ms);  // connect_timeout is 2 s
}

TEST_CASE("A holder that does not serve the task is passed over, and of two that do not the first one's word is told") {
  Crowd crowd(2, 10'000'000);
  crowd.helpers[0]->served_task = test::task_id(99);
  const bool both = GENERATE(false, true);
  if (both) crowd.helpers[1]->host.crash(sim::Crash::process);
  const auto part = crowd.asker->pull(crowd.peers);
  crowd.simulation.run_for(10s);
  CHECK(part->calls == 1);
  if (!both) {
    REQUIRE(part->ok());
    CHECK(part->value().from == crowd.peers[1].id);
  } else {
    CHECK(part->code() == ErrorCode::not_found);
  }
}

TEST_CASE("A large part comes from three holders at once in less than half the time that one takes") {
  Duration took[2];
  for (const std::size_t helpers : {1, 3}) {
    Crowd crowd(helpers, 1'000'000, {1'500'000, 1'500'000, 1'000'000});
    const auto part = crowd.asker->pull(crowd.peers);
    crowd.simulation.run_for(20s);
    REQUIRE(part->ok());
    check_same(part->value(), *crowd.helpers[0]->offer);
    CHECK(part->value().givers == helpers);
    CHECK(part->value().bytes_received == 4'000'000);
    took[helpers == 3] = crowd.since(part->at);
  }
  INFO(took[0].count() << " us, " << took[1].count() << " us");
  CHECK(took[1] * 2 < took[0]);
}

TEST_CASE("A small part comes from one holder, however many there are") {
  Crowd crowd(3, 1'000'000, {40'000, 40'000});
  const auto part = crowd.asker->pull(crowd.peers);
  crowd.simulation.run_for(5s);
  REQUIRE(part->ok());
  CHECK(part->value().givers == 1);
  CHECK(crowd.asker->links() == 1);
}

TEST_CASE("A holder with other content under the same names gives nothing, and the part is the first one's") {
  Crowd crowd(1, 1'000'000);
  Party other(crowd.simulation, crowd.simulation.add_host());
  other.offer = test::offer_of({2'000'000}, 555);
  const auto part = crowd.asker->pull({crowd.peers[0], other.peer()});
  crowd.simulation.run_for(20s);
  REQUIRE(part->ok());
  check_same(part->value(), *crowd.helpers[0]->offer);
  CHECK(part->value().givers == 1);
}

TEST_CASE("Among several holders the one that gives wrong bytes is found, cut off, and its bytes are replaced") {
  Crowd crowd(2, 1'000'000);
  RawPeer liar(crowd.simulation.add_host());
  int lies = 0;
  liar.listen([&](RawPeer& peer, const Frame& frame) {
    const auto* chunk = std::get_if<ChunkRequest>(&frame.message);
    if (chunk == nullptr) return;
    ++lies;
    peer.send(frame.id, ChunkAnswer{Coding::plain, Bytes(chunk->length, 0x66)});
  });
  auto holders = crowd.peers;
  holders.insert(holders.begin() + 1, {liar.host.id(), liar.host.endpoint()});
  const auto part = crowd.asker->pull(holders);
  crowd.simulation.run_for(30s);
  INFO(part->text());
  REQUIRE(part->ok());
  REQUIRE(lies > 0);
  check_same(part->value(), *crowd.helpers[0]->offer);
}

TEST_CASE("When every holder lies about the content, the pull is untrusted") {
  Crowd crowd(1, 10'000'000);
  RawPeer liar(crowd.simulation.add_host());
  const auto& offer = *crowd.helpers[0]->offer;
  const Bytes list = encode(Manifest{"linear", {{"class/0", {0}, 1, 2'000'000, metadata::sha256(offer.blocks[0].content)}}});
  liar.listen([&](RawPeer& peer, const Frame& frame) {
    if (std::holds_alternative<ManifestRequest>(frame.message)) {
      peer.send(frame.id, ManifestAnswer{metadata::sha256(list), list.size(), list, {}});
    }
    if (const auto* chunk = std::get_if<ChunkRequest>(&frame.message)) {
      peer.send(frame.id, ChunkAnswer{Coding::plain, Bytes(chunk->length, 0x66)});
    }
  });
  const auto part = crowd.asker->pull({liar.host.id(), liar.host.endpoint()});
  crowd.simulation.run_for(30s);
  CHECK(part->calls == 1);
  CHECK(part->code() == ErrorCode::untrusted);
  CHECK_FALSE(liar.goodbye.empty());
}

/// A raw peer that is linked to `host` and greeted.
struct Raw {
  Raw(sim::Simulation& the_simulation, const sim::Host& host) : simulation(the_simulation), peer(the_simulation.add_host()) {
    peer.hello.accepts = {"192.0.2.200", 77};
    peer.connect(host, {});
    REQUIRE(simulation.run_until([this] { return peer.count<Hello>() == 1; }, 1s));
  }
  template <typename Answer>
  Answer ask(const Message& question) {
    const auto before = peer.frames.size();
    peer.send(++id, question);
    REQUIRE(simulation.run_until([&] { return peer.frames.size() > before; }, 1s));
    const auto* answer = std::get_if<Answer>(&peer.frames.back().message);
    REQUIRE(answer != nullptr);
    return *answer;
  }
  sim::Simulation& simulation;
  RawPeer peer;
  std::uint64_t id = 0;
};

TEST_CASE("What a node has pulled it gives to others by its hash, and what it offers is still its own model") {
  Crowd crowd(1, 10'000'000, {3000, 5000});
  crowd.asker->offer = test::offer_of({1234}, 9);
  const auto part = crowd.asker->pull(crowd.peers);
  crowd.simulation.run_for(2s);
  REQUIRE(part->ok());
  Raw raw(crowd.simulation, crowd.asker->host);
  const auto chunk = raw.ask<ChunkAnswer>(ChunkRequest{part->value().hashes[1], 1000, 4000});
  const auto& original = crowd.helpers[0]->offer->blocks[1].content;
  CHECK(std::equal(chunk.bytes.begin(), chunk.bytes.end(), original.begin() + 1000));
  const auto head = raw.ask<ManifestAnswer>(ManifestRequest{test::task_id(), {}});
  const auto manifest = decode_manifest(head.bytes, {});
  REQUIRE(manifest);
  REQUIRE(manifest->lines.size() == 1);
  CHECK(manifest->lines[0].hash == metadata::sha256(crowd.asker->offer->blocks[0].content));
}

TEST_CASE("A node that keeps nothing gives nothing on") {
  Pair net;
  ExchangeLimits none;
  none.store_bytes = 0;
  Party asker(net.simulation, net.a(), none), helper(net.simulation, net.b());
  const auto part = asker.pull(helper.peer());
  net.simulation.run_for(2s);
  REQUIRE(part->ok());
  Raw raw(net.simulation, net.a());
  CHECK(raw.ask<Refusal>(ChunkRequest{part->value().hashes[1], 0, 100}).why == Refusal::Why::gone);
}

TEST_CASE("Who asks for content that is on its way is told to wait, and when it has come it is given") {
  Crowd crowd(1, 100'000, {100'000});
  const auto part = crowd.asker->pull(crowd.peers);
  crowd.simulation.run_for(300ms);
  Raw raw(crowd.simulation, crowd.asker->host);
  const ChunkRequest request{metadata::sha256(crowd.helpers[0]->offer->blocks[0].content), 0, 1000};
  const auto wait = raw.ask<Refusal>(request);
  CHECK(wait.why == Refusal::Why::later);
  CHECK(wait.retry_ms > 0);
  crowd.simulation.run_for(2s);
  REQUIRE(part->ok());
  CHECK(raw.ask<ChunkAnswer>(request).bytes.size() == 1000);
}

TEST_CASE("Content that was on its way when its pull failed is not here") {
  Crowd crowd(1, 100'000, {100'000});
  const auto part = crowd.asker->pull(crowd.peers);
  crowd.simulation.run_for(300ms);
  crowd.helpers[0]->host.crash(sim::Crash::process);
  crowd.simulation.run_for(2s);
  REQUIRE(part->calls == 1);
  Raw raw(crowd.simulation, crowd.asker->host);
  const ChunkRequest request{metadata::sha256(crowd.helpers[0]->offer->blocks[0].content), 0, 1000};
  CHECK(raw.ask<Refusal>(request).why == Refusal::Why::gone);
}

TEST_CASE("A holder names who asked for the same before, and nobody twice, and never the asker himself") {
  Crowd crowd(1, 10'000'000, {3000});
  Raw first(crowd.simulation, crowd.helpers[0]->host);
  const ManifestRequest question{test::task_id(), {}};
  CHECK(first.ask<ManifestAnswer>(question).holders.empty());
  CHECK(first.ask<ManifestAnswer>(question).holders.empty());
  for (int i = 0; i < 3; ++i) (void)Raw(crowd.simulation, crowd.helpers[0]->host).ask<ManifestAnswer>(question);
  const auto holders = first.ask<ManifestAnswer>(question).holders;
  CHECK(holders.size() == 3);
  for (const auto& holder : holders) {
    CHECK(holder.id != first.peer.host.id());
    CHECK(holder.endpoint.text() == "192.0.2.200:77");
  }
}

TEST_CASE("A part whose snapshot is gone in mid-transfer is asked for anew, and what has come does not travel again") {
  Crowd crowd(0, 100'000);
  ExchangeLimits tight;
  tight.part_bytes = 300'000;  // two snapshots are held
  tight.store_bytes = 0;       // nothing is left of the others
  Party helper(crowd.simulation, crowd.simulation.add_host(), tight);
  const auto original = helper.offer = test::offer_of({100'000, 100'000, 100'000});
  Raw raw(crowd.simulation, helper.host);
  const auto part = crowd.asker->pull(helper.peer());
  crowd.simulation.run_for(2s);
  REQUIRE(part->calls == 0);
  for (std::int32_t i = 0; i < 2; ++i) {
    helper.offer = test::offer_of({300'000}, 20 + static_cast<std::uint64_t>(i));
    raw.peer.send(static_cast<std::uint64_t>(100 + i), ManifestRequest{test::task_id(), {i}});
  }
  const auto before = helper.offers;
  REQUIRE(crowd.simulation.run_until([&] { return helper.offers == before + 2; }, 1s));
  helper.offer = original;
  crowd.simulation.run_for(10s);
  INFO(part->text());
  REQUIRE(part->ok());
  check_same(part->value(), *original);
  CHECK(helper.offers == before + 3);
  CHECK(part->value().blocks_reused >= 1);
  CHECK(part->value().bytes_received <= 200'000);
}

}  // namespace
}  // namespace p2p::overlay

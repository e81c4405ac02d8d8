// Helpers that lie, babble, stall and vanish. Whatever they do, the asker hears one clear error in bounded time.
#include <catch2/catch.hpp>

#include "overlay/chunk_coder.hpp"
#include "overlay/manifest.hpp"
#include "tests/overlay/support.hpp"

namespace p2p::overlay {
namespace {

using test::Pair;
using test::Party;
using test::RawPeer;

/// What a helper says to a manifest request; the rest it does right.
struct Liar {
  explicit Liar(Pair& net) : raw(net.b()) {
    content = test::random_bytes(100'000, 5);
    manifest.family = "linear";
    manifest.lines = {{"class/0", {0}, 1, content.size(), metadata::sha256(content)}};
    raw.listen([this](RawPeer& peer, const Frame& frame) {
      if (on_frame && on_frame(peer, frame)) return;
      if (std::holds_alternative<ManifestRequest>(frame.message)) peer.send(frame.id, head());
      if (const auto* chunk = std::get_if<ChunkRequest>(&frame.message)) {
        const Bytes list = encode(manifest);
        const ByteView all = chunk->hash == metadata::sha256(list) ? ByteView(list) : ByteView(content);
        const ByteView piece = all.subspan(chunk->offset, chunk->length);
        peer.send(frame.id, ChunkAnswer{Coding::plain, Bytes(piece.begin(), piece.end())});
      }
    });
  }
  Exchange::Peer peer() const { return {raw.host.id(), raw.host.endpoint()}; }
  ManifestAnswer head() const {
    const Bytes list = encode(manifest);
    const auto most = std::min<std::size_t>(list.size(), 200'000);
    return {metadata::sha256(list), list.size(), Bytes(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(most)), {}};
  }
  RawPeer raw;
  Bytes content;
  Manifest manifest;
  std::function<bool(RawPeer&, const Frame&)> on_frame;  ///< true: done with it
};

struct Case {
  Pair net;
  Liar liar{net};
  Party asker{net.simulation, net.a()};
  std::shared_ptr<test::Report<PulledPart>> pull(Duration run = 60s) {
    auto part = asker.pull(liar.peer());
    net.simulation.run_for(run);
    CHECK(part->calls == 1);
    INFO(part->text());
    return part;
  }
};

TEST_CASE("The liar of these tests is believed as long as it tells the truth") {
  Case test;
  const auto part = test.pull();
  REQUIRE(part->ok());
  CHECK(part->value().blocks[0].content == test.liar.content);
}

TEST_CASE("A block that does not have its announced hash is untrusted, and ends the link") {
  Case test;
  test.liar.content[77'777] ^= 1;
  CHECK(test.pull()->code() == ErrorCode::untrusted);
  CHECK(test.asker.links() == 0);
  CHECK(test.liar.raw.goodbye.find("hash") != std::string::npos);
}

TEST_CASE("An empty block with a hash that is not of nothing is untrusted") {
  Case test;
  test.liar.manifest.lines[0].size = 0;
  CHECK(test.pull()->code() == ErrorCode::untrusted);
}

TEST_CASE("A manifest that passes a bound is refused before any block is asked for") {
  Case test;
  auto& lines = test.liar.manifest.lines;
  const auto line = lines[0];
  const auto repeat = [&](int count) {
    lines.clear();
    for (int i = 0; i < count; ++i) {
      lines.push_back(line);
      lines.back().name += std::to_string(i);
    }
  };
  std::optional<ManifestAnswer> head;
  SECTION("too many blocks") { repeat(4097); }
  SECTION("a block too large") { lines[0].size = (8u << 20) + 1; }
  SECTION("a block of all the bytes there are") { lines[0].size = ~0ull; }
  SECTION("a part too large") {
    repeat(9);
    for (auto& each : lines) each.size = 8u << 20;
  }
  SECTION("a part whose size wraps around") {
    repeat(9);
    lines[4].size = ~0ull - 100;
  }
  SECTION("more classes than anybody has") {
    repeat(10);
    for (auto& each : lines) each.classes.assign(60'000, 1);
  }
  SECTION("a manifest longer than anybody's") {
    head = test.liar.head();
    head->total = (1u << 20) + 1;
  }
  SECTION("a manifest of all the bytes there are") {
    head = test.liar.head();
    head->total = ~0ull;
  }
  const auto root = metadata::sha256(encode(test.liar.manifest));
  bool asked_for_block = false;
  test.liar.on_frame = [&](RawPeer& peer, const Frame& frame) {
    const auto* chunk = std::get_if<ChunkRequest>(&frame.message);
    asked_for_block = asked_for_block || (chunk != nullptr && chunk->hash != root);
    if (!head || !std::holds_alternative<ManifestRequest>(frame.message)) return false;
    peer.send(frame.id, *head);
    return true;
  };
  const auto part = test.pull();
  CHECK(part->code() == ErrorCode::limit_exceeded);
  CHECK_FALSE(asked_for_block);
  CHECK(test.asker.links() == 0);
}

TEST_CASE("A manifest that contradicts itself, or its hash, is refused and ends the link") {
  Case test;
  const auto line = test.liar.manifest.lines[0];
  std::optional<ManifestAnswer> head;
  ErrorCode expected = ErrorCode::malformed;
  SECTION("a name twice") { test.liar.manifest.lines.push_back(line); }
  SECTION("evidence below nothing") { test.liar.manifest.lines[0].evidence = -1; }
  SECTION("a class that cannot be") { test.liar.manifest.lines[0].classes = {-1}; }
  SECTION("longer than it says") {
    head = test.liar.head();
    head->total = 10;
  }
  SECTION("another than its hash says") {
    head = test.liar.head();
    head->bytes[20] ^= 1;
    expected = ErrorCode::untrusted;
  }
  SECTION("no manifest at all") {
    const Bytes junk = test::random_bytes(500, 3);
    head = ManifestAnswer{metadata::sha256(junk), junk.size(), junk, {}};
  }
  test.liar.on_frame = [&](RawPeer& peer, const Frame& frame) {
    if (!head || !std::holds_alternative<ManifestRequest>(frame.message)) return false;
    peer.send(frame.id, *head);
    return true;
  };
  CHECK(test.pull()->code() == expected);
  CHECK(test.asker.links() == 0);
}

TEST_CASE("Bytes that are no frames end the link with malformed or limit_exceeded") {
  Case test;
  std::string hex;
  ErrorCode expected = ErrorCode::malformed;
  SECTION("a length over the bound") {
    hex = "00040001";
    expected = ErrorCode::limit_exceeded;
  }
  SECTION("four gigabytes") {
    hex = "ffffffff";
    expected = ErrorCode::limit_exceeded;
  }
  SECTION("an empty frame") { hex = "00000000"; }
  SECTION("no msgpack") { hex = "00000003c1c1c1"; }
  SECTION("an array that claims four thousand million elements") { hex = "00000005ddffffffff"; }
  SECTION("a map") { hex = "0000000181"; }
  SECTION("an unknown kind") { hex = "00000003" "922800"; }
  SECTION("an answer to what was not asked") { hex = "00000008" "9414cd0fff00c400"; }
  SECTION("a second greeting") { hex = to_hex(encode({0, test.liar.raw.hello})); }
  SECTION("an answer of another kind") { hex = to_hex(encode({1, ChunkAnswer{Coding::plain, {1, 2, 3}}})); }
  SECTION("text in place of bytes") { hex = "00000006" "9414" "01" "00" "a141"; }
  test.liar.on_frame = [&](RawPeer& peer, const Frame& frame) {
    if (!std::holds_alternative<ManifestRequest>(frame.message)) return false;
    peer.write_hex(hex);
    return true;
  };
  const auto part = test.pull(3s);
  CHECK(part->code() == expected);
  CHECK(test.asker.links() == 0);
  CHECK(test.liar.raw.closed);
  CHECK_FALSE(test.liar.raw.goodbye.empty());
}

TEST_CASE("A chunk of another length than was asked for is malformed") {
  Case test;
  const int difference = GENERATE(-1, 1);
  test.liar.on_frame = [difference](RawPeer& peer, const Frame& frame) {
    const auto* chunk = std::get_if<ChunkRequest>(&frame.message);
    if (chunk == nullptr) return false;
    peer.send(frame.id, ChunkAnswer{Coding::plain, Bytes(chunk->length + static_cast<std::uint32_t>(difference))});
    return true;
  };
  CHECK(test.pull()->code() == ErrorCode::malformed);
}

TEST_CASE("A chunk that does not unpack, or unpacks with what the asker does not have, is malformed and ends the link") {
  Case test;
  const auto coding = GENERATE(Coding::packed, Coding::patch, Coding::difference);
  test.liar.on_frame = [coding](RawPeer& peer, const Frame& frame) {
    const auto* chunk = std::get_if<ChunkRequest>(&frame.message);
    if (chunk == nullptr) return false;
    CHECK_FALSE(chunk->base);
    const Bytes plain(chunk->length, 7);
    auto packed = ChunkCoder().pack(plain, {0, plain.size()}, {});
    packed.coding = coding;
    if (coding == Coding::packed) packed.bytes.pop_back();
    peer.send(frame.id, packed);
    return true;
  };
  CHECK(test.pull()->code() == ErrorCode::malformed);
  CHECK(test.asker.links() == 0);
}

TEST_CASE("A description longer than the bound, or than it says, is refused") {
  Case test;
  DescriptionAnswer answer;
  ErrorCode expected = ErrorCode::malformed;
  const Bytes junk = test::random_bytes(100, 1);
  SECTION("too long") {
    answer = {{}, (1u << 20) + 1, Bytes(1000)};
    expected = ErrorCode::limit_exceeded;
  }
  SECTION("longer than it says") { answer = {{}, 10, Bytes(11)}; }
  SECTION("another than its hash says") {
    answer = {{}, 100, junk};
    expected = ErrorCode::untrusted;
  }
  SECTION("no description at all") { answer = {metadata::sha256(junk), 100, junk}; }
  test.liar.on_frame = [&](RawPeer& peer, const Frame& frame) {
    if (!std::holds_alternative<DescribeRequest>(frame.message)) return false;
    peer.send(frame.id, answer);
    return true;
  };
  const auto description = test.asker.describe(test.liar.peer());
  test.net.simulation.run_for(10s);
  CHECK(description->calls == 1);
  CHECK(description->code() == expected);
}

TEST_CASE("A peer that does not greet right is refused with a reason") {
  Case test;
  auto& hello = test.liar.raw.hello;
  ErrorCode expected = ErrorCode::malformed;
  SECTION("a later version") {
    hello.version = kProtocolVersion + 1;
    expected = ErrorCode::version;
  }
  SECTION("an earlier version") {
    hello.version = kProtocolVersion - 1;
    expected = ErrorCode::version;
  }
  SECTION("frames too small for anything") { hello.frame_bytes = 100; }
  SECTION("no chunks") { hello.chunk_bytes = 0; }
  SECTION("no requests") { hello.requests = 0; }
  const auto part = test.pull(5s);
  CHECK(part->code() == expected);
  CHECK(test.liar.raw.closed);
}

TEST_CASE("A peer that never greets is given up after request_timeout") {
  Case test;
  test.liar.raw.greets = false;
  test.liar.on_frame = [](RawPeer&, const Frame&) { return true; };
  const auto part = test.pull();
  CHECK(part->code() == ErrorCode::timeout);
  CHECK(part->at < 2200ms);
}

TEST_CASE("A peer that answers before it has greeted is malformed, and ends the link") {
  Case test;
  test.liar.raw.greets = false;
  CHECK(test.pull()->code() == ErrorCode::malformed);
  CHECK(test.asker.links() == 0);
}

/// Sends the truth, and content along with the manifest.
ManifestAnswer head_with(const Liar& liar, std::vector<ChunkAnswer> along) {
  auto head = liar.head();
  head.along = std::move(along);
  return head;
}

TEST_CASE("Content that comes along with a manifest is believed when it has its hash, and no chunk is asked for") {
  Case test;
  test.liar.content.resize(20'000);
  test.liar.manifest.lines[0].size = test.liar.content.size();
  test.liar.manifest.lines[0].hash = metadata::sha256(test.liar.content);
  ChunkAnswer along = ChunkCoder().pack(test.liar.content, {0, test.liar.content.size()}, {});
  ErrorCode code{};
  SECTION("the truth") {
    test.liar.on_frame = [&](RawPeer& peer, const Frame& frame) {
      if (!std::holds_alternative<ManifestRequest>(frame.message)) return false;
      CHECK(std::get<ManifestRequest>(frame.message).along == 65536);
      peer.send(frame.id, head_with(test.liar, {along}));
      return true;
    };
    const auto part = test.pull();
    REQUIRE(part->ok());
    CHECK(part->value().blocks[0].content == test.liar.content);
    CHECK(part->value().bytes_received == 20'000);
    CHECK(part->value().givers == 1);
    CHECK(test.liar.raw.count<ChunkRequest>() == 0);
    return;
  }
  std::vector<ChunkAnswer> wrong;
  Bytes other = test.liar.content;
  SECTION("other bytes") {
    other[100] ^= 1;
    wrong = {ChunkAnswer{Coding::plain, other}};
    code = ErrorCode::untrusted;
  }
  SECTION("another length") {
    other.pop_back();
    wrong = {ChunkAnswer{Coding::plain, other}};
    code = ErrorCode::malformed;
  }
  SECTION("a difference to what nobody has") {
    wrong = {ChunkAnswer{Coding::difference, other}};
    code = ErrorCode::malformed;
  }
  SECTION("more than the manifest names") {
    wrong = {along, along};
    code = ErrorCode::malformed;
  }
  REQUIRE_FALSE(wrong.empty());
  test.liar.on_frame = [&](RawPeer& peer, const Frame& frame) {
    if (!std::holds_alternative<ManifestRequest>(frame.message)) return false;
    peer.send(frame.id, head_with(test.liar, wrong));
    return true;
  };
  CHECK(test.pull()->code() == code);
  CHECK(test.asker.links() == 0);
}

TEST_CASE("Content that comes along although none was asked for is malformed") {
  Case test;
  auto first = test.asker.pull(test.liar.peer());
  test.net.simulation.run_for(5s);
  REQUIRE(first->ok());
  test.liar.on_frame = [&](RawPeer& peer, const Frame& frame) {
    if (!std::holds_alternative<ManifestRequest>(frame.message)) return false;
    CHECK(std::get<ManifestRequest>(frame.message).along == 0);  // there is an older version here
    peer.send(frame.id, head_with(test.liar, {ChunkAnswer{Coding::plain, test.liar.content}}));
    return true;
  };
  CHECK(test.pull()->code() == ErrorCode::malformed);
}

TEST_CASE("A peer that never answers is given up after request_timeout, and its link with it") {
  Case test;
  test.liar.on_frame = [](RawPeer&, const Frame&) { return true; };
  const auto part = test.pull(3s);
  CHECK(part->code() == ErrorCode::timeout);
  CHECK(part->at < 2200ms);
  CHECK(test.asker.links() == 0);
}

TEST_CASE("A peer that answers one question and not the other keeps its link") {
  Case test;
  test.liar.on_frame = [](RawPeer& peer, const Frame& frame) {
    if (std::holds_alternative<DescribeRequest>(frame.message)) {
      peer.send(frame.id, Refusal{Refusal::Why::not_served, 0, "no"});
    }
    return true;
  };
  const auto part = test.asker.pull(test.liar.peer());
  test.net.simulation.run_for(1s);
  const auto description = test.asker.describe(test.liar.peer());
  test.net.simulation.run_for(2s);
  CHECK(description->code() == ErrorCode::not_found);
  CHECK(part->code() == ErrorCode::timeout);
  CHECK(test.asker.links() == 1);
}

TEST_CASE("An answer that comes after its deadline is ignored, and is no lie") {
  Case test;
  test.liar.on_frame = [&test](RawPeer& peer, const Frame& frame) {
    if (std::holds_alternative<ManifestRequest>(frame.message)) {
      test.net.simulation.at(test.net.simulation.now() + 2500ms,
                             [&peer, &test, id = frame.id] { peer.send(id, test.liar.head()); });
      return true;
    }
    if (std::holds_alternative<DescribeRequest>(frame.message)) {
      peer.send(frame.id, Refusal{Refusal::Why::not_served, 0, "no"});
      return true;
    }
    return false;
  };
  const auto part = test.asker.pull(test.liar.peer());
  test.net.simulation.run_for(500ms);
  (void)test.asker.describe(test.liar.peer());
  test.net.simulation.run_for(5s);
  CHECK(part->code() == ErrorCode::timeout);
  CHECK(part->calls == 1);
  CHECK(test.asker.links() == 1);
  CHECK(test.liar.raw.goodbye.empty());
}

TEST_CASE("A peer that stalls after some chunks is given up within request_timeout of its last one") {
  Case test;
  int chunks = 0;
  test.liar.on_frame = [&chunks](RawPeer&, const Frame& frame) {
    return std::holds_alternative<ChunkRequest>(frame.message) && ++chunks > 1;
  };
  const auto part = test.pull();
  CHECK(part->code() == ErrorCode::timeout);
  CHECK(part->at < 2500ms);
}

TEST_CASE("A peer that drips content just within each deadline is given up after pull_timeout") {
  Case test;
  test.liar.on_frame = [&test](RawPeer& peer, const Frame& frame) {
    const auto* chunk = std::get_if<ChunkRequest>(&frame.message);
    if (chunk == nullptr) return false;
    const auto piece = ByteView(test.liar.content).subspan(chunk->offset, chunk->length);
    Bytes bytes = encode({frame.id, ChunkAnswer{Coding::plain, Bytes(piece.begin(), piece.end())}});
    test.net.simulation.at(test.net.simulation.now() + 1900ms,
                           [&peer, bytes] { peer.write(bytes); });
    return true;
  };
  ExchangeLimits hasty;
  hasty.pull_timeout = 10s;
  Party asker(test.net.simulation, test.net.simulation.add_host(), hasty);
  test.liar.content = test::random_bytes(1'000'000, 6);
  test.liar.manifest.lines[0].size = test.liar.content.size();
  const auto part = asker.pull(test.liar.peer());
  test.net.simulation.run_for(60s);
  CHECK(part->calls == 1);
  CHECK(part->code() == ErrorCode::timeout);
  CHECK(part->at < 10'500ms);
}

TEST_CASE("A peer that drips the bytes of one frame is given up within request_timeout") {
  Case test;
  std::function<void(RawPeer&, std::size_t)> drip = [&](RawPeer& peer, std::size_t left) {
    if (left == 0) return;
    peer.write({0});
    test.net.simulation.at(test.net.simulation.now() + 500ms, [&drip, &peer, left] { drip(peer, left - 1); });
  };
  test.liar.on_frame = [&](RawPeer& peer, const Frame& frame) {
    if (!std::holds_alternative<ManifestRequest>(frame.message)) return false;
    peer.write_hex("00030000");
    drip(peer, 200);
    return true;
  };
  const auto part = test.pull(150s);
  CHECK(part->code() == ErrorCode::timeout);
  CHECK(part->at < 2200ms);
  // Its link is of no use, and goes when it has been idle for as long as any other.
  CHECK(test.asker.links() == 0);
}

TEST_CASE("A peer that ends its stream in mid-transfer is closed") {
  Case test;
  test.liar.on_frame = [](RawPeer& peer, const Frame& frame) {
    if (!std::holds_alternative<ChunkRequest>(frame.message)) return false;
    peer.write_hex("0000ff00" "9414");
    peer.link->close();
    return true;
  };
  const auto part = test.pull();
  CHECK(part->code() == ErrorCode::closed);
  CHECK(part->at < 1s);
}

TEST_CASE("A helper that dies in mid-transfer is unavailable when its machine says so, and a timeout when it does not") {
  const auto how = GENERATE(sim::Crash::process, sim::Crash::power);
  Pair net;
  net.simulation.network().bandwidth = 100'000;
  Party asker(net.simulation, net.a()), helper(net.simulation, net.b());
  const auto part = asker.pull(helper.peer());
  REQUIRE(net.simulation.run_until([&] { return helper.exchange->served() >= 2; }, 5s));
  net.simulation.run_for(100ms);
  net.b().crash(how);
  const auto crashed = Duration(net.simulation.now().us);
  net.simulation.run_for(30s);
  CHECK(part->calls == 1);
  // The link is closed; whoever tries to make it anew learns that nobody is there.
  CHECK(part->code() == (how == sim::Crash::process ? ErrorCode::unavailable : ErrorCode::timeout));
  // What was asked before its last words is asked once more.
  CHECK(part->at - crashed < (how == sim::Crash::process ? 100ms : 4100ms));
  CHECK(asker.links() == 0);
}

TEST_CASE("A helper that stalls in mid-transfer is a timeout, and serves again when it has recovered") {
  Pair net;
  net.simulation.network().bandwidth = 100'000;
  Party asker(net.simulation, net.a()), helper(net.simulation, net.b());
  const auto part = asker.pull(helper.peer());
  REQUIRE(net.simulation.run_until([&] { return helper.exchange->served() >= 2; }, 5s));
  net.b().stall_links(true);
  net.simulation.run_for(5s);
  CHECK(part->code() == ErrorCode::timeout);
  net.b().stall_links(false);
  const auto again = asker.pull(helper.peer());
  net.simulation.run_for(20s);
  INFO(again->text());
  CHECK(again->ok());
}

TEST_CASE("A partition in mid-transfer is a timeout, and the next pull after it heals succeeds") {
  Pair net;
  net.simulation.network().bandwidth = 100'000;
  net.b().set_group(1);
  Party asker(net.simulation, net.a()), helper(net.simulation, net.b());
  const auto part = asker.pull(helper.peer());
  REQUIRE(net.simulation.run_until([&] { return helper.exchange->served() >= 2; }, 5s));
  net.simulation.partition();
  net.simulation.run_for(20s);
  CHECK(part->calls == 1);
  CHECK(part->code() == ErrorCode::timeout);
  const auto during = asker.pull(helper.peer());
  net.simulation.run_for(5s);
  CHECK(during->code() == ErrorCode::timeout);
  net.simulation.heal();
  const auto after = asker.pull(helper.peer());
  net.simulation.run_for(20s);
  INFO(after->text());
  CHECK(after->ok());
}

TEST_CASE("A helper that restarts is linked to anew, from either side") {
  Pair net;
  auto asker = std::make_unique<Party>(net.simulation, net.a());
  auto helper = std::make_unique<Party>(net.simulation, net.b());
  REQUIRE(net.simulation.run_until([r = asker->describe(helper->peer())] { return r->ok(); }, 1s));
  const bool asker_restarts = GENERATE(false, true);
  auto& host = asker_restarts ? net.a() : net.b();
  host.crash(sim::Crash::power);
  (asker_restarts ? asker : helper).reset();
  host.restart();
  (asker_restarts ? asker : helper) = std::make_unique<Party>(net.simulation, host);
  const auto first = (asker_restarts ? asker : helper)->describe((asker_restarts ? helper : asker)->peer());
  net.simulation.run_for(5s);
  INFO(first->text());
  CHECK(first->ok());
  const auto second = (asker_restarts ? helper : asker)->describe((asker_restarts ? asker : helper)->peer());
  net.simulation.run_for(5s);
  INFO(second->text());
  CHECK(second->ok());
  CHECK(asker->links() == 1);
  CHECK(helper->links() == 1);
}

TEST_CASE("A node with another key at the helper's address is untrusted") {
  Pair net;
  Party asker(net.simulation, net.a()), helper(net.simulation, net.b());
  const auto part = asker.pull({metadata::KeyPair::generate().id(), net.b().endpoint()});
  net.simulation.run_for(5s);
  CHECK(part->code() == ErrorCode::untrusted);
}

TEST_CASE("An address where nobody accepts is unavailable, and one that nobody has a timeout") {
  Pair net;
  Party asker(net.simulation, net.a());
  const auto part = asker.pull({net.b().id(), net.b().endpoint()});
  const auto other = asker.describe({metadata::KeyPair::generate().id(), {"192.0.2.1", 9}});
  net.simulation.run_for(5s);
  CHECK(part->code() == ErrorCode::unavailable);
  CHECK(other->code() == ErrorCode::timeout);
  CHECK(other->at == 2s);
}

TEST_CASE("A peer that is busy for a while is asked again, and one that stays busy is unavailable") {
  Case test;
  int refusals = GENERATE(5, 1000);
  const bool forever = refusals == 1000;
  test.liar.on_frame = [&refusals](RawPeer& peer, const Frame& frame) {
    const bool asks = std::holds_alternative<ChunkRequest>(frame.message) ||
                      std::holds_alternative<ManifestRequest>(frame.message);
    if (!asks || refusals-- <= 0) return false;
    peer.send(frame.id, Refusal{Refusal::Why::busy, 20, "later"});
    return true;
  };
  const auto part = test.pull();
  INFO(part->text());
  if (forever) {
    CHECK(part->code() == ErrorCode::unavailable);
  } else {
    REQUIRE(part->ok());
    CHECK(part->value().blocks[0].content == test.liar.content);
  }
}

TEST_CASE("Chunks that are refused as busy in the middle are asked for again") {
  Case test;
  int asked = 0;
  test.liar.content = test::random_bytes(600'000, 8);
  test.liar.manifest.lines[0].size = test.liar.content.size();
  test.liar.manifest.lines[0].hash = metadata::sha256(test.liar.content);
  test.liar.on_frame = [&asked](RawPeer& peer, const Frame& frame) {
    if (!std::holds_alternative<ChunkRequest>(frame.message) || ++asked % 3 != 0) return false;
    peer.send(frame.id, Refusal{Refusal::Why::busy, 1, "later"});
    return true;
  };
  const auto part = test.pull();
  INFO(part->text());
  REQUIRE(part->ok());
  CHECK(part->value().blocks[0].content == test.liar.content);
  CHECK(part->value().bytes_received == 600'000);
}

TEST_CASE("A snapshot that is gone is unavailable") {
  Case test;
  test.liar.on_frame = [](RawPeer& peer, const Frame& frame) {
    if (!std::holds_alternative<ChunkRequest>(frame.message)) return false;
    peer.send(frame.id, Refusal{Refusal::Why::gone, 0, "gone"});
    return true;
  };
  CHECK(test.pull()->code() == ErrorCode::unavailable);
}

TEST_CASE("Whatever bytes a helper sends, a pull reports once and the asker still serves others") {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    CAPTURE(seed);
    Case test;
    Random random(seed);
    test.liar.on_frame = [&](RawPeer& peer, const Frame& frame) {
      if (std::holds_alternative<Hello>(frame.message) || random.below(3) != 0) return false;
      Bytes bytes = random.below(2) == 0
                        ? test::random_bytes(1 + random.below(200), random.next())
                        : encode({frame.id, random.below(2) == 0 ? Message(test.liar.head())
                                                                 : Message(ChunkAnswer{Coding::plain, Bytes(random.below(70'000))})});
      for (auto flips = random.below(4); flips > 0; --flips) {
        bytes[random.below(bytes.size())] = static_cast<std::uint8_t>(random.next());
      }
      peer.write(std::move(bytes));
      return true;
    };
    const auto part = test.asker.pull(test.liar.peer());
    test.net.simulation.run_for(40s);
    CHECK(part->calls == 1);
    if (part->ok()) CHECK(part->value().blocks[0].content == test.liar.content);
    Party third(test.net.simulation, test.net.simulation.add_host());
    const auto other = third.pull(test.asker.peer());
    test.net.simulation.run_for(5s);
    CHECK(other->ok());
  }
}

TEST_CASE("Over a link that flips bits a pull reports once, and never wrong content") {
  int right = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    Pair net(seed);
    net.simulation.network().corruption = 0.03;
    Party asker(net.simulation, net.a()), helper(net.simulation, net.b());
    const auto part = asker.pull(helper.peer());
    net.simulation.run_for(60s);
    REQUIRE(part->calls == 1);
    if (!part->ok()) continue;
    ++right;
    for (std::size_t i = 0; i < helper.offer->blocks.size(); ++i) {
      CHECK(part->value().blocks[i].content == helper.offer->blocks[i].content);
    }
  }
  CHECK(right > 5);
  CHECK(right < 60);
}

TEST_CASE("Over links that break at random every pull reports once, and nearly all of them get through") {
  int right = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    Pair net(seed);
    net.simulation.network().link_break = 0.03;
    Party asker(net.simulation, net.a()), helper(net.simulation, net.b());
    const auto part = asker.pull(helper.peer());
    net.simulation.run_for(60s);
    REQUIRE(part->calls == 1);
    right += part->ok() ? 1 : 0;
    if (!part->ok()) CHECK((part->code() == ErrorCode::io || part->code() == ErrorCode::closed));
  }
  CHECK(right >= 57);  // 34 of them when a broken link was the end
}

}  // namespace
}  // namespace p2p::overlay

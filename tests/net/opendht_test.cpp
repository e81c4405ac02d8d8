#include "overlay/net/opendht.hpp"

#include <algorithm>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "metadata/base/random.hpp"
#include "metadata/record.hpp"
#include "packets.hpp"
#include "support.hpp"
#include "tests/metadata/storable.hpp"

namespace p2p::net::test {
namespace {

using metadata::Document;
using overlay::DhtValue;

std::uint64_t now_ms() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                        std::chrono::system_clock::now().time_since_epoch())
                                        .count());
}

metadata::TaskTag task() { return metadata::tag(metadata::sha256(view("opendht_test"))); }
DhtKey key_at(std::uint32_t number) { return metadata::place_key(task(), metadata::testing::numbered_place(number)); }

Bytes record_of(const metadata::KeyPair& key, std::uint32_t number, std::uint64_t version, std::size_t classes = 10) {
  return metadata::testing::storable(key, task(), number, version, {"127.0.0.1", 4000}, classes).record;
}

/// Some nodes on loopback, joined through the first.
class Swarm {
 public:
  explicit Swarm(std::size_t count, const std::string& network = "opendht_test", bool with_threads = true,
                 std::function<std::unique_ptr<DatagramPort>()> ports = {})
      : threaded(with_threads), make_port(std::move(ports)) {
    for (std::size_t i = 0; i < count; ++i) add(network);
    for (std::size_t i = 1; i < count; ++i) {
      loop.on([&] { nodes[i]->join({nodes[0]->local().text()}); });
    }
    if (count > 1) connected();
  }
  ~Swarm() {
    if (loop.running()) loop.on([&] { nodes.clear(); });
  }
  OpenDht& add(const std::string& network = "opendht_test") {
    loop.on([&] {
      nodes.push_back(std::make_unique<OpenDht>(
          loop, OpenDhtOptions{.network = network, .operation_timeout = timeout, .threaded = threaded},
          make_port ? make_port() : nullptr));
      REQUIRE(nodes.back()->start());
    });
    return *nodes.back();
  }
  void connected() {
    loop.await("all connected", [&] {
      // The first one hears of the others at once, but takes its time to find out whether they can be reached.
      return std::all_of(nodes.begin(), nodes.end(), [&](const auto& node) {
        return (node == nodes.front() ? node->stats().known_nodes : node->stats().good_nodes) > 0;
      });
    });
  }

  bool put(std::size_t node, const DhtKey& key, DhtValue value) {
    std::optional<bool> outcome;
    int calls = 0;
    loop.on([&] {
      nodes[node]->put(key, std::move(value), [&](bool ok) {
        ++calls;
        outcome = ok;
      });
      CHECK(calls == 0);
    });
    loop.await("the put", [&] { return outcome.has_value(); }, 60s);
    return *outcome;
  }
  /// All values, or the first `most`.
  std::vector<DhtValue> get(std::size_t node, const DhtKey& key, std::size_t most = 1000) {
    std::vector<DhtValue> values;
    int done = 0;
    loop.on([&] {
      nodes[node]->get(
          key,
          [&](const DhtValue& value) {
            CHECK(done == 0);
            values.push_back(value);
            return values.size() < most;
          },
          [&](bool) { ++done; });
    });
    loop.await("the get", [&] { return done == 1; }, 60s);
    return values;
  }
  overlay::DhtStats stats(std::size_t node) {
    return loop.on([&] { return nodes[node]->stats(); });
  }
  metadata::Endpoint address(std::size_t node) {
    return loop.on([&] { return nodes[node]->local(); });
  }

  overlay::Duration timeout = 20s;  ///< of the operations of nodes added from now on
  bool threaded = true;
  std::function<std::unique_ptr<DatagramPort>()> make_port;
  RunningLoop loop;
  std::vector<std::unique_ptr<OpenDht>> nodes;
};

/// Somebody with a UDP socket who speaks to a node packet by packet.
class ByHand {
 public:
  ByHand(const metadata::Endpoint& to, const std::string& network = "opendht_test")
      : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    address_.sin_family = AF_INET;
    address_.sin_port = htons(to.port);
    REQUIRE(inet_pton(AF_INET, to.host.c_str(), &address_.sin_addr) == 1);
    const timeval limit{5, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    const auto hash = metadata::sha256(view(network));
    std::memcpy(&network_, hash.bytes.data(), sizeof network_);
  }
  ~ByHand() { ::close(socket_); }

  void send(ByteView packet) {
    REQUIRE(::sendto(socket_, packet.data(), packet.size(), 0, reinterpret_cast<sockaddr*>(&address_),
                     sizeof address_) == static_cast<ssize_t>(packet.size()));
  }
  void ask(const std::string& kind, const MapOf& arguments) { send(packed(query(kind, arguments, network_))); }
  /// The next answer to one of our queries; the node's own queries are passed over. Empty: none within 5 s.
  Bytes answered_bytes() {
    for (;;) {
      Bytes packet(65536);
      const ssize_t size = ::recv(socket_, packet.data(), packet.size(), 0);
      if (size < 0) return {};
      packet.resize(static_cast<std::size_t>(size));
      const auto document = Document::parse(packet, kLimits);
      REQUIRE(document);
      if (document->root()["y"].text() != "q") return packet;
    }
  }
  std::optional<Document> answered() {
    const Bytes packet = answered_bytes();
    if (packet.empty()) return std::nullopt;
    return std::move(*Document::parse(packet, kLimits));
  }
  bool is_alive() {
    ask("ping", {{"id", binary(id_bytes())}});
    const auto pong = answered();
    return pong && pong->root()["y"].text() == "r";
  }
  /// What the node itself keeps under a key.
  std::vector<metadata::Value> stored(const DhtKey& key) {
    ask("get", {{"id", binary(id_bytes())},
                {"h", binary(Bytes(key.begin(), key.end()))},
                {"q", MapOf{{"s", list({})}, {"w", list({})}}}});
    last_ = answered();
    REQUIRE(last_);
    const auto values = last_->root()["r"]["values"];
    const auto token = last_->root()["r"]["token"].binary();
    token_ = token ? Bytes(token->begin(), token->end()) : Bytes();
    std::vector<metadata::Value> out;
    for (std::size_t i = 0; i < values.size(); ++i) out.push_back(values[i]);
    return out;
  }
  /// A put with a token that is good for `key`.
  void put(const DhtKey& key, const std::vector<Write>& values) {
    stored(key);
    ask("put", MapOf(put_arguments(values)).set("h", binary(Bytes(key.begin(), key.end()))).set("token", binary(token_)));
  }

 private:
  static constexpr metadata::DecodeLimits kLimits{.bytes = 65536, .depth = 16, .elements = 1u << 16};
  int socket_;
  sockaddr_in address_{};
  std::uint32_t network_ = 0;
  Bytes token_;
  std::optional<Document> last_;
};

TEST_CASE("A record that one node puts, another gets, byte for byte, under its id") {
  Swarm swarm(2);
  const Bytes record = record_of(key_of(1), 3, now_ms());
  CHECK(swarm.put(0, key_at(3), {77, record}));
  for (const std::size_t node : {0, 1}) {
    const auto values = swarm.get(node, key_at(3));
    REQUIRE(values.size() == 1);
    CHECK(values[0].id == 77);
    CHECK(values[0].data == record);
  }
  CHECK(swarm.get(1, key_at(4)).empty());
  CHECK(swarm.put(0, key_at(3), {77, record}));  // a refresh
  CHECK(swarm.get(1, key_at(3)).size() == 1);
  CHECK(swarm.stats(0).refused_packets == 0);
  const auto stats = swarm.stats(1);
  CHECK(stats.stored_values == 1);
  CHECK(stats.stored_bytes >= record.size());
  CHECK(stats.sent_packets > 0);
  CHECK(stats.received_bytes > stats.received_packets * 20);
  CHECK(stats.refused_packets == 0);
}

TEST_CASE("The largest record that a node may publish travels in one packet and arrives") {
  Swarm swarm(3);
  const Bytes record = record_of(key_of(1), 5, now_ms(), metadata::Entry::kMaxListedClasses);
  INFO("record of " << record.size() << " bytes");
  CHECK(swarm.put(0, key_at(5), {~0ull, record}));
  const auto values = swarm.get(2, key_at(5));
  REQUIRE(values.size() == 1);
  CHECK(values[0].data == record);
  for (std::size_t node = 0; node < 3; ++node) CHECK(swarm.stats(node).refused_packets == 0);
}

TEST_CASE("A record that would not fit into one packet is not sent: its put fails") {
  Swarm swarm(2);
  CHECK_FALSE(swarm.put(0, key_at(5), {1, Bytes(OpenDht::kMaxRecordBytes + 1, 1)}));
}

TEST_CASE("Eight nodes: what each of them publishes, every other finds, and one key holds several values") {
  constexpr std::size_t kNodes = 8;
  Swarm swarm(kNodes);
  for (std::size_t i = 0; i < kNodes; ++i) {
    const auto number = static_cast<std::uint8_t>(i + 1);
    CHECK(swarm.put(i, key_at(number), {number, record_of(key_of(number), number, now_ms())}));
    CHECK(swarm.put(i, key_at(99), {number, record_of(key_of(number), 99, now_ms())}));
  }
  for (std::size_t reader = 0; reader < kNodes; ++reader) {
    for (std::uint8_t number = 1; number <= kNodes; ++number) CHECK(swarm.get(reader, key_at(number)).size() == 1);
    std::set<std::uint64_t> ids;
    for (const auto& value : swarm.get(reader, key_at(99))) ids.insert(value.id);
    CHECK(ids.size() == kNodes);
  }
  for (std::size_t i = 0; i < kNodes; ++i) CHECK(swarm.stats(i).refused_packets == 0);
}

TEST_CASE("A get that has seen enough is done at once and delivers nothing more") {
  Swarm swarm(4);
  for (std::uint8_t number = 1; number <= 8; ++number) {
    CHECK(swarm.put(0, key_at(7), {number, record_of(key_of(number), 7, now_ms())}));
  }
  CHECK(swarm.get(3, key_at(7), 2).size() == 2);
  CHECK(swarm.get(3, key_at(7)).size() == 8);
}

// What an honest node keeps under a key. The one who put it keeps and serves what he likes.
std::vector<Bytes> kept_by(Swarm& swarm, std::size_t node, const DhtKey& key) {
  ByHand asker(swarm.address(node));
  std::vector<Bytes> out;
  for (const auto& value : asker.stored(key)) {
    const auto data = value["dat"]["body"]["data"].binary().value();
    out.emplace_back(data.begin(), data.end());
  }
  return out;
}

TEST_CASE("Holders refuse junk, records of another bucket, forged ones and stale ones") {
  Swarm swarm(3);
  const auto kept = [&](const DhtKey& key, Bytes data) {
    swarm.put(0, key, {5, std::move(data)});  // "ok" is no proof: what counts is what others keep
    return kept_by(swarm, 1, key).size() + kept_by(swarm, 2, key).size();
  };
  CHECK(kept(key_at(1), Bytes(100, 1)) == 0);
  CHECK(kept(key_at(2), record_of(key_of(1), 3, now_ms())) == 0);
  Bytes forged = record_of(key_of(1), 4, now_ms());
  forged.back() ^= 1;
  CHECK(kept(key_at(4), forged) == 0);
  CHECK(kept(key_at(5), record_of(key_of(1), 5, now_ms() - 3'600'000)) == 0);
  CHECK(kept(key_at(6), record_of(key_of(1), 6, now_ms())) == 2);
}

TEST_CASE("A newer record of the same node replaces the old one; another node's and an older one do not") {
  Swarm swarm(3);
  const auto now = now_ms();
  const Bytes first = record_of(key_of(1), 1, now), second = record_of(key_of(1), 1, now + 5);
  const auto kept = [&] { return kept_by(swarm, 2, key_at(1)); };
  CHECK(swarm.put(0, key_at(1), {9, first}));
  CHECK(kept() == std::vector<Bytes>{first});
  CHECK(swarm.put(0, key_at(1), {9, second}));
  CHECK(kept() == std::vector<Bytes>{second});
  swarm.put(1, key_at(1), {9, record_of(key_of(2), 1, now + 50)});  // a foreign node, same id
  CHECK(kept() == std::vector<Bytes>{second});
  swarm.put(1, key_at(1), {9, first});
  CHECK(kept() == std::vector<Bytes>{second});
}

TEST_CASE("A text that sits where a record belongs gives way to the record, and no text replaces a record") {
  Swarm swarm(3);
  ByHand squatter(swarm.address(2));
  const MapOf junk = value_body(0, Bytes(20, 'x')).add("utype", text("text/plain"));
  const Bytes record = record_of(key_of(1), 1, now_ms());
  squatter.put(key_at(1), {value_of(junk, 9)});
  CHECK(squatter.answered());
  CHECK(kept_by(swarm, 2, key_at(1)) == std::vector<Bytes>{Bytes(20, 'x')});
  CHECK(swarm.put(0, key_at(1), {9, record}));
  CHECK(kept_by(swarm, 2, key_at(1)) == std::vector<Bytes>{record});
  squatter.put(key_at(1), {value_of(junk, 9)});
  CHECK(squatter.answered());
  CHECK(kept_by(swarm, 2, key_at(1)) == std::vector<Bytes>{record});
}

TEST_CASE("A text is kept as type 0, text/plain, for people to read, replaced under its id, and no get of ours shows it") {
  Swarm swarm(2);
  const DhtKey key = metadata::text_key("p2p-learner/node/0123456789abcdef");
  ByHand reader(swarm.address(1));
  const auto shown = [&]() -> std::string {
    const auto values = reader.stored(key);
    if (values.size() != 1) return "";
    const auto body = values[0]["dat"]["body"];
    if (body["type"].unsigned_integer() != 0u || body["utype"].text() != "text/plain") return "";
    return to_string(body["data"].binary().value());
  };
  const auto put_and_wait = [&](const std::string& given, const std::string& expected) {
    swarm.loop.on([&] { swarm.nodes[0]->put_text(key, 3, given); });
    const auto end = std::chrono::steady_clock::now() + 20s;
    while (shown() != expected && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(5ms);
    CHECK(shown() == expected);
  };
  put_and_wait(R"({"node":"one"})", R"({"node":"one"})");
  put_and_wait(R"({"node":"two"})", R"({"node":"two"})");
  // Too long for one packet: cut, and not in the middle of a character.
  const std::string start(OpenDht::kMaxTextBytes - 1, 'a');
  put_and_wait(start + "äöü and more", start);
  CHECK(swarm.get(1, key).empty());
}

TEST_CASE("A node that is sent values with an OpenDHT owner drops the packets and lives on") {
  Swarm swarm(2);
  ByHand peer(swarm.address(0));
  REQUIRE(peer.is_alive());
  const Bytes record = record_of(key_of(1), 1, now_ms());
  const MapOf plain = value_body(4243, record);
  peer.put(key_at(1), {value_of(plain, 40)});
  CHECK(peer.answered());
  CHECK(peer.stored(key_at(1)).size() == 1);  // the same put without an owner is taken
  const auto before = swarm.stats(0).refused_packets;
  const MapOf owned = MapOf(plain).add("owner", zeros(294)).add("seq", number(1));
  peer.put(key_at(2), {MapOf{{"id", number(41)}, {"dat", MapOf{{"body", owned}, {"sig", zeros(256)}}}}});
  peer.put(key_at(1), {value_of(owned, 40)});
  peer.put(key_at(1), {number(5000)});
  swarm.loop.await("three refusals", [&] { return swarm.nodes[0]->stats().refused_packets == before + 3; });
  CHECK(peer.is_alive());
  const auto kept = peer.stored(key_at(1));
  REQUIRE(kept.size() == 1);
  CHECK(kept[0]["dat"]["body"]["data"].binary().has_value());
  CHECK(peer.stored(key_at(2)).empty());
}

TEST_CASE("What OpenDHT answers to a wrong token passes the filter: errors are understood") {
  Swarm swarm(2);
  ByHand peer(swarm.address(0));
  peer.ask("put", MapOf(put_arguments({value_of(value_body(4243, record_of(key_of(1), 1, now_ms())))})));
  const auto error = peer.answered_bytes();
  REQUIRE_FALSE(error.empty());
  const auto document = Document::parse(error, {});
  REQUIRE(document);
  CHECK(document->root()["e"][0].unsigned_integer() == 401u);
  CHECK(name(check_packet(error, {})) == "none");
}

TEST_CASE("A node survives a storm of garbage on its port and still answers") {
  Swarm swarm(2);
  ByHand peer(swarm.address(0));
  Random random(7);
  for (int i = 0; i < 3000; ++i) {
    Bytes junk(1 + random.below(1400));
    for (auto& byte : junk) byte = static_cast<std::uint8_t>(random.next());
    if (i % 3 == 0) junk[0] = 0x85;  // at least it begins like a packet
    peer.send(junk);
  }
  CHECK(peer.is_alive());
  CHECK(swarm.stats(0).refused_packets > 2000);
  CHECK(swarm.put(0, key_at(1), {1, record_of(key_of(1), 1, now_ms())}));
  CHECK(swarm.get(1, key_at(1)).size() == 1);
}

TEST_CASE("Nodes of another network are not seen") {
  Swarm swarm(2);
  swarm.timeout = 1s;  // the seed does not answer it, and OpenDHT is patient
  OpenDht& stranger = swarm.add("another network");
  swarm.loop.on([&] { stranger.join({swarm.nodes[0]->local().text()}); });
  CHECK(swarm.put(0, key_at(1), {1, record_of(key_of(1), 1, now_ms())}));
  CHECK(swarm.get(2, key_at(1)).empty());
  CHECK(swarm.stats(2).good_nodes == 0);
}

TEST_CASE("A node joins although its seed comes up later than itself, and malformed seeds do no harm") {
  Swarm swarm(0);
  metadata::Endpoint later;
  {
    Swarm gone(1);
    later = gone.address(0);
  }
  OpenDht& node = swarm.add();
  swarm.loop.on([&] { node.join({"no port", ":1", "host:0", "[::1", later.text()}); });
  std::this_thread::sleep_for(300ms);
  CHECK(swarm.stats(0).good_nodes == 0);
  swarm.loop.on([&] {
    swarm.nodes.push_back(std::make_unique<OpenDht>(
        swarm.loop, OpenDhtOptions{.port = later.port, .network = "opendht_test"}));
    REQUIRE(swarm.nodes.back()->start());
  });
  swarm.connected();
}

TEST_CASE("Seeds are host and port; anything else is refused with an example of how to write one") {
  CHECK(parse_seed("192.0.2.1:4222").value().host == "192.0.2.1");
  CHECK(parse_seed("seed.example.org:1").value().port == 1);
  CHECK(parse_seed("[2001:db8::1]:65535").value().host == "2001:db8::1");
  for (const char* bad : {"", "host", "host:", ":1", "host:0", "host:65536", "host:1x", "host:-1", "::1:5", "[]:1"}) {
    INFO(bad);
    const auto seed = parse_seed(bad);
    REQUIRE_FALSE(seed);
    CHECK(seed.error().code == ErrorCode::invalid_argument);
    CHECK(seed.error().message.find("host:port") != std::string::npos);
  }
}

TEST_CASE("A node that knows nobody answers its operations, and stays usable") {
  Swarm swarm(1);
  CHECK_FALSE(swarm.put(0, key_at(1), {1, record_of(key_of(1), 1, now_ms())}));
  swarm.get(0, key_at(1));
  CHECK(swarm.stats(0).good_nodes == 0);
}

TEST_CASE("A taken port and an address that is none are errors of start() that say what to do") {
  Swarm swarm(1);
  swarm.loop.on([&] {
    OpenDht second(swarm.loop, {.port = swarm.nodes[0]->local().port});
    const auto started = second.start();
    REQUIRE_FALSE(started);
    CHECK(started.error().code == ErrorCode::in_use);
    CHECK(started.error().message.find("choose another DHT port") != std::string::npos);
    CHECK(second.local().port == 0);
    OpenDht nowhere(swarm.loop, {.bind = "203.0.113.1"});
    CHECK(nowhere.start().error().code == ErrorCode::invalid_argument);
    OpenDht nonsense(swarm.loop, {.bind = "localhost"});
    CHECK(nonsense.start().error().code == ErrorCode::invalid_argument);
  });
}

TEST_CASE("leave() answers every pending operation once, then itself; later operations fail at once") {
  Swarm swarm(3);
  int answered = 0, left = 0, late = 0;
  std::vector<int> order;
  swarm.loop.on([&] {
    for (std::uint8_t i = 0; i < 20; ++i) {
      swarm.nodes[2]->put(key_at(i), {1, record_of(key_of(1), i, now_ms())}, [&](bool) {
        ++answered;
        CHECK(left == 0);
      });
      swarm.nodes[2]->get(key_at(i), [](const DhtValue&) { return true; }, [&](bool) { ++answered; });
    }
    swarm.nodes[2]->leave([&] { ++left; });
    swarm.nodes[2]->put(key_at(1), {2, {}}, [&](bool ok) { late += ok ? 100 : 1; });
    swarm.nodes[2]->get(key_at(1), nullptr, [&](bool ok) { late += ok ? 100 : 1; });
    swarm.nodes[2]->join({"127.0.0.1:1"});
    swarm.nodes[2]->put_text(key_at(1), 1, "too late");
    CHECK(answered + left + late == 0);
  });
  swarm.loop.await("having left", [&] { return left == 1; });
  swarm.loop.on([&] {
    CHECK(answered == 40);
    CHECK(late == 2);
    CHECK(swarm.nodes[2]->stats().good_nodes == 0);
  });
  std::this_thread::sleep_for(50ms);
  swarm.loop.on([&] { CHECK(answered + left + late == 43); });
}

TEST_CASE("What a node has put is still found after it has left") {
  Swarm swarm(4);
  CHECK(swarm.put(3, key_at(1), {1, record_of(key_of(1), 1, now_ms())}));
  bool left = false;
  swarm.loop.on([&] { swarm.nodes[3]->leave([&] { left = true; }); });
  swarm.loop.await("having left", [&] { return left; });
  swarm.loop.on([&] { swarm.nodes.pop_back(); });
  CHECK(swarm.get(0, key_at(1)).size() == 1);
}

TEST_CASE("A node can be destroyed in the midst of its operations, and of its leaving, and calls nobody after that") {
  Swarm swarm(3);
  int calls = 0, before = 0;
  for (const bool leaving : {false, true}) {
    swarm.loop.on([&] {
      for (std::uint8_t i = 0; i < 20; ++i) {
        swarm.nodes.back()->get(key_at(i), [&](const DhtValue&) { return ++calls > 0; }, [&](bool) { ++calls; });
      }
      if (leaving) swarm.nodes.back()->leave([&] { calls += 1000; });
      swarm.nodes.pop_back();
      before = calls;
    });
    std::this_thread::sleep_for(50ms);
    swarm.loop.on([&] { CHECK(calls - before <= (leaving ? 20 : 0)); calls = 0; });
  }
}

TEST_CASE("An operation that OpenDHT does not finish in time is answered by its own deadline") {
  RunningLoop loop;
  std::unique_ptr<OpenDht> node;
  std::optional<bool> outcome;
  // A seed that swallows everything keeps OpenDHT waiting for seconds.
  const int silent = ::socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::bind(silent, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  socklen_t size = sizeof address;
  ::getsockname(silent, reinterpret_cast<sockaddr*>(&address), &size);
  loop.on([&] {
    node = std::make_unique<OpenDht>(loop, OpenDhtOptions{.operation_timeout = 200ms});
    REQUIRE(node->start());
    node->join({"127.0.0.1:" + std::to_string(ntohs(address.sin_port))});
  });
  std::this_thread::sleep_for(100ms);
  const auto start = std::chrono::steady_clock::now();
  loop.on([&] { node->get(key_at(1), nullptr, [&](bool ok) { outcome = ok; }); });
  loop.await("the deadline", [&] { return outcome.has_value(); });
  CHECK(std::chrono::steady_clock::now() - start < 5s);
  CHECK_FALSE(*outcome);
  loop.on([&] { node.reset(); });
  ::close(silent);
}

// ---- Datagrams of our own

/// What a node's handler got.
struct Inbox {
  void open(OpenDht& node) {
    node.on_datagram([this](const metadata::Endpoint& from, ByteView bytes) {
      letters.emplace_back(from, Bytes(bytes.begin(), bytes.end()));
    });
  }
  std::vector<std::pair<metadata::Endpoint, Bytes>> letters;
};

Bytes datagram_of(const std::string& network, const Bytes& content) {
  const std::uint32_t id = network_id(network);
  Bytes out;
  out.reserve(5 + content.size());
  out.push_back(0xc1);
  for (const int shift : {24, 16, 8, 0}) out.push_back(static_cast<std::uint8_t>(id >> shift));
  for (const std::uint8_t byte : content) out.push_back(byte);
  return out;
}

TEST_CASE("Nodes send each other datagrams through the table's port, which goes on as a table") {
  Swarm swarm(2);
  Inbox first, second;
  swarm.loop.on([&] {
    first.open(*swarm.nodes[0]);
    second.open(*swarm.nodes[1]);
    swarm.nodes[0]->send(swarm.nodes[1]->local(), {1, 2, 3});
    swarm.nodes[1]->send(swarm.nodes[0]->local(), Bytes(OpenDht::kMaxDatagramBytes, 7));
    swarm.nodes[1]->send(swarm.nodes[0]->local(), Bytes(OpenDht::kMaxDatagramBytes + 1, 7));  // is not sent
    swarm.nodes[1]->send(swarm.nodes[0]->local(), {});
    swarm.nodes[1]->send({"::1", 9}, {1});
    swarm.nodes[1]->send({"no address", 9}, {1});
    CHECK(second.letters.empty());
  });
  swarm.loop.await("three datagrams", [&] { return first.letters.size() == 2 && second.letters.size() == 1; });
  swarm.loop.on([&] {
    CHECK(second.letters[0].first == swarm.nodes[0]->local());
    CHECK(second.letters[0].second == Bytes{1, 2, 3});
    CHECK(first.letters[0].second.size() == OpenDht::kMaxDatagramBytes);
    CHECK(first.letters[1].second.empty());
  });
  const auto sent = swarm.stats(1), received = swarm.stats(0);
  CHECK(sent.sent_datagrams == 2);
  CHECK(sent.sent_datagram_bytes == OpenDht::kMaxDatagramBytes + 10);
  CHECK(received.received_datagrams == 2);
  CHECK(received.received_datagram_bytes == OpenDht::kMaxDatagramBytes + 10);
  CHECK(received.refused_packets == 0);
  CHECK(sent.sent_bytes > sent.sent_datagram_bytes);
  CHECK(swarm.put(0, key_at(1), {1, record_of(key_of(1), 1, now_ms())}));
  CHECK(swarm.get(1, key_at(1)).size() == 1);
}

TEST_CASE("A datagram is c1, the network's number and the content; those of other networks are refused") {
  Swarm swarm(1);
  ByHand peer(swarm.address(0));
  Inbox inbox;
  swarm.loop.on([&] { inbox.open(*swarm.nodes[0]); });
  peer.send(Bytes{0xc1});
  peer.send(Bytes{0xc1, 0, 0, 0});
  peer.send(datagram_of("another network", {1}));
  peer.send(datagram_of("opendht_test", Bytes(OpenDht::kMaxDatagramBytes + 1, 1)));
  peer.send(datagram_of("opendht_test", {4, 5}));
  swarm.loop.await("the datagram", [&] { return !inbox.letters.empty(); });
  swarm.loop.on([&] {
    REQUIRE(inbox.letters.size() == 1);
    CHECK(inbox.letters[0].second == Bytes{4, 5});
    CHECK(inbox.letters[0].first.host == "127.0.0.1");
  });
  CHECK(swarm.stats(0).refused_packets == 4);
  CHECK(peer.is_alive());
}

TEST_CASE("A flood of datagrams that nobody takes yet is refused beyond a thousand and some") {
  Swarm swarm(1);
  ByHand peer(swarm.address(0));
  Inbox inbox;
  swarm.loop.on([&] {
    inbox.open(*swarm.nodes[0]);
    // The executor is busy; the port's thread is not.
    const auto end = std::chrono::steady_clock::now() + 20s;
    for (int i = 0; i < 3000; ++i) peer.send(datagram_of("opendht_test", {1}));
    while (swarm.nodes[0]->stats().received_packets < 3000 && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(1ms);
    }
  });
  swarm.loop.await("those that waited", [&] { return inbox.letters.size() >= 1024; });
  const auto stats = swarm.stats(0);
  swarm.loop.on([&] { CHECK(inbox.letters.size() == 1024); });
  CHECK(stats.received_datagrams == 1024);
  CHECK(stats.refused_packets == 3000 - 1024);
  peer.send(datagram_of("opendht_test", {2}));
  swarm.loop.await("one more", [&] { return inbox.letters.size() == 1025; });
}

TEST_CASE("Handlers may be set before start() and answer, change and leave from inside; who has left sends nothing") {
  RunningLoop loop;
  std::unique_ptr<OpenDht> a, b;
  int first = 0, left = 0;
  Inbox at_a, at_b;
  loop.on([&] {
    a = std::make_unique<OpenDht>(loop, OpenDhtOptions{.network = "opendht_test"});
    b = std::make_unique<OpenDht>(loop, OpenDhtOptions{.network = "opendht_test"});
    at_a.open(*a);
    b->on_datagram([&](const metadata::Endpoint& from, ByteView) {
      ++first;
      b->send(from, {8});
      at_b.open(*b);
    });
    a->send({"127.0.0.1", 9}, {1});  // nothing to send from yet
    CHECK(a->local().port == 0);
    REQUIRE(a->start());
    REQUIRE(b->start());
    a->send(b->local(), {1});
  });
  loop.await("the answer", [&] { return at_a.letters.size() == 1; });
  loop.on([&] { a->send(b->local(), {2}); });
  loop.await("the second", [&] { return at_b.letters.size() == 1; });
  loop.on([&] {
    CHECK(first == 1);
    b->on_datagram([&](const metadata::Endpoint&, ByteView) { b->leave([&] { ++left; }); });
    a->send(b->local(), {3});
  });
  loop.await("having left", [&] { return left == 1; });
  loop.on([&] {
    b->send(a->local(), {4});
    b->on_datagram([](const metadata::Endpoint&, ByteView) { FAIL("a datagram after leaving"); });
    a->send(b->local(), {5});
  });
  std::this_thread::sleep_for(50ms);
  loop.on([&] {
    CHECK(at_a.letters.size() == 1);
    a.reset();
    b.reset();
  });
}

TEST_CASE("A node knows how many a small network has, once it has asked for something") {
  Swarm swarm(5);
  CHECK(swarm.stats(3).estimated_nodes == 0);
  swarm.loop.await("the seed having checked its guests", [&] { return swarm.nodes[0]->stats().good_nodes == 4; });
  swarm.get(3, key_at(1));
  CHECK(swarm.stats(3).estimated_nodes == 5);
}

TEST_CASE("A node's neighbours are the others of its table, each once, and its seeds before any has answered") {
  Swarm swarm(5);
  const auto neighbours = [&](std::size_t node, std::size_t most) {
    std::set<std::string> out;
    const auto all = swarm.loop.on([&] { return swarm.nodes[node]->neighbours(most); });
    for (const auto& at : all) out.insert(at.text());
    CHECK(out.size() == all.size());
    return out;
  };
  swarm.loop.await("the seed having checked its guests", [&] { return swarm.nodes[0]->stats().good_nodes == 4; });
  std::set<std::string> others;
  for (std::size_t i = 1; i < 5; ++i) others.insert(swarm.address(i).text());
  CHECK(neighbours(0, 99) == others);
  CHECK(neighbours(0, 2).size() == 2);
  CHECK(neighbours(3, 99).contains(swarm.address(0).text()));
  // Nobody answers there, and a name is not resolved for this.
  Swarm alone(1);
  alone.loop.on([&] { alone.nodes[0]->join({"127.0.0.1:9", "localhost:9"}); });
  const auto seeds = alone.loop.on([&] { return alone.nodes[0]->neighbours(9); });
  REQUIRE(seeds.size() == 1);
  CHECK(seeds[0].text() == "127.0.0.1:9");
}

// ---- Without threads

int threads_of_process() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("Threads:", 0) == 0) return std::stoi(line.substr(8));
  }
  return -1;
}

/// Ports in this process, on one loop; what is sent arrives as the loop's next task.
class Wires {
 public:
  explicit Wires(overlay::Executor& executor) : executor_(executor) {}
  std::unique_ptr<DatagramPort> port() {
    return std::make_unique<Port>(*this, UdpAddress{0x0a000001, ++last_});
  }

 private:
  class Port final : public DatagramPort {
   public:
    Port(Wires& wires, UdpAddress local) : wires_(wires), local_(local) {}
    ~Port() override { stop(); }
    int send(const UdpAddress& to, ByteView bytes) noexcept override {
      wires_.executor_.post([&wires = wires_, from = local_, to, content = Bytes(bytes.begin(), bytes.end())] {
        const auto found = wires.ports_.find(to);
        if (found == wires.ports_.end()) return;
        const Packet packet{.from = from, .bytes = content};
        found->second->handler_({&packet, 1});
      });
      return 0;
    }
    UdpAddress local() const override { return local_; }
    void start(OnPackets handler) override {
      handler_ = std::move(handler);
      wires_.ports_[local_] = this;
    }
    void stop() override { wires_.ports_.erase(local_); }

   private:
    Wires& wires_;
    const UdpAddress local_;
    OnPackets handler_;
  };
  overlay::Executor& executor_;
  std::uint16_t last_ = 4000;
  std::map<UdpAddress, Port*> ports_;
};

TEST_CASE("Without threads, nodes on ports of somebody else's join, put, get and leave, and make not one thread") {
  RunningLoop executor;
  Wires wires(executor);
  std::vector<std::unique_ptr<OpenDht>> nodes;
  const int before = threads_of_process();
  executor.on([&] {
    for (int i = 0; i < 5; ++i) {
      nodes.push_back(std::make_unique<OpenDht>(
          executor, OpenDhtOptions{.network = "opendht_test", .threaded = false}, wires.port()));
      REQUIRE(nodes.back()->start());
      if (i > 0) nodes.back()->join({nodes[0]->local().text()});
    }
    CHECK(nodes[4]->local().text() == "10.0.0.1:4005");
  });
  executor.await("all connected", [&] {
    return std::all_of(nodes.begin(), nodes.end(), [](const auto& node) { return node->stats().good_nodes > 0; });
  });
  std::optional<bool> stored, found;
  std::vector<DhtValue> values;
  Inbox inbox;
  executor.on([&] {
    inbox.open(*nodes[2]);
    nodes[1]->send(nodes[2]->local(), {6});
    nodes[1]->put(key_at(1), {1, record_of(key_of(1), 1, now_ms())}, [&](bool ok) { stored = ok; });
  });
  executor.await("the put", [&] { return stored.has_value(); });
  executor.on([&] {
    nodes[3]->get(
        key_at(1), [&](const DhtValue& value) { values.push_back(value); return true; }, [&](bool ok) { found = ok; });
  });
  executor.await("the get", [&] { return found.has_value(); });
  int left = 0;
  executor.on([&] {
    CHECK(*stored);
    CHECK(*found);
    CHECK(values.size() == 1);
    CHECK(inbox.letters.size() == 1);
    nodes[4]->leave([&] { ++left; });
    CHECK(left == 0);
  });
  executor.await("having left", [&] { return left == 1; });
  CHECK(threads_of_process() == before);
  executor.on([&] { nodes.clear(); });
}

TEST_CASE("Without threads, a node on a real socket works as well") {
  Swarm swarm(3, "opendht_test", false);
  CHECK(swarm.put(1, key_at(1), {1, record_of(key_of(1), 1, now_ms())}));
  CHECK(swarm.get(2, key_at(1)).size() == 1);
  bool left = false;
  swarm.loop.on([&] { swarm.nodes[2]->leave([&] { left = true; }); });
  swarm.loop.await("having left", [&] { return left; });
}

}  // namespace
}  // namespace p2p::net::test

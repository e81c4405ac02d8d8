// Nodes and holders that lie, in every way that was thought of: what they cost, and that the honest are still found.
#include "tests/directory/support.hpp"

namespace p2p::directory {
namespace {

using namespace test;

enum class Lie {
  silent,      ///< answers nothing
  forged,      ///< entries with broken signatures
  replayed,    ///< other nodes' entries for its own
  nowhere,     ///< its own entry, and hints to addresses where nobody is
  many_names,  ///< its own entry, and hints to itself under other ids, all exactly what was asked for
  tailored,    ///< an entry made for the asker, with the very sketch of the question, and hints to its friends
  wrong_nonce,
};

/// Publishes honestly first, so that it is known and listed; then it lies.
void make_liar(Overlay& net, std::size_t i, Lie lie, std::vector<std::unique_ptr<RawNode>>& raw) {
  net.liars.insert(i);
  net.directories[i].reset();
  auto& host = net.simulation.host(i);
  const auto shown = *net.shown[i];
  const auto self = raw.size();
  raw.push_back(std::make_unique<RawNode>(host, [&net, &raw, &host, self, shown, lie, i](const Endpoint& from, const Message& message, std::size_t) {
    const auto* question = std::get_if<Question>(&message);
    if (!question || lie == Lie::silent) return;
    Random random(question->nonce);
    Entry own = net.entry(host.key(), shown, host.endpoint());
    Answer answer{question->nonce, {}, {}};
    const auto named = [&](const Endpoint& at) {
      Hint hint = hint_of(own);  // which says that it is as near as can be
      for (auto& byte : hint.id) byte = static_cast<std::uint8_t>(random.next());
      hint.at = at;
      return hint;
    };
    switch (lie) {
      case Lie::forged: {
        answer.entry = metadata::seal(own, host.key());
        answer.entry.back() ^= 1;
        break;
      }
      case Lie::replayed: {
        const std::size_t other = (i + 1) % net.simulation.hosts();
        answer.entry = metadata::seal(net.entry(net.simulation.host(other).key(), shown, net.simulation.host(other).endpoint()),
                                      net.simulation.host(other).key());
        break;
      }
      case Lie::tailored: {
        own.sketch = question->target.sketch;
        answer.entry = metadata::seal(own, host.key());
        for (const auto liar : net.liars) {
          if (answer.hints.size() >= Answer::kMaxHints || liar == i || random.below(3) > 0) continue;
          answer.hints.push_back(hint_of(net.entry(net.simulation.host(liar).key(), shown, net.simulation.host(liar).endpoint())));
        }
        break;
      }
      default: answer.entry = metadata::seal(own, host.key());
    }
    for (std::size_t k = 0; k < Answer::kMaxHints; ++k) {
      if (lie == Lie::nowhere) answer.hints.push_back(named({"10.77.1." + std::to_string(1 + k), 4000}));
      if (lie == Lie::many_names) answer.hints.push_back(named(host.endpoint()));
    }
    if (lie == Lie::wrong_nonce) answer.nonce ^= 1;
    raw[self]->send(from, answer);
  }));
}

/// Mean share of the ten nearest honest nodes that are found among 100 of which 30 lie; costs are checked on the way.
double recall_among_liars(Lie lie) {
  CAPTURE(static_cast<int>(lie));
  Overlay net(100, 11);
  net.publish_all(50s, [](std::size_t i) { return one_of(10, i); });
  net.simulation.run_for(minutes(2));
  std::vector<std::unique_ptr<RawNode>> raw;
  Random random(12);
  while (net.liars.size() < 30) {
    const std::size_t i = random.below(100);
    if (!net.liars.contains(i)) make_liar(net, i, lie, raw);
  }
  net.simulation.run_for(minutes(3));
  double sum = 0;
  constexpr std::size_t kAskers = 20;
  for (std::size_t k = 0; k < kAskers; ++k) {
    std::size_t i = random.below(100);
    while (net.liars.contains(i)) i = random.below(100);
    const Need need{near(*net.shown[i], 300 + k), {}, By::joint};
    const auto answer = net.lookup(i, need, {.want = 16, .deadline = 3s});
    sum += net.recall(answer, need, 10, i);
    CHECK(answer.result.questions <= 16 + LookupOptions::kMoreQuestions);
    CHECK(answer.result.gets <= 3);
    CHECK(answer.result.datagram_bytes < (16 + LookupOptions::kMoreQuestions) * 2000 + 24 * 1200);
    for (const auto& found : answer.result.candidates) {
      // Nobody passes for another: every candidate is a host at its own address.
      bool real = false;
      for (std::size_t j = 0; j < 100; ++j) {
        real |= found.entry.node == net.id(j) && found.entry.endpoint == net.simulation.host(j).endpoint();
      }
      CHECK(real);
    }
  }
  for (std::size_t i = 0; i < 100; ++i) {
    if (net.directories[i]) CHECK(net.directories[i]->standing().contacts.size() <= 24 + 16 + 4 * 12);
  }
  for (auto& one : raw) one->host.dht().on_datagram({});
  return sum / kAskers;
}

TEST_CASE("With thirty in a hundred nodes lying, eight of the ten nearest honest ones are found, at bounded cost") {
  const Lie lie = GENERATE(Lie::silent, Lie::forged, Lie::replayed, Lie::nowhere, Lie::many_names, Lie::wrong_nonce);
  CAPTURE(static_cast<int>(lie));
  CHECK(recall_among_liars(lie) >= 0.8);
}

// They become everybody's nearest contacts, for a contact is believed whatever sketch it signs for whoever asks.
TEST_CASE("Nodes that sign for each asker a sketch like his own do not hide the honest ones") {
  CHECK(recall_among_liars(Lie::tailored) >= 0.8);
}

TEST_CASE("With half of the holders lying, a newcomer finds its like all the same") {
  Overlay net(60, 13);
  for (std::size_t i = 0; i < 60; i += 2) net.simulation.host(i).set_table_liar(true);
  net.publish_all(60s, [](std::size_t i) { return one_of(5, i); });
  net.simulation.run_for(minutes(2));
  const auto i = net.add_host();
  net.simulation.run_for(2s);
  const Need need{near(kind(2), 3, 20), {}, By::joint};
  const auto answer = net.lookup(i, need, {.want = 16, .deadline = 3s});
  CHECK(net.recall(answer, need, 10, i) >= 0.8);
}

TEST_CASE("Junk under every key that a newcomer reads costs no more than kMostValues of it each, and hides nobody") {
  Overlay net(40, 14);
  net.publish_all(40s, [](std::size_t i) { return one_of(2, i); });
  net.simulation.run_for(minutes(1));
  const Need need{near(kind(0), 3, 20), {}, By::joint};
  std::uint64_t number = 0;
  for (const auto& place : net.places(need.experience)) {
    for (int k = 0; k < 6; ++k) net.simulation.plant(metadata::place_key(net.tag, place), {++number, p2p::test::random_bytes(300, number)});
  }
  const auto i = net.add_host();
  net.simulation.run_for(2s);
  const auto answer = net.lookup(i, need, {.want = 16, .deadline = 3s});
  CHECK(answer.result.values <= answer.result.gets * 16);
  CHECK(net.recall(answer, need, 10, i) >= 0.8);
}

TEST_CASE("A stale entry in a bucket loses to what its node says of itself") {
  Overlay net(24, 15);
  net.publish_all(24s, [](std::size_t i) { return near(kind(0), i); });
  net.simulation.run_for(30s);
  // Node 3 long ago, at another address for links.
  auto stale = net.entry(net.simulation.host(3).key(), *net.shown[3], net.simulation.host(3).endpoint());
  stale.version -= 3'600'000;
  stale.endpoint.port = 1;
  for (const auto& place : net.places(*net.shown[3])) net.plant(stale, place, net.simulation.host(3).key(), 99);
  const auto i = net.add_host();
  net.simulation.run_for(2s);
  const auto answer = net.lookup(i, {*net.shown[3], {}, By::joint}, {.want = 8, .deadline = 2s});
  REQUIRE(answer.has(net.id(3)));
  for (const auto& found : answer.result.candidates) {
    if (found.entry.node == net.id(3)) CHECK(found.entry.endpoint == net.simulation.host(3).endpoint());
  }
}

TEST_CASE("One datagram in ten lost: of the ten nearest eight are still found") {
  Overlay net(60, 16);
  net.publish_all(60s, [](std::size_t i) { return one_of(4, i); });
  net.simulation.run_for(minutes(3));
  net.simulation.network().loss = 0.1;
  net.simulation.network().duplication = 0.1;
  CHECK(net.recall_at_ten(20) >= 0.8);
}

}  // namespace
}  // namespace p2p::directory

#include <catch2/catch.hpp>

#include "overlay/directory/responder.hpp"
#include "overlay/sim/simulation.hpp"
#include "tests/metadata/examples.hpp"

using namespace p2p;
using namespace p2p::directory;
using metadata::Entry;

namespace {

using std::chrono_literals::operator""s;

/// The largest entry that seals.
Entry largest_entry(const metadata::KeyPair& key) {
  Entry entry = metadata::testing::example_entry();
  entry.node = key.id();
  entry.endpoint = {"2001:db8:1111:2222:3333:4444:5555:6666", 65535};
  entry.version = ~0ull;
  entry.samples = ~0u;
  entry.recall.assign(Entry::kMaxListedClasses, 15);
  return entry;
}

/// A node with many contacts that answers, and a stranger that counts what comes.
class Party {
 public:
  Party() : simulation_(1), node_(simulation_.add_host()), stranger_(simulation_.add_host()) {
    simulation_.network().bandwidth = 0;
    for (std::uint8_t i = 1; i <= 40; ++i) {
      Entry known = metadata::testing::example_entry();
      known.node.bytes[0] = i;
      contacts_.add(known, simulation_.now(), true);
    }
    stranger_.dht().on_datagram([this](const metadata::Endpoint&, ByteView datagram) { got_ += datagram.size(); });
  }

  /// Bytes that came for one question or fetch of so many bytes.
  std::size_t earned(const Message& message, std::size_t bytes) {
    simulation_.run_for(1s);  // refills what it answers in a second
    got_ = 0;
    const Bytes datagram = encode(message, bytes);
    stranger_.dht().send(node_.dht().local(), datagram);
    simulation_.run_for(1s);
    return got_;
  }

  /// Bytes that come for a newcomer.
  std::size_t noticed(const Entry& newcomer, const Bytes& sealed) {
    got_ = 0;
    responder_.on_newcomer(newcomer, sealed);
    simulation_.run_for(1s);
    return got_;
  }

  Bytes entry, description;

 private:
  sim::Simulation simulation_;
  sim::Host& node_;
  sim::Host& stranger_;
  Contacts contacts_{{}};
  std::size_t got_ = 0;
  Correspondence correspondence_{{.executor = node_.executor(),
                                  .dht = node_.dht(),
                                  .task = metadata::testing::example_entry().task,
                                  .dimensions = 2,
                                  .classes = 3,
                                  .secret = 1,
                                  .own_entry = [this] { return entry; },
                                  .on_request =
                                      [this](const metadata::Endpoint& from, const Message& message, std::size_t bytes) {
                                        if (const auto* asked = std::get_if<Question>(&message)) {
                                          responder_.on_question(from, *asked, bytes);
                                        } else if (const auto* fetch = std::get_if<Fetch>(&message)) {
                                          responder_.on_fetch(from, *fetch, bytes);
                                        }
                                      }}};
  Responder responder_{{.executor = node_.executor(),
                        .contacts = contacts_,
                        .correspondence = correspondence_,
                        .task = metadata::testing::example_entry().task,
                        .secret = 2,
                        .own_entry = [this](const PresencePrefix&) { return entry; },
                        .own_description = [this](const PresencePrefix&) { return description; },
                        .self = metadata::testing::example_key().id()}};
};

}  // namespace

TEST_CASE("nothing makes a node send more than three times the bytes that it was asked with") {
  Party party;
  const auto key = metadata::testing::example_key();
  const metadata::TaskTag task = metadata::testing::example_entry().task;
  Question plain;
  plain.task = task;
  Question portrait = plain;
  portrait.description = true;
  portrait.nonce = ~0ull;
  for (const Bytes& entry : {Bytes{}, metadata::seal(metadata::testing::example_entry(), key),
                             metadata::seal(largest_entry(key), key)}) {
    party.entry = entry;
    for (const std::size_t described : {0u, 1u, 2u, 199u, 200u, 600u, 701u, 702u, 703u, 840u, 841u, 5000u}) {
      party.description.assign(described, 7);
      for (const Message& message : {Message(plain), Message(portrait), Message(Fetch{~0ull, task})}) {
        for (std::size_t bytes = encode(message).size(); bytes <= overlay::Dht::kMaxDatagramBytes; ++bytes) {
          INFO("kind " << message.index() << ", entry " << entry.size() << ", description " << described << ", asked with "
                       << bytes);
          REQUIRE(party.earned(message, bytes) <= kAmplification * encode(message, bytes).size());
        }
      }
    }
  }
}

TEST_CASE("a question of the least length earns all hints, and a longer one a description too") {
  Party party;
  const auto key = metadata::testing::example_key();
  party.entry = metadata::seal(metadata::testing::example_entry(), key);
  party.description.assign(600, 7);
  Question question;
  question.task = metadata::testing::example_entry().task;
  constexpr std::size_t kNamedTwice = 3;  // of the few that are anybody
  CHECK(party.earned(question, kQuestionBytes) >= party.entry.size() + (Answer::kMaxHints - kNamedTwice) * Hint::kBytes);
  question.description = true;
  CHECK(party.earned(question, 640) >= party.entry.size() + (Answer::kMaxHints - kNamedTwice) * Hint::kBytes + 600);
}

TEST_CASE("notices cease when all that a watch earned is three times its question") {
  const Entry mine = metadata::testing::example_entry();
  Question watch;
  watch.task = mine.task;
  watch.within_milli = 1'000'000;
  for (const bool description : {false, true}) {
    for (const std::size_t bytes : {200u, 400u, 411u, 800u, 1190u, 1200u}) {
      Party party;
      party.entry = metadata::seal(mine, metadata::testing::example_key());
      party.description.assign(200, 7);
      watch.description = description;
      std::size_t sum = party.earned(watch, bytes);
      const std::size_t answered = sum;
      for (std::uint8_t i = 1; i < 8; ++i) {
        Entry newcomer = mine;
        newcomer.node = metadata::testing::example_key(i).id();
        sum += party.noticed(newcomer, metadata::seal(newcomer, metadata::testing::example_key(i)));
      }
      INFO(bytes << " bytes, description " << description << ": " << answered << " answered, " << sum << " in all");
      CHECK(sum <= kAmplification * bytes);
      if (bytes >= 1190) CHECK(sum > answered + 3 * 257);
    }
  }
}

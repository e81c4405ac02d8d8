// What one published node answers: whom it names, how much, to whom, and whom it tells of newcomers.
#include "overlay/directory/responder.hpp"

#include "tests/directory/support.hpp"

namespace p2p::directory {
namespace {

using namespace test;

/// Host 0 answers; it knows `contacts` others. Hosts 1 to 3 are without rules.
struct Answerer {
  explicit Answerer(std::size_t count = 20) {
    simulation.network().latency_low = simulation.network().latency_high = 10ms;
    simulation.network().jitter = 0us;
    for (int i = 0; i < 4; ++i) simulation.add_host();
    for (std::size_t i = 1; i < 4; ++i) raw.push_back(std::make_unique<RawNode>(simulation.host(i)));
    auto& host = simulation.host(0);
    correspondence = std::make_unique<Correspondence>(Correspondence::Context{
        .executor = host.executor(),
        .dht = host.dht(),
        .task = tag,
        .dimensions = kDimensions,
        .classes = kClasses,
        .secret = 5,
        .own_entry = [this] { return sealed; },
        .on_request = [this](const Endpoint& from, const Message& message, std::size_t bytes) {
          if (const auto* question = std::get_if<Question>(&message)) responder->on_question(from, *question, bytes);
          if (const auto* fetch = std::get_if<Fetch>(&message)) responder->on_fetch(from, *fetch, bytes);
        }});
    responder = std::make_unique<Responder>(Responder::Context{.executor = host.executor(),
                                                               .contacts = contacts,
                                                               .correspondence = *correspondence,
                                                               .task = tag,
                                                               .secret = 6,
                                                               .own_entry = [this](const PresencePrefix&) { return sealed; },
                                                               .own_description = [this](const PresencePrefix&) { return description; },
                                                               .self = host.id()});
    sealed = metadata::seal(entry(host.key(), on_line(0), host.endpoint()), host.key());
    description = metadata::seal(metadata::Description{metadata::id(task), host.id(), 1, experience()}, host.key());
    contacts.centre(on_line(0));
    for (std::uint64_t i = 0; i < count; ++i) {
      Entry known = entry_on_line(100 + i, 0.02 * static_cast<double>(i));
      known.task = tag;
      contacts.add(known, host.executor().now(), true);
    }
  }
  ~Answerer() { correspondence.reset(); }

  Entry entry(const KeyPair& key, const Sketch& sketch, const Endpoint& at, std::uint64_t version = 1) const {
    Entry out;
    out.task = tag;
    out.node = key.id();
    out.version = version;
    out.endpoint = at;
    out.table_port = at.port;
    out.sketch = sketch;
    out.recall = {15, 15, 15, 0};
    return out;
  }
  Bytes newcomer(const KeyPair& key, double x, std::size_t raw_number, std::uint64_t version = 1) {
    return metadata::seal(entry(key, on_line(x), raw[raw_number]->host.endpoint(), version), key);
  }
  Question question(double x, Nonce nonce = 1) const {
    return {.nonce = nonce, .task = tag, .target = {.by = By::joint, .sketch = on_line(x)}, .entry = {}};
  }
  const Endpoint& at() { return simulation.host(0).endpoint(); }

  sim::Simulation simulation{1};
  metadata::Task task = make_task();
  metadata::TaskTag tag = metadata::tag(metadata::id(task));
  Bytes sealed, description;
  Contacts contacts{{.roles = {}, .secret = 7}};
  std::vector<std::unique_ptr<RawNode>> raw;
  std::unique_ptr<Correspondence> correspondence;
  std::unique_ptr<Responder> responder;
};

TEST_CASE("An answer names the contacts nearest to the target, nearest first, and not the asker") {
  Answerer node;
  Question question = node.question(0.2);
  Entry asker = entry_on_line(110, 0.2);  // which is a contact
  asker.task = node.tag;
  question.entry = metadata::seal([&] {
    asker.node = node.simulation.host(1).id();
    return asker;
  }(), node.simulation.host(1).key());
  node.contacts.add(asker, node.simulation.now(), true);
  node.raw[0]->send(node.at(), question, 400);
  node.simulation.run_for(1s);
  const auto answers = node.raw[0]->all<Answer>();
  REQUIRE(answers.size() == 1);
  CHECK(answers[0].nonce == 1);
  CHECK(answers[0].entry == node.sealed);
  REQUIRE(answers[0].hints.size() >= 6);
  double last = 0;
  for (std::size_t i = 0; i < 6; ++i) {
    const double distance = static_cast<double>(answers[0].hints[i].remoteness);
    CHECK(distance >= last);
    CHECK(distance < 0.09);
    CHECK(brief(answers[0].hints[i]) != brief(asker.node));
    last = distance;
  }
  std::set<Brief> different;
  for (const auto& hint : answers[0].hints) different.insert(brief(hint));
  CHECK(different.size() == answers[0].hints.size());
}

TEST_CASE("Questions of another task get no answer") {
  Answerer node;
  Question question = node.question(0);
  question.task = metadata::tag(metadata::id(make_task("digits")));
  node.raw[0]->send(node.at(), question, 400);
  node.raw[0]->send(node.at(), Fetch{1, question.task}, 400);
  node.simulation.run_for(1s);
  CHECK(node.raw[0]->datagrams == 0);
}

TEST_CASE("Whatever is asked, in whatever order and length, brings at most three bytes for each") {
  const auto seed = static_cast<std::uint64_t>(GENERATE(range(1, 9)));
  CAPTURE(seed);
  Answerer node;
  Random random(seed);
  for (int i = 0; i < 150; ++i) {
    RawNode& asker = *node.raw[random.below(3)];
    const std::size_t before_sent = asker.sent;
    if (random.below(3) == 0) {
      asker.send(node.at(), Fetch{random.next(), node.tag}, random.below(1200));
    } else {
      Question question = node.question(random.uniform() * 0.9, random.next());
      question.description = random.below(2) == 0;
      if (random.below(2) == 0) question.within_milli = static_cast<std::uint32_t>(random.below(2000));
      if (random.below(2) == 0) {
        const auto key = key_of(static_cast<std::uint32_t>(random.below(40)));
        question.entry = node.newcomer(key, random.uniform() * 0.9, random.below(3), random.below(1000));
      }
      asker.send(node.at(), question, random.below(1200));
    }
    REQUIRE(asker.sent > before_sent);
    if (random.below(4) == 0) node.simulation.run_for(Duration(random.below(30'000'000)));
    std::size_t sent = 0, received = 0;
    for (const auto& one : node.raw) {
      // To no address more than it has paid for itself, whoever else asks.
      REQUIRE(one->received <= kAmplification * one->sent);
      sent += one->sent;
      received += one->received;
    }
    REQUIRE(received <= kAmplification * sent);
  }
  node.simulation.run_for(5s);
  for (const auto& one : node.raw) CHECK(one->received <= kAmplification * one->sent);
}

TEST_CASE("One address is answered 400 times a second, and all of them together 2000 times") {
  Answerer node;
  SECTION("one") {
    for (int i = 0; i < 3000; ++i) node.raw[0]->send(node.at(), Fetch{static_cast<Nonce>(i), node.tag}, 200);
    node.raw[1]->send(node.at(), Fetch{1, node.tag}, 200);
    node.simulation.run_for(100ms);
    CHECK(node.raw[0]->datagrams == 400);
    CHECK(node.raw[1]->datagrams == 1);
    CHECK(node.responder->counters().refused == 2600);
    node.simulation.run_for(500ms);
    for (int i = 0; i < 1000; ++i) node.raw[0]->send(node.at(), Fetch{static_cast<Nonce>(i), node.tag}, 200);
    node.simulation.run_for(1s);
    CHECK(node.raw[0]->datagrams < 400 + 260);
    CHECK(node.raw[0]->datagrams > 400 + 220);
  }
  SECTION("all, at made-up addresses") {
    // As the responder sees them: more addresses than it remembers.
    const std::uint64_t before = node.responder->counters().refused;
    for (int i = 0; i < 5000; ++i) {
      const Endpoint from{"10.7." + std::to_string(i / 250) + "." + std::to_string(1 + i % 250), 4000};
      node.responder->on_question(from, node.question(0), 400);
    }
    CHECK(node.responder->counters().questions == 2000);
    CHECK(node.responder->counters().refused - before == 3000);
  }
}

TEST_CASE("A newcomer in range is told to a watcher once per version, one out of range never") {
  Answerer node;
  Question watch = node.question(0.5, 77);
  watch.within_milli = 100;
  node.raw[0]->send(node.at(), watch, 1190);
  node.simulation.run_for(1s);
  const auto key = key_of(1), outsider = key_of(2);
  const auto come = [&](const KeyPair& who, double x, std::uint64_t version) {
    Question question = node.question(x);
    question.entry = node.newcomer(who, x, 1, version);
    node.raw[1]->send(node.at(), question, 400);
    node.simulation.run_for(1s);
  };
  come(key, 0.55, 1);
  come(key, 0.55, 1);
  come(outsider, 0.7, 1);
  auto notices = node.raw[0]->all<Notice>();
  REQUIRE(notices.size() == 1);
  CHECK(notices[0].nonce == 77);
  CHECK(metadata::open_entry(notices[0].entry)->node == key.id());
  come(key, 0.5, 2);
  come(key, 0.5, 1);
  notices = node.raw[0]->all<Notice>();
  CHECK(notices.size() == 2);
}

TEST_CASE("A watch that is renewed is not told again of what it has been told") {
  Answerer node;
  const auto key = key_of(1);
  for (Nonce nonce = 77; nonce < 80; ++nonce) {
    Question watch = node.question(0.5, nonce);
    watch.within_milli = 100;
    node.raw[0]->send(node.at(), watch, 1190);
    node.simulation.run_for(1s);
    Question question = node.question(0.5);
    question.entry = node.newcomer(key, 0.5, 1);
    node.raw[1]->send(node.at(), question, 400);
    node.simulation.run_for(minutes(4));
  }
  CHECK(node.raw[0]->all<Notice>().size() == 1);
  CHECK(node.responder->watches() == 1);
}

TEST_CASE("A watch is over after five minutes, and no more than 64 are kept") {
  Answerer node;
  for (int i = 0; i < 100; ++i) {
    Question watch = node.question(i / 128.0, static_cast<Nonce>(i));
    watch.within_milli = 10;
    node.raw[0]->send(node.at(), watch, 1190);
  }
  node.simulation.run_for(1s);
  CHECK(node.responder->watches() <= Responder::kMostWatches);
  CHECK(node.responder->watches() >= 4);
  node.simulation.run_for(minutes(5));
  Question question = node.question(0);
  question.entry = node.newcomer(key_of(1), 0, 1);
  node.raw[1]->send(node.at(), question, 400);
  node.simulation.run_for(1s);
  CHECK(node.raw[0]->all<Notice>().empty());
  CHECK(node.responder->watches() == 0);
}

TEST_CASE("Nobody becomes a contact, or replaces one's entry, without its signature") {
  Answerer node(0);
  const auto key = key_of(1);
  Question question = node.question(0.1);
  question.entry = node.newcomer(key, 0.1, 0, 5);
  const Bytes good = question.entry;
  SECTION("forged from the start") {
    question.entry[question.entry.size() - 5] ^= 1;
    node.raw[0]->send(node.at(), question, 400);
    node.simulation.run_for(1s);
    CHECK(node.contacts.size() == 0);
  }
  SECTION("a newer version, forged") {
    node.raw[0]->send(node.at(), question, 400);
    node.simulation.run_for(1s);
    REQUIRE(node.contacts.size() == 1);
    question.entry = node.newcomer(key, 0.4, 0, 6);
    question.entry[question.entry.size() - 5] ^= 1;
    node.raw[0]->send(node.at(), question, 400);
    node.simulation.run_for(1s);
    CHECK(node.contacts.all().at(key.id()).entry.version == 5);
  }
  SECTION("an older version, replayed") {
    node.raw[0]->send(node.at(), question, 400);
    node.simulation.run_for(1s);
    question.entry = node.newcomer(key, 0.4, 0, 4);
    node.raw[0]->send(node.at(), question, 400);
    node.simulation.run_for(1s);
    CHECK(node.contacts.all().at(key.id()).entry.version == 5);
  }
}

TEST_CASE("An entry that somebody else shows is hearsay: it makes no contact and keeps no dead one") {
  Answerer node(0);
  const auto key = key_of(1);
  Question watch = node.question(0.1, 77);  // for which every entry nearby is looked at
  watch.within_milli = 500;
  node.raw[2]->send(node.at(), watch, 1190);
  Question question = node.question(0.1);
  question.entry = node.newcomer(key, 0.1, 0, 5);  // host 1's address
  node.raw[1]->send(node.at(), question, 400);     // from host 2
  node.simulation.run_for(1s);
  CHECK(node.contacts.size() == 0);
  node.raw[0]->send(node.at(), question, 400);
  node.simulation.run_for(1s);
  REQUIRE(node.contacts.size() == 1);
  const auto heard = node.contacts.all().at(key.id()).heard;
  node.simulation.run_for(minutes(1));
  node.raw[1]->send(node.at(), question, 400);
  node.simulation.run_for(1s);
  CHECK(node.contacts.all().at(key.id()).heard == heard);
}

TEST_CASE("Garbage for an entry costs an answer and nothing else") {
  Answerer node(0);
  Random random(3);
  for (int i = 0; i < 100; ++i) {
    Question question = node.question(0, random.next());
    question.entry = p2p::test::random_bytes(1 + random.below(Entry::kMaxBytes), random.next());
    node.raw[0]->send(node.at(), question, 500);
  }
  node.simulation.run_for(1s);
  CHECK(node.contacts.size() == 0);
  CHECK(node.raw[0]->all<Answer>().size() == 100);
}

}  // namespace
}  // namespace p2p::directory

// Questions and answers between two addresses: which answer counts, and that each question reports once.
#include "overlay/directory/correspondence.hpp"

#include "tests/directory/support.hpp"

namespace p2p::directory {
namespace {

using namespace test;

/// An honest asker at host 0, somebody without rules at host 1, a third at host 2.
struct Asker {
  explicit Asker(RawNode::OnMessage answer = {}) {
    simulation.network().latency_low = simulation.network().latency_high = 10ms;
    simulation.network().jitter = 0us;
    for (int i = 0; i < 3; ++i) simulation.add_host();
    other.emplace(simulation.host(1), std::move(answer));
    third.emplace(simulation.host(2));
    correspondence = std::make_unique<Correspondence>(Correspondence::Context{
        .executor = simulation.host(0).executor(),
        .dht = simulation.host(0).dht(),
        .task = tag,
        .dimensions = kDimensions,
        .classes = kClasses,
        .secret = 5,
        .own_entry = [] { return Bytes{}; },
        .on_request = [this](const Endpoint&, const Message& message, std::size_t) { requests.push_back(message); }});
  }
  Entry entry(std::size_t host) {
    Entry out = metadata::entry_of(experience(), sketcher.sketch(experience()));
    out.task = tag;
    out.node = simulation.host(host).id();
    out.version = 1;
    out.endpoint = simulation.host(host).endpoint();
    out.table_port = out.endpoint.port;
    return out;
  }
  Bytes sealed(std::size_t host) { return metadata::seal(entry(host), simulation.host(host).key()); }
  Bytes description(std::size_t host) {
    return metadata::seal(metadata::Description{metadata::id(task), simulation.host(host).id(), 1, experience()},
                          simulation.host(host).key());
  }
  struct Heard_ {
    int calls = 0;
    std::optional<Result<Heard>> result;
  };
  std::shared_ptr<Heard_> ask() {
    auto out = std::make_shared<Heard_>();
    Correspondence::Ask ask{.target = {}, .timeout = 200ms, .on_answer = {}, .on_portrait = {}};
    ask.on_answer = [out](Result<Heard> answer) {
      ++out->calls;
      out->result = std::move(answer);
    };
    correspondence->ask(hint_of(entry(1)), std::move(ask));
    CHECK(out->calls == 0);
    return out;
  }
  std::shared_ptr<std::pair<int, std::optional<Result<Portrait>>>> fetch() {
    auto out = std::make_shared<std::pair<int, std::optional<Result<Portrait>>>>();
    correspondence->fetch(hint_of(entry(1)), 200ms, [out](Result<Portrait> portrait) {
      ++out->first;
      out->second = std::move(portrait);
    });
    return out;
  }
  std::optional<ErrorCode> verdict(const std::shared_ptr<Heard_>& heard) {
    simulation.run_for(1s);
    CHECK(heard->calls == 1);
    if (!heard->result || heard->result->has_value()) return std::nullopt;
    return heard->result->error().code;
  }

  sim::Simulation simulation{1};
  metadata::Task task = make_task();
  metadata::TaskTag tag = metadata::tag(metadata::id(task));
  metadata::Sketcher sketcher{task};
  std::optional<RawNode> other, third;
  std::vector<Message> requests;
  std::unique_ptr<Correspondence> correspondence;
};

Nonce nonce_of(const Message& message) {
  if (const auto* question = std::get_if<Question>(&message)) return question->nonce;
  return std::get<Fetch>(message).nonce;
}

TEST_CASE("An answer brings the entry, the hints and the round trip; its double is ignored") {
  Asker* at = nullptr;
  Asker asker([&at](const Endpoint& from, const Message& message, std::size_t) {
    const Answer answer{nonce_of(message), at->sealed(1), {hint_of(at->entry(2))}};
    at->other->send(from, answer);
    at->other->send(from, answer);
  });
  at = &asker;
  const auto heard = asker.ask();
  CHECK(asker.verdict(heard) == std::nullopt);
  CHECK((*heard->result)->entry == asker.entry(1));
  CHECK((*heard->result)->hints.size() == 1);
  CHECK((*heard->result)->round_trip == 20ms);
}

TEST_CASE("Silence is a timeout, at its time") {
  Asker asker;
  const auto heard = asker.ask();
  asker.simulation.run_for(199ms);
  CHECK(heard->calls == 0);
  asker.simulation.run_for(2ms);
  CHECK(heard->calls == 1);
  CHECK(asker.verdict(heard) == ErrorCode::timeout);
}

TEST_CASE("Answers of a wrong nonce, or from another address than was asked, are as if they had not come") {
  Asker* at = nullptr;
  bool from_elsewhere = GENERATE(true, false);
  Asker asker([&](const Endpoint& from, const Message& message, std::size_t) {
    const Nonce nonce = nonce_of(message);
    if (from_elsewhere) {
      at->third->send(from, Answer{nonce, at->sealed(1), {}});
    } else {
      for (const Nonce wrong : {nonce + 1, Nonce{0}, ~nonce}) at->other->send(from, Answer{wrong, at->sealed(1), {}});
    }
  });
  at = &asker;
  CHECK(asker.verdict(asker.ask()) == ErrorCode::timeout);
}

TEST_CASE("An answer with an entry that is not the asked node's own, at its address and of the task, is untrusted") {
  Asker* at = nullptr;
  Bytes sealed;
  Asker asker([&](const Endpoint& from, const Message& message, std::size_t) {
    at->other->send(from, Answer{nonce_of(message), sealed, {hint_of(at->entry(2))}});
  });
  at = &asker;
  auto expected = ErrorCode::untrusted;
  SECTION("another node's, replayed") { sealed = asker.sealed(2); }
  SECTION("its own with another node's address") {
    auto entry = asker.entry(1);
    entry.endpoint = asker.simulation.host(2).endpoint();
    sealed = metadata::seal(entry, asker.simulation.host(1).key());
  }
  SECTION("of another task") {
    auto entry = asker.entry(1);
    entry.task = metadata::tag(metadata::id(make_task("digits")));
    sealed = metadata::seal(entry, asker.simulation.host(1).key());
  }
  SECTION("with a flipped bit in its signature") {
    sealed = asker.sealed(1);
    sealed.back() ^= 1;
  }
  SECTION("no entry at all") {
    sealed = Bytes(40);
    expected = ErrorCode::malformed;
  }
  SECTION("none published") { expected = ErrorCode::not_found; }
  CHECK(asker.verdict(asker.ask()) == expected);
}

TEST_CASE("A description counts only if the asked node signed it, with the task's shape") {
  Asker* at = nullptr;
  Bytes description;
  Asker asker([&](const Endpoint& from, const Message& message, std::size_t) {
    at->other->send(from, Described{nonce_of(message), at->sealed(1), description});
  });
  at = &asker;
  std::optional<ErrorCode> expected = ErrorCode::untrusted;
  SECTION("its own") {
    description = asker.description(1);
    expected = std::nullopt;
  }
  SECTION("another node's, replayed") { description = asker.description(2); }
  SECTION("of another task") {
    description = metadata::seal(
        metadata::Description{metadata::id(make_task("digits")), asker.simulation.host(1).id(), 1, experience()},
        asker.simulation.host(1).key());
  }
  SECTION("of other dimensions") {
    description = metadata::seal(metadata::Description{metadata::id(asker.task), asker.simulation.host(1).id(), 1,
                                                       p2p::test::fingerprint_of(kDimensions / 2, kClasses, 1)},
                                 asker.simulation.host(1).key());
  }
  const auto got = asker.fetch();
  asker.simulation.run_for(1s);
  REQUIRE(got->first == 1);
  if (expected) {
    REQUIRE_FALSE(got->second->has_value());
    CHECK(got->second->error().code == expected);
  } else {
    REQUIRE(got->second->has_value());
    CHECK((*got->second)->fingerprint == experience());
    CHECK((*got->second)->entry == asker.entry(1));
  }
}

TEST_CASE("A description does not answer a question that did not ask for one, nor an answer a fetch") {
  Asker* at = nullptr;
  Asker asker([&](const Endpoint& from, const Message& message, std::size_t) {
    if (std::holds_alternative<Question>(message)) {
      at->other->send(from, Described{nonce_of(message), at->sealed(1), {}});
    } else {
      at->other->send(from, Answer{nonce_of(message), at->sealed(1), {}});
    }
  });
  at = &asker;
  CHECK(asker.verdict(asker.ask()) == ErrorCode::timeout);
  const auto got = asker.fetch();
  asker.simulation.run_for(1s);
  REQUIRE(got->first == 1);
  CHECK(got->second->error().code == ErrorCode::timeout);
}

TEST_CASE("Of a destroyed correspondence nothing is reported, also when it goes in a report") {
  Asker asker;
  const bool in_report = GENERATE(true, false);
  int calls = 0;
  for (int i = 0; i < 5; ++i) {
    Correspondence::Ask ask{.target = {}, .timeout = 200ms, .on_answer = {}, .on_portrait = {}};
    ask.on_answer = [&](Result<Heard>) {
      ++calls;
      if (in_report) asker.correspondence.reset();
    };
    ask.on_portrait = [&](Result<Portrait>) { ++calls; };
    asker.correspondence->ask(hint_of(asker.entry(1)), std::move(ask));
  }
  if (!in_report) asker.correspondence.reset();
  asker.simulation.run_for(2s);
  CHECK(calls == (in_report ? 1 : 0));
}

TEST_CASE("Datagrams that are none of ours are counted and do nothing") {
  Asker asker;
  Random random(7);
  for (int i = 0; i < 300; ++i) {
    asker.simulation.host(1).dht().send(asker.simulation.host(0).endpoint(),
                                        p2p::test::random_bytes(random.below(1200), random.next()));
  }
  asker.simulation.run_for(1s);
  CHECK(asker.correspondence->counters().malformed == 300);
  CHECK(asker.requests.empty());
}

TEST_CASE("The nonces of two starts differ, and those of one are never the same") {
  std::set<Nonce> nonces;
  for (int start = 0; start < 2; ++start) {
    Asker asker;
    if (start == 1) {
      asker.correspondence.reset();
      asker.correspondence = std::make_unique<Correspondence>(Correspondence::Context{
          .executor = asker.simulation.host(0).executor(),
          .dht = asker.simulation.host(0).dht(),
          .task = asker.tag,
          .dimensions = kDimensions,
          .classes = kClasses,
          .secret = 6,
          .own_entry = [] { return Bytes{}; },
          .on_request = [](const Endpoint&, const Message&, std::size_t) {}});
    }
    for (int i = 0; i < 100; ++i) asker.ask();
    asker.simulation.run_for(100ms);
    for (const auto& question : asker.other->all<Question>()) nonces.insert(question.nonce);
  }
  CHECK(nonces.size() == 200);
}

}  // namespace
}  // namespace p2p::directory

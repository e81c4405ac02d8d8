// A crowd serves itself, and nobody sends more than he was told to.
#include <catch2/catch.hpp>

#include "overlay/pacer.hpp"
#include "tests/overlay/storm.hpp"

namespace p2p::overlay {
namespace {

using test::Party;

TEST_CASE("The time until nine of ten have a part grows as the crowd's logarithm, and nobody passes his rate") {
  test::StormResult few, many;
  for (const std::size_t nodes : {8, 64}) {
    test::StormOptions options;
    options.nodes = nodes;
    const auto result = test::run_storm(options);
    CHECK(result.arrived == nodes);
    // A second's rate, one burst of answers in credit and one in debt, and what the sampling adds (1.1 s).
    CHECK(result.most_in_a_second < options.rate * 11 / 10 + 2 * 100'000);
    (nodes == 8 ? few : many) = result;
  }
  // log 64 / log 8 is two.
  INFO(few.ninety.count() << " us, " << many.ninety.count() << " us");
  CHECK(many.ninety < few.ninety * 2);
  CHECK(many.source_copies < 16);
}

TEST_CASE("Without serving on, a crowd waits for its one source: eight times as many, for several times as long") {
  test::StormOptions options;
  options.serve_on = false;
  options.nodes = 8;
  const auto few = test::run_storm(options);
  options.nodes = 64;
  const auto many = test::run_storm(options);
  CHECK(few.arrived == 8);
  CHECK(many.ninety > few.ninety * 3);
}

TEST_CASE("A crowd of whom a quarter dies while it pulls serves itself all the same") {
  test::StormOptions options;
  options.nodes = 40;
  options.deaths = 0.25;
  const auto result = test::run_storm(options);
  CHECK(result.failures.empty());
  CHECK(result.arrived >= 25);
  CHECK(result.last < 20s);
}

TEST_CASE("Peers share the rate evenly, whoever asks for more") {
  sim::Simulation simulation(3);
  ExchangeLimits limits;
  limits.send_bytes_per_second = 200'000;
  Party helper(simulation, simulation.add_host(), limits);
  Party greedy(simulation, simulation.add_host()), modest(simulation, simulation.add_host());
  helper.offer = test::offer_of({600'000}, 1);
  const auto large = greedy.pull(helper.peer());
  simulation.run_for(1s);
  REQUIRE(large->calls == 0);
  helper.offer = test::offer_of({60'000}, 2);
  const auto asked = Duration(simulation.now().us);
  const auto small = modest.pull(helper.peer());
  simulation.run_for(20s);
  REQUIRE((large->ok() && small->ok()));
  // Alone it would take 0.3 s; half the rate is his.
  CHECK(small->at - asked < 1200ms);
  CHECK(large->at > 2900ms);
}

TEST_CASE("A pacer lets no more than its rate pass, and everybody waiting has his turn") {
  sim::Simulation simulation(1);
  auto& executor = simulation.add_host().executor();
  const auto pacer = std::make_shared<Pacer>(executor, 100'000, 10'000);
  CHECK(pacer->burst() >= 10'000);
  CHECK(pacer->chunk_bytes(65'536) == 25'000);
  std::vector<int> turns;
  std::function<void(int)> again = [&](int who) {
    pacer->wait(5000, [&, who] {
      turns.push_back(who);
      pacer->spend(5000);
      again(who);
    });
  };
  for (int who = 0; who < 3; ++who) again(who);
  simulation.run_for(10s);
  CHECK(turns.size() * 5000 <= 10 * 100'000 + pacer->burst());
  CHECK(turns.size() * 5000 >= 10 * 100'000 - 5000);
  for (std::size_t i = 3; i < turns.size(); ++i) CHECK(turns[i] == turns[i - 3]);
  CHECK_FALSE(pacer->ready(5000));
  CHECK(pacer->ready(0));
  pacer->spend(3 * pacer->burst());
  CHECK_FALSE(pacer->ready(0));
}

TEST_CASE("More content than is sent in a quarter of a second is not taken on, but a newcomer has twice that room") {
  sim::Simulation simulation(1);
  const auto pacer = std::make_shared<Pacer>(simulation.add_host().executor(), 100'000, 10'000);
  CHECK(pacer->admits(1'000'000, 0));  // one thing may always wait
  pacer->queue(20'000);
  CHECK(pacer->admits(5000, 5000));
  CHECK_FALSE(pacer->admits(6000, 5000));
  CHECK(pacer->admits(6000, 0));
  CHECK_FALSE(pacer->admits(31'000, 0));
  pacer->unqueue(20'000);
  CHECK(pacer->admits(31'000, 5000));
}

}  // namespace
}  // namespace p2p::overlay

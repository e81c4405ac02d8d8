// What answering may cost a node in processor time, on a processor that costs what the test says.
#include <catch2/catch.hpp>

#include "overlay/server.hpp"
#include "tests/overlay/support.hpp"

namespace p2p::overlay {
namespace {

using test::Pair;
using test::Party;

/// A simulated host whose processor time is whatever was used().
class Metered final : public Executor {
 public:
  explicit Metered(Executor& inner) : inner_(inner) {}
  void use(Duration time) { used_ += time; }
  TimePoint now() const override { return inner_.now(); }
  std::uint64_t wall_ms() const override { return inner_.wall_ms(); }
  Duration processor_time() const override { return used_; }
  void post(std::function<void()> task) override { inner_.post(std::move(task)); }
  TimerHandle after(Duration delay, std::function<void()> task) override { return inner_.after(delay, std::move(task)); }

 private:
  Executor& inner_;
  Duration used_{0};
};

/// A server to which every description costs `cost`.
struct Dear {
  explicit Dear(ExchangeLimits the_limits) : limits(the_limits) {}
  Message ask(std::uint8_t peer) {
    NodeId id;
    id.bytes[0] = peer;
    Hello bounds;
    bounds.frame_bytes = 65536;
    auto answer = server.answer(id, bounds, DescribeRequest{test::task_id()});
    abusive = answer.abusive;
    return std::move(*answer.message);
  }
  bool served(std::uint8_t peer) { return std::holds_alternative<DescriptionAnswer>(ask(peer)); }

  Pair net;
  Metered executor{net.b().executor()};
  Duration cost = 60ms;
  bool abusive = false;
  ExchangeLimits limits;
  ExchangeHost host{.describe =
                        [this](const metadata::TaskId&) {
                          executor.use(cost);
                          return Bytes(100, 7);
                        },
                    .offer = {}};
  Server server{executor, host, limits,
                {std::make_shared<ContentStore>(executor, 0, 1s), std::make_shared<ChunkCoder>(),
                 std::make_shared<Pacer>(executor, 0, limits.chunk_bytes)},
                1};
};

TEST_CASE("A peer that has used up its processor time is told when to come again, and others are served meanwhile") {
  Dear test({.processor_per_peer = 100ms, .processor_for_all = 0ms});
  CHECK(test.served(1));
  CHECK(test.served(1));  // 40 ms were left
  const Message late = test.ask(1);
  const auto* refusal = std::get_if<Refusal>(&late);
  REQUIRE(refusal != nullptr);
  CHECK(refusal->why == Refusal::Why::busy);
  CHECK(refusal->text == "these requests cost too much processor time");
  CHECK(refusal->retry_ms == 201);  // 20 ms are owed at a tenth of a processor
  CHECK(test.served(2));
  test.net.simulation.run_for(190ms);
  CHECK_FALSE(test.served(1));
  test.net.simulation.run_for(11ms);
  CHECK(test.served(1));
  CHECK_FALSE(test.served(1));
  test.net.simulation.run_for(100s);  // what is not used does not add up
  CHECK(test.served(1));
  CHECK(test.served(1));
  CHECK_FALSE(test.served(1));
}

TEST_CASE("Peers together have no more processor time than is set for all") {
  Dear test({.processor_per_peer = 100ms, .processor_for_all = 250ms});
  int served = 0;
  for (int second = 0; second < 20; ++second) {
    for (std::uint8_t peer = 0; peer < 50; ++peer) served += test.served(peer) ? 1 : 0;
    test.net.simulation.run_for(1s);
  }
  CHECK(served * 60 >= 20 * 250);
  CHECK(served * 60 <= 21 * 250 + 60);
}

TEST_CASE("Without a limit on processor time a dear request is one like others") {
  Dear test({.processor_per_peer = 0ms, .processor_for_all = 0ms});
  for (int i = 0; i < 100; ++i) CHECK(test.served(1));
}

TEST_CASE("Who asks on and on although no processor time is left is abusive") {
  Dear test({.requests_per_second = 50, .processor_per_peer = 1ms, .processor_for_all = 0ms});
  CHECK(test.served(1));
  for (int i = 0; i < 50; ++i) {
    CHECK_FALSE(test.served(1));
    CHECK_FALSE(test.abusive);
  }
  CHECK_FALSE(test.served(1));
  CHECK(test.abusive);
}

TEST_CASE("A request that costs more than a peer has for minutes is not made to wait for minutes") {
  Dear test({.processor_per_peer = 1ms, .processor_for_all = 0ms});
  CHECK(test.served(1));
  CHECK(std::get<Refusal>(test.ask(1)).retry_ms == 10'000);
}

TEST_CASE("An asker backs off from a helper whose processor time it has used up, and gets its part") {
  Pair net;
  Party asker(net.simulation, net.a());
  Metered executor(net.b().executor());
  const auto offer = test::offer_of({200'000, 150'000});
  int asked = 0;
  const ExchangeHost host{.describe = {}, .offer = [&](const metadata::TaskId&, const std::vector<std::int32_t>&) {
                            ++asked;
                            executor.use(180ms);  // as if it were cut and quantised
                            return offer;
                          }};
  Exchange helper(executor, net.b().transport(), host, {});
  const auto part = asker.pull({net.b().id(), net.b().endpoint()});
  net.simulation.run_for(500ms);
  CHECK(part->calls == 0);  // 80 ms are owed
  net.simulation.run_for(10s);
  REQUIRE(part->ok());
  CHECK(part->at > 800ms);
  CHECK(part->at < 3s);
  CHECK(asked == 1);
}

}  // namespace
}  // namespace p2p::overlay

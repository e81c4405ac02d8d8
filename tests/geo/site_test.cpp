#include <catch2/catch.hpp>

#include <cmath>
#include <deque>
#include <map>

#include "tests/geo/convex.hpp"
#include "tests/geo/group.hpp"

namespace p2p::geo {
namespace {

using testing::Group;
using testing::Work;
using Kind = SiteEvent::Kind;

/// Updates of random parameters by multiples of 2^-10, which floats add without rounding; the sums are known.
struct Scatter {
  Scatter(std::uint64_t seed, std::size_t sites, std::uint32_t the_dimension)
      : dimension(the_dimension), produced(sites, std::vector<double>(dimension)) {
    for (std::size_t i = 0; i < sites; ++i) randoms.push_back(Random(seed).fork(i));
  }
  Work work() {
    Work out;
    out.indices = [this](std::size_t i) { return draw(i); };
    out.train = [this](std::size_t i, std::span<const float>, Site& site) {
      for (const auto index : draw(i)) {
        const float delta = (static_cast<float>(randoms[i].below(2001)) - 1000) / 1024;
        REQUIRE(site.update(index, delta));
        produced[i][index] += delta;
      }
    };
    out.compute_time = [this](std::size_t i) { return Duration(1000 + static_cast<int>(randoms[i].below(20000))); };
    return out;
  }
  std::vector<std::uint32_t> draw(std::size_t i) {
    std::vector<std::uint32_t> out;
    for (std::uint64_t n = 1 + randoms[i].below(8); n > 0; --n) {
      out.push_back(static_cast<std::uint32_t>(randoms[i].below(dimension)));
    }
    return out;
  }
  std::uint32_t dimension;
  std::vector<Random> randoms;
  std::vector<std::vector<double>> produced;
};

SiteOptions options_for(std::uint32_t dimension) {
  SiteOptions options;
  options.initial.assign(dimension, 0.0f);
  options.group.bytes.fill(7);
  return options;
}

TEST_CASE("Once quiet, with threshold 0, every site has applied exactly the sum of what all have produced") {
  for (const auto precision : {Precision::fp32, Precision::fp16}) {
    for (const std::uint64_t seed : {1, 2, 3}) {
      INFO("seed " << seed);
      Scatter scatter(seed, 4, 60);
      auto options = options_for(60);
      options.significance.threshold = 0;
      options.precision = precision;
      options.staleness = seed - 1;
      Group group(seed, 4, options, scatter.work());
      group.simulation.network().link_break = 0.003;
      group.start();
      group.train_until(150);
      REQUIRE(group.simulation.run_until([&] { return group.all_at(150); }, 600s));
      group.simulation.network().link_break = 0;
      group.simulation.run_for(5s);
      for (int quiet = 0; quiet < 3; ++quiet) {  // what the coding had rounded away
        for (std::size_t i = 0; i < 4; ++i) REQUIRE(group.site(i).clock());
      }
      REQUIRE(group.simulation.run_until([&] { return group.agree(); }, 30s));
      CHECK(group.peaceful());
      for (std::size_t at = 0; at < 4; ++at) {
        for (std::size_t of = 0; of < 4; ++of) {
          const auto sum = group.site(at).sum_of(group.id(of));
          CHECK(std::vector<double>(sum.begin(), sum.end()) == scatter.produced[of]);
        }
        for (std::uint32_t k = 0; k < 60; ++k) {
          double all = 0;
          for (const auto& of : scatter.produced) all += of[k];
          REQUIRE(group.site(at).values()[k] == static_cast<float>(all));
        }
      }
    }
  }
}

TEST_CASE("A granted read has everything that each live site emitted until DS clocks ago, under any schedule") {
  std::uint64_t reads = 0, refused = 0, late_values = 0;
  for (std::uint64_t seed = 1; seed <= 24; ++seed) {
    INFO("seed " << seed);
    const std::uint64_t bound = seed % 4;
    // Small where links break, so that reads meet what is missing; large where the barrier is to let reads pass.
    const std::uint32_t dimension = seed % 2 == 0 ? 30 : 400;
    Scatter scatter(seed, 3, dimension);
    auto options = options_for(dimension);
    options.staleness = bound;
    options.significance.threshold = seed % 2 == 0 ? 0.0 : 0.05;
    options.max_backlog = seed % 3 == 0 ? 0.02 : 2;
    Group group(seed, 3, options, scatter.work());
    auto& network = group.simulation.network();
    network.latency_high = Duration(1000 * (5 + static_cast<int>(scatter.randoms[0].below(200))));
    network.bandwidth = 3000 + scatter.randoms[1].below(20000);  // values take longer than announcements
    network.link_break = seed % 2 == 0 ? 0.03 : 0;
    struct Emitted {
      std::uint64_t clock;
      std::vector<double> sum;
    };
    std::vector<std::vector<Emitted>> history(3, {{0, std::vector<double>(dimension)}});
    group.on_clock = [&](std::size_t i) {
      const auto sum = group.site(i).sum_of(group.id(i));
      history[i].push_back({group.clock_of(i), {sum.begin(), sum.end()}});
    };
    group.on_read = [&](std::size_t at, std::span<const std::uint32_t> indices) {
      ++reads;
      const auto own = group.clock_of(at);
      for (std::size_t of = 0; of < 3; ++of) {
        if (of == at || group.site(at).lost(group.id(of))) continue;
        const auto& emitted = history[of];
        std::size_t oldest = emitted.size() - 1;  // the last one that must be in it
        while (oldest > 0 && emitted[oldest].clock + bound > own) --oldest;
        REQUIRE(emitted.back().clock + bound >= own);
        for (const auto index : indices) {
          const double seen = group.site(at).sum_of(group.id(of))[index];
          bool found = false;
          for (std::size_t k = oldest; k < emitted.size(); ++k) found = found || emitted[k].sum[index] == seen;
          if (!found) FAIL("site " << at << " read parameter " << index << " too old or torn at clock " << own);
        }
      }
      if (group.site(at).version_of(group.id((at + 1) % 3)).clock + bound < own) ++late_values;
    };
    group.start();
    group.train_until(60);
    REQUIRE(group.simulation.run_until([&] { return group.all_at(60); }, 3000s));
    for (std::size_t i = 0; i < 3; ++i) {
      const auto stats = group.site(i).stats();
      CHECK(stats.staleness.rbegin()->first <= bound);
      refused += stats.refused[static_cast<std::size_t>(Refusal::Why::barred)];
    }
    CHECK(group.peaceful());
  }
  CHECK(reads > 4000);
  CHECK(refused > 100);      // the barrier had work to do,
  CHECK(late_values > 100);  // and reads beside it were granted while values were still on their way
}

TEST_CASE("A read is refused with the site that it waits for, and the others wait no longer than DS") {
  Scatter scatter(1, 3, 50);
  auto options = options_for(50);
  options.staleness = 2;
  auto work = scatter.work();
  work.compute_time = [](std::size_t i) { return i == 2 ? Duration(500ms) : Duration(5ms); };
  Group group(1, 3, options, work);
  group.start();
  group.train_until(100);
  group.simulation.run_for(3s);
  CHECK_FALSE(group.site(0).lost(group.id(2)));
  const auto slow = group.clock_of(2);
  CHECK(group.clock_of(0) <= slow + 3);
  CHECK(group.clock_of(0) >= slow + 2);
  std::vector<float> out(50);
  REQUIRE(group.simulation.run_until([&] { return group.clock_of(0) == group.clock_of(2) + 3; }, 2s));
  const auto refused = group.site(0).read_all(out);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().why == Refusal::Why::ahead);
  CHECK(refused.error().site == group.id(2));
  CHECK(refused.error().text().find(group.id(2).brief()) != std::string::npos);
  const auto stalled = group.site(0).stats().stalled[static_cast<std::size_t>(Refusal::Why::ahead)];
  CHECK(stalled > Duration(2s));
}

TEST_CASE("A site that dies is dropped after the deadline, and the survivors agree on what it has left") {
  for (const auto how : {sim::Crash::process, sim::Crash::power}) {
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
      INFO("seed " << seed);
      Scatter scatter(seed, 4, 80);
      auto options = options_for(80);
      options.significance.threshold = 0;
      options.lost_after = 2s;
      Group group(seed, 4, options, scatter.work());
      group.simulation.network().bandwidth = 20000;
      group.start();
      group.train_until(1000000);
      group.simulation.run_for(Duration(1000 * (800 + 37 * static_cast<int>(seed))));
      group.crash(3, how);
      const auto at_crash = group.clock_of(0);
      group.simulation.run_for(1500ms);
      CHECK(group.clock_of(0) <= at_crash + 3);  // still waiting
      CHECK_FALSE(group.heard(0, Kind::lost, 3));
      group.simulation.run_for(1500ms);
      for (const std::size_t i : {0, 1, 2}) CHECK(group.heard(i, Kind::lost, 3));
      CHECK(group.clock_of(0) > at_crash + 5);
      group.train_until(0);
      REQUIRE(group.simulation.run_until([&] { return group.agree(); }, 10s));
      CHECK(group.peaceful());
    }
  }
}

TEST_CASE("A site that restarts before anybody has missed it leaves no gap, though each peer has another part of it") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    INFO("seed " << seed);
    Scatter scatter(seed, 4, 80);
    auto options = options_for(80);
    options.significance.threshold = 0;
    Group group(seed, 4, options, scatter.work());
    group.simulation.network().bandwidth = 15000;
    group.simulation.network().latency_high = 150ms;
    group.start();
    group.train_until(1000000);
    group.simulation.run_for(Duration(1000 * (1500 + 37 * static_cast<int>(seed))));
    group.crash(3, sim::Crash::process);
    group.simulation.run_for(100ms);
    group.restart(3);
    group.simulation.run_for(5s);
    CHECK_FALSE(group.heard(0, Kind::lost, 3));
    group.train_until(0);
    group.simulation.run_for(1s);
    REQUIRE(group.simulation.run_until([&] { return group.agree(); }, 10s));
    CHECK(group.peaceful());
  }
}

TEST_CASE("Two sites that cannot reach each other any more do not stop a third that reaches both") {
  Scatter scatter(1, 3, 80);
  Group group(1, 3, options_for(80), scatter.work());
  group.simulation.host(2).set_group(1);
  group.start();
  group.train_until(1000000);
  group.simulation.run_for(1s);
  group.simulation.partition();
  group.simulation.run_for(3s);
  group.simulation.run_for(20s);  // 2 is alone, waits for nobody and runs ahead
  REQUIRE(group.clock_of(2) > group.clock_of(0) + 10);
  group.unreachable = [&, a = group.id(1), b = group.id(2)](std::size_t at, const NodeId& from) {
    return (at == 1 && from == b) || (at == 2 && from == a);
  };
  group.simulation.heal();
  group.simulation.run_for(6s);
  CHECK(group.heard(0, Kind::returned, 2));
  CHECK(group.site(1).lost(group.id(2)));
  const std::vector<std::uint64_t> healed{group.clock_of(0), group.clock_of(1), group.clock_of(2)};
  group.simulation.run_for(5s);
  for (const std::size_t i : {0, 1, 2}) CHECK(group.clock_of(i) > healed[i] + 20);
}

TEST_CASE("A restarted site gets its own sum and everybody's back, and goes on at the others' clock") {
  Scatter scatter(5, 3, 80);
  auto options = options_for(80);
  options.significance.threshold = 0;
  options.precision = Precision::fp32;
  Group group(5, 3, options, scatter.work());
  group.start();
  group.train_until(40);
  REQUIRE(group.simulation.run_until([&] { return group.all_at(40) && group.agree(); }, 60s));
  const auto before = scatter.produced;
  group.crash(1, sim::Crash::process);
  group.train_until(100);
  group.simulation.run_for(8s);  // 0 and 2 go on alone
  REQUIRE(group.all_at(100));
  group.restart(1);
  group.train_until(130);
  REQUIRE(group.simulation.run_until([&] { return group.all_at(130) && group.agree(); }, 60s));
  CHECK(group.heard(0, Kind::returned, 1));
  CHECK(group.heard(1, Kind::skipped, 1));
  CHECK(group.site(0).version_of(group.id(1)).incarnation > 0);
  for (std::size_t of = 0; of < 3; ++of) {  // what it produced before the crash and after it, too
    const auto sum = group.site(1).sum_of(group.id(of));
    CHECK(std::vector<double>(sum.begin(), sum.end()) == scatter.produced[of]);
  }
  CHECK(before[1] != scatter.produced[1]);
}

TEST_CASE("Two halves of a partition train on alone, and afterwards nobody's work is lost") {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    INFO("seed " << seed);
    Scatter scatter(seed, 4, 80);
    auto options = options_for(80);
    options.significance.threshold = 0;
    options.precision = Precision::fp32;
    Group group(seed, 4, options, scatter.work());
    for (const std::size_t i : {2, 3}) group.simulation.host(i).set_group(1);
    group.start();
    group.train_until(1000000);
    group.simulation.run_for(2s);
    group.simulation.partition();
    group.simulation.run_for(10s);
    CHECK(group.heard(0, Kind::lost, 2));
    CHECK(group.heard(3, Kind::lost, 1));
    const auto at_heal = group.clock_of(0);
    CHECK(at_heal > 100);
    group.simulation.heal();
    group.simulation.run_for(5s);
    for (const std::size_t i : {0, 1}) {
      for (const std::size_t k : {2, 3}) CHECK((group.heard(i, Kind::returned, k) && group.heard(k, Kind::returned, i)));
    }
    CHECK(group.clock_of(0) > at_heal + 20);
    group.train_until(0);
    group.simulation.run_for(1s);
    REQUIRE(group.simulation.run_until([&] { return group.agree(); }, 30s));
    CHECK(group.peaceful());
    for (std::size_t of = 0; of < 4; ++of) {
      const auto sum = group.site(0).sum_of(group.id(of));
      CHECK(std::vector<double>(sum.begin(), sum.end()) == scatter.produced[of]);
    }
  }
}

TEST_CASE("A backlog on a slow link is replaced by a whole state, and the sum is still exact") {
  constexpr std::uint32_t kDimension = 20000;  // 80 KB a clock, more than a link takes at once
  Scatter scatter(3, 3, kDimension);
  auto options = options_for(kDimension);
  options.significance.threshold = 0;
  options.precision = Precision::fp32;
  options.staleness = 50;
  options.max_backlog = 1.5;
  options.lost_after = 60s;
  auto work = scatter.work();
  work.compute_time = [](std::size_t) { return Duration(1ms); };
  work.indices = [](std::size_t i) { return std::vector<std::uint32_t>{static_cast<std::uint32_t>(i)}; };
  work.train = [&](std::size_t i, std::span<const float>, Site& site) {
    for (std::uint32_t k = 10; k < kDimension; ++k) {  // nobody reads these
      REQUIRE(site.update(k, 0.25f));
      scatter.produced[i][k] += 0.25;
    }
  };
  Group group(3, 3, options, work);
  group.simulation.network().bandwidth = 500'000;
  group.start();
  group.train_until(80);
  REQUIRE(group.simulation.run_until([&] { return group.all_at(80) && group.agree(); }, 3000s));
  CHECK(group.peaceful());
  CHECK(group.site(0).stats().states_sent > 0);
  for (std::size_t of = 0; of < 3; ++of) {
    const auto sum = group.site(0).sum_of(group.id(of));
    CHECK(std::vector<double>(sum.begin(), sum.end()) == scatter.produced[of]);
  }
}

TEST_CASE("The same seed gives the same log, another seed another") {
  const auto run = [](std::uint64_t seed) {
    Scatter scatter(seed, 3, 60);
    Group group(seed, 3, options_for(60), scatter.work());
    group.simulation.network().link_break = 0.01;
    group.start();
    group.train_until(50);
    group.simulation.run_for(60s);
    return group.simulation.log().hash();
  };
  CHECK(run(1) == run(1));
  CHECK(run(1) != run(2));
}

TEST_CASE("A damaged stream costs a site its link, never its life or a value that is not finite") {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    Scatter scatter(seed, 3, 60);
    auto options = options_for(60);
    options.lost_after = 300ms;
    Group group(seed, 3, options, scatter.work());
    group.simulation.network().corruption = 0.02;
    group.start();
    group.train_until(1000000);
    group.simulation.run_for(60s);
    CHECK(group.clock_of(0) > 50);
    for (const float value : group.site(0).values()) REQUIRE(!std::isnan(value));
    bool refused = false;
    for (const auto& [at, event] : group.events) refused = refused || event.kind == Kind::refused;
    CHECK(refused);
  }
}

TEST_CASE("A peer of another model is refused in so many words, and training goes on without it") {
  Scatter scatter(1, 2, 60);
  Group group(1, 2, options_for(60), scatter.work());
  group.start(0);
  auto& host = group.simulation.host(1);
  auto other = options_for(61);
  auto stranger = Site::make({host.executor(), host.transport(), host.id()},
                             {{group.id(0), group.simulation.host(0).endpoint()}}, other, {}).value();
  host.transport().on_accept([&](auto link) { stranger->accept(std::move(link)); });
  stranger->start();
  group.train_until(10);
  REQUIRE(group.simulation.run_until([&] { return group.all_at(10); }, 30s));
  REQUIRE(group.heard(0, Kind::refused, 1));
  CHECK(group.events.front().second.text.find("another model") != std::string::npos);
}

TEST_CASE("Options, parameters and updates out of range are refused") {
  sim::Simulation simulation(1);
  auto& host = simulation.add_host();
  const Site::Context context{host.executor(), host.transport(), host.id()};
  const auto refused = [&](const std::vector<SitePeer>& peers, const std::function<void(SiteOptions&)>& change) {
    auto options = options_for(4);
    change(options);
    return !Site::make(context, peers, options, {});
  };
  CHECK(refused({}, [](auto& o) { o.initial.clear(); }));
  CHECK(refused({}, [](auto& o) { o.initial[1] = NAN; }));
  CHECK(refused({}, [](auto& o) { o.significance.threshold = -1; }));
  CHECK(refused({}, [](auto& o) { o.lost_after = 1ms; }));
  CHECK(refused({{host.id(), {}}}, [](auto&) {}));
  CHECK_FALSE(refused({}, [](auto&) {}));
  auto site = Site::make(context, {}, options_for(4), {}).value();
  CHECK(site->update(0, 1).error().code == ErrorCode::unavailable);
  CHECK(site->clock().error().code == ErrorCode::unavailable);
  site->start();  // alone: joined at once
  REQUIRE(site->joined());
  CHECK(site->update(4, 1).error().code == ErrorCode::invalid_argument);
  CHECK(site->update(0, INFINITY).error().code == ErrorCode::invalid_argument);
  CHECK(site->update(3, 1));
  CHECK(site->clock());
  CHECK(site->values()[3] == 1);
}

TEST_CASE("Three sites over slow links reach the objective of bulk synchrony with far fewer bytes") {
  const testing::Logistic problem(1, 3, 1000);
  const auto bulk = testing::train(problem, testing::bulk_synchronous(), testing::slow_network(), 150);
  const auto gaia = testing::train(problem, testing::approximate(), testing::slow_network(), 150);
  CAPTURE(bulk.objective, gaia.objective, bulk.wire_bytes, gaia.wire_bytes);
  CHECK(bulk.objective < 0.8 * problem.objective(std::vector<float>(1000)));  // it has learned something
  CHECK(gaia.objective < bulk.objective * 1.005);
  CHECK(gaia.wire_bytes * 3 < bulk.wire_bytes);
}

}  // namespace
}  // namespace p2p::geo

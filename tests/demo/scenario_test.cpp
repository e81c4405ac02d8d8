#include "tools/demo_cmd/scenario.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <numeric>
#include <set>

using namespace p2p;
using namespace p2p::tools;

namespace {

bool present(const Phase& phase, int c) { return phase.mix[static_cast<std::size_t>(c)] > 0; }

std::vector<std::uint16_t> labels_of(std::size_t per_class, std::size_t classes) {
  std::vector<std::uint16_t> labels;
  for (std::size_t i = 0; i < per_class * classes; ++i)
    labels.push_back(static_cast<std::uint16_t>(i % classes));
  return labels;
}

}  // namespace

TEST_CASE("The same seed gives the same script and the same streams, another seed gives others") {
  const auto labels = labels_of(700, 10);
  const auto draw = [&](std::uint64_t seed) {
    return draw_streams(*make_scenario({.seed = seed, .samples = 3000}), labels)->examples;
  };
  CHECK(draw(7) == draw(7));
  CHECK(draw(7) != draw(8));
  const auto a = make_scenario({.seed = 7}), b = make_scenario({.seed = 7}), c = make_scenario({.seed = 8});
  REQUIRE(a->script.size() == b->script.size());
  for (std::size_t i = 0; i < a->script.size(); ++i) {
    CHECK(a->script[i].at_sample == b->script[i].at_sample);
    CHECK(a->script[i].classes == b->script[i].classes);
  }
  CHECK(a->plans[0].phases[0].mix != c->plans[0].phases[0].mix);
}

TEST_CASE("Every mix is a distribution and every phase ends where the next begins") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    INFO("seed " << seed);
    const auto scenario = make_scenario({.seed = seed});
    REQUIRE(scenario);
    for (const NodePlan& plan : scenario->plans) {
      REQUIRE(plan.phases.front().from == 0);
      for (std::size_t p = 0; p < plan.phases.size(); ++p) {
        const auto& mix = plan.phases[p].mix;
        CHECK(std::accumulate(mix.begin(), mix.end(), 0.0) == Approx(1));
        CHECK(*std::min_element(mix.begin(), mix.end()) >= 0);
        if (p > 0) CHECK(plan.phases[p].from > plan.phases[p - 1].from);
      }
    }
    for (const Scripted& s : scenario->script) {
      std::uint64_t next = scenario->options.samples;
      for (const Phase& phase : scenario->plans[s.node].phases) {
        if (phase.from > s.at_sample) next = std::min(next, phase.from);
      }
      CHECK(s.until == next);
      CHECK(scenario->phase_at(s.node, s.at_sample).from == s.at_sample);
      CHECK(scenario->phase_at(s.node, s.at_sample - 1).from < s.at_sample);
    }
  }
}

TEST_CASE("The shortest stream that is allowed still leaves room to measure every recovery") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const auto scenario = make_scenario({.seed = seed, .samples = 2800});
    REQUIRE(scenario);
    for (const Scripted& s : scenario->script) {
      INFO("seed " << seed << " node " << s.node << " at " << s.at_sample);
      CHECK(s.until - s.at_sample >= 500);
      CHECK(s.at_sample >= 300);
    }
  }
}

TEST_CASE("An introduction brings only classes that the node has never seen, and takes none away") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const auto scenario = make_scenario({.seed = seed});
    std::size_t seen = 0;
    for (const Scripted& s : scenario->script) {
      if (s.workload != Workload::introduction) continue;
      ++seen;
      CHECK_FALSE(s.classes.empty());
      CHECK_FALSE(s.returning);
      for (int c = 0; c < 10; ++c) {
        const bool arrives = std::find(s.classes.begin(), s.classes.end(), c) != s.classes.end();
        for (const Phase& phase : scenario->plans[s.node].phases) {
          CHECK(present(phase, c) == (!arrives || phase.from >= s.at_sample));
        }
      }
    }
    CHECK(seen == 2);
  }
}

TEST_CASE("In a fluctuation classes come, go, and come back twice") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const auto scenario = make_scenario({.seed = seed});
    for (std::size_t node = 0; node < scenario->plans.size(); ++node) {
      if (scenario->plans[node].role != "fluctuation") continue;
      std::vector<const Scripted*> visits;
      for (const Scripted& s : scenario->script) {
        if (s.node == node) visits.push_back(&s);
      }
      REQUIRE(visits.size() == 3);
      CHECK_FALSE(visits[0]->returning);
      CHECK(visits[1]->returning);
      CHECK(visits[2]->returning);
      for (const Scripted* visit : visits) {
        CHECK(visit->workload == Workload::fluctuation);
        CHECK(visit->classes == visits[0]->classes);
        const Phase& before = scenario->phase_at(node, visit->at_sample - 1);
        const Phase& during = scenario->phase_at(node, visit->until - 1);
        for (int c = 0; c < 10; ++c) {
          const bool visitor =
              std::find(visit->classes.begin(), visit->classes.end(), c) != visit->classes.end();
          CHECK(present(before, c) == !visitor);
          CHECK(present(during, c));
        }
      }
    }
  }
}

TEST_CASE("Two nodes of one role begin with different classes, so that each is common somewhere") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const auto scenario = make_scenario({.seed = seed});
    for (const std::size_t node : {0u, 1u}) {
      std::size_t at_both = 0;
      for (int c = 0; c < 10; ++c) {
        at_both +=
            present(scenario->plans[node].phases[0], c) && present(scenario->plans[node + 4].phases[0], c);
      }
      CHECK(at_both == 0);
    }
  }
}

TEST_CASE("A changed concept is lived in by a helper from the start, whatever the number of nodes") {
  for (std::size_t nodes = 4; nodes <= 17; ++nodes) {
    INFO(nodes << " nodes");
    const auto scenario = make_scenario({.nodes = nodes});
    REQUIRE(scenario);
    REQUIRE(scenario->plans.size() == nodes);
    std::set<Transform> lived_in;
    for (const NodePlan& plan : scenario->plans) lived_in.insert(plan.phases.front().transform);
    std::set<Workload> workloads;
    for (const Scripted& s : scenario->script) {
      workloads.insert(s.workload);
      if (s.workload == Workload::real_concept) CHECK(s.transform != Transform::none);
      CHECK(lived_in.count(s.transform) == 1);
    }
    CHECK(workloads.size() == 3);
  }
}

TEST_CASE("A script that cannot work is refused with what it needs") {
  CHECK(make_scenario({.nodes = 3}).error().code == ErrorCode::invalid_argument);
  CHECK(make_scenario({.nodes = 65}).error().message.find("64") != std::string::npos);
  CHECK(make_scenario({.samples = 100}).error().message.find("2800") != std::string::npos);
  CHECK(make_scenario({.classes = 3}).error().message.find("at least 4 classes") != std::string::npos);
  CHECK(make_scenario({.classes = 4}));
}

TEST_CASE("No example is dealt twice, and each has a class of its node's mix") {
  // As many examples as the default data set has, for the seeds that the README's figures come from.
  const auto labels = labels_of(7000, 10);
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    INFO("seed " << seed);
    const auto scenario = make_scenario({.seed = seed});
    const auto draw = draw_streams(*scenario, labels);
    REQUIRE(draw);
    CHECK(draw->reused == 0);
    std::vector<bool> seen(labels.size(), false);
    std::size_t strangers = 0, twice = 0;
    for (std::size_t node = 0; node < draw->examples.size(); ++node) {
      REQUIRE(draw->examples[node].size() == scenario->options.samples);
      for (std::size_t s = 0; s < draw->examples[node].size(); ++s) {
        const std::uint32_t example = draw->examples[node][s];
        strangers += !present(scenario->phase_at(node, s), labels[example]);
        twice += seen[example];
        seen[example] = true;
      }
    }
    CHECK(strangers == 0);
    CHECK(twice == 0);
  }
}

TEST_CASE("The share of a class in a stream is the share in its mix") {
  const auto labels = labels_of(7000, 10);
  const auto scenario = make_scenario({.seed = 3});
  const auto draw = draw_streams(*scenario, labels);
  const std::size_t node = 3;  // a helper: one phase
  const auto& mix = scenario->plans[node].phases[0].mix;
  std::vector<double> share(10, 0);
  for (const std::uint32_t e : draw->examples[node]) share[labels[e]] += 1.0 / 7000;
  // Three standard errors of a share of 0.1 over 7000 draws are 0.012; ten classes are looked at.
  for (std::size_t c = 0; c < 10; ++c) CHECK(share[c] == Approx(mix[c]).margin(0.015));
}

TEST_CASE("A small data set is dealt again and that is counted; a class without examples is refused") {
  const auto scenario = make_scenario({.samples = 3000});
  const auto draw = draw_streams(*scenario, labels_of(10, 10));
  REQUIRE(draw);
  CHECK(draw->reused == 8 * 3000 - 100);
  auto labels = labels_of(10, 10);
  std::replace(labels.begin(), labels.end(), std::uint16_t{4}, std::uint16_t{5});
  CHECK(draw_streams(*scenario, labels).error().message.find("class 4") != std::string::npos);
}

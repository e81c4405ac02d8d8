#include "tools/demo_cmd/scenario.hpp"

#include <algorithm>
#include <numeric>

#include <fmt/core.h>

#include "metadata/base/random.hpp"

namespace p2p::tools {
namespace {

// Names for Random::fork: each decision has its own generator, so that adding one leaves the others
// alone.
enum Stream : std::uint64_t { kDeal = 1, kNode = 1000, kDraw = 2000 };

template <typename T>
void shuffle(std::vector<T>& values, Random& random) {
  for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[random.below(i)]);
}

/// A mix over `classes`, each site with its own preferences (within a factor of two of each other).
std::vector<double> mix_of(const std::vector<int>& present, const std::vector<double>& taste) {
  std::vector<double> mix(taste.size(), 0.0);
  double sum = 0;
  for (const int c : present) sum += taste[static_cast<std::size_t>(c)];
  for (const int c : present) {
    mix[static_cast<std::size_t>(c)] = taste[static_cast<std::size_t>(c)] / sum;
  }
  return mix;
}

std::vector<int> joined(std::vector<int> a, const std::vector<int>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// Everything that one node's plan is made from.
struct Site {
  std::size_t node;
  std::uint64_t samples;
  std::vector<int> order;  // all classes, in this site's order
  std::vector<double> taste;
  Random random;

  std::vector<int> slice(std::size_t from, std::size_t count) const {
    const auto first = order.begin() + static_cast<std::ptrdiff_t>(from);
    return {first, first + static_cast<std::ptrdiff_t>(count)};
  }
  /// `share` of the stream, moved by up to +-`jitter` of it.
  std::uint64_t point(double share, double jitter) {
    const double moved = share + jitter * (2 * random.uniform() - 1);
    return static_cast<std::uint64_t>(moved * static_cast<double>(samples));
  }
};

void add_change(Scenario& scenario, Site& site, Scripted change, const std::vector<int>& present) {
  NodePlan& plan = scenario.plans[site.node];
  plan.phases.push_back({change.at_sample, mix_of(present, site.taste), change.transform});
  change.node = site.node;
  std::sort(change.classes.begin(), change.classes.end());
  scenario.script.push_back(std::move(change));
}

void plan_introduction(Scenario& scenario, Site& site) {
  const std::size_t classes = site.order.size();
  const std::size_t news = std::max<std::size_t>(1, classes / 5);
  std::vector<int> present = site.slice(0, classes - 2 * news);
  scenario.plans[site.node].role = "introduction";
  scenario.plans[site.node].phases.push_back({0, mix_of(present, site.taste), Transform::none});
  const double shares[] = {0.30, 0.65};
  for (std::size_t i = 0; i < 2; ++i) {
    const std::vector<int> arriving = site.slice(classes - (2 - i) * news, news);
    present = joined(present, arriving);
    add_change(scenario, site,
               {.workload = Workload::introduction,
                .at_sample = site.point(shares[i], 0.03),
                .classes = arriving},
               present);
  }
}

void plan_fluctuation(Scenario& scenario, Site& site) {
  const std::size_t classes = site.order.size();
  const std::size_t group = std::max<std::size_t>(1, classes * 3 / 10);
  const std::vector<int> always = site.slice(0, classes - 2 * group);
  const std::vector<int> groups[] = {site.slice(classes - 2 * group, group),
                                     site.slice(classes - group, group)};
  scenario.plans[site.node].role = "fluctuation";
  scenario.plans[site.node].phases.push_back(
      {0, mix_of(joined(always, groups[0]), site.taste), Transform::none});
  for (std::size_t i = 1; i <= 4; ++i) {
    const std::vector<int>& arriving = groups[i % 2];
    add_change(scenario, site,
               {.workload = Workload::fluctuation,
                .at_sample = site.point(0.2 * static_cast<double>(i), 0.01),
                .classes = arriving,
                .returning = i > 1},
               joined(always, arriving));
  }
}

void plan_real_concept(Scenario& scenario, Site& site, Transform transform) {
  scenario.plans[site.node].role = "real concept";
  scenario.plans[site.node].phases.push_back({0, mix_of(site.order, site.taste), Transform::none});
  add_change(scenario, site,
             {.workload = Workload::real_concept,
              .at_sample = site.point(0.5, 0.05),
              .transform = transform},
             site.order);
}

void plan_helper(Scenario& scenario, Site& site, Transform transform) {
  scenario.plans[site.node].role = fmt::format("helper, {}", name(transform));
  scenario.plans[site.node].phases.push_back({0, mix_of(site.order, site.taste), transform});
}

}  // namespace

std::string_view name(Workload workload) {
  switch (workload) {
    case Workload::introduction:
      return "introduction";
    case Workload::fluctuation:
      return "fluctuation";
    case Workload::real_concept:
      return "real_concept";
  }
  return "?";
}

std::string_view name(Transform transform) {
  switch (transform) {
    case Transform::none:
      return "plain";
    case Transform::rotated:
      return "rotated";
    case Transform::inverted:
      return "inverted";
  }
  return "?";
}

const Phase& Scenario::phase_at(std::size_t node, std::uint64_t sample) const {
  const std::vector<Phase>& phases = plans[node].phases;
  std::size_t i = phases.size() - 1;
  while (i > 0 && phases[i].from > sample) --i;
  return phases[i];
}

Result<Scenario> make_scenario(const ScenarioOptions& options) {
  if (options.nodes < 4 || options.nodes > 64) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("the script needs 4 to 64 nodes, not {}: one for each workload and one that "
                    "lives in the changed concept",
                    options.nodes));
  }
  if (options.samples < 2800) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("the script needs at least 2800 samples per node, not {}: every phase must "
                    "be long enough to measure a recovery",
                    options.samples));
  }
  if (options.classes < 4) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("the script needs a data set of at least 4 classes, this one has {}: classes "
                    "must be able to come and go",
                    options.classes));
  }
  Scenario scenario;
  scenario.options = options;
  scenario.plans.resize(options.nodes);
  const Random root(options.seed);
  for (std::size_t i = 0; i < options.nodes; ++i) {
    Site site{i, options.samples, {}, {}, root.fork(kNode + i)};
    site.order.resize(options.classes);
    std::iota(site.order.begin(), site.order.end(), 0);
    shuffle(site.order, site.random);
    for (std::size_t c = 0; c < options.classes; ++c) {
      site.taste.push_back(0.7 + 0.7 * site.random.uniform());
    }
    scenario.plans[i].name = fmt::format("n{}", i + 1);
    // The second quartet changes to inverted data, if its helper is there to know them.
    const bool second = i % 8 >= 4 && (i / 4) * 4 + 3 < options.nodes;
    const Transform transform = second ? Transform::inverted : Transform::rotated;
    switch (i % 4) {
      case 0:
        plan_introduction(scenario, site);
        break;
      case 1:
        plan_fluctuation(scenario, site);
        break;
      case 2:
        plan_real_concept(scenario, site, transform);
        break;
      default:
        plan_helper(scenario, site, transform);
        break;
    }
  }
  for (std::size_t i = 0; i < scenario.script.size(); ++i) {
    const bool more =
        i + 1 < scenario.script.size() && scenario.script[i + 1].node == scenario.script[i].node;
    scenario.script[i].until = more ? scenario.script[i + 1].at_sample : options.samples;
  }
  return scenario;
}

Result<Draw> draw_streams(const Scenario& scenario, const std::vector<std::uint16_t>& labels) {
  const std::size_t classes = scenario.options.classes;
  std::vector<std::vector<std::uint32_t>> pools(classes);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < classes) pools[labels[i]].push_back(static_cast<std::uint32_t>(i));
  }
  const Random root(scenario.options.seed);
  Random dealer = root.fork(kDeal);
  for (std::size_t c = 0; c < classes; ++c) {
    if (pools[c].empty()) {
      return fail(
          ErrorCode::invalid_argument,
          fmt::format("the data set has no example of class {}: use one that has every class it "
                      "names",
                      c));
    }
    shuffle(pools[c], dealer);
  }
  Draw draw;
  draw.examples.resize(scenario.plans.size());
  std::vector<std::uint64_t> dealt(classes, 0);
  for (std::size_t node = 0; node < scenario.plans.size(); ++node) {
    Random random = root.fork(kDraw + node);
    draw.examples[node].reserve(scenario.options.samples);
    for (std::uint64_t s = 0; s < scenario.options.samples; ++s) {
      const std::vector<double>& mix = scenario.phase_at(node, s).mix;
      double left = random.uniform();
      std::size_t c = 0;
      std::size_t last = 0;  // the last class of the mix takes what rounding leaves over
      for (; c < classes; ++c) {
        if (mix[c] <= 0) continue;
        last = c;
        left -= mix[c];
        if (left < 0) break;
      }
      if (c == classes) c = last;
      const std::uint64_t turn = dealt[c]++;
      if (turn >= pools[c].size()) ++draw.reused;
      draw.examples[node].push_back(pools[c][turn % pools[c].size()]);
    }
  }
  return draw;
}

}  // namespace p2p::tools

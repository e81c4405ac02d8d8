#include "tools/demo_cmd/scenario.hpp"

#include <algorithm>
#include <numeric>

#include <fmt/core.h>

#include "metadata/base/random.hpp"

namespace p2p::tools {
namespace {

// Names for Random::fork: each decision has its own generator, so that adding one leaves the others
// alone.
enum Stream : std::uint64_t { kDeal = 1, kOrder = 100, kNode = 1000, kDraw = 2000 };

template <typename T>
void shuffle(std::vector<T>& values, Random& random) {
  for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[random.below(i)]);
}

constexpr std::uint64_t kShortestPhase = 500;  // what the recovery measure needs

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
  if (change.until == 0) change.until = site.samples;
  std::sort(change.classes.begin(), change.classes.end());
  scenario.script.push_back(std::move(change));
}

void plan_introduction(Scenario& scenario, Site& site) {
  const std::size_t classes = site.order.size();
  const std::size_t known = classes - classes / 2;
  scenario.plans[site.node].role = "introduction";
  scenario.plans[site.node].phases.push_back(
      {0, mix_of(site.slice(0, known), site.taste), Transform::none});
  add_change(scenario, site,
             {.workload = Workload::introduction,
              .at_sample = site.point(0.45, 0.03),
              .classes = site.slice(known, classes - known)},
             site.order);
}

void plan_fluctuation(Scenario& scenario, Site& site) {
  const std::size_t classes = site.order.size();
  const std::size_t always = std::max<std::size_t>(1, classes * 4 / 10);
  const std::vector<int> residents = site.slice(0, always);
  NodePlan& plan = scenario.plans[site.node];
  plan.role = "fluctuation";
  plan.phases.push_back({0, mix_of(residents, site.taste), Transform::none});
  // Three visits: the first after a third of the stream, the last until its end, the other half way
  // between.
  const std::uint64_t visit = std::max(kShortestPhase, site.samples * 8 / 100);
  const double first = 0.34;
  const double last = 1 - static_cast<double>(visit) / static_cast<double>(site.samples) - 0.005;
  for (std::size_t i = 0; i < 3; ++i) {
    const std::uint64_t at = site.point(first + (last - first) * static_cast<double>(i) / 2, 0.005);
    add_change(scenario, site,
               {.workload = Workload::fluctuation,
                .at_sample = at,
                .until = i < 2 ? at + visit : site.samples,
                .classes = site.slice(always, classes - always),
                .returning = i > 0},
               site.order);
    if (i < 2) plan.phases.push_back({at + visit, plan.phases.front().mix, Transform::none});
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
    // The second of a pair begins with the classes that the first one gets last: each class is
    // common somewhere, and none runs out.
    Random order = root.fork(kOrder + i / 8 * 4 + i % 4);
    shuffle(site.order, order);
    if (i % 8 >= 4) std::reverse(site.order.begin(), site.order.end());
    for (std::size_t c = 0; c < options.classes; ++c) {
      site.taste.push_back(0.8 + 0.45 * site.random.uniform());
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

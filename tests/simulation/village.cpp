#include "tests/simulation/village.hpp"

#include <algorithm>

#include "learner/fourier_basis.hpp"
#include "overlay/directory/directory.hpp"
#include "overlay/exchange.hpp"
#include "overlay/node/blocks.hpp"

namespace p2p::testing {

std::uint64_t seed_or(std::uint64_t otherwise) {
  const char* text = std::getenv("P2P_SEED");
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

std::vector<std::uint64_t> seeds_or(std::uint64_t first, std::size_t count) {
  if (std::getenv("P2P_SEED")) return {seed_or(0)};
  std::vector<std::uint64_t> seeds;
  for (std::size_t i = 0; i < count; ++i) seeds.push_back(first + i);
  return seeds;
}

std::string replay(std::uint64_t seed, const std::string& test) {
  return "replay: P2P_SEED=" + std::to_string(seed) + " build/release/test_simulation \"" + test + "\"";
}

long first_difference(const Record& a, const Record& b) {
  const auto [left, right] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return left == a.end() && right == b.end() ? -1 : left - a.begin();
}

double accuracy(const Record& record, std::size_t from, std::size_t to) {
  to = std::min(to, record.size());
  if (from >= to) return 0;
  const auto right = std::count(record.begin() + static_cast<std::ptrdiff_t>(from),
                                record.begin() + static_cast<std::ptrdiff_t>(to), true);
  return static_cast<double>(right) / static_cast<double>(to - from);
}

std::size_t samples_to_recover(const Record& record, std::size_t change, double delta) {
  constexpr std::size_t kBatch = 20, kSmooth = 3, kStay = 3;
  const double before = accuracy(record, change - std::min<std::size_t>(change, 200), change);
  for (std::size_t k = 0; change + (k + kSmooth + kStay - 1) * kBatch <= record.size(); ++k) {
    bool stays = true;
    for (std::size_t j = 0; j < kStay && stays; ++j) {
      const std::size_t from = change + (k + j) * kBatch;
      stays = accuracy(record, from, from + kSmooth * kBatch) >= before - delta;
    }
    if (stays) return k * kBatch;
  }
  return record.size() - change;
}

void LateLabels::give(std::size_t now, node::Node& node, node::Node* twin) {
  while (!due_.empty() && due_.begin()->first <= now) {
    const auto due = due_.begin()->second;
    due_.erase(due_.begin());
    P2P_ASSERT(node.label(due.node_ticket, due.label).has_value());
    if (twin) P2P_ASSERT(twin->label(due.twin_ticket, due.label).has_value());
  }
}

Place::Place(sim::Simulation& sim, const metadata::Task& task, std::uint64_t world,
             const node::NodeOptions& options, sim::HostOptions host)
    : sim_(sim), host_(sim.add_host(std::move(host))), task_(task), stream_(world, world * 1000 + host_.index()) {
  directory_ = directory::make_dht_directory({.executor = host_.executor(),
                                            .dht = host_.dht(),
                                            .task = task_,
                                            .key = host_.key(),
                                            .endpoint = [this] { return host_.endpoint(); }},
                                           {.node_name = host_.name()});
  auto made = node::Node::make(task_, options,
                               {.executor = host_.executor(),
                                .transport = &host_.transport(),
                                .directory = directory_.get(),
                                .key = host_.key(),
                                .on_event = [this](const node::Event& event) {
                                  events_.push_back(event);
                                  sim_.log().add(sim_.now(), host_.name(), event.text);
                                }});
  P2P_ASSERT(made.has_value());
  node_ = std::move(*made);
  auto alone = options;
  alone.library.bytes = 0;  // isolated learning as it is published: no memory of past models either
  auto twin = node::Node::make(task_, alone,
                               {.executor = host_.executor(),
                                .transport = nullptr,
                                .directory = nullptr,
                                .key = host_.key(),
                                .on_event = nullptr});
  P2P_ASSERT(twin.has_value());
  twin_ = std::move(*twin);
}

Place::~Place() = default;

std::size_t Place::count(node::Event::Kind kind) const {
  return static_cast<std::size_t>(std::count_if(events_.begin(), events_.end(),
                                                [kind](const node::Event& event) { return event.kind == kind; }));
}

void Place::start(const std::vector<std::string>& seeds, overlay::Duration interval) {
  host_.dht().join(seeds);
  interval_ = interval;
  tick();
}

void Place::tick() {
  timer_ = host_.executor().after(interval_, [this] {
    feed();
    tick();
  });
}

void Place::feed() {
  for (const auto& [sample, change] : changes_) {
    if (sample == record_.size()) change();
  }
  late_labels_.give(record_.size(), *node_, twin_.get());
  const auto sample = stream_.next();
  const auto delay = delay_ ? delay_(record_.size()) : std::optional<std::size_t>(0);
  const auto label = delay && *delay == 0 ? std::optional(sample.label) : std::nullopt;
  const auto outcome = node_->process(sample.x, label);
  const auto twin = twin_->process(sample.x, label);
  P2P_ASSERT(outcome.has_value() && twin.has_value());
  if (delay && *delay > 0) late_labels_.owe(record_.size() + *delay, {sample.label, outcome->ticket, twin->ticket});
  record_.push_back(outcome->predicted == sample.label);
  twin_record_.push_back(twin->predicted == sample.label);
}

void Place::crash(sim::Crash how) {
  timer_.reset();
  node_->shutdown();
  host_.crash(how);
}

Liar::Liar(sim::Simulation& sim, const metadata::Task& task, std::uint64_t world, Options options)
    : host_(sim.add_host({.name = "liar" + std::to_string(sim.hosts())})),
      task_(task),
      options_(std::move(options)) {
  auto model = learner::make_model(node::model_spec(task));
  P2P_ASSERT(model.has_value());
  model_ = std::move(*model);
  Stream learned(world, world * 1000 + 500 + host_.index());
  Stream pretended(world, world * 1000 + 700 + host_.index());
  learned.set(options_.learned, options_.mix);
  pretended.set(options_.pretends, options_.mix);
  metadata::FingerprintBuilder builder(
      {.dimensions = task.embedding_dimensions, .classes = kClasses, .half_life = 300});
  const auto basis = learner::FourierBasis::shared({.seed = task.seed,
                                                    .features = kFeatures,
                                                    .dimensions = task.embedding_dimensions,
                                                    .bandwidth = task.bandwidth});
  std::vector<float> x(kFeatures), phi(task.embedding_dimensions);
  for (std::size_t i = 0; i < options_.trained; ++i) {
    const auto sample = learned.next();
    P2P_ASSERT(task.scale(sample.x, x).has_value());
    model_->learn(x, sample.label);
    const auto shown = pretended.next();
    P2P_ASSERT(task.scale(shown.x, x).has_value());
    basis->map(x, phi);
    builder.add(phi, shown.label, true);
  }
  fingerprint_ = builder.build();
}

Liar::~Liar() = default;

void Liar::start(const std::vector<std::string>& seeds) {
  auto& executor = host_.executor();
  directory_ = directory::make_dht_directory({.executor = executor,
                                            .dht = host_.dht(),
                                            .task = task_,
                                            .key = host_.key(),
                                            .endpoint = [this] { return host_.endpoint(); }},
                                           {.node_name = host_.name()});
  exchange_ = std::make_unique<overlay::Exchange>(
      executor, host_.transport(),
      overlay::ExchangeHost{.describe =
                                [this](const metadata::TaskId& task) {
                                  return metadata::seal(
                                      metadata::Description{.task = task,
                                                            .node = host_.id(),
                                                            .version = host_.executor().wall_ms(),
                                                            .fingerprint = fingerprint_},
                                      host_.key());
                                },
                            .offer =
                                [this](const metadata::TaskId&, const std::vector<std::int32_t>& classes) {
                                  auto offer = node::to_offer(model_->partition(classes));
                                  if (options_.damage)
                                    std::for_each(offer.blocks.begin(), offer.blocks.end(), options_.damage);
                                  return std::make_shared<const overlay::Offer>(std::move(offer));
                                },
                            .on_feedback = {}},
      overlay::ExchangeLimits{});
  host_.dht().join(seeds);
  directory_->publish(fingerprint_);
}

std::vector<Misled> misleading() {
  return {
      {"another rotation", rotated(5), rotated(99), rotated(5), kAll},
      {"the concept before the change", rotated(5), {}, rotated(5), kAll},
      {"swapped labels", rotated(5), {.rotation = 5, .labels = {1, 0, 3, 2, 5, 4}}, rotated(5), kAll},
      {"a third of the labels swapped",
       rotated(5),
       {.rotation = 5, .labels = {1, 0, 2, 3, 4, 5}},
       rotated(5),
       kAll},
      {"a new class under another name", {}, relabelled({0, 1, 2, 4, 3, 5}), {}, without({4})},
      {"a new class out of another world", {}, rotated(99), {}, without({4})},
  };
}

Village::Village(std::uint64_t seed, std::size_t places, const node::NodeOptions& options)
    : seed_(seed), sim_(seed), task_(make_task(seed)) {
  for (std::size_t i = 0; i < places; ++i) add(options);
}

Village::Village(std::uint64_t seed, std::size_t places, const std::string& family)
    : seed_(seed), sim_(seed), task_(make_task(seed)) {
  task_.family = family;
  task_.params.clear();
  for (std::size_t i = 0; i < places; ++i) add();
}

Place& Village::add(const node::NodeOptions& options, sim::HostOptions host) {
  places_.push_back(std::make_unique<Place>(sim_, task_, seed_, options, std::move(host)));
  return *places_.back();
}

Liar& Village::add_liar(Liar::Options options) {
  liars_.push_back(std::make_unique<Liar>(sim_, task_, seed_, std::move(options)));
  return *liars_.back();
}

void Village::start(overlay::Duration interval) {
  const auto first = seeds();
  for (auto& place : places_)
    place->start(place == places_.front() ? std::vector<std::string>{} : first, interval);
  for (auto& liar : liars_) liar->start(first);
}

void Village::run_to(std::size_t index, std::size_t samples) {
  auto& place = *places_[index];
  sim_.run_until([&] { return place.samples() >= samples; }, std::chrono::hours(24));
}

}  // namespace p2p::testing

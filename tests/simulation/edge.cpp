#include "tests/simulation/edge.hpp"

#include <algorithm>

#include "learner/fourier_basis.hpp"
#include "overlay/exchange.hpp"
#include "overlay/node/blocks.hpp"

namespace p2p::testing {
namespace {

constexpr std::size_t kChosen = 2;    // of a Chooser; as many as a node pulls from
constexpr std::size_t kEverybody = 32;  // of the small overlays here

std::unique_ptr<directory::Directory> make_directory(sim::Host& host, const metadata::Task& task) {
  return directory::make_dht_directory({.executor = host.executor(),
                                        .dht = host.dht(),
                                        .task = task,
                                        .key = host.key(),
                                        .endpoint = [&host] { return host.endpoint(); }},
                                       {.node_name = host.name()});
}

}  // namespace

void Chooser::lookup(const metadata::Need& need, const directory::LookupOptions& options,
                     std::function<void(directory::LookupResult)> done) {
  ++lookups_;
  auto widened = options;
  if (choice_ != Choice::by_node) widened.want = widened.fetches = kEverybody;
  inner_->lookup(need, widened, [this, need, done = std::move(done)](directory::LookupResult result) {
    datagram_bytes_ += result.datagram_bytes;
    auto& found = result.candidates;
    if (choice_ == Choice::random) {
      for (std::size_t i = found.size(); i > 1; --i) std::swap(found[i - 1], found[random_.below(i)]);
    } else if (choice_ != Choice::by_node) {
      std::erase_if(found, [](const auto& candidate) { return !candidate.fingerprint; });
      double (*distance)(const metadata::Fingerprint&, const metadata::Fingerprint&) = metadata::joint_distance;
      if (choice_ == Choice::priors) distance = metadata::prior_divergence;
      if (choice_ == Choice::marginal) distance = metadata::marginal_distance;
      std::stable_sort(found.begin(), found.end(), [&](const auto& a, const auto& b) {
        return distance(need.experience, *a.fingerprint) < distance(need.experience, *b.fingerprint);
      });
    }
    if (choice_ != Choice::by_node && found.size() > kChosen) found.resize(kChosen);
    done(std::move(result));
  });
}

Edge::Edge(sim::Simulation& sim, const metadata::Task& task, const RealData& data, std::uint64_t seed,
           const node::NodeOptions& node, Options options)
    : host_(sim.add_host()),
      options_(std::move(options)),
      stream_(data, seed * 1000 + host_.index(), options_.measured ? 0 : 1) {
  directory_ = std::make_unique<Chooser>(make_directory(host_, task), options_.choice, seed);
  auto made = node::Node::make(task, node,
                               {.executor = host_.executor(),
                                .transport = &host_.transport(),
                                .directory = directory_.get(),
                                .key = host_.key(),
                                .on_event = [this](const node::Event& event) {
                                  marks_.push_back({event.kind, record_.size(), event.drift.id, event.text});
                                }});
  P2P_ASSERT(made.has_value());
  node_ = std::move(*made);
  if (!options_.measured) return;
  auto alone = node;
  alone.library.bytes = 0;  // isolated learning as it is published: no memory of past models either
  auto twin = node::Node::make(
      task, alone,
      {.executor = host_.executor(), .transport = nullptr, .directory = nullptr, .key = host_.key(), .on_event = nullptr});
  P2P_ASSERT(twin.has_value());
  twin_ = std::move(*twin);
}

Edge::~Edge() = default;

void Edge::start(const std::vector<std::string>& seeds, overlay::Duration interval) {
  host_.dht().join(seeds);
  interval_ = interval;
  tick();
}

void Edge::tick() {
  timer_ = host_.executor().after(interval_, [this] {
    feed();
    tick();
  });
}

void Edge::feed() {
  const std::size_t now = record_.size();
  for (const auto& [at, call] : calls_) {
    if (at == now) call();
  }
  for (const auto& stage : options_.life) {
    if (stage.from == now) stream_.set(stage.view, stage.weights);
  }
  late_labels_.give(now, *node_, twin_.get());
  const auto sample = stream_.next();
  const auto delay = options_.labels ? options_.labels(now) : std::optional<std::size_t>(0);
  const auto label = delay && *delay == 0 ? std::optional(sample.label) : std::nullopt;
  const auto outcome = node_->process(sample.x, label);
  P2P_ASSERT(outcome.has_value());
  record_.push_back(outcome->predicted == sample.label);
  labels_.push_back(sample.label);
  LateLabels::Due due{.label = sample.label, .node_ticket = outcome->ticket};
  if (twin_) {
    const auto twin = twin_->process(sample.x, label);
    P2P_ASSERT(twin.has_value());
    twin_record_.push_back(twin->predicted == sample.label);
    due.twin_ticket = twin->ticket;
  }
  if (delay && *delay > 0) late_labels_.owe(now + *delay, due);
}

Impostor::Impostor(sim::Simulation& sim, const metadata::Task& task, const RealData& data, std::uint64_t seed,
                   Pretender what)
    : host_(sim.add_host({.name = "impostor" + std::to_string(sim.hosts())})), task_(task) {
  auto model = learner::make_model(node::model_spec(task));
  P2P_ASSERT(model.has_value());
  model_ = std::move(*model);
  RealStream learned(data, seed * 1000 + 500 + host_.index(), 1), pretended(data, seed * 1000 + 700 + host_.index(), 1);
  const auto weights = what.weights.empty() ? Weights(data.classes, 1) : what.weights;
  learned.set(what.learned, weights);
  pretended.set(what.pretends, weights);
  metadata::FingerprintBuilder builder(
      {.dimensions = task.embedding_dimensions, .classes = data.classes, .half_life = 300});
  const auto basis = learner::FourierBasis::shared({.seed = task.seed,
                                                    .features = data.features,
                                                    .dimensions = task.embedding_dimensions,
                                                    .bandwidth = task.bandwidth});
  std::vector<float> phi(task.embedding_dimensions);
  for (std::size_t i = 0; i < kTrained; ++i) {
    const auto sample = learned.next();
    model_->learn(sample.x, sample.label);
    const auto shown = pretended.next();
    basis->map(shown.x, phi);
    builder.add(phi, shown.label, true);
  }
  fingerprint_ = builder.build();
}

Impostor::~Impostor() = default;

void Impostor::start(const std::vector<std::string>& seeds) {
  directory_ = make_directory(host_, task_);
  exchange_ = std::make_unique<overlay::Exchange>(
      host_.executor(), host_.transport(),
      overlay::ExchangeHost{
          .describe =
              [this](const metadata::TaskId& task) {
                return metadata::seal(metadata::Description{.task = task,
                                                            .node = host_.id(),
                                                            .version = host_.executor().wall_ms(),
                                                            .fingerprint = fingerprint_},
                                      host_.key());
              },
          .offer =
              [this](const metadata::TaskId&, const std::vector<std::int32_t>& classes) {
                return std::make_shared<const overlay::Offer>(node::to_offer(model_->partition(classes)));
              },
          .on_feedback = {}},
      overlay::ExchangeLimits{});
  host_.dht().join(seeds);
  directory_->publish(fingerprint_);
}

}  // namespace p2p::testing

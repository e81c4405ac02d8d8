#include "overlay/node/node.hpp"

#include <utility>

#include <fmt/format.h>

#include "learner/snapshot.hpp"
#include "overlay/node/healing.hpp"
#include "overlay/node/input_watch.hpp"
#include "overlay/node/pending_labels.hpp"
#include "overlay/node/publisher.hpp"
#include "overlay/node/scout.hpp"
#include "overlay/node/serving.hpp"
#include "overlay/node/showcase.hpp"

namespace p2p::node {
namespace {

constexpr std::uint32_t kNodeSection = 1;  // version of the section "node"

Result<void> check(const NodeOptions& options) {
  const auto wrong = [](std::string_view what) {
    return fail(ErrorCode::invalid_argument, "the node's options are impossible: " + std::string(what));
  };
  if (options.window < 20 || options.window > 100'000) return wrong("window must be 20 to 100000 samples");
  if (options.checkpoint_every < 1 || options.checkpoint_every > options.window) {
    return wrong("checkpoint_every must be 1 sample to the window");
  }
  if (options.ask < 1 || options.pull_from < 1 || options.pull_from > 8) {
    return wrong("ask and pull_from must be at least 1, pull_from at most 8");
  }
  if (!(options.trial.alpha > 0 && options.trial.alpha < 1)) return wrong("trial.alpha must be in (0, 1)");
  if (!(options.class_alpha > 0 && options.class_alpha < 1))
    return wrong("class_alpha must be in (0, 1)");
  if (!(options.inputs_run_length == 0 || options.inputs_run_length >= 100)) {
    return wrong("inputs_run_length must be 0 (no watch) or at least 100 samples");
  }
  const auto& agreement = options.without_labels;
  if (agreement.after < 1 || agreement.fewest < 1 || agreement.window < agreement.fewest || agreement.helpers < 1 ||
      agreement.helpers > 8 || !(agreement.share > 0 && agreement.share <= 1) || !(agreement.kappa > 0 && agreement.kappa <= 1) ||
      !(agreement.inside > 0) || !(agreement.outside >= agreement.inside)) {
    return wrong("without_labels: after and fewest must be at least 1, window at least fewest, helpers 1 to 8, share and "
                 "kappa in (0, 1], inside over 0 and outside not below it");
  }
  if (options.pending_labels > 1'000'000) return wrong("pending_labels must be at most 1000000 samples");
  if (options.scout.neighbours > 32 || options.scout.interval < std::chrono::seconds(1)) {
    return wrong("scout.neighbours must be at most 32, scout.interval at least a second");
  }
  if (options.trial.maximum_samples < 1 || options.trial.minimum_samples > options.trial.maximum_samples) {
    return wrong("trial.minimum_samples must not be over trial.maximum_samples");
  }
  if (!(options.watch_alpha > 0 && options.watch_alpha < 1)) return wrong("watch_alpha must be in (0, 1)");
  if (!(options.shadow.patience > 1)) return wrong("shadow.patience must be over 1 sample");
  if (!(options.fingerprint_half_life >= 0))
    return wrong("fingerprint_half_life must be 0 (never forgets) or more");
  return {};
}

Result<Journal> journal_in(const learner::Snapshot& snapshot) {
  const Bytes* saved = snapshot.find("journal");
  return saved ? Journal::decode(*saved) : Result<Journal>(Journal{});  // older ones have none
}

}  // namespace

std::string_view name(Phase phase) {
  switch (phase) {
    case Phase::learning:
      return "learning";
    case Phase::looking_up:
      return "looking_up";
    case Phase::asking:
      return "asking";
    case Phase::pulling:
      return "pulling";
    case Phase::trying:
      return "trying";
    case Phase::watching:
      return "watching";
  }
  return "unknown";
}

std::string_view name(Event::Kind kind) {
  switch (kind) {
    case Event::Kind::drift_detected:
      return "drift_detected";
    case Event::Kind::lookup_done:
      return "lookup_done";
    case Event::Kind::part_pulled:
      return "part_pulled";
    case Event::Kind::trial_done:
      return "trial_done";
    case Event::Kind::merged:
      return "merged";
    case Event::Kind::rejected:
      return "rejected";
    case Event::Kind::rolled_back:
      return "rolled_back";
    case Event::Kind::settled:
      return "settled";
    case Event::Kind::published:
      return "published";
    case Event::Kind::peer_refused:
      return "peer_refused";
    case Event::Kind::fetched_ahead:
      return "fetched_ahead";
    case Event::Kind::recalled:
      return "recalled";
    case Event::Kind::described:
      return "described";
    case Event::Kind::waiting:
      return "waiting";
    case Event::Kind::watched:
      return "watched";
    case Event::Kind::redone:
      return "redone";
    case Event::Kind::interrupted:
      return "interrupted";
  }
  return "unknown";
}

class Node::State {
 public:
  State(const metadata::Task& task, const NodeOptions& options, Context context)
      : task_(task), options_(options), context_(std::move(context)), library_(options.library),
        pending_(options.pending_labels) {}

  Result<void> open() {
    const bool connected = context_.directory && context_.transport;
    const bool trials = connected || options_.library.bytes > 0;
    auto serving = Serving::make(task_, {.window = options_.window,
                                         .checkpoint_every = trials ? options_.checkpoint_every : 0,
                                         .fingerprint_half_life = options_.fingerprint_half_life,
                                         .drift = options_.drift});
    if (!serving) return tl::unexpected(serving.error());
    serving_ = std::move(*serving);
    standby_ = std::make_unique<Standby>(options_.standby, library_, serving_->spec());
    inputs_ = std::make_unique<InputWatch>(InputWatch::Options{.run_length = options_.inputs_run_length}, *serving_, pending_);
    task_id_ = metadata::id(task_);
    if (context_.transport) {
      showcase_ = std::make_unique<Showcase>(context_.executor, *serving_, library_, task_id_, context_.key,
                                             options_.part_precision);
      exchange_ = std::make_unique<overlay::Exchange>(
          context_.executor, *context_.transport,
          overlay::ExchangeHost{
              .describe = [this](const metadata::TaskId& task) {
                return healing_->provisional() ? Bytes{} : showcase_->describe(task);
              },
              .offer = [this](const metadata::TaskId& task, const std::vector<std::int32_t>& classes) {
                return healing_->provisional() ? nullptr : showcase_->offer(task, classes);
              }},
          options_.limits);
    }
    publisher_ = std::make_unique<Publisher>(
        Publisher::Context{.executor = context_.executor,
                           .directory = context_.directory,
                           .serving = *serving_,
                           .library = library_,
                           .unsettled = [this] { return healing_->unsettled(); },
                           .on_published =
                               [this] {
                                 tell(Event::Kind::published,
                                      fmt::format("published after {} samples", serving_->samples()), {});
                               }},
        Publisher::Options{.after = options_.publish_after,
                           .interval = options_.publish_interval,
                           .change = options_.publish_change});
    healing_ = std::make_shared<Healing>(
        Healing::Context{.executor = context_.executor,
                         .directory = connected ? context_.directory : nullptr,
                         .exchange = connected ? exchange_.get() : nullptr,
                         .task = task_id_,
                         .serving = *serving_,
                         .library = library_,
                         .inputs = *inputs_,
                         .options = options_,
                         .tell = [this](Event::Kind kind, std::string text,
                                        const DriftReport& report) { tell(kind, std::move(text), report); },
                         .on_settled = [this] { publisher_->hurry(); }});
    if (connected && options_.scout.neighbours > 0) {
      scout_ = std::make_shared<Scout>(
          Scout::Context{.executor = context_.executor,
                         .directory = *context_.directory,
                         .exchange = *exchange_,
                         .task = task_id_,
                         .serving = *serving_,
                         .library = library_,
                         .trust = healing_->trust(),
                         .unsettled = [this] { return healing_->unsettled(); },
                         .on_fetched = [this](std::string text) { tell(Event::Kind::fetched_ahead, std::move(text), {}); }},
          options_.scout);
      scout_->start();
    }
    return {};
  }

  ~State() { shutdown(); }

  Result<Outcome> process(std::span<const float> raw, std::optional<learner::ClassIndex> label) {
    if (auto good = can_take(label); !good) return tl::unexpected(good.error());
    const auto x = serving_->scale(raw);
    if (!x) return tl::unexpected(x.error());
    if (!label) {
      const auto predicted = serving_->model().predict(*x);
      const auto ticket = pending_.keep(*x, predicted);
      watch_inputs(serving_->embed(*x));
      return Outcome{.predicted = predicted, .learned = false, .ticket = ticket};
    }
    const auto ticket = pending_.count();
    return Outcome{.predicted = learn(ticket, *x, *label, {}), .learned = true, .ticket = ticket};
  }

  Result<Outcome> label(std::uint64_t ticket, learner::ClassIndex label) {
    if (auto good = can_take(label); !good) return tl::unexpected(good.error());
    const auto sample = pending_.take(ticket);
    if (!sample) return tl::unexpected(sample.error());
    learn(ticket, sample->x, label, sample->predicted);
    return Outcome{.predicted = sample->predicted, .learned = true, .ticket = ticket};
  }

  Result<learner::ClassIndex> predict(std::span<const float> raw) const {
    const auto x = serving_->scale(raw);
    if (!x) return tl::unexpected(x.error());
    return serving_->model().predict(*x);
  }

  NodeStatus status() const {
    const auto& counters = healing_->counters();
    return {.phase = healing_->phase(),
            .samples = serving_->samples(),
            .accuracy = serving_->metrics().accuracy(),
            .windowed_accuracy = serving_->metrics().windowed_accuracy(),
            .drifts = counters.drifts,
            .accepted = counters.accepted,
            .rejected = counters.rejected,
            .rolled_back = counters.rolled_back,
            .bytes_pulled = counters.bytes_pulled,
            .model_bytes = serving_->model().bytes(),
            .distrusted = healing_->distrusted(),
            .concepts = library_.all().size(),
            .pending_labels = pending_.size(),
            .library_bytes = library_.bytes(),
            .published = publisher_->published()};
  }

  void lookup(std::function<void(directory::LookupResult)> done) {
    if (!context_.directory || stopped_) {
      context_.executor.post([done = std::move(done)] { done({}); });
      return;
    }
    context_.directory->lookup({.experience = serving_->fingerprint(), .classes = {}}, options_.lookup,
                               std::move(done));
  }

  Bytes snapshot() const {
    auto counters = healing_->counters();
    counters.rolled_back += healing_->provisional();  // as its journal says
    ByteWriter writer;
    writer.put(kNodeSection);
    writer.put_sized(task_id_.view());
    for (const auto value :
         {counters.drifts, counters.accepted, counters.rejected, counters.rolled_back, counters.bytes_pulled}) {
      writer.put(value);
    }
    learner::Snapshot snapshot;
    snapshot.sections.push_back({"node", writer.take()});
    serving_->save(snapshot, healing_->instead());
    snapshot.sections.push_back({"library", library_.encode()});
    snapshot.sections.push_back({"journal", healing_->journal_to_keep().encode()});
    snapshot.sections.push_back({"former", healing_->formers().encode()});
    return learner::encode(snapshot);
  }

  Result<void> restore(ByteView bytes) {
    P2P_ASSERT(!telling_);
    auto snapshot = learner::decode_snapshot(bytes);
    if (!snapshot) return tl::unexpected(snapshot.error());
    const Bytes* section = snapshot->find("node");
    if (!section) return fail(ErrorCode::malformed, "the snapshot is not a node's: it has no section \"node\"");
    ByteReader reader(*section);
    const auto version = reader.get<std::uint32_t>();
    if (reader.ok() && version > kNodeSection) {
      return fail(ErrorCode::version,
                  "the snapshot was written by a newer p2p-learner; use that version, or move the "
                  "file away to start anew");
    }
    const auto task = reader.get_sized(metadata::TaskId{}.bytes.size());
    Healing::Counters counters;
    for (auto* value : {&counters.drifts, &counters.accepted, &counters.rejected, &counters.rolled_back,
                        &counters.bytes_pulled}) {
      *value = reader.get<std::uint64_t>();
    }
    if (!reader.ok() || !reader.at_end())
      return fail(ErrorCode::malformed, "the snapshot's section \"node\" is damaged");
    if (to_hex(task) != to_hex(task_id_.view())) {
      return fail(
          ErrorCode::invalid_argument,
          fmt::format("the snapshot belongs to another task ({}..., this one is {}...); give each task a state "
                      "directory of its own",
                      to_hex(task).substr(0, 16), to_hex(task_id_.view()).substr(0, 16)));
    }
    Library library(options_.library);
    if (const Bytes* saved = snapshot->find("library")) {  // older ones have none
      if (auto done = library.decode(*saved, task_.embedding_dimensions, serving_->spec().classes); !done) return done;
    }
    auto journal = journal_in(*snapshot);
    if (!journal) return tl::unexpected(journal.error());
    FormerModels formers(options_.former);
    if (const Bytes* saved = snapshot->find("former")) {
      if (auto done = formers.decode(*saved, serving_->spec()); !done) return done;
    }
    if (auto done = serving_->load(*snapshot); !done) return done;
    library_ = std::move(library);
    pending_.give_up();
    healing_->restore(counters, std::move(*journal), std::move(formers));
    publisher_->hurry();
    return {};
  }

  Result<void> rollback(std::uint64_t drift) {
    P2P_ASSERT(!telling_);
    if (stopped_) return fail(ErrorCode::closed, "the node has been shut down");
    return healing_->rollback(drift);
  }

  Result<void> redo(std::uint64_t drift) {
    P2P_ASSERT(!telling_);
    if (stopped_) return fail(ErrorCode::closed, "the node has been shut down");
    return healing_->redo(drift);
  }

  std::uint64_t version() const {
    return serving_->samples() + library_.version() + healing_->journal().version();
  }

  void shutdown() {
    if (stopped_) return;
    stopped_ = true;
    context_.on_event = nullptr;
    if (healing_) healing_->stop();
    if (scout_) scout_->stop();
    if (publisher_) publisher_->stop();
    if (exchange_) exchange_->shutdown();
  }

  const metadata::Task& task() const { return task_; }
  const Healing& healing() const { return *healing_; }
  const Library& library() const { return library_; }
  metadata::Fingerprint fingerprint() const { return serving_->fingerprint(); }
  const overlay::Exchange* exchange() const { return exchange_.get(); }

 private:
  Result<void> can_take(std::optional<learner::ClassIndex> label) const {
    P2P_ASSERT(!telling_);  // an event handler must not feed the node
    if (stopped_) return fail(ErrorCode::closed, "the node has been shut down");
    if (!label || (*label >= 0 && static_cast<std::size_t>(*label) < task_.classes.size())) return {};
    return fail(ErrorCode::invalid_argument,
                fmt::format("label {} is not one of the task's {} classes (0 to {})", *label, task_.classes.size(),
                            task_.classes.size() - 1));
  }

  /// What the model said just before. `earlier`: what had been said of the sample when it came.
  learner::ClassIndex learn(std::uint64_t ticket, learner::Features x, learner::ClassIndex label,
                            std::optional<learner::ClassIndex> earlier) {
    if (earlier && healing_->teach_former(ticket, x, label)) {
      serving_->count(label, *earlier);
      return *earlier;
    }
    const auto step = serving_->learn(x, label, earlier);
    if (!earlier) watch_inputs(step.phi);
    healing_->on_sample(ticket, x, label, step.predicted);
    healing_->on_signal(step.signal);
    if (const auto known = standby_->on_sample(x, label, step.predicted)) healing_->on_known_concept(*known);
    publisher_->on_sample();
    return step.predicted;
  }

  void watch_inputs(std::span<const float> phi) {
    const auto alarm = inputs_->on_sample(phi);
    healing_->on_inputs(alarm);
  }

  void tell(Event::Kind kind, std::string text, const DriftReport& report) {
    if (!context_.on_event) return;
    const bool outer = std::exchange(telling_, true);
    context_.on_event(
        Event{.kind = kind, .samples = serving_->samples(), .text = std::move(text), .drift = report});
    telling_ = outer;
  }

  const metadata::Task task_;
  const NodeOptions options_;
  Context context_;
  metadata::TaskId task_id_;
  Library library_;
  PendingLabels pending_;
  std::unique_ptr<Serving> serving_;
  std::unique_ptr<Standby> standby_;
  std::unique_ptr<InputWatch> inputs_;
  std::unique_ptr<Showcase> showcase_;
  std::unique_ptr<overlay::Exchange> exchange_;
  std::unique_ptr<Publisher> publisher_;
  std::shared_ptr<Healing> healing_;
  std::shared_ptr<Scout> scout_;  // null: off
  bool telling_ = false;
  bool stopped_ = false;
};

Node::Node(std::shared_ptr<State> state) : state_(std::move(state)) {}
Node::~Node() { state_->shutdown(); }

Result<std::unique_ptr<Node>> Node::make(const metadata::Task& task, const NodeOptions& options, Context context) {
  if (auto good = check(options); !good) return tl::unexpected(good.error());
  auto state = std::make_shared<State>(task, options, std::move(context));
  if (auto opened = state->open(); !opened) return tl::unexpected(opened.error());
  return std::unique_ptr<Node>(new Node(std::move(state)));
}

Result<Outcome> Node::process(std::span<const float> raw, std::optional<learner::ClassIndex> label) {
  return state_->process(raw, label);
}
Result<Outcome> Node::label(std::uint64_t ticket, learner::ClassIndex label) { return state_->label(ticket, label); }
Result<learner::ClassIndex> Node::predict(std::span<const float> raw) const { return state_->predict(raw); }
NodeStatus Node::status() const { return state_->status(); }
const metadata::Task& Node::task() const { return state_->task(); }
const Library& Node::library() const { return state_->library(); }
const std::vector<DriftReport>& Node::drifts() const { return state_->healing().journal().reports(); }
metadata::Fingerprint Node::fingerprint() const { return state_->fingerprint(); }
void Node::lookup(std::function<void(directory::LookupResult)> done) { state_->lookup(std::move(done)); }
overlay::TrafficByKind Node::traffic() const {
  return state_->exchange() ? state_->exchange()->traffic() : overlay::TrafficByKind{};
}
std::vector<overlay::PeerStats> Node::peers() const {
  return state_->exchange() ? state_->exchange()->peers() : std::vector<overlay::PeerStats>{};
}
std::uint64_t Node::served() const { return state_->exchange() ? state_->exchange()->served() : 0; }
Result<void> Node::rollback(std::uint64_t drift) { return state_->rollback(drift); }
Result<void> Node::redo(std::uint64_t drift) { return state_->redo(drift); }
std::uint64_t Node::version() const { return state_->version(); }
Bytes Node::snapshot() const { return state_->snapshot(); }
Result<void> Node::restore(ByteView bytes) { return state_->restore(bytes); }
void Node::shutdown() { state_->shutdown(); }

Result<std::vector<DriftReport>> drifts_in(ByteView bytes) {
  const auto snapshot = learner::decode_snapshot(bytes);
  if (!snapshot) return tl::unexpected(snapshot.error());
  return journal_in(*snapshot).map([](const Journal& journal) { return journal.reports(); });
}

}  // namespace p2p::node

#include "overlay/host/edge_node.hpp"

#include <algorithm>
#include <chrono>
#include <future>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "learner/snapshot.hpp"
#include "overlay/host/snapshot_writer.hpp"
#include "overlay/net/files.hpp"
#include "overlay/net/loop.hpp"
#include "overlay/net/opendht.hpp"
#include "overlay/net/tls_transport.hpp"

namespace p2p::host {
namespace {

constexpr auto kLeaveAtMost = std::chrono::seconds(5);  // over OpenDhtOptions::leave_timeout

std::string key_path(const std::string& state_dir) { return state_dir + "/key.pem"; }
std::string snapshot_path(const std::string& state_dir) { return state_dir + "/snapshot"; }

Result<void> check(const EdgeNodeOptions& options) {
  const auto wrong = [](std::string text) { return fail(ErrorCode::invalid_argument, std::move(text)); };
  if (options.name.empty() || options.name.size() > 64) return wrong("a node's name has 1 to 64 characters");
  if (options.network.empty()) return wrong("the network needs a name; all nodes of an overlay use the same one");
  if (!metadata::parse_endpoint(metadata::Endpoint{options.bind, 1}.text())) {
    return wrong(
        fmt::format("\"{}\" is no numeric address to bind to; use 127.0.0.1 or this machine's own", options.bind));
  }
  if (options.registry && !metadata::connectable(*options.registry)) {
    return wrong(fmt::format("a node cannot link to a registry at {}; take the address that the registry prints",
                             options.registry->text()));
  }
  if (options.registry && (!options.seeds.empty() || options.isolated)) {
    return wrong("a node with a registry uses no DHT: give either the registry or seeds, and not isolated");
  }
  if (options.snapshot_every < std::chrono::milliseconds(10))
    return wrong("snapshot_every must be at least 10 ms");
  return {};
}

/// What stands in the state directory: says which file is meant and what can be done, and touches nothing.
Error snapshot_error(const std::string& path, const Error& error) {
  std::string text;
  switch (error.code) {
    case ErrorCode::version:
      text = fmt::format(
          "{} was written by a newer p2p-learner: use that version, or move the file away to start anew", path);
      break;
    case ErrorCode::invalid_argument:
      text = fmt::format(
          "{} belongs to another task: give each task a state directory of its own, or move the file away "
          "to start anew",
          path);
      break;
    case ErrorCode::malformed:
      text = fmt::format(
          "{} is damaged and cannot be loaded: restore it from a backup, or move it away to start anew", path);
      break;
    default:
      text = fmt::format("{} cannot be loaded: restore it from a backup, or move it away to start anew", path);
      break;
  }
  return {error.code, std::move(text), error.text()};
}

/// An answer for a thread that waits; `unless` if the node goes away before it comes.
template <typename T>
class Answer {
 public:
  explicit Answer(T unless = {}) : unless_(std::move(unless)) {}
  ~Answer() {
    if (!given_) promise_.set_value(std::move(unless_));
  }
  std::future<T> future() { return promise_.get_future(); }
  void give(T result) {
    given_ = true;
    promise_.set_value(std::move(result));
  }

 private:
  T unless_;
  std::promise<T> promise_;
  bool given_ = false;
};

Error no_directory() {
  return {ErrorCode::unavailable, "this node is isolated: it has no directory; set node.isolated = false in its configuration to join one", {}};
}

}  // namespace

struct EdgeNode::State {
  explicit State(EdgeNodeOptions the_options) : options(std::move(the_options)) {}
  ~State() { close(); }

  Result<void> open();
  Result<void> open_on_loop();
  Result<void> open_directory();
  void close();
  void arm_snapshot();

  EdgeNodeOptions options;
  std::chrono::steady_clock::time_point started = std::chrono::steady_clock::now();
  std::optional<net::DirectoryLock> lock;
  std::unique_ptr<SnapshotWriter> writer;
  net::Loop loop;
  std::optional<metadata::KeyPair> key;

  // Of the loop's thread, as is all that follows.
  std::unique_ptr<net::TlsTransport> transport;
  std::unique_ptr<net::OpenDht> dht;
  std::unique_ptr<directory::Directory> directory;
  std::unique_ptr<node::Node> node;
  overlay::Executor::TimerHandle snapshot_timer;
  std::uint64_t saved_version = 0;  // Node::version()
  std::uint64_t snapshots = 0;  // grows with every one taken: their order
};

Result<void> EdgeNode::State::open() {
  if (auto good = check(options); !good) return good;
  if (!options.state_dir.empty()) {
    if (auto made = net::make_directories(options.state_dir); !made) return made;
    auto taken = net::DirectoryLock::take(options.state_dir);
    if (!taken) return tl::unexpected(taken.error());
    lock = std::move(*taken);
    auto loaded = net::load_or_create_key(key_path(options.state_dir));
    if (!loaded) return tl::unexpected(loaded.error());
    key = std::move(*loaded);
  } else if (!options.isolated) {
    key = metadata::KeyPair::generate();
  }
  if (auto running = loop.start(); !running) return running;
  if (auto opened = loop.call_and_wait([this] { return open_on_loop(); }); !opened) return opened;
  if (!options.state_dir.empty()) {
    writer = std::make_unique<SnapshotWriter>(snapshot_path(options.state_dir));
    return loop.call_and_wait([this] { arm_snapshot(); });
  }
  return {};
}

Result<void> EdgeNode::State::open_directory() {
  const auto where = [this] { return transport->local(); };
  if (options.registry) {
    directory::RegistryOptions registry;
    registry.registry = *options.registry;
    registry.registry_key = options.registry_key;
    registry.similarity = options.registry_similarity;
    registry.on_trouble = options.on_trouble;
    directory = directory::make_registry_directory(
        directory::RegistryContext{
            .executor = loop, .transport = *transport, .task = options.task, .key = *key, .endpoint = where},
        registry);
    return {};
  }
  dht = std::make_unique<net::OpenDht>(
      loop, net::OpenDhtOptions{
                .bind = options.bind, .port = options.dht_port, .network = options.network, .ingress = {}});
  if (auto running = dht->start(); !running) return running;
  directory =
      directory::make_dht_directory(directory::DirectoryContext{.executor = loop,
                                                            .dht = *dht,
                                                            .task = options.task,
                                                            .key = *key,
                                                            .endpoint = where},
                                  directory::DhtDirectoryOptions{.node_name = options.name});
  return {};
}

Result<void> EdgeNode::State::open_on_loop() {
  if (!options.isolated) {
    auto made = net::TlsTransport::make(loop, *key);
    if (!made) return tl::unexpected(made.error());
    transport = std::move(*made);
    if (auto listening = transport->listen({options.bind, options.link_port}); !listening) return listening;
    if (auto found = open_directory(); !found) return found;
  }
  auto made = node::Node::make(options.task, options.node,
                               node::Node::Context{.executor = loop,
                                                   .transport = transport.get(),
                                                   .directory = directory.get(),
                                                   .key = key ? *key : metadata::KeyPair::generate(),
                                                   .on_event = options.on_event});
  if (!made) return tl::unexpected(made.error());
  node = std::move(*made);
  if (!options.state_dir.empty()) {
    const auto path = snapshot_path(options.state_dir);
    auto bytes = net::read_file(path, learner::Snapshot::kMaxBytes);
    if (bytes) {
      if (auto restored = node->restore(*bytes); !restored)
        return tl::unexpected(snapshot_error(path, restored.error()));
      saved_version = node->version();
    } else if (bytes.error().code != ErrorCode::not_found) {
      return fail(ErrorCode::io, fmt::format("{} cannot be read: check the disk, and what lies there", path), bytes.error().text());
    }
  }
  if (dht) dht->join(options.seeds);
  return {};
}

void EdgeNode::State::arm_snapshot() {
  snapshot_timer = loop.after(options.snapshot_every, [this] {
    // While a write keeps failing, it is tried again even when nothing new came.
    const auto version = node->version();
    if (version != saved_version || !writer->last_error().empty()) {
      writer->write_later(++snapshots, node->snapshot());
      saved_version = version;
    }
    arm_snapshot();
  });
}

void EdgeNode::State::close() {
  if (!loop.running()) return;
  P2P_ASSERT(!loop.on_loop_thread());  // a node cannot end itself from its own event handler
  Bytes last;
  std::uint64_t order = 0;
  auto left = std::make_shared<std::promise<void>>();
  auto leaving = left->get_future();
  static_cast<void>(loop.call_and_wait([&] {
    snapshot_timer.reset();
    if (node && writer && (node->version() != saved_version || !writer->last_error().empty())) {
      last = node->snapshot();
      order = ++snapshots;
    }
    if (node) node->shutdown();
    if (transport) transport->stop_listening();
    if (dht) {
      dht->leave([left] { left->set_value(); });
    } else {
      left->set_value();
    }
  }));
  if (order > 0) static_cast<void>(writer->write_now(order, last));
  leaving.wait_for(kLeaveAtMost);
  static_cast<void>(loop.call_and_wait([this] {
    node.reset();
    directory.reset();
    dht.reset();
    transport.reset();
  }));
  loop.stop();
  writer.reset();
}

Result<std::unique_ptr<EdgeNode>> EdgeNode::start(EdgeNodeOptions options) {
  net::NewState made(options.state_dir, {"snapshot", "key.pem"});
  auto state = std::make_unique<State>(std::move(options));
  if (auto opened = state->open(); !opened) {
    state.reset();  // with its lock, before what it made is taken back
    return tl::unexpected(opened.error());
  }
  made.keep();
  return std::unique_ptr<EdgeNode>(new EdgeNode(std::move(state)));
}

EdgeNode::EdgeNode(std::unique_ptr<State> state) : state_(std::move(state)) {}
EdgeNode::~EdgeNode() = default;

Result<node::Outcome> EdgeNode::process(const Sample& sample) {
  return state_->loop.call_and_wait([&] { return state_->node->process(sample.x, sample.label); });
}

Result<std::vector<node::Outcome>> EdgeNode::process(std::span<const Sample> samples) {
  return state_->loop.call_and_wait([&]() -> Result<std::vector<node::Outcome>> {
    std::vector<node::Outcome> outcomes;
    outcomes.reserve(samples.size());
    for (const auto& sample : samples) {
      auto outcome = state_->node->process(sample.x, sample.label);
      if (!outcome) return tl::unexpected(outcome.error());
      outcomes.push_back(*outcome);
    }
    return outcomes;
  });
}

Result<node::Outcome> EdgeNode::label(std::uint64_t ticket, learner::ClassIndex label) {
  return state_->loop.call_and_wait([&] { return state_->node->label(ticket, label); });
}

Result<learner::ClassIndex> EdgeNode::predict(std::span<const float> x) const {
  return state_->loop.call_and_wait([&] { return state_->node->predict(x); });
}

EdgeNodeStatus EdgeNode::status() const {
  EdgeNodeStatus status;
  status.name = state_->options.name;
  if (state_->key) status.id = state_->key->id().hex();
  status.task_id = to_hex(metadata::id(state_->options.task).view());
  status.uptime_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - state_->started).count();
  if (state_->writer) status.last_snapshot_error = state_->writer->last_error();
  static_cast<void>(state_->loop.call_and_wait([&] {
    if (state_->dht) {
      status.dht = state_->dht->local();
      status.overlay = state_->dht->stats();
    }
    if (state_->transport) {
      const auto links = state_->transport->stats();
      status.link = state_->transport->local();
      status.handshakes = links.connected + links.accepted;
      status.resumed_handshakes = links.connected_resumed + links.accepted_resumed;
    }
    status.node = state_->node->status();
    status.traffic = state_->node->traffic();
    status.peers = state_->node->peers();
  }));
  return status;
}

std::vector<node::DriftReport> EdgeNode::drifts() const {
  return state_->loop.call_and_wait([&] { return state_->node->drifts(); })
      .value_or(std::vector<node::DriftReport>{});
}

directory::LookupResult EdgeNode::lookup() const {
  P2P_ASSERT(!state_->loop.on_loop_thread());  // it would wait for itself
  auto answer = std::make_shared<Answer<directory::LookupResult>>();
  auto result = answer->future();
  static_cast<void>(state_->loop.call_and_wait(
      [&] { state_->node->lookup([answer](directory::LookupResult found) { answer->give(std::move(found)); }); }));
  answer.reset();
  const auto limit = state_->options.node.lookup.deadline + std::chrono::seconds(5);
  return result.wait_for(limit) == std::future_status::ready ? result.get() : directory::LookupResult{};
}

Result<directory::Standing> EdgeNode::standing() const {
  return state_->loop.call_and_wait([&]() -> Result<directory::Standing> {
    if (!state_->directory) return tl::unexpected(no_directory());
    return state_->directory->standing();
  });
}

Result<directory::Bucket> EdgeNode::read_bucket(const metadata::Place& place) const {
  P2P_ASSERT(!state_->loop.on_loop_thread());  // it would wait for itself
  constexpr auto kWithin = std::chrono::seconds(8);
  auto answer = std::make_shared<Answer<Result<directory::Bucket>>>(
      fail(ErrorCode::unavailable, "the node is ending and could not read the bucket any more"));
  auto result = answer->future();
  auto asked = state_->loop.call_and_wait([&]() -> Result<void> {
    if (!state_->directory) return tl::unexpected(no_directory());
    state_->directory->read(place, [answer](Result<directory::Bucket> bucket) { answer->give(std::move(bucket)); });
    return {};
  });
  answer.reset();
  if (!asked) return tl::unexpected(asked.error());
  if (state_->options.registry) return result.get();
  const auto before = table();
  const auto begun = std::chrono::steady_clock::now();
  // Where there is nobody to ask, nobody is waited for.
  const bool nobody = before.known_nodes == 0 && state_->options.seeds.empty();
  const auto waited = [&] { return std::chrono::duration_cast<overlay::Duration>(std::chrono::steady_clock::now() - begun); };
  const auto silent = [&] { return table().received_packets == before.received_packets; };
  while (result.wait_for(std::chrono::milliseconds(20)) != std::future_status::ready) {
    if (waited() >= (nobody ? overlay::Duration{} : kSilence) && silent()) return tl::unexpected(silence(waited()));
    if (waited() >= kWithin) {
      return fail(ErrorCode::timeout, "the table did not answer in time: see whether this node has joined (`p2p-learner status`)");
    }
  }
  auto bucket = result.get();
  if (!bucket && bucket.error().code == ErrorCode::unavailable && silent()) return tl::unexpected(silence(waited()));
  return bucket;
}

bool EdgeNode::has_table() const { return !state_->options.isolated && !state_->options.registry; }

overlay::DhtStats EdgeNode::table() const {
  return state_->loop.call_and_wait([&] { return state_->dht ? state_->dht->stats() : overlay::DhtStats{}; })
      .value_or(overlay::DhtStats{});
}

Error EdgeNode::silence(overlay::Duration waited) const {
  constexpr std::size_t kNamed = 3;
  const double seconds = std::chrono::duration<double>(waited).count();
  if (state_->options.registry) {
    return {ErrorCode::unavailable,
            fmt::format("the registry at {} did not answer within {:.1f} s: is `p2p-learner registry` running there?",
                        state_->options.registry->text(), seconds),
            {}};
  }
  auto asked = state_->options.seeds;
  if (const auto now = standing()) {
    for (const auto& contact : now->contacts) asked.push_back(contact.entry.table_endpoint().text());
  }
  std::sort(asked.begin(), asked.end());
  asked.erase(std::unique(asked.begin(), asked.end()), asked.end());
  if (asked.empty()) {
    return {ErrorCode::unavailable,
            fmt::format("no node of the overlay answers: this one names no seeds, and nobody who has joined it is known; start "
                        "another with seeds = [\"{}\"]",
                        status().dht.text()),
            {}};
  }
  const auto within = seconds > 0 ? fmt::format("answered within {:.1f} s", seconds) : std::string("answers");
  const auto more = asked.size() > kNamed ? fmt::format(" and {} more", asked.size() - kNamed) : std::string();
  asked.resize(std::min(asked.size(), kNamed));
  return {ErrorCode::unavailable,
          fmt::format("no node of the overlay {} at {}{}: is one running there, is UDP open on the way?", within,
                      fmt::join(asked, ", "), more),
          {}};
}

Result<metadata::Fingerprint> EdgeNode::fingerprint() const {
  return state_->loop.call_and_wait([&] { return state_->node->fingerprint(); });
}

Result<void> EdgeNode::lookup(const metadata::Need& need, directory::LookupOptions how,
                              std::function<void(directory::LookupResult)> done) const {
  return state_->loop.call_and_wait([&]() -> Result<void> {
    if (!state_->directory) return tl::unexpected(no_directory());
    state_->directory->lookup(need, how, std::move(done));
    return {};
  });
}

Result<std::uint64_t> EdgeNode::watch(const metadata::Need& need, double within,
                                      std::function<void(const directory::Candidate&)> on_candidate) const {
  return state_->loop.call_and_wait([&]() -> Result<std::uint64_t> {
    if (!state_->directory) return tl::unexpected(no_directory());
    const auto number = state_->directory->watch(need, within, std::move(on_candidate));
    if (number == 0) return fail(ErrorCode::limit_exceeded, "this node holds as many watches as it can; end one first");
    return number;
  });
}

void EdgeNode::unwatch(std::uint64_t number) const {
  static_cast<void>(state_->loop.call_and_wait([&] {
    if (state_->directory) state_->directory->unwatch(number);
  }));
}

template <typename Change>
Result<void> EdgeNode::changed(Change change) {
  auto done = state_->loop.call_and_wait(change);
  // What the operator did must outlive a crash. A write that fails is told by status(), and tried again.
  if (done && state_->writer) static_cast<void>(save());
  return done;
}

Result<void> EdgeNode::rollback(std::uint64_t drift) {
  return changed([&] { return state_->node->rollback(drift); });
}

Result<void> EdgeNode::redo(std::uint64_t drift) {
  return changed([&] { return state_->node->redo(drift); });
}

Result<void> EdgeNode::save() {
  if (!state_->writer) {
    return fail(ErrorCode::invalid_argument, "this node has no state directory to save to");
  }
  std::uint64_t order = 0;
  auto bytes = state_->loop.call_and_wait([&] {
    order = ++state_->snapshots;
    return state_->node->snapshot();
  });
  if (!bytes) return tl::unexpected(bytes.error());
  return state_->writer->write_now(order, *bytes);
}

}  // namespace p2p::host

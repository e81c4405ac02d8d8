#include "overlay/sim/simulation.hpp"

#include <algorithm>

#include "metadata/base/error.hpp"
#include "overlay/sim/world.hpp"

namespace p2p::sim {

namespace {

/// The true time at which every simulation starts: 2026-01-01 00:00 UTC.
constexpr std::uint64_t kStartMs = 1'767'225'600'000ull;

class QueueTimer final : public overlay::Executor::Timer {
 public:
  QueueTimer(EventQueue& queue, EventQueue::Ticket ticket) : queue_(queue), ticket_(ticket) {}
  ~QueueTimer() override { queue_.cancel(ticket_); }

 private:
  EventQueue& queue_;
  EventQueue::Ticket ticket_;
};

class NoTimer final : public overlay::Executor::Timer {};

}  // namespace

TimePoint HostExecutor::now() const { return run_.world.queue.now(); }

std::uint64_t HostExecutor::wall_ms() const {
  const auto true_ms = static_cast<std::int64_t>(kStartMs) + now().us / 1000;
  return static_cast<std::uint64_t>(true_ms + run_.host.clock_offset.count());
}

void HostExecutor::post(std::function<void()> task) {
  if (run_.alive) run_.world.queue.at(now(), run_.owner, std::move(task));
}

overlay::Executor::TimerHandle HostExecutor::after(Duration delay, std::function<void()> task) {
  if (!run_.alive) return std::make_unique<NoTimer>();
  const auto ticket = run_.world.queue.at(now() + delay, run_.owner, std::move(task));
  return std::make_unique<QueueTimer>(run_.world.queue, ticket);
}

// ---- World

bool World::reachable(const HostState& a, const HostState& b) const {
  return a.up() && b.up() && (!partitioned || a.group == b.group);
}

Duration World::latency(const HostState& a, const HostState& b) {
  if (a.index == b.index) return 50us;
  const std::uint64_t pair = std::min(a.index, b.index) * 1'000'003ull + std::max(a.index, b.index);
  const auto range = std::max<std::int64_t>(0, (network.latency_high - network.latency_low).count());
  auto us = network.latency_low.count() +
            static_cast<std::int64_t>(Random(seed).fork(pair).uniform() * static_cast<double>(range));
  if (network.jitter.count() > 0) {
    us += static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(network.jitter.count())));
  }
  return Duration(us);
}

// ---- Host

const std::string& Host::name() const { return state_.name; }
std::size_t Host::index() const { return state_.index; }
const KeyPair& Host::key() const { return state_.key; }
const NodeId& Host::id() const { return state_.key.id(); }
const Endpoint& Host::endpoint() const { return state_.endpoint; }
std::string Host::seed() const { return state_.endpoint.text(); }
bool Host::up() const { return state_.up(); }
overlay::Executor& Host::executor() { return state_.run().executor; }
overlay::Transport& Host::transport() { return state_.run().transport; }
overlay::Dht& Host::dht() { return state_.run().table; }

void Host::crash(Crash how) {
  if (!up()) return;
  Run& run = state_.run();
  state_.world->note(state_, how == Crash::process ? "process crash" : "power crash");
  state_.world->enrol(run, 0);
  run.alive = false;
  drop_connections(run, how == Crash::power);
  run.transport.accept = nullptr;
  run.table.datagram_handler = nullptr;
  run.table.values.clear();
  run.table.texts.clear();
  state_.world->queue.drop(run.owner);
}

void Host::restart() {
  if (up()) crash();
  state_.world->note(state_, "restart");
  state_.stalled = false;
  state_.runs.push_back(
      std::make_unique<Run>(*state_.world, state_, state_.world->next_owner++));
}

void Host::set_group(unsigned group) { state_.group = group; }
void Host::set_clock_offset(std::chrono::milliseconds offset) { state_.clock_offset = offset; }
void Host::set_table_liar(bool liar) { state_.liar = liar; }

void Host::stall_links(bool stalled) {
  state_.stalled = stalled;
  if (!stalled) pump_connections(state_.run());
}

std::size_t Host::stored_values() const { return state_.run().table.stats().stored_values; }

// ---- Simulation

Simulation::Simulation(std::uint64_t seed) : world_(std::make_unique<World>(seed)) {}

Simulation::~Simulation() {
  // Whatever closures and handlers hold goes while the world is still whole.
  forget_connections(*world_);
  world_->queue.clear();
  for (auto& host : world_->hosts) {
    for (auto& run : host->runs) {
      run->transport.accept = nullptr;
      run->table.datagram_handler = nullptr;
    }
  }
}

Host& Simulation::add_host(HostOptions options) {
  const std::size_t index = world_->hosts.size();
  P2P_ASSERT(index < 1u << 24);
  std::array<std::uint8_t, 32> key_seed{};
  Random random = Random(world_->seed).fork(0x6b6579).fork(index + 1);
  for (auto& byte : key_seed) byte = static_cast<std::uint8_t>(random.next());

  auto state = std::make_unique<HostState>(*world_, index, KeyPair::from_seed(key_seed));
  state->name = std::move(options.name);
  if (state->name.empty()) state->name.append("h").append(std::to_string(index));
  state->endpoint.host = "10";
  for (const int shift : {16, 8, 0}) {
    state->endpoint.host.append(".").append(std::to_string(index >> shift & 255));
  }
  state->endpoint.port = 4000;
  const auto table_id = metadata::sha256(state->key.id().view());
  std::copy_n(table_id.bytes.begin(), state->table_id.size(), state->table_id.begin());
  state->group = options.group;
  state->clock_offset = options.clock_offset;
  state->runs.push_back(std::make_unique<Run>(*world_, *state, world_->next_owner++));
  state->face = std::make_unique<Host>(*state);
  world_->by_endpoint[state->endpoint.text()] = state.get();
  world_->hosts.push_back(std::move(state));
  return *world_->hosts.back()->face;
}

Host& Simulation::host(std::size_t index) {
  P2P_ASSERT(index < world_->hosts.size());
  return *world_->hosts[index]->face;
}

std::size_t Simulation::hosts() const { return world_->hosts.size(); }
NetworkOptions& Simulation::network() { return world_->network; }
TableOptions& Simulation::table() { return world_->table; }
EventLog& Simulation::log() { return world_->log; }
std::uint64_t Simulation::seed() const { return world_->seed; }
TimePoint Simulation::now() const { return world_->queue.now(); }
std::uint64_t Simulation::events() const { return world_->queue.ran(); }

void Simulation::partition() {
  world_->partitioned = true;
  world_->log.add(now(), "network", "partition");
}

void Simulation::heal() {
  world_->partitioned = false;
  world_->log.add(now(), "network", "heal");
}

void Simulation::at(TimePoint when, std::function<void()> call) {
  world_->queue.at(when, EventQueue::kNobody, std::move(call));
}

void Simulation::check_always(std::function<void()> check) { world_->check = std::move(check); }

void Simulation::run_for(Duration time) {
  const TimePoint limit = now() + time;
  while (world_->queue.run_next(limit)) {
    if (world_->check) world_->check();
  }
}

bool Simulation::run_until(const std::function<bool()>& condition, Duration limit) {
  const TimePoint end = now() + limit;
  while (!condition()) {
    if (!world_->queue.run_next(end)) return condition();
    if (world_->check) world_->check();
  }
  return true;
}

}  // namespace p2p::sim

// One central service that knows all nodes: the baseline that an overlay without one has to beat.
#pragma once

#include <cstdint>
#include <memory>

#include "overlay/directory/registry_table.hpp"
#include "overlay/executor.hpp"
#include "overlay/transport.hpp"

namespace p2p::directory {

/// Bounds on what peers can make a registry do. Every one has a test.
struct RegistryServerOptions {
  registry::Table::Limits table;
  std::size_t links = 16'384;               ///< open at once; one per key. A hostile one can hold 1 MB
  std::size_t requests_per_link = 16;       ///< unanswered; more end the link
  std::size_t requests_per_second = 50;     ///< per key; more are answered "busy", twice as many end the link
  /// Of all together: a lookup compares with every node of its task (by class shares as often as it has classes / 3),
  /// and counts kCost at least, as a publication does. About one core.
  std::size_t comparisons_per_second = 5'000'000;
  std::size_t watches_per_peer = 4;
  std::size_t watch_bytes = 64u << 20;      ///< of all watches together
  Duration greet_timeout = 5s;
  Duration idle_timeout = std::chrono::minutes(5);  ///< without a word; a client says one a minute

  static constexpr std::size_t kCost = 2000;
};

struct RegistryStats {
  std::size_t nodes = 0, tasks = 0, links = 0, watches = 0;
  std::size_t bytes = 0;  ///< of the table
  std::uint64_t publications = 0, lookups = 0, pushes = 0, refused = 0;
};

/// Answers who is like whom, to whoever asks. Cartel (Daga et al., SoCC 2019) calls it the metadata service.
///
/// Trust: a link's proven key can list itself and nobody else, and what it lists follows from what it signed. Clients
/// check all signatures again, so that a registry can leave nodes out and not invent them. Keys cost nothing: whoever
/// makes many can fill the table, until limits.table.nodes; that is what a central service without accounts is.
/// What it knows is in memory only: after a restart it hears of everybody within the clients' time to reconnect.
/// Bounds: RegistryServerOptions. Refusals are answers with a reason; only broken protocol ends a link.
/// Thread: the executor's.
class RegistryServer {
 public:
  /// Starts nothing; listen() does.
  RegistryServer(overlay::Executor& executor, overlay::Transport& transport, const RegistryServerOptions& options = {});
  /// Ends all links.
  ~RegistryServer();
  RegistryServer(const RegistryServer&) = delete;
  RegistryServer& operator=(const RegistryServer&) = delete;

  void listen();
  RegistryStats stats() const;
  /// Says goodbye to everybody and takes nobody any more.
  void shutdown();

 private:
  class State;
  std::shared_ptr<State> state_;
};

}  // namespace p2p::directory

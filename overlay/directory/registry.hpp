// The directory at one central registry: the baseline, and the way for places that want no DHT.
#pragma once

#include <functional>
#include <memory>

#include "overlay/directory/directory.hpp"
#include "overlay/directory/registry_messages.hpp"
#include "overlay/transport.hpp"

namespace p2p::directory {

struct RegistryContext {
  Executor& executor;
  overlay::Transport& transport;
  const metadata::Task& task;
  const metadata::KeyPair& key;
  std::function<Endpoint()> endpoint;  ///< where peers link to this node; port 0: nowhere yet
};
struct RegistryOptions {
  Endpoint registry;
  NodeId registry_key;  ///< what it must prove to hold
  registry::Similarity similarity = registry::Similarity::embedding;
  Duration report_every = std::chrono::minutes(15);  ///< of what is published, which lives 20 min; -20 % jitter
  Duration ping_every = std::chrono::seconds(60);    ///< on a quiet link: a registry that went away in silence
  Duration connect_timeout = 2s;
  Duration request_timeout = 5s;   ///< then the link is given up
  Duration backoff_low = 500ms;    ///< before connecting again; doubles up to the high one, +-20 %
  Duration backoff_high = 30s;
  /// What keeps this node from being listed or from finding anybody, for people: once per reason, until it works again.
  std::function<void(const Error&)> on_trouble = {};
};

/// The directory at a registry (registry_server.hpp): one link, kept open and made again when it breaks, on which all is
/// asked and told. Nothing is connected before the first use.
///
/// Trust: entries and fingerprints by their nodes' signatures, distances by computing them here. A registry can leave
/// nodes out, show old entries of theirs (a node at an old address proves itself or is not reached), and see who asks.
/// LookupResult: `questions` to the registry, most often one; `datagram_bytes` of frames on the link, both ways.
/// Lookups that find no link wait for one until their deadline.
/// Entry::table_port is the link's own: there is no table.
std::unique_ptr<Directory> make_registry_directory(const RegistryContext& context, const RegistryOptions& options);

}  // namespace p2p::directory

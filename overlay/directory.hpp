// Who is there that has seen what I see? One interface; on the DHT, or nobody at all.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "metadata/record.hpp"
#include "metadata/similarity.hpp"
#include "metadata/task.hpp"
#include "overlay/dht.hpp"
#include "overlay/executor.hpp"

namespace p2p::overlay {

struct Candidate {
  metadata::Entry entry;
  double sketch_distance = 0;  ///< to the query, 0 .. 1
  double needed_recall = 0;    ///< mean listed recall over the needed classes
  std::size_t seen_in = 0;     ///< buckets that listed it
};

struct LookupOptions {
  std::size_t want = 5;
  Duration deadline = 600ms;  ///< what has come by then is the answer
  /// Nodes that are not wanted, however well they rank: they take nobody's place. May be empty.
  std::function<bool(const metadata::NodeId&)> skip;
};

/// What a lookup found and what it cost.
struct LookupResult {
  std::vector<Candidate> candidates;  ///< best first, at most `want`, never the asker itself
  std::size_t skipped = 0;            ///< found, and not wanted
  std::size_t gets = 0;               ///< keys read
  std::size_t values = 0;             ///< records received
  std::size_t refused = 0;            ///< of these: not valid, or not of this task
  Duration took{};
};

/// Finds nodes of one task by what they have learned.
class Directory {
 public:
  virtual ~Directory() = default;
  /// Makes this experience known, instead of what was known before; kept fresh until withdrawn.
  virtual void publish(const metadata::Fingerprint& fingerprint) = 0;
  virtual void withdraw() = 0;
  /// Exactly one call of `done`, after the deadline at the latest.
  virtual void lookup(const metadata::Need& need, const LookupOptions& options,
                      std::function<void(LookupResult)> done) = 0;
};

/// Nobody: the isolated learner's directory. Every lookup is empty, at once.
std::unique_ptr<Directory> make_no_directory(Executor& executor);

/// The directory on a DHT: one signed entry per bucket, refreshed with jitter before it expires; a lookup reads
/// its buckets in parallel and ranks what comes by sketch, needed recall and freshness.
///
/// Trust: entries are believed only as far as their signature goes; what they claim is checked by whoever uses
/// them. One entry counts per node, the newest.
struct DhtDirectoryOptions {
  metadata::IndexOptions index;
  Duration refresh = std::chrono::minutes(8);   ///< entries live 20 min; +-20 % jitter
  std::size_t max_values_per_key = 64;          ///< what one bucket may make us verify
  std::string node_name;                        ///< shown in the readable twin
};
struct DirectoryContext {
  Executor& executor;
  Dht& dht;
  const metadata::Task& task;
  const metadata::KeyPair& key;
  std::function<metadata::Endpoint()> endpoint;  ///< where peers reach this node
};
std::unique_ptr<Directory> make_dht_directory(const DirectoryContext& context,
                                              const DhtDirectoryOptions& options);

}  // namespace p2p::overlay

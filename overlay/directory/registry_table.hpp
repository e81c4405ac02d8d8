// What a registry holds: the nodes of each task, and the ranking of all of them.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "metadata/record.hpp"
#include "overlay/directory/directory.hpp"
#include "overlay/directory/registry_messages.hpp"

namespace p2p::directory::registry {

/// Fingerprints can be compared within one of these only. A task's id fixes the rest; but the registry knows no tasks, and
/// whoever publishes first with a wrong shape must not keep the others out.
struct Shape {
  metadata::TaskId task;
  std::uint32_t dimensions = 0, classes = 0;
  auto operator<=>(const Shape&) const = default;
};

/// A checked question.
struct Question {
  Shape shape;
  Similarity similarity = Similarity::embedding;
  metadata::Need need;
};
/// `bad_request` of the server: the fingerprint or the classes cannot be.
Result<Question> read_question(const Query& query);

/// A presence of a node as it is listed.
struct Listed {
  Shape shape;
  metadata::Entry entry;
  metadata::Fingerprint fingerprint;
  metadata::Sketch sketch;  ///< of the fingerprint, made here
  Row sealed;
  TimePoint expires;
};

/// The distance that a question asks for, in full: plain_distance or prior_divergence; 0 where the question has no
/// experience. Client and server use the same.
double distance(const Question& question, const metadata::Fingerprint& other);
/// Is this what a watch waits for? Without experience: a node that knows the wanted classes.
bool near(const Question& question, double within, const metadata::Entry& entry, const metadata::Fingerprint& other);

/// The presences of the nodes of all tasks.
///
/// Ranking is brute force over all nodes of the task, which is what a central service can afford and the table of a DHT
/// cannot (tests/directory/bench_registry). Sketches rank all, side by side; the true distance then
/// ranks the best of these, as many as have kExactNumbers numbers to compare, and kExact at least. By class shares
/// everything is exact.
///
/// Bounds: presences, tasks per node, archived presences per node and task (metadata::kMostArchived), and bytes as they lie in memory, the projections of tasks included. Who is full
/// takes no new node until others have expired: live nodes are not pushed out.
/// Errors of publish(): `full`; `untrusted` (signature, stamp, what does not follow from the fingerprint), `malformed`,
/// `version`.
class Table {
 public:
  struct Limits {
    std::size_t nodes = 100'000;       ///< of all tasks, each presence of one counted
    std::size_t bytes = 512u << 20;
    std::size_t tasks_per_node = 4;
    Duration life = std::chrono::minutes(20);  ///< after the last publication
  };
  static constexpr std::size_t kExact = 64;
  static constexpr std::size_t kExactNumbers = 1u << 18;  ///< about a quarter of a millisecond

  explicit Table(const Limits& limits) : limits_(limits) {}

  struct Moment {
    TimePoint now;
    std::uint64_t wall_ms = 0;
  };
  /// Lists what `node`, which has proven its key, says of itself. The result is valid until the next change.
  Result<const Listed*> publish(const metadata::NodeId& node, const Publish& message, const Moment& moment);
  /// `concept_id`: that presence alone.
  void withdraw(const metadata::NodeId& node, const metadata::TaskId& task, std::optional<std::uint32_t> concept_id = {});
  void expire(TimePoint now);

  struct Ranking {
    std::size_t known = 0;  ///< nodes
    bool more = false;
    std::vector<const Listed*> best;  ///< valid until the next change
  };
  /// `excluded`: by what presences go by.
  Ranking rank(const Question& question, std::size_t want, const std::set<metadata::NodeId>& excluded, TimePoint now);
  /// What a node's presences there go by.
  std::set<metadata::NodeId> presences(const metadata::NodeId& node, const Shape& shape) const;

  /// Where questions of this shape look: how many nodes they have to compare.
  std::size_t nodes_of(const Shape& shape) const;
  std::size_t nodes() const { return nodes_; }
  std::size_t tasks() const { return shelves_.size(); }
  std::size_t bytes() const { return bytes_; }

 private:
  /// What ranking looks at in every row.
  struct Digest {
    explicit Digest(const Listed& row);
    metadata::Sketch sketch;
    std::array<std::uint8_t, metadata::Entry::kMaxListedClasses> recall{};
    TimePoint expires;
    bool live = true;  // else archived
  };
  struct Shelf {
    metadata::Sketcher sketcher;
    std::vector<Listed> rows = {};
    std::vector<Digest> digests = {};  // of the rows
    std::map<metadata::NodeId, std::size_t> where = {};  // by presence
  };
  void remove(Shelf& shelf, std::size_t at);
  void forget_empty(const Shape& shape);
  void forget(const metadata::NodeId& node, const Shape& shape, const metadata::NodeId& presence);

  const Limits limits_;
  std::map<Shape, Shelf> shelves_;
  std::map<metadata::NodeId, std::map<Shape, std::set<metadata::NodeId>>> listed_;  // presences of each node
  std::vector<std::pair<double, std::uint32_t>> scores_;  // kept between questions for its memory
  std::size_t nodes_ = 0, bytes_ = 0;
};

}  // namespace p2p::directory::registry

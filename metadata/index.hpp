// Similarity search on exact keys: locality-sensitive hashing with multi-probe.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "metadata/fingerprint.hpp"
#include "metadata/task.hpp"

namespace p2p::metadata {

/// A key of the DHT.
using DhtKey = std::array<std::uint8_t, 20>;

/// Signs of 256 random projections of the fingerprint: 32 bytes whose Hamming distance tells the angle.
/// Reference: Charikar, "Similarity Estimation Techniques from Rounding Algorithms", STOC 2002.
struct Sketch {
  std::array<std::uint8_t, 32> bits{};
  bool operator==(const Sketch&) const = default;
};
/// Angle between the sketched vectors in [0, 1] (1: opposite): Hamming distance / 256.
double sketch_distance(const Sketch& a, const Sketch& b);

/// A bucket of the index. The signed record names it, so that nobody can move a record to another bucket.
struct Place {
  enum class Kind : std::uint8_t {
    joint = 0,  ///< nodes whose joint embedding hashes alike, table `table`
    label = 1,  ///< nodes that know class `table` well
  };
  Kind kind = Kind::joint;
  std::uint16_t table = 0;
  std::uint8_t depth = 0;    ///< bits of prefix in use
  std::uint32_t prefix = 0;  ///< the lowest `depth` bits
  auto operator<=>(const Place&) const = default;
};

struct IndexOptions {
  std::uint16_t tables = 4;
  std::uint8_t depth = 2;    ///< bits of prefix; 2^depth buckets per table
  std::uint8_t probes = 3;   ///< buckets read per table: the own one and the nearest misses
  double label_accuracy = 0.5;   ///< a node is listed under a class from this recall on
  double label_count = 20;       ///< and from this many samples on
};

/// The index of one task: the projections come from its id, so that all its nodes agree.
class Index {
 public:
  Index(const TaskId& task, std::uint32_t dimensions, std::uint32_t classes, const IndexOptions& options);

  Sketch sketch(const Fingerprint& fingerprint) const;
  /// Where a node of this fingerprint is to be found: one bucket per table, one per class that it knows.
  std::vector<Place> publish_places(const Fingerprint& fingerprint) const;
  /// Where to look for nodes like it, likeliest first; with `classes`, their buckets before the rest.
  /// Multi-probe: Lv, Josephson, Wang, Charikar, Li, VLDB 2007 (query-directed, by distance to the plane).
  std::vector<Place> query_places(const Fingerprint& fingerprint,
                                  std::span<const std::int32_t> classes) const;
  DhtKey key(const Place& place) const;
  const IndexOptions& options() const { return options_; }

 private:
  std::vector<float> projections(const Fingerprint& fingerprint) const;
  TaskId task_;
  std::uint32_t dimensions_, classes_;
  IndexOptions options_;
  std::vector<float> planes_;  // (256 x D*K) signs or normals
};

/// DHT key of the readable twin of a node (`p2p-learner/node/<first 16 hex digits>`): SHA-1 of that text, as
/// OpenDHT's own tools derive keys from text.
std::string twin_name(const NodeId& node);
DhtKey text_key(std::string_view name);

}  // namespace p2p::metadata

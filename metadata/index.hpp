// Similarity search on exact keys: locality-sensitive hashing with multi-probe.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "metadata/fingerprint.hpp"
#include "metadata/task.hpp"

namespace p2p::metadata {

/// A key of the DHT.
using DhtKey = std::array<std::uint8_t, 20>;

/// Signs of 256 random projections of the joint embedding: 32 bytes whose Hamming distance tells the angle.
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

/// Where the entries of a bucket are kept (FORMAT.md). Depends on nothing but the task and the place, so that a
/// holder can check it.
DhtKey place_key(const TaskId& task, const Place& place);
/// Depth within 32 bits, prefix within its depth, and a label bucket has neither.
bool valid(const Place& place);

/// The index of one task: the projections come from its id, so that all its nodes agree.
///
/// Projections are rows of H S3 H S2 H S1 (H: Hadamard, S: random signs), padded to a power of two, instead of
/// independent normals: O(n log n) time and 3 n signs of memory for n = D*K, where a table of normals for
/// 200 classes would take 6 MB; rows are orthogonal, which makes the sketch a little sharper; and there is no
/// logarithm or cosine in them whose last bit depends on the machine.
///
/// Planes go through the origin: the embedding is not centred. The only centre that nodes agree on without a word
/// is their own mean over classes; on digits, hashing less that mean made buckets smaller and lost recall, and
/// deeper prefixes of the embedding as it is did better at equal numbers of candidates (README.md has the table).
/// Reference: Andoni, Indyk, Laarhoven, Razenshteyn, Schmidt, "Practical and Optimal LSH for Angular Distance",
/// NIPS 2015, section 4 (pseudo-random rotations).
class Index {
 public:
  Index(const TaskId& task, std::uint32_t dimensions, std::uint32_t classes, const IndexOptions& options);

  Sketch sketch(const Fingerprint& fingerprint) const;
  /// Where a node of this fingerprint is to be found: one bucket per table, one per class that it knows. Nowhere
  /// while it has no samples.
  std::vector<Place> publish_places(const Fingerprint& fingerprint) const;
  /// Where to look for nodes like it, likeliest first; with `classes`, their buckets before the rest.
  /// Multi-probe: Lv, Josephson, Wang, Charikar, Li, VLDB 2007 (query-directed, by distance to the plane).
  std::vector<Place> query_places(const Fingerprint& fingerprint,
                                  std::span<const std::int32_t> classes) const;
  DhtKey key(const Place& place) const { return place_key(task_, place); }
  const IndexOptions& options() const { return options_; }

 private:
  /// The fingerprint's joint embedding on planes first .. first + count - 1.
  std::vector<float> project(const Fingerprint& fingerprint, std::size_t first, std::size_t count) const;

  TaskId task_;
  std::uint32_t dimensions_, classes_;
  IndexOptions options_;
  std::size_t padded_ = 0;           // power of two, >= D*K: planes per rotation
  std::vector<std::int8_t> signs_;   // per rotation: 3 x padded_ of +-1
};

/// DHT key of the readable twin of a node (`p2p-learner/node/<first 16 hex digits>`): SHA-1 of that text, as
/// OpenDHT's own tools derive keys from text.
std::string twin_name(const NodeId& node);
DhtKey text_key(std::string_view name);

}  // namespace p2p::metadata

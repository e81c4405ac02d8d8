// Similarity search on exact keys: a sketch of the fingerprint that ranks, and the buckets that it falls into.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "metadata/fingerprint.hpp"
#include "metadata/similarity.hpp"
#include "metadata/task.hpp"

namespace p2p::metadata {

/// A key of the DHT.
using DhtKey = std::array<std::uint8_t, 20>;

/// What a fingerprint looks like in 162 bytes: random projections of its marginal and of its joint embedding, at eight
/// bits each, so that distances between sketches estimate distances between fingerprints.
///
/// With 64 joint coordinates the ten nearest were among the first 24 by sketch only in 97 of 100 cases, which bounded what a lookup found;
/// with 128 in 99 and more, and where a task has at most as many (D*K), nothing is projected away. What else as many
/// bytes could hold was tried on four real streams (in a prototype; tests/directory/bench_index prints what signs alone
/// do): more coordinates of fewer bits rank images a little better, and fail where fingerprints are crowded, as those of
/// overlapping windows of one stream are: there they differ by less than a step. Signs alone (Charikar, STOC 2002) tell
/// the angle only and are worst on all.
/// Reference: Johnson, Lindenstrauss, "Extensions of Lipschitz mappings into a Hilbert space", 1984.
struct Sketch {
  static constexpr std::size_t kMarginal = 32;  ///< coordinates of the marginal embedding
  static constexpr std::size_t kJoint = 128;    ///< and of the joint one
  static constexpr std::size_t kBytes = 2 + kMarginal + kJoint;

  /// Scale of the marginal and of the joint coordinates (in eighths of an octave), then the levels, two's complement: a
  /// coordinate is level * 2^((scale - 192) / 8).
  std::array<std::uint8_t, kBytes> bytes{};

  std::int8_t level(std::size_t i) const { return static_cast<std::int8_t>(bytes[2 + i]); }
  auto operator<=>(const Sketch&) const = default;
};
/// Estimates joint_distance() and marginal_distance() of the sketched fingerprints.
double joint_distance(const Sketch& a, const Sketch& b);
double marginal_distance(const Sketch& a, const Sketch& b);
/// The joint coordinates by themselves: linear in the fingerprint's embedding but for their rounding.
std::array<float, Sketch::kJoint> joint_coordinates(const Sketch& sketch);

/// What there is room for where others speak of a node: the first 32 joint coordinates at four bits. Too coarse to tell near
/// from nearer; enough to tell which classes make up a mixture (Cover).
struct Outline {
  static constexpr std::size_t kJoint = 32;
  static constexpr std::size_t kBytes = 1 + kJoint / 2;

  /// A scale as a sketch has it, then two levels a byte, -7 .. 7, the first one in the low half.
  std::array<std::uint8_t, kBytes> bytes{};
  auto operator<=>(const Outline&) const = default;
};
using OutlineCoordinates = std::array<float, Outline::kJoint>;
/// Their squares sum to the squared length of the joint embedding on average. Of a sketch: before they are rounded.
OutlineCoordinates outline_coordinates(const Sketch& sketch);
OutlineCoordinates outline_coordinates(const Outline& outline);
Outline outline_of(const Sketch& sketch);

/// Which classes a node knows well enough to be asked about them, folded onto 64 bits: class c is bit c % 64.
using ClassMask = std::uint64_t;
ClassMask class_mask(std::span<const std::int32_t> classes);

/// A need in as few bytes as travel with a question.
struct Target {
  By by = By::joint;
  Sketch sketch;
  ClassMask classes = 0;  ///< wanted; none: whatever is near
  bool blank = false;     ///< the need has no experience yet: only the classes count
  bool operator==(const Target&) const = default;
};
/// How far a node of this sketch and these classes is from what is wanted, about 0 .. 3; lower is nearer. The distance
/// that the need asks for, and what it lacks of the wanted classes on top.
double remoteness(const Target& target, const Sketch& sketch, ClassMask knows);

/// A bucket of the index.
struct Place {
  enum class Kind : std::uint8_t {
    joint = 0,     ///< nodes whose joint embeddings hash alike, table 0 .. kJointTables - 1
    label = 1,     ///< nodes that know class `table` well; depth and prefix are 0
    marginal = 2,  ///< nodes whose marginal embeddings hash alike, table 0
  };
  Kind kind = Kind::joint;
  std::uint16_t table = 0;
  std::uint8_t depth = 0;    ///< bits of prefix in use, a multiple of kLevelBits, up to kMaxDepth
  std::uint32_t prefix = 0;  ///< the lowest `depth` bits
  auto operator<=>(const Place&) const = default;

  static constexpr std::uint16_t kJointTables = 2;
  static constexpr std::uint8_t kMaxDepth = 24;
  static constexpr std::uint8_t kLevelBits = 3;
};
bool valid(const Place& place);

/// The bucket of a sketch at a depth: bit j of table t is whether coordinate 24 t + j is not negative (of the marginal
/// embedding for Kind::marginal). Anybody who has the sketch can tell it. Not for labels.
Place place_of(const Sketch& sketch, Place::Kind kind, std::uint16_t table, std::uint8_t depth);
/// That bucket and the `count - 1` likeliest others, likeliest first.
/// Multi-probe: Lv, Josephson, Wang, Charikar, Li, VLDB 2007 (query-directed, by distance to the plane).
std::vector<Place> probes(const Sketch& sketch, Place::Kind kind, std::uint16_t table, std::uint8_t depth,
                          std::size_t count);
/// How deep the buckets are in an overlay of so many nodes: the level at which one holds about `crowd` nodes, if all
/// were alike crowded. In steps of kLevelBits, so that nodes whose estimates differ still mostly agree.
std::uint8_t depth_for(double nodes, double crowd);

/// Where the entries of a bucket are kept (FORMAT.md). Depends on nothing but the task and the place, so that a
/// holder can check it.
DhtKey place_key(const TaskTag& task, const Place& place);

/// The lot of a presence (record.hpp) for a bucket, uniform in [0, 1): the lowest lots are listed where more want to be than
/// should. The same at all depths of a table, so that the deeper bucket's list contains the shallower one's.
double lot(const NodeId& presence, const Place& place);

/// The sketches of one task: the projections come from its id, so that all its nodes agree.
///
/// Projections are rows of H S3 H S2 H S1 (H: Hadamard, S: random signs), padded to a power of two, instead of
/// independent normals: O(n log n) time and 3 n signs of memory for n = D*K, where a table of normals for
/// 200 classes would take 2 MB; rows are orthogonal, which makes the estimate a little sharper; and there is no
/// logarithm or cosine in them whose last bit depends on the machine.
/// Reference: Andoni, Indyk, Laarhoven, Razenshteyn, Schmidt, "Practical and Optimal LSH for Angular Distance",
/// NIPS 2015, section 4 (pseudo-random rotations).
class Sketcher {
 public:
  Sketcher(const TaskId& task, std::uint32_t dimensions, std::uint32_t classes);
  explicit Sketcher(const Task& task);

  Sketch sketch(const Fingerprint& fingerprint) const;
  Target target(const Need& need) const;

 private:
  std::uint32_t dimensions_, classes_;
  std::vector<std::int8_t> joint_signs_, marginal_signs_;  // 3 x padded size of +-1
};

/// DHT key of the readable twin of a node (`p2p-learner/node/<first 16 hex digits>`): SHA-1 of that text, as
/// OpenDHT's own tools derive keys from text.
std::string twin_name(const NodeId& node);
DhtKey text_key(std::string_view name);

}  // namespace p2p::metadata

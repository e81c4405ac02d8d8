// The Model contract: what a family must do so that a node can learn with it and share it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "metadata/base/bytes.hpp"
#include "metadata/base/error.hpp"

namespace p2p::learner {

/// One sample's features, already scaled by its task: (features x 1).
using Features = std::span<const float>;

/// Index into the task's class list.
using ClassIndex = std::int32_t;
inline constexpr ClassIndex kNoClass = -1;

/// Everything that fixes what a model's numbers mean. Two models with equal specs can exchange parts.
struct ModelSpec {
  std::string family;          ///< "rff", "arf", ...; see families()
  std::uint32_t features = 0;  ///< 1 .. kMaxFeatures
  std::uint32_t classes = 0;   ///< 2 .. kMaxClasses
  std::uint64_t seed = 0;      ///< of the basis that all nodes of a task share
  double bandwidth = 0;        ///< gamma of exp(-gamma |x-y|^2 / 2); the rule: 2 / median |x-y|^2
  std::map<std::string, double> params;  ///< the family's own; unknown names are refused

  bool operator==(const ModelSpec&) const = default;
};

inline constexpr std::uint32_t kMaxFeatures = 1u << 16;
inline constexpr std::uint32_t kMaxClasses = 1u << 10;

/// The smallest thing that travels: a class's rows, a tree. Its content is opaque outside its family.
struct Block {
  std::string name;                 ///< unique in its model: "class/3", "tree/17"
  std::vector<ClassIndex> classes;  ///< what it knows something about
  double evidence = 0;              ///< effective number of samples behind it
  Bytes content;
};

/// Bits that each number of a part takes. 32 is exact; the others state their error bound where they are
/// coded (transfer/quantise.hpp). The blocks say by themselves which one they are in.
enum class Precision : std::uint8_t { bits32 = 32, bits16 = 16, bits8 = 8, bits4 = 4 };

/// A selection of blocks of one model.
struct Part {
  std::string family;
  std::vector<Block> blocks;

  std::size_t bytes() const;
};

/// How incoming blocks meet what is there.
struct MergeOptions {
  /// Classes to take over; empty: all that the part has. Knowledge of every other class is kept.
  std::vector<ClassIndex> classes;
  /// replace: what came in stands in place of what was here (real drift, a class new to this node).
  /// blend: both stay, weighed by their evidence (more of the same concept).
  enum class Mode { replace, blend } mode = Mode::replace;
};

/// A classifier that learns from one sample at a time.
///
/// Pure and deterministic: no clock, no thread, no I/O; the same calls give the same bits. Not
/// thread-safe; one owner. `predict` and `learn` allocate nothing.
///
/// Errors: only `merge` and decode_model meet bytes from outside, and only they can fail. A failed merge
/// leaves the model as it was.
class Model {
 public:
  virtual ~Model() = default;

  virtual const ModelSpec& spec() const = 0;

  /// Class scores, larger is likelier, out: (classes x 1). Comparable within one call only.
  virtual void scores(Features x, std::span<float> out) const = 0;
  /// The likeliest class.
  virtual ClassIndex predict(Features x) const = 0;
  /// One training step. 0 <= y < classes.
  virtual void learn(Features x, ClassIndex y) = 0;
  /// Test-then-train in one call: predict(x), then learn(x, y); families share the work of both.
  virtual ClassIndex predict_then_learn(Features x, ClassIndex y) = 0;

  /// An independent copy that goes on exactly as this one would.
  virtual std::unique_ptr<Model> clone() const = 0;

  /// The blocks that inform about any of `classes` (empty: all blocks), with what is needed to go on
  /// training them (optimiser state), at the given precision. A family that does not come apart by class
  /// gives the whole model.
  virtual Part partition(std::span<const ClassIndex> classes, Precision precision) const = 0;
  Part partition(std::span<const ClassIndex> classes) const { return partition(classes, Precision::bits32); }
  /// Checks every block (shape, finite numbers, bounds), then puts them in. `malformed`, `limit_exceeded`
  /// or `invalid_argument` (another family) otherwise, and nothing changes.
  virtual Result<void> merge(const Part& part, const MergeOptions& options) = 0;

  /// Makes room for classes that the task did not have when this model was made: spec().classes becomes
  /// `classes`, at least what it was and at most kMaxClasses; nothing learned is lost. Parts of a model
  /// with fewer classes fit one with more.
  virtual void grow(std::uint32_t classes) = 0;

  /// The whole state; decode_model(spec(), encode()) continues bit-identically.
  virtual Bytes encode() const = 0;
  /// Memory held, in bytes.
  virtual std::size_t bytes() const = 0;
};

/// Names of the families in this build.
std::span<const std::string_view> families();

/// A fresh model; `invalid_argument` names the field that cannot be.
Result<std::unique_ptr<Model>> make_model(const ModelSpec& spec);

/// A model from `encode()`d bytes that may be damaged or hostile; bounded by the spec.
Result<std::unique_ptr<Model>> decode_model(const ModelSpec& spec, ByteView bytes);

}  // namespace p2p::learner

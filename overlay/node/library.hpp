// What this node knew before: models of its past concepts, each with what it was about.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "learner/model.hpp"
#include "metadata/fingerprint.hpp"
#include "metadata/similarity.hpp"

namespace p2p::node {

/// A concept that was served until a drift, or that somebody else's model was fetched for ahead of one.
struct Archived {
  std::uint32_t id = 0;               ///< from 1, never given twice
  learner::Part part;                 ///< the whole model
  metadata::Fingerprint fingerprint;  ///< of the experience behind it
  std::uint64_t archived_at = 0;      ///< samples seen
  std::uint64_t used_at = 0;          ///< samples seen when it last came back; as archived_at before
  std::uint32_t uses = 0;             ///< times that it came back
  bool fetched = false;               ///< from a peer: not this node's to publish
  std::size_t bytes() const;
};

/// A bounded collection of past concepts. A drift back to one of them needs nobody else (Pratama et al. and others call
/// such concepts recurring); kept as parts at the precision in which they also travel, so that they can be given away
/// as they are.
///
/// One concept is kept once: what lies no further from an archived one than two samples of one distribution do takes
/// its place, its number and its record of use. When a bound is passed the least useful of the others goes: of those that
/// came back least often, the one that was not needed for longest.
///
/// Bounds: Options. Thread: the node's.
class Library {
 public:
  struct Options {
    std::size_t bytes = 8u << 20;   ///< of parts and fingerprints; a concept that alone is larger is not kept
    std::size_t concepts = 16;
  };
  explicit Library(const Options& options) : options_(options) {}

  /// Its number; 0: too large. `samples`: seen so far. A model without knowledge (no blocks) is not kept.
  std::uint32_t archive(learner::Part part, metadata::Fingerprint fingerprint, std::uint64_t samples,
                        bool fetched = false);
  /// At most `most` that have seen anything of the need, nearest first. Of thirty samples a distance says little: whoever
  /// wants to know whether one of these concepts is back tries some.
  struct Near {
    const Archived* archived;
    double distance;  ///< metadata::need_distance, or of the marginals where the need is by these
  };
  std::vector<Near> near(const metadata::Need& need, std::size_t most) const;
  const Archived* find(std::uint32_t id) const;
  /// It has come back.
  void used(std::uint32_t id, std::uint64_t samples);
  std::span<const Archived> all() const { return archived_; }
  std::size_t bytes() const { return bytes_; }
  /// Grows with every change of what is kept.
  std::uint64_t version() const { return version_; }

  Bytes encode() const;
  /// Replaces everything by what encode() gave. `malformed` for damaged bytes; then nothing changes. What passes the
  /// bounds of this library goes, the least useful first.
  Result<void> decode(ByteView bytes, std::uint32_t dimensions, std::uint32_t classes);

  /// Experiences of one concept are that much further apart than two samples of one distribution, at the most. On
  /// Fashion-MNIST with 400 against 80 samples (a prototype, no command prints it): the same 0.95, three labels swapped 1.35, turned 2.0, inverted 3.0.
  static constexpr double kSame = 1.3;

 private:
  void trim(std::uint32_t keep);  // `keep` stays: a newcomer has had no chance to be of use
  Options options_;
  std::vector<Archived> archived_;
  std::size_t bytes_ = 0;
  std::uint32_t next_ = 1;
  std::uint64_t version_ = 0;
};

}  // namespace p2p::node

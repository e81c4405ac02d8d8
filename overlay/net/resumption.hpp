// What lets two nodes that have proven themselves to each other meet again without signatures.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <optional>

#include "metadata/base/bytes.hpp"
#include "metadata/crypto.hpp"
#include "overlay/executor.hpp"

namespace p2p::net {

/// Names a secret to the one other node that has it; said in the clear, once.
using ResumptionId = std::array<std::uint8_t, 16>;

/// A pre-shared key of TLS 1.3 that both ends of a finished handshake have derived from it. Wiped when destroyed.
struct ResumptionSecret {
  ResumptionId id{};
  std::array<std::uint8_t, 32> key{};

  ResumptionSecret() = default;
  ResumptionSecret(const ResumptionSecret&) = default;
  ResumptionSecret& operator=(const ResumptionSecret&) = default;
  ~ResumptionSecret();
};

/// A secret and whose it is.
struct Resumption {
  metadata::NodeId peer;
  ResumptionSecret secret;
  overlay::TimePoint proven;  ///< when the peer last signed a handshake, by this node's clock
};

/// The secrets of one role: of links that we begin, or of links that others begin. A node has one of each and never takes
/// a secret of the one for the other: who sends our own greeting back to us finds that we know nothing of it (RFC 9257 section 4).
///
/// Invariants: a secret is handed out at most once, and never later than `life` after its peer last signed a handshake.
/// Resuming does not prolong that: a new secret is as old as the one that it follows.
/// Bounds: `most` secrets of some 120 bytes, kPerPeer of one peer; the oldest goes first. Searched from end to end: simpler than
/// an index by name and one by peer, and at a few hundred it does not count beside a handshake (`bench_resumption`).
class ResumptionTable {
 public:
  struct Options {
    std::size_t most = 0;  ///< secrets; 0: nothing is kept
    overlay::Duration life{0};
  };
  /// Two nodes that link to each other at the same moment may finish in another order at each end; the elder secret is
  /// still good then.
  static constexpr std::size_t kPerPeer = 2;

  explicit ResumptionTable(const Options& options) : options_(options) {}

  void keep(const Resumption& fresh, overlay::TimePoint now);
  /// The newest that `peer` shares with us.
  std::optional<Resumption> take(const metadata::NodeId& peer, overlay::TimePoint now);
  /// The one that a peer has named.
  std::optional<Resumption> take(const ResumptionId& id, overlay::TimePoint now);
  std::size_t size() const { return secrets_.size(); }

 private:
  void drop_old(overlay::TimePoint now);
  std::optional<Resumption> take(std::list<Resumption>::iterator found);

  Options options_;
  std::list<Resumption> secrets_;  // the newest last; a list, so that secrets are not copied about
};

/// What a client names in its `pre_shared_key` extension (RFC 8446 section 4.2.11), if that is what our clients send: one identity
/// of 16 bytes without an age, and one binder of SHA-256. Anything else is no offer.
std::optional<ResumptionId> offered_resumption(ByteView extension);

}  // namespace p2p::net

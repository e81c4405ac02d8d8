// Links of the real world: TCP on the loop, TLS 1.3 by GnuTLS, both ends proven by their node keys.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "metadata/crypto.hpp"
#include "overlay/net/loop.hpp"
#include "overlay/transport.hpp"

namespace p2p::net {

struct TlsOptions {
  overlay::Duration handshake_timeout = overlay::Duration{std::chrono::seconds(5)};  ///< for whoever connects to us
  /// Processor time for the handshakes of others in a second (one takes some 0.3 ms on a server); 0: no limit. Whoever
  /// comes when it is used up waits in the kernel's queue, so that a flood of handshakes does not stop the learning.
  overlay::Duration handshake_processor = overlay::Duration{std::chrono::milliseconds(250)};
  std::size_t half_open = 64;        ///< accepted connections in handshake at once; more are dropped
  std::size_t links = 1024;          ///< links of both directions at once; more are dropped or `limit_exceeded`
  overlay::Duration close_timeout = overlay::Duration{std::chrono::seconds(5)};  ///< to flush and say good-bye
  std::chrono::seconds keepalive{30};  ///< idle time before TCP asks whether the peer is still there
  /// Secrets kept for links to resume by, for those that we begin and as many for those that others begin; 0: none.
  std::size_t resumptions = 256;
  /// How long after its last signature a peer may go on without one. A stolen secret is good for no longer.
  overlay::Duration resume_within = overlay::Duration{std::chrono::hours(1)};
};

struct TlsStats {
  std::uint64_t connected = 0, accepted = 0;  ///< handshakes that succeeded
  std::uint64_t connected_resumed = 0, accepted_resumed = 0;  ///< of these, without a signature
  std::uint64_t refused = 0;        ///< accepted connections whose handshake failed: no key, wrong version, garbage
  std::uint64_t timed_out = 0;      ///< of either direction, in handshake
  std::uint64_t dropped = 0;        ///< over `half_open` or `links`
  std::uint64_t put_off = 0;        ///< times that nobody was let in for a moment: over `handshake_processor`
  std::size_t half_open = 0, links = 0;  ///< now
};

/// TCP and TLS 1.3 with raw public keys (RFC 7250): the Ed25519 key that signs a node's records is its key here,
/// and the peer's key is its NodeId; there are no certificates, names or authorities to check.
///
/// Trust: a link is handed over only when its handshake is complete and the peer has proven to hold the key that
/// peer() names, or a secret of an earlier handshake of this transport in which it did, at most `resume_within` ago. An
/// accepting end takes any key: what a key may do is decided above.
/// Bounds: half-open connections, links, handshake time and its processor time, secrets kept, bytes read ahead (one TLS
/// record) and bytes queued for the wire (see Link::kHighWater; the sender keeps to it).
/// Thread: everything on the loop's thread, the destructor too. Destroying the transport ends its links without a
/// call.
class TlsTransport final : public overlay::Transport {
 public:
  /// `io` with GnuTLS's own words when it refuses the key.
  static Result<std::unique_ptr<TlsTransport>> make(Loop& loop, const metadata::KeyPair& key,
                                                    const TlsOptions& options = {});
  ~TlsTransport() override;

  /// Accepts from now on; port 0 takes a free one. `in_use`, `invalid_argument`, `io`.
  Result<void> listen(const overlay::Endpoint& local);
  void stop_listening();

  void connect(const overlay::Endpoint& to, const overlay::NodeId& expected, overlay::Duration timeout,
               OnLink done) override;
  void on_accept(std::function<void(std::shared_ptr<overlay::Link>)> handler) override;
  overlay::Endpoint local() const override;

  TlsStats stats() const;

 private:
  class State;
  explicit TlsTransport(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace p2p::net

// TLS 1.3 between two node keys as a machine without sockets: ciphertext goes in and comes out, GnuTLS is behind it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>

#include "metadata/base/bytes.hpp"
#include "metadata/base/error.hpp"
#include "metadata/crypto.hpp"
#include "overlay/net/resumption.hpp"
#include "overlay/net/tls_credentials.hpp"

struct mbuffer_st;
struct gnutls_session_int;
struct iovec;

namespace p2p::net {

/// One end of one TLS connection.
///
/// Only TLS 1.3, X25519, Ed25519 raw public keys (RFC 7250, RFC 8446 section 4.4.2), both ends authenticated. No 0-RTT: a
/// replayed first flight is not worth the round trip that it saves.
///
/// Resumption: both ends of a finished handshake derive the same secrets from it (next_secrets(), RFC 8446 section 7.5) and send
/// nothing for that. Later one of them, once, is the pre-shared key of a handshake with X25519 but without signatures
/// (psk_dhe_ke): who has it is who signed. GnuTLS's session tickets lost: 700 bytes each and more processor time, kept by the client
/// as long as it likes and shown as often (README.md).
///
/// Invariants: peer() is set only after the peer has signed the handshake with that key, or has proven a secret of an
/// earlier one in which it did; once a call has failed, every later one fails. Ciphertext to be sent is in outgoing() after
/// any call, after a failed one too: the alert.
/// Bounds: holds at most what receive() was given and has not been consumed, plus one record.
/// Thread: any, one at a time.
class TlsSession {
 public:
  /// The secret that a client names; it is used up then.
  using FindResumption = std::function<std::optional<Resumption>(const ResumptionId&)>;

  /// A client names the key that it expects, and offers to resume when it has what `expected` and it share; a server takes
  /// any key. Whoever knows nothing of an offer shakes hands in full, in the same connection.
  static Result<std::unique_ptr<TlsSession>> client(std::shared_ptr<const TlsCredentials> credentials,
                                                    const metadata::NodeId& expected,
                                                    std::optional<Resumption> offer = std::nullopt);
  static Result<std::unique_ptr<TlsSession>> server(std::shared_ptr<const TlsCredentials> credentials,
                                                    FindResumption find = {});
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  /// Ciphertext from the peer, lent until settle(): what is read before that is not copied.
  void receive(ByteView ciphertext);
  /// Takes over what has been lent and not read.
  void settle();
  /// The peer will send no more; the cut may be in the middle of anything.
  void receive_end() { end_of_input_ = true; }

  /// Goes on with the handshake: true when it is complete, false when more ciphertext is needed. `untrusted`: the
  /// peer's key is missing or not the expected one; `malformed`: no TLS, or not ours; `closed`: the peer gave up.
  Result<bool> handshake();
  const std::optional<metadata::NodeId>& peer() const { return peer_; }
  /// When the peer signed the handshake that this one resumes; none: it has signed this one.
  std::optional<overlay::TimePoint> resumed_from() const { return resumed_from_; }

  /// What the next handshake with this peer can resume: `onward` when this one's client begins it, `back` when its server
  /// does. Asked for when the handshake is complete. `io` with GnuTLS's own words.
  struct NextSecrets {
    ResumptionSecret onward, back;
  };
  Result<NextSecrets> next_secrets() const;

  /// The plaintext of one record, valid until the next call; empty: needs more ciphertext, or the peer has ended its
  /// stream (see ended()). `io`: cut off or given up by the peer; `malformed`: forged or damaged.
  Result<ByteView> read();
  /// The peer has ended its stream in order; ours is still open.
  bool ended() const { return ended_; }
  /// `head`, then `body`, as one stream of records.
  Result<void> write(ByteView head, ByteView body = {});
  /// Ends our stream in order; reading goes on.
  Result<void> end();

  /// Ciphertext for the peer, in pieces of at most kPieceBytes; the owner takes them from the front.
  std::deque<Bytes>& outgoing() { return outgoing_; }
  std::size_t outgoing_bytes() const;
  /// "TLS1.3 / AES-256-GCM / ...", for logs.
  std::string description() const;

  static constexpr std::size_t kPieceBytes = 64 * 1024;
  static constexpr std::size_t kRecordBytes = 16 * 1024;

 private:
  friend class TlsCredentials;  // whose callbacks ask for what is offered
  enum class Role { client, server };
  TlsSession(std::shared_ptr<const TlsCredentials> credentials, Role role);
  Result<void> set_up();
  Error failure(int code);
  std::optional<Error> inspect_peer();
  void push(const std::uint8_t* data, std::size_t size);
  Result<void> write_records(ByteView plaintext);
  void drop_packet();
  std::size_t unread_bytes() const { return incoming_.size() - consumed_ + lent_.size(); }
  bool goes_on(std::size_t& unread) const;

  static long on_push(void* self, const iovec* pieces, int count);
  static long on_pull(void* self, void* out, std::size_t size);
  static int on_peer_key(gnutls_session_int* session);
  static const ResumptionSecret* offered(gnutls_session_int* session);
  int take_hello(ByteView message);
  void complete();

  std::shared_ptr<const TlsCredentials> credentials_;
  gnutls_session_int* session_ = nullptr;
  Role role_;
  std::optional<metadata::NodeId> expected_;
  std::optional<metadata::NodeId> peer_;
  std::optional<metadata::NodeId> shown_;  ///< the peer's key before the handshake is complete
  std::optional<Error> refusal_;           ///< why inspect_peer() said no
  FindResumption find_;                    ///< of a server, until it has seen a hello
  std::optional<Resumption> offer_;        ///< what this handshake may resume, until it is complete
  std::optional<overlay::TimePoint> resumed_from_;
  std::optional<Error> failed_;
  mbuffer_st* packet_ = nullptr;    ///< what read() has handed out
  ByteView lent_;                          ///< ciphertext after incoming_
  Bytes incoming_;
  std::size_t consumed_ = 0;
  bool end_of_input_ = false;
  bool cut_ = false;                       ///< GnuTLS wanted more after it
  bool ended_ = false;
  std::deque<Bytes> outgoing_;
  std::size_t to_come_ = 0;                ///< about so much ciphertext is still to be pushed by write()
};

}  // namespace p2p::net

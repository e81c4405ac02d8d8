// A node's key, and what is spoken with it, as GnuTLS wants them.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "metadata/base/error.hpp"
#include "metadata/crypto.hpp"

struct gnutls_certificate_credentials_st;
struct gnutls_priority_st;
struct gnutls_psk_client_credentials_st;
struct gnutls_psk_server_credentials_st;

namespace p2p::net {

/// An Ed25519 public key as SubjectPublicKeyInfo in DER (RFC 8410) is these bytes and the 32 of the key.
inline constexpr std::array<std::uint8_t, 12> kEd25519Prefix = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                                                0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};

/// What all sessions of one node share: its key, the list of what is spoken, and where a session's pre-shared key is
/// found (the session that GnuTLS asks for knows it).
class TlsCredentials {
 public:
  /// `io` with GnuTLS's own words when it refuses.
  static Result<std::shared_ptr<const TlsCredentials>> make(const metadata::KeyPair& key);
  ~TlsCredentials();
  TlsCredentials(const TlsCredentials&) = delete;
  TlsCredentials& operator=(const TlsCredentials&) = delete;

 private:
  friend class TlsSession;
  TlsCredentials() = default;

  gnutls_certificate_credentials_st* certificate_ = nullptr;
  gnutls_psk_client_credentials_st* offering_ = nullptr;
  gnutls_psk_server_credentials_st* accepting_ = nullptr;
  gnutls_priority_st* priority_ = nullptr;
  gnutls_priority_st* resuming_ = nullptr;  ///< with pre-shared keys
};

}  // namespace p2p::net

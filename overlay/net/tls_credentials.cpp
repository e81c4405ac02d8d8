#include "overlay/net/tls_credentials.hpp"

#include <algorithm>
#include <cstring>
#include <string>

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>

#include "overlay/net/tls_session.hpp"

namespace p2p::net {

namespace {

// What is spoken. One group and one signature scheme: fewer ways to disagree, and one key share to compute. A pre-shared key is
// bound to SHA-256 in GnuTLS 3.7, and so are the ciphers after it: AES-128 rather than the much slower ChaCha20.
constexpr const char* kPriority =
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CTYPE-ALL:+CTYPE-RAWPK:-GROUP-ALL:+GROUP-X25519"
    ":-SIGN-ALL:+SIGN-EDDSA-ED25519:-CIPHER-ALL:+AES-256-GCM:+AES-128-GCM:+CHACHA20-POLY1305";
// A pre-shared key too, if it comes with X25519: never the bare one, which would cost forward secrecy.
constexpr const char* kWithSecrets = ":+ECDHE-PSK";

// PKCS #8, as kEd25519Prefix is for public keys.
constexpr std::array<std::uint8_t, 16> kPrivatePrefix = {0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06,
                                                         0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20};

template <std::size_t Prefix>
std::array<std::uint8_t, Prefix + 32> der(const std::array<std::uint8_t, Prefix>& prefix,
                                          const std::array<std::uint8_t, 32>& key) {
  std::array<std::uint8_t, Prefix + 32> out;
  std::copy(prefix.begin(), prefix.end(), out.begin());
  std::copy(key.begin(), key.end(), out.begin() + Prefix);
  return out;
}

template <typename Array>
gnutls_datum_t datum(Array& bytes) {
  return {bytes.data(), static_cast<unsigned>(bytes.size())};
}

/// For GnuTLS, which frees it; false when there is no memory.
template <std::size_t Size>
bool give(const std::array<std::uint8_t, Size>& bytes, gnutls_datum_t* out) {
  out->data = static_cast<unsigned char*>(gnutls_malloc(Size));
  if (out->data == nullptr) return false;
  std::memcpy(out->data, bytes.data(), Size);
  out->size = Size;
  return true;
}

}  // namespace

TlsCredentials::~TlsCredentials() {
  if (resuming_ != nullptr) gnutls_priority_deinit(resuming_);
  if (priority_ != nullptr) gnutls_priority_deinit(priority_);
  if (accepting_ != nullptr) gnutls_psk_free_server_credentials(accepting_);
  if (offering_ != nullptr) gnutls_psk_free_client_credentials(offering_);
  if (certificate_ != nullptr) gnutls_certificate_free_credentials(certificate_);
}

Result<std::shared_ptr<const TlsCredentials>> TlsCredentials::make(const metadata::KeyPair& key) {
  std::shared_ptr<TlsCredentials> out(new TlsCredentials);

  auto public_der = der(kEd25519Prefix, key.id().bytes);
  auto seed = key.seed();
  auto private_der = der(kPrivatePrefix, seed);
  const gnutls_datum_t public_key = datum(public_der), private_key = datum(private_der);

  int error = gnutls_certificate_allocate_credentials(&out->certificate_);
  if (error == 0) {
    error = gnutls_certificate_set_rawpk_key_mem(out->certificate_, &public_key, &private_key, GNUTLS_X509_FMT_DER,
                                                 nullptr, GNUTLS_KEY_DIGITAL_SIGNATURE, nullptr, 0, 0);
  }
  gnutls_memset(seed.data(), 0, seed.size());
  gnutls_memset(private_der.data(), 0, private_der.size());
  if (error >= 0) error = gnutls_psk_allocate_client_credentials(&out->offering_);
  if (error >= 0) error = gnutls_psk_allocate_server_credentials(&out->accepting_);
  if (error >= 0) {
    gnutls_psk_set_client_credentials_function2(
        out->offering_, [](gnutls_session_t session, gnutls_datum_t* name, gnutls_datum_t* secret) {
          const auto* offered = TlsSession::offered(session);
          if (offered == nullptr || !give(offered->id, name)) return -1;
          if (give(offered->key, secret)) return 0;
          gnutls_free(name->data);
          return -1;
        });
    gnutls_psk_set_server_credentials_function2(
        out->accepting_, [](gnutls_session_t session, const gnutls_datum_t* name, gnutls_datum_t* secret) {
          const auto* offered = TlsSession::offered(session);
          // GnuTLS must have read the same name as we.
          const bool same = offered != nullptr && std::ranges::equal(ByteView(name->data, name->size), offered->id);
          return same && give(offered->key, secret) ? 0 : -1;
        });
    error = gnutls_priority_init(&out->priority_, kPriority, nullptr);
  }
  if (error >= 0) error = gnutls_priority_init(&out->resuming_, (std::string(kPriority) + kWithSecrets).c_str(), nullptr);
  if (error < 0) {
    return fail(ErrorCode::io,
                "GnuTLS cannot use the node's key: Ed25519 and TLS 1.3 must be allowed in /etc/gnutls/config",
                gnutls_strerror(error));
  }
  return std::shared_ptr<const TlsCredentials>(std::move(out));
}

}  // namespace p2p::net

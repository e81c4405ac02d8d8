#include "metadata/crypto.hpp"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include <algorithm>

namespace p2p::metadata {

namespace {

gnutls_datum_t datum(ByteView bytes) {
  // GnuTLS does not write through the pointers of what it reads; its type merely lacks the const.
  return {const_cast<unsigned char*>(bytes.data()), static_cast<unsigned int>(bytes.size())};
}

/// A buffer that GnuTLS allocated; wiped, for it may hold a secret.
struct OwnedDatum {
  gnutls_datum_t value{nullptr, 0};
  OwnedDatum() = default;
  OwnedDatum(const OwnedDatum&) = delete;
  OwnedDatum& operator=(const OwnedDatum&) = delete;
  ~OwnedDatum() {
    if (value.data == nullptr) return;
    gnutls_memset(value.data, 0, value.size);
    gnutls_free(value.data);
  }
};

struct X509Key {
  gnutls_x509_privkey_t value = nullptr;
  X509Key() { P2P_ASSERT(gnutls_x509_privkey_init(&value) == GNUTLS_E_SUCCESS); }
  X509Key(const X509Key&) = delete;
  X509Key& operator=(const X509Key&) = delete;
  ~X509Key() { gnutls_x509_privkey_deinit(value); }
};

template <std::size_t N>
std::array<std::uint8_t, N> hash(gnutls_digest_algorithm_t algorithm, ByteView bytes) {
  std::array<std::uint8_t, N> out{};
  P2P_ASSERT(gnutls_hash_fast(algorithm, bytes.data(), bytes.size(), out.data()) == GNUTLS_E_SUCCESS);
  return out;
}

/// A PKCS #8 private key of Ed25519 without its 32-byte seed (RFC 8410, section 7).
constexpr std::array<std::uint8_t, 16> kPkcs8Head = {0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06,
                                                     0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20};

using Seed = std::array<std::uint8_t, 32>;

constexpr std::size_t kMaxPemBytes = 64 * 1024;

/// Takes the number out of a raw key field; false unless it is exactly `out` long.
bool copy_exact(const gnutls_datum_t& from, std::array<std::uint8_t, 32>& out) {
  if (from.size != out.size()) return false;
  std::copy_n(from.data, out.size(), out.begin());
  return true;
}

}  // namespace

Hash sha256(ByteView bytes) { return {hash<32>(GNUTLS_DIG_SHA256, bytes)}; }

struct Sha256::State {
  gnutls_hash_hd_t handle = nullptr;
  State() { P2P_ASSERT(gnutls_hash_init(&handle, GNUTLS_DIG_SHA256) == GNUTLS_E_SUCCESS); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { gnutls_hash_deinit(handle, nullptr); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::add(ByteView bytes) {
  P2P_ASSERT(gnutls_hash(state_->handle, bytes.data(), bytes.size()) == GNUTLS_E_SUCCESS);
}

Hash Sha256::finish() {
  Hash out;
  gnutls_hash_output(state_->handle, out.bytes.data());  // which begins anew
  return out;
}

std::array<std::uint8_t, 20> sha1(ByteView bytes) { return hash<20>(GNUTLS_DIG_SHA1, bytes); }

Result<NodeId> parse_node_id(std::string_view hex) {
  const auto bytes = from_hex(hex);
  NodeId id;
  if (!bytes || bytes->size() != id.bytes.size()) {
    return fail(ErrorCode::malformed, "a node id is 64 hexadecimal digits",
                bytes ? "these are " + std::to_string(hex.size()) : bytes.error().message);
  }
  std::copy(bytes->begin(), bytes->end(), id.bytes.begin());
  return id;
}

struct KeyPair::Secret {
  gnutls_privkey_t key = nullptr;
  Seed seed{};
  NodeId id;

  Secret() = default;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret() {
    if (key != nullptr) gnutls_privkey_deinit(key);
    gnutls_memset(seed.data(), 0, seed.size());
  }

  /// The error is GnuTLS's own word for what is wrong with the key.
  static Result<std::shared_ptr<const Secret>> from(gnutls_x509_privkey_t x509) {
    gnutls_ecc_curve_t curve{};
    OwnedDatum x, y, k;
    const int raw = gnutls_x509_privkey_export_ecc_raw(x509, &curve, &x.value, &y.value, &k.value);
    auto secret = std::make_shared<Secret>();
    if (raw != GNUTLS_E_SUCCESS || curve != GNUTLS_ECC_CURVE_ED25519 ||
        !copy_exact(x.value, secret->id.bytes) || !copy_exact(k.value, secret->seed)) {
      return fail(ErrorCode::invalid_argument,
                  "the key is not an Ed25519 key; make one with `p2p-learner keygen`");
    }
    P2P_ASSERT(gnutls_privkey_init(&secret->key) == GNUTLS_E_SUCCESS);
    const int imported = gnutls_privkey_import_ecc_raw(secret->key, GNUTLS_ECC_CURVE_ED25519, &x.value,
                                                       nullptr, &k.value);
    if (imported != GNUTLS_E_SUCCESS) {
      return fail(ErrorCode::malformed, "the key cannot be used", gnutls_strerror(imported));
    }
    return std::shared_ptr<const Secret>(std::move(secret));
  }
};

KeyPair KeyPair::from_seed(const Seed& seed) {
  // GnuTLS derives the public half only when it reads a whole private key, so it is given one.
  std::array<std::uint8_t, kPkcs8Head.size() + 32> der;
  std::copy(kPkcs8Head.begin(), kPkcs8Head.end(), der.begin());
  std::copy(seed.begin(), seed.end(), der.begin() + kPkcs8Head.size());
  X509Key x509;
  const auto input = datum(der);
  const int imported = gnutls_x509_privkey_import_pkcs8(x509.value, &input, GNUTLS_X509_FMT_DER, nullptr,
                                                        GNUTLS_PKCS_PLAIN);
  gnutls_memset(der.data(), 0, der.size());
  P2P_ASSERT(imported == GNUTLS_E_SUCCESS);
  auto secret = Secret::from(x509.value);
  P2P_ASSERT(secret.has_value());
  return KeyPair(std::move(*secret));
}

KeyPair KeyPair::generate() {
  Seed seed;
  P2P_ASSERT(gnutls_rnd(GNUTLS_RND_KEY, seed.data(), seed.size()) == GNUTLS_E_SUCCESS);
  KeyPair pair = from_seed(seed);
  gnutls_memset(seed.data(), 0, seed.size());
  return pair;
}

Result<KeyPair> KeyPair::from_pem(std::string_view pem) {
  if (pem.size() > kMaxPemBytes) {
    return fail(ErrorCode::limit_exceeded, "the key file is far too long to be a key");
  }
  X509Key x509;
  const auto input = datum(view(pem));
  const int imported = gnutls_x509_privkey_import_pkcs8(x509.value, &input, GNUTLS_X509_FMT_PEM, nullptr,
                                                        GNUTLS_PKCS_PLAIN);
  if (imported != GNUTLS_E_SUCCESS) {
    return fail(ErrorCode::malformed,
                "the key is not an unencrypted PKCS #8 key in PEM form; make one with `p2p-learner keygen`",
                gnutls_strerror(imported));
  }
  auto secret = Secret::from(x509.value);
  if (!secret) return tl::unexpected<Error>(std::move(secret).error());
  // The file's own public half, if it has one, is not believed.
  KeyPair derived = from_seed((*secret)->seed);
  if (derived.id() != (*secret)->id) {
    return fail(ErrorCode::malformed, "the key's two halves do not belong together; restore it from a backup");
  }
  return derived;
}

std::string KeyPair::to_pem() const {
  X509Key x509;
  const auto x = datum(secret_->id.bytes);
  const auto k = datum(secret_->seed);
  P2P_ASSERT(gnutls_x509_privkey_import_ecc_raw(x509.value, GNUTLS_ECC_CURVE_ED25519, &x, nullptr, &k) ==
             GNUTLS_E_SUCCESS);
  OwnedDatum out;
  P2P_ASSERT(gnutls_x509_privkey_export2_pkcs8(x509.value, GNUTLS_X509_FMT_PEM, nullptr, GNUTLS_PKCS_PLAIN,
                                               &out.value) == GNUTLS_E_SUCCESS);
  return {reinterpret_cast<const char*>(out.value.data), out.value.size};
}

const NodeId& KeyPair::id() const { return secret_->id; }

Signature KeyPair::sign(ByteView message) const {
  const auto input = datum(message);
  OwnedDatum out;
  P2P_ASSERT(gnutls_privkey_sign_data2(secret_->key, GNUTLS_SIGN_EDDSA_ED25519, 0, &input, &out.value) ==
             GNUTLS_E_SUCCESS);
  Signature signature{};
  P2P_ASSERT(out.value.size == signature.size());
  std::copy_n(out.value.data, signature.size(), signature.begin());
  return signature;
}

std::array<std::uint8_t, 32> KeyPair::seed() const { return secret_->seed; }

bool verify(const NodeId& signer, ByteView message, const Signature& signature) {
  gnutls_pubkey_t key = nullptr;
  if (gnutls_pubkey_init(&key) != GNUTLS_E_SUCCESS) return false;
  const auto x = datum(signer.bytes);
  const auto input = datum(message);
  const auto mark = datum(signature);
  const bool good =
      gnutls_pubkey_import_ecc_raw(key, GNUTLS_ECC_CURVE_ED25519, &x, nullptr) == GNUTLS_E_SUCCESS &&
      gnutls_pubkey_verify_data2(key, GNUTLS_SIGN_EDDSA_ED25519, 0, &input, &mark) >= 0;
  gnutls_pubkey_deinit(key);
  return good;
}

}  // namespace p2p::metadata

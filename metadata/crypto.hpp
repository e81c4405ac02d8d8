// Keys, signatures and hashes: what makes a record its node's own. GnuTLS does the work, behind crypto.cpp.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <memory>
#include <string>

#include "metadata/base/bytes.hpp"
#include "metadata/base/error.hpp"

namespace p2p::metadata {

/// SHA-256 of something: a task, a block, a manifest.
struct Hash {
  std::array<std::uint8_t, 32> bytes{};
  auto operator<=>(const Hash&) const = default;
  ByteView view() const { return bytes; }
};
Hash sha256(ByteView bytes);

/// SHA-256 of what comes piece by piece: a large block is hashed while it is still warm.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void add(ByteView bytes);
  /// Of all that was added since it was made or last finished.
  Hash finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// SHA-1, only where OpenDHT's own key derivation asks for it; not for security.
std::array<std::uint8_t, 20> sha1(ByteView bytes);

/// An Ed25519 public key; it is the node's name.
struct NodeId {
  std::array<std::uint8_t, 32> bytes{};
  auto operator<=>(const NodeId&) const = default;
  ByteView view() const { return bytes; }
  /// 64 hexadecimal digits.
  std::string hex() const { return to_hex(bytes); }
  /// The first 16 of them: enough to tell nodes apart on a screen.
  std::string brief() const { return hex().substr(0, 16); }
};
/// 64 hexadecimal digits; `malformed` otherwise.
Result<NodeId> parse_node_id(std::string_view hex);

using Signature = std::array<std::uint8_t, 64>;

/// An Ed25519 key pair (RFC 8032). Copies share the secret; it is wiped with the last one.
class KeyPair {
 public:
  static KeyPair generate();
  /// The key that a 32-byte seed stands for (RFC 8032 section 5.1.5): for tests and simulations.
  static KeyPair from_seed(const std::array<std::uint8_t, 32>& seed);
  /// PKCS #8 in PEM, as `openssl genpkey -algorithm ed25519` and `certtool` write it.
  static Result<KeyPair> from_pem(std::string_view pem);
  std::string to_pem() const;

  const NodeId& id() const;
  Signature sign(ByteView message) const;

  /// The 32-byte secret seed, for the TLS layer.
  std::array<std::uint8_t, 32> seed() const;

 private:
  struct Secret;
  explicit KeyPair(std::shared_ptr<const Secret> secret) : secret_(std::move(secret)) {}
  std::shared_ptr<const Secret> secret_;
};

bool verify(const NodeId& signer, ByteView message, const Signature& signature);

}  // namespace p2p::metadata

template <>
struct std::hash<p2p::metadata::NodeId> {
  std::size_t operator()(const p2p::metadata::NodeId& id) const noexcept {
    std::size_t value;
    std::memcpy(&value, id.bytes.data(), sizeof value);
    return value;
  }
};
template <>
struct std::hash<p2p::metadata::Hash> {
  std::size_t operator()(const p2p::metadata::Hash& of) const noexcept {
    std::size_t value;
    std::memcpy(&value, of.bytes.data(), sizeof value);
    return value;
  }
};

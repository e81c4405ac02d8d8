#include "metadata/crypto.hpp"

#include <catch2/catch.hpp>
#include <unordered_set>

#include "tests/metadata/examples.hpp"

using p2p::ErrorCode;
using p2p::from_hex;
using p2p::to_hex;
using p2p::view;
using namespace p2p::metadata;

namespace {

KeyPair key_of(std::string_view seed_hex) {
  const auto bytes = *from_hex(seed_hex);
  std::array<std::uint8_t, 32> seed{};
  std::copy(bytes.begin(), bytes.end(), seed.begin());
  return KeyPair::from_seed(seed);
}

}  // namespace

TEST_CASE("hashes are SHA-256 and SHA-1 of FIPS 180") {
  CHECK(to_hex(sha256(view("abc")).bytes) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(to_hex(sha256({}).bytes) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(to_hex(sha1(view("abc"))) == "a9993e364706816aba3e25717850c26c9cd0d89d");
}

TEST_CASE("keys and signatures are Ed25519: the vectors of RFC 8032, section 7.1") {
  struct Vector {
    const char *seed, *public_key, *message, *signature;
  };
  const Vector vectors[] = {
      {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
       "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
       "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
       "d25bf5f0595bbe24655141438e7a100b"},
      {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
       "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
       "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
       "4a7c15e9716ed28dc027beceea1ec40a"},
  };
  for (const auto& v : vectors) {
    const KeyPair key = key_of(v.seed);
    const auto message = *from_hex(v.message);
    CHECK(key.id().hex() == v.public_key);
    CHECK(to_hex(key.seed()) == v.seed);
    CHECK(to_hex(key.sign(message)) == v.signature);
    CHECK(verify(key.id(), message, key.sign(message)));
  }
}

TEST_CASE("a signature fits its key, its message and itself to the last bit") {
  const auto key = p2p::metadata::testing::example_key(1);
  const auto other = p2p::metadata::testing::example_key(2);
  p2p::Bytes message(40, 0x33);
  Signature signature = key.sign(message);
  REQUIRE(verify(key.id(), message, signature));
  CHECK_FALSE(verify(other.id(), message, signature));
  for (std::size_t bit = 0; bit < message.size() * 8; bit += 7) {
    message[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    CHECK_FALSE(verify(key.id(), message, signature));
    message[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
  }
  for (std::size_t bit = 0; bit < signature.size() * 8; ++bit) {
    signature[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    CHECK_FALSE(verify(key.id(), message, signature));
    signature[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
  }
  message.push_back(0);
  CHECK_FALSE(verify(key.id(), message, signature));
}

TEST_CASE("a signature whose second half is not reduced is refused, so nobody can make a second one") {
  const auto key = p2p::metadata::testing::example_key(1);
  Signature signature = key.sign(view("x"));
  // S + L, with L the order of the group: the same number to a careless verifier.
  const auto order = *from_hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
  unsigned carry = 0;
  for (std::size_t i = 0; i < 32; ++i) {
    carry += signature[32 + i] + order[i];
    signature[32 + i] = static_cast<std::uint8_t>(carry);
    carry >>= 8;
  }
  REQUIRE(carry == 0);
  CHECK_FALSE(verify(key.id(), view("x"), signature));
}

TEST_CASE("bytes that are no point of the curve verify nothing and end nothing") {
  NodeId id;
  id.bytes.fill(0xff);
  CHECK_FALSE(verify(id, view("x"), Signature{}));
}

TEST_CASE("generated keys differ") {
  std::unordered_set<NodeId> ids;
  for (int i = 0; i < 50; ++i) ids.insert(KeyPair::generate().id());
  CHECK(ids.size() == 50);
}

TEST_CASE("a copy of a key signs as the key does and outlives it") {
  auto key = std::make_unique<KeyPair>(p2p::metadata::testing::example_key(3));
  const auto signature = key->sign(view("x"));
  const KeyPair copy = *key;
  key.reset();
  CHECK(copy.sign(view("x")) == signature);
}

TEST_CASE("a key survives PEM, and OpenSSL's PEM is read: the example of RFC 8410") {
  const KeyPair key = p2p::metadata::testing::example_key(4);
  const auto again = KeyPair::from_pem(key.to_pem());
  REQUIRE(again);
  CHECK(again->id() == key.id());
  CHECK(again->seed() == key.seed());
  CHECK(key.to_pem().rfind("-----BEGIN PRIVATE KEY-----\n", 0) == 0);

  const auto foreign = KeyPair::from_pem(
      "-----BEGIN PRIVATE KEY-----\n"
      "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
      "-----END PRIVATE KEY-----\n");
  REQUIRE(foreign);
  CHECK(foreign->id().hex() == "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1");
}

TEST_CASE("what is no Ed25519 key in PEM is refused with a sentence that says how to make one") {
  const auto key = p2p::metadata::testing::example_key(4).to_pem();
  const auto refused = [](std::string_view pem) {
    const auto result = KeyPair::from_pem(pem);
    REQUIRE_FALSE(result);
    CHECK(result.error().message.find("key") != std::string::npos);
    return result.error();
  };
  CHECK(refused("").code == ErrorCode::malformed);
  CHECK(refused("hello").code == ErrorCode::malformed);
  CHECK(refused(key.substr(0, key.size() / 2)).code == ErrorCode::malformed);
  CHECK(refused(std::string(100000, 'A')).code == ErrorCode::limit_exceeded);
  // A P-256 key, made for this test with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`.
  const auto foreign = refused(
      "-----BEGIN PRIVATE KEY-----\n"
      "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgfVdfhaz7eO7aVYVJ\n"
      "t4rLy48FIovy+dTLMY94XXTdwdKhRANCAAQjYjNF5exQs4S10L8RUo+RnnBzgtwO\n"
      "ARL6qIu4YE0oGRBPWg9fqIPmXvBb3K4WjAOwYl5e8AaauP6f6Jy/IA2a\n"
      "-----END PRIVATE KEY-----\n");
  CHECK(foreign.code == ErrorCode::invalid_argument);
  CHECK(foreign.message.find("keygen") != std::string::npos);
}

TEST_CASE("a node id reads back from its 64 digits and from nothing else") {
  const NodeId id = p2p::metadata::testing::example_key(5).id();
  CHECK(parse_node_id(id.hex()) == id);
  CHECK(id.brief() == id.hex().substr(0, 16));
  for (const std::string& text : {std::string(), id.brief(), id.hex() + "00", id.hex().substr(1) + "g",
                                  "0x" + id.hex().substr(2)}) {
    INFO(text);
    REQUIRE_FALSE(parse_node_id(text));
    CHECK(parse_node_id(text).error().code == ErrorCode::malformed);
  }
}

#include "overlay/net/key_quota.hpp"

#include <catch2/catch.hpp>

using namespace p2p;
using net::KeyQuota;
using namespace std::chrono_literals;

namespace {

const KeyQuota::Clock::time_point kStart{};
metadata::DhtKey key(std::uint8_t number) {
  metadata::DhtKey out{};
  out[0] = number;
  return out;
}

}  // namespace

TEST_CASE("A key holds so many values, whoever sends them, and takes others when these have died") {
  KeyQuota quota({.per_key = 4, .per_address = 2});
  for (std::uint64_t id = 0; id < 4; ++id) CHECK(quota.admit(key(1), id, static_cast<std::uint32_t>(id), kStart));
  CHECK_FALSE(quota.admit(key(1), 9, 9, kStart + 19min));
  CHECK(quota.admit(key(2), 9, 9, kStart));
  CHECK(quota.admit(key(1), 9, 9, kStart + 20min));
}

TEST_CASE("What is held may be refreshed at any time, and stays held by that") {
  KeyQuota quota({.per_key = 1});
  CHECK(quota.admit(key(1), 7, 1, kStart));
  CHECK(quota.admit(key(1), 7, 2, kStart + 15min));
  CHECK_FALSE(quota.admit(key(1), 8, 1, kStart + 25min));
  CHECK(quota.admit(key(1), 8, 1, kStart + 35min));
}

TEST_CASE("One address gets a part of a key, unless it is this machine") {
  KeyQuota quota({.per_key = 8, .per_address = 2});
  CHECK(quota.admit(key(1), 1, 0x0a000001, kStart));
  CHECK(quota.admit(key(1), 2, 0x0a000001, kStart));
  CHECK_FALSE(quota.admit(key(1), 3, 0x0a000001, kStart));
  CHECK(quota.admit(key(1), 3, 0x0a000002, kStart));
  for (std::uint64_t id = 10; id < 15; ++id) CHECK(quota.admit(key(1), id, 0x7f000001, kStart));
  CHECK_FALSE(quota.admit(key(1), 15, 0x7f000001, kStart));
}

TEST_CASE("Memory is bounded: with too many keys the one that dies first is forgotten") {
  KeyQuota quota({.per_key = 1, .keys = 2});
  CHECK(quota.admit(key(1), 1, 1, kStart + 2s));
  CHECK(quota.admit(key(2), 1, 1, kStart + 1s));
  CHECK(quota.admit(key(3), 1, 1, kStart + 3s));
  CHECK(quota.keys() == 2);
  CHECK_FALSE(quota.admit(key(1), 2, 1, kStart + 3s));
  CHECK(quota.admit(key(2), 2, 1, kStart + 3s));
}

#include "overlay/node/trust.hpp"

#include <catch2/catch.hpp>

using namespace p2p;
using namespace std::chrono_literals;
using node::Trust;

namespace {

metadata::NodeId peer(std::size_t number) {
  metadata::NodeId id;
  id.bytes[0] = static_cast<std::uint8_t>(number);
  id.bytes[1] = static_cast<std::uint8_t>(number >> 8);
  return id;
}
overlay::TimePoint at(overlay::Duration time) { return {.us = time.count()}; }

}  // namespace

TEST_CASE("Whoever helped is worth more than a stranger, and a stranger more than whoever misled", "[trust]") {
  Trust trust;
  trust.record(peer(1), 0.4, at(1s));
  trust.record(peer(2), -0.2, at(1s));
  REQUIRE(trust.worth(peer(1)) > trust.worth(peer(3)));
  REQUIRE(trust.worth(peer(3)) > trust.worth(peer(2)));
}

TEST_CASE("A peer that was good and now misleads is found out after three pulls", "[trust]") {
  Trust trust;
  for (int i = 0; i < 50; ++i) trust.record(peer(1), 0.5, at(1s));
  for (int i = 0; i < 3; ++i) trust.record(peer(1), -0.5, at(2s));
  REQUIRE(trust.worth(peer(1)) < 0);
}

TEST_CASE("No claim is worth more than one", "[trust]") {
  Trust trust;
  for (int i = 0; i < 50; ++i) trust.record(peer(1), 1e9, at(1s));
  REQUIRE(trust.worth(peer(1)) <= 1);
}

TEST_CASE("A barred key is asked again when its time is over", "[trust]") {
  Trust trust;
  trust.bar(peer(1), at(10s), at(1s));
  REQUIRE(trust.barred(peer(1), at(9s)));
  REQUIRE(trust.barred(at(9s)) == 1);
  REQUIRE_FALSE(trust.barred(peer(1), at(10s)));
  REQUIRE_FALSE(trust.barred(peer(2), at(9s)));
}

TEST_CASE("However many keys a crowd makes up, those heard of last are remembered", "[trust]") {
  Trust trust;
  for (std::size_t i = 0; i < Trust::kMost + 100; ++i) {
    trust.record(peer(i), 0.5, at(std::chrono::seconds(i)));
    REQUIRE(trust.size() <= Trust::kMost);
  }
  REQUIRE(trust.worth(peer(0)) == Trust::kUnknown);
  REQUIRE(trust.worth(peer(Trust::kMost + 99)) > 0);
}

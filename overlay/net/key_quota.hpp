// How much a holder keeps under one key, and from one address.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <vector>

#include "metadata/index.hpp"

namespace p2p::net {

/// Bounds what lies under a key, so that reading it costs the same however many would like to be there. A reader pays
/// for each value at each holder; OpenDHT itself stops at 65,536. A value that is there already may always be refreshed.
///
/// An honest bucket holds about 8 listings, 16 while its crowd is being counted. What somebody puts there beyond
/// `per_address` needs more machines than one; addresses of this machine count for nothing, because all nodes of a test
/// share one.
///
/// Bounds: `keys` keys; beyond that the one whose values die first is forgotten.
class KeyQuota {
 public:
  struct Options {
    std::size_t per_key = 32;
    std::size_t per_address = 8;
    std::size_t keys = 1u << 16;
    std::chrono::seconds life{20 * 60};
  };
  using Clock = std::chrono::steady_clock;
  KeyQuota() : KeyQuota(Options{}) {}
  explicit KeyQuota(const Options& options) : options_(options) {}

  /// May value `id` be stored under `key`, sent from `address` (0x7f......: this machine)? Counts it if so.
  bool admit(const metadata::DhtKey& key, std::uint64_t id, std::uint32_t address, Clock::time_point now);
  std::size_t keys() const { return held_.size(); }

 private:
  struct Held {
    std::uint64_t id;
    std::uint32_t address;
    Clock::time_point until;
  };
  void make_room();
  Options options_;
  std::map<metadata::DhtKey, std::vector<Held>> held_;
};

}  // namespace p2p::net

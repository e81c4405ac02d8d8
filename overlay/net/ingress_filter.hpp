// Which datagrams OpenDHT may see: a pure function of the packet's bytes.
#pragma once

#include <cstddef>
#include <string_view>

#include "metadata/base/bytes.hpp"
#include "metadata/record.hpp"

namespace p2p::net {

struct IngressLimits {
  std::size_t record_bytes = metadata::Listing::kMaxBytes;  ///< data of a value of our own type
  std::size_t text_bytes = 600;      ///< data of a readable twin: type 0, user type "text/plain"
  std::size_t values = 64;           ///< in one packet
  std::size_t listed_ids = 64;       ///< value ids in one answer: twice what a holder keeps (KeyQuota)
};

/// Why a packet was refused; `none`: it was not.
enum class Refusal {
  none,
  not_a_packet,    ///< not one msgpack map within bounds, or a key twice
  unknown_kind,    ///< no query, answer, update or error that our nodes exchange
  bad_field,       ///< a field of the wrong kind or size, or one that we do not know
  owned_value,     ///< a value with an OpenDHT owner, signature or recipient
  encrypted_value,
  split_value,     ///< a value announced or delivered in several packets
  oversized_value,
  foreign_value,   ///< a value type that this overlay does not use
};
std::string_view name(Refusal refusal);

/// Judges one datagram as OpenDHT 2.4 would read it, and more strictly: what OpenDHT tolerates and we do not need
/// is refused. Everything that is allowed is listed; anything else is not.
///
/// Bounds: memory and time proportional to the packet, which is at most 64 KB.
Refusal check_packet(ByteView packet, const IngressLimits& limits);

}  // namespace p2p::net

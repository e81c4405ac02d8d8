// The rival of every throughput figure: GnuTLS on blocking sockets, and nothing else.
#pragma once

#include <cstddef>
#include <string>

namespace p2p::net::testing {

struct StreamFigures {
  std::string cipher;
  double seconds = 0;
  double sender_cpu = 0, receiver_cpu = 0;  ///< seconds of the two threads
};

/// What the receiver does with what comes, and where the sender has it from.
enum class Load {
  passing,  ///< the same 64 kB again and again, thrown away on arrival
  kept,     ///< from memory that holds all of it to memory that holds all of it, SHA-256 on arrival
};

/// `bytes` over loopback, a thread at each end, a shared key: the same cipher as a link's. TLS 1.2, because a shared
/// key has no such suite in 1.3.
StreamFigures plain_stream(std::size_t bytes, Load load);

}  // namespace p2p::net::testing

// What this process costs its machine.
#pragma once

#include <cstdint>

namespace p2p::tools {

struct ProcessUsage {
  std::uint64_t rss_bytes = 0;  ///< resident now
  unsigned threads = 0;
  double cpu_s = 0;  ///< user and system, since the start
};
/// Of this process, from /proc and getrusage; what cannot be read is 0.
ProcessUsage process_usage();

}  // namespace p2p::tools

// What the two modes of bench_opendht_sim share.
#pragma once

#include <cstddef>
#include <vector>

namespace p2p::swarm {

/// Of this process.
long resident_kb();
double cpu_seconds();
/// One line: how many, mean, median, 95th percentile, largest.
void print(const char* what, std::vector<double> ms);

/// `nodes` OpenDHT nodes with a UDP socket each on 127.0.0.1, all on one thread.
void bench_loopback(std::size_t nodes);

}  // namespace p2p::swarm

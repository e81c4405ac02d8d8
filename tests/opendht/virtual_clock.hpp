// The clocks and the randomness of the standard library, in the hands of a simulation.
//
// OpenDHT asks std::chrono and std::random_device, and nobody can give it others: its scheduler takes a time as an
// argument, but put and get look at the clock themselves. libopendht.so finds both functions in libstdc++.so by name
// when it is loaded, and a definition in the program comes before that one. So virtual_clock.cpp defines them, and the
// unmodified library of the distribution lives in virtual time.
//
// For test programs only. The standard does not allow it; it holds with GCC 12 and Debian 12's shared libraries, and
// follow() checks that it does. A static build, or one optimised across the library's border, would not look the
// names up and would need a patched OpenDHT, or its source built against a clock of ours.
#pragma once

#include <cstdint>

#include "overlay/sim/event_queue.hpp"

namespace p2p::swarm {

/// The wall clock's time when a simulation's is 0: 2026-01-01 00:00 UTC.
inline constexpr std::uint64_t kEpochMs = 1'767'225'600'000ull;

/// From now on steady_clock and system_clock show the time of `queue`, and random_device draws from `seed`; with
/// nullptr they are real again. One thread.
void follow(const sim::EventQueue* queue, std::uint64_t seed);

/// What a clock on the wall says, whatever is followed: to measure how long a simulation takes.
double real_seconds();

}  // namespace p2p::swarm

// A crowd wants what one node knows: bench_storm [nodes=8,64,512] [seeds=3] [rate=1000000] [alone] [deaths=0]
// Simulated links of 5 to 45 ms one way, 12.5 MB/s; each node sends at most `rate` bytes a second. The part has ten
// blocks of 24 kB that do not compress. All nodes ask the same one within half a second, and know nobody else. `alone`:
// nobody keeps what it pulled, so that all copies come from the first. `deaths`: share of the nodes that lose power
// while they pull. Virtual time; the same on every machine.
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tests/overlay/storm.hpp"

int main(int argc, char** argv) {
  using namespace p2p;
  std::vector<std::size_t> sizes{8, 64, 512};
  std::uint64_t seeds = 3;
  test::StormOptions options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    const char* value = word.find('=') == word.npos ? "" : argv[i] + word.find('=') + 1;
    if (word.starts_with("nodes=")) {
      sizes.clear();
      for (const char* at = value; *at != 0;) {
        char* end = nullptr;
        sizes.push_back(std::strtoul(at, &end, 10));
        at = *end == ',' ? end + 1 : end;
      }
    } else if (word.starts_with("seeds=")) {
      seeds = std::strtoul(value, nullptr, 10);
    } else if (word.starts_with("rate=")) {
      options.rate = std::strtoul(value, nullptr, 10);
    } else if (word.starts_with("deaths=")) {
      options.deaths = std::strtod(value, nullptr);
    } else if (word == "alone") {
      options.serve_on = false;
    } else {
      std::puts("usage: bench_storm [nodes=8,64,512] [seeds=3] [rate=1000000] [alone] [deaths=0]");
      return 2;
    }
  }
  std::puts("nodes  seed  arrived  90% have it  all have it  most sent in a second  copies sent by the first, another  bytes per byte");
  for (const auto nodes : sizes) {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
      options.nodes = nodes;
      options.seed = seed;
      const auto result = test::run_storm(options);
      std::printf("%5zu  %4llu  %7zu  %9.2f s  %9.2f s  %15llu bytes  %22.1f, %7.1f  %14.2f\n", nodes,
                  static_cast<unsigned long long>(seed), result.arrived, static_cast<double>(result.ninety.count()) / 1e6,
                  static_cast<double>(result.last.count()) / 1e6, static_cast<unsigned long long>(result.most_in_a_second),
                  result.source_copies, result.most_copies, result.overhead);
      for (const auto& failure : result.failures) std::printf("failed: %s\n", failure.c_str());
      std::fflush(stdout);
    }
  }
}

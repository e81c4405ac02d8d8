// What geo sync costs and saves: a convex problem at three sites over slow links, in virtual time.
// bench_geo [dimension [clocks]]
#include <fmt/format.h>

#include <cstdlib>

#include "tests/geo/convex.hpp"

int main(int argc, char** argv) {
  using namespace p2p::geo;
  const auto dimension = static_cast<std::uint32_t>(argc > 1 ? std::atoi(argv[1]) : 2000);
  const auto clocks = static_cast<std::uint64_t>(argc > 2 ? std::atoi(argv[2]) : 400);
  if (dimension == 0 || clocks == 0) {
    fmt::print(stderr, "usage: bench_geo [dimension [clocks]], both 1 or more\n");
    return 2;
  }
  const testing::Logistic problem(1, 3, dimension);
  const auto network = testing::slow_network();
  fmt::print("logistic regression, {} parameters, 3 sites, {} clocks of 20 ms computing, 1 Mb/s and 80-120 ms one way\n",
             dimension, clocks);
  // rho: time to send one dense fp32 update to both peers, over the time to compute it.
  fmt::print("rho (communication over computing) = {:.1f}\n\n", dimension * 4.0 * 2 / 125'000 / 0.020);
  fmt::print("{:<34} {:>9} {:>8} {:>9} {:>9} {:>11} {:>9} {:>10}\n", "policy", "objective", "time s", "to f* s", "MB sent",
             "B per value", "theirs MB", "max stale");

  double target = 0;
  const auto row = [&](const char* name, const testing::Policy& policy) {
    const auto result = testing::train(problem, policy, network, clocks);
    if (target == 0) target = result.objective * 1.001;  // the first row is bulk synchronous
    double reached = -1;
    for (const auto& [seconds, objective] : result.course) {
      if (objective <= target && reached < 0) reached = seconds;
    }
    const auto& s = result.first;
    const double values = static_cast<double>(s.values_sent);
    fmt::print("{:<34} {:>9.5f} {:>8.1f} {:>9} {:>9.3f} {:>11.2f} {:>9.3f} {:>10}\n", name, result.objective,
               result.seconds, reached < 0 ? "never" : fmt::format("{:.1f}", reached),
               static_cast<double>(result.wire_bytes) / 1e6,
               static_cast<double>(s.index_bytes + s.value_bytes) / values, static_cast<double>(result.authors_bytes) / 1e6,
               s.staleness.rbegin()->first);
  };
  row("bulk synchronous, fp32", testing::bulk_synchronous());
  row("everything, fp16, DS 2", testing::approximate(0, 2));
  for (const double v : {0.01, 0.05, 0.2}) {
    for (const std::uint64_t bound : {0, 2, 8}) {
      row(fmt::format("{:.0f} % / sqrt(t), fp16, DS {}", v * 100, bound).c_str(), testing::approximate(v, bound));
    }
  }
  testing::Policy constant = testing::approximate(0.01, 2);
  constant.significance.schedule = Schedule::constant;
  row("1 % constant, fp16, DS 2", constant);
  fmt::print("\nobjective: at the worst site, after {} clocks. to f*: until site 0 first has the final objective of the\n"
             "first row times 1.001. theirs: the same updates in the form of the authors' public code, 12 bytes a value, or\n"
             "everything at 4 bytes where that is less.\n", clocks);
}

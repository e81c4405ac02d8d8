// Prints what one value costs a drift detector, in processor time, and how often it alarms.
//   bench_detector_cost FILE [NAME ...]     FILE: a byte per value, 0 or 1; NAME: of a detector, default adwin
#include <fmt/core.h>

#include <ctime>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "learner/drift/detector.hpp"

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: bench_detector_cost FILE [NAME ...]\n");
    return 2;
  }
  std::ifstream file(argv[1], std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  if (bytes.empty()) {
    fmt::print(stderr, "{} cannot be read, or is empty\n", argv[1]);
    return 1;
  }
  std::vector<std::string> names(argv + 2, argv + argc);
  if (names.empty()) names.emplace_back("adwin");
  for (const auto& name : names) {
    auto detector = p2p::learner::make_detector(name);
    if (!detector) {
      fmt::print(stderr, "{}\n", detector.error().text());
      return 2;
    }
    std::size_t alarms = 0;
    const std::clock_t start = std::clock();
    for (const char byte : bytes) {
      alarms += (*detector)->update(byte != 0 ? 1.0 : 0.0) == p2p::learner::DriftLevel::drift;
    }
    const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    fmt::print("{{\"detector\": \"{}\", \"rows\": {}, \"ns_per_value\": {:.2f}, \"alarms\": {}}}\n", name,
               bytes.size(), seconds / static_cast<double>(bytes.size()) * 1e9, alarms);
  }
}

// Prints what one value costs a drift detector, in processor time, and how often it alarms.
//   bench_detector_cost FILE [NAME [PARAMETER=NUMBER ...] ...]
// FILE: a byte per value, 0 or 1; NAME: of a detector, default adwin; the parameters are those of the name before.
#include <fmt/core.h>

#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "learner/drift/detector.hpp"

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: bench_detector_cost FILE [NAME [PARAMETER=NUMBER ...] ...]\n");
    return 2;
  }
  std::ifstream file(argv[1], std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  if (bytes.empty()) {
    fmt::print(stderr, "{} cannot be read, or is empty\n", argv[1]);
    return 1;
  }
  struct Wanted {
    std::string name;
    std::map<std::string, double> params = {};
  };
  std::vector<Wanted> wanted;
  for (int i = 2; i < argc; ++i) {
    const std::string word = argv[i];
    const auto equals = word.find('=');
    if (equals == std::string::npos) {
      wanted.push_back({word});
    } else if (!wanted.empty()) {
      wanted.back().params[word.substr(0, equals)] = std::atof(word.c_str() + equals + 1);
    }
  }
  if (wanted.empty()) wanted.push_back({"adwin"});
  for (const auto& [name, params] : wanted) {
    auto detector = p2p::learner::make_detector(name, params);
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

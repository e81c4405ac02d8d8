// Runs a fuzz target without a fuzzer: over every file of a corpus folder, every truncation of it, and a few
// thousand seeded mutations. A crash, a sanitizer report or a failed assertion is the failure.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "metadata/base/random.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
    return 2;
  }
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::size_t inputs = 0;
  const auto run = [&](const std::vector<std::uint8_t>& input) {
    LLVMFuzzerTestOneInput(input.data(), input.size());
    ++inputs;
  };
  p2p::Random random(20190920);
  for (const auto& file : files) {
    std::ifstream in(file, std::ios::binary);
    const std::vector<std::uint8_t> seed((std::istreambuf_iterator<char>(in)), {});
    run(seed);
    const std::size_t step = std::max<std::size_t>(1, seed.size() / 200);
    for (std::size_t length = 0; length < seed.size(); length += step) run({seed.begin(), seed.begin() + static_cast<long>(length)});
    for (int mutation = 0; mutation < 400 && !seed.empty(); ++mutation) {
      auto mutated = seed;
      const auto changes = 1 + random.below(4);
      for (std::uint64_t i = 0; i < changes; ++i) {
        mutated[random.below(mutated.size())] = static_cast<std::uint8_t>(random.next());
      }
      run(mutated);
    }
  }
  std::printf("%zu files, %zu inputs\n", files.size(), inputs);
  return files.empty() ? 1 : 0;
}

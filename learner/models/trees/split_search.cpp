#include "learner/models/trees/split_search.hpp"

namespace p2p::learner {

// Defined in split_search_<name>.cpp, each compiled for its own instruction set.
extern const SplitSearch kBaseSplitSearch;
#if defined(__x86_64__)
extern const SplitSearch kAvx2SplitSearch, kAvx512SplitSearch;
#endif

std::span<const SplitSearch* const> all_split_searches() {
  struct Available {
    const SplitSearch* sets[3];
    std::size_t count = 0;
    Available() {
      sets[count++] = &kBaseSplitSearch;
#if defined(__x86_64__)
      if (__builtin_cpu_supports("avx2")) sets[count++] = &kAvx2SplitSearch;
      if (__builtin_cpu_supports("avx512f")) sets[count++] = &kAvx512SplitSearch;
#endif
    }
  };
  static const Available found;
  return {found.sets, found.count};
}

const SplitSearch& split_search(std::size_t features) {
  const auto all = all_split_searches();
  std::size_t chosen = 0;
  while (chosen + 1 < all.size() && features > all[chosen + 1]->width / 2) ++chosen;
  return *all[chosen];
}

}  // namespace p2p::learner

#include "learner/kernels/kernels.hpp"

namespace p2p::learner {

// Defined in kernels_<name>.cpp, each compiled for its own instruction set.
extern const Kernels kBaseKernels;
#if defined(__x86_64__)
extern const Kernels kAvx2Kernels, kAvx512Kernels;
#endif

namespace {

struct Available {
  const Kernels* sets[3];
  std::size_t count = 0;

  // A table of pointers and a question to the processor, not GCC's target_clones: those resolve
  // through ifuncs, before sanitizers and valgrind are ready, and clang 14 has none.
  Available() {
    sets[count++] = &kBaseKernels;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) sets[count++] = &kAvx2Kernels;
    if (__builtin_cpu_supports("avx512f")) sets[count++] = &kAvx512Kernels;
#endif
  }
};

const Available& available() {
  static const Available found;
  return found;
}

}  // namespace

const Kernels& kernels() { return *available().sets[available().count - 1]; }

std::span<const Kernels* const> all_kernels() { return {available().sets, available().count}; }

}  // namespace p2p::learner

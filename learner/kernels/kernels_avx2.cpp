// The kernels for AVX2.
#define P2P_KERNELS_TABLE kAvx2Kernels
#define P2P_KERNELS_NAME "avx2"
#define P2P_KERNELS_WIDTH 8
#include "learner/kernels/kernels_impl.hpp"

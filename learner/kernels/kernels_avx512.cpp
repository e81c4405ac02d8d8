// The kernels for AVX-512F.
#define P2P_KERNELS_TABLE kAvx512Kernels
#define P2P_KERNELS_NAME "avx512"
#define P2P_KERNELS_WIDTH 16
#include "learner/kernels/kernels_impl.hpp"

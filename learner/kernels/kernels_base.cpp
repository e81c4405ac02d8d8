// The kernels for what every x86-64 processor has; elsewhere whatever the compiler makes of vectors
// of four.
#define P2P_KERNELS_TABLE kBaseKernels
#define P2P_KERNELS_NAME "base"
#define P2P_KERNELS_WIDTH 4
#include "learner/kernels/kernels_impl.hpp"

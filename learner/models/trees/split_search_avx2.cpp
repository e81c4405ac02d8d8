// The search for a split with vectors of 8 floats.
#define P2P_SPLIT_NAME kAvx2SplitSearch
#define P2P_SPLIT_TEXT "avx2"
#define P2P_SPLIT_WIDTH 8
#include "learner/models/trees/split_search_impl.hpp"

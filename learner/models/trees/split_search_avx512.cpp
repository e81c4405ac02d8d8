// The search for a split with vectors of 16 floats.
#define P2P_SPLIT_NAME kAvx512SplitSearch
#define P2P_SPLIT_TEXT "avx512"
#define P2P_SPLIT_WIDTH 16
#include "learner/models/trees/split_search_impl.hpp"

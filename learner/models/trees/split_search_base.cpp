// The search for a split with vectors of 4 floats.
#define P2P_SPLIT_NAME kBaseSplitSearch
#define P2P_SPLIT_TEXT "base"
#define P2P_SPLIT_WIDTH 4
#include "learner/models/trees/split_search_impl.hpp"

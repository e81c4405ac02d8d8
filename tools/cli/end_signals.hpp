// The signals that end a command in order.
#pragma once

#include <signal.h>

namespace p2p::tools {

/// Blocks SIGINT and SIGTERM, so that whoever wants to end in order waits for them, and makes writing to a peer that has
/// gone an error. Before any thread is made: threads inherit the mask. Returns the two.
sigset_t block_end_signals();

}  // namespace p2p::tools

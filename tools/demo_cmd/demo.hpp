// `p2p-learner demo`: real nodes on this machine, a script of changes, and what came of them.
#pragma once

namespace p2p::tools {

/// The command. argv[0] is its name; `--help` tells the rest. Returns the exit status
/// (cli/exit_codes.hpp): 0 when the demonstration ran, whatever its nodes did; 130 when it was
/// interrupted, after the summary of what had happened.
///
/// It writes one stream per node, starts this same program once per node (`run --config ...`), lets
/// them join, tells them to start, and reads what they say; it has no other access to them. A
/// node's twin is another learner in the same process, isolated, on the same samples.
///
/// Samples to recover, the figure that everything here leads to (recovery.hpp has the code): the
/// smallest k such that the accuracy over samples [at+k, at+k+100) is at least the recovery level
/// and over the 100 after these at least the level - 0.05, where `at` is the scripted change. The
/// level is the same for node and twin and comes from the twin alone:
///
///   min( twin's accuracy over the last 300 samples of the phase - 0.03,
///        twin's accuracy over the 300 samples before the change - 0.05 )
///
/// that is, what this model reaches here when left alone; or as good as before, where the new phase
/// is easier. Windows look ahead, so neither side carries a lag. No such k within the phase:
/// censored, null in the JSON with "censored": true, and larger than all in medians. Ratios are
/// twin / node with both raised to at least 10.
int run_demo(int argc, char** argv);

}  // namespace p2p::tools

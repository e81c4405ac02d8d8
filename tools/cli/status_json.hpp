// A node's values as JSON: one form for the lines of `run`, the control socket and the demo.
#pragma once

#include "metadata/task.hpp"
#include "overlay/host/edge_node.hpp"
#include "tools/cli/output.hpp"
#include "tools/cli/process_usage.hpp"

namespace p2p::tools {

/// Durations become "*_ms" with a fraction; classes become their names.
Json to_json(const node::DriftReport& report, const metadata::Task& task);
/// The same with "steps": every step of the story. Figures of a step become its members.
Json story_json(const node::DriftReport& report, const metadata::Task& task);
Json to_json(const node::Event& event, const metadata::Task& task);
Json to_json(const overlay::PeerStats& peer);
Json to_json(const overlay::DhtStats& stats);
Json to_json(const directory::LookupResult& result, const metadata::Task& task);
Json to_json(const ProcessUsage& usage);
/// All of it, peers included; drifts are separate.
Json to_json(const host::EdgeNodeStatus& status);

double to_ms(overlay::Duration duration);
/// 0 stands for "not measured": null.
Json ms_or_null(overlay::Duration duration);

}  // namespace p2p::tools

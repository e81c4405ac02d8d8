// The result as data, for --json.
#pragma once

#include <vector>

#include "tools/cli/output.hpp"
#include "tools/demo_cmd/result.hpp"

namespace p2p::tools {

/// Keys: see README.md. Numbers that are not there are null; a recovery that did not happen within
/// its phase is null with "censored": true beside it.
Json to_json(const DemoResult& result);

/// Of --seeds: {"runs": [...], "medians": {...}}.
Json to_json(const std::vector<DemoResult>& results);

}  // namespace p2p::tools

// The result as one HTML page that needs nothing else.
#pragma once

#include <string>
#include <string_view>

#include "tools/demo_cmd/result.hpp"

namespace p2p::tools {

/// The page. Self-contained: style and plots (SVG) are in it, nothing is loaded, no script runs.
std::string report_html(const DemoResult& result);

/// Writes it to `folder`/demo-seed-N.html, making the folder; returns the path. `io` or `full` name
/// it.
Result<std::string> write_report(const DemoResult& result, const std::string& folder);

/// Makes the folder and sees that files can be written there, before an hour's work depends on it.
/// Empty: nothing to do.
Result<void> check_folder(const std::string& folder);

}  // namespace p2p::tools

// The one screen at the end.
#pragma once

#include <string>
#include <vector>

#include "tools/demo_cmd/result.hpp"
#include "tools/demo_cmd/terminal.hpp"

namespace p2p::tools {

/// The result as lines, none wider than the paper.
std::vector<std::string> final_screen(const DemoResult& result, const Paper& paper);

/// Medians over several demonstrations.
std::vector<std::string> medians_screen(const std::vector<DemoResult>& results, const Paper& paper);

/// "+3: coat, bag, shirt", "images rotated": what a scripted change is.
std::string change_text(const Scripted& scripted, const std::vector<std::string>& classes);

/// "120", or ">1100" when it did not happen within the `room` samples that there were; "-" when not
/// measured.
std::string recovery_text(const std::optional<std::uint64_t>& samples, bool measured,
                          std::uint64_t room);
/// "2.1", ">" when the twin never recovered.
std::string ratio_text(const std::optional<Censored>& ratio);

}  // namespace p2p::tools

// What all overlay commands share: which node is asked, and its task.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "metadata/task.hpp"
#include "tools/cli/control_protocol.hpp"

namespace p2p::tools {

struct OverlayTarget {
  std::string state_dir, socket;
  bool json = false;

  /// --state-dir, --socket, --json.
  void add_options(CLI::App& command, const char* json_help);
  tl::expected<Json, Refusal> ask(std::string_view command, const Json& arguments = Json::object()) const;
  /// The task that the node has: what it sends must hash to the id that it names.
  tl::expected<metadata::Task, Refusal> task() const;
};

/// First 16 digits of an entry's node.
std::string brief_id(const Json& entry);
/// What of its node an entry shows: "now", or "concept 3" that it has archived.
std::string shown_text(const Json& entry);
/// "3 nodes", "1 node and 2 archived concepts": a node may show several things, and is counted as one only for what it serves now.
std::string presences_text(const Json& entries);
/// Classes with a recall of a half and more; "-" for none.
std::string known_classes(const Json& entry);

}  // namespace p2p::tools

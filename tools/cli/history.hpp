// The stories of a node's drifts: what is asked for, the answer, and both as text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/cli/status_json.hpp"

namespace p2p::tools {

/// {"command": "history", "id": 7} or with "last": 10; {"command": "rollback", "id": 7, "redo": true}.
struct JournalRequest {
  std::optional<std::uint64_t> id;
  std::optional<std::uint64_t> last;
  bool redo = false;
};
/// `invalid_argument` when a member is not what it should be, or a rollback names no drift.
Result<JournalRequest> parse_journal_request(std::string_view command, const Json& request);

/// {"drift": story} of the one asked for, else {"drifts": [report, ...], "kept": how many there are}, oldest first.
/// `not_found`.
Result<Json> history_json(const std::vector<node::DriftReport>& drifts, const JournalRequest& asked,
                          const metadata::Task& task);

/// For people: a line a drift, or one story step by step.
std::string history_text(const Json& answer);
/// Local time, as "2026-11-28 05:26:48"; "-" for 0.
std::string moment(std::uint64_t wall_ms);

}  // namespace p2p::tools

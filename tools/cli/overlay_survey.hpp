// All buckets of a task, read one after the other from the roots down.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "metadata/task.hpp"
#include "tools/cli/control_protocol.hpp"
#include "tools/cli/overlay_places.hpp"

namespace p2p::tools {

/// What is read, and how much of it.
struct SurveyPlan {
  std::vector<std::size_t> tables;  ///< of kIndexTables
  bool labels = true;
  std::size_t most = 512;           ///< buckets read, 12 KB and more each
  /// Per table, the depth at which the asked node is listed.
  std::array<std::uint8_t, kIndexTables.size()> depth{};
  /// Per table, where nodes are known to be: prefixes of Place::kMaxDepth bits.
  std::array<std::vector<std::uint32_t>, kIndexTables.size()> known{};
};
/// From the answers to overlay_keys and overlay_nodes; members that are not there leave the plan as it is.
void complete(SurveyPlan& plan, const Json& keys, const Json& nodes);

struct SurveyedBucket {
  metadata::Place place;
  Json answer;  ///< to overlay_get
  std::size_t listed() const { return answer["entries"].size(); }
  double crowd() const { return answer["crowd"].get<double>(); }
};
struct Survey {
  std::vector<SurveyedBucket> buckets;  ///< all that were read, the empty ones too, shallow ones first
  std::vector<std::string> failed;      ///< that the table did not give
  std::size_t unread = 0;               ///< that were still to be read when `most` had been
};

/// Labels, then all tables level by level. What is below a bucket is read if more nodes belong to it than are listed in
/// one, or if somebody who belongs there is known to be listed deeper. So a table of N nodes costs about N reads at eight to a
/// bucket, and no more than `most`.
///
/// Errors: where the first bucket cannot be read, or the node goes away. One that the table does not give is told and passed over.
using ReadBucket = std::function<tl::expected<Json, Refusal>(const std::string& bucket)>;
/// `read`: how many, and how many are known to be left.
using SurveyProgress = std::function<void(std::size_t read, std::size_t left)>;
tl::expected<Survey, Refusal> survey(const SurveyPlan& plan, const metadata::Task& task, const ReadBucket& read,
                                     const SurveyProgress& progress);

}  // namespace p2p::tools

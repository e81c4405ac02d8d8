// How the directory looks, for scripts, and what is asked of it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "metadata/similarity.hpp"
#include "metadata/task.hpp"
#include "overlay/directory/directory.hpp"
#include "tools/cli/output.hpp"

namespace p2p::tools {

/// {"nodes": [...], totals, routing}: whom the node has in mind. `own`: its sketch, if it has learned something.
Json nodes_json(const directory::Standing& standing, const overlay::DhtStats& table,
                const std::optional<metadata::Sketch>& own, const metadata::Task& task);
/// {"buckets": [...]}: where it is listed, or would be.
Json keys_json(const directory::Standing& standing, const metadata::Task& task);
/// {"bucket", "key", "entries": [...], ...}: what is under one key.
Json bucket_json(const directory::Bucket& bucket, const metadata::Task& task);
/// What an entry says of its node; "concept" is null for what the node serves now, else the number of one that it has archived.
Json entry_json(const metadata::Entry& entry, const metadata::Task& task);
/// An entry with its distance to what was asked: `exact` where the node's fingerprint has come, else estimated; null where only
/// classes were asked for.
Json candidate_json(const directory::Candidate& candidate, const metadata::Need& need, const metadata::Task& task);
/// What a lookup cost.
Json cost_json(const directory::LookupResult& result);

/// A need as a request on the control socket carries it: "fingerprint" (hexadecimal digits of the packed form), "by"
/// ("joint", "marginal" or "classes"), "classes" (their numbers).
Json need_json(const metadata::Need& need);
/// The inverse, bounded by the task: a fingerprint of other dimensions or classes, or a class that the task does not have, is
/// `invalid_argument` or `malformed`. Without a fingerprint `own` is the experience, or none with "by": "classes".
Result<metadata::Need> parse_need(const Json& request, const metadata::Task& task, const metadata::Fingerprint& own);
/// The longest request that parse_need has to take: what the control socket must let through.
std::size_t longest_need(const metadata::Task& task);

}  // namespace p2p::tools

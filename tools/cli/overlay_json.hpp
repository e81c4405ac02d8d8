// How the directory looks, for people and scripts: buckets by name, contacts, listings.
#pragma once

#include <string>
#include <string_view>

#include "metadata/task.hpp"
#include "overlay/directory/directory.hpp"
#include "tools/cli/output.hpp"

namespace p2p::tools {

/// "joint/0/3/5" (table, depth, prefix), "marginal/0/3/5", or "label/NAME" with a class of the task.
std::string place_text(const metadata::Place& place, const metadata::Task& task);
/// The inverse; `invalid_argument` says what a bucket is called.
Result<metadata::Place> parse_place(std::string_view text, const metadata::Task& task);

/// {"nodes": [...], totals}: whom the node has in mind.
Json nodes_json(const directory::Standing& standing, const metadata::Task& task);
/// {"buckets": [...]}: where it is listed, or would be.
Json keys_json(const directory::Standing& standing, const metadata::Task& task);
/// {"bucket", "key", "entries": [...], ...}: what is under one key.
Json bucket_json(const directory::Bucket& bucket, const metadata::Task& task);
/// What an entry says of its node.
Json entry_json(const metadata::Entry& entry, const metadata::Task& task);

}  // namespace p2p::tools

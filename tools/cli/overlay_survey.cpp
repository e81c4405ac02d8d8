#include "tools/cli/overlay_survey.hpp"

#include <algorithm>
#include <deque>

#include "metadata/record.hpp"
#include "overlay/directory/directory.hpp"

namespace p2p::tools {

namespace {

using metadata::Place;

/// More than that belong to a bucket: some of them are listed deeper.
const double kFull = directory::DhtDirectoryOptions{}.crowd;

bool lies_in(std::uint32_t prefix, const Place& place) { return (prefix & ((1u << place.depth) - 1)) == place.prefix; }

}  // namespace

void complete(SurveyPlan& plan, const Json& keys, const Json& nodes) {
  for (std::size_t i = 0; i < kIndexTables.size(); ++i) {
    const std::string name(kIndexTables[i].name);
    for (const auto& one : keys.value("buckets", Json::array())) {
      if (one["bucket"].get_ref<const std::string&>().starts_with(name + "/")) {
        plan.depth[i] = std::max(plan.depth[i], one["depth"].get<std::uint8_t>());
      }
    }
    const auto add = [&](const Json& of) {
      if (of.contains("prefixes") && of["prefixes"].is_object()) plan.known[i].push_back(of["prefixes"][name].get<std::uint32_t>());
    };
    add(nodes);
    for (const auto& node : nodes.value("nodes", Json::array())) add(node);
  }
}

tl::expected<Survey, Refusal> survey(const SurveyPlan& plan, const metadata::Task& task, const ReadBucket& read,
                                     const SurveyProgress& progress) {
  Survey out;
  std::deque<std::pair<Place, std::size_t>> waiting;  // and its table
  const auto labels = plan.labels ? std::min(task.classes.size(), metadata::Entry::kMaxListedClasses) : 0;
  for (std::size_t c = 0; c < labels; ++c) {
    waiting.emplace_back(Place{Place::Kind::label, static_cast<std::uint16_t>(c), 0, 0}, kIndexTables.size());
  }
  for (const auto table : plan.tables) {
    waiting.emplace_back(Place{kIndexTables[table].kind, kIndexTables[table].table, 0, 0}, table);
  }
  for (std::size_t done = 0; !waiting.empty(); ++done) {
    if (done == plan.most) break;
    const auto [place, table] = waiting.front();
    waiting.pop_front();
    const auto name = place_text(place, task);
    auto answer = read(name);
    if (!answer) {
      const bool silent = answer.error().context == Context::answer && (answer.error().error.code == ErrorCode::timeout ||
                                                                        answer.error().error.code == ErrorCode::unavailable);
      if (!silent || done == 0) return tl::unexpected(answer.error());
      out.failed.push_back(name);
      progress(done + 1, waiting.size());
      continue;
    }
    out.buckets.push_back({place, std::move(*answer)});
    const auto& bucket = out.buckets.back();
    if (table < kIndexTables.size() && place.depth < Place::kMaxDepth) {
      const auto& known = plan.known[table];
      const bool deeper = place.depth < plan.depth[table] &&
                          (place.depth == 0 || bucket.listed() > 0 ||
                           std::any_of(known.begin(), known.end(), [&at = place](auto prefix) { return lies_in(prefix, at); }));
      if (bucket.crowd() > kFull || deeper) {
        for (std::uint32_t i = 0; i < 1u << Place::kLevelBits; ++i) {
          waiting.emplace_back(Place{place.kind, place.table, static_cast<std::uint8_t>(place.depth + Place::kLevelBits),
                                     place.prefix | i << place.depth},
                               table);
        }
      }
    }
    progress(done + 1, waiting.size());
  }
  out.unread = waiting.size();
  return out;
}

}  // namespace p2p::tools

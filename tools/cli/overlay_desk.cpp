#include "tools/cli/overlay_desk.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "tools/cli/overlay_json.hpp"
#include "tools/cli/overlay_places.hpp"

namespace p2p::tools {

namespace {

using metadata::Place;

/// A number within bounds, or what it is when it is not named.
Result<double> bounded(const Json& request, const char* member, double least, double most, double otherwise) {
  if (!request.contains(member)) return otherwise;
  const auto& value = request[member];
  const double number = value.is_number() ? value.get<double>() : least - 1;
  if (!(number >= least && number <= most)) {
    return fail(ErrorCode::invalid_argument, fmt::format("\"{}\" is a number from {} to {}", member, least, most));
  }
  return number;
}

Result<std::uint64_t> number_of(const Json& request) {
  if (!request.contains("number") || !request["number"].is_number_unsigned()) {
    return fail(ErrorCode::invalid_argument, "\"number\" is missing: the one that overlay_lookup or overlay_watch answered");
  }
  return request["number"].get<std::uint64_t>();
}

Error over() {
  return {ErrorCode::not_found, "the node has no such inquiry any more: it was ended, or nobody asked for it for a while", {}};
}

/// Buckets deeper than find_place hashes by itself: the node's own and those of whom it has in mind.
std::vector<Place> deep_places(const directory::Standing& standing) {
  std::vector<Place> out;
  for (const auto& listed : standing.places) out.push_back(listed.place);
  for (const auto& contact : standing.contacts) {
    for (const auto& table : kIndexTables) {
      for (int depth = kSearchDepth + Place::kLevelBits; depth <= Place::kMaxDepth; depth += Place::kLevelBits) {
        out.push_back(metadata::place_of(contact.entry.sketch, table.kind, table.table, static_cast<std::uint8_t>(depth)));
      }
    }
  }
  return out;
}

}  // namespace

void OverlayDesk::Mailbox::put(const directory::Candidate& candidate) {
  const std::lock_guard lock(mutex);
  if (arrived.size() < kMostLetters) {
    arrived.push_back(candidate);
  } else {
    ++dropped;
  }
}

Result<Json> OverlayDesk::answer(std::string_view command, const Json& request) {
  if (command == "task") return Json{{"task", metadata::to_toml(task_)}, {"id", to_hex(metadata::id(task_).view())}};
  if (command == "overlay_nodes") return nodes();
  if (command == "overlay_keys") {
    return node_.standing().map([this](const auto& standing) { return keys_json(standing, task_); });
  }
  if (command == "overlay_get") return get(request);
  if (command == "overlay_lookup") return lookup(request);
  if (command == "overlay_watch") return watch(request);
  if (command == "overlay_poll") return poll(request);
  if (command == "overlay_end") return end(request);
  return fail(ErrorCode::invalid_argument,
              "of the overlay there are overlay_nodes, overlay_keys, overlay_get, overlay_lookup, overlay_watch, overlay_poll and "
              "overlay_end");
}

Result<Json> OverlayDesk::nodes() const {
  const auto standing = node_.standing();
  if (!standing) return tl::unexpected(standing.error());
  std::optional<metadata::Sketch> own;
  const auto experience = node_.fingerprint();
  if (experience && experience->samples() > 0) own = metadata::Sketcher(task_).sketch(*experience);
  auto out = nodes_json(*standing, node_.status().overlay, own, task_);
  out["silence"] = node_.has_table() && out["routing"]["good_nodes"] == 0 ? Json(node_.silence({}).message) : Json(nullptr);
  return out;
}

Result<Json> OverlayDesk::get(const Json& request) const {
  if (!request.contains("bucket") || !request["bucket"].is_string()) {
    return fail(ErrorCode::invalid_argument,
                "overlay_get needs a bucket, like {\"command\": \"overlay_get\", \"bucket\": \"joint/0/3/5\"}");
  }
  const auto asked = request["bucket"].get<std::string>();
  std::optional<Place> place;
  if (const auto key = parse_key(asked)) {
    const auto standing = node_.standing();
    if (!standing) return tl::unexpected(standing.error());
    place = find_place(*key, task_, deep_places(*standing));
    for (const auto& contact : standing->contacts) {
      if (!place && metadata::text_key(metadata::twin_name(contact.entry.node)) == *key) {
        return fail(ErrorCode::invalid_argument,
                    fmt::format("{} is no bucket: it is where node {} publishes its line for people; read it with dhtnode, "
                                "`g {}`",
                                asked, contact.entry.node.brief(), metadata::twin_name(contact.entry.node)));
      }
    }
    if (!place) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("{} is the key of no bucket of this task that this node can tell: of none down to depth {}, of no "
                              "label, of none of its own or its contacts' deeper ones. It may be of another task",
                              asked, int{kSearchDepth}));
    }
  } else {
    const auto parsed = parse_place(asked, task_);
    if (!parsed) return tl::unexpected(parsed.error());
    place = *parsed;
  }
  return node_.read_bucket(*place).map([this](const auto& bucket) { return bucket_json(bucket, task_); });
}

Result<metadata::Need> OverlayDesk::need_of(const Json& request) const {
  const auto own = node_.fingerprint();
  if (!own) return tl::unexpected(own.error());
  return parse_need(request, task_, *own);
}

Result<Json> OverlayDesk::lookup(const Json& request) {
  auto need = need_of(request);
  if (!need) return tl::unexpected(need.error());
  const auto want = bounded(request, "want", 1, kMostWanted, 5);
  if (!want) return tl::unexpected(want.error());
  constexpr double kMostMs = std::chrono::milliseconds(kLongestLookup).count();
  const auto deadline = bounded(request, "deadline_ms", 1, kMostMs, 2000);
  if (!deadline) return tl::unexpected(deadline.error());
  directory::LookupOptions how;
  how.want = static_cast<std::size_t>(*want);
  how.deadline = std::chrono::milliseconds(static_cast<std::int64_t>(*deadline));
  // Who wants more has more asked: the nearest `want` must answer, and twice as many fingerprints are compared.
  how.questions = std::max(how.questions, how.want + how.want / 2);
  how.fetches = std::max(how.fetches, 2 * how.want);
  auto mailbox = std::make_shared<Mailbox>();
  how.on_candidate = [mailbox](const directory::Candidate& candidate) { mailbox->put(candidate); };
  const auto heard = node_.table().received_packets;
  auto begun = node_.lookup(*need, how, [mailbox](directory::LookupResult result) {
    const std::lock_guard lock(mailbox->mutex);
    mailbox->result = std::move(result);
  });
  if (!begun) return tl::unexpected(begun.error());
  return keep({std::move(*need), std::move(mailbox), 0, Clock::now(), heard});
}

Result<Json> OverlayDesk::watch(const Json& request) {
  auto need = need_of(request);
  if (!need) return tl::unexpected(need.error());
  const auto within = bounded(request, "within", 0.001, 1000, 1000);
  if (!within) return tl::unexpected(within.error());
  auto mailbox = std::make_shared<Mailbox>();
  const auto heard = node_.table().received_packets;
  const auto number =
      node_.watch(*need, *within, [mailbox](const directory::Candidate& candidate) { mailbox->put(candidate); });
  if (!number) return tl::unexpected(number.error());
  return keep({std::move(*need), std::move(mailbox), *number, Clock::now(), heard});
}

Result<Json> OverlayDesk::keep(Inquiry inquiry) {
  const auto watch = inquiry.watch;
  {
    const std::lock_guard lock(mutex_);
    if (inquiries_.size() < kMost) {
      const auto number = next_++;
      inquiries_.emplace(number, std::move(inquiry));
      return Json{{"number", number}};
    }
  }
  if (watch != 0) node_.unwatch(watch);
  return fail(ErrorCode::limit_exceeded, fmt::format("this node holds {} inquiries already; end one first", kMost));
}

Result<Json> OverlayDesk::poll(const Json& request) {
  const auto number = number_of(request);
  if (!number) return tl::unexpected(number.error());
  std::shared_ptr<Mailbox> mailbox;
  metadata::Need need;
  Inquiry inquiry;
  {
    const std::lock_guard lock(mutex_);
    const auto found = inquiries_.find(*number);
    if (found == inquiries_.end()) return tl::unexpected(over());
    found->second.asked = Clock::now();
    inquiry = found->second;
    mailbox = inquiry.mailbox;
    need = inquiry.need;
  }
  std::deque<directory::Candidate> arrived;
  std::uint64_t dropped = 0;
  std::optional<directory::LookupResult> result;
  {
    const std::lock_guard lock(mailbox->mutex);
    arrived.swap(mailbox->arrived);
    std::swap(dropped, mailbox->dropped);
    result = std::exchange(mailbox->result, std::nullopt);
  }
  const auto listed = [&](const auto& candidates) {
    Json out = Json::array();
    for (const auto& candidate : candidates) out.push_back(candidate_json(candidate, need, task_));
    return out;
  };
  Json out{{"arrived", listed(arrived)}, {"dropped", dropped}, {"over", result.has_value()}};
  out["silence"] = arrived.empty() && (!result || result->answers + result->values == 0) ? silence(inquiry, result.has_value()) : Json(nullptr);
  if (result) {
    out["candidates"] = listed(result->candidates);
    out["cost"] = cost_json(*result);
    const std::lock_guard lock(mutex_);
    inquiries_.erase(*number);
  }
  return out;
}

Json OverlayDesk::silence(const Inquiry& inquiry, bool over) const {
  const auto waited = std::chrono::duration_cast<overlay::Duration>(Clock::now() - inquiry.begun);
  if (!over && (inquiry.watch == 0 || waited < host::EdgeNode::kSilence)) return nullptr;
  // A watch at a registry gets nothing unless somebody appears: that is no silence.
  const auto table = node_.table();
  if (table.received_packets != inquiry.heard_before || (inquiry.watch != 0 && !node_.has_table())) return nullptr;
  return node_.silence(waited).message;
}

Result<Json> OverlayDesk::end(const Json& request) {
  const auto number = number_of(request);
  if (!number) return tl::unexpected(number.error());
  std::uint64_t watch = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto found = inquiries_.find(*number);
    if (found == inquiries_.end()) return tl::unexpected(over());
    watch = found->second.watch;
    inquiries_.erase(found);
  }
  if (watch != 0) node_.unwatch(watch);
  return Json{{"ok", true}};
}

void OverlayDesk::drop_forgotten(Clock::time_point now) {
  std::vector<std::uint64_t> watches;
  {
    const std::lock_guard lock(mutex_);
    for (auto at = inquiries_.begin(); at != inquiries_.end();) {
      if (now - at->second.asked < kForgottenAfter) {
        ++at;
        continue;
      }
      if (at->second.watch != 0) watches.push_back(at->second.watch);
      at = inquiries_.erase(at);
    }
  }
  for (const auto watch : watches) node_.unwatch(watch);
}

std::size_t OverlayDesk::open() const {
  const std::lock_guard lock(mutex_);
  return inquiries_.size();
}

}  // namespace p2p::tools

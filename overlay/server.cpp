#include "overlay/server.hpp"

#include <algorithm>
#include <type_traits>

namespace p2p::overlay {

namespace {

constexpr std::size_t kFrameMargin = 512;       // of a frame around its content
constexpr std::size_t kPageElements = 1u << 15; // msgpack elements in a page; the decoder's bound is far above
constexpr std::size_t kMaxGuests = 4096;

Refusal refuse(Refusal::Why why, std::string text, std::uint32_t retry_ms = 0) {
  return {why, retry_ms, std::move(text)};
}

Refusal not_served() { return refuse(Refusal::Why::not_served, "this task is not served here"); }
Refusal gone() { return refuse(Refusal::Why::gone, "that snapshot is gone; ask for the manifest again"); }

}  // namespace

Server::Guest& Server::guest(const NodeId& peer) {
  const auto now = executor_.now();
  const auto rate = static_cast<double>(limits_.requests_per_second);
  const auto [it, fresh] = guests_.try_emplace(peer);
  Guest& guest = it->second;
  if (fresh) guest.tokens = rate;
  const double seconds = static_cast<double>((now - guest.refilled).count()) * 1e-6;
  if (!fresh) {
    guest.tokens = std::min(rate, guest.tokens + seconds * rate);
    guest.refusals = std::max(0.0, guest.refusals - seconds * rate);
  }
  guest.refilled = now;
  while (!guest.opened.empty() && now - guest.opened.front() >= limits_.snapshot_life) {
    guest.opened.pop_front();
  }
  // Whoever has not asked for a life is as good as new.
  if (guests_.size() > kMaxGuests) {
    std::erase_if(guests_, [&](const auto& entry) {
      return entry.first != peer && now - entry.second.refilled >= limits_.snapshot_life;
    });
  }
  return guest;
}

Server::Answer Server::answer(const NodeId& peer, const Hello& bounds, const Message& request) {
  forget_old();
  Guest& asking = guest(peer);
  if (asking.tokens < 1) {
    asking.refusals += 1;
    const bool abusive = asking.refusals > static_cast<double>(limits_.requests_per_second);
    if (std::holds_alternative<Feedback>(request)) return {std::nullopt, abusive};
    const auto wait = 1000 / std::max<std::size_t>(1, limits_.requests_per_second) + 1;
    return {refuse(Refusal::Why::busy, "too many requests", static_cast<std::uint32_t>(wait)), abusive};
  }
  asking.tokens -= 1;
  if (const auto* feedback = std::get_if<Feedback>(&request)) {
    if (host_.on_feedback) host_.on_feedback(peer, feedback->task, feedback->gain);
    return {};
  }
  Message message = std::visit(
      [&](const auto& asked) -> Message {
        using Asked = std::decay_t<decltype(asked)>;
        if constexpr (std::is_same_v<Asked, DescribeRequest> || std::is_same_v<Asked, ManifestRequest> ||
                      std::is_same_v<Asked, PageRequest> || std::is_same_v<Asked, ChunkRequest>) {
          return serve(asking, bounds, asked);
        } else {
          return refuse(Refusal::Why::bad_request, "that is no request");
        }
      },
      request);
  if (!std::holds_alternative<Refusal>(message)) ++served_;
  return {std::move(message), false};
}

Message Server::serve(Guest& guest, const Hello& bounds, const DescribeRequest& request) {
  Bytes sealed = host_.describe ? host_.describe(request.task) : Bytes{};
  if (sealed.empty()) return not_served();
  if (sealed.size() > limits_.description_bytes) {
    return refuse(Refusal::Why::too_large, "the description passes this node's own bound");
  }
  const std::size_t room = std::min<std::size_t>(limits_.frame_bytes, bounds.frame_bytes) - kFrameMargin;
  if (sealed.size() <= room) return DescriptionAnswer{0, sealed.size(), std::move(sealed)};

  if (guest.opened.size() >= kSnapshotsPerPeer) {
    return refuse(Refusal::Why::busy, "too many snapshots are open", 1000);
  }
  guest.opened.push_back(executor_.now());
  DescriptionAnswer out;
  out.total = sealed.size();
  out.bytes.assign(sealed.begin(), sealed.begin() + static_cast<std::ptrdiff_t>(room));
  Snapshot snapshot;
  snapshot.task = request.task;
  snapshot.bytes = sealed.size();
  snapshot.description = std::move(sealed);
  out.snapshot = keep(std::move(snapshot));
  return out;
}

Message Server::serve(Guest& guest, const Hello& bounds, const ManifestRequest& request) {
  if (request.classes.size() > metadata::kMaxTaskClasses) {
    return refuse(Refusal::Why::bad_request, "no task has so many classes");
  }
  auto classes = request.classes;  // one question, however it is written
  std::sort(classes.begin(), classes.end());
  classes.erase(std::unique(classes.begin(), classes.end()), classes.end());
  const auto now = executor_.now();
  for (auto& [id, snapshot] : snapshots_) {
    if (snapshot.offer && now - snapshot.made < kFresh && snapshot.task == request.task &&
        snapshot.classes == classes) {
      snapshot.used = now;
      return page(bounds, id, snapshot, 0);
    }
  }
  if (guest.opened.size() >= kSnapshotsPerPeer) {
    return refuse(Refusal::Why::busy, "too many snapshots are open", 1000);
  }
  Snapshot snapshot;
  snapshot.offer = host_.offer ? host_.offer(request.task, classes) : nullptr;
  if (!snapshot.offer) return not_served();
  guest.opened.push_back(now);
  const Offer& offer = *snapshot.offer;
  std::size_t content = 0;
  bool fits = offer.blocks.size() <= limits_.blocks && offer.family.size() <= kMaxNameBytes;
  for (const auto& block : offer.blocks) {
    content += block.content.size();
    fits = fits && block.content.size() <= limits_.block_bytes && block.name.size() <= kMaxNameBytes &&
           block.classes.size() <= kMaxClasses && content <= limits_.part_bytes;
    if (!fits) break;
    snapshot.lines.push_back({block.name, block.classes, block.evidence, block.content.size(),
                              metadata::sha256(block.content)});
    snapshot.bytes += line_bytes(snapshot.lines.back());
  }
  snapshot.bytes += content + classes.size() * sizeof classes[0];
  if (!fits) return refuse(Refusal::Why::too_large, "the part passes this node's own bounds");
  snapshot.task = request.task;
  snapshot.classes = std::move(classes);
  const auto id = keep(std::move(snapshot));
  return page(bounds, id, snapshots_.at(id), 0);
}

Message Server::serve(Guest&, const Hello& bounds, const PageRequest& request) {
  const Snapshot* snapshot = find(request.snapshot);
  if (snapshot == nullptr || !snapshot->offer) return gone();
  if (request.first >= snapshot->lines.size()) {
    return refuse(Refusal::Why::bad_request, "the manifest has no such line");
  }
  return page(bounds, request.snapshot, *snapshot, request.first);
}

Message Server::serve(Guest&, const Hello& bounds, const ChunkRequest& request) {
  const Snapshot* snapshot = find(request.snapshot);
  if (snapshot == nullptr) return gone();
  ByteView content;
  if (snapshot->offer) {
    if (request.block >= snapshot->offer->blocks.size()) {
      return refuse(Refusal::Why::bad_request, "the manifest has no such block");
    }
    content = snapshot->offer->blocks[request.block].content;
  } else {
    if (request.block != 0) return refuse(Refusal::Why::bad_request, "a description is one block");
    content = snapshot->description;
  }
  const std::size_t most =
      std::min({limits_.chunk_bytes, limits_.frame_bytes - kFrameMargin, bounds.frame_bytes - kFrameMargin});
  if (request.length == 0 || request.length > most || request.offset > content.size() ||
      request.length > content.size() - request.offset) {
    return refuse(Refusal::Why::bad_request, "the block has no such bytes");
  }
  const ByteView piece = content.subspan(request.offset, request.length);
  return ChunkAnswer{Bytes(piece.begin(), piece.end())};
}

Message Server::page(const Hello& bounds, std::uint64_t id, const Snapshot& snapshot,
                     std::uint32_t first) const {
  ManifestAnswer out;
  out.snapshot = id;
  out.family = snapshot.offer->family;
  out.total = static_cast<std::uint32_t>(snapshot.lines.size());
  out.first = first;
  const std::size_t room =
      std::min<std::size_t>(limits_.frame_bytes, bounds.frame_bytes) - kFrameMargin - out.family.size();
  std::size_t bytes = 0, elements = 0;
  for (std::size_t i = first; i < snapshot.lines.size(); ++i) {
    const auto& line = snapshot.lines[i];
    bytes += line_bytes(line);
    elements += 6 + line.classes.size();
    if (bytes > room || (elements > kPageElements && !out.lines.empty())) break;
    out.lines.push_back(line);
  }
  if (out.lines.empty() && first < snapshot.lines.size()) {
    return refuse(Refusal::Why::too_large, "one line of the manifest is longer than your frames");
  }
  return out;
}

Server::Snapshot* Server::find(std::uint64_t id) {
  const auto it = snapshots_.find(id);
  if (it == snapshots_.end()) return nullptr;
  it->second.used = executor_.now();
  return &it->second;
}

std::uint64_t Server::keep(Snapshot snapshot) {
  snapshot.made = snapshot.used = executor_.now();
  held_bytes_ += snapshot.bytes;
  const auto id = next_snapshot_++;
  snapshots_.emplace(id, std::move(snapshot));
  while (snapshots_.size() > kSnapshots || (held_bytes_ > 2 * limits_.part_bytes && snapshots_.size() > 1)) {
    auto oldest = snapshots_.begin();
    for (auto it = snapshots_.begin(); it != snapshots_.end(); ++it) {
      if (it->first != id && it->second.used < oldest->second.used) oldest = it;
    }
    held_bytes_ -= oldest->second.bytes;
    snapshots_.erase(oldest);
  }
  if (!sweep_) {
    sweep_ = executor_.after(limits_.snapshot_life, [this] { sweep(); });
  }
  return id;
}

void Server::sweep() {
  forget_old();
  sweep_.reset();
  if (!snapshots_.empty()) {
    sweep_ = executor_.after(limits_.snapshot_life, [this] { sweep(); });
  }
}

void Server::forget_old() {
  const auto now = executor_.now();
  for (auto it = snapshots_.begin(); it != snapshots_.end();) {
    if (now - it->second.used < limits_.snapshot_life) {
      ++it;
      continue;
    }
    held_bytes_ -= it->second.bytes;
    it = snapshots_.erase(it);
  }
}

}  // namespace p2p::overlay

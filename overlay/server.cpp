#include "overlay/server.hpp"

#include <algorithm>
#include <set>
#include <type_traits>

#include "overlay/manifest.hpp"

namespace p2p::overlay {

namespace {

constexpr std::size_t kFrameMargin = 512;       // of a frame around its content
constexpr std::size_t kMaxGuests = 4096;
constexpr std::size_t kHolderBytes = 100;       // of a holder in a message
constexpr std::size_t kBriefBytes = 1024;
constexpr std::size_t kAlongMargin = 16;        // of a content around its bytes
constexpr std::uint32_t kOnItsWayMs = 50;
constexpr std::int64_t kMostWaitMs = 10'000;    // who owes for longer asks in vain once more

Refusal refuse(Refusal::Why why, std::string text, std::uint32_t retry_ms = 0) {
  return {why, retry_ms, std::move(text)};
}

Refusal not_served() { return refuse(Refusal::Why::not_served, "this task is not served here"); }
Refusal gone() { return refuse(Refusal::Why::gone, "that content is not here (any more); ask for the manifest again"); }

/// The beginning of `content` that fits into one frame.
Bytes beginning(const Bytes& content, std::size_t room) {
  return {content.begin(), content.begin() + static_cast<std::ptrdiff_t>(std::min(content.size(), room))};
}

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

Server::Answer Server::busy(Guest& guest, const Message& request, std::string text, Refusal::Why why, Duration wait) {
  guest.refusals += 1;
  const bool abusive = guest.refusals > static_cast<double>(limits_.requests_per_second);
  if (std::holds_alternative<Feedback>(request)) return {std::nullopt, abusive};
  const auto ms = std::min<std::int64_t>(wait.count() / 1000 + 1, kMostWaitMs);
  return {refuse(why, std::move(text), static_cast<std::uint32_t>(ms)), abusive};
}

Server::Answer Server::answer(const NodeId& peer, const Hello& bounds, const Message& request) {
  forget_old();
  Guest& asking = guest(peer);
  if (asking.tokens < 1) {
    return busy(asking, request, "too many requests", Refusal::Why::busy,
                Duration(1s) / static_cast<std::int64_t>(std::max<std::size_t>(1, limits_.requests_per_second)));
  }
  const auto now = executor_.now();
  const auto owed = std::max(asking.processor.wait(now, limits_.processor_per_peer),
                             processor_.wait(now, limits_.processor_for_all));
  if (owed.count() > 0) {
    // An asker takes "busy" for a pace that it should keep. What is owed is owed once.
    const auto why = std::holds_alternative<ChunkRequest>(request) ? Refusal::Why::later : Refusal::Why::busy;
    return busy(asking, request, "these requests cost too much processor time", why, owed);
  }
  asking.tokens -= 1;
  if (const auto* feedback = std::get_if<Feedback>(&request)) {
    if (host_.on_feedback) host_.on_feedback(peer, feedback->task, feedback->gain);
    return {};
  }
  const auto before = executor_.processor_time();
  Message message = std::visit(
      [&](const auto& asked) -> Message {
        using Asked = std::decay_t<decltype(asked)>;
        if constexpr (std::is_same_v<Asked, DescribeRequest> || std::is_same_v<Asked, ManifestRequest> ||
                      std::is_same_v<Asked, ChunkRequest>) {
          return serve(peer, asking, bounds, asked);
        } else {
          return refuse(Refusal::Why::bad_request, "that is no request");
        }
      },
      request);
  const auto took = executor_.processor_time() - before;
  asking.processor.spend(took);
  processor_.spend(took);
  if (!std::holds_alternative<Refusal>(message)) ++served_;
  return {std::move(message), false};
}

Message Server::serve(const NodeId&, Guest& guest, const Hello& bounds, const DescribeRequest& request) {
  Bytes sealed = host_.describe ? host_.describe(request.task) : Bytes{};
  if (sealed.empty()) return not_served();
  if (sealed.size() > limits_.description_bytes) {
    return refuse(Refusal::Why::too_large, "the description passes this node's own bound");
  }
  const std::size_t room = std::min<std::size_t>(limits_.frame_bytes, bounds.frame_bytes) - kFrameMargin;
  DescriptionAnswer out{metadata::sha256(sealed), sealed.size(), beginning(sealed, room)};
  if (sealed.size() <= room || find(out.hash)) return out;

  if (guest.opened.size() >= kSnapshotsPerPeer) {
    return refuse(Refusal::Why::busy, "too many snapshots are open", 1000);
  }
  guest.opened.push_back(executor_.now());
  Snapshot snapshot;
  snapshot.bytes = sealed.size();
  snapshot.contents.emplace_back(out.hash, std::make_shared<const Bytes>(std::move(sealed)));
  keep(std::move(snapshot));
  return out;
}

Message Server::serve(const NodeId& peer, Guest& guest, const Hello& bounds, const ManifestRequest& request) {
  auto classes = request.classes;  // one question, however it is written
  std::sort(classes.begin(), classes.end());
  classes.erase(std::unique(classes.begin(), classes.end()), classes.end());
  const auto now = executor_.now();
  for (auto& [id, snapshot] : snapshots_) {
    if (now - snapshot.made < kFresh && snapshot.task == request.task && snapshot.classes == classes) {
      return head(peer, bounds, snapshot, request.along);
    }
  }
  if (guest.opened.size() >= kSnapshotsPerPeer) {
    return refuse(Refusal::Why::busy, "too many snapshots are open", 1000);
  }
  const auto offer = host_.offer ? host_.offer(request.task, classes) : nullptr;
  if (!offer) return not_served();
  for (auto& [id, snapshot] : snapshots_) {
    if (snapshot.offer != offer || snapshot.task != request.task || snapshot.classes != classes) continue;
    snapshot.made = now;
    return head(peer, bounds, snapshot, request.along);
  }
  guest.opened.push_back(now);
  Snapshot snapshot;
  snapshot.contents.resize(1);
  std::size_t content = 0;
  bool fits = offer->blocks.size() <= limits_.blocks && offer->family.size() <= kMaxNameBytes;
  Manifest manifest{offer->family, {}};
  for (const auto& block : offer->blocks) {
    content += block.content.size();
    fits = fits && block.content.size() <= limits_.block_bytes && block.name.size() <= kMaxNameBytes &&
           block.classes.size() <= kMaxClasses && content <= limits_.part_bytes;
    if (!fits) break;
    const auto hash = metadata::sha256(block.content);
    manifest.lines.push_back({block.name, block.classes, block.evidence, block.content.size(), hash});
    snapshot.contents.emplace_back(hash, ContentStore::Content(offer, &block.content));
  }
  auto list = encode(manifest);
  if (!fits || list.size() > limits_.manifest_bytes) {
    return refuse(Refusal::Why::too_large, "the part passes this node's own bounds");
  }
  snapshot.bytes = content + list.size() + classes.size() * sizeof classes[0];
  snapshot.contents[0] = {metadata::sha256(list), std::make_shared<const Bytes>(std::move(list))};
  snapshot.task = request.task;
  snapshot.offer = offer;
  snapshot.content_bytes = content;
  snapshot.classes = std::move(classes);
  return head(peer, bounds, snapshots_.at(keep(std::move(snapshot))), request.along);
}

ManifestAnswer Server::head(const NodeId& peer, const Hello& bounds, Snapshot& snapshot, std::size_t along) {
  snapshot.used = executor_.now();
  const auto& [hash, content] = snapshot.contents[0];
  ManifestAnswer out{hash, content->size(), {}, others(join_crowd(hash, peer, bounds), peer)};
  std::size_t room = std::min<std::size_t>(limits_.frame_bytes, bounds.frame_bytes) - kFrameMargin;
  room -= std::min(room, out.holders.size() * kHolderBytes);
  // In a crowd the manifest comes from whoever has it, like all content, unless it is as short as the question for it.
  const bool crowded = pacer_->backlog() > Duration(0);
  if (pacer_->limited()) room = std::min(room, crowded ? kBriefBytes : pacer_->chunk_bytes(limits_.chunk_bytes));
  if (!crowded || content->size() <= room) out.bytes = beginning(*content, room);
  if (!crowded && out.bytes.size() == content->size()) {
    const std::size_t frame = std::min<std::size_t>(limits_.frame_bytes, bounds.frame_bytes) - kFrameMargin;
    const std::size_t taken = out.bytes.size() + out.holders.size() * kHolderBytes;
    add_content(out, snapshot, pacer_->chunk_bytes(std::min(along, limits_.chunk_bytes)), frame - std::min(frame, taken));
  }
  return out;
}

/// One question less for who has nothing of the part; who has an older version saves more by asking for what has changed.
void Server::add_content(ManifestAnswer& head, Snapshot& snapshot, std::size_t most, std::size_t room) {
  if (snapshot.content_bytes == 0 || snapshot.content_bytes > most || snapshot.contents.size() - 1 > kMaxAlong ||
      snapshot.content_bytes + snapshot.contents.size() * kAlongMargin > room) {
    return;
  }
  std::set<metadata::Hash> met;
  for (std::size_t i = 1; i < snapshot.contents.size(); ++i) {
    const auto& [hash, content] = snapshot.contents[i];
    if (!met.insert(hash).second) continue;
    snapshot.given[i] = true;
    head.along.push_back(coder_->pack(*content, {0, content->size()}, {}));
  }
}

Message Server::serve(const NodeId& peer, Guest&, const Hello& bounds, const ChunkRequest& request) {
  const auto content = find(request.hash);
  if (!content) {
    if (!store_->expected(request.hash)) return gone();
    auto wait = refuse(Refusal::Why::later, "it is on its way to here", kOnItsWayMs);
    wait.holders = others(join_crowd(request.hash, peer, bounds), peer);
    return wait;
  }
  if (request.offset == 0) join_crowd(request.hash, peer, bounds);
  const std::size_t most =
      std::min({limits_.chunk_bytes, limits_.frame_bytes - kFrameMargin, bounds.frame_bytes - kFrameMargin});
  if (request.length == 0 || request.length > most || request.offset > content->size() ||
      request.length > content->size() - request.offset) {
    return refuse(Refusal::Why::bad_request, "the content has no such bytes");
  }
  const auto base = request.base ? find(*request.base) : nullptr;
  return coder_->pack(*content, {request.offset, request.length}, base ? ByteView(*base) : ByteView());
}

Message Server::no_room(const NodeId& peer, const Hello& bounds, const ChunkRequest& request) {
  if (!find(request.hash) && !store_->expected(request.hash)) return gone();
  const auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(pacer_->backlog()).count();
  auto out = refuse(Refusal::Why::later, "too much is to be sent",
                    static_cast<std::uint32_t>(std::clamp<std::int64_t>(wait, 20, 1000)));
  out.holders = others(join_crowd(request.hash, peer, bounds), peer);
  return out;
}

ContentStore::Content Server::find(const metadata::Hash& hash) {
  const auto found = served_by_.lower_bound({hash, 0});
  if (found == served_by_.end() || found->first.first != hash) return store_->find(hash);
  auto& snapshot = snapshots_.at(found->first.second);
  snapshot.used = executor_.now();
  snapshot.given[found->second] = true;
  return snapshot.contents[found->second].second;
}

Server::Crowd& Server::join_crowd(const metadata::Hash& hash, const NodeId& peer, const Hello& bounds) {
  Crowd& crowd = crowds_[hash];
  crowd.used = executor_.now();
  if (crowds_.size() > kCrowds) {
    auto oldest = crowds_.end();
    for (auto it = crowds_.begin(); it != crowds_.end(); ++it) {
      if (it->first != hash && (oldest == crowds_.end() || it->second.used < oldest->second.used)) oldest = it;
    }
    crowds_.erase(oldest);
  }
  const auto known = std::any_of(crowd.askers.begin(), crowd.askers.end(),
                                 [&](const Holder& asker) { return asker.id == peer; });
  if (!known && bounds.accepts.port != 0) {
    crowd.askers.push_back({peer, bounds.accepts});
    if (crowd.askers.size() > kMostAskers) crowd.askers.pop_front();
  }
  return crowd;
}

std::vector<Holder> Server::others(const Crowd& crowd, const NodeId& peer) {
  std::vector<Holder> out;
  const auto count = crowd.askers.size();
  // A draw without repetition: from a random place on, in steps of one.
  const auto start = count == 0 ? 0 : random_.below(count);
  for (std::size_t i = 0; i < count && out.size() < kMaxHolders / 2; ++i) {
    const auto& asker = crowd.askers[(start + i) % count];
    if (asker.id != peer) out.push_back(asker);
  }
  return out;
}

std::uint64_t Server::keep(Snapshot snapshot) {
  snapshot.made = snapshot.used = executor_.now();
  snapshot.given.assign(snapshot.contents.size(), false);
  held_bytes_ += snapshot.bytes;
  const auto id = next_snapshot_++;
  for (std::size_t i = 0; i < snapshot.contents.size(); ++i) served_by_[{snapshot.contents[i].first, id}] = i;
  snapshots_.emplace(id, std::move(snapshot));
  while (snapshots_.size() > kSnapshots || (held_bytes_ > 2 * limits_.part_bytes && snapshots_.size() > 1)) {
    auto oldest = snapshots_.begin();
    for (auto it = snapshots_.begin(); it != snapshots_.end(); ++it) {
      if (it->first != id && it->second.used < oldest->second.used) oldest = it;
    }
    forget(oldest);
  }
  if (!sweep_) {
    sweep_ = executor_.after(limits_.snapshot_life, [this] { sweep(); });
  }
  return id;
}

void Server::forget(std::map<std::uint64_t, Snapshot>::iterator snapshot) {
  const auto& [id, gone] = *snapshot;
  held_bytes_ -= gone.bytes;
  for (std::size_t i = 0; i < gone.contents.size(); ++i) {
    const auto& [hash, content] = gone.contents[i];
    served_by_.erase({hash, id});
    // Others may have heard of it from whoever was given it. A copy, for the original keeps its whole offer in memory.
    if (gone.given[i] && content->size() <= limits_.store_bytes) {
      store_->keep(hash, std::make_shared<const Bytes>(*content));
    }
  }
  snapshots_.erase(snapshot);
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
    const auto here = it++;
    if (now - here->second.used >= limits_.snapshot_life) forget(here);
  }
}

}  // namespace p2p::overlay

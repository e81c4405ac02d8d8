#include "overlay/geo/site.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace p2p::geo {

namespace {
/// Announced values that may be missing on one link, in multiples of the dimension and above a constant: more than
/// an honest peer's backlog, its queue and one state of every site.
constexpr std::size_t kMaxOpenFactor = 8 + 2 * kMaxSites, kMaxOpenConstant = 1u << 20;

double milliseconds(Duration d) { return static_cast<double>(d.count()) / 1000; }
}  // namespace

std::string Refusal::text() const {
  switch (why) {
    case Why::joining: return "still joining: waiting for site " + site.brief();
    case Why::ahead: return fmt::format("too far ahead of site {}, which is at clock {}", site.brief(), clock);
    case Why::barred: return fmt::format("parameter {} is barred: site {} has announced a new value", index, site.brief());
  }
  return {};
}

Result<std::unique_ptr<Site>> Site::make(const Context& context, const std::vector<SitePeer>& peers,
                                         SiteOptions options, SiteHandlers handlers) {
  const auto bad = [](const char* what) { return fail(ErrorCode::invalid_argument, what); };
  const auto& significance = options.significance;
  if (options.initial.empty() || options.initial.size() > kMaxDimension) {
    return bad("geo sync needs between 1 and 2^27 parameters");
  }
  for (const float value : options.initial) {
    if (!std::isfinite(value)) return bad("an initial parameter is not finite");
  }
  if (!(significance.threshold >= 0) || !(significance.floor >= 0)) {
    return bad("the significance threshold and its floor must be 0 or more");
  }
  if (options.lost_after < 10ms || options.connect_timeout < 1ms || !(options.max_backlog >= 0)) {
    return bad("lost_after must be 10 ms or more, connect_timeout 1 ms or more, max_backlog 0 or more");
  }
  if (peers.size() >= kMaxSites) return bad("a group has at most 64 sites");
  std::map<NodeId, int> seen{{context.self, 1}};
  for (const auto& peer : peers) {
    if (++seen[peer.id] > 1) return bad("a site is listed twice, or lists itself among its peers");
  }
  return std::unique_ptr<Site>(new Site(context, peers, std::move(options), std::move(handlers)));
}

Site::Site(const Context& context, const std::vector<SitePeer>& peers, SiteOptions options, SiteHandlers handlers)
    : context_(context),
      options_(std::move(options)),
      handlers_(std::move(handlers)),
      dimension_(static_cast<std::uint32_t>(options_.initial.size())),
      initial_crc_(crc32({reinterpret_cast<const std::uint8_t*>(options_.initial.data()),
                          options_.initial.size() * sizeof(float)})),
      values_(options_.initial),
      filter_(dimension_, options_.significance),
      barrier_(dimension_),
      mirror_(options_.staleness),
      incarnation_(context.executor.wall_ms()) {
  origins_[context_.self].sum.assign(dimension_, 0.0);
  for (const auto& peer : peers) {
    origins_[peer.id].sum.assign(dimension_, 0.0);
    peers_.emplace(peer.id, Peer(peer, dimension_));
  }
}

Site::~Site() = default;

void Site::start() {
  for (auto& [id, peer] : peers_) peer.heard = context_.executor.now();
  tick();
  maybe_join();
}

// ---- links -------------------------------------------------------------------------------------------------

void Site::tick() {
  const auto now = context_.executor.now();
  for (auto& [id, peer] : peers_) {
    if (!peer.lost && now - peer.heard > options_.lost_after) {
      lose(peer, fmt::format("was silent for {:.0f} ms (deadline {:.0f} ms)", milliseconds(now - peer.heard),
                             milliseconds(options_.lost_after)));
    }
    if (peer.link && peer.lost && now - peer.attached > options_.lost_after) detach(peer);  // never said a word
    if (!peer.link) dial(peer);
    if (peer.link && now - peer.sent > options_.lost_after / 4) send_control(peer, Ping{}, stats_.control_bytes);
  }
  tick_ = context_.executor.after(options_.lost_after / 8, [this] { tick(); });
}

void Site::dial(Peer& peer) {
  if (peer.connecting || context_.self > peer.address.id) return;  // of each pair one dials
  if (context_.executor.now() < peer.not_before) return;
  peer.connecting = true;
  context_.transport.connect(peer.address.endpoint, peer.address.id, options_.connect_timeout,
                             [this, &peer, alive = std::weak_ptr<char>(alive_)](auto link) {
                               if (alive.expired()) return;
                               peer.connecting = false;
                               if (link) attach(peer, std::move(*link));
                             });
}

void Site::accept(std::shared_ptr<overlay::Link> link) {
  const auto found = peers_.find(link->peer());
  if (found == peers_.end()) {
    tell(SiteEvent::Kind::refused, link->peer(), "a node that is no member of this group wanted to join it");
  } else if (context_.executor.now() >= found->second.not_before) {
    return attach(found->second, std::move(link));
  }
  context_.executor.post([link] {});  // goes outside of the transport's call
}

void Site::attach(Peer& peer, std::shared_ptr<overlay::Link> link) {
  detach(peer);
  peer.link = std::move(link);
  peer.attached = context_.executor.now();
  const auto* raw = peer.link.get();
  peer.link->start({[this, &peer, raw](ByteView bytes) { if (peer.link.get() == raw) on_data(peer, bytes); },
                    [this, &peer, raw] { if (peer.link.get() == raw) pump(peer); },
                    [this, &peer, raw](const Error&) { if (peer.link.get() == raw) detach(peer); }});
  Hello hello{options_.group, dimension_, initial_crc_, {}};
  for (const auto& [id, origin] : origins_) hello.versions.emplace_back(id, origin.version);
  peer.announced = origins_[peer.address.id].version;
  send_control(peer, hello, stats_.control_bytes);
}

void Site::detach(Peer& peer) {
  forget(peer, nullptr);
  peer.outgoing.clear();
  peer.waiting_values = 0;
  peer.reader = FrameReader(dimension_);
  // It still counts until lost_after has passed, but only for what came from it: announced values now never will.
  if (peer.active) mirror_.set(peer.address.id, version_of(peer.address.id).clock);
  peer.greeted = peer.active = false;
  // The link may be calling us: it goes later.
  if (peer.link) context_.executor.post([dead = std::move(peer.link)] {});
  peer.link = nullptr;
}

/// What a peer said makes no sense: nothing is believed from this link any more.
void Site::cut_off(Peer& peer, const Error& why) {
  if (std::exchange(peer.complaint, why.text()) != why.text()) {
    tell(SiteEvent::Kind::refused, peer.address.id, why.text());
  }
  peer.not_before = context_.executor.now() + options_.lost_after;
  peer.lost ? detach(peer) : lose(peer, "was cut off");
}

void Site::lose(Peer& peer, const std::string& why) {
  const auto& id = peer.address.id;
  peer.lost = true;
  detach(peer);
  mirror_.drop(id);
  tell(SiteEvent::Kind::lost, id, fmt::format("site {} {}: going on without it, from its clock {}", id.brief(), why,
                                              version_of(id).clock));
  for (auto& [other, to] : peers_) {
    if (to.greeted) send_control(to, Lost{id, version_of(id)}, stats_.control_bytes);
  }
  maybe_join();
  changed();
}

// ---- what comes in -----------------------------------------------------------------------------------------

void Site::on_data(Peer& peer, ByteView bytes) {
  if (peer.greeted) peer.heard = context_.executor.now();
  peer.reader.add(bytes);
  while (peer.link) {
    const auto body = peer.reader.next();
    if (!body) return cut_off(peer, body.error());
    if (!*body) break;
    auto frame = decode_frame(**body, dimension_);
    if (!frame) return cut_off(peer, frame.error());
    if (auto handled = handle(peer, std::move(*frame)); !handled) return cut_off(peer, handled.error());
  }
}

Result<void> Site::handle(Peer& peer, Frame frame) {
  if (const auto* hello = std::get_if<Hello>(&frame)) return on_hello(peer, *hello);
  if (std::holds_alternative<Ping>(frame)) return {};
  if (!peer.greeted) return fail(ErrorCode::malformed, "a site sent something before its greeting");
  if (auto* announce = std::get_if<Announce>(&frame)) return on_announce(peer, std::move(*announce));
  if (const auto* values = std::get_if<Values>(&frame)) return on_values(peer, values->bytes);
  if (std::holds_alternative<Synced>(frame)) on_synced(peer);
  if (const auto* lost = std::get_if<Lost>(&frame)) {
    if (lost->site != context_.self && lost->site != peer.address.id && origins_.count(lost->site) > 0 &&
        version_of(lost->site) > lost->version) {
      send_state(peer, lost->site);
    }
  }
  return {};
}

Result<void> Site::on_hello(Peer& peer, const Hello& hello) {
  if (peer.greeted) return fail(ErrorCode::malformed, "a site greeted twice");
  if (hello.group != options_.group || hello.dimension != dimension_ || hello.initial_crc != initial_crc_) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("site {} trains another model: its group, number of parameters or initial values differ",
                            peer.address.id.brief()));
  }
  peer.greeted = true;
  std::map<NodeId, Version> theirs(hello.versions.begin(), hello.versions.end());
  peer.knows = theirs[context_.self];
  for (const auto& [id, origin] : origins_) {
    // Others that are active here speak for themselves.
    const bool ours_to_tell = id == context_.self || id == peer.address.id || !active(id);
    if (ours_to_tell && origin.version > theirs[id]) send_state(peer, id);
  }
  send_control(peer, Synced{}, stats_.control_bytes);
  return {};
}

void Site::on_synced(Peer& peer) {
  peer.active = true;
  peer.heard = context_.executor.now();
  peer.complaint.clear();
  mirror_.set(peer.address.id, peer.announced.clock);
  if (std::exchange(peer.lost, false)) {
    tell(SiteEvent::Kind::returned, peer.address.id,
         fmt::format("site {} is back at clock {}", peer.address.id.brief(), peer.announced.clock));
  }
  maybe_join();
  maybe_skip();
  changed();
}

Result<void> Site::on_announce(Peer& peer, Announce announce) {
  const NodeId origin = announce.relayed_origin.value_or(peer.address.id);
  const auto known = origins_.find(origin);
  if (known == origins_.end()) return fail(ErrorCode::malformed, "a site speaks for one that is no member");
  Incoming incoming{origin, announce.absolute, announce.precision, {}, announce.version, std::move(announce.indices),
                    std::nullopt, {}};
  if (!announce.relayed_origin) {
    if (announce.version <= peer.announced && !announce.absolute) {
      return fail(ErrorCode::malformed, "a site's clock did not advance");
    }
    incoming.base = std::exchange(peer.announced, announce.version);
    if (announce.absolute) forget(peer, &origin);  // it replaces what was on its way
    if (peer.active) mirror_.set(origin, announce.version.clock);
  }
  peer.open_values += incoming.indices.size();
  if (peer.open_values > kMaxOpenFactor * dimension_ + kMaxOpenConstant) {
    return fail(ErrorCode::limit_exceeded, "a site announces far more values than it sends");
  }
  if (announce.version > known->second.version) {
    incoming.ticket = announce.absolute ? barrier_.announce_all(origin) : barrier_.announce(origin, incoming.indices);
  }
  peer.incoming.push_back(std::move(incoming));
  if (auto done = complete(peer); !done) return done;
  maybe_skip();
  changed();
  return {};
}

Result<void> Site::on_values(Peer& peer, const Bytes& bytes) {
  if (peer.incoming.empty()) return fail(ErrorCode::malformed, "a site sent values that it had not announced");
  auto& incoming = peer.incoming.front();
  incoming.bytes.insert(incoming.bytes.end(), bytes.begin(), bytes.end());
  if (incoming.bytes.size() > incoming.indices.size() * width(incoming.precision)) {
    return fail(ErrorCode::malformed, "a site sent more values than it had announced");
  }
  return complete(peer);
}

/// Applies announcements from the oldest on, as far as their values are here.
Result<void> Site::complete(Peer& peer) {
  while (!peer.incoming.empty()) {
    auto& front = peer.incoming.front();
    if (front.bytes.size() < front.indices.size() * width(front.precision)) break;
    auto values = decode_values(front.bytes, front.indices.size(), front.precision);
    if (!values) return tl::unexpected(values.error());
    if (auto applied = apply(front, *values); !applied) return applied;
    if (front.ticket) barrier_.release(*front.ticket);
    peer.open_values -= front.indices.size();
    peer.incoming.pop_front();
    maybe_join();
    changed();
  }
  return {};
}

Result<void> Site::apply(const Incoming& incoming, std::span<const double> values) {
  Origin& origin = origins_[incoming.origin];
  if (incoming.version <= origin.version) return {};  // came by another way already
  if (!incoming.absolute && incoming.base != origin.version) {
    return fail(ErrorCode::malformed, "a site's update does not follow what is here of it");
  }
  if (incoming.absolute) {
    if (incoming.origin == context_.self) {
      // Our own earlier life. What this one has emitted without knowing of it must not get lost.
      for (std::uint32_t i = 0; i < dimension_; ++i) {
        if (origin.sum[i] != 0) filter_.accumulate(i, static_cast<float>(origin.sum[i]));
      }
      clock_ = std::max(clock_, incoming.version.clock);
      incarnation_ = std::max(incarnation_, incoming.version.incarnation + 1);
    }
    std::fill(origin.sum.begin(), origin.sum.end(), 0.0);
  }
  for (std::size_t k = 0; k < values.size(); ++k) origin.sum[incoming.indices[k]] += values[k];
  origin.version = incoming.version;
  if (incoming.absolute) {
    for (std::uint32_t i = 0; i < dimension_; ++i) refresh(i);
  } else {
    for (const auto index : incoming.indices) refresh(index);
  }
  return {};
}

/// Gives up what is incomplete on a link, all of it or what concerns one origin.
void Site::forget(Peer& peer, const NodeId* only_of) {
  std::erase_if(peer.incoming, [&](const Incoming& incoming) {
    if (only_of && incoming.origin != *only_of) return false;
    if (incoming.ticket) barrier_.release(*incoming.ticket);
    peer.open_values -= incoming.indices.size();
    return true;
  });
}

void Site::maybe_join() {
  if (joined_) return;
  for (const auto& [id, peer] : peers_) {
    if (!peer.active && !peer.lost) return;
    const auto is_state = [](const Incoming& incoming) { return incoming.absolute; };
    if (std::any_of(peer.incoming.begin(), peer.incoming.end(), is_state)) return;
  }
  joined_ = true;
  tell(SiteEvent::Kind::joined, context_.self, fmt::format("joined at clock {}", clock_));
  maybe_skip();
  changed();
}

void Site::maybe_skip() {
  if (!joined_) return;
  const auto target = mirror_.behind(clock_);
  if (!target) return;
  tell(SiteEvent::Kind::skipped, context_.self,
       fmt::format("skipped from clock {} to {}, where the others are", clock_, *target));
  clock_ = *target;
  emit({});  // says so at once: others may be waiting for this clock
}

// ---- what goes out -----------------------------------------------------------------------------------------

void Site::emit(const Significant& significant) {
  Origin& own = origins_[context_.self];
  const Version before = std::exchange(own.version, Version{incarnation_, clock_});
  for (std::size_t k = 0; k < significant.indices.size(); ++k) {
    own.sum[significant.indices[k]] += significant.values[k];
    refresh(significant.indices[k]);
  }
  stats_.updates += significant.indices.size();
  const auto values = std::make_shared<const Bytes>(encode_values(significant.values, options_.precision));
  const Announce announce{std::nullopt, false, options_.precision, own.version, significant.indices};
  for (auto& [id, peer] : peers_) {
    if (!peer.greeted) continue;
    const bool too_slow = static_cast<double>(peer.waiting_values + significant.indices.size()) >
                          options_.max_backlog * dimension_;
    if (peer.knows != before || (too_slow && peer.waiting_values > 0)) {
      send_state(peer, context_.self);
      continue;
    }
    peer.knows = own.version;
    send_control(peer, announce, stats_.index_bytes);
    if (significant.indices.empty()) continue;
    stats_.values_sent += significant.indices.size();
    peer.waiting_values += significant.indices.size();
    peer.outgoing.push_back({true, false, values, 0, significant.indices.size()});
    pump(peer);
  }
}

void Site::send_state(Peer& peer, const NodeId& id) {
  const Origin& origin = origins_[id];
  const bool own = id == context_.self;
  if (own) {
    peer.knows = origin.version;
    peer.waiting_values = 0;
    std::erase_if(peer.outgoing, [](const Outgoing& waiting) { return waiting.own; });
  }
  Announce announce{std::nullopt, true, Precision::fp64, origin.version, {}};
  if (!own) announce.relayed_origin = id;
  std::vector<double> values;
  for (std::uint32_t i = 0; i < dimension_; ++i) {
    if (origin.sum[i] == 0) continue;
    announce.indices.push_back(i);
    values.push_back(origin.sum[i]);
  }
  ++stats_.states_sent;
  send_control(peer, announce, stats_.state_bytes);
  if (values.empty()) return;
  peer.outgoing.push_back(
      {own, true, std::make_shared<const Bytes>(encode_values(values, Precision::fp64)), 0, 0});
  pump(peer);
}

/// Overtakes all values that are not yet on the link.
void Site::send_control(Peer& peer, const Frame& frame, std::uint64_t& count) {
  Bytes bytes = encode_frame(frame, dimension_);
  count += bytes.size();
  peer.sent = context_.executor.now();
  peer.link->send(std::move(bytes));
}

/// Keeps little more than the low-water mark on the link, so that announcements wait behind no more than that;
/// passing the mark is what makes the link call on_drained.
void Site::pump(Peer& peer) {
  while (!peer.outgoing.empty() && peer.link->queued() <= overlay::Link::kLowWater) {
    auto& front = peer.outgoing.front();
    const auto first = front.bytes->begin() + static_cast<std::ptrdiff_t>(front.done);
    const std::size_t size = std::min(kValuesBytes, front.bytes->size() - front.done);
    send_control(peer, Values{Bytes(first, first + static_cast<std::ptrdiff_t>(size))},
                 front.state ? stats_.state_bytes : stats_.value_bytes);
    front.done += size;
    if (front.done < front.bytes->size()) continue;
    peer.waiting_values -= front.values;
    peer.outgoing.pop_front();
  }
}

// ---- the caller's side -------------------------------------------------------------------------------------

std::optional<Refusal> Site::refusal(const std::optional<SelectiveBarrier::Barred>& barred) {
  std::optional<Refusal> out;
  if (!joined_) {
    out = Refusal{Refusal::Why::joining, {}, 0, 0};
    for (const auto& [id, peer] : peers_) {
      if (!peer.active && !peer.lost) out->site = id;
    }
  } else if (const auto wait = mirror_.waits_for(clock_)) {
    out = Refusal{Refusal::Why::ahead, wait->site, 0, wait->clock};
  } else if (barred) {
    out = Refusal{Refusal::Why::barred, barred->site, barred->index, 0};
  }
  account(out ? std::optional(out->why) : std::nullopt);
  return out;
}

void Site::account(std::optional<Refusal::Why> refused) {
  const auto now = context_.executor.now();
  if (stalled_since_) stats_.stalled[static_cast<std::size_t>(stalled_since_->first)] += now - stalled_since_->second;
  stalled_since_.reset();
  if (refused) {
    ++stats_.refused[static_cast<std::size_t>(*refused)];
    stalled_since_.emplace(*refused, now);
  } else {
    ++stats_.staleness[mirror_.staleness(clock_)];
  }
}

tl::expected<void, Refusal> Site::read(std::span<const std::uint32_t> indices, std::span<float> out) {
  P2P_ASSERT(indices.size() == out.size());
  if (auto refused = refusal(barrier_.barred(indices))) return tl::unexpected(std::move(*refused));
  std::transform(indices.begin(), indices.end(), out.begin(), [&](std::uint32_t i) { return values_[i]; });
  return {};
}

tl::expected<void, Refusal> Site::read_all(std::span<float> out) {
  P2P_ASSERT(out.size() == dimension_);
  if (auto refused = refusal(barrier_.barred_any())) return tl::unexpected(std::move(*refused));
  std::copy(values_.begin(), values_.end(), out.begin());
  return {};
}

Result<void> Site::update(std::uint32_t index, float delta) {
  if (!joined_) return fail(ErrorCode::unavailable, "the site has not joined yet: wait for a read to be granted");
  if (index >= dimension_) return fail(ErrorCode::invalid_argument, "there is no such parameter");
  if (!std::isfinite(delta) || !std::isfinite(values_[index] + delta)) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("the update of parameter {} is not finite: lower the learning rate", index));
  }
  filter_.accumulate(index, delta);
  refresh(index);
  return {};
}

Result<void> Site::clock() {
  if (!joined_) return fail(ErrorCode::unavailable, "the site has not joined yet: wait for a read to be granted");
  ++clock_;
  emit(filter_.emit(values_, clock_, options_.precision));
  return {};
}

/// Always in the same order of origins, so that equal sums give bit-equal values.
void Site::refresh(std::uint32_t index) {
  double value = options_.initial[index];
  for (const auto& [id, origin] : origins_) value += origin.sum[index];
  values_[index] = static_cast<float>(value + filter_.pending(index));
}

void Site::changed() {
  if (change_posted_ || !handlers_.on_changed) return;
  change_posted_ = true;
  context_.executor.post([this, alive = std::weak_ptr<char>(alive_)] {
    if (alive.expired()) return;
    change_posted_ = false;
    handlers_.on_changed();
  });
}

void Site::tell(SiteEvent::Kind kind, const NodeId& site, std::string text) {
  if (!handlers_.on_event) return;
  context_.executor.post([this, alive = std::weak_ptr<char>(alive_), event = SiteEvent{kind, site, std::move(text)}] {
    if (!alive.expired()) handlers_.on_event(event);
  });
}

std::span<const double> Site::sum_of(const NodeId& origin) const {
  const auto found = origins_.find(origin);
  return found == origins_.end() ? std::span<const double>() : std::span<const double>(found->second.sum);
}

Version Site::version_of(const NodeId& origin) const {
  const auto found = origins_.find(origin);
  return found == origins_.end() ? Version{} : found->second.version;
}

bool Site::active(const NodeId& peer) const {
  const auto found = peers_.find(peer);
  return found != peers_.end() && found->second.active;
}

bool Site::lost(const NodeId& peer) const {
  const auto found = peers_.find(peer);
  return found != peers_.end() && found->second.lost;
}

SiteStats Site::stats() const {
  SiteStats out = stats_;
  out.clock = clock_;
  return out;
}

}  // namespace p2p::geo

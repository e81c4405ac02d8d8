// One site of a group that trains one vector of parameters together: Gaia between data centres.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "overlay/executor.hpp"
#include "overlay/geo/mirror_clock.hpp"
#include "overlay/geo/selective_barrier.hpp"
#include "overlay/geo/significance_filter.hpp"
#include "overlay/geo/wire.hpp"
#include "overlay/transport.hpp"

namespace p2p::geo {

using overlay::Duration;
using overlay::TimePoint;
using overlay::operator""ms;
using overlay::operator""s;

struct SitePeer {
  NodeId id;
  overlay::Endpoint endpoint;
};

struct SiteOptions {
  Hash group;                  ///< what all sites call this training
  std::vector<float> initial;  ///< the same at all sites; its size is the dimension, 1 .. kMaxDimension
  SignificanceOptions significance;
  Precision precision = Precision::fp16;  ///< of updates; 2 bytes, and nothing is lost by it (error feedback)
  std::uint64_t staleness = 1;            ///< DS, in clocks; 0: wait for everybody at every clock
  Duration lost_after = 3s;               ///< silence after which the others go on without a site
  Duration connect_timeout = 2s;
  double max_backlog = 2;  ///< values waiting for one slow link, per parameter; more is replaced by a whole state
};

/// Why a read has to wait. Try again after SiteHandlers::on_changed.
struct Refusal {
  enum class Why { joining, ahead, barred };
  Why why = Why::joining;
  NodeId site;              ///< who is waited for
  std::uint32_t index = 0;  ///< barred: this parameter
  std::uint64_t clock = 0;  ///< ahead: that site's
  std::string text() const;
};

struct SiteEvent {
  enum class Kind { joined, lost, returned, skipped, refused };
  Kind kind = Kind::joined;
  NodeId site;  ///< which one it is about
  std::string text;
};

struct SiteHandlers {
  std::function<void()> on_changed;  ///< what refused a read may have passed; never from inside a call
  std::function<void(const SiteEvent&)> on_event;
};

struct SiteStats {
  std::uint64_t clock = 0;
  std::uint64_t updates = 0;      ///< values emitted as significant, counted once whatever the number of peers
  std::uint64_t values_sent = 0;  ///< the same, once for each peer that they were queued for
  std::uint64_t index_bytes = 0, value_bytes = 0, state_bytes = 0, control_bytes = 0;  ///< handed to links
  std::uint64_t states_sent = 0;
  std::map<std::uint64_t, std::uint64_t> staleness;   ///< of granted reads (metric G6)
  std::array<std::uint64_t, 3> refused{};             ///< reads, by Refusal::Why
  std::array<Duration, 3> stalled{};                  ///< time between refusal and the next try, likewise (G7)
};

/// A site: its copy of the vector, its own unsent updates, and a link to each of the other sites.
///
/// The caller loops: read(), compute, update(), clock(). A read is refused while a barred parameter is in it or
/// while this site is more than DS clocks ahead of a live one; everything else never waits.
///
/// Problem: in the authors' code a copy is one vector into which whatever arrives is added. After one lost message
/// or one dead site the copies differ for ever, and nobody can tell. Here a copy is kept as one sum per origin:
///     value = initial + sum over origins of sum_of(origin) + own pending updates.
/// Every sum has one writer and a Version, so "the newer one wins" repairs any gap: after a cut, a restart or an
/// overrun queue the whole sum is sent (a full state copy), by its origin or, for an origin that is lost, by
/// whoever has more of it. The price: 8 bytes per parameter and site.
///
///     joining --(every peer synced, or lost)--> training
///     peer:   away --link--> greeted --Synced--> active --silence > lost_after--> lost --link--> greeted ...
///
/// Invariants: two sites that have the same versions have bit-equal sums; an increment is applied whole or not at
/// all; a granted read contains, of every active site, all that it emitted until DS clocks ago; the sum of own
/// updates = sum_of(self) + pending, as long as this process lives. A restarted site finds its sum with the others;
/// what it had not emitted is gone.
/// Thread: the executor's. Destroying a site ends its links.
/// Bounds: kMaxSites members, fixed; per link, announced but missing values (see kMaxOpenFactor in site.cpp) and the
/// backlog; a peer that passes one is cut off, and greeted anew.
/// Trust: members believe each other, also about sums of a lost third; links prove who is a member.
/// Reference: Gaia, NSDI'17. Deviations: README.md.
class Site {
 public:
  struct Context {
    overlay::Executor& executor;
    overlay::Transport& transport;
    NodeId self;
  };
  /// `invalid_argument`: an option out of its range, this site among its own peers, or a peer twice.
  static Result<std::unique_ptr<Site>> make(const Context& context, const std::vector<SitePeer>& peers,
                                            SiteOptions options, SiteHandlers handlers);
  ~Site();
  Site(const Site&) = delete;
  Site& operator=(const Site&) = delete;

  /// Connects and joins: adopts what the others have of the model, and of this site's own earlier life.
  void start();
  /// A link that the transport accepted and that is meant for geo sync; refused unless a peer holds its other end.
  void accept(std::shared_ptr<overlay::Link> link);

  bool joined() const { return joined_; }
  /// Copies these parameters; `indices` in any order, as many as `out` has room for.
  tl::expected<void, Refusal> read(std::span<const std::uint32_t> indices, std::span<float> out);
  tl::expected<void, Refusal> read_all(std::span<float> out);
  /// Adds to a parameter; visible here at once, elsewhere when significant. `invalid_argument` for an index out of
  /// range or a delta that is not finite, `unavailable` before joined().
  Result<void> update(std::uint32_t index, float delta);
  /// Ends an iteration: sends what is significant, announces it and this clock. `unavailable` before joined().
  Result<void> clock();

  /// For measuring, not for training: the copy as it stands, barred or not.
  std::span<const float> values() const { return values_; }
  /// What this site has of an origin's emitted updates; empty for strangers.
  std::span<const double> sum_of(const NodeId& origin) const;
  Version version_of(const NodeId& origin) const;
  float pending(std::uint32_t index) const { return filter_.pending(index); }
  bool active(const NodeId& peer) const;
  bool lost(const NodeId& peer) const;
  SiteStats stats() const;
  std::vector<ShadowCount> take_shadow_counts() { return filter_.take_shadow_counts(); }

 private:
  struct Origin {
    Version version;
    std::vector<double> sum;
  };
  struct Incoming {  ///< an announcement whose values are not complete
    NodeId origin;
    bool absolute = false;
    Precision precision = Precision::fp32;
    Version base, version;  ///< an increment leads from one to the other
    std::vector<std::uint32_t> indices;
    std::optional<SelectiveBarrier::Ticket> ticket;
    Bytes bytes;
  };
  struct Outgoing {  ///< values that wait for room on a link
    bool own = false, state = false;
    std::shared_ptr<const Bytes> bytes;
    std::size_t done = 0, values = 0;
  };
  struct Peer {
    explicit Peer(const SitePeer& peer, std::uint32_t dimension) : address(peer), reader(dimension) {}
    SitePeer address;
    std::shared_ptr<overlay::Link> link;
    FrameReader reader;
    bool connecting = false, greeted = false, active = false, lost = false;
    Version knows;      ///< of our stream
    Version announced;  ///< of its stream, on this link
    std::deque<Incoming> incoming;
    std::deque<Outgoing> outgoing;
    std::size_t open_values = 0, waiting_values = 0;
    TimePoint heard, attached, sent;
    TimePoint not_before;   ///< no link with it until then
    std::string complaint;  ///< the last one told
  };

  Site(const Context& context, const std::vector<SitePeer>& peers, SiteOptions options, SiteHandlers handlers);

  void tick();
  void dial(Peer& peer);
  void attach(Peer& peer, std::shared_ptr<overlay::Link> link);
  void detach(Peer& peer);
  void cut_off(Peer& peer, const Error& why);
  void lose(Peer& peer, const std::string& why);
  void on_data(Peer& peer, ByteView bytes);
  Result<void> handle(Peer& peer, Frame frame);
  Result<void> on_hello(Peer& peer, const Hello& hello);
  Result<void> on_announce(Peer& peer, Announce announce);
  Result<void> on_values(Peer& peer, const Bytes& bytes);
  Result<void> complete(Peer& peer);
  Result<void> apply(const Incoming& incoming, std::span<const double> values);
  void forget(Peer& peer, const NodeId* only_of);
  void on_synced(Peer& peer);
  void maybe_join();
  void maybe_skip();
  void emit(const Significant& significant);
  void send_state(Peer& peer, const NodeId& origin);
  void send_control(Peer& peer, const Frame& frame, std::uint64_t& count);
  void pump(Peer& peer);
  void refresh(std::uint32_t index);
  void changed();
  void tell(SiteEvent::Kind kind, const NodeId& site, std::string text);
  std::optional<Refusal> refusal(const std::optional<SelectiveBarrier::Barred>& barred);
  void account(std::optional<Refusal::Why> refused);

  Context context_;
  SiteOptions options_;
  SiteHandlers handlers_;
  std::uint32_t dimension_, initial_crc_;
  std::vector<float> values_;
  std::map<NodeId, Origin> origins_;
  std::map<NodeId, Peer> peers_;
  SignificanceFilter filter_;
  SelectiveBarrier barrier_;
  MirrorClock mirror_;
  std::uint64_t incarnation_, clock_ = 0;
  bool joined_ = false, change_posted_ = false;
  SiteStats stats_;
  std::optional<std::pair<Refusal::Why, TimePoint>> stalled_since_;
  overlay::Executor::TimerHandle tick_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace p2p::geo

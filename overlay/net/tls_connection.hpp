// One TCP connection with a TLS session on it, from the first SYN to the last close callback.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include <uv.h>

#include "overlay/net/loop.hpp"
#include "overlay/net/tls_session.hpp"
#include "overlay/net/tls_transport.hpp"
#include "overlay/transport.hpp"

namespace p2p::net {

/// A numeric address as libuv wants it; `invalid_argument` when it is none.
Result<sockaddr_storage> socket_address(const overlay::Endpoint& endpoint);
/// The inverse.
overlay::Endpoint endpoint_of(const sockaddr_storage& address);

/// The machine under a Link.
///
///   connecting --TCP up--> handshaking --both keys proven--> open --+--> ending --+--> closed
///        |                      |                              |    end of either  |
///        +------ failed --------+---------- failed ------------+-------------------+
///
/// ending: at least one side has said that it sends no more. Closed when both have and all is written, or when
/// close_timeout has passed. A failed connection flushes its last words (the TLS alert) before it is closed, for
/// at most kLastWords.
///
/// Invariants: kept alive by its libuv handle until that is closed; handlers are called from the loop, never from
/// inside a call on the link, and on_closed at most once and last.
/// Thread: the loop's.
class TlsConnection final : public HandleOwner, public std::enable_shared_from_this<TlsConnection> {
 public:
  struct Events {
    /// Once: the handshake has succeeded, or why not. Never called after abandon().
    std::function<void(Result<void>)> on_handshake;
    std::function<void()> on_gone;  ///< once: the socket is closed, whatever happened before
    std::function<void(overlay::Duration)> on_spent = {};  ///< processor time of each step of the handshake; may be empty
  };
  TlsConnection(Loop& loop, const TlsOptions& options, std::unique_ptr<TlsSession> session, Events events);

  /// Connects, then shakes hands; all within `timeout`.
  void connect(const sockaddr_storage& address, overlay::Duration timeout);
  /// Takes the connection that `listener` offers, then shakes hands within `timeout`.
  void accept(uv_stream_t* listener, overlay::Duration timeout);
  /// Takes the connection that `listener` offers and closes it.
  static void turn_away(Loop& loop, uv_stream_t* listener);

  bool is_link() const { return phase_ == Phase::open; }
  const overlay::NodeId& peer() const { return *session_->peer(); }
  const TlsSession& session() const { return *session_; }
  overlay::Endpoint remote() const;  ///< port 0 unless it is open
  void start(overlay::Link::Handlers handlers);
  void send(ByteView head, ByteView body);
  std::size_t queued() const;
  void set_reading(bool wanted);
  void end();
  /// Nobody is interested any more: what end() has promised is still done, nothing else; no handler is called.
  void abandon();
  /// Closes the socket now and calls nobody but on_gone.
  void cut();

  std::uint64_t bytes_sent() const { return sent_; }
  std::uint64_t bytes_received() const { return received_; }

  void close_handle(uv_handle_s*) override { cut(); }

  static constexpr std::size_t kMostPieces = 16;  ///< handed to the kernel in one call
  static constexpr overlay::Duration kLastWords = std::chrono::seconds(1);

 private:
  enum class Phase { idle, connecting, handshaking, open, last_words, closed };

  bool adopt();
  void tune();
  void shake();
  void shake_once();
  void handshake_done(Result<void> result);
  void on_timeout();
  void read_from_wire(bool on);
  void on_wire(ByteView bytes);
  void on_wire_end(int error);
  void schedule_pump();
  void pump();
  void flush();
  void on_written(int error);
  void fail_open(Error error);
  void peer_ended();
  void finish_if_done();
  void say_last_words();
  void report_closed(Error error);

  Loop& loop_;
  const TlsOptions options_;
  std::unique_ptr<TlsSession> session_;
  Events events_;
  Phase phase_ = Phase::idle;
  uv_tcp_t tcp_{};
  uv_connect_t connecting_{};
  uv_write_t writing_{};
  uv_shutdown_t shutdown_{};
  std::vector<Bytes> in_flight_;  ///< what writing_ refers to
  bool is_writing_ = false;
  std::shared_ptr<TlsConnection> keep_;
  overlay::Executor::TimerHandle deadline_;

  std::shared_ptr<overlay::Link::Handlers> handlers_;  ///< null before start(), after on_closed, after abandon()
  bool started_ = false, abandoned_ = false;
  bool reading_wanted_ = true;   ///< by the link's user
  bool reading_wire_ = false;    ///< uv_read_start is in force
  bool pump_scheduled_ = false;
  bool wire_ended_ = false;      ///< TCP has ended, in order or not
  bool we_ended_ = false;        ///< close_notify is queued
  bool they_ended_ = false;      ///< close_notify has been read
  bool above_low_water_ = false;
  std::optional<Error> last_error_;  ///< why the stream is broken, not yet reported
  std::uint64_t sent_ = 0, received_ = 0;
};

}  // namespace p2p::net

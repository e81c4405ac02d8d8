#include "overlay/net/tls_connection.hpp"

#include <array>
#include <cstring>

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <fmt/core.h>

namespace p2p::net {

using overlay::Duration;
using overlay::Link;

namespace {

Error socket_error(const char* what, int error) {
  switch (error) {
    case UV_ECONNREFUSED:
      return {ErrorCode::unavailable, "nobody accepts links at this address; the peer may have stopped",
              uv_strerror(error)};
    case UV_EMFILE:
    case UV_ENFILE:
      return {ErrorCode::full, "no file descriptors are left: raise the limit on open files (ulimit -n)",
              uv_strerror(error)};
    case UV_ENETUNREACH:
    case UV_EHOSTUNREACH:
      return {ErrorCode::unavailable, "there is no route to the peer", uv_strerror(error)};
    default:
      return {ErrorCode::io, what, uv_strerror(error)};
  }
}

}  // namespace

Result<sockaddr_storage> socket_address(const overlay::Endpoint& endpoint) {
  sockaddr_storage out{};
  if (uv_ip4_addr(endpoint.host.c_str(), endpoint.port, reinterpret_cast<sockaddr_in*>(&out)) == 0) return out;
  if (uv_ip6_addr(endpoint.host.c_str(), endpoint.port, reinterpret_cast<sockaddr_in6*>(&out)) == 0) return out;
  return fail(ErrorCode::invalid_argument,
              fmt::format("\"{}\" is no numeric IPv4 or IPv6 address", endpoint.host));
}

TlsConnection::TlsConnection(Loop& loop, const TlsOptions& options, std::unique_ptr<TlsSession> session,
                             Events events)
    : loop_(loop), options_(options), session_(std::move(session)), events_(std::move(events)) {}

overlay::Endpoint endpoint_of(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    uv_ip4_name(&v4, text, sizeof text);
    return overlay::Endpoint{text, ntohs(v4.sin_port)};
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
  uv_ip6_name(&v6, text, sizeof text);
  return overlay::Endpoint{text, ntohs(v6.sin6_port)};
}

overlay::Endpoint TlsConnection::remote() const {
  sockaddr_storage address{};
  int size = sizeof address;
  if (phase_ != Phase::open || uv_tcp_getpeername(&tcp_, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  return endpoint_of(address);
}

bool TlsConnection::adopt() {
  if (uv_tcp_init(loop_.uv(), &tcp_) != 0) return false;
  tcp_.data = static_cast<HandleOwner*>(this);
  keep_ = shared_from_this();
  return true;
}

void TlsConnection::connect(const sockaddr_storage& address, Duration timeout) {
  phase_ = Phase::connecting;
  if (!adopt()) {
    phase_ = Phase::closed;
    loop_.post([self = shared_from_this()] {
      self->handshake_done(tl::unexpected(socket_error("cannot open a socket", UV_ENFILE)));
      self->cut();
    });
    return;
  }
  deadline_ = loop_.after(timeout, [this] { on_timeout(); });
  const int error = uv_tcp_connect(
      &connecting_, &tcp_, reinterpret_cast<const sockaddr*>(&address), [](uv_connect_t* request, int status) {
        auto& self = static_cast<TlsConnection&>(*static_cast<HandleOwner*>(request->handle->data));
        if (self.phase_ != Phase::connecting) return;  // cut meanwhile
        const auto keep = self.shared_from_this();
        if (status == 0) {
          self.tune();
          self.phase_ = Phase::handshaking;
          self.read_from_wire(true);
          self.shake();
        } else {
          self.handshake_done(tl::unexpected(socket_error("cannot connect to the peer", status)));
          self.cut();
        }
      });
  if (error == 0) return;
  loop_.post([self = shared_from_this(), error] {
    if (self->phase_ != Phase::connecting) return;
    self->handshake_done(tl::unexpected(socket_error("cannot connect to the peer", error)));
    self->cut();
  });
}

void TlsConnection::accept(uv_stream_t* listener, Duration timeout) {
  phase_ = Phase::handshaking;
  if (!adopt() || uv_accept(listener, reinterpret_cast<uv_stream_t*>(&tcp_)) != 0) {
    cut();
    return;
  }
  deadline_ = loop_.after(timeout, [this] { on_timeout(); });
  tune();
  read_from_wire(true);
}

void TlsConnection::turn_away(Loop& loop, uv_stream_t* listener) {
  auto guest = std::make_shared<TlsConnection>(loop, TlsOptions{}, nullptr, Events{});
  if (!guest->adopt()) return;
  uv_accept(listener, reinterpret_cast<uv_stream_t*>(&guest->tcp_));
  guest->cut();
}

// Small frames must not wait for each other, and a peer that vanished must be noticed.
void TlsConnection::tune() {
  uv_tcp_nodelay(&tcp_, 1);
  uv_tcp_keepalive(&tcp_, 1, static_cast<unsigned>(options_.keepalive.count()));
  uv_os_fd_t descriptor{};
  if (uv_fileno(reinterpret_cast<uv_handle_t*>(&tcp_), &descriptor) == 0) {
    const unsigned unacknowledged_ms = static_cast<unsigned>(options_.keepalive.count()) * 1000;
    setsockopt(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof unacknowledged_ms);
  }
}

void TlsConnection::read_from_wire(bool on) {
  if (on == reading_wire_ || phase_ == Phase::closed || (on && wire_ended_)) return;
  auto* stream = reinterpret_cast<uv_stream_t*>(&tcp_);
  reading_wire_ = on;
  if (!on) {
    uv_read_stop(stream);
    return;
  }
  // One buffer serves all connections of the thread: libuv asks for it and hands it back in one breath.
  static thread_local std::array<char, 64 * 1024> shared_buffer;
  uv_read_start(
      stream,
      [](uv_handle_t*, std::size_t, uv_buf_t* buffer) { *buffer = uv_buf_init(shared_buffer.data(), shared_buffer.size()); },
      [](uv_stream_t* from, ssize_t count, const uv_buf_t* buffer) {
        auto& self = static_cast<TlsConnection&>(*static_cast<HandleOwner*>(from->data));
        const auto keep = self.shared_from_this();
        if (count > 0) {
          self.on_wire({reinterpret_cast<const std::uint8_t*>(buffer->base), static_cast<std::size_t>(count)});
        } else if (count < 0) {
          self.on_wire_end(static_cast<int>(count));
        }
      });
}

void TlsConnection::on_wire(ByteView bytes) {
  received_ += bytes.size();
  if (phase_ == Phase::last_words) return;  // nobody listens any more
  session_->receive(bytes);
  if (phase_ == Phase::handshaking) {
    shake();
  } else if (phase_ == Phase::open) {
    pump();
  }
  session_->settle();
}

void TlsConnection::on_wire_end(int error) {
  read_from_wire(false);
  wire_ended_ = true;
  if (phase_ == Phase::last_words) {
    cut();
    return;
  }
  session_->receive_end();
  if (phase_ == Phase::handshaking) {
    if (error == UV_EOF) {
      shake();
    } else {
      handshake_done(tl::unexpected(socket_error("the peer broke off the handshake", error)));
      cut();
    }
    return;
  }
  if (error != UV_EOF && !last_error_ && !they_ended_) {
    last_error_ = socket_error("the link was cut off", error);
  }
  pump();
}

void TlsConnection::shake() {
  if (!events_.on_spent) return shake_once();
  const auto before = loop_.processor_time();
  shake_once();
  events_.on_spent(loop_.processor_time() - before);
}

void TlsConnection::shake_once() {
  auto done = session_->handshake();
  flush();
  if (phase_ != Phase::handshaking) return;  // the flush has failed
  if (!done) {
    handshake_done(tl::unexpected(done.error()));
    say_last_words();
    return;
  }
  if (!*done) return;
  deadline_.reset();
  phase_ = Phase::open;
  read_from_wire(false);  // until start()
  handshake_done({});
}

void TlsConnection::handshake_done(Result<void> result) {
  const auto handler = std::move(events_.on_handshake);
  events_.on_handshake = nullptr;
  if (handler) handler(std::move(result));
}

void TlsConnection::on_timeout() {
  const auto keep = shared_from_this();
  switch (phase_) {
    case Phase::connecting:
      handshake_done(fail(ErrorCode::timeout, "the peer did not take the connection in time"));
      break;
    case Phase::handshaking:
      handshake_done(fail(ErrorCode::timeout, "the peer did not complete the TLS handshake in time"));
      break;
    case Phase::open:
      report_closed({ErrorCode::timeout, "the peer did not end the link in time", {}});
      break;
    default:
      break;
  }
  cut();
}

void TlsConnection::start(Link::Handlers handlers) {
  P2P_ASSERT(!started_);
  started_ = true;
  handlers_ = std::make_shared<Link::Handlers>(std::move(handlers));
  if (phase_ == Phase::open) {
    schedule_pump();
    return;
  }
  loop_.post([self = shared_from_this()] {
    self->report_closed(self->last_error_ ? *self->last_error_
                                          : Error{ErrorCode::io, "the link was cut off", {}});
  });
}

void TlsConnection::set_reading(bool wanted) {
  if (reading_wanted_ == wanted) return;
  reading_wanted_ = wanted;
  if (wanted) {
    schedule_pump();
  } else {
    read_from_wire(false);
  }
}

void TlsConnection::schedule_pump() {
  if (pump_scheduled_ || phase_ != Phase::open) return;
  pump_scheduled_ = true;
  loop_.post([weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      self->pump_scheduled_ = false;
      self->pump();
    }
  });
}

// Decrypts what has come and hands it over, until there is nothing, the user pauses, or the stream ends.
void TlsConnection::pump() {
  while (phase_ == Phase::open && started_ && !they_ended_ && (reading_wanted_ || abandoned_)) {
    const auto plain = session_->read();
    if (!plain) {
      fail_open(last_error_ ? *last_error_ : plain.error());
      return;
    }
    if (plain->empty()) {
      if (session_->ended()) {
        peer_ended();
      } else if (last_error_) {
        fail_open(*last_error_);
      } else {
        break;
      }
      return;
    }
    const auto handlers = handlers_;
    if (handlers && handlers->on_data) handlers->on_data(*plain);
  }
  if (phase_ != Phase::open) return;
  flush();  // TLS itself may have something to say: a key update
  read_from_wire(started_ && !they_ended_ && (reading_wanted_ || abandoned_));
}

void TlsConnection::send(ByteView head, ByteView body) {
  if (phase_ != Phase::open || we_ended_) return;
  if (auto written = session_->write(head, body); !written) {
    if (!last_error_) last_error_ = written.error();
    schedule_pump();
    return;
  }
  flush();
  if (queued() > Link::kLowWater) above_low_water_ = true;
}

std::size_t TlsConnection::queued() const {
  if (phase_ != Phase::open) return 0;
  return session_->outgoing_bytes() + tcp_.write_queue_size;
}

void TlsConnection::flush() {
  auto& outgoing = session_->outgoing();
  if (is_writing_ || outgoing.empty() || phase_ == Phase::closed) return;
  std::array<uv_buf_t, kMostPieces> buffers;
  unsigned count = 0;
  in_flight_.clear();
  for (; count < kMostPieces && !outgoing.empty(); outgoing.pop_front()) {
    Bytes& piece = in_flight_.emplace_back(std::move(outgoing.front()));
    buffers[count++] = uv_buf_init(reinterpret_cast<char*>(piece.data()), static_cast<unsigned>(piece.size()));
    sent_ += piece.size();
  }
  is_writing_ = true;
  const int error = uv_write(&writing_, reinterpret_cast<uv_stream_t*>(&tcp_), buffers.data(), count,
                             [](uv_write_t* request, int status) {
                               auto& self = static_cast<TlsConnection&>(
                                   *static_cast<HandleOwner*>(request->handle->data));
                               const auto keep = self.shared_from_this();
                               self.on_written(status);
                             });
  if (error != 0) {
    loop_.post([weak = weak_from_this(), error] {
      if (const auto self = weak.lock()) self->on_written(error);
    });
  }
}

void TlsConnection::on_written(int error) {
  is_writing_ = false;
  if (phase_ == Phase::closed) return;
  if (error != 0) {
    if (phase_ == Phase::open) {
      fail_open(socket_error("the link was cut off", error));
    } else {
      if (phase_ == Phase::handshaking) {
        handshake_done(tl::unexpected(socket_error("the peer broke off the handshake", error)));
      }
      cut();
    }
    return;
  }
  flush();
  if (phase_ == Phase::last_words && !is_writing_) {
    uv_shutdown(&shutdown_, reinterpret_cast<uv_stream_t*>(&tcp_), nullptr);
    return;
  }
  if (phase_ != Phase::open) return;
  if (above_low_water_ && queued() <= Link::kLowWater) {
    above_low_water_ = false;
    const auto handlers = handlers_;
    if (handlers && handlers->on_drained) handlers->on_drained();
  }
  finish_if_done();
}

void TlsConnection::peer_ended() {
  they_ended_ = true;
  read_from_wire(false);
  report_closed({ErrorCode::closed, "the peer ended the link", {}});
  if (phase_ == Phase::open) end();
}

void TlsConnection::end() {
  if (phase_ != Phase::open) return;
  if (!we_ended_) {
    we_ended_ = true;
    if (auto ended = session_->end(); !ended && !last_error_) {
      last_error_ = ended.error();
      schedule_pump();
    }
    deadline_ = loop_.after(options_.close_timeout, [this] { on_timeout(); });
    flush();
  }
  finish_if_done();
}

// Both streams are over and all is with the kernel.
void TlsConnection::finish_if_done() {
  if (we_ended_ && they_ended_ && !is_writing_ && session_->outgoing().empty()) cut();
}

void TlsConnection::fail_open(Error error) {
  if (!last_error_) last_error_ = error;
  report_closed(std::move(error));
  if (phase_ == Phase::open) say_last_words();
}

// The session is over, but its alert should reach the peer: it is written, the rest of what the peer sends is read
// and dropped (closing with unread bytes would reset the connection and take the alert along).
void TlsConnection::say_last_words() {
  if (phase_ == Phase::closed) return;
  phase_ = Phase::last_words;
  if (wire_ended_ || (!is_writing_ && session_->outgoing().empty())) {
    cut();
    return;
  }
  deadline_ = loop_.after(kLastWords, [this] { on_timeout(); });
  flush();
  read_from_wire(true);
}

void TlsConnection::report_closed(Error error) {
  const auto handlers = std::move(handlers_);
  handlers_ = nullptr;
  if (handlers && handlers->on_closed) handlers->on_closed(error);
}

void TlsConnection::abandon() {
  handlers_ = nullptr;
  events_.on_handshake = nullptr;
  abandoned_ = true;
  started_ = true;
  if (phase_ == Phase::open && we_ended_) {
    schedule_pump();
  } else if (phase_ != Phase::last_words) {
    cut();
  }
}

void TlsConnection::cut() {
  if (phase_ == Phase::closed) return;
  phase_ = Phase::closed;
  deadline_.reset();
  events_.on_handshake = nullptr;
  if (!keep_) {
    loop_.post([gone = std::move(events_.on_gone)] {
      if (gone) gone();
    });
    return;
  }
  uv_close(reinterpret_cast<uv_handle_t*>(&tcp_), [](uv_handle_t* handle) {
    auto& self = static_cast<TlsConnection&>(*static_cast<HandleOwner*>(handle->data));
    const auto keep = std::move(self.keep_);
    const auto gone = std::move(self.events_.on_gone);
    if (gone) gone();
  });
}

}  // namespace p2p::net

#include "overlay/net/tls_transport.hpp"

#include <unordered_set>

#include <uv.h>

#include <fmt/core.h>

#include "overlay/net/tls_connection.hpp"
#include "overlay/net/tls_session.hpp"
#include "overlay/processor_budget.hpp"

namespace p2p::net {

using overlay::Duration;
using overlay::Endpoint;
using overlay::Link;
using overlay::NodeId;

namespace {

// What the user holds; the connection under it may live on to say good-bye.
class TlsLink final : public Link {
 public:
  explicit TlsLink(std::shared_ptr<TlsConnection> connection) : connection_(std::move(connection)) {}
  ~TlsLink() override { connection_->abandon(); }

  const NodeId& peer() const override { return connection_->peer(); }
  Endpoint remote() const override { return connection_->remote(); }
  void start(Handlers handlers) override { connection_->start(std::move(handlers)); }
  void send(Bytes bytes) override { connection_->send(bytes, {}); }
  void send_with(Bytes head, ByteView body) override { connection_->send(head, body); }
  std::size_t queued() const override { return connection_->queued(); }
  void pause_reading() override { connection_->set_reading(false); }
  void resume_reading() override { connection_->set_reading(true); }
  void close() override { connection_->end(); }
  std::uint64_t bytes_sent() const override { return connection_->bytes_sent(); }
  std::uint64_t bytes_received() const override { return connection_->bytes_received(); }

 private:
  std::shared_ptr<TlsConnection> connection_;
};

// The accepting socket; lives until libuv has closed it.
class Listener final : public HandleOwner, public std::enable_shared_from_this<Listener> {
 public:
  explicit Listener(std::function<void(uv_stream_t*)> on_connection) : on_connection_(std::move(on_connection)) {}

  /// 0 or libuv's error; then it is closed already.
  int open(Loop& loop, const sockaddr_storage& address) {
    int error = uv_tcp_init(loop.uv(), &tcp_);
    if (error != 0) return error;
    tcp_.data = static_cast<HandleOwner*>(this);
    keep_ = shared_from_this();
    error = uv_tcp_bind(&tcp_, reinterpret_cast<const sockaddr*>(&address), 0);
    if (error == 0) {
      error = uv_listen(reinterpret_cast<uv_stream_t*>(&tcp_), 128, [](uv_stream_t* stream, int status) {
        auto& self = static_cast<Listener&>(*static_cast<HandleOwner*>(stream->data));
        if (status == 0 && self.on_connection_) self.on_connection_(stream);
      });
    }
    if (error != 0) close();
    return error;
  }
  Endpoint local() const {
    sockaddr_storage bound{};
    int size = sizeof bound;
    uv_tcp_getsockname(&tcp_, reinterpret_cast<sockaddr*>(&bound), &size);
    return endpoint_of(bound);
  }
  void close() {
    on_connection_ = nullptr;
    auto* handle = reinterpret_cast<uv_handle_t*>(&tcp_);
    if (!keep_ || uv_is_closing(handle)) return;
    uv_close(handle, [](uv_handle_t* closed) {
      const auto last = std::move(static_cast<Listener&>(*static_cast<HandleOwner*>(closed->data)).keep_);
    });
  }
  void close_handle(uv_handle_s*) override { close(); }

 private:
  uv_tcp_t tcp_{};
  std::function<void(uv_stream_t*)> on_connection_;
  std::shared_ptr<Listener> keep_;
};

}  // namespace

// Outlives the TlsTransport for as long as its connections need to be closed.
class TlsTransport::State final : public std::enable_shared_from_this<State> {
 public:
  State(Loop& on, const TlsOptions& with, std::shared_ptr<const TlsCredentials> of)
      : loop(on),
        options(with),
        credentials(std::move(of)),
        ours({.most = with.resumptions, .life = with.resume_within}),
        theirs({.most = with.resumptions, .life = with.resume_within}) {}

  Loop& loop;
  const TlsOptions options;
  const std::shared_ptr<const TlsCredentials> credentials;
  ResumptionTable ours, theirs;  // for links that we begin; that others begin
  std::function<void(std::shared_ptr<Link>)> handler;
  std::shared_ptr<Listener> listener;
  Endpoint local;
  TlsStats stats;
  std::unordered_set<TlsConnection*> connections;
  overlay::ProcessorBudget handshakes;   ///< of others
  overlay::Executor::TimerHandle put_off;
  bool over = false;

  void stop_listening() {
    put_off.reset();
    if (listener) listener->close();
    listener.reset();
    local = {};
  }

  void on_connection(uv_stream_t* stream) {
    const Duration wait = handshakes.wait(loop.now(), options.handshake_processor);
    if (wait.count() > 0) {
      // libuv asks for no more connections before this one is taken.
      ++stats.put_off;
      put_off = loop.after(wait, [this, stream] { on_connection(stream); });
      return;
    }
    if (stats.half_open >= options.half_open || connections.size() >= options.links + options.half_open) {
      ++stats.dropped;
      TlsConnection::turn_away(loop, stream);
      return;
    }
    TlsSession::FindResumption find;
    if (options.resumptions > 0) {
      find = [self = shared_from_this()](const ResumptionId& id) { return self->theirs.take(id, self->loop.now()); };
    }
    auto session = TlsSession::server(credentials, std::move(find));
    if (!session) {
      ++stats.dropped;
      TlsConnection::turn_away(loop, stream);
      return;
    }
    // The slot of a half-open connection is held until its socket is closed or its peer is proven.
    ++stats.half_open;
    const auto half_open = std::make_shared<bool>(true);
    const auto connection = track(std::move(*session), half_open, [this, half_open](auto self, Result<void> done) {
      if (done && stats.links < options.links) {
        leave_half_open(half_open);
        ++stats.accepted;
        stats.accepted_resumed += remember(self->session(), ours, theirs) ? 1 : 0;
        if (handler) handler(linked(self));
        return;
      }
      if (done) {
        ++stats.dropped;
        self->cut();
      } else if (done.error().code == ErrorCode::timeout) {
        ++stats.timed_out;
      } else {
        ++stats.refused;
      }
    });
    connection->accept(stream, options.handshake_timeout);
  }

  void connect(const Endpoint& to, const NodeId& expected, Duration timeout, OnLink done) {
    auto refuse = [this, &done](Error error) {
      loop.post([done = std::move(done), error = std::move(error)] { done(tl::unexpected(error)); });
    };
    auto address = socket_address(to);
    if (!address) return refuse(address.error());
    if (stats.links >= options.links) {
      return refuse({ErrorCode::limit_exceeded,
                     fmt::format("{} links are open, which is the limit; close some first", options.links),
                     {}});
    }
    auto session = TlsSession::client(credentials, expected, ours.take(expected, loop.now()));
    if (!session) return refuse(session.error());
    const auto connection =
        track(std::move(*session), nullptr, [this, done = std::move(done)](auto self, Result<void> result) {
          if (result) {
            ++stats.connected;
            stats.connected_resumed += remember(self->session(), theirs, ours) ? 1 : 0;
            done(linked(self));
            return;
          }
          if (result.error().code == ErrorCode::timeout) ++stats.timed_out;
          done(tl::unexpected(result.error()));
        });
    connection->connect(*address, timeout);
  }

  void end_all() {
    over = true;
    handler = nullptr;
    stop_listening();
    const auto all = connections;
    for (TlsConnection* connection : all) {
      connection->abandon();
      connection->cut();
    }
  }

 private:
  using OnHandshake = std::function<void(std::shared_ptr<TlsConnection>, Result<void>)>;

  /// Keeps what the next link can resume: of the kind that this one was (`onward`), and begun by the other end (`back`). Both
  /// ends derive it when they trust each other and send nothing, so it costs little even where it is never used.
  /// True: this link was resumed itself.
  bool remember(const TlsSession& session, ResumptionTable& back, ResumptionTable& onward) {
    const auto now = loop.now();
    const auto resumed = session.resumed_from();
    if (options.resumptions == 0) return false;
    if (const auto next = session.next_secrets()) {
      const auto proven = resumed.value_or(now);
      onward.keep({*session.peer(), next->onward, proven}, now);
      back.keep({*session.peer(), next->back, proven}, now);
    }
    return resumed.has_value();
  }

  void leave_half_open(const std::shared_ptr<bool>& half_open) {
    if (half_open && *half_open) {
      *half_open = false;
      --stats.half_open;
    }
  }

  std::shared_ptr<TlsConnection> track(std::unique_ptr<TlsSession> session, std::shared_ptr<bool> half_open,
                                       OnHandshake on_handshake) {
    const auto self = shared_from_this();
    const auto slot = std::make_shared<TlsConnection*>(nullptr);
    TlsConnection::Events events;
    if (half_open) events.on_spent = [self](Duration time) { self->handshakes.spend(time); };
    events.on_handshake = [self, slot, on_handshake = std::move(on_handshake)](Result<void> done) {
      if (self->over) return;
      on_handshake((*slot)->shared_from_this(), std::move(done));
    };
    events.on_gone = [self, slot, half_open = std::move(half_open)] {
      self->leave_half_open(half_open);
      self->connections.erase(*slot);
      self->count_links();
    };
    auto connection = std::make_shared<TlsConnection>(loop, options, std::move(session), std::move(events));
    *slot = connection.get();
    connections.insert(connection.get());
    return connection;
  }

  std::shared_ptr<Link> linked(std::shared_ptr<TlsConnection> connection) {
    auto link = std::make_shared<TlsLink>(std::move(connection));
    count_links();
    return link;
  }

  void count_links() {
    stats.links = 0;
    for (const TlsConnection* connection : connections) stats.links += connection->is_link() ? 1 : 0;
  }
};

TlsTransport::TlsTransport(std::shared_ptr<State> state) : state_(std::move(state)) {}
TlsTransport::~TlsTransport() { state_->end_all(); }

Result<std::unique_ptr<TlsTransport>> TlsTransport::make(Loop& loop, const metadata::KeyPair& key,
                                                         const TlsOptions& options) {
  auto credentials = TlsCredentials::make(key);
  if (!credentials) return tl::unexpected(credentials.error());
  return std::unique_ptr<TlsTransport>(
      new TlsTransport(std::make_shared<State>(loop, options, std::move(*credentials))));
}

Result<void> TlsTransport::listen(const Endpoint& local) {
  State& s = *state_;
  P2P_ASSERT(!s.listener);
  const auto address = socket_address(local);
  if (!address) return tl::unexpected(address.error());
  // The state owns the listener and closes it before it goes: no need to keep one alive by the other.
  auto listener = std::make_shared<Listener>([&s](uv_stream_t* stream) { s.on_connection(stream); });
  if (const int error = listener->open(s.loop, *address); error != 0) {
    switch (error) {
      case UV_EADDRINUSE:
        return fail(ErrorCode::in_use,
                    fmt::format("TCP port {} of {} is taken: stop the program that uses it, or choose another "
                                "link port (0 takes a free one)",
                                local.port, local.host),
                    uv_strerror(error));
      case UV_EMFILE:
      case UV_ENFILE:
        return fail(ErrorCode::io, "cannot open a socket: raise the limit on open files (ulimit -n)",
                    uv_strerror(error));
      case UV_EADDRNOTAVAIL:
        return fail(ErrorCode::invalid_argument,
                    fmt::format("{} is no address of this machine: bind to one of `ip address`", local.host),
                    uv_strerror(error));
      default:
        return fail(ErrorCode::io, fmt::format("cannot accept links at {}", local.text()), uv_strerror(error));
    }
  }
  s.local = listener->local();
  s.listener = std::move(listener);
  return {};
}

void TlsTransport::stop_listening() { state_->stop_listening(); }

void TlsTransport::connect(const Endpoint& to, const NodeId& expected, Duration timeout, OnLink done) {
  state_->connect(to, expected, timeout, std::move(done));
}

void TlsTransport::on_accept(std::function<void(std::shared_ptr<Link>)> handler) {
  state_->handler = std::move(handler);
}

Endpoint TlsTransport::local() const { return state_->local; }
TlsStats TlsTransport::stats() const { return state_->stats; }

}  // namespace p2p::net

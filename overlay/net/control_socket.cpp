#include "overlay/net/control_socket.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <unordered_set>
#include <utility>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include <fmt/core.h>

namespace p2p::net {

namespace {

constexpr overlay::Duration kLeastStay = std::chrono::milliseconds(100);  // whoever has just come has his request under way

// One connected client: reads a line, waits for its answer, writes it, reads the next.
class Client final : public HandleOwner, public std::enable_shared_from_this<Client> {
 public:
  Client(Loop& loop, const ControlServer::Handler& handler, const ControlOptions& options,
         std::function<void(Client*)> on_gone)
      : loop_(loop), handler_(handler), options_(options), on_gone_(std::move(on_gone)) {}

  bool accept(uv_stream_t* listener) {
    if (uv_pipe_init(loop_.uv(), &pipe_, 0) != 0) return false;
    pipe_.data = static_cast<HandleOwner*>(this);
    keep_ = shared_from_this();
    if (uv_accept(listener, stream()) != 0) {
      close();
      return true;
    }
    wait_for_line();
    return true;
  }

  void close() {
    if (closed_) return;
    closed_ = true;
    idle_.reset();
    uv_close(reinterpret_cast<uv_handle_t*>(&pipe_), [](uv_handle_t* handle) {
      const auto last = std::move(from(handle->data).keep_);
    });
    // At once, not with libuv's callback: whoever sees this connection end may connect again.
    const auto gone = std::exchange(on_gone_, nullptr);
    if (gone) gone(this);
  }
  /// The server is going away: it must not be told.
  void orphan() {
    on_gone_ = nullptr;
    handler_ = nullptr;
    close();
  }
  void close_handle(uv_handle_s*) override { close(); }
  bool is_closed() const { return closed_; }
  /// Since when this end waits for the client: to ask, or to read its answer. Nothing: the client waits for an answer.
  std::optional<overlay::TimePoint> waits_since() const { return waits_since_; }

 private:
  static Client& from(void* data) { return static_cast<Client&>(*static_cast<HandleOwner*>(data)); }
  uv_stream_t* stream() { return reinterpret_cast<uv_stream_t*>(&pipe_); }

  void wait_for_client() {
    waits_since_ = loop_.now();
    idle_ = loop_.after(options_.idle_timeout, [this] { close(); });
  }

  void wait_for_line() {
    if (closed_) return;
    wait_for_client();
    static thread_local std::array<char, 16 * 1024> shared_buffer;
    uv_read_start(
        stream(),
        [](uv_handle_t*, std::size_t, uv_buf_t* buffer) {
          *buffer = uv_buf_init(shared_buffer.data(), shared_buffer.size());
        },
        [](uv_stream_t* source, ssize_t count, const uv_buf_t* buffer) {
          Client& self = from(source->data);
          const auto keep = self.shared_from_this();
          if (count < 0) {
            self.close();
          } else if (count > 0) {
            self.input_.append(buffer->base, static_cast<std::size_t>(count));
            self.next_line();
          }
        });
  }

  void next_line() {
    const auto end = input_.find('\n');
    const std::size_t length = end == std::string::npos ? input_.size() : end;
    if (length > options_.line_bytes) {
      close();
      return;
    }
    if (end == std::string::npos) {
      wait_for_line();
      return;
    }
    uv_read_stop(stream());
    idle_.reset();
    waits_since_.reset();
    std::string line = input_.substr(0, end);
    input_.erase(0, end + 1);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    // The answer may come at once or much later; a reply that is dropped unanswered takes the client with it.
    auto ticket = std::make_shared<Ticket>(weak_from_this());
    const auto handler = handler_;  // it may end the server, and with it this client
    handler(std::move(line), [ticket](std::string answer) { ticket->answer(std::move(answer)); });
  }

  struct Ticket {
    explicit Ticket(std::weak_ptr<Client> of) : client(std::move(of)) {}
    ~Ticket() {
      if (const auto to = client.lock(); to && !used) to->close();
    }
    void answer(std::string text) {
      P2P_ASSERT(!used);
      used = true;
      if (const auto to = client.lock()) to->write(std::move(text));
    }
    std::weak_ptr<Client> client;
    bool used = false;
  };

  void write(std::string answer) {
    if (closed_) return;
    output_ = std::move(answer);
    output_.push_back('\n');
    wait_for_client();
    uv_buf_t buffer = uv_buf_init(output_.data(), static_cast<unsigned>(output_.size()));
    const int error = uv_write(&writing_, stream(), &buffer, 1, [](uv_write_t* request, int status) {
      Client& self = from(request->handle->data);
      const auto keep = self.shared_from_this();
      if (status != 0) {
        self.close();
      } else if (!self.closed_) {
        self.output_.clear();
        self.next_line();
      }
    });
    if (error != 0) close();
  }

  Loop& loop_;
  ControlServer::Handler handler_;
  ControlOptions options_;
  std::function<void(Client*)> on_gone_;
  uv_pipe_t pipe_{};
  uv_write_t writing_{};
  std::shared_ptr<Client> keep_;
  overlay::Executor::TimerHandle idle_;
  std::optional<overlay::TimePoint> waits_since_;
  std::string input_, output_;
  bool closed_ = false;
};

// Is anybody behind the socket file? Only a refused connection says for certain that nobody is.
bool is_dead(const std::string& path, const sockaddr_un& address) {
  struct stat about {};
  if (::lstat(path.c_str(), &about) != 0 || !S_ISSOCK(about.st_mode)) return false;
  const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return false;
  const bool refused = ::connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
                       errno == ECONNREFUSED;
  ::close(probe);
  return refused;
}

}  // namespace

class ControlServer::State final : public HandleOwner, public std::enable_shared_from_this<State> {
 public:
  State(Loop& on, std::string at, Handler with, const ControlOptions& opts)
      : loop(on), path(std::move(at)), handler(std::move(with)), options(opts) {}

  Loop& loop;
  const std::string path;
  Handler handler;
  const ControlOptions options;
  uv_pipe_t listener{};
  std::shared_ptr<State> keep;
  std::unordered_set<Client*> clients;
  ino_t inode = 0;  ///< of our socket file: somebody else's in its place is not removed

  void close_handle(uv_handle_s* handle) override {
    uv_close(handle, [](uv_handle_t* closed) {
      const auto last = std::move(static_cast<State&>(*static_cast<HandleOwner*>(closed->data)).keep);
    });
  }

  // `descriptor` is bound and listening already.
  Result<void> open(int descriptor) {
    if (const int error = uv_pipe_init(loop.uv(), &listener, 0); error != 0) {
      ::close(descriptor);
      return fail(ErrorCode::io, "cannot open the control socket", uv_strerror(error));
    }
    listener.data = static_cast<HandleOwner*>(this);
    keep = shared_from_this();
    int error = uv_pipe_open(&listener, descriptor);
    if (error != 0) ::close(descriptor);
    if (error == 0) {
      error = uv_listen(reinterpret_cast<uv_stream_t*>(&listener), 32, [](uv_stream_t* stream, int status) {
        if (status == 0) static_cast<State&>(*static_cast<HandleOwner*>(stream->data)).on_client(stream);
      });
    }
    if (error != 0) {
      close_handle(reinterpret_cast<uv_handle_t*>(&listener));
      return fail(ErrorCode::io, "cannot open the control socket", uv_strerror(error));
    }
    struct stat about {};
    if (::lstat(path.c_str(), &about) == 0) inode = about.st_ino;
    return {};
  }

  void on_client(uv_stream_t* stream) {
    const auto client = std::make_shared<Client>(loop, handler, options, [this](Client* gone) { clients.erase(gone); });
    if (!client->accept(stream)) return;
    if (client->is_closed()) return;
    if (clients.size() < options.clients || make_room()) {
      clients.insert(client.get());
    } else {
      client->close();
    }
  }

  /// Ends the client that has been waited for longest, so that a script which hangs does not lock the operator out.
  bool make_room() {
    Client* longest = nullptr;
    for (Client* client : clients) {
      if (!client->waits_since() || loop.now() - *client->waits_since() < kLeastStay) continue;
      if (longest == nullptr || *client->waits_since() < *longest->waits_since()) longest = client;
    }
    if (longest == nullptr) return false;
    longest->close();
    return true;
  }

  void end() {
    handler = nullptr;
    // The file first: a client that sees us hang up must not find it.
    struct stat about {};
    if (::lstat(path.c_str(), &about) == 0 && about.st_ino == inode) ::unlink(path.c_str());
    const auto all = clients;
    clients.clear();
    for (Client* client : all) client->orphan();
    auto* handle = reinterpret_cast<uv_handle_t*>(&listener);
    if (!uv_is_closing(handle)) close_handle(handle);
  }
};

ControlServer::ControlServer(std::shared_ptr<State> state) : state_(std::move(state)) {}
ControlServer::~ControlServer() { state_->end(); }
const std::string& ControlServer::path() const { return state_->path; }

Result<std::unique_ptr<ControlServer>> ControlServer::open(Loop& loop, const std::string& path, Handler handler,
                                                           const ControlOptions& options) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("the control socket's path \"{}\" must have 1 to {} characters: choose a shorter state "
                            "directory",
                            path, sizeof address.sun_path - 1));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  const int descriptor = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return fail(ErrorCode::io, "cannot open the control socket", std::strerror(errno));
  // Before bind: the file has this mode from its first instant, without a change of the process's umask.
  ::fchmod(descriptor, 0600);
  const auto bind = [&] { return ::bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address); };
  int bound = bind();
  if (bound != 0 && errno == EADDRINUSE && is_dead(path, address)) {
    ::unlink(path.c_str());
    bound = bind();
  }
  if (bound != 0) {
    const int error = errno;
    ::close(descriptor);
    struct stat about {};
    if (error == EADDRINUSE && ::lstat(path.c_str(), &about) == 0 && !S_ISSOCK(about.st_mode)) {
      return fail(ErrorCode::io, fmt::format("{} is no socket, but the node's control socket belongs there; move it away", path));
    }
    if (error == EADDRINUSE) {
      return fail(ErrorCode::in_use,
                  fmt::format("{} is in use: another node runs with this state directory; stop it or choose another",
                              path));
    }
    return fail(error == ENOENT ? ErrorCode::not_found : ErrorCode::io,
                fmt::format("cannot open the control socket {}; check that its directory exists and can be written",
                            path),
                std::strerror(error));
  }
  auto state = std::make_shared<State>(loop, path, std::move(handler), options);
  if (auto opened = state->open(descriptor); !opened) {
    ::unlink(path.c_str());
    return tl::unexpected(opened.error());
  }
  return std::unique_ptr<ControlServer>(new ControlServer(std::move(state)));
}

}  // namespace p2p::net

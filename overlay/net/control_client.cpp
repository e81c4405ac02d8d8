#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <fmt/core.h>

#include "overlay/net/control_socket.hpp"

namespace p2p::net {

namespace {

using Clock = std::chrono::steady_clock;

struct Socket {
  int descriptor = -1;
  ~Socket() {
    if (descriptor >= 0) ::close(descriptor);
  }
};

// Waits until the socket is ready for `events`; false when the deadline passed.
bool ready(int descriptor, short events, Clock::time_point deadline) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    pollfd waited{descriptor, events, 0};
    const int count = ::poll(&waited, 1, static_cast<int>(std::min<std::int64_t>(left, 60'000)));
    if (count > 0) return true;
    if (count < 0 && errno != EINTR) return true;  // the call that follows says what is wrong
  }
}

}  // namespace

Result<std::string> control_request(const std::string& path, std::string_view line, overlay::Duration timeout) {
  constexpr std::size_t kMaxAnswer = 64u << 20;
  const auto deadline = Clock::now() + timeout;
  const auto late = [&path] {
    return fail(ErrorCode::timeout, fmt::format("the node behind {} did not answer in time; it may be busy or stuck", path));
  };
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return fail(ErrorCode::invalid_argument, fmt::format("\"{}\" is no path for a control socket", path));
  }
  if (line.find('\n') != std::string_view::npos) {
    return fail(ErrorCode::invalid_argument, "a request is one line");
  }
  std::memcpy(address.sun_path, path.data(), path.size());

  const Socket socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  if (socket.descriptor < 0) return fail(ErrorCode::io, "cannot open a socket", std::strerror(errno));
  // A full backlog makes connect() wait; this bounds it.
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(timeout);
  const timeval wait{seconds.count(), std::max<std::int64_t>((timeout - seconds).count(), 1)};
  ::setsockopt(socket.descriptor, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
  if (::connect(socket.descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    switch (const int error = errno; error) {
      case ENOENT:
      case ENOTDIR:
        return fail(ErrorCode::not_found, fmt::format("no node runs here: {} does not exist; start one, or name its "
                                                      "state directory", path), std::strerror(error));
      case ECONNREFUSED:
        return fail(ErrorCode::unavailable, fmt::format("the node behind {} is not running any more; start it again",
                                                        path), std::strerror(error));
      case EAGAIN:
        return late();
      default:
        return fail(ErrorCode::io, fmt::format("cannot reach the node behind {}", path), std::strerror(error));
    }
  }
  std::string out(line);
  out.push_back('\n');
  for (std::size_t sent = 0; sent < out.size();) {
    if (!ready(socket.descriptor, POLLOUT, deadline)) return late();
    const ssize_t count = ::send(socket.descriptor, out.data() + sent, out.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count >= 0) {
      sent += static_cast<std::size_t>(count);
    } else if (errno != EINTR && errno != EAGAIN) {
      return fail(ErrorCode::closed, fmt::format("the node behind {} refused the request", path), std::strerror(errno));
    }
  }
  std::string answer;
  for (;;) {
    if (!ready(socket.descriptor, POLLIN, deadline)) return late();
    std::array<char, 16 * 1024> buffer;
    const ssize_t count = ::recv(socket.descriptor, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count <= 0) {
      return fail(ErrorCode::closed, fmt::format("the node behind {} hung up without an answer", path),
                  count < 0 ? std::strerror(errno) : "");
    }
    const std::string_view part(buffer.data(), static_cast<std::size_t>(count));
    const auto end = part.find('\n');
    answer.append(part.substr(0, end));
    if (end != std::string_view::npos) return answer;
    if (answer.size() > kMaxAnswer) return fail(ErrorCode::limit_exceeded, "the answer is too long");
  }
}

}  // namespace p2p::net

// One line in, one line out, on a Unix-domain socket: how the command line talks to a running node.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "overlay/net/loop.hpp"

namespace p2p::net {

struct ControlOptions {
  std::size_t line_bytes = 64 * 1024;     ///< of a request; longer ones end the connection
  std::size_t clients = 32;               ///< at once; for one more the one that was waited for longest has to go
  overlay::Duration idle_timeout = overlay::Duration{std::chrono::seconds(60)};
};

/// Serves requests, each a line of text; what a line means is the handler's business (here: JSON).
///
/// Requests of one client are answered in order, one at a time; a client that does not read its answers is not
/// read from either, and is the first to go when others come. Only the owner of the process may connect (mode 0600).
/// Thread: the loop's, the destructor too, which removes the socket file.
class ControlServer {
 public:
  /// Answers the request; called at most once, on the loop's thread, now or later. Dropping it ends the client.
  using Reply = std::function<void(std::string line)>;
  using Handler = std::function<void(std::string line, Reply reply)>;

  /// `in_use` when a live process listens there (a dead one's socket file is replaced), `invalid_argument` when
  /// the path is too long for a socket, `io`.
  static Result<std::unique_ptr<ControlServer>> open(Loop& loop, const std::string& path, Handler handler,
                                                     const ControlOptions& options = {});
  ~ControlServer();
  const std::string& path() const;

 private:
  class State;
  explicit ControlServer(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

/// Sends one line and waits for the one that answers it: for programs without a loop. `not_found` when there is no
/// socket, `unavailable` when nobody listens on it, `timeout`, `closed`.
Result<std::string> control_request(const std::string& path, std::string_view line, overlay::Duration timeout);

}  // namespace p2p::net

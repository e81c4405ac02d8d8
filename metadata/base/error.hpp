// What a peer, the network, the disk or the operator can cause is a value: Result<T>.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace p2p {

/// Why something could not be done. The code is for programs; it decides retries and exit codes.
enum class ErrorCode {
  invalid_argument,  ///< the caller (often: the operator's file or flag) said something that cannot be
  malformed,         ///< bytes that do not decode: torn, damaged, or not of this format
  limit_exceeded,    ///< a stated bound was passed
  version,           ///< well-formed, but of a newer format than this build reads
  not_found,         ///< a file, a peer, a block that is not there
  io,                ///< the disk or the socket failed
  full,              ///< no room left (disk, quota, queue)
  in_use,            ///< a port, a lock, a name that somebody else holds
  untrusted,         ///< a signature, key or hash that does not fit
  timeout,           ///< a deadline passed
  closed,            ///< the other end went away
  cancelled,         ///< given up on request
  unavailable,       ///< cannot be had now; later may work
};

/// The code's name as it appears in logs and JSON ("malformed", "timeout", ...).
std::string_view name(ErrorCode code);

/// A code, a sentence that says what is wrong and what to do about it, and what lay underneath.
struct Error {
  ErrorCode code = ErrorCode::invalid_argument;
  std::string message;
  std::string cause;  ///< the lower layer's own words; may be empty

  /// "message (cause)".
  std::string text() const;
};

template <typename T>
using Result = tl::expected<T, Error>;

/// Shorthand for the error side of a Result.
inline tl::unexpected<Error> fail(ErrorCode code, std::string message, std::string cause = {}) {
  return tl::unexpected<Error>(Error{code, std::move(message), std::move(cause)});
}

}  // namespace p2p

/// An assertion that is on in every build. For what only a bug can cause; never for bytes from outside.
#define P2P_ASSERT(condition)                                         \
  ((condition) ? static_cast<void>(0)                                 \
               : ::p2p::assertion_failed(#condition, __FILE__, __LINE__))

namespace p2p {
[[noreturn]] void assertion_failed(const char* condition, const char* file, int line);
}

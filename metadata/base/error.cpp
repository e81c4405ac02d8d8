#include "metadata/base/error.hpp"

#include <cstdio>
#include <cstdlib>

namespace p2p {

std::string_view name(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument: return "invalid_argument";
    case ErrorCode::malformed: return "malformed";
    case ErrorCode::limit_exceeded: return "limit_exceeded";
    case ErrorCode::version: return "version";
    case ErrorCode::not_found: return "not_found";
    case ErrorCode::io: return "io";
    case ErrorCode::full: return "full";
    case ErrorCode::in_use: return "in_use";
    case ErrorCode::untrusted: return "untrusted";
    case ErrorCode::timeout: return "timeout";
    case ErrorCode::closed: return "closed";
    case ErrorCode::cancelled: return "cancelled";
    case ErrorCode::unavailable: return "unavailable";
  }
  return "unknown";
}

std::string Error::text() const {
  return cause.empty() ? message : message + " (" + cause + ")";
}

void assertion_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "p2p-learner: internal error: %s does not hold at %s:%d\n", condition, file,
               line);
  std::abort();
}

}  // namespace p2p

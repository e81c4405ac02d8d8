#include "tools/data/byte_stream.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace p2p::tools {

namespace {
constexpr std::size_t kBuffer = 64 * 1024;
}

struct ByteStream::State {
  std::string path;
  int fd = -1;
  std::uint64_t file_bytes = 0;
  bool gzip = false;
  bool inflating = false;     // inflateInit2 has succeeded
  bool member_ended = false;  // between two gzip members
  bool file_ended = false;
  z_stream z{};
  std::array<std::uint8_t, kBuffer> in{};
  std::size_t in_begin = 0, in_end = 0;
  std::uint64_t disk_offset = 0;  // of in[in_end]
  std::uint64_t offset = 0;

  ~State() {
    if (inflating) inflateEnd(&z);
    if (fd >= 0) ::close(fd);
  }

  std::uint64_t position() const { return disk_offset - (in_end - in_begin); }

  Result<void> refill() {
    in_begin = in_end = 0;
    while (true) {
      const ssize_t n = ::read(fd, in.data(), in.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) {
        return fail(errno == EISDIR ? ErrorCode::invalid_argument : ErrorCode::io,
                    errno == EISDIR ? fmt::format("{} is a directory; name a file in it", path)
                                    : fmt::format("cannot read {} at byte {}; check the disk", path,
                                                  disk_offset),
                    std::strerror(errno));
      }
      in_end = static_cast<std::size_t>(n);
      disk_offset += in_end;
      file_ended = n == 0;
      return {};
    }
  }

  Result<std::size_t> read_plain(std::span<std::uint8_t> out) {
    std::size_t done = 0;
    while (done < out.size()) {
      if (in_begin == in_end) {
        if (file_ended) break;
        if (auto ok = refill(); !ok) return tl::unexpected(ok.error());
        continue;
      }
      const std::size_t n = std::min(out.size() - done, in_end - in_begin);
      std::memcpy(out.data() + done, in.data() + in_begin, n);
      in_begin += n;
      done += n;
    }
    return done;
  }

  Result<std::size_t> read_gzip(std::span<std::uint8_t> out) {
    z.next_out = out.data();
    z.avail_out = static_cast<uInt>(out.size());
    while (z.avail_out > 0) {
      if (in_begin == in_end && !file_ended) {
        if (auto ok = refill(); !ok) return tl::unexpected(ok.error());
      }
      if (in_begin == in_end) {
        if (member_ended) break;
        return fail(
            ErrorCode::malformed,
            fmt::format("{} is truncated: its gzip data break off at byte {}; fetch it again", path,
                        position()));
      }
      if (member_ended) {         // more bytes after a member: another member, or junk
        if (in[in_begin] == 0) {  // padding, as tape archives leave it
          ++in_begin;
          continue;
        }
        inflateReset(&z);
        member_ended = false;
      }
      z.next_in = in.data() + in_begin;
      z.avail_in = static_cast<uInt>(in_end - in_begin);
      const int status = inflate(&z, Z_NO_FLUSH);
      in_begin = in_end - z.avail_in;
      if (status == Z_STREAM_END) {
        member_ended = true;
      } else if (status != Z_OK && status != Z_BUF_ERROR) {
        return fail(
            ErrorCode::malformed,
            fmt::format("{} is damaged: its gzip data do not decode at byte {}; fetch it again",
                        path, position()),
            z.msg != nullptr ? z.msg : "");
      }
    }
    return out.size() - z.avail_out;
  }
};

ByteStream::ByteStream(std::unique_ptr<State> state) : state_(std::move(state)) {}
ByteStream::ByteStream(ByteStream&&) noexcept = default;
ByteStream& ByteStream::operator=(ByteStream&&) noexcept = default;
ByteStream::~ByteStream() = default;

Result<ByteStream> ByteStream::open(const std::string& path) {
  auto state = std::make_unique<State>();
  state->path = path;
  state->fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (state->fd < 0) {
    const int code = errno;
    return fail(code == ENOENT ? ErrorCode::not_found : ErrorCode::io,
                code == ENOENT ? fmt::format("there is no file {}; check the path", path)
                               : fmt::format("cannot open {}; check its permissions", path),
                std::strerror(code));
  }
  struct stat info {};
  if (::fstat(state->fd, &info) == 0 && S_ISREG(info.st_mode)) {
    state->file_bytes = static_cast<std::uint64_t>(info.st_size);
  }
  if (auto ok = state->refill(); !ok) return tl::unexpected(ok.error());
  state->gzip = state->in_end >= 2 && state->in[0] == 0x1f && state->in[1] == 0x8b;
  if (state->gzip) {
    if (inflateInit2(&state->z, 15 + 16) != Z_OK) {
      return fail(ErrorCode::io, fmt::format("no memory to inflate {}", path));
    }
    state->inflating = true;
  }
  return ByteStream(std::move(state));
}

Result<std::size_t> ByteStream::read(std::span<std::uint8_t> out) {
  auto n = state_->gzip ? state_->read_gzip(out) : state_->read_plain(out);
  if (n) state_->offset += *n;
  return n;
}

Result<std::uint64_t> ByteStream::skip(std::uint64_t count) {
  std::array<std::uint8_t, 16 * 1024> scratch;
  std::uint64_t done = 0;
  while (done < count) {
    const auto want =
        static_cast<std::size_t>(std::min<std::uint64_t>(scratch.size(), count - done));
    const auto n = read(std::span(scratch).first(want));
    if (!n) return tl::unexpected(n.error());
    done += *n;
    if (*n < want) break;
  }
  return done;
}

std::uint64_t ByteStream::offset() const { return state_->offset; }
bool ByteStream::compressed() const { return state_->gzip; }
const std::string& ByteStream::path() const { return state_->path; }
std::uint64_t ByteStream::file_bytes() const { return state_->file_bytes; }

Result<bool> LineReader::next(std::string& line) {
  line.clear();
  while (true) {
    if (used_ == buffer_.size()) {
      buffer_.clear();
      used_ = 0;
      if (!ended_) {
        buffer_.resize(16 * 1024);
        const auto n = stream_.read(
            std::span(reinterpret_cast<std::uint8_t*>(buffer_.data()), buffer_.size()));
        if (!n) return tl::unexpected(n.error());
        ended_ = *n < buffer_.size();
        buffer_.resize(*n);
      }
      if (buffer_.empty()) {
        if (line.empty()) return false;
        ++number_;
        return true;  // a last line without an end
      }
    }
    const auto end = buffer_.find('\n', used_);
    const auto stop = end == std::string::npos ? buffer_.size() : end;
    if (line.size() + (stop - used_) > kMaxLineBytes) {
      return fail(ErrorCode::limit_exceeded,
                  fmt::format("line {} of {} is longer than {} bytes; is it a text file?",
                              number_ + 1, path(), kMaxLineBytes));
    }
    line.append(buffer_, used_, stop - used_);
    used_ = stop;
    if (end != std::string::npos) {
      ++used_;
      ++number_;
      if (!line.empty() && line.back() == '\r') line.pop_back();
      return true;
    }
  }
}

}  // namespace p2p::tools

// A file, gzip or plain, as one forward stream of bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "metadata/base/error.hpp"

namespace p2p::tools {

/// Reads a file from front to back; what starts with gzip's magic is inflated on the way.
///
/// zlib's own gzFile was not used: it hides a truncated file until the end and cannot tell at which
/// byte. Bounds: two buffers of 64 KB, whatever the file's size. Errors: every sentence names the
/// file; those about content also the byte offset in the file on disk.
class ByteStream {
 public:
  static Result<ByteStream> open(const std::string& path);
  ByteStream(ByteStream&&) noexcept;
  ByteStream& operator=(ByteStream&&) noexcept;
  ~ByteStream();

  /// Fills `out`; fewer bytes only at the end of the stream.
  Result<std::size_t> read(std::span<std::uint8_t> out);
  /// Passes over `count` bytes; returns how many there were.
  Result<std::uint64_t> skip(std::uint64_t count);

  /// Bytes handed out so far (after inflating).
  std::uint64_t offset() const;
  bool compressed() const;
  const std::string& path() const;
  /// Size on disk; 0 when it is no regular file.
  std::uint64_t file_bytes() const;

 private:
  struct State;
  explicit ByteStream(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Lines of a ByteStream, without their ends (LF or CR LF).
class LineReader {
 public:
  static constexpr std::size_t kMaxLineBytes = 4u << 20;

  explicit LineReader(ByteStream stream) : stream_(std::move(stream)) {}
  /// False at the end. `limit_exceeded` for a line of more than kMaxLineBytes.
  Result<bool> next(std::string& line);
  /// Number of the line that next() gave last; 1 is the first.
  std::uint64_t number() const { return number_; }
  const std::string& path() const { return stream_.path(); }

 private:
  ByteStream stream_;
  std::string buffer_;
  std::size_t used_ = 0;
  bool ended_ = false;
  std::uint64_t number_ = 0;
};

}  // namespace p2p::tools

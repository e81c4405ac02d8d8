// Bytes, views of them, and a bounded little-endian reader and writer for dense numeric data
// (weights, trees, samples). Structured values use metadata/codec.hpp (msgpack) instead.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "metadata/base/error.hpp"

namespace p2p {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;

static_assert(std::endian::native == std::endian::little,
              "the dense formats are little-endian and are written as they lie in memory");

inline ByteView view(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string to_string(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Lower-case hexadecimal, two digits a byte.
std::string to_hex(ByteView bytes);
/// The inverse; `malformed` for an odd length or a character that is no digit.
Result<Bytes> from_hex(std::string_view text);

/// Fixed-size arithmetic types only: their bytes are their format.
template <typename T>
concept Plain = std::is_arithmetic_v<T>;

/// Appends plain values to a byte vector.
class ByteWriter {
 public:
  template <Plain T>
  void put(T value) {
    append(&value, sizeof value);
  }
  template <Plain T>
  void put_array(std::span<const T> values) {
    append(values.data(), values.size_bytes());
  }
  /// u32 length, then the bytes.
  void put_sized(ByteView bytes) {
    put(static_cast<std::uint32_t>(bytes.size()));
    append(bytes.data(), bytes.size());
  }
  const Bytes& bytes() const { return bytes_; }
  Bytes take() { return std::move(bytes_); }

 private:
  void append(const void* data, std::size_t size);
  Bytes bytes_;
};

/// Reads plain values from a view, and never past its end.
///
/// Errors stick: after the first short read every further read yields zero and `ok()` is false, so a
/// decoder checks once, after it has read a group of fields and before it trusts any of them.
class ByteReader {
 public:
  explicit ByteReader(ByteView bytes) : rest_(bytes) {}

  bool ok() const { return ok_; }
  bool at_end() const { return rest_.empty(); }
  std::size_t remaining() const { return rest_.size(); }

  template <Plain T>
  T get() {
    T value{};
    take_into(&value, sizeof value);
    return value;
  }
  /// Reads exactly out.size() values.
  template <Plain T>
  void get_array(std::span<T> out) {
    take_into(out.data(), out.size_bytes());
  }
  /// u32 length, then that many bytes; fails when the length passes `max_bytes` or the end.
  ByteView get_sized(std::size_t max_bytes) {
    const auto size = get<std::uint32_t>();
    if (!ok_ || size > max_bytes || size > rest_.size()) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    const ByteView out = rest_.first(size);
    rest_ = rest_.subspan(size);
    return out;
  }

 private:
  void take_into(void* out, std::size_t size) {
    if (size == 0) return;
    if (!ok_ || size > rest_.size()) {
      ok_ = false;
      rest_ = {};
      std::memset(out, 0, size);
      return;
    }
    std::memcpy(out, rest_.data(), size);
    rest_ = rest_.subspan(size);
  }
  ByteView rest_;
  bool ok_ = true;
};

/// CRC-32 (IEEE 802.3), for torn writes and flipped bits; no protection against an adversary.
std::uint32_t crc32(ByteView bytes);

}  // namespace p2p

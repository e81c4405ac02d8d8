// Bounded msgpack: the one place that packs and unpacks structured bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "metadata/base/bytes.hpp"
#include "metadata/base/error.hpp"

namespace p2p::metadata {

/// Writes msgpack in its canonical (shortest) form.
class Encoder {
 public:
  Encoder();
  ~Encoder();
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;

  Encoder& array(std::uint32_t size);
  Encoder& map(std::uint32_t size);
  Encoder& nil();
  Encoder& boolean(bool value);
  Encoder& integer(std::int64_t value);
  Encoder& unsigned_integer(std::uint64_t value);
  Encoder& real(double value);
  Encoder& real32(float value);
  Encoder& text(std::string_view value);
  Encoder& binary(ByteView value);
  /// What binary() writes before the bytes; whoever asks for it writes `size` of them behind.
  Encoder& binary_head(std::uint32_t size);
  /// Bytes that are msgpack already.
  Encoder& raw(ByteView packed);

  Bytes take();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Bounds that hold for one message, whatever it claims about itself.
struct DecodeLimits {
  std::size_t bytes = 1u << 20;
  std::size_t depth = 16;
  std::size_t elements = 1u << 16;  ///< of all arrays and maps together
};

/// One unpacked value; a view into its Document. Every accessor checks kind and range.
class Value {
 public:
  enum class Kind : std::uint8_t { nil, boolean, integer, real, text, binary, array, map, extension };
  Value() = default;
  Kind kind() const;
  std::size_t size() const;                    ///< of an array, map, text or binary; else 0
  std::optional<bool> boolean() const;
  std::optional<std::int64_t> integer() const;
  std::optional<std::uint64_t> unsigned_integer() const;
  /// Any number; NaN and infinities pass through: the caller says what is allowed.
  std::optional<double> real() const;
  std::optional<std::string_view> text() const;
  std::optional<ByteView> binary() const;
  /// Array element; nil when out of range or no array.
  Value operator[](std::size_t index) const;
  /// Map value under a text key; nil when absent.
  Value operator[](std::string_view key) const;
  /// Map entry by position: {key, value}.
  std::pair<Value, Value> entry(std::size_t index) const;

 private:
  friend class Document;
  explicit Value(const void* object) : object_(object) {}
  const void* object_ = nullptr;
};

/// One whole message, unpacked. Owns the memory that its Values refer to, unless that was lent.
class Document {
 public:
  /// Takes exactly one value that fills `bytes` to the end. `limit_exceeded` or `malformed` otherwise; memory
  /// used is proportional to the bytes given, never to what they claim.
  static Result<Document> parse(ByteView bytes, const DecodeLimits& limits);
  /// The same without a copy: `bytes` must stay where they are for as long as Values are used.
  static Result<Document> of_lent(ByteView bytes, const DecodeLimits& limits);
  Document(Document&&) noexcept;
  Document& operator=(Document&&) noexcept;
  ~Document();
  Value root() const;

 private:
  struct State;
  explicit Document(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace p2p::metadata

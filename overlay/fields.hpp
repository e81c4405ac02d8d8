// The fields of a frame (README.md, "Frames"): what every protocol on links reads and writes alike.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "metadata/codec.hpp"
#include "overlay/messages.hpp"

namespace p2p::overlay {

/// A visitor of a variant, one lambda per alternative.
template <typename... Cases>
struct Match : Cases... {
  using Cases::operator()...;
};
template <typename... Cases>
Match(Cases...) -> Match<Cases...>;

inline void put_classes(metadata::Encoder& out, const std::vector<std::int32_t>& classes) {
  out.array(static_cast<std::uint32_t>(classes.size()));
  for (const auto c : classes) out.integer(c);
}

/// Reads the fields of one frame in order. Errors stick, so that a decoder checks once at its end.
class Fields {
 public:
  explicit Fields(const metadata::Value& frame, std::size_t first = 2) : frame_(frame), next_(first) {}

  std::uint64_t number(std::uint64_t max = std::numeric_limits<std::uint64_t>::max()) {
    const auto value = frame_[next_++].unsigned_integer();
    ok_ = ok_ && value && *value <= max;
    return ok_ ? *value : 0;
  }
  std::uint32_t number32() {
    return static_cast<std::uint32_t>(number(std::numeric_limits<std::uint32_t>::max()));
  }
  double finite() {
    const auto value = frame_[next_++].real();
    ok_ = ok_ && value && std::isfinite(*value);
    return ok_ ? *value : 0;
  }
  std::string text() {
    const auto value = frame_[next_++].text();
    ok_ = ok_ && value && value->size() <= kMaxNameBytes;
    return ok_ ? std::string(*value) : std::string();
  }
  Bytes bytes() {
    const ByteView lent = lent_bytes();
    return {lent.begin(), lent.end()};
  }
  /// As they lie in the message.
  ByteView lent_bytes() {
    const auto value = frame_[next_++].binary();
    ok_ = ok_ && value.has_value();
    return ok_ ? *value : ByteView();
  }
  template <typename Fixed>  // Hash, NodeId
  Fixed fixed() {
    Fixed out;
    const auto value = frame_[next_++].binary();
    ok_ = ok_ && value && value->size() == out.bytes.size();
    if (ok_) std::copy(value->begin(), value->end(), out.bytes.begin());
    return out;
  }
  /// The same, or no bytes at all.
  template <typename Fixed>
  std::optional<Fixed> optional() {
    const auto value = frame_[next_].binary();
    if (!value || !value->empty()) return fixed<Fixed>();
    ++next_;
    return std::nullopt;
  }
  std::vector<std::int32_t> classes() {
    const metadata::Value list = frame_[next_++];
    ok_ = ok_ && list.kind() == metadata::Value::Kind::array && list.size() <= kMaxClasses;
    std::vector<std::int32_t> out;
    for (std::size_t i = 0; ok_ && i < list.size(); ++i) {
      const auto c = list[i].integer();
      ok_ = c && *c >= 0 && *c < static_cast<std::int64_t>(kMaxClasses);
      if (ok_) out.push_back(static_cast<std::int32_t>(*c));
    }
    return out;
  }
  metadata::Value next() { return frame_[next_++]; }
  void require(bool condition) { ok_ = ok_ && condition; }
  /// Every field was there and right, and there are no others.
  bool complete() const { return ok_ && next_ == frame_.size(); }

 private:
  const metadata::Value& frame_;
  std::size_t next_;
  bool ok_ = true;
};

}  // namespace p2p::overlay

#include "overlay/geo/update_coding.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace p2p::geo {

namespace {
constexpr std::uint8_t kGaps = 0, kBitmap = 1;
constexpr float kLargestHalf = 65504.0f;
}  // namespace

std::uint16_t to_half(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000u);
  const float size = std::min(std::abs(value), kLargestHalf);
  // Below 2^-14 a half is a multiple of 2^-24; above, its step is 2^-10 of its power of two.
  int exponent = 0;
  std::frexp(size, &exponent);  // size = m * 2^exponent, 0.5 <= m < 1
  const int step = size == 0 ? -24 : std::max(exponent - 11, -24);
  const auto steps = static_cast<std::uint32_t>(std::nearbyint(std::ldexp(size, -step)));
  if (step == -24) return static_cast<std::uint16_t>(sign | steps);  // carries into 2^-14 by itself
  return static_cast<std::uint16_t>(sign | ((static_cast<std::uint32_t>(step + 24) << 10) + steps));
}

float from_half(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const int mantissa = bits & 1023;
  const float size = exponent == 0    ? std::ldexp(static_cast<float>(mantissa), -24)
                     : exponent == 31 ? (mantissa == 0 ? INFINITY : NAN)
                                      : std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
  return bits & 0x8000 ? -size : size;
}

double quantise(double value, Precision precision) {
  if (precision == Precision::fp64) return value;
  const auto single = static_cast<float>(value);
  return precision == Precision::fp32 ? single : from_half(to_half(single));
}

void put_varint(Bytes& out, std::uint64_t value) {
  for (; value >= 128; value >>= 7) out.push_back(static_cast<std::uint8_t>(value | 128));
  out.push_back(static_cast<std::uint8_t>(value));
}

bool get_varint(ByteView& from, std::uint64_t& value) {
  value = 0;
  for (std::size_t i = 0; i < from.size() && i < 10; ++i) {
    const std::uint64_t digit = from[i] & 127;
    if (i == 9 && digit > 1) return false;
    value |= digit << (7 * i);
    if (from[i] & 128) continue;
    if (i > 0 && digit == 0) return false;  // a longer form than needed
    from = from.subspan(i + 1);
    return true;
  }
  return false;
}

Bytes encode_indices(std::span<const std::uint32_t> indices, std::uint32_t dimension) {
  if (indices.empty()) return {};
  Bytes gaps{kGaps};
  const std::size_t bitmap_bytes = (static_cast<std::size_t>(dimension) + 7) / 8;
  std::uint64_t next = 0;  // the least index that may follow
  for (const auto index : indices) {
    P2P_ASSERT(index >= next && index < dimension);
    if (gaps.size() <= bitmap_bytes) put_varint(gaps, index - next);
    next = static_cast<std::uint64_t>(index) + 1;
  }
  if (gaps.size() <= bitmap_bytes) return gaps;
  Bytes bitmap(1 + bitmap_bytes, 0);
  bitmap[0] = kBitmap;
  for (const auto index : indices) bitmap[1 + index / 8] |= static_cast<std::uint8_t>(1u << (index % 8));
  return bitmap;
}

Result<std::vector<std::uint32_t>> decode_indices(ByteView bytes, std::uint32_t dimension) {
  std::vector<std::uint32_t> out;
  if (bytes.empty()) return out;
  const auto form = bytes[0];
  bytes = bytes.subspan(1);
  if (form == kGaps && !bytes.empty()) {
    for (std::uint64_t next = 0; !bytes.empty();) {
      std::uint64_t gap = 0;
      if (!get_varint(bytes, gap)) return fail(ErrorCode::malformed, "a parameter's index is cut or too long");
      if (next >= dimension || gap >= dimension - next) {
        return fail(ErrorCode::malformed, "a parameter's index is out of range: do both sites train one model?");
      }
      out.push_back(static_cast<std::uint32_t>(next + gap));
      next += gap + 1;
    }
    return out;
  }
  if (form == kBitmap && bytes.size() == (static_cast<std::size_t>(dimension) + 7) / 8) {
    for (std::size_t byte = 0; byte < bytes.size(); ++byte) {
      for (std::uint8_t rest = bytes[byte]; rest != 0; rest &= static_cast<std::uint8_t>(rest - 1)) {
        const std::size_t index = byte * 8 + static_cast<std::size_t>(std::countr_zero(rest));
        if (index >= dimension) return fail(ErrorCode::malformed, "a parameter's bit is out of range");
        out.push_back(static_cast<std::uint32_t>(index));
      }
    }
    if (!out.empty()) return out;
  }
  return fail(ErrorCode::malformed, "a set of parameters has a form or size that is not known");
}

Bytes encode_values(std::span<const double> values, Precision precision) {
  ByteWriter out;
  for (const double value : values) {
    P2P_ASSERT(std::isfinite(value));
    if (precision == Precision::fp64) out.put(value);
    if (precision == Precision::fp32) out.put(static_cast<float>(value));
    if (precision == Precision::fp16) out.put(to_half(static_cast<float>(value)));
  }
  return out.take();
}

Result<std::vector<double>> decode_values(ByteView bytes, std::size_t count, Precision precision) {
  if (bytes.size() / width(precision) != count || bytes.size() % width(precision) != 0) {
    return fail(ErrorCode::malformed, "values do not fit their indices in number");
  }
  std::vector<double> out;
  out.reserve(count);
  ByteReader reader(bytes);
  for (std::size_t i = 0; i < count; ++i) {
    const double value = precision == Precision::fp64   ? reader.get<double>()
                         : precision == Precision::fp32 ? reader.get<float>()
                                                        : from_half(reader.get<std::uint16_t>());
    if (!(std::abs(value) <= std::numeric_limits<float>::max())) {
      return fail(ErrorCode::malformed, "a value is not finite, or beyond what a parameter can be");
    }
    out.push_back(value);
  }
  return out;
}

}  // namespace p2p::geo

#include "learner/transfer/quantise.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/core.h>

namespace p2p::learner {
namespace {

constexpr double kLowest = -40, kHighest = 40;  // binary orders of magnitude of a level

tl::unexpected<Error> damaged(std::string_view what) {
  return fail(ErrorCode::malformed, fmt::format("numbers were refused: {}", what));
}

/// Largest integer of a signed code; the lowest one of two's complement is not used.
constexpr int top_of(Precision precision) {
  return precision == Precision::bits16 ? 32767 : precision == Precision::bits8 ? 127 : 7;
}

std::size_t code_bytes(std::size_t count, Precision precision) {
  return (count * static_cast<std::size_t>(precision) + 7) / 8;
}

/// 0 is zero; 1 .. most spread evenly over the orders of magnitude.
std::uint32_t level_of(float value, std::uint32_t most) {
  if (!(value > 0)) return 0;
  const double order = std::clamp(std::log2(static_cast<double>(value)), kLowest, kHighest);
  return 1 + static_cast<std::uint32_t>(
                 std::lround((order - kLowest) / (kHighest - kLowest) * (most - 1.0)));
}

float value_of(std::uint32_t level, std::uint32_t most) {
  if (level == 0) return 0;
  return static_cast<float>(
      std::exp2(kLowest + (level - 1.0) / (most - 1.0) * (kHighest - kLowest)));
}

bool within(std::span<const float> values, float least, float most) {
  // Written so that NaN fails.
  return std::all_of(values.begin(), values.end(),
                     [&](float v) { return v >= least && v <= most; });
}

Result<void> checked(const ByteReader& in, std::span<const float> out, float least, float most) {
  if (!in.ok()) return damaged("they end too early");
  if (!within(out, least, most)) return damaged("one is not finite or out of range");
  return {};
}

}  // namespace

void put_numbers(ByteWriter& out, std::span<const float> values, Precision precision) {
  if (precision == Precision::bits32) return out.put_array(values);
  const int top = top_of(precision);
  while (!values.empty()) {
    const auto group = values.first(std::min(values.size(), kQuantiseGroup));
    values = values.subspan(group.size());
    float largest = 0;
    for (const float v : group) largest = std::max(largest, std::abs(v));
    const float scale = largest / static_cast<float>(top);
    out.put(scale);
    const auto code = [&](float v) {
      if (!(scale > 0)) return 0;
      return std::clamp(static_cast<int>(std::lround(v / scale)), -top, top);
    };
    if (precision == Precision::bits4) {
      for (std::size_t i = 0; i < group.size(); i += 2) {
        const int low = code(group[i]) & 15, high = i + 1 < group.size() ? code(group[i + 1]) & 15 : 0;
        out.put(static_cast<std::uint8_t>(low | high << 4));
      }
    } else {
      for (const float v : group) {
        if (precision == Precision::bits8) {
          out.put(static_cast<std::int8_t>(code(v)));
        } else {
          out.put(static_cast<std::int16_t>(code(v)));
        }
      }
    }
  }
}

std::size_t numbers_bytes(std::size_t count, Precision precision) {
  if (precision == Precision::bits32) return 4 * count;
  const std::size_t whole = count / kQuantiseGroup, rest = count % kQuantiseGroup;
  return whole * (4 + code_bytes(kQuantiseGroup, precision)) +
         (rest > 0 ? 4 + code_bytes(rest, precision) : 0);
}

Result<void> get_numbers(ByteReader& in, std::span<float> out, Precision precision, float limit) {
  if (in.remaining() < numbers_bytes(out.size(), precision)) return damaged("they end too early");
  if (precision == Precision::bits32) {
    in.get_array(out);
    return checked(in, out, -limit, limit);
  }
  for (std::size_t at = 0; at < out.size(); at += kQuantiseGroup) {
    const auto group = out.subspan(at, std::min(kQuantiseGroup, out.size() - at));
    const float scale = in.get<float>();
    if (!(scale >= 0 && scale <= limit)) return damaged("a scale is not finite or out of range");
    if (precision == Precision::bits4) {
      for (std::size_t i = 0; i < group.size(); i += 2) {
        const auto both = in.get<std::uint8_t>();
        const auto number = [](int nibble) { return nibble < 8 ? nibble : nibble - 16; };
        group[i] = scale * static_cast<float>(number(both & 15));
        if (i + 1 < group.size()) group[i + 1] = scale * static_cast<float>(number(both >> 4));
      }
    } else {
      for (float& v : group) {
        v = scale * static_cast<float>(precision == Precision::bits8 ? in.get<std::int8_t>()
                                                                      : in.get<std::int16_t>());
      }
    }
  }
  return checked(in, out, -limit, limit);
}

void put_levels(ByteWriter& out, std::span<const float> values, Precision precision) {
  switch (precision) {
    case Precision::bits32: return out.put_array(values);
    case Precision::bits16:
      for (const float v : values) out.put(static_cast<std::uint16_t>(level_of(v, 65535)));
      return;
    case Precision::bits8:
      for (const float v : values) out.put(static_cast<std::uint8_t>(level_of(v, 255)));
      return;
    case Precision::bits4:
      for (std::size_t at = 0; at < values.size(); at += kLevelGroup) {
        const auto group = values.subspan(at, std::min(kLevelGroup, values.size() - at));
        double sum = 0;
        for (const float v : group) sum += static_cast<double>(v);
        out.put(static_cast<std::uint8_t>(
            level_of(static_cast<float>(sum / static_cast<double>(group.size())), 255)));
      }
  }
}

std::size_t levels_bytes(std::size_t count, Precision precision) {
  return precision == Precision::bits4 ? (count + kLevelGroup - 1) / kLevelGroup
                                       : count * static_cast<std::size_t>(precision) / 8;
}

Result<void> get_levels(ByteReader& in, std::span<float> out, Precision precision, float limit) {
  if (in.remaining() < levels_bytes(out.size(), precision)) return damaged("they end too early");
  switch (precision) {
    case Precision::bits32: in.get_array(out); break;
    case Precision::bits16:
      for (float& v : out) v = value_of(in.get<std::uint16_t>(), 65535);
      break;
    case Precision::bits8:
      for (float& v : out) v = value_of(in.get<std::uint8_t>(), 255);
      break;
    case Precision::bits4:
      for (std::size_t at = 0; at < out.size(); at += kLevelGroup) {
        const auto group = out.subspan(at, std::min(kLevelGroup, out.size() - at));
        std::fill(group.begin(), group.end(), value_of(in.get<std::uint8_t>(), 255));
      }
  }
  return checked(in, out, 0, limit);
}

Result<Precision> precision_of(unsigned bits) {
  switch (bits) {
    case 32: return Precision::bits32;
    case 16: return Precision::bits16;
    case 8: return Precision::bits8;
    case 4: return Precision::bits4;
    default:
      return fail(ErrorCode::invalid_argument,
                  fmt::format("a precision of {} bits is not known; there are 32, 16, 8 and 4", bits));
  }
}

}  // namespace p2p::learner

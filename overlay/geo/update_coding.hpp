// Updates as bytes: which parameters (gaps or a bitmap), and by how much (16, 32 or 64 bits each).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "metadata/base/bytes.hpp"
#include "metadata/base/error.hpp"

namespace p2p::geo {

enum class Precision : std::uint8_t {
  fp32 = 0,
  fp16 = 1,  ///< IEEE binary16, round to nearest even; larger than 65504 saturates, the rest stays pending
  fp64 = 2,  ///< for whole states, which must arrive exactly
};
constexpr std::size_t width(Precision precision) {
  return precision == Precision::fp64 ? 8 : precision == Precision::fp32 ? 4 : 2;
}

std::uint16_t to_half(float value);   ///< finite values only
float from_half(std::uint16_t bits);

/// The value that the receiver will see.
double quantise(double value, Precision precision);

/// A set of parameters, `indices` ascending and below `dimension`. One byte says how, then either varints
/// (LEB128: the first index, then each gap minus one) or one bit per parameter, least significant first:
/// whichever is shorter. An empty set is no bytes at all.
Bytes encode_indices(std::span<const std::uint32_t> indices, std::uint32_t dimension);
/// `malformed` for anything that encode_indices cannot have written for this dimension, except for the choice
/// between the two forms. Indices that do not ascend cannot be expressed.
Result<std::vector<std::uint32_t>> decode_indices(ByteView bytes, std::uint32_t dimension);

/// Values that quantise() has been through, little-endian, nothing around them.
Bytes encode_values(std::span<const double> values, Precision precision);
/// Exactly `count` values, finite also as floats; `malformed` otherwise.
Result<std::vector<double>> decode_values(ByteView bytes, std::size_t count, Precision precision);

/// Unsigned LEB128, at most 10 bytes, only the shortest form is read.
void put_varint(Bytes& out, std::uint64_t value);
bool get_varint(ByteView& from, std::uint64_t& value);

}  // namespace p2p::geo

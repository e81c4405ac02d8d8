// Numbers of a part at 16, 8 or 4 bits instead of 32.
#pragma once

#include <cstddef>
#include <span>

#include "learner/model.hpp"
#include "metadata/base/bytes.hpp"

namespace p2p::learner {

/// Signed numbers, by groups of up to kQuantiseGroup: a float 32 scale, then one integer each of b bits
/// (two to a byte at 4). With m the largest magnitude of a group the scale is m / (2^(b-1) - 1), and
///
///     |decoded - original| <= scale / 2 = m / (2^b - 2)      (plus float rounding)
///
/// so 1/14 of m at 4 bits, 1/254 at 8, 1/65534 at 16. At 32 bits the floats themselves.
inline constexpr std::size_t kQuantiseGroup = 4096;
void put_numbers(ByteWriter& out, std::span<const float> values, Precision precision);
std::size_t numbers_bytes(std::size_t count, Precision precision);
/// Fills `out`. What is short, not finite or beyond `limit` in magnitude is `malformed`.
Result<void> get_numbers(ByteReader& in, std::span<float> out, Precision precision, float limit);

/// Numbers that are not negative and span many orders of magnitude (accumulators, variances), by their
/// logarithm: 0 stays 0; else a relative error of at most 2^(1/1600) at 16 bits, 2^(1/6) at 8; at 4 bits one
/// level of 8 bits for the mean of each kLevelGroup neighbours. What lies outside 2^-40 .. 2^40 is moved to
/// the border.
inline constexpr std::size_t kLevelGroup = 32;
void put_levels(ByteWriter& out, std::span<const float> values, Precision precision);
std::size_t levels_bytes(std::size_t count, Precision precision);
Result<void> get_levels(ByteReader& in, std::span<float> out, Precision precision, float limit);

/// A Precision from a byte of the wire or a setting; `invalid_argument` for other numbers.
Result<Precision> precision_of(unsigned bits);

}  // namespace p2p::learner

// Reads a detector's state out of bytes that may be damaged: every number has a range.
#pragma once

#include <cstdint>
#include <string_view>

#include "metadata/base/bytes.hpp"
#include "metadata/base/error.hpp"

namespace p2p::learner {

/// Like the ByteReader it reads from, its failures stick: check once, at the end.
class StateReader {
 public:
  explicit StateReader(ByteReader& in) : in_(in) {}

  bool ok() const { return good_ && in_.ok(); }
  bool check(bool condition) { return good_ = good_ && condition && in_.ok(); }

  /// A finite number in [least, most]; `least` where it is not.
  double number(double least, double most) {
    const auto value = in_.get<double>();
    return check(value >= least && value <= most) ? value : least;
  }
  float single(float least, float most) {
    const auto value = in_.get<float>();
    return check(value >= least && value <= most) ? value : least;
  }
  /// A count in [0, most].
  std::uint32_t whole(std::uint32_t most) {
    const auto value = in_.get<std::uint32_t>();
    return check(value <= most) ? value : 0;
  }
  std::uint64_t count(std::uint64_t most = kMaxCount) {
    const auto value = in_.get<std::uint64_t>();
    return check(value <= most) ? value : 0;
  }
  /// `malformed` with a sentence, or nothing when all was well.
  Result<void> result(std::string_view what) const;

  static constexpr std::uint64_t kMaxCount = std::uint64_t{1} << 52;

 private:
  ByteReader& in_;
  bool good_ = true;
};

}  // namespace p2p::learner

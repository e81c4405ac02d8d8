#include "learner/models/params.hpp"

#include <bit>
#include <charconv>
#include <cmath>

#include <fmt/core.h>

namespace p2p::learner {

Params::Params(const ModelSpec& spec) : spec_(spec) {
  for (const char c : spec.family) mix(static_cast<std::uint8_t>(c));
  mix(spec.features);
  mix(spec.seed);
  mix(std::bit_cast<std::uint64_t>(spec.bandwidth));
}

void Params::mix(std::uint64_t value) {
  for (int byte = 0; byte < 8; ++byte) {
    hash_ = (hash_ ^ ((value >> (8 * byte)) & 0xFF)) * 0x100000001B3ull;
  }
}

double Params::number(std::string_view name, double otherwise, double least, double most) {
  asked_.insert(name);
  const auto found = spec_.params.find(std::string(name));
  double value = found == spec_.params.end() ? otherwise : found->second;
  if (!(value >= least && value <= most)) {
    if (!complaint_) {
      complaint_ = fmt::format("parameter {} of {} is {}; it must lie between {} and {}", name,
                               spec_.family, value, least, most);
    }
    value = otherwise;
  }
  mix(std::bit_cast<std::uint64_t>(value));
  return value;
}

std::uint32_t Params::whole(std::string_view name, std::uint32_t otherwise, std::uint32_t least,
                            std::uint32_t most) {
  const double value = number(name, otherwise, least, most);
  if (value != std::floor(value) && !complaint_) {
    complaint_ = fmt::format("parameter {} of {} is {}; it must be a whole number", name,
                             spec_.family, value);
  }
  return static_cast<std::uint32_t>(value);
}

Result<void> Params::check() const {
  if (complaint_) return fail(ErrorCode::invalid_argument, *complaint_);
  for (const auto& [name, value] : spec_.params) {
    if (asked_.contains(name)) continue;
    std::string known;
    for (const std::string_view candidate : asked_)
      known += fmt::format("{}{}", known.empty() ? "" : ", ", candidate);
    return fail(ErrorCode::invalid_argument,
                fmt::format("{} has no parameter \"{}\"; it has: {}", spec_.family, name, known));
  }
  return {};
}

std::optional<std::uint32_t> block_index(std::string_view name, std::string_view prefix,
                                         std::uint32_t bound) {
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  if (name.empty() || (name.size() > 1 && name[0] == '0')) return std::nullopt;
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), value);
  if (error != std::errc() || end != name.data() + name.size() || value >= bound)
    return std::nullopt;
  return value;
}

}  // namespace p2p::learner

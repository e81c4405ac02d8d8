// Reads a family's parameters out of a spec: ranges, whole numbers, unknown names.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "learner/model.hpp"

namespace p2p::learner {

/// Collects the first complaint; a family reads all its parameters and then asks check().
class Params {
 public:
  explicit Params(const ModelSpec& spec);

  /// A number in [least, most].
  double number(std::string_view name, double otherwise, double least, double most);
  /// The same, and whole.
  std::uint32_t whole(std::string_view name, std::uint32_t otherwise, std::uint32_t least,
                      std::uint32_t most);

  /// `invalid_argument` when a value was out of range or a name was never asked for.
  Result<void> check() const;
  /// Identifies what the numbers of a model mean: the spec with all defaults filled in (FNV-1a, 64
  /// bit). Guards against mix-ups, not against an adversary.
  std::uint64_t fingerprint() const { return hash_; }

 private:
  void mix(std::uint64_t value);

  const ModelSpec& spec_;
  std::set<std::string_view> asked_;
  std::optional<std::string> complaint_;
  std::uint64_t hash_ = 0xCBF29CE484222325ull;
};

/// The number at the end of `prefix` + decimal, below `bound`; none when `name` is anything else.
std::optional<std::uint32_t> block_index(std::string_view name, std::string_view prefix,
                                         std::uint32_t bound);

}  // namespace p2p::learner

// What every family asks of a part before it believes any number in it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "learner/model.hpp"
#include "metadata/base/bytes.hpp"

namespace p2p::learner {

inline constexpr double kMaxEvidence = 1e12;  ///< that is believed to be a number of samples

bool contains(std::span<const ClassIndex> classes, ClassIndex c);

/// `malformed`: why this block is not taken. Cuts the name, which a stranger chose.
tl::unexpected<Error> refused(const Block& block, std::string_view why);

/// The part is of the model's family (`invalid_argument`), has at most `most_blocks` blocks
/// (`limit_exceeded`), none of them twice (`malformed`), and the classes to take are in the task
/// (`invalid_argument`). Without `most_blocks` the blocks are left to whoever they are for.
Result<void> check_part(const Part& part, const MergeOptions& options, const ModelSpec& spec,
                        std::optional<std::size_t> most_blocks);

/// `malformed` unless the block's evidence is a number of samples and its classes are below
/// `classes`.
Result<void> check_block(const Block& block, std::uint32_t classes);

/// The class that a block "class/<c>" is about and nothing else, after check_block.
Result<std::uint32_t> check_class_block(const Block& block, std::uint32_t classes);

/// How a block begins: u64 fingerprint of the spec, u8 precision.
void write_head(ByteWriter& out, std::uint64_t fingerprint, Precision precision);
/// `malformed` when the block is of another spec, or in a precision that there is not.
Result<Precision> read_head(const Block& block, ByteReader& in, std::uint64_t fingerprint);

}  // namespace p2p::learner

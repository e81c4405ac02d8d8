#include "learner/models/part_checks.hpp"

#include <algorithm>
#include <set>

#include <fmt/core.h>

#include "learner/models/params.hpp"
#include "learner/transfer/quantise.hpp"

namespace p2p::learner {

bool contains(std::span<const ClassIndex> classes, ClassIndex c) {
  return std::find(classes.begin(), classes.end(), c) != classes.end();
}

tl::unexpected<Error> refused(const Block& block, std::string_view why) {
  return fail(ErrorCode::malformed,
              fmt::format("block \"{:.32}\" was refused: {}", block.name, why));
}

Result<void> check_part(const Part& part, const MergeOptions& options, const ModelSpec& spec,
                        std::optional<std::size_t> most_blocks) {
  if (part.family != spec.family) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("a part of family \"{:.32}\" does not fit a model of family {}",
                            part.family, spec.family));
  }
  if (most_blocks && part.blocks.size() > *most_blocks) {
    return fail(ErrorCode::limit_exceeded,
                fmt::format("the part has {} blocks, a model of family {} like this one at most {}",
                            part.blocks.size(), spec.family, *most_blocks));
  }
  for (const ClassIndex c : options.classes) {
    if (c < 0 || static_cast<std::uint32_t>(c) >= spec.classes)
      return fail(ErrorCode::invalid_argument, fmt::format("class {} is not in this task", c));
  }
  if (!most_blocks) return {};
  std::set<std::string_view> names;
  for (const Block& block : part.blocks) {
    if (!names.insert(block.name).second) return refused(block, "it appears twice");
  }
  return {};
}

Result<void> check_block(const Block& block, std::uint32_t classes) {
  // Written so that NaN fails.
  if (!(block.evidence >= 0 && block.evidence <= kMaxEvidence))
    return refused(block, "its evidence is out of range");
  if (block.classes.size() > classes) return refused(block, "it names more classes than there are");
  for (const ClassIndex c : block.classes) {
    if (c < 0 || static_cast<std::uint32_t>(c) >= classes)
      return refused(block, "it names a class that there is not");
  }
  return {};
}

Result<std::uint32_t> check_class_block(const Block& block, std::uint32_t classes) {
  const auto c = block_index(block.name, "class/", classes);
  if (!c) return refused(block, "no class of this task has that name");
  if (block.classes.size() != 1 || block.classes[0] != static_cast<ClassIndex>(*c))
    return refused(block, "its name and its class differ");
  if (auto ok = check_block(block, classes); !ok) return tl::unexpected(ok.error());
  return *c;
}

void write_head(ByteWriter& out, std::uint64_t fingerprint, Precision precision) {
  out.put(fingerprint);
  out.put(static_cast<std::uint8_t>(precision));
}

Result<Precision> read_head(const Block& block, ByteReader& in, std::uint64_t fingerprint) {
  if (in.get<std::uint64_t>() != fingerprint)
    return refused(block, "it belongs to a model of another spec");
  auto precision = precision_of(in.get<std::uint8_t>());
  if (!precision) return refused(block, precision.error().message);
  return precision;
}

}  // namespace p2p::learner

#include "learner/models/moments/moments_model.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/core.h>

#include "learner/models/part_checks.hpp"
#include "learner/transfer/quantise.hpp"

namespace p2p::learner {
namespace {

constexpr std::uint32_t kStateMagic = 0x314D4D43;  // "CMM1"
constexpr std::size_t kMaxBytes = std::size_t{1} << 30;

ClassIndex largest(std::span<const float> scores) {
  return static_cast<ClassIndex>(std::max_element(scores.begin(), scores.end()) - scores.begin());
}

}  // namespace

Result<void> check_moments(const ModelSpec& spec, std::size_t length, ClassMoments::Second kind) {
  const std::size_t each = 4 * (length + ClassMoments::second_length(kind, length));
  if (each > kMaxBytes / spec.classes) {
    return fail(ErrorCode::limit_exceeded,
                fmt::format("{} with {} numbers of each of {} classes would take more than {} MiB",
                            spec.family, each / 4, spec.classes, kMaxBytes >> 20));
  }
  return {};
}

MomentsModel::MomentsModel(const ModelSpec& spec, std::uint64_t fingerprint, ClassMoments moments)
    : spec_(spec),
      fingerprint_(fingerprint),
      moments_(std::move(moments)),
      scores_(spec.classes),
      difference_(moments_.length) {}

bool MomentsModel::usable(Features x) const {
  // Written so that NaN fails.
  return std::all_of(x.begin(), x.end(), [](float v) { return std::abs(v) <= kLargestFeature; });
}

void MomentsModel::scores(Features x, std::span<float> out) const {
  P2P_ASSERT(x.size() == spec_.features && out.size() == spec_.classes);
  judge(embed(x), out);
}

ClassIndex MomentsModel::predict(Features x) const {
  scores(x, scores_);
  return largest(scores_);
}

void MomentsModel::learn(Features x, ClassIndex y) {
  P2P_ASSERT(x.size() == spec_.features && y >= 0 && static_cast<std::uint32_t>(y) < spec_.classes);
  if (!usable(x)) return;
  moments_.add(embed(x), y, difference_);
  learnt(static_cast<std::size_t>(y));
}

ClassIndex MomentsModel::predict_then_learn(Features x, ClassIndex y) {
  P2P_ASSERT(x.size() == spec_.features && y >= 0 && static_cast<std::uint32_t>(y) < spec_.classes);
  const std::span<const float> z = embed(x);
  judge(z, scores_);
  const ClassIndex predicted = largest(scores_);
  if (usable(x)) {
    moments_.add(z, y, difference_);
    learnt(static_cast<std::size_t>(y));
  }
  return predicted;
}

Part MomentsModel::partition(std::span<const ClassIndex> classes, Precision precision) const {
  Part part{spec_.family, {}};
  for (std::uint32_t c = 0; c < spec_.classes; ++c) {
    if (!(moments_.seen[c] > 0) ||
        (!classes.empty() && !contains(classes, static_cast<ClassIndex>(c))))
      continue;
    ByteWriter out;
    write_head(out, fingerprint_, precision);
    out.put(c);
    moments_.write(out, c, precision);
    part.blocks.push_back(
        {fmt::format("class/{}", c), {static_cast<ClassIndex>(c)}, moments_.seen[c], out.take()});
  }
  return part;
}

Result<void> MomentsModel::merge(const Part& part, const MergeOptions& options) {
  if (auto ok = check_part(part, options, spec_, spec_.classes); !ok) return ok;
  std::vector<std::pair<std::uint32_t, ClassMoments::Incoming>> incoming;
  for (const Block& block : part.blocks) {
    const auto damaged = [&](std::string_view what) { return refused(block, what); };
    const auto c = check_class_block(block, spec_.classes);
    if (!c) return tl::unexpected(c.error());
    ByteReader in(block.content);
    const auto precision = read_head(block, in, fingerprint_);
    if (!precision) return tl::unexpected(precision.error());
    if (in.get<std::uint32_t>() != *c) return damaged("its name and its content differ");
    auto read = moments_.read(in, *precision, block.evidence);
    if (!read) return damaged(read.error().message);
    if (!in.at_end()) return damaged("bytes follow its numbers");
    incoming.emplace_back(*c, std::move(*read));
  }
  // Nothing can fail from here on.
  const double total = moments_.total_weight();
  bool changed = false;
  for (const auto& [c, row] : incoming) {
    if (!options.classes.empty() && !contains(options.classes, static_cast<ClassIndex>(c)))
      continue;
    if (!(row.seen > 0)) continue;  // no samples behind it: it says nothing
    changed = true;
    if (options.mode == MergeOptions::Mode::blend) {
      moments_.blend(c, row);
    } else {
      moments_.replace(c, row, total);
    }
  }
  if (changed) rebuilt();
  return {};
}

void MomentsModel::grow(std::uint32_t classes) {
  P2P_ASSERT(classes >= spec_.classes && classes <= kMaxClasses);
  if (classes == spec_.classes) return;
  spec_.classes = classes;
  scores_.resize(classes);
  moments_.grow(classes);
  rebuilt();
}

Bytes MomentsModel::encode() const {
  ByteWriter out;
  out.put(kStateMagic);
  out.put(fingerprint_);
  out.put(spec_.classes);
  moments_.write_state(out);
  write_extra(out);
  return out.take();
}

Result<void> MomentsModel::decode(ByteView bytes) {
  const auto damaged = [](std::string_view what) {
    return fail(ErrorCode::malformed, fmt::format("the bytes of the model are damaged: {}", what));
  };
  ByteReader in(bytes);
  if (in.get<std::uint32_t>() != kStateMagic) return damaged("they are not of a family on moments");
  if (in.get<std::uint64_t>() != fingerprint_) {
    return fail(ErrorCode::invalid_argument,
                "the bytes are of a model with another spec; use the spec it was made with");
  }
  if (in.get<std::uint32_t>() != spec_.classes)
    return damaged("they have another number of classes");
  if (in.remaining() < moments_.state_bytes()) return damaged("they end too early");
  if (auto read = moments_.read_state(in); !read) return damaged(read.error().message);
  rebuilt();
  if (auto read = read_extra(in); !read) return damaged(read.error().message);
  if (!in.ok()) return damaged("they end too early");
  if (!in.at_end()) return damaged("bytes follow the last number");
  return {};
}

std::size_t MomentsModel::bytes() const {
  return moments_.state_bytes() + extra_bytes() + 4 * (scores_.size() + difference_.size());
}

}  // namespace p2p::learner

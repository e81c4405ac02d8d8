#include "overlay/node/library.hpp"

#include <algorithm>
#include <utility>

namespace p2p::node {
namespace {

constexpr std::uint32_t kFormat = 1;
constexpr std::size_t kMostConcepts = 4096;  // that decode() reads, whatever the options
constexpr std::size_t kMostBlocks = 1u << 16;
constexpr double kNothingInCommon = 2;       // need_distance of whoever has seen no class of the need

std::size_t bytes_of(const metadata::Fingerprint& fingerprint) {
  return fingerprint.joint.size() + 3 * sizeof(float) * fingerprint.scale.size();
}

bool same(const metadata::Fingerprint& a, const metadata::Fingerprint& b) {
  return metadata::joint_distance(a, b) <= Library::kSame * metadata::same_distance(a, b);
}

void put(ByteWriter& out, const learner::Part& part) {
  out.put_sized(view(part.family));
  out.put(static_cast<std::uint32_t>(part.blocks.size()));
  for (const auto& block : part.blocks) {
    out.put_sized(view(block.name));
    out.put(static_cast<std::uint32_t>(block.classes.size()));
    out.put_array(std::span<const learner::ClassIndex>(block.classes));
    out.put(block.evidence);
    out.put_sized(block.content);
  }
}

bool get(ByteReader& in, learner::Part& part) {
  part.family = to_string(in.get_sized(256));
  const auto blocks = in.get<std::uint32_t>();
  if (!in.ok() || blocks > kMostBlocks) return false;
  for (std::uint32_t i = 0; i < blocks && in.ok(); ++i) {
    learner::Block block;
    block.name = to_string(in.get_sized(256));
    const auto classes = in.get<std::uint32_t>();
    if (!in.ok() || classes > learner::kMaxClasses || classes * sizeof(learner::ClassIndex) > in.remaining()) {
      return false;
    }
    block.classes.resize(classes);
    in.get_array(std::span<learner::ClassIndex>(block.classes));
    block.evidence = in.get<double>();
    const auto content = in.get_sized(in.remaining());
    block.content.assign(content.begin(), content.end());
    part.blocks.push_back(std::move(block));
  }
  return in.ok();
}

}  // namespace

std::size_t Archived::bytes() const { return part.bytes() + bytes_of(fingerprint); }

std::uint32_t Library::archive(learner::Part part, metadata::Fingerprint fingerprint, std::uint64_t samples,
                               bool fetched) {
  Archived next{.part = std::move(part),
                .fingerprint = std::move(fingerprint),
                .archived_at = samples,
                .used_at = samples,
                .fetched = fetched};
  const auto size = next.bytes();
  if (next.part.blocks.empty() || size > options_.bytes || options_.concepts == 0) return 0;
  const auto known = std::find_if(archived_.begin(), archived_.end(), [&](const Archived& archived) {
    return same(archived.fingerprint, next.fingerprint);
  });
  ++version_;
  if (known != archived_.end()) {
    next.id = known->id;
    next.uses = known->uses;
    next.fetched = fetched && known->fetched;
    bytes_ += size - known->bytes();
    *known = std::move(next);
    const auto id = known->id;
    trim(id);
    return id;
  }
  next.id = next_++;
  bytes_ += size;
  archived_.push_back(std::move(next));
  const auto id = archived_.back().id;
  trim(id);
  return id;
}

void Library::trim(std::uint32_t keep) {
  while (bytes_ > options_.bytes || archived_.size() > options_.concepts) {
    const auto least = std::min_element(archived_.begin(), archived_.end(), [&](const Archived& a, const Archived& b) {
      if (a.id == keep || b.id == keep) return b.id == keep && a.id != keep;
      return a.uses != b.uses ? a.uses < b.uses : a.used_at < b.used_at;
    });
    bytes_ -= least->bytes();
    archived_.erase(least);
  }
}

std::vector<Library::Near> Library::near(const metadata::Need& need, std::size_t most) const {
  std::vector<Near> out;
  for (const auto& archived : archived_) {
    const double distance = need.by == metadata::By::marginal ? metadata::plain_distance(need, archived.fingerprint)
                                                              : metadata::need_distance(need, archived.fingerprint);
    if (distance < kNothingInCommon) out.push_back({&archived, distance});
  }
  std::sort(out.begin(), out.end(), [](const Near& a, const Near& b) {
    return a.distance != b.distance ? a.distance < b.distance : a.archived->id < b.archived->id;
  });
  if (out.size() > most) out.resize(most);
  return out;
}

const Archived* Library::find(std::uint32_t id) const {
  const auto at =
      std::find_if(archived_.begin(), archived_.end(), [id](const Archived& archived) { return archived.id == id; });
  return at == archived_.end() ? nullptr : &*at;
}

void Library::used(std::uint32_t id, std::uint64_t samples) {
  for (auto& archived : archived_) {
    if (archived.id != id) continue;
    ++archived.uses;
    archived.used_at = samples;
    ++version_;
  }
}

Bytes Library::encode() const {
  ByteWriter out;
  out.put(kFormat);
  out.put(next_);
  out.put(static_cast<std::uint32_t>(archived_.size()));
  for (const auto& archived : archived_) {
    out.put(archived.id);
    out.put(archived.archived_at);
    out.put(archived.used_at);
    out.put(archived.uses);
    out.put(static_cast<std::uint8_t>(archived.fetched));
    out.put_sized(metadata::encode(archived.fingerprint));
    put(out, archived.part);
  }
  return out.take();
}

Result<void> Library::decode(ByteView bytes, std::uint32_t dimensions, std::uint32_t classes) {
  const auto damaged = [] { return fail(ErrorCode::malformed, "the saved library of past concepts is damaged"); };
  ByteReader in(bytes);
  const auto format = in.get<std::uint32_t>();
  if (in.ok() && format > kFormat) {
    return fail(ErrorCode::version, "the library of past concepts was saved by a newer p2p-learner");
  }
  const auto next = in.get<std::uint32_t>();
  const auto count = in.get<std::uint32_t>();
  if (!in.ok() || count > kMostConcepts) return damaged();
  std::vector<Archived> archived;
  std::size_t total = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    Archived one;
    one.id = in.get<std::uint32_t>();
    one.archived_at = in.get<std::uint64_t>();
    one.used_at = in.get<std::uint64_t>();
    one.uses = in.get<std::uint32_t>();
    one.fetched = in.get<std::uint8_t>() != 0;
    auto fingerprint = metadata::decode_fingerprint(in.get_sized(in.remaining()), classes);
    if (!in.ok() || !fingerprint || fingerprint->dimensions != dimensions || fingerprint->classes != classes ||
        one.id == 0 || one.id >= next || !get(in, one.part)) {
      return damaged();
    }
    one.fingerprint = std::move(*fingerprint);
    total += one.bytes();
    archived.push_back(std::move(one));
  }
  if (!in.ok() || !in.at_end()) return damaged();
  archived_ = std::move(archived);
  bytes_ = total;
  next_ = std::max<std::uint32_t>(1, next);
  ++version_;
  trim(0);
  return {};
}

}  // namespace p2p::node

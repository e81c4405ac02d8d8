#include "overlay/node/former_models.hpp"

#include <algorithm>
#include <utility>

namespace p2p::node {
namespace {

constexpr std::uint32_t kFormat = 2;  // 1 did not say what was missed
constexpr std::size_t kMostModels = 64;   // that decode() reads, whatever the options
constexpr std::size_t kMostMerges = 256;  // as many as the journal has reports

}  // namespace

void FormerModels::keep(FormerModel former) {
  std::erase_if(formers_, [&](const FormerModel& kept) { return kept.drift == former.drift; });
  if (former.model.size() > options_.bytes) return;
  formers_.push_back(std::move(former));
  trim();
}

void FormerModels::trim() {
  while (!formers_.empty() && (formers_.size() > options_.models || bytes() > options_.bytes)) {
    formers_.erase(formers_.begin());
  }
}

const FormerModel* FormerModels::find(std::uint64_t drift) const {
  const auto at = std::find_if(formers_.begin(), formers_.end(),
                               [drift](const FormerModel& former) { return former.drift == drift; });
  return at == formers_.end() ? nullptr : &*at;
}

std::size_t FormerModels::bytes() const {
  std::size_t total = 0;
  for (const auto& former : formers_) total += former.model.size();
  return total;
}

Bytes FormerModels::encode() const {
  ByteWriter out;
  out.put(kFormat);
  out.put(missed_in_force_);
  out.put(static_cast<std::uint32_t>(formers_.size()));
  for (const auto& former : formers_) {
    out.put(former.drift);
    out.put(former.samples);
    out.put(former.missed);
    out.put(static_cast<std::uint32_t>(former.merges.size()));
    out.put_array(std::span<const std::uint64_t>(former.merges));
    out.put_sized(former.model);
  }
  return out.take();
}

Result<void> FormerModels::decode(ByteView bytes, const learner::ModelSpec& spec) {
  const auto damaged = [] { return fail(ErrorCode::malformed, "the saved models from before the merges are damaged"); };
  ByteReader in(bytes);
  const auto format = in.get<std::uint32_t>();
  if (in.ok() && format > kFormat) {
    return fail(ErrorCode::version, "the models from before the merges were saved by a newer p2p-learner");
  }
  const auto missed_in_force = format > 1 ? in.get<std::uint64_t>() : 0;
  const auto count = in.get<std::uint32_t>();
  if (!in.ok() || count > kMostModels) return damaged();
  std::vector<FormerModel> formers;
  for (std::uint32_t i = 0; i < count; ++i) {
    FormerModel former;
    former.drift = in.get<std::uint64_t>();
    former.samples = in.get<std::uint64_t>();
    if (format > 1) former.missed = in.get<std::uint64_t>();
    const auto merges = in.get<std::uint32_t>();
    if (!in.ok() || former.drift == 0 || merges > kMostMerges) return damaged();
    former.merges.resize(merges);
    in.get_array(std::span<std::uint64_t>(former.merges));
    const auto model = in.get_sized(in.remaining());
    if (!in.ok() || !learner::decode_model(spec, model)) return damaged();
    former.model.assign(model.begin(), model.end());
    formers.push_back(std::move(former));
  }
  if (!in.ok() || !in.at_end()) return damaged();
  formers_ = std::move(formers);
  missed_in_force_ = missed_in_force;
  trim();
  return {};
}

}  // namespace p2p::node

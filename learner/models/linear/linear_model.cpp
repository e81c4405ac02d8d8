#include "learner/models/linear/linear_model.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/core.h>

#include "learner/models/part_checks.hpp"
#include "learner/transfer/quantise.hpp"

namespace p2p::learner {
namespace {

constexpr std::uint32_t kStateMagic = 0x314E494C;  // "LIN1"
constexpr float kMaxWeight = 1e6f;
constexpr float kMaxSum = 1e12f;
constexpr double kMostTrusted = 1e6;  ///< that counts, where nothing decays
constexpr float kMaxFactor = 4;

}  // namespace

LinearModel::LinearModel(const ModelSpec& spec, std::uint64_t fingerprint, Inputs inputs,
                         std::shared_ptr<const Rule> rule)
    : spec_(spec),
      fingerprint_(fingerprint),
      inputs_(std::move(inputs)),
      rule_(std::move(rule)),
      rows_(spec.classes, inputs_.length(), rule_->arrays()),
      buffer_(inputs_.make_buffer()),
      scores_(rows_.padded()),
      slope_(rows_.padded()) {}

Inputs::Filled LinearModel::evaluate(Features x) const {
  const Inputs::Filled filled = inputs_.fill(x, buffer_);
  rows_.score(filled.z, scores_);
  return filled;
}

ClassIndex LinearModel::largest() const {
  std::uint32_t best = 0;
  float most = kUnseen;
  for (std::uint32_t c = 0; c < spec_.classes; ++c) {
    if (!rows_.seen(c) || !(scores_[c] > most)) continue;
    best = c;
    most = scores_[c];
  }
  return static_cast<ClassIndex>(best);
}

void LinearModel::scores(Features x, std::span<float> out) const {
  P2P_ASSERT(out.size() == spec_.classes);
  evaluate(x);
  for (std::uint32_t c = 0; c < spec_.classes; ++c) out[c] = rows_.seen(c) ? scores_[c] : kUnseen;
}

ClassIndex LinearModel::predict(Features x) const {
  evaluate(x);
  return largest();
}

void LinearModel::learn(Features x, ClassIndex y) { predict_then_learn(x, y); }

ClassIndex LinearModel::predict_then_learn(Features x, ClassIndex y) {
  P2P_ASSERT(y >= 0 && static_cast<std::uint32_t>(y) < spec_.classes);
  const Inputs::Filled filled = evaluate(x);
  const ClassIndex predicted = largest();
  if (!filled.finite) return predicted;
  const auto c = static_cast<std::uint32_t>(y);
  rows_.count(c, rule_->decay());
  rule_->slope(scores_, y, slope_);
  rule_->step(rows_, filled.z, y, scores_, slope_);
  return predicted;
}

std::unique_ptr<Model> LinearModel::clone() const {
  return std::unique_ptr<Model>(new LinearModel(*this));
}

Part LinearModel::partition(std::span<const ClassIndex> classes, Precision precision) const {
  Part part{spec_.family, {}};
  const auto length = static_cast<float>(rows_.root_mean_square_row());
  std::vector<float> row(rows_.length());
  for (std::uint32_t c = 0; c < spec_.classes; ++c) {
    if (!rows_.seen(c) || (!classes.empty() && !contains(classes, static_cast<ClassIndex>(c))))
      continue;
    ByteWriter out;
    out.put(fingerprint_);
    out.put(c);
    out.put(static_cast<std::uint8_t>(precision));
    out.put(length);
    rows_.get_row(0, c, row);
    put_numbers(out, row, precision);
    if (has_sums()) {
      rows_.get_row(1, c, row);
      put_levels(out, row, precision);
    }
    part.blocks.push_back(
        {fmt::format("class/{}", c), {static_cast<ClassIndex>(c)}, rows_.evidence(c), out.take()});
  }
  return part;
}

double LinearModel::most_evidence() const {
  const double rest = 1.0 - rule_->decay();
  return rest > 0 ? std::min(1.0 / rest, kMostTrusted) : kMostTrusted;
}

Result<LinearModel::Incoming> LinearModel::read(const Block& block) const {
  const auto damaged = [&](std::string_view what) { return refused(block, what); };
  const auto c = check_class_block(block, spec_.classes);
  if (!c) return tl::unexpected(c.error());
  ByteReader in(block.content);
  if (in.get<std::uint64_t>() != fingerprint_)
    return damaged("it belongs to a model of another spec");
  if (in.get<std::uint32_t>() != *c) return damaged("its name and its content differ");
  const auto precision = precision_of(in.get<std::uint8_t>());
  if (!precision) return damaged(precision.error().message);
  Incoming row{*c, std::min(block.evidence, most_evidence()), in.get<float>(),
               std::vector<float>(rows_.length()),
               std::vector<float>(has_sums() ? rows_.length() : 0)};
  if (!(row.length >= 0 && row.length <= kMaxWeight * 256))
    return damaged("its length is out of range");
  if (in.remaining() !=
      numbers_bytes(row.weights.size(), *precision) + levels_bytes(row.sums.size(), *precision))
    return damaged("its size does not fit");
  if (auto ok = get_numbers(in, row.weights, *precision, kMaxWeight); !ok)
    return damaged(ok.error().message);
  if (auto ok = get_levels(in, row.sums, *precision, kMaxSum); !ok)
    return damaged(ok.error().message);
  return row;
}

Result<void> LinearModel::merge(const Part& part, const MergeOptions& options) {
  if (auto ok = check_part(part, options, spec_, spec_.classes); !ok) return ok;
  std::vector<Incoming> incoming;
  for (const Block& block : part.blocks) {
    auto row = read(block);
    if (!row) return tl::unexpected(row.error());
    incoming.push_back(std::move(*row));
  }
  // Nothing can fail from here on. A row without evidence says nothing.
  std::erase_if(incoming, [&](const Incoming& row) {
    return !(row.evidence > 0) ||
           (!options.classes.empty() && !contains(options.classes, static_cast<ClassIndex>(row.c)));
  });
  // Only rows that stay are a measure of how long rows are here.
  bool some_stay = false;
  for (std::uint32_t c = 0; c < spec_.classes; ++c) {
    some_stay |= rows_.seen(c) && std::none_of(incoming.begin(), incoming.end(),
                                               [&](const Incoming& row) { return row.c == c; });
  }
  const auto own = static_cast<float>(rows_.root_mean_square_row());
  for (const Incoming& row : incoming) {
    const bool fit = options.mode == MergeOptions::Mode::replace && some_stay &&
                     rule_->fits_scale() && own > 0 && row.length > 0;
    take(row, options.mode, fit ? std::clamp(own / row.length, 1.0f, kMaxFactor) : 1.0f);
  }
  return {};
}

void LinearModel::take(const Incoming& row, MergeOptions::Mode mode, float factor) {
  std::vector<float> weights = row.weights, sums = row.sums;
  double evidence = row.evidence;
  for (float& w : weights) w *= factor;
  if (mode == MergeOptions::Mode::blend && rows_.seen(row.c)) {
    std::vector<float> own_weights(weights.size()), own_sums(sums.size());
    rows_.get_row(0, row.c, own_weights);
    if (has_sums()) rows_.get_row(1, row.c, own_sums);
    const double own = rows_.evidence(row.c);
    rule_->blend({own_weights, own_sums, own}, {weights, sums, evidence});
    weights.swap(own_weights);
    sums.swap(own_sums);
    evidence = std::min(own + evidence, std::max(own, most_evidence()));
  }
  rows_.put_row(0, row.c, weights);
  if (has_sums()) rows_.put_row(1, row.c, sums);
  rows_.set_evidence(row.c, evidence);
  rule_->settle(rows_, row.c);
}

void LinearModel::grow(std::uint32_t classes) {
  P2P_ASSERT(classes >= spec_.classes && classes <= kMaxClasses);
  if (classes == spec_.classes) return;
  rows_.grow(classes);
  spec_.classes = classes;
  scores_.assign(rows_.padded(), 0);
  slope_.assign(rows_.padded(), 0);
}

Bytes LinearModel::encode() const {
  ByteWriter out;
  out.put(kStateMagic);
  out.put(fingerprint_);
  rows_.encode(out);
  return out.take();
}

Result<void> LinearModel::decode(ByteView bytes) {
  const auto damaged = [](std::string_view what) {
    return fail(ErrorCode::malformed, fmt::format("the bytes of the model are damaged: {}", what));
  };
  if (bytes.size() != 12 + rows_.encoded_bytes()) return damaged("their size does not fit");
  ByteReader in(bytes);
  if (in.get<std::uint32_t>() != kStateMagic) return damaged("they are not of a linear family");
  if (in.get<std::uint64_t>() != fingerprint_) {
    return fail(ErrorCode::invalid_argument,
                "the bytes are of a model with another spec; use the spec it was made with");
  }
  // Looser than for a peer's part: whatever training can lead to must load again.
  if (auto ok = rows_.decode(in); !ok) return damaged(ok.error().message);
  return {};
}

std::size_t LinearModel::bytes() const {
  return rows_.bytes() + 8 * buffer_.index.size() + 4 * (scores_.size() + slope_.size());
}

}  // namespace p2p::learner

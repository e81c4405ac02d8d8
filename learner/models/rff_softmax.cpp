#include "learner/models/rff_softmax.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/core.h>

#include "learner/models/params.hpp"

namespace p2p::learner {
namespace {

constexpr std::uint32_t kStateMagic = 0x31464652;  // "RFF1"
constexpr std::uint32_t kMaxDimensions = 1u << 13;
constexpr float kMaxWeight = 1e6f;
constexpr float kMaxSquare = 1e12f;
constexpr double kMaxEvidence = 1e12;

bool within(std::span<const float> values, float least, float most) {
  // Written so that NaN fails.
  return std::all_of(values.begin(), values.end(),
                     [&](float v) { return v >= least && v <= most; });
}

ClassIndex largest(std::span<const float> scores) {
  return static_cast<ClassIndex>(std::max_element(scores.begin(), scores.end()) - scores.begin());
}

}  // namespace

Result<std::unique_ptr<RffSoftmax>> RffSoftmax::make(const ModelSpec& spec) {
  Params params(spec);
  Config config;
  config.dimensions = params.whole("dimensions", 512, 0, kMaxDimensions);
  config.raw = params.whole("raw", 1, 0, 1) == 1;
  config.step.rate = static_cast<float>(params.number("learning_rate", 0.3, 1e-6, 10));
  config.step.decay = static_cast<float>(params.number("decay", 0.9998, 0.9, 1));
  config.step.floor = static_cast<float>(params.number("floor", 1e-3, 1e-12, 1e3));
  config.fingerprint = params.fingerprint();
  if (auto ok = params.check(); !ok) return tl::unexpected(ok.error());
  if (config.dimensions == 0 && !config.raw) {
    return fail(ErrorCode::invalid_argument,
                "rff needs dimensions above 0, or raw = 1, or both");
  }
  if (!(spec.bandwidth > 0)) {
    return fail(ErrorCode::invalid_argument,
                "rff needs a bandwidth above 0; 2 / (median squared distance of samples) "
                "is the rule");
  }
  return std::unique_ptr<RffSoftmax>(new RffSoftmax(spec, config));
}

RffSoftmax::RffSoftmax(const ModelSpec& spec, const Config& config)
    : spec_(spec),
      config_(config),
      basis_(config.dimensions == 0 ? nullptr
                                    : FourierBasis::shared({spec.seed, spec.features,
                                                            config.dimensions, spec.bandwidth})),
      rows_(spec.classes, std::size_t{config.dimensions} + (config.raw ? spec.features : 0) + 1),
      features_(rows_.length),
      scores_(spec.classes) {}

void RffSoftmax::evaluate(Features x) const {
  P2P_ASSERT(x.size() == spec_.features);
  const std::span<float> z(features_);
  if (basis_) basis_->map(x, z.first(config_.dimensions));
  if (config_.raw) {
    const auto scale = static_cast<float>(std::sqrt(spec_.bandwidth));
    std::transform(x.begin(), x.end(), z.begin() + config_.dimensions,
                   [&](float v) { return v * scale; });
  }
  z.back() = 1.0f;
  rows_.scores(z, scores_);
}

void RffSoftmax::scores(Features x, std::span<float> out) const {
  P2P_ASSERT(out.size() == spec_.classes);
  evaluate(x);
  std::copy(scores_.begin(), scores_.end(), out.begin());
}

ClassIndex RffSoftmax::predict(Features x) const {
  evaluate(x);
  return largest(scores_);
}

void RffSoftmax::learn(Features x, ClassIndex y) { predict_then_learn(x, y); }

ClassIndex RffSoftmax::predict_then_learn(Features x, ClassIndex y) {
  P2P_ASSERT(y >= 0 && static_cast<std::uint32_t>(y) < spec_.classes);
  evaluate(x);
  const ClassIndex predicted = largest(scores_);
  if (SoftmaxRows::softmax(scores_)) rows_.step(features_, y, scores_, config_.step);
  return predicted;
}

std::unique_ptr<Model> RffSoftmax::clone() const {
  return std::unique_ptr<Model>(new RffSoftmax(*this));
}

Part RffSoftmax::partition(std::span<const ClassIndex> classes, Precision) const {
  Part part{spec_.family, {}};
  for (std::uint32_t c = 0; c < spec_.classes; ++c) {
    const auto index = static_cast<ClassIndex>(c);
    if (!classes.empty() && std::find(classes.begin(), classes.end(), index) == classes.end())
      continue;
    ByteWriter out;
    out.put(config_.fingerprint);
    out.put(c);
    out.put_array(rows_.row(c));
    for (const float g : rows_.square_row(c)) out.put(g * rows_.owed[c]);
    part.blocks.push_back({fmt::format("class/{}", c), {index}, rows_.evidence[c], out.take()});
  }
  return part;
}

double RffSoftmax::most_evidence() const {
  const double rest = 1.0 - static_cast<double>(config_.step.decay);
  return rest > 0 ? std::min(1.0 / rest, kMaxEvidence) : kMaxEvidence;
}

Result<void> RffSoftmax::merge(const Part& part, const MergeOptions& options) {
  if (part.family != spec_.family) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("a part of family \"{}\" does not fit a model of family {}",
                            part.family, spec_.family));
  }
  if (part.blocks.size() > spec_.classes) {
    return fail(ErrorCode::limit_exceeded, fmt::format("the part has {} blocks for {} classes",
                                                       part.blocks.size(), spec_.classes));
  }
  struct Row {
    std::uint32_t c;
    double evidence;  ///< as claimed, but never more than `decay` lets anybody have
    std::vector<float> weights, squares;
  };
  std::vector<Row> incoming;
  for (const Block& block : part.blocks) {
    const auto damaged = [&](std::string_view what) {
      return fail(ErrorCode::malformed,
                  fmt::format("block \"{:.32}\" was refused: {}", block.name, what));
    };
    const auto c = block_index(block.name, "class/", spec_.classes);
    if (!c) return damaged("no class of this task has that name");
    if (block.classes.size() != 1 || block.classes[0] != static_cast<ClassIndex>(*c)) {
      return damaged("its name and its class differ");
    }
    if (!(block.evidence >= 0 && block.evidence <= kMaxEvidence))
      return damaged("its evidence is out of range");
    if (std::any_of(incoming.begin(), incoming.end(),
                    [&](const Row& row) { return row.c == *c; })) {
      return damaged("it appears twice");
    }
    if (block.content.size() != 12 + 8 * rows_.length) return damaged("its size does not fit");
    ByteReader in(block.content);
    if (in.get<std::uint64_t>() != config_.fingerprint)
      return damaged("it belongs to a model of another spec");
    if (in.get<std::uint32_t>() != *c) return damaged("its name and its content differ");
    Row row{*c, std::min(block.evidence, most_evidence()), std::vector<float>(rows_.length),
            std::vector<float>(rows_.length)};
    in.get_array(std::span<float>(row.weights));
    in.get_array(std::span<float>(row.squares));
    if (!within(row.weights, -kMaxWeight, kMaxWeight))
      return damaged("a weight is not finite or too large");
    if (!within(row.squares, 0, kMaxSquare))
      return damaged("an accumulator is not finite or out of range");
    incoming.push_back(std::move(row));
  }
  for (const ClassIndex c : options.classes) {
    if (c < 0 || static_cast<std::uint32_t>(c) >= spec_.classes) {
      return fail(ErrorCode::invalid_argument, fmt::format("class {} is not in this task", c));
    }
  }
  // Nothing can fail from here on.
  for (const Row& row : incoming) {
    if (!options.classes.empty() &&
        std::find(options.classes.begin(), options.classes.end(), static_cast<ClassIndex>(row.c)) ==
            options.classes.end()) {
      continue;
    }
    double share = 1;  // of what came in
    if (options.mode == MergeOptions::Mode::blend) {
      const double both = rows_.evidence[row.c] + row.evidence;
      share = both > 0 ? row.evidence / both : 0;
    }
    const auto in = static_cast<float>(share), own = static_cast<float>(1 - share);
    auto w = rows_.row(row.c), g = rows_.square_row(row.c);
    for (std::size_t j = 0; j < rows_.length; ++j) {
      w[j] = own * w[j] + in * row.weights[j];
      g[j] = own * g[j] * rows_.owed[row.c] + in * row.squares[j];
    }
    rows_.owed[row.c] = 1;
    rows_.evidence[row.c] = options.mode == MergeOptions::Mode::blend
                                ? std::min(rows_.evidence[row.c] + row.evidence, most_evidence())
                                : row.evidence;
  }
  return {};
}

void RffSoftmax::grow(std::uint32_t classes) { P2P_ASSERT(classes == spec_.classes); }

Bytes RffSoftmax::encode() const {
  ByteWriter out;
  out.put(kStateMagic);
  out.put(config_.fingerprint);
  out.put_array(std::span<const float>(rows_.weights));
  out.put_array(std::span<const float>(rows_.squares));
  out.put_array(std::span<const float>(rows_.owed));
  out.put_array(std::span<const double>(rows_.evidence));
  return out.take();
}

Result<void> RffSoftmax::decode(ByteView bytes) {
  const auto damaged = [](std::string_view what) {
    return fail(ErrorCode::malformed, fmt::format("the bytes of the model are damaged: {}", what));
  };
  const std::size_t values = rows_.weights.size();
  if (bytes.size() != 12 + 8 * values + 12 * std::size_t{spec_.classes})
    return damaged("their size does not fit");
  ByteReader in(bytes);
  if (in.get<std::uint32_t>() != kStateMagic) return damaged("they are not of family rff");
  if (in.get<std::uint64_t>() != config_.fingerprint) {
    return fail(ErrorCode::invalid_argument,
                "the bytes are of a model with another spec; use the spec it was made with");
  }
  in.get_array(std::span<float>(rows_.weights));
  in.get_array(std::span<float>(rows_.squares));
  in.get_array(std::span<float>(rows_.owed));
  in.get_array(std::span<double>(rows_.evidence));
  // Looser than for a peer's part: whatever training can lead to must load again.
  constexpr float kAny = std::numeric_limits<float>::max();
  if (!within(rows_.weights, -kAny, kAny) || !within(rows_.squares, 0, kAny) ||
      !within(rows_.owed, 0, 1)) {
    return damaged("a number is not finite or out of range");
  }
  for (const double e : rows_.evidence) {
    if (!(e >= 0 && e <= kMaxEvidence)) return damaged("an evidence is out of range");
  }
  return {};
}

std::size_t RffSoftmax::bytes() const {
  return 4 * (rows_.weights.size() + rows_.squares.size() + rows_.owed.size() + features_.size() +
              scores_.size()) +
         8 * rows_.evidence.size();
}

}  // namespace p2p::learner

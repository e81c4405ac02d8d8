#include "learner/models/mlp/perceptron_layers.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/core.h>

#include "learner/models/params.hpp"
#include "learner/models/part_checks.hpp"
#include "learner/transfer/quantise.hpp"
#include "metadata/base/random.hpp"

namespace p2p::learner {
namespace {

constexpr std::uint32_t kStateMagic = 0x31504C4D;  // "MLP1"
constexpr std::uint32_t kMaxHidden = 1024;
constexpr std::uint32_t kMaxBatch = 256;
constexpr std::size_t kMaxBytes = std::size_t{1} << 30;
constexpr float kMaxWeight = 1e6f;
constexpr float kMaxSquare = 1e12f;
/// What a class scores that was never seen.
constexpr float kUnknown = -1e30f;
/// Of a class that was first seen in the batch being filled.
constexpr std::uint8_t kNew = 2;

bool within(std::span<const float> values, float least, float most) {
  // Written so that NaN fails.
  return std::all_of(values.begin(), values.end(),
                     [&](float v) { return v >= least && v <= most; });
}

}  // namespace

/// Both layers as they came, (coordinates x units).
struct PerceptronLayers::Incoming {
  std::vector<float> weights[2], squares[2];
  std::uint32_t classes = 0;  ///< that the sender had
  std::vector<ClassIndex> known;
  double evidence = 0;
};

bool PerceptronLayers::Inputs::gather(std::span<const float> from) {
  count = kernels().gather(from.data(), from.size(), index.data(), value.data());
  if (count == Kernels::kNotFinite) return false;
  index[count] = static_cast<std::uint32_t>(from.size());
  value[count++] = 1;
  return true;
}

Result<std::unique_ptr<PerceptronLayers>> PerceptronLayers::make(const ModelSpec& spec) {
  Params params(spec);
  Config config;
  config.hidden = params.whole("hidden", 64, 1, kMaxHidden);
  config.batch = params.whole("batch", 1, 1, kMaxBatch);
  config.leak = static_cast<float>(params.number("leak", 0.05, 0, 1));
  // Few features are mostly streams that drift and need long steps; images are neither.
  const double usual = std::min(0.1, 1.12 / std::sqrt(spec.features));
  config.step.rate = static_cast<float>(params.number("learning_rate", usual, 1e-6, 10));
  config.step.decay =
      static_cast<float>(params.number("decay", spec.features <= 128 ? 0.999 : 0.9999, 0.9, 1));
  config.step.floor = static_cast<float>(params.number("floor", 1e-3, 1e-12, 1e3));
  config.fingerprint = params.fingerprint();
  if (auto ok = params.check(); !ok) return tl::unexpected(ok.error());
  const std::size_t numbers = (std::size_t{spec.features} + spec.classes) * config.hidden;
  if (numbers > kMaxBytes / 12) {
    return fail(ErrorCode::limit_exceeded,
                fmt::format("mlp with {} features and {} hidden units would take more than {} MiB",
                            spec.features, config.hidden, kMaxBytes >> 20));
  }
  return std::unique_ptr<PerceptronLayers>(new PerceptronLayers(spec, config));
}

PerceptronLayers::PerceptronLayers(const ModelSpec& spec, const Config& config)
    : spec_(spec),
      config_(config),
      hidden_(spec.features, config.hidden),
      output_(config.hidden, spec.classes),
      known_(spec.classes),
      inputs_(spec.features),
      active_(config.hidden),
      units_(hidden_.padded()),
      slopes_(hidden_.padded()),
      scores_(output_.padded()) {
  // The classes' rows start at zero: they are the same whenever a class joins. Hidden units bend
  // somewhere among features between 0 and 1.
  Random random(spec.seed);
  const double deviation = std::sqrt(2.0 / spec.features);
  for (std::uint32_t u = 0; u < config.hidden; ++u) {
    double bend = 0;
    for (std::uint32_t j = 0; j < spec.features; ++j) {
      const double w = deviation * random.normal();
      bend += w * random.uniform();
      hidden_.weights[hidden_.at(j, u)] = static_cast<float>(w);
    }
    hidden_.weights[hidden_.at(spec.features, u)] = static_cast<float>(-bend);
  }
  if (config.batch == 1) return;
  batch_x_.resize(std::size_t{config.batch} * spec.features);
  batch_y_.resize(config.batch);
  hidden_gradient_.resize(hidden_.weights.size());
  output_gradient_.resize(output_.weights.size());
  hidden_marked_.resize(hidden_.coordinates());
  output_marked_.resize(output_.coordinates());
}

bool PerceptronLayers::forward(Features x) const {
  P2P_ASSERT(x.size() == spec_.features);
  const bool finite = inputs_.gather(x);
  if (finite) {
    hidden_.forward(inputs_.view(), units_);
    for (float& u : units_) u = u > 0 ? u : config_.leak * u;
  }
  if (!finite || !active_.gather(std::span<const float>(units_).first(config_.hidden))) {
    std::fill(scores_.begin(), scores_.end(), 0.0f);
    return false;
  }
  output_.forward(active_.view(), scores_);
  return true;
}

bool PerceptronLayers::backward(ClassIndex y) const {
  const auto target = static_cast<std::size_t>(y);
  if (!within(scores_, -1e30f, 1e30f)) return false;
  float top = std::numeric_limits<float>::lowest();
  for (std::size_t c = 0; c < spec_.classes; ++c) {
    if (known_[c] != 0) top = std::max(top, scores_[c]);
  }
  float sum = 0;
  for (std::size_t c = 0; c < scores_.size(); ++c) {
    const bool counts = c < spec_.classes && known_[c] != 0;
    sum += scores_[c] = counts ? exp_of_negative(scores_[c] - top) : 0.0f;
  }
  if (!(sum >= 1 && sum <= 1e9f)) return false;
  for (float& s : scores_) s /= sum;
  scores_[target] -= 1;
  if (-scores_[target] < kCertain) return false;
  std::fill(slopes_.begin(), slopes_.end(), 0.0f);
  for (std::size_t i = 0; i + 1 < active_.count; ++i) {
    const std::size_t unit = active_.index[i];
    float slope = 0;
    for (std::uint32_t group = 0; group < output_.groups; ++group) {
      const float* w = output_.weights.data() + output_.at(unit, group * output_.lanes);
      for (std::uint32_t c = 0; c < output_.lanes; ++c)
        slope += w[c] * scores_[group * output_.lanes + c];
    }
    slopes_[unit] = active_.value[i] > 0 ? slope : config_.leak * slope;
  }
  return within(slopes_, -1e12f, 1e12f);
}

void PerceptronLayers::scores(Features x, std::span<float> out) const {
  P2P_ASSERT(out.size() == spec_.classes);
  forward(x);
  for (std::size_t c = 0; c < out.size(); ++c) {
    // Written so that NaN becomes the lowest score.
    out[c] = known_[c] != 0 && scores_[c] > kUnknown ? scores_[c] : kUnknown;
  }
}

ClassIndex PerceptronLayers::predict(Features x) const {
  forward(x);
  ClassIndex best = 0;
  float top = kUnknown;
  for (std::size_t c = 0; c < spec_.classes; ++c) {
    if (known_[c] == 0 || !(scores_[c] > top)) continue;
    top = scores_[c];
    best = static_cast<ClassIndex>(c);
  }
  return best;
}

void PerceptronLayers::learn(Features x, ClassIndex y) { predict_then_learn(x, y); }

ClassIndex PerceptronLayers::predict_then_learn(Features x, ClassIndex y) {
  P2P_ASSERT(y >= 0 && static_cast<std::uint32_t>(y) < spec_.classes);
  const ClassIndex predicted = predict(x);
  if (inputs_.count != Kernels::kNotFinite && active_.count != Kernels::kNotFinite) train(x, y);
  return predicted;
}

/// x was just forwarded.
void PerceptronLayers::train(Features x, ClassIndex y) {
  const double decay = static_cast<double>(config_.step.decay);
  evidence_ = std::min(evidence_ * decay + 1, kMaxEvidence);
  std::uint8_t& known = known_[static_cast<std::size_t>(y)];
  if (config_.batch == 1) {
    known = 1;
    if (!backward(y)) return;
    output_.step(active_.view(), scores_, config_.step);
    hidden_.step(inputs_.view(), slopes_, config_.step);
    return;
  }
  std::copy(x.begin(), x.end(), batch_x_.begin() + static_cast<std::ptrdiff_t>(filled_ * x.size()));
  batch_y_[filled_++] = y;
  if (known == 0) known = kNew;
  collect(y);
  if (filled_ == config_.batch) apply_batch();
}

/// Adds the gradient of the sample that was forwarded last.
void PerceptronLayers::collect(ClassIndex y) {
  if (!backward(y)) return;
  output_.accumulate(active_.view(), scores_, output_gradient_);
  hidden_.accumulate(inputs_.view(), slopes_, hidden_gradient_);
  for (std::size_t i = 0; i < active_.count; ++i) output_marked_[active_.index[i]] = 1;
  for (std::size_t i = 0; i < inputs_.count; ++i) hidden_marked_[inputs_.index[i]] = 1;
}

void PerceptronLayers::apply_batch() {
  const float share = 1.0f / static_cast<float>(config_.batch);
  output_.step(output_gradient_, output_marked_, share, config_.step);
  hidden_.step(hidden_gradient_, hidden_marked_, share, config_.step);
  clear_batch();
}

void PerceptronLayers::clear_batch() {
  filled_ = 0;
  for (std::uint8_t& known : known_) known = known != 0 ? 1 : 0;
}

/// Collects the batch again from its samples: after they were decoded, or got other places.
void PerceptronLayers::replay(std::size_t samples) {
  std::replace(known_.begin(), known_.end(), kNew, std::uint8_t{0});
  drop_gradient();
  for (filled_ = 0; filled_ < samples; ++filled_) {
    const ClassIndex y = batch_y_[filled_];
    std::uint8_t& known = known_[static_cast<std::size_t>(y)];
    if (known == 0) known = kNew;
    if (forward(Features(batch_x_).subspan(filled_ * spec_.features, spec_.features))) collect(y);
  }
}

void PerceptronLayers::drop_gradient() {
  std::fill(hidden_gradient_.begin(), hidden_gradient_.end(), 0.0f);
  output_gradient_.assign(config_.batch == 1 ? 0 : output_.weights.size(), 0.0f);
  std::fill(hidden_marked_.begin(), hidden_marked_.end(), std::uint8_t{0});
  std::fill(output_marked_.begin(), output_marked_.end(), std::uint8_t{0});
}

double PerceptronLayers::loss(Features x, ClassIndex y) const {
  std::vector<float> s(spec_.classes);
  scores(x, s);
  const double top = static_cast<double>(*std::max_element(s.begin(), s.end()));
  double sum = 0;
  for (const float v : s) sum += std::exp(static_cast<double>(v) - top);
  return std::log(sum) + top - static_cast<double>(s[static_cast<std::size_t>(y)]);
}

void PerceptronLayers::gradient(Features x, ClassIndex y, std::span<float> by_hidden,
                                std::span<float> by_output) const {
  std::fill(by_hidden.begin(), by_hidden.end(), 0.0f);
  std::fill(by_output.begin(), by_output.end(), 0.0f);
  if (!forward(x) || !backward(y)) return;
  output_.accumulate(active_.view(), scores_, by_output);
  hidden_.accumulate(inputs_.view(), slopes_, by_hidden);
}

std::unique_ptr<Model> PerceptronLayers::clone() const {
  return std::unique_ptr<Model>(new PerceptronLayers(*this));
}

double PerceptronLayers::most_evidence() const {
  const double rest = 1.0 - static_cast<double>(config_.step.decay);
  return rest > 0 ? std::min(1.0 / rest, kMaxEvidence) : kMaxEvidence;
}

Part PerceptronLayers::partition(std::span<const ClassIndex> classes, Precision precision) const {
  Part part{spec_.family, {}};
  const auto ours = [&](ClassIndex c) {
    return c >= 0 && static_cast<std::uint32_t>(c) < spec_.classes;
  };
  if (!classes.empty() && std::none_of(classes.begin(), classes.end(), ours)) return part;
  std::vector<ClassIndex> known;
  for (std::uint32_t c = 0; c < spec_.classes; ++c) {
    if (known_[c] != 0) known.push_back(static_cast<ClassIndex>(c));
  }
  for (std::uint32_t which = 0; which < 2; ++which) {
    const DenseLayer& layer = which == 0 ? hidden_ : output_;
    ByteWriter out;
    out.put(config_.fingerprint);
    out.put(static_cast<std::uint8_t>(precision));
    out.put(which);
    out.put(spec_.classes);
    // Unit by unit, so that one with large weights does not round those of the others away.
    const std::vector<float> weights = layer.plain_weights();
    for (std::size_t u = 0; u < layer.units; ++u) {
      put_numbers(out, std::span(weights).subspan(u * layer.coordinates(), layer.coordinates()),
                  precision);
    }
    put_levels(out, layer.plain_squares(), precision);
    part.blocks.push_back({fmt::format("layer/{}", which), known, evidence_, out.take()});
  }
  return part;
}

Result<void> PerceptronLayers::read_block(const Block& block, std::uint32_t which,
                                          Incoming& in) const {
  const auto damaged = [&](std::string_view what) { return refused(block, what); };
  ByteReader bytes(block.content);
  const auto precision = read_head(block, bytes, config_.fingerprint);
  if (!precision) return tl::unexpected(precision.error());
  if (bytes.get<std::uint32_t>() != which) return damaged("its name and its content differ");
  const auto classes = bytes.get<std::uint32_t>();
  if (classes < 2 || classes > spec_.classes) return damaged("it has more classes than this task");
  if (in.classes != 0 && in.classes != classes)
    return damaged("the layers are of different models");
  if (auto ok = check_block(block, classes); !ok) return ok;
  const std::size_t coordinates = which == 0 ? hidden_.coordinates() : output_.coordinates();
  const std::size_t units = which == 0 ? hidden_.units : classes;
  const std::size_t numbers = coordinates * units;
  if (bytes.remaining() !=
      units * numbers_bytes(coordinates, *precision) + levels_bytes(numbers, *precision))
    return damaged("its size does not fit");
  in.weights[which].resize(numbers);
  in.squares[which].resize(numbers);
  for (std::size_t u = 0; u < units; ++u) {
    const auto row = std::span(in.weights[which]).subspan(u * coordinates, coordinates);
    if (auto got = get_numbers(bytes, row, *precision, kMaxWeight); !got)
      return damaged(got.error().message);
  }
  if (auto got = get_levels(bytes, in.squares[which], *precision, kMaxSquare); !got)
    return damaged(got.error().message);
  in.classes = classes;
  in.known = block.classes;
  in.evidence = std::min(block.evidence, most_evidence());
  return {};
}

Result<void> PerceptronLayers::merge(const Part& part, const MergeOptions& options) {
  if (auto ok = check_part(part, options, spec_, 2); !ok) return ok;
  Incoming in;
  for (const Block& block : part.blocks) {
    const auto which = block_index(block.name, "layer/", 2);
    if (!which) return refused(block, "no layer has that name");
    if (auto read = read_block(block, *which, in); !read) return read;
  }
  if (part.blocks.size() == 1) {
    return fail(ErrorCode::malformed,
                "the part has one layer; a perceptron's layers mean something together only");
  }
  // Nothing can fail from here on.
  if (part.blocks.empty() || !(in.evidence > 0)) return {};
  const auto theirs = [&](std::size_t c) { return contains(in.known, static_cast<ClassIndex>(c)); };
  bool blend = options.mode == MergeOptions::Mode::blend;
  // What only we know must survive, unless it is what shall be replaced.
  for (std::size_t c = 0; c < known_.size(); ++c)
    blend = blend || (known_[c] != 0 && !theirs(c) &&
                      !contains(options.classes, static_cast<ClassIndex>(c)));
  const double share = blend ? in.evidence / (in.evidence + evidence_) : 1;
  for (std::size_t which = 0; which < 2; ++which) {
    DenseLayer& layer = which == 0 ? hidden_ : output_;
    const std::size_t units = which == 0 ? layer.units : in.classes;
    if (which == 1 && !blend) {
      std::fill(layer.weights.begin(), layer.weights.end(), 0.0f);
      std::fill(layer.squares.begin(), layer.squares.end(), 0.0f);
    }
    for (std::size_t u = 0; u < units; ++u) {
      double part_in = share;
      if (which == 1 && blend) part_in = !theirs(u) ? 0 : known_[u] == 0 ? 1 : share;
      const auto mine = static_cast<float>(1 - part_in), other = static_cast<float>(part_in);
      for (std::size_t j = 0; j < layer.coordinates(); ++j) {
        float& w = layer.weights[layer.at(j, u)];
        float& g = layer.squares[layer.at(j, u)];
        w = mine * w + other * in.weights[which][u * layer.coordinates() + j];
        g = mine * g + other * in.squares[which][j * units + u] / layer.scale;
      }
    }
  }
  for (std::size_t c = 0; c < known_.size(); ++c)
    known_[c] = theirs(c) || (blend && known_[c] != 0) ? 1 : 0;
  evidence_ = std::min(blend ? evidence_ + in.evidence : in.evidence, most_evidence());
  clear_batch();
  drop_gradient();
  return {};
}

void PerceptronLayers::grow(std::uint32_t classes) {
  P2P_ASSERT(classes >= spec_.classes && classes <= kMaxClasses);
  if (classes == spec_.classes) return;
  spec_.classes = classes;
  output_.grow(classes);
  known_.resize(classes);
  scores_.assign(output_.padded(), 0.0f);
  replay(filled_);
}

Bytes PerceptronLayers::encode() const {
  ByteWriter out;
  out.put(kStateMagic);
  out.put(config_.fingerprint);
  out.put(spec_.classes);
  out.put(evidence_);
  out.put_array(std::span<const std::uint8_t>(known_));
  for (const DenseLayer* layer : {&hidden_, &output_}) {
    out.put(layer->scale);
    out.put_array(std::span<const float>(layer->weights));
    out.put_array(std::span<const float>(layer->squares));
  }
  out.put(static_cast<std::uint32_t>(filled_));
  out.put_array(std::span<const float>(batch_x_).first(filled_ * spec_.features));
  out.put_array(std::span<const ClassIndex>(batch_y_).first(filled_));
  return out.take();
}

Result<void> PerceptronLayers::decode(ByteView bytes) {
  const auto damaged = [](std::string_view what) {
    return fail(ErrorCode::malformed, fmt::format("the bytes of the model are damaged: {}", what));
  };
  ByteReader in(bytes);
  if (in.get<std::uint32_t>() != kStateMagic) return damaged("they are not of family mlp");
  if (in.get<std::uint64_t>() != config_.fingerprint) {
    return fail(ErrorCode::invalid_argument,
                "the bytes are of a model with another spec; use the spec it was made with");
  }
  if (in.get<std::uint32_t>() != spec_.classes)
    return damaged("they have another number of classes");
  evidence_ = in.get<double>();
  in.get_array(std::span<std::uint8_t>(known_));
  // Looser than for a peer's part: whatever training can lead to must load again.
  constexpr float kAny = std::numeric_limits<float>::max();
  for (DenseLayer* layer : {&hidden_, &output_}) {
    layer->scale = in.get<float>();
    in.get_array(std::span<float>(layer->weights));
    in.get_array(std::span<float>(layer->squares));
    if (!in.ok()) return damaged("they end too early");
    if (!(layer->scale > 0 && layer->scale <= 1) || !within(layer->weights, -kAny, kAny) ||
        !within(layer->squares, 0, kAny))
      return damaged("a number is not finite or out of range");
  }
  if (!(evidence_ >= 0 && evidence_ <= kMaxEvidence))
    return damaged("its evidence is out of range");
  if (std::any_of(known_.begin(), known_.end(), [](std::uint8_t k) { return k > kNew; }))
    return damaged("a class is neither known nor unknown");
  const auto samples = in.get<std::uint32_t>();
  if (samples >= config_.batch) return damaged("its batch is overfull");
  if (samples > 0) {
    in.get_array(std::span<float>(batch_x_).first(std::size_t{samples} * spec_.features));
    in.get_array(std::span<ClassIndex>(batch_y_).first(samples));
  }
  if (!in.ok()) return damaged("they end too early");
  if (!in.at_end()) return damaged("bytes follow the batch");
  for (const ClassIndex y : std::span<const ClassIndex>(batch_y_).first(samples)) {
    if (y < 0 || static_cast<std::uint32_t>(y) >= spec_.classes)
      return damaged("its batch has a class that is not in the task");
  }
  const std::vector<std::uint8_t> known = known_;
  replay(samples);
  if (known != known_) return damaged("its batch does not have the classes that are new");
  return {};
}

std::size_t PerceptronLayers::bytes() const {
  std::size_t floats = hidden_gradient_.size() + output_gradient_.size() + batch_x_.size() +
                       batch_y_.size() + units_.size() + slopes_.size() + scores_.size() +
                       2 * inputs_.index.size() + 2 * active_.index.size();
  for (const DenseLayer* layer : {&hidden_, &output_})
    floats += layer->weights.size() + layer->squares.size();
  return 4 * floats + known_.size() + hidden_marked_.size() + output_marked_.size();
}

}  // namespace p2p::learner

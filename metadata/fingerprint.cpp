#include "metadata/fingerprint.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "metadata/codec.hpp"

namespace p2p::metadata {

namespace {

constexpr std::uint64_t kFormat = 1;
constexpr double kRenormaliseAt = 1e100;  // far below the largest double, even squared
constexpr double kForgotten = 1e-6;       // a class with fewer (decayed) samples counts as never seen
constexpr float kMaxCount = 1e12f;

/// Has the class anything to tell? The others are left out of the encoded form.
bool present(const Fingerprint& f, std::size_t c) {
  if (f.count[c] != 0 || f.scale[c] != 0 || f.accuracy[c] != 0) return true;
  const auto* column = f.joint.data() + c * f.dimensions;
  return std::any_of(column, column + f.dimensions, [](std::int8_t v) { return v != 0; });
}

bool within(float value, float most) { return value >= 0 && value <= most; }  // false for NaN

bool read_floats(ByteView bytes, std::vector<float>& out) {
  if (bytes.size() != out.size() * sizeof(float)) return false;
  ByteReader reader(bytes);
  reader.get_array(std::span<float>(out));
  return reader.ok();
}

}  // namespace

double Fingerprint::samples() const {
  double total = 0;
  for (const float n : count) total += n;
  return total;
}

double Fingerprint::overall_accuracy() const {
  double correct = 0, total = 0;
  for (std::size_t c = 0; c < count.size(); ++c) {
    correct += static_cast<double>(count[c]) * accuracy[c];
    total += count[c];
  }
  return total > 0 ? correct / total : 0;
}

double Fingerprint::prior(std::size_t c) const {
  const double total = samples();
  return total > 0 ? count[c] / total : 0;
}

void Fingerprint::column(std::size_t c, std::span<float> out) const {
  P2P_ASSERT(c < classes && out.size() == dimensions);
  const auto* from = joint.data() + c * dimensions;
  for (std::size_t d = 0; d < dimensions; ++d) out[d] = static_cast<float>(from[d]) * scale[c];
}

FingerprintBuilder::FingerprintBuilder(const Options& options) : options_(options) {
  P2P_ASSERT(options.dimensions >= 1 && options.dimensions <= Fingerprint::kMaxDimensions);
  P2P_ASSERT(options.classes >= 1);
  P2P_ASSERT(options.half_life >= 0);
  // A half-life under one sample would overflow the weights in a few steps; one sample is as short as it gets.
  if (options.half_life > 0) growth_ = std::exp2(1.0 / std::max(options.half_life, 1.0));
  clear();
}

FingerprintBuilder::FingerprintBuilder(const Options& options, const Fingerprint& so_far) : FingerprintBuilder(options) {
  P2P_ASSERT(so_far.dimensions == options.dimensions && so_far.classes == options.classes);
  weight_ = growth_;  // the latest sample counts 1, as in a fingerprint
  const double total = so_far.samples();
  for (std::size_t c = 0; c < options.classes; ++c) {
    count_[c] = so_far.count[c];
    correct_[c] = count_[c] * so_far.accuracy[c];
    for (std::size_t i = c * options.dimensions; i < (c + 1) * options.dimensions; ++i) {
      sum_[i] = total * so_far.scale[c] * so_far.joint[i];
    }
  }
}

void FingerprintBuilder::clear() {
  weight_ = 1;
  sum_.assign(std::size_t{options_.dimensions} * options_.classes, 0.0);
  count_.assign(options_.classes, 0.0);
  correct_.assign(options_.classes, 0.0);
}

void FingerprintBuilder::add(std::span<const float> phi, std::int32_t label, bool correct) {
  P2P_ASSERT(phi.size() == options_.dimensions);
  P2P_ASSERT(label >= 0 && static_cast<std::uint32_t>(label) < options_.classes);
  float probe = 0;
  for (const float v : phi) probe += v * 0;  // 0 unless one is NaN or infinite
  if (probe != 0) return;

  const auto c = static_cast<std::size_t>(label);
  double* column = sum_.data() + c * options_.dimensions;
  for (std::size_t d = 0; d < phi.size(); ++d) column[d] += weight_ * phi[d];
  count_[c] += weight_;
  if (correct) correct_[c] += weight_;
  weight_ *= growth_;

  if (weight_ > kRenormaliseAt) {
    const double factor = 1 / weight_;
    for (auto* values : {&sum_, &count_, &correct_}) {
      for (double& v : *values) v *= factor;
    }
    weight_ = 1;
  }
}

double FingerprintBuilder::samples() const {
  double total = 0;
  for (const double n : count_) total += n;
  return total * growth_ / weight_;
}

Fingerprint FingerprintBuilder::build() const {
  const std::size_t dimensions = options_.dimensions, classes = options_.classes;
  Fingerprint out;
  out.dimensions = options_.dimensions;
  out.classes = options_.classes;
  out.joint.assign(dimensions * classes, 0);
  out.scale.assign(classes, 0.f);
  out.count.assign(classes, 0.f);
  out.accuracy.assign(classes, 0.f);

  const double newest = weight_ / growth_;  // the weight of the latest sample, which counts 1
  const auto seen = [&](std::size_t c) { return count_[c] / newest >= kForgotten; };
  double total = 0;
  for (std::size_t c = 0; c < classes; ++c) total += seen(c) ? count_[c] : 0;
  if (total <= 0) return out;

  for (std::size_t c = 0; c < classes; ++c) {
    if (!seen(c)) continue;
    out.count[c] = std::min(static_cast<float>(count_[c] / newest), kMaxCount);
    out.accuracy[c] = static_cast<float>(std::clamp(correct_[c] / count_[c], 0.0, 1.0));
    const double* column = sum_.data() + c * dimensions;
    double largest = 0;
    for (std::size_t d = 0; d < dimensions; ++d) largest = std::max(largest, std::abs(column[d]));
    const auto step = static_cast<float>(std::min(largest / total / 127, 1.0));
    if (!(step >= std::numeric_limits<float>::min())) continue;
    out.scale[c] = step;
    for (std::size_t d = 0; d < dimensions; ++d) {
      const double q = std::nearbyint(column[d] / total / step);
      out.joint[c * dimensions + d] = static_cast<std::int8_t>(std::clamp(q, -127.0, 127.0));
    }
  }
  return out;
}

Bytes encode(const Fingerprint& f) {
  const std::size_t dimensions = f.dimensions, classes = f.classes;
  P2P_ASSERT(f.joint.size() == dimensions * classes && f.scale.size() == classes &&
             f.count.size() == classes && f.accuracy.size() == classes);
  Bytes listed((classes + 7) / 8, 0);
  ByteWriter joint, scale, count, accuracy;
  for (std::size_t c = 0; c < classes; ++c) {
    if (!present(f, c)) continue;
    listed[c / 8] = static_cast<std::uint8_t>(listed[c / 8] | 1u << c % 8);
    joint.put_array(std::span(f.joint).subspan(c * dimensions, dimensions));
    scale.put(f.scale[c]);
    count.put(f.count[c]);
    accuracy.put(f.accuracy[c]);
  }
  Encoder out;
  out.array(8).unsigned_integer(kFormat).unsigned_integer(dimensions).unsigned_integer(classes);
  out.binary(listed).binary(joint.bytes()).binary(scale.bytes()).binary(count.bytes());
  out.binary(accuracy.bytes());
  return out.take();
}

Result<Fingerprint> decode_fingerprint(ByteView bytes, std::uint32_t max_classes) {
  const std::size_t most = (std::size_t{Fingerprint::kMaxDimensions} + 13) * max_classes + 64;
  auto document = Document::parse(bytes, {.bytes = most, .depth = 1, .elements = 8});
  if (!document) return tl::unexpected<Error>(std::move(document).error());
  const Value root = document->root();
  const auto malformed = [](const char* what) {
    return fail(ErrorCode::malformed, std::string("the fingerprint ") + what);
  };

  const auto format = root[0].unsigned_integer();
  if (!format) return malformed("does not begin with its format");
  if (*format != kFormat) {
    return fail(ErrorCode::version, "the fingerprint is of a newer format; update this node");
  }
  if (root.size() != 8) return malformed("does not have 8 fields");
  const auto dimensions = root[1].unsigned_integer();
  const auto classes = root[2].unsigned_integer();
  if (!dimensions || *dimensions < 1 || *dimensions > Fingerprint::kMaxDimensions) {
    return malformed("has an impossible number of dimensions");
  }
  if (!classes || *classes < 1 || *classes > max_classes) {
    return malformed("has more classes than its task, or none");
  }
  const auto listed = root[3].binary(), joint = root[4].binary();
  const auto scale = root[5].binary(), count = root[6].binary(), accuracy = root[7].binary();
  if (!listed || !joint || !scale || !count || !accuracy) return malformed("has a field of a wrong kind");
  if (listed->size() != (*classes + 7) / 8) return malformed("lists its classes wrongly");

  std::vector<std::size_t> present_classes;
  for (std::size_t c = 0; c < listed->size() * 8; ++c) {
    if (((*listed)[c / 8] >> c % 8 & 1) == 0) continue;
    if (c >= *classes) return malformed("lists a class that it does not have");
    present_classes.push_back(c);
  }
  const std::size_t n = present_classes.size();
  std::vector<float> scales(n), counts(n), accuracies(n);
  if (joint->size() != n * *dimensions || !read_floats(*scale, scales) || !read_floats(*count, counts) ||
      !read_floats(*accuracy, accuracies)) {
    return malformed("has fields of unequal lengths");
  }

  Fingerprint out;
  out.dimensions = static_cast<std::uint32_t>(*dimensions);
  out.classes = static_cast<std::uint32_t>(*classes);
  out.joint.assign(*dimensions * *classes, 0);
  out.scale.assign(*classes, 0.f);
  out.count.assign(*classes, 0.f);
  out.accuracy.assign(*classes, 0.f);
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t c = present_classes[i];
    if (!within(scales[i], 1)) return malformed("has a scale outside [0, 1]");
    if (!within(counts[i], kMaxCount)) return malformed("has an impossible count");
    if (!within(accuracies[i], 1)) return malformed("has an accuracy outside [0, 1]");
    out.scale[c] = scales[i];
    out.count[c] = counts[i];
    out.accuracy[c] = accuracies[i];
    std::memcpy(out.joint.data() + c * *dimensions, joint->data() + i * *dimensions, *dimensions);
  }
  return out;
}

}  // namespace p2p::metadata

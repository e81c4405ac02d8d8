#include "learner/models/linear/rows.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace p2p::learner {
namespace {

constexpr double kLeastScale = 0x1.0p-12;  ///< smaller ones are multiplied into the numbers

std::size_t lanes_for(std::uint32_t classes) { return classes <= 4 ? 4 : classes <= 8 ? 8 : 16; }

}  // namespace

Rows::Rows(std::uint32_t classes, std::size_t length, std::size_t arrays)
    : classes_(classes),
      length_(length),
      lanes_(lanes_for(classes)),
      groups_((classes + lanes_ - 1) / lanes_),
      arrays_(arrays, Aligned(length_ * lanes_ * groups_)),
      evidence_(classes) {}

float* Rows::at(std::size_t array, std::uint32_t c) {
  return arrays_[array].data() + (c / lanes_) * length_ * lanes_ + c % lanes_;
}
const float* Rows::at(std::size_t array, std::uint32_t c) const {
  return arrays_[array].data() + (c / lanes_) * length_ * lanes_ + c % lanes_;
}

void Rows::score(const Sparse& z, std::span<float> out) const {
  P2P_ASSERT(out.size() == padded());
  const Kernels& k = kernels();
  for (std::size_t g = 0; g < groups_; ++g)
    k.scores(arrays_[0].data() + g * length_ * lanes_, lanes_, z, out.data() + g * lanes_);
  std::fill(out.begin() + static_cast<std::ptrdiff_t>(classes_), out.end(), kUnseen);
}

void Rows::add(const Sparse& z, std::span<const float> step) {
  const Kernels& k = kernels();
  for (std::size_t g = 0; g < groups_; ++g) {
    const auto part = step.subspan(g * lanes_, lanes_);
    if (std::all_of(part.begin(), part.end(), [](float s) { return s == 0; })) continue;
    k.add(weights(g), lanes_, z, part.data());
  }
}

void Rows::set_evidence(std::uint32_t c, double evidence) { evidence_[c] = evidence / sum_scale_; }

void Rows::count(std::uint32_t c, double decay) {
  sum_scale_ *= decay;
  if (sum_scale_ < kLeastScale) fold();
  evidence_[c] += 1 / sum_scale_;
}

void Rows::fold() {
  const auto scale = static_cast<float>(sum_scale_);
  if (arrays_.size() > 1) {
    for (float& v : arrays_[1]) v *= scale;
  }
  for (double& e : evidence_) {
    // A class stays one that was seen, however long ago.
    if (e > 0) e = std::max(e * sum_scale_, std::numeric_limits<double>::min());
  }
  sum_scale_ = 1;
}

void Rows::get_row(std::size_t array, std::uint32_t c, std::span<float> out) const {
  const float* from = at(array, c);
  const auto scale = static_cast<float>(scale_of(array));
  for (std::size_t j = 0; j < length_; ++j) out[j] = from[j * lanes_] * scale;
}

void Rows::put_row(std::size_t array, std::uint32_t c, std::span<const float> values) {
  float* to = at(array, c);
  const double scale = scale_of(array);
  for (std::size_t j = 0; j < length_; ++j)
    to[j * lanes_] = static_cast<float>(static_cast<double>(values[j]) / scale);
}

double Rows::root_mean_square_row() const {
  double sum = 0;
  std::size_t rows = 0;
  for (std::uint32_t c = 0; c < classes_; ++c) {
    if (!seen(c)) continue;
    ++rows;
    const float* w = at(0, c);
    for (std::size_t j = 0; j < length_; ++j)
      sum += static_cast<double>(w[j * lanes_]) * static_cast<double>(w[j * lanes_]);
  }
  return rows == 0 ? 0 : std::sqrt(sum / static_cast<double>(rows));
}

void Rows::grow(std::uint32_t classes) {
  Rows larger(classes, length_, arrays_.size());
  larger.sum_scale_ = sum_scale_;
  for (std::uint32_t c = 0; c < classes_; ++c) {
    for (std::size_t array = 0; array < arrays_.size(); ++array) {
      const float* from = at(array, c);
      float* to = larger.at(array, c);
      for (std::size_t j = 0; j < length_; ++j) to[j * larger.lanes_] = from[j * lanes_];
    }
    larger.evidence_[c] = evidence_[c];
  }
  *this = std::move(larger);
}

void Rows::encode(ByteWriter& out) const {
  out.put(classes_);
  out.put(sum_scale_);
  out.put_array(std::span<const double>(evidence_));
  std::vector<float> row(length_);
  for (std::size_t array = 0; array < arrays_.size(); ++array) {
    for (std::uint32_t c = 0; c < classes_; ++c) {
      const float* from = at(array, c);
      for (std::size_t j = 0; j < length_; ++j) row[j] = from[j * lanes_];
      out.put_array(std::span<const float>(row));
    }
  }
}

std::size_t Rows::encoded_bytes() const {
  return 4 + 8 + std::size_t{classes_} * (8 + 4 * length_ * arrays_.size());
}

Result<void> Rows::decode(ByteReader& in) {
  const auto damaged = [](const char* what) { return fail(ErrorCode::malformed, what); };
  if (in.remaining() < encoded_bytes()) return damaged("the rows end too early");
  if (in.get<std::uint32_t>() != classes_)
    return damaged("the rows are for another number of classes");
  sum_scale_ = in.get<double>();
  if (!(sum_scale_ >= kLeastScale && sum_scale_ <= 1))
    return damaged("the scale of the sums is out of range");
  in.get_array(std::span<double>(evidence_));
  for (std::uint32_t c = 0; c < classes_; ++c) {
    if (!(evidence_[c] >= 0 && evidence_[c] <= 1e18)) return damaged("an evidence is out of range");
  }
  std::vector<float> row(length_);
  for (std::size_t array = 0; array < arrays_.size(); ++array) {
    const float most = std::numeric_limits<float>::max();
    const float least = array == 1 ? 0 : -most;
    for (std::uint32_t c = 0; c < classes_; ++c) {
      in.get_array(std::span<float>(row));
      // Written so that NaN fails.
      if (!std::all_of(row.begin(), row.end(), [&](float v) { return v >= least && v <= most; }))
        return damaged("a number of a row is not finite or out of range");
      float* to = at(array, c);
      for (std::size_t j = 0; j < length_; ++j) to[j * lanes_] = row[j];
    }
  }
  return {};
}

std::size_t Rows::bytes() const {
  return arrays_.size() * length_ * padded() * 4 + evidence_.size() * 8;
}

}  // namespace p2p::learner

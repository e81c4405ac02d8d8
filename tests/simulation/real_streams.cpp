#include "tests/simulation/real_streams.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "learner/fourier_basis.hpp"
#include "tools/data/open_data.hpp"

namespace p2p::testing {
namespace {

constexpr std::size_t kSide = 28;
constexpr const char* kFashion = "/usr/share/datasets/fashion-mnist";

}  // namespace

Result<DataSet> DataSet::load(const std::string& folder, const std::string& name, const std::string& family) {
  DataSet out;
  out.name_ = name;
  out.images_ = name == "fashion" || name == "mnist";
  const std::string path = name == "fashion" ? kFashion
                           : out.images_     ? folder + "/" + name
                                             : folder + "/" + name + "/stream.csv.gz";
  auto file = tools::open_data({.path = path});
  if (!file) return tl::unexpected(file.error());
  tools::Row row;
  std::map<std::string, std::int32_t> names;
  std::vector<std::string> classes;
  for (;;) {
    const auto got = file->source->next(row);
    if (!got) return tl::unexpected(got.error());
    if (*got != tools::SampleSource::Got::row) break;
    out.features_ = row.x.size();
    out.values_.insert(out.values_.end(), row.x.begin(), row.x.end());
    const auto [at, fresh] = names.emplace(row.label, static_cast<std::int32_t>(names.size()));
    if (fresh) classes.push_back(row.label);
    out.labels_.push_back(at->second);
  }
  if (out.labels_.empty()) return fail(ErrorCode::invalid_argument, path + " has no rows");
  for (std::size_t f = 0; f < out.features_; ++f) {
    float low = INFINITY, high = -INFINITY;
    for (std::size_t i = f; i < out.values_.size(); i += out.features_) {
      if (!std::isfinite(out.values_[i])) continue;
      low = std::min(low, out.values_[i]);
      high = std::max(high, out.values_[i]);
    }
    for (std::size_t i = f; i < out.values_.size(); i += out.features_) {
      auto& value = out.values_[i];
      value = std::isfinite(value) && high > low ? (value - low) / (high - low) : 0.f;
    }
  }
  out.by_class_.resize(classes.size());
  for (std::size_t i = 0; i < out.labels_.size(); ++i) {
    out.by_class_[static_cast<std::size_t>(out.labels_[i])].push_back(i);
  }
  out.task_.name = name;
  out.task_.features = {{.name = "x", .count = static_cast<std::uint32_t>(out.features_), .minimum = 0, .maximum = 1}};
  out.task_.classes = classes;
  out.task_.family = family;
  out.task_.seed = 11;
  out.task_.embedding_dimensions = 32;
  Random random(7);
  std::vector<float> some, x;
  for (int i = 0; i < 300; ++i) {
    out.draw(random, random.below(classes.size()), {}, x);
    some.insert(some.end(), x.begin(), x.end());
  }
  out.task_.bandwidth = learner::median_bandwidth(some, static_cast<std::uint32_t>(out.features_));
  return out;
}

void DataSet::draw(Random& random, std::size_t c, const View& view, std::vector<float>& out) const {
  const auto& rows = by_class_[c];
  const float* row = values_.data() + rows[random.below(rows.size())] * features_;
  out.assign(row, row + features_);
  if (view.turned == 0) return;
  if (images_) {
    for (std::uint32_t quarter = 0; quarter < view.turned % 4; ++quarter) {
      const auto from = out;
      for (std::size_t r = 0; r < kSide; ++r) {
        for (std::size_t q = 0; q < kSide; ++q) out[q * kSide + kSide - 1 - r] = from[r * kSide + q];
      }
    }
    return;
  }
  std::vector<std::size_t> order(features_);
  std::iota(order.begin(), order.end(), 0);
  Random shuffle(view.turned);
  for (std::size_t i = features_; i > 1; --i) std::swap(order[i - 1], order[shuffle.below(i)]);
  for (std::size_t f = 0; f < features_; ++f) out[f] = f % 2 ? 1 - row[order[f]] : row[order[f]];
}

Site::Shown RealStream::next() {
  const double total = std::accumulate(mix_.begin(), mix_.end(), 0.0);
  double pick = random_.uniform() * total;
  std::size_t c = 0;
  while (c + 1 < mix_.size() && (mix_[c] == 0 || pick >= mix_[c])) pick -= mix_[c++];
  data_->draw(random_, c, view_, x_);
  return {x_, view_.labels.empty() ? static_cast<std::int32_t>(c) : view_.labels[c]};
}

std::unique_ptr<learner::Model> RealStream::trained(std::size_t samples) {
  auto model = learner::make_model(node::model_spec(data_->task()));
  P2P_ASSERT(model.has_value());
  for (std::size_t i = 0; i < samples; ++i) {
    const auto shown = next();
    (*model)->learn(shown.x, shown.label);
  }
  return std::move(*model);
}

metadata::Fingerprint RealStream::experience(std::size_t samples, double accuracy) {
  const auto& task = data_->task();
  const auto basis = learner::FourierBasis::shared({.seed = task.seed,
                                                    .features = task.scaled_features(),
                                                    .dimensions = task.embedding_dimensions,
                                                    .bandwidth = task.bandwidth});
  metadata::FingerprintBuilder builder(
      {.dimensions = task.embedding_dimensions, .classes = data_->classes(), .half_life = 300});
  std::vector<float> phi(task.embedding_dimensions);
  for (std::size_t i = 0; i < samples; ++i) {
    const auto shown = next();
    basis->map(shown.x, phi);
    builder.add(phi, shown.label, random_.uniform() < accuracy);
  }
  return builder.build();
}

}  // namespace p2p::testing

#include "tests/simulation/real_stream.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <numeric>

#include "learner/fourier_basis.hpp"
#include "tools/data/open_data.hpp"

namespace p2p::testing {
namespace {

constexpr std::size_t kMostImages = 20'000;

Result<void> read(RealData& data, const std::string& path, std::size_t most,
                  const std::function<std::int32_t(const std::string&)>& class_of) {
  auto file = tools::open_data({.path = path});
  if (!file) return tl::unexpected(file.error());
  tools::Row row;
  while (data.rows() < most) {
    const auto got = file->source->next(row);
    if (!got) return tl::unexpected(got.error());
    if (*got != tools::SampleSource::Got::row) break;
    const auto label = class_of(row.label);
    if (label < 0) continue;
    data.features = static_cast<std::uint32_t>(row.x.size());
    data.x.insert(data.x.end(), row.x.begin(), row.x.end());
    data.y.push_back(label);
  }
  return {};
}

void scale(RealData& data) {
  for (std::size_t f = 0; f < data.features; ++f) {
    float low = INFINITY, high = -INFINITY;
    for (std::size_t i = 0; i < data.rows(); ++i) {
      const float v = data.x[i * data.features + f];
      low = std::min(low, v);
      high = std::max(high, v);
    }
    for (std::size_t i = 0; i < data.rows(); ++i) {
      float& v = data.x[i * data.features + f];
      v = high > low ? (v - low) / (high - low) : 0.f;
    }
  }
}

}  // namespace

Result<RealData> load_real(const std::string& folder, const std::string& name) {
  RealData data;
  data.name = name;
  data.classes = 10;
  const auto digit = [](const std::string& text) { return static_cast<std::int32_t>(std::atoi(text.c_str())); };
  Result<void> done;
  if (name == "fashion" || name == "mnist") {
    data.images = true;
    done = read(data, name == "mnist" ? folder + "/mnist" : std::string("/usr/share/datasets/fashion-mnist"),
                kMostImages, digit);
    for (auto& v : data.x) v /= 255.f;
    data.raw_bytes = data.features;
  } else if (name == "letter") {
    done = read(data, folder + "/letter/stream.csv.gz", ~std::size_t{0}, [](const std::string& text) {
      return text.size() == 1 && text[0] >= 'A' && text[0] <= 'J' ? text[0] - 'A' : -1;
    });
  } else if (name == "pendigits") {
    done = read(data, folder + "/pendigits/stream.csv.gz", ~std::size_t{0}, digit);
  } else if (name == "covtype") {
    data.classes = 7;
    done = read(data, folder + "/covtype20k/stream.csv.gz", 15'000,
                [&](const std::string& text) { return digit(text) - 1; });
  } else {
    return fail(ErrorCode::invalid_argument,
                "no data set \"" + name + "\": fashion, mnist, letter, pendigits or covtype");
  }
  if (!done) return tl::unexpected(done.error());
  if (data.rows() == 0) return fail(ErrorCode::malformed, "the data set \"" + name + "\" has no usable row");
  if (!data.images) {
    scale(data);
    data.raw_bytes = 4 * data.features;
  }
  return data;
}

RealStream::RealStream(const RealData& data, std::uint64_t seed, std::size_t half)
    : data_(data), random_(seed), rows_(data.classes), next_(data.classes, 0), x_(data.features) {
  for (std::size_t i = half % 2; i < data.rows(); i += 2) {
    rows_[static_cast<std::size_t>(data.y[i])].push_back(static_cast<std::uint32_t>(i));
  }
  for (auto& rows : rows_) {
    for (std::size_t i = rows.size(); i > 1; --i) std::swap(rows[i - 1], rows[random_.below(i)]);
  }
  set({}, Weights(data.classes, 1));
}

void RealStream::set(View view, Weights weights) {
  view_ = std::move(view);
  weights_ = std::move(weights);
  const std::size_t n = data_.features;
  from_.resize(n);
  std::iota(from_.begin(), from_.end(), 0u);
  mirrored_.assign(n, false);
  if (view_.geometry == 0) return;
  if (data_.images) {
    const auto side = static_cast<std::size_t>(std::lround(std::sqrt(static_cast<double>(n))));
    for (std::size_t r = 0; r < side; ++r) {
      for (std::size_t c = 0; c < side; ++c) {
        std::size_t row = r, column = c;
        for (std::uint32_t q = 0; q < view_.geometry % 4; ++q) {
          const std::size_t former = row;
          row = side - 1 - column;
          column = former;
        }
        from_[r * side + c] = static_cast<std::uint32_t>(row * side + column);
      }
    }
    mirrored_.assign(n, view_.geometry % 8 >= 4);
    return;
  }
  Random random(view_.geometry * 977 + 3);
  for (std::size_t i = n; i > 1; --i) std::swap(from_[i - 1], from_[random.below(i)]);
  for (std::size_t i = 0; i < n; ++i) mirrored_[i] = random.uniform() < 0.5;
}

RealStream::Sample RealStream::next() {
  const double total = std::accumulate(weights_.begin(), weights_.end(), 0.0);
  double pick = random_.uniform() * total;
  std::size_t c = 0;
  while (c + 1 < weights_.size() && (weights_[c] == 0 || pick >= weights_[c])) pick -= weights_[c++];
  const auto& rows = rows_[c];
  P2P_ASSERT(!rows.empty());
  const auto x = data_.row(rows[next_[c]++ % rows.size()]);
  for (std::size_t f = 0; f < x_.size(); ++f) x_[f] = mirrored_[f] ? 1 - x[from_[f]] : x[from_[f]];
  const auto label = view_.random_labels      ? static_cast<std::int32_t>(random_.below(data_.classes))
                     : view_.names.empty() ? static_cast<std::int32_t>(c)
                                           : view_.names[c];
  return {x_, label};
}

metadata::Task real_task(const RealData& data, const std::string& family) {
  metadata::Task task;
  task.name = data.name;
  task.features = {{.name = "x", .count = data.features}};
  for (std::uint32_t c = 0; c < data.classes; ++c) task.classes.push_back("c" + std::to_string(c));
  auto at = family.find(':');
  task.family = family.substr(0, at);
  while (at != std::string::npos) {
    const auto end = family.find(',', at + 1);
    const auto pair = family.substr(at + 1, end == std::string::npos ? end : end - at - 1);
    const auto equal = pair.find('=');
    if (equal != std::string::npos) task.params[pair.substr(0, equal)] = std::atof(pair.c_str() + equal + 1);
    at = end;
  }
  task.seed = 11;
  std::vector<float> sample;
  Random random(7);
  for (int i = 0; i < 400; ++i) {
    const auto x = data.row(random.below(data.rows()));
    sample.insert(sample.end(), x.begin(), x.end());
  }
  task.bandwidth = learner::median_bandwidth(sample, data.features);
  return task;
}

}  // namespace p2p::testing

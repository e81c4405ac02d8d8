#include "tests/directory/population.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>

#include "learner/fourier_basis.hpp"
#include "tests/metadata/examples.hpp"
#include "tools/data/open_data.hpp"

namespace p2p::directory::bench {

namespace {

constexpr std::uint32_t kDimensions = 32;
constexpr std::size_t kMostImages = 12'000;
constexpr std::size_t kAskerSamples = 100;
constexpr std::size_t kRotations = 4, kNamings = 3, kSide = 28;
constexpr double kMix = 0.3;  // of the Dirichlet distribution

struct Rows {
  std::size_t features = 0;
  std::vector<float> x;  // (rows x features)
  std::vector<std::int32_t> y;
  std::size_t size() const { return y.size(); }
};

/// Images turned by quarters, and inverted.
Rows transformed(const Rows& images, std::size_t view) {
  Rows out = images;
  const std::size_t quarters = view % kRotations;
  const bool inverted = view >= kRotations;
  for (std::size_t i = 0; i < images.size(); ++i) {
    const float* from = images.x.data() + i * images.features;
    float* to = out.x.data() + i * images.features;
    for (std::size_t r = 0; r < kSide; ++r) {
      for (std::size_t c = 0; c < kSide; ++c) {
        std::size_t row = r, column = c;
        for (std::size_t q = 0; q < quarters; ++q) std::tie(row, column) = std::pair(kSide - 1 - column, row);
        const float value = from[row * kSide + column];
        to[r * kSide + c] = inverted ? 1 - value : value;
      }
    }
  }
  return out;
}

Result<Rows> read_rows(const tools::DataOptions& options, std::size_t most,
                       const std::function<bool(const tools::Row&, std::vector<float>&, std::int32_t&)>& take) {
  auto file = tools::open_data(options);
  if (!file) return tl::unexpected(file.error());
  Rows out;
  tools::Row row;
  while (out.size() < most) {
    const auto got = file->source->next(row);
    if (!got) return tl::unexpected(got.error());
    if (*got != tools::SampleSource::Got::row) break;
    std::vector<float> x;
    std::int32_t y = 0;
    if (!take(row, x, y)) continue;
    out.features = x.size();
    out.x.insert(out.x.end(), x.begin(), x.end());
    out.y.push_back(y);
  }
  return out;
}

/// Each column to 0 .. 1 over all pieces; what is missing becomes 0.
void scale(std::vector<Rows>& pieces) {
  const std::size_t features = pieces.front().features;
  for (std::size_t f = 0; f < features; ++f) {
    float low = INFINITY, high = -INFINITY;
    const auto each = [&](auto&& visit) {
      for (auto& piece : pieces) {
        for (std::size_t i = 0; i < piece.size(); ++i) visit(piece.x[i * features + f]);
      }
    };
    each([&](float& v) {
      if (!std::isfinite(v)) return;
      low = std::min(low, v);
      high = std::max(high, v);
    });
    each([&](float& v) { v = std::isfinite(v) && high > low ? (v - low) / (high - low) : 0.f; });
  }
}

}  // namespace

struct Population::State {
  Options options;
  metadata::Task task;
  std::size_t window = 0;
  bool images = false;
  std::uint32_t classes = 0;
  struct Piece {                 // one view of the images, or one station or device
    std::vector<float> phi;      // (rows x kDimensions)
    std::vector<float> model;    // (rows x kModelDimensions), if kept
    std::vector<std::int32_t> y;
  };
  std::vector<Piece> pieces;
  std::vector<std::vector<std::size_t>> by_class;  // of images: rows
  std::vector<double> domains;                     // shares
  std::vector<std::array<std::int32_t, 10>> namings;

  Result<void> load();
  void embed(const std::vector<Rows>& rows);

  /// Calls visit(piece, row, label) for each sample of a window.
  template <typename Visit>
  void window_of(std::uint64_t key, std::size_t size, Visit visit) const {
    Random random = Random(options.seed).fork(key);
    if (images) {
      const std::size_t domain = metadata::testing::draw(random, domains);
      const auto& piece = pieces[domain % pieces.size()];
      const auto& naming = namings[domain / pieces.size()];
      const auto mix = metadata::testing::dirichlet(random, classes, kMix);
      for (std::size_t i = 0; i < size; ++i) {
        const std::size_t c = metadata::testing::draw(random, mix);
        visit(piece, by_class[c][random.below(by_class[c].size())], naming[c]);
      }
      return;
    }
    const auto& piece = pieces[random.below(pieces.size())];
    // As if it were as long as the longest, so that an asker's window begins where its stream goes on.
    const std::size_t first = random.below(piece.y.size() - window + 1);
    for (std::size_t i = first; i < first + size; ++i) visit(piece, i, piece.y[i]);
  }

  metadata::Fingerprint fingerprint(std::uint64_t key, std::size_t size) const {
    metadata::FingerprintBuilder builder({.dimensions = kDimensions, .classes = classes, .half_life = 0});
    Random random = Random(options.seed).fork(~key);
    window_of(key, size, [&](const Piece& piece, std::size_t row, std::int32_t y) {
      builder.add(std::span(piece.phi).subspan(row * kDimensions, kDimensions), y, random.uniform() < 0.8);
    });
    return builder.build();
  }

  std::vector<Sample> samples(std::uint64_t key, std::size_t size) const {
    P2P_ASSERT(options.models);
    std::vector<Sample> out;
    window_of(key, size, [&](const Piece& piece, std::size_t row, std::int32_t y) {
      const auto x = std::span(piece.model).subspan(row * kModelDimensions, kModelDimensions);
      out.push_back({{x.begin(), x.end()}, y});
    });
    return out;
  }
};

void Population::State::embed(const std::vector<Rows>& rows) {
  std::vector<float> sample;
  Random random(7);
  for (std::size_t i = 0; i < 1000; ++i) {
    const auto& piece = rows[random.below(rows.size())];
    const auto at = piece.x.begin() + static_cast<std::ptrdiff_t>(random.below(piece.size()) * piece.features);
    sample.insert(sample.end(), at, at + static_cast<std::ptrdiff_t>(piece.features));
  }
  const std::size_t features = rows.front().features;
  task.bandwidth = learner::median_bandwidth(sample, features);
  const learner::FourierBasis basis({.seed = task.seed,
                                     .features = static_cast<std::uint32_t>(features),
                                     .dimensions = kDimensions,
                                     .bandwidth = task.bandwidth});
  const learner::FourierBasis wide({.seed = task.seed,
                                    .features = static_cast<std::uint32_t>(features),
                                    .dimensions = kModelDimensions,
                                    .bandwidth = task.bandwidth});
  for (const auto& piece : rows) {
    Piece out;
    out.y = piece.y;
    out.phi.resize(piece.size() * kDimensions);
    if (options.models) out.model.resize(piece.size() * kModelDimensions);
    for (std::size_t i = 0; i < piece.size(); ++i) {
      const auto x = std::span(piece.x).subspan(i * features, features);
      basis.map(x, std::span(out.phi).subspan(i * kDimensions, kDimensions));
      if (options.models) wide.map(x, std::span(out.model).subspan(i * kModelDimensions, kModelDimensions));
    }
    pieces.push_back(std::move(out));
  }
}

Result<void> Population::State::load() {
  task.name = options.name;
  task.family = "rff";
  task.embedding_dimensions = kDimensions;
  std::vector<Rows> rows;
  if (options.name == "mnist" || options.name == "fashion") {
    images = true;
    classes = 10;
    window = 500;
    const std::string folder =
        options.name == "mnist" ? options.data + "/mnist" : std::string("/usr/share/datasets/fashion-mnist");
    auto read = read_rows({.path = folder}, kMostImages,
                          [](const tools::Row& row, std::vector<float>& x, std::int32_t& y) {
                            x = row.x;
                            for (auto& v : x) v /= 255.f;
                            y = std::stoi(row.label);
                            return true;
                          });
    if (!read) return tl::unexpected(read.error());
    by_class.resize(classes);
    for (std::size_t i = 0; i < read->size(); ++i) by_class[static_cast<std::size_t>(read->y[i])].push_back(i);
    for (std::size_t view = 0; view < 2 * kRotations; ++view) rows.push_back(transformed(*read, view));
    for (std::size_t d = 0; d < rows.size() * kNamings; ++d) domains.push_back(1.0 / static_cast<double>(d + 1));
    const double total = std::accumulate(domains.begin(), domains.end(), 0.0);
    for (auto& share : domains) share /= total;
    Random random(11);
    for (std::size_t n = 0; n < kNamings; ++n) {
      auto& naming = namings.emplace_back();
      std::iota(naming.begin(), naming.end(), 0);
      for (std::size_t i = 9; n > 0 && i > 0; --i) std::swap(naming[i], naming[random.below(i + 1)]);
    }
  } else if (options.name == "beijing") {
    classes = 4;
    window = 500;
    for (const char* station : {"Aotizhongxin", "Changping", "Dingling", "Dongsi", "Guanyuan", "Gucheng", "Huairou",
                                "Nongzhanguan", "Shunyi", "Tiantan", "Wanliu", "Wanshouxigong"}) {
      auto read = read_rows({.path = options.data + "/beijing_air/" + station + ".csv.gz",
                             .label = "PM2.5",
                             .ignore = {"No", "year", "day", "wd", "station"}},
                            ~std::size_t{0}, [](const tools::Row& row, std::vector<float>& x, std::int32_t& y) {
                              if (!row.labelled) return false;
                              const double pm = std::strtod(row.label.c_str(), nullptr);
                              x = row.x;
                              y = pm < 35 ? 0 : pm < 75 ? 1 : pm < 150 ? 2 : 3;
                              return true;
                            });
      if (!read) return tl::unexpected(read.error());
      rows.push_back(std::move(*read));
    }
    scale(rows);
  } else if (options.name == "ton_iot") {
    classes = 8;
    window = 300;
    constexpr std::size_t kColumns = 4;
    std::map<std::string, std::int32_t> labels;
    for (const char* device :
         {"fridge", "garage_door", "gps_tracker", "modbus", "motion_light", "thermostat", "weather"}) {
      std::map<std::string, float> texts;
      auto read = read_rows({.path = options.data + "/ton_iot/" + device + ".csv.gz",
                             .label = "label",
                             .ignore = {"unix_time", "attack"}},
                            ~std::size_t{0}, [&](const tools::Row& row, std::vector<float>& x, std::int32_t& y) {
                              x = row.x;
                              for (const auto& cell : row.texts) {
                                x[cell.column] = texts.emplace(cell.text, static_cast<float>(texts.size())).first->second;
                              }
                              x.resize(kColumns, 0.f);
                              y = labels.emplace(row.label, static_cast<std::int32_t>(labels.size())).first->second;
                              return y < 8;
                            });
      if (!read) return tl::unexpected(read.error());
      std::vector<Rows> one{std::move(*read)};
      scale(one);  // each device has quantities of its own
      rows.push_back(std::move(one.front()));
    }
  } else {
    return fail(ErrorCode::invalid_argument, "no data set \"" + options.name + "\": mnist, fashion, beijing or ton_iot");
  }
  task.features = {{.name = "x", .count = static_cast<std::uint32_t>(rows.front().features)}};
  for (std::uint32_t c = 0; c < classes; ++c) task.classes.push_back("c" + std::to_string(c));
  embed(rows);
  return {};
}

Result<Population> Population::load(const Options& options) {
  auto state = std::make_unique<State>();
  state->options = options;
  if (auto loaded = state->load(); !loaded) return tl::unexpected(loaded.error());
  return Population(std::move(state));
}

Population::Population(std::unique_ptr<State> state) : state_(std::move(state)) {}
Population::Population(Population&&) noexcept = default;
Population::~Population() = default;

const metadata::Task& Population::task() const { return state_->task; }
metadata::Fingerprint Population::node(std::size_t number) const {
  return state_->fingerprint(2 * number, state_->window);
}
metadata::Fingerprint Population::asker(std::size_t number) const {
  return state_->fingerprint(2 * number + 1, kAskerSamples);
}
std::vector<Population::Sample> Population::samples_of_node(std::size_t number) const {
  return state_->samples(2 * number, state_->window);
}
std::vector<Population::Sample> Population::samples_of_asker(std::size_t number, std::size_t count) const {
  return state_->samples(2 * number + 1, state_->images ? count : std::min(count, state_->window));
}

}  // namespace p2p::directory::bench
